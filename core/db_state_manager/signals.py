"""The journal of alerts: stored once, claimed by one worker at a time, finished once.

The fingerprint's unique index is the judge of duplicates. A failed alert may be sent again; one
that is in flight or came to an end may not. An alert whose worker died is claimed again when its
lease ends by the database's clock, which all instances share.
"""

from datetime import datetime
from typing import Any

from psycopg2.errors import UniqueViolation
from psycopg2.extensions import cursor as Cursor

from core.db_state_manager.connection import Database, fetch_one
from core.db_state_manager.json_values import from_json, to_json
from core.db_state_manager.outbox import append_event
from core.db_state_manager.records import ClaimedSignal, Journalled, Outcome
from core.db_state_manager.states import SignalStatus
from core.errors import Rejected
from core.models import EODMonitorSignal, MarketDataSignal, Signal, SignalType
from core.webhook_parser import Alert, kind_of

# Store an alert; take a failed one up again; return nothing for a duplicate.
JOURNAL = """
INSERT INTO signal_log
    (fingerprint, type, instrument, layer, bar_time, seq, raw_body, alert, received_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (fingerprint) DO UPDATE SET
    status = 'received', outcome = NULL, finished_at = NULL, attempts = signal_log.attempts + 1,
    seq = EXCLUDED.seq, raw_body = EXCLUDED.raw_body, alert = EXCLUDED.alert,
    received_at = EXCLUDED.received_at
WHERE signal_log.status = 'failed'
RETURNING id"""

# The first alert of a fingerprint.
FIRST = "SELECT id, status, outcome FROM signal_log WHERE fingerprint = %s"

# The next alerts to handle, by kind, then by bar: never two of a kind of one instrument, and no
# entry before the exits and closed bars of its own bar or of earlier ones. What a dead worker left
# keeps its turn: an earlier one that came since waits for it, so it must not wait for that.
CANDIDATES = """
SELECT id FROM signal_log AS waiting
WHERE (status = 'received' OR (status = 'processing' AND lease_until < now()))
  AND NOT EXISTS (
    SELECT FROM signal_log AS busy
    WHERE busy.status = 'processing' AND busy.instrument = waiting.instrument
      AND busy.priority = waiting.priority AND busy.id <> waiting.id)
  AND (waiting.status = 'processing' OR NOT EXISTS (
    SELECT FROM signal_log AS earlier
    WHERE earlier.status = 'received' AND earlier.instrument = waiting.instrument
      AND earlier.priority = waiting.priority
      AND (earlier.bar_time, coalesce(earlier.seq, 0), earlier.id)
        < (waiting.bar_time, coalesce(waiting.seq, 0), waiting.id)))
  AND NOT (waiting.type IN ('BASE_ENTRY', 'PYRAMID') AND EXISTS (
    SELECT FROM signal_log AS before
    WHERE before.status IN ('received', 'processing') AND before.instrument = waiting.instrument
      AND before.priority < waiting.priority AND before.bar_time <= waiting.bar_time))
ORDER BY priority, bar_time, seq NULLS FIRST, id
LIMIT %s
FOR UPDATE SKIP LOCKED"""

# Take them, and tell of each whether an exit of a later bar has made it void.
CLAIM = f"""
WITH next AS ({CANDIDATES})
UPDATE signal_log AS taken SET
    status = 'processing', lease_owner = %s, lease_until = now() + make_interval(secs => %s)
FROM next WHERE taken.id = next.id
RETURNING taken.id, fingerprint, type, alert, received_at, attempts, priority, bar_time, (
    SELECT exit.id FROM signal_log AS exit
    WHERE exit.type = 'EXIT' AND taken.type IN ('BASE_ENTRY', 'PYRAMID')
      AND exit.instrument = taken.instrument AND exit.bar_time > taken.bar_time
      AND exit.bar_time <= exit.received_at + interval '5 minutes'
      AND (exit.layer IS NULL OR exit.layer = taken.layer)
    ORDER BY exit.bar_time, exit.id LIMIT 1)"""  # noqa: S608 - two constants

# Only who holds the lease may finish.
FINISH = """
UPDATE signal_log SET
    status = %s, outcome = %s, finished_at = %s, lease_owner = NULL, lease_until = NULL
WHERE id = %s AND status = 'processing' AND lease_owner = %s
RETURNING type, instrument"""

# Give an alert back unhandled.
RELEASE = """
UPDATE signal_log SET status = 'received', lease_owner = NULL, lease_until = NULL
WHERE id = %s AND status = 'processing' AND lease_owner = %s"""

# Hold on to an alert for longer.
RENEW = """
UPDATE signal_log SET lease_until = now() + make_interval(secs => %s)
WHERE id = %s AND status = 'processing' AND lease_owner = %s"""

