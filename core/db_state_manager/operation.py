"""What is stopped, what is locked, who runs and who leads: kept, with who said so and why."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from psycopg2.extensions import cursor as Cursor

from core.db_state_manager.connection import Database, fetch_one
from core.db_state_manager.decision_rights import check_epoch
from core.db_state_manager.json_values import from_row
from core.db_state_manager.outbox import append_event
from core.db_state_manager.records import (
    InstrumentLock,
    LeadershipRow,
    ProcessRow,
    TradingControl,
)
from core.db_state_manager.states import ControlState

GLOBAL = "GLOBAL"

# A change of what is allowed.
SET_CONTROL = """
INSERT INTO trading_controls (scope, state, reason, who, at) VALUES (%s, %s, %s, %s, %s)"""

# What is in force in each scope.
CONTROLS = """
SELECT DISTINCT ON (scope) scope, state, reason, who, at
FROM trading_controls ORDER BY scope, id DESC"""

# A lock, unless it is there.
LOCK = """
INSERT INTO instrument_locks (instrument, code, reason, locked_at, locked_by)
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (instrument, code) WHERE released_at IS NULL DO NOTHING"""

# The end of a lock.
UNLOCK = """
UPDATE instrument_locks SET released_at = %s, released_by = %s
WHERE instrument = %s AND code = %s AND released_at IS NULL"""

# The locks that hold.
LOCKS = """
SELECT instrument, code, reason, locked_at, locked_by
FROM instrument_locks WHERE released_at IS NULL ORDER BY id"""

# A new leader.
LEAD = "INSERT INTO leadership_history (instance_id, started_at) VALUES (%s, %s) RETURNING epoch"

# A leader that stepped down.
STEP_DOWN = """
UPDATE leadership_history SET ended_at = %s, reason = %s WHERE epoch = %s AND ended_at IS NULL"""

# A process that is alive.
HEARTBEAT = """
INSERT INTO instance_metadata
    (instance_id, host, pid, version, config_hash, started_at, heartbeat_at)
VALUES (%(id)s, %(host)s, %(pid)s, %(version)s, %(config_hash)s, %(now)s, %(now)s)
ON CONFLICT (instance_id) DO UPDATE SET heartbeat_at = EXCLUDED.heartbeat_at"""

# The processes that were heard of since a moment.
PROCESSES = """
SELECT instance_id, host, pid, version, config_hash, started_at, heartbeat_at
FROM instance_metadata WHERE heartbeat_at >= %s ORDER BY started_at, instance_id"""

# Who led last, or leads.
LEADER = """
SELECT epoch, instance_id, started_at, ended_at, reason
FROM leadership_history ORDER BY epoch DESC LIMIT 1"""

_STRICTNESS = (ControlState.ACTIVE, ControlState.REDUCING, ControlState.HALTED)


class Operation(Database):
    """Controls, locks, leadership and heartbeats."""

    def set_control(self, state: ControlState, reason: str, who: str, scope: str = GLOBAL) -> None:
        """Stop or resume trading in a scope (GLOBAL or an instrument)."""
        now = self._clock.now()
        with self.transaction() as cursor:
            cursor.execute(SET_CONTROL, (scope, state, reason, who, now))
            told = {"scope": scope, "state": state, "reason": reason, "who": who}
            append_event(cursor, "CONTROL_SET", None, told, now)

    def controls(self) -> list[TradingControl]:
        """What is in force in each scope that was ever set."""
        return [from_row(TradingControl, row) for row in self.rows(CONTROLS)]

    def control_of(self, instrument: str) -> ControlState:
        """What an instrument may do: the stricter of its own control and the global one."""
        return in_force(self.controls(), instrument)

    def lock_instrument(self, instrument: str, code: str, reason: str, who: str) -> bool:
        """Take no entries in an instrument. False when it is locked for that code already."""
        with self.transaction() as cursor:
            return lock_instrument(cursor, instrument, code, reason, who, self._clock.now())

    def unlock_instrument(self, instrument: str, code: str, who: str) -> bool:
        """Release a lock. False when it does not hold."""
        with self.transaction() as cursor:
            return unlock_instrument(cursor, instrument, code, who, self._clock.now())

    def instrument_locks(self) -> list[InstrumentLock]:
        """The locks that hold, oldest first."""
        return [InstrumentLock(*row) for row in self.rows(LOCKS)]

    def begin_leadership(self, instance_id: str) -> int:
        """A new epoch, which makes every older one stale."""
        with self.transaction() as cursor:
            return _number(cursor, LEAD, (instance_id, self._clock.now()))

    def end_leadership(self, epoch: int, reason: str) -> None:
        """The leader of `epoch` stepped down."""
        with self.transaction() as cursor:
            cursor.execute(STEP_DOWN, (self._clock.now(), reason, epoch))

    @contextmanager
    def led_by(self, epoch: int) -> Iterator[None]:
        """Let this thread's transactions raise Rejected once another leads than `epoch`'s leader.

        For what a leader keeps up; an operation that has begun is its owner's, whoever leads.
        """
        with self.checked(lambda cursor: check_epoch(cursor, epoch)):
            yield

    def heartbeat(
        self, instance_id: str, host: str, pid: int, version: str, config_hash: str = ""
    ) -> None:
        """A process says that it is alive, and by which rules it goes."""
        values = {"id": instance_id, "host": host, "pid": pid, "version": version}
        values["config_hash"] = config_hash
        with self.transaction() as cursor:
            cursor.execute(HEARTBEAT, {**values, "now": self._clock.now()})

    def processes(self, since: datetime) -> tuple[ProcessRow, ...]:
        """The processes that were heard of since then, the oldest first."""
        return tuple(ProcessRow(*row) for row in self.rows(PROCESSES, (since,)))

    def newest_leadership(self) -> LeadershipRow | None:
        """Who leads, or led last."""
        return next((LeadershipRow(*row) for row in self.rows(LEADER)), None)


def lock_instrument(
    cursor: Cursor, instrument: str, code: str, reason: str, who: str, at: datetime
) -> bool:
    """Lock, and tell it, unless it is locked for that code."""
    cursor.execute(LOCK, (instrument, code, reason, at, who))
    locked = cursor.rowcount > 0
    if locked:
        told = {"code": code, "reason": reason, "who": who}
        append_event(cursor, "INSTRUMENT_LOCKED", instrument, told, at)
    return locked


def unlock_instrument(cursor: Cursor, instrument: str, code: str, who: str, at: datetime) -> bool:
    """Release a lock, and tell it, if it holds."""
    cursor.execute(UNLOCK, (at, who, instrument, code))
    unlocked = cursor.rowcount > 0
    if unlocked:
        append_event(cursor, "INSTRUMENT_UNLOCKED", instrument, {"code": code}, at)
    return unlocked


def in_force(controls: Iterable[TradingControl], instrument: str) -> ControlState:
    """The stricter of an instrument's own control and the global one."""
    states = [control.state for control in controls if control.scope in (GLOBAL, instrument)]
    return max(states, key=_STRICTNESS.index, default=ControlState.ACTIVE)


def _number(cursor: Cursor, query: str, values: tuple[object, ...]) -> int:
    return int((fetch_one(cursor, query, values) or (0,))[0])
