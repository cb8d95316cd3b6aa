"""What happened is told after it is true: events are written with it and read from here.

An event is delivered at least once; whoever claims one has it until the lease ends.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from psycopg2.extensions import cursor as Cursor

from core.db_state_manager.connection import Database, Row
from core.db_state_manager.json_values import to_json
from core.db_state_manager.records import OutboxEvent

# Something to tell.
APPEND = "INSERT INTO outbox (kind, instrument, payload, created_at) VALUES (%s, %s, %s, %s)"

_COLUMNS = "id, kind, instrument, payload, created_at, attempts"

# The oldest events that nobody is telling.
CLAIM = """
UPDATE outbox SET lease_owner = %s, lease_until = now() + make_interval(secs => %s),
    attempts = attempts + 1
WHERE id IN (
    SELECT id FROM outbox
    WHERE delivered_at IS NULL AND (lease_until IS NULL OR lease_until < now())
    ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING id, kind, instrument, payload, created_at, attempts"""

# Told.
DELIVERED = """
UPDATE outbox SET delivered_at = %s, lease_owner = NULL, lease_until = NULL
WHERE id = %s AND delivered_at IS NULL"""

# The events after one that a reader has seen.
SINCE = f"SELECT {_COLUMNS} FROM outbox WHERE id > %s ORDER BY id LIMIT %s"  # noqa: S608

# Whether an event of a kind that has these fields was told after a moment.
WAS_TOLD = """
SELECT count(*) FROM outbox WHERE kind = %s AND payload @> %s AND created_at > %s"""

# The beginning of time, for whatever may be told but once.
_EVER = datetime(2000, 1, 1, tzinfo=UTC)


class Outbox(Database):
    """Events that are to be told."""

    def append_outbox(
        self, kind: str, instrument: str | None, payload: Mapping[str, object]
    ) -> None:
        """Write an event on its own; most are written with what they tell of."""
        with self.transaction() as cursor:
            append_event(cursor, kind, instrument, payload, self._clock.now())

    def tell_once(
        self,
        kind: str,
        instrument: str | None,
        payload: Mapping[str, object],
        key: Mapping[str, object],
        since: datetime = _EVER,
    ) -> bool:
        """Write an event, unless one of its kind with the fields of `key` is there after `since`.

        Meant for the one who holds what it tells of: two at once would both tell.
        """
        if self.was_told(kind, key, since):
            return False
        self.append_outbox(kind, instrument, payload)
        return True

    def was_told(self, kind: str, key: Mapping[str, object], since: datetime = _EVER) -> bool:
        """Whether an event with the fields of `key` was written after `since`."""
        return self.rows(WAS_TOLD, (kind, to_json(key), since)) != [(0,)]

    def claim_outbox(self, owner: str, limit: int, lease_s: float) -> list[OutboxEvent]:
        """Up to `limit` events for `owner` to tell within `lease_s`, oldest first."""
        with self.transaction() as cursor:
            cursor.execute(CLAIM, (owner, lease_s, limit))
            return sorted(map(_event, cursor.fetchall()), key=lambda event: event.id)

    def mark_delivered(self, event_id: int) -> bool:
        """The event was told. False when it had been."""
        with self.transaction() as cursor:
            cursor.execute(DELIVERED, (self._clock.now(), event_id))
            return cursor.rowcount > 0

    def events_after(self, event_id: int, limit: int) -> list[OutboxEvent]:
        """The events that follow one, told or not, oldest first."""
        return [_event(row) for row in self.rows(SINCE, (event_id, limit))]


def append_event(
    cursor: Cursor, kind: str, instrument: str | None, payload: Mapping[str, object], at: datetime
) -> None:
    """Write an event in the transaction that makes it true."""
    cursor.execute(APPEND, (kind, instrument, to_json(payload), at))


def _event(row: Row) -> OutboxEvent:
    return OutboxEvent(*row)