# Hold on to everything that is in hand.
RENEW_ALL = """
UPDATE signal_log SET lease_until = now() + make_interval(secs => %s)
WHERE status = 'processing' AND lease_owner = %s"""

# Whether a later bar of the instrument has been handled.
OVERTAKEN = """
SELECT EXISTS (
    SELECT FROM signal_log
    WHERE type = 'MARKET_DATA' AND instrument = %s AND bar_time > %s AND status = 'executed')"""

# How an alert stands.
STANDING = "SELECT id, status, outcome FROM signal_log WHERE id = %s"


class SignalJournal(Database):
    """The signal log."""

    def journal_signal(
        self, raw_body: bytes, alert: Alert, fingerprint: str, received_at: datetime
    ) -> Journalled:
        """Store an alert before it is answered, or say which one it repeats."""
        kept = (
            fingerprint,
            kind_of(alert),
            alert.instrument,
            alert.layer if isinstance(alert, Signal) else None,
            alert.bar_time,
            alert.seq,
            raw_body,
            to_json(alert),
            received_at,
        )
        with self.transaction() as cursor:
            stored = fetch_one(cursor, JOURNAL, kept)
            if stored is not None:
                return Journalled(stored[0], None, SignalStatus.RECEIVED, None)
            first = fetch_one(cursor, FIRST, (fingerprint,))
        if first is None:
            raise Rejected("SIGNAL_VANISHED", f"the signal {fingerprint} was deleted meanwhile")
        return Journalled(first[0], first[0], SignalStatus(first[1]), _outcome(first[2]))

    def claim_signals(self, owner: str, limit: int, lease_s: float) -> list[ClaimedSignal]:
        """Up to `limit` alerts for `owner` to handle within `lease_s`, in their order.

        Empty also when another worker was quicker.
        """
        try:
            with self.transaction() as cursor:
                cursor.execute(CLAIM, (limit, owner, lease_s))
                rows = sorted(cursor.fetchall(), key=lambda row: (row[6], row[7], row[0]))
        except UniqueViolation:
            return []
        return [
            ClaimedSignal(row[0], row[1], _alert(row[2], row[3]), row[4], row[5], row[8])
            for row in rows
        ]

    def finish_signal(
        self, signal_id: int, owner: str, status: SignalStatus, outcome: Outcome
    ) -> bool:
        """Record what became of an alert, and tell it. False when its lease had passed on."""
        now = self._clock.now()
        with self.transaction() as cursor:
            row = fetch_one(cursor, FINISH, (status, to_json(outcome), now, signal_id, owner))
            if row is None:
                return False
            kind, instrument = row
            told = {"signal_id": signal_id, "type": kind, "status": status, "outcome": outcome}
            append_event(cursor, "SIGNAL_FINISHED", instrument, told, now)
            return True

    def release_signal(self, signal_id: int, owner: str) -> bool:
        """Give an alert back for anybody to claim. False when it was not `owner`'s any more."""
        return self._changed(RELEASE, (signal_id, owner))

    def renew_lease(self, signal_id: int, owner: str, lease_s: float) -> bool:
        """Keep an alert for `lease_s` from now. False when it was not `owner`'s any more."""
        return self._changed(RENEW, (lease_s, signal_id, owner))

    def renew_all_leases(self, owner: str, lease_s: float) -> None:
        """Keep every alert that `owner` has in hand for `lease_s` from now."""
        with self.transaction() as cursor:
            cursor.execute(RENEW_ALL, (lease_s, owner))

    def is_overtaken(self, bar: MarketDataSignal) -> bool:
        """Whether a later bar of its instrument has been handled already."""
        return bool(self.rows(OVERTAKEN, (bar.instrument, bar.bar_time))[0][0])

    def signal_standing(self, signal_id: int) -> Journalled | None:
        """How an alert stands; None when there is none of that id."""
        found = self.rows(STANDING, (signal_id,))
        if not found:
            return None
        return Journalled(signal_id, None, SignalStatus(found[0][1]), _outcome(found[0][2]))

    def _changed(self, query: str, values: tuple[object, ...]) -> bool:
        with self.transaction() as cursor:
            return changed(cursor, query, values)


def changed(cursor: Cursor, query: str, values: tuple[object, ...]) -> bool:
    """Whether an UPDATE met a row."""
    cursor.execute(query, values)
    return cursor.rowcount > 0


def _alert(kind: str, data: object) -> Alert:
    match SignalType(kind):
        case SignalType.MARKET_DATA:
            return from_json(MarketDataSignal, data)
        case SignalType.EOD_MONITOR:
            return from_json(EODMonitorSignal, data)
        case _:
            return from_json(Signal, data)


def _outcome(data: Any) -> Outcome | None:
    return None if data is None else from_json(Outcome, data)
