"""The database's own witness of who leads: a lock that one session holds, and the newest epoch.

The session is the leader's own and says something every second. A server that hears nothing for
eight tenths of `ttl_s` ends it, and with it the lock, whether the leader died, was frozen, or can
only no longer be reached; the network's keepalives do the same for a machine that is gone. Every
question has a bounded time, so that whoever asks is never held by a connection that hangs. It
needs a session: a pooler between must not hand out single transactions.
"""

import select

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ
from psycopg2.extensions import connection as Connection

from core.db_state_manager.connection import Row, Values
from core.errors import Retryable
from core.ports import Clock

# Any number, as long as all of one database mean the leader by it.
_LOCK = 7_300_217_061

# The lock, if nobody has it.
TRY_LOCK = "SELECT pg_try_advisory_lock(%s)"

# A new epoch, which makes every older one stale; and who had not said that he ended.
BEGIN = """
WITH lost AS (
    UPDATE leadership_history SET ended_at = %(now)s, reason = 'followed by another'
    WHERE ended_at IS NULL RETURNING epoch, instance_id)
INSERT INTO leadership_history (instance_id, started_at) VALUES (%(instance)s, %(now)s)
RETURNING epoch, (SELECT instance_id FROM lost ORDER BY epoch DESC LIMIT 1)"""

# Whether this session has the lock and no newer epoch has begun.
CONFIRM = """
SELECT (SELECT max(epoch) FROM leadership_history) = %s AND EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted
        AND (classid::bigint << 32) + objid::bigint = %s)"""

# A leader that stepped down.
END = """
UPDATE leadership_history SET ended_at = %s, reason = %s WHERE epoch = %s AND ended_at IS NULL"""

_SETTINGS = (
    "-c idle_session_timeout={silent_ms} -c statement_timeout={answer_ms} "
    "-c tcp_keepalives_idle=3 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=2 "
    "-c tcp_user_timeout={silent_ms}"
)
_MS = 1000


class LeaderLock:
    """One session; not for several threads. What cannot be asked raises Retryable and ends it."""

    def __init__(self, dsn: str, clock: Clock, ttl_s: float) -> None:
        """Without a word for less than `ttl_s` the server gives the lock to others."""
        self._dsn = dsn
        self._clock = clock
        self._silent_ms = int(ttl_s * 0.8 * _MS)
        self._answer_s = ttl_s / 2
        self._connection: Connection | None = None

    def try_lead(self, instance: str) -> tuple[int, str | None] | None:
        """A new epoch and who it was taken from without a word; None when another has the lock."""
        if not self._ask(TRY_LOCK, (_LOCK,))[0][0]:
            return None
        ((epoch, lost),) = self._ask(BEGIN, {"instance": instance, "now": self._clock.now()})
        return epoch, lost

    def confirms(self, epoch: int) -> bool:
        """Whether this session still leads under `epoch`."""
        return bool(self._ask(CONFIRM, (epoch, _LOCK))[0][0])

    def release(self, epoch: int, reason: str) -> None:
        """Say why the epoch ended, where it can be said, and give the lock back."""
        try:
            if self._connection is not None:
                self._ask(END, (self._clock.now(), reason, epoch))
        except Retryable:
            return
        self.close()

    def close(self) -> None:
        """End the session."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _ask(self, query: str, values: Values) -> list[Row]:
        until_s = self._clock.monotonic() + self._answer_s
        try:
            connection = self._open(until_s)
            with connection.cursor() as cursor:
                cursor.execute(query, values)
                self._settle(connection, until_s)
                return cursor.fetchall() if cursor.description else []
        except psycopg2.Error as error:
            self.close()
            raise Retryable(f"the leader's lock cannot be asked about: {error}".strip()) from error
        except Retryable:
            self.close()
            raise

    def _open(self, until_s: float) -> Connection:
        if self._connection is None:
            settings = _SETTINGS.format(
                silent_ms=self._silent_ms, answer_ms=int(self._answer_s * _MS)
            )
            self._connection = psycopg2.connect(
                self._dsn,
                async_=True,
                application_name="portfolio_manager leader",
                options=settings,
                keepalives_idle=3,
                keepalives_interval=2,
                keepalives_count=2,
            )
            self._settle(self._connection, until_s)
        return self._connection

    def _settle(self, connection: Connection, until_s: float) -> None:
        """Wait for what was begun. Raises Retryable when that lasts too long."""
        while (state := connection.poll()) != POLL_OK:
            left_s = until_s - self._clock.monotonic()
            if left_s <= 0:
                raise Retryable("the leader's lock cannot be asked about: no answer in time")
            waiting = select.poll()
            wanted = select.POLLIN if state == POLL_READ else select.POLLOUT
            waiting.register(connection.fileno(), wanted)
            waiting.poll(left_s * _MS)
