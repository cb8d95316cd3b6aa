"""The end of an instrument's day is judged once and ordered once, by whoever leads at that moment.

Each step is one transaction that asks for the epoch and holds the day's row. What is ordered is
journalled under the fingerprint of the bar's own alert in that same transaction: whichever of the
two came second finds the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from psycopg2.extensions import cursor as Cursor

from core.db_state_manager.connection import Database, Row, fetch, fetch_one
from core.db_state_manager.decision_rights import check_epoch
from core.db_state_manager.json_values import from_json, from_row, to_json
from core.db_state_manager.outbox import append_event
from core.db_state_manager.records import Outcome
from core.db_state_manager.signals import JOURNAL
from core.db_state_manager.states import EodPhase, SignalStatus
from core.eod_monitor import EodVerdict, Judgement, ScoutAlert
from core.eod_scheduler import EodWindow
from core.models import EODMonitorSignal, Signal
from core.webhook_parser import fingerprint

STALE_EPOCH = "STALE_EPOCH"
_ALARMS = {EodVerdict.SILENT: "EOD_SILENT", EodVerdict.MISSED: "EOD_MISSED"}

_COLUMNS = """instrument, day, phase, verdict, reason, judged_signal_id, closes_at, epoch,
    judged_at, ordered_at, ended_at"""

# The Scout's alerts of an instrument that came in since then, in the order of their coming.
SCOUT = """
SELECT id, alert, received_at FROM signal_log
WHERE type = 'EOD_MONITOR' AND instrument = %s AND received_at >= %s
ORDER BY received_at, id"""

# Whether the Scout has spoken of an instrument since then.
SPOKE = """
SELECT EXISTS (
    SELECT FROM signal_log WHERE type = 'EOD_MONITOR' AND instrument = %s AND received_at >= %s)"""

# The latest word of the Scout on an instrument.
LAST_SCOUT = """
SELECT id, alert, received_at FROM signal_log
WHERE type = 'EOD_MONITOR' AND instrument = %s ORDER BY received_at DESC, id DESC LIMIT 1"""

# How far an instrument's day has come.
RUN = f"SELECT {_COLUMNS} FROM eod_runs WHERE instrument = %s AND day = %s"  # noqa: S608

# The same, held against every other leader.
LOCK_RUN = f"{RUN} FOR UPDATE"

# A day is judged by the first who does it.
JUDGE = f"""
INSERT INTO eod_runs
    (instrument, day, phase, verdict, reason, judged_signal_id, closes_at, epoch, judged_at,
     ended_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
RETURNING {_COLUMNS}"""  # noqa: S608

# What it asks for.
PLAN = """
INSERT INTO eod_actions (instrument, day, place, alert, chase_at, ends_at)
VALUES (%s, %s, %s, %s, %s, %s)"""

# What is still to be ordered.
PLANNED = """
SELECT place, alert FROM eod_actions WHERE instrument = %s AND day = %s ORDER BY place"""

# The alert under the bar's own fingerprint; nothing where that one was first and has not failed.
JOURNAL_ACTION = f"{JOURNAL}, attempts"

# What it was journalled as, and under which leader.
ORDERED = """
UPDATE eod_actions SET signal_id = %s, attempts = %s, epoch = %s
WHERE instrument = %s AND day = %s AND place = %s"""

# A step further.
MOVE = """
UPDATE eod_runs SET phase = 'ordered', epoch = %s, ordered_at = %s
WHERE instrument = %s AND day = %s"""

# The end, with what came of it.
END = """
UPDATE eod_runs SET phase = 'ended', verdict = %s, reason = %s, epoch = %s, ended_at = %s
WHERE instrument = %s AND day = %s"""

# What was refused because its leader had been followed, and nobody has sent again.
STALE = """
SELECT a.place, s.id FROM eod_actions AS a JOIN signal_log AS s
    ON s.id = a.signal_id AND s.attempts = a.attempts
WHERE a.instrument = %s AND a.day = %s AND s.status = 'failed'
  AND s.outcome ->> 'code' = 'STALE_EPOCH'
FOR UPDATE OF s"""

# The same alert again, for the new leader.
AGAIN = """
UPDATE signal_log SET status = 'received', outcome = NULL, finished_at = NULL,
    attempts = attempts + 1, received_at = %s
WHERE id = %s RETURNING attempts"""

# What came of each.
ACTIONS = """
SELECT a.place, a.alert, a.signal_id, s.status, s.outcome
FROM eod_actions AS a LEFT JOIN signal_log AS s ON s.id = a.signal_id
WHERE a.instrument = %s AND a.day = %s ORDER BY a.place"""

# Whether an alert is an end of day's, as it was journalled then.
ORDER_OF = """
SELECT a.epoch, a.attempts, a.chase_at, a.ends_at, r.closes_at
FROM eod_actions AS a JOIN eod_runs AS r ON r.instrument = a.instrument AND r.day = a.day
WHERE a.signal_id = %s"""

# Whether the end of a day traded for an alert.
TRADED = """
SELECT EXISTS (
    SELECT FROM order_intents WHERE signal_id = %s AND source = 'eod' AND state <> 'cancelled')"""


@dataclass(frozen=True, slots=True)
class EodRun:
    """An instrument's end of day. `judged_signal_id` is the Scout's alert that was judged."""

    instrument: str
    day: date
    phase: EodPhase
    verdict: str
    reason: str
    judged_signal_id: int | None
    closes_at: datetime
    epoch: int
    judged_at: datetime
    ordered_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class EodAction:
    """A signal it asks for; without an id, not ordered, or the bar's own alert had come first."""

    place: int
    signal: Signal
    signal_id: int | None
    status: SignalStatus | None
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class EodOrder:
    """What binds whoever carries out an end of day's signal: its leader, and when to hurry and end.

    It is that of the delivery which `attempts` counts; one that came later is the bar's own alert.
    """

    epoch: int
    attempts: int
    chase_at: datetime
    ends_at: datetime
    closes_at: datetime


class EndOfDay(Database):
    """Ends of day."""

    def scout_alerts(self, instrument: str, since: datetime) -> list[ScoutAlert]:
        """The Scout's alerts that came in since then, in the order of their coming."""
        return [_scout(row) for row in self.rows(SCOUT, (instrument, since))]

    def last_scout_alert(self, instrument: str) -> ScoutAlert | None:
        """The latest of them."""
        found = self.rows(LAST_SCOUT, (instrument,))
        return _scout(found[0]) if found else None

    def scout_spoke(self, instrument: str, since: datetime) -> bool:
        """Whether any came in since then."""
        return bool(self.rows(SPOKE, (instrument, since))[0][0])

    def eod_run(self, instrument: str, day: date) -> EodRun | None:
        """How far a day has come; None before it was judged."""
        found = self.rows(RUN, (instrument, day))
        return from_row(EodRun, found[0]) if found else None

    def eod_actions(self, instrument: str, day: date) -> tuple[EodAction, ...]:
        """What a day asks for, and what became of it."""
        return tuple(_action(row) for row in self.rows(ACTIONS, (instrument, day)))

    def judge_eod(
        self, epoch: int, window: EodWindow, judgement: Judgement, signal_id: int | None
    ) -> EodRun:
        """Keep a judgement, unless there is one: the day's own comes back. Raises STALE_EPOCH.

        One that asks for nothing is the end; silence and what was missed are told.
        """
        now = self._clock.now()
        name, day = window.instrument, window.day
        phase = EodPhase.JUDGED if judgement.signals else EodPhase.ENDED
        values = (
            *(name, day, phase, judgement.verdict, judgement.reason, signal_id),
            *(window.closes_at, epoch, now, None if judgement.signals else now),
        )
        with self.transaction() as cursor:
            check_epoch(cursor, epoch)
            kept = fetch_one(cursor, JUDGE, values)
            if kept is None:
                return _locked(cursor, name, day)
            for place, signal in enumerate(judgement.signals):
                planned = (name, day, place, to_json(signal), window.chase_at, window.ends_at)
                cursor.execute(PLAN, planned)
            run = from_row(EodRun, kept)
            _tell(cursor, run, now)
        return run

    def order_eod(self, epoch: int, instrument: str, day: date) -> tuple[int, ...]:
        """Journal what a judged day asks for; the ids. Nothing a second time. STALE_EPOCH."""
        now = self._clock.now()
        ordered: list[int] = []
        with self.transaction() as cursor:
            check_epoch(cursor, epoch)
            run = _locked(cursor, instrument, day)
            if run.phase is not EodPhase.JUDGED:
                return ()
            for place, data in fetch(cursor, PLANNED, (instrument, day)):
                values = _journal_values(from_json(Signal, data), run, now)
                stored = fetch_one(cursor, JOURNAL_ACTION, values)
                if stored is not None:
                    cursor.execute(ORDERED, (*stored, epoch, instrument, day, place))
                    ordered.append(stored[0])
            cursor.execute(MOVE, (epoch, now, instrument, day))
        return tuple(ordered)

    def order_again(self, epoch: int, instrument: str, day: date) -> tuple[int, ...]:
        """Take up what an older leader's epoch kept from being done; the ids. STALE_EPOCH."""
        again: list[int] = []
        with self.transaction() as cursor:
            check_epoch(cursor, epoch)
            for place, signal_id in fetch(cursor, STALE, (instrument, day)):
                row = fetch_one(cursor, AGAIN, (self._clock.now(), signal_id))
                attempts = row[0] if row else None
                cursor.execute(ORDERED, (signal_id, attempts, epoch, instrument, day, place))
                again.append(signal_id)
        return tuple(again)

    def end_eod(
        self, epoch: int, instrument: str, day: date, verdict: EodVerdict, reason: str
    ) -> None:
        """The day is over, with what came of it; what was missed is told. Raises STALE_EPOCH."""
        now = self._clock.now()
        with self.transaction() as cursor:
            check_epoch(cursor, epoch)
            if _locked(cursor, instrument, day).phase is EodPhase.ENDED:
                return
            cursor.execute(END, (verdict, reason, epoch, now, instrument, day))
            _tell(cursor, _locked(cursor, instrument, day), now)

    def eod_order(self, signal_id: int) -> EodOrder | None:
        """What binds an end of day's signal; None for every other alert."""
        found = self.rows(ORDER_OF, (signal_id,))
        return from_row(EodOrder, found[0]) if found else None

    def traded_at_eod(self, signal_id: int) -> bool:
        """Whether what was done for an alert was the end of day's doing."""
        return bool(self.rows(TRADED, (signal_id,))[0][0])


def _locked(cursor: Cursor, instrument: str, day: date) -> EodRun:
    return from_row(EodRun, fetch(cursor, LOCK_RUN, (instrument, day))[0])


def _tell(cursor: Cursor, run: EodRun, at: datetime) -> None:
    kind = _ALARMS.get(EodVerdict(run.verdict))
    if kind is not None:
        told = {"day": run.day.isoformat(), "closes_at": run.closes_at, "reason": run.reason}
        append_event(cursor, kind, run.instrument, told, at)


def _journal_values(signal: Signal, run: EodRun, at: datetime) -> Sequence[object]:
    alert = to_json(signal)
    told = {"source": "eod", "day": run.day.isoformat(), "judged": run.judged_signal_id}
    return (
        *(fingerprint(signal), signal.type, signal.instrument, signal.layer, signal.bar_time),
        *(signal.seq, to_json(told).encode(), alert, at),
    )


def _scout(row: Row) -> ScoutAlert:
    return ScoutAlert(row[0], from_json(EODMonitorSignal, row[1]), row[2])


def _action(row: Row) -> EodAction:
    place, alert, signal_id, status, outcome = row
    return EodAction(
        place,
        from_json(Signal, alert),
        signal_id,
        None if status is None else SignalStatus(status),
        None if outcome is None else from_json(Outcome, outcome),
    )
