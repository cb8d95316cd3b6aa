"""One transaction is one unit of work: it is committed whole, or nothing of it happened.

Connections are pooled per process, never shared over a fork, and waited for a bounded time. A
connection that the server closed while idle is noticed before anything is sent on it. A failure
before the commit is `Retryable`; a commit without an answer is `OutcomeUnknown`. Only reads are
repeated here.
"""

import os
import select
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.pool import PoolError, ThreadedConnectionPool

from core.errors import OutcomeUnknown, Retryable
from core.ports import Clock

Answer = TypeVar("Answer")
Row = tuple[Any, ...]
Values = Sequence[object] | Mapping[str, object]

# What each transaction of a block has to pass before it is committed.
_Check = Callable[[Cursor], None]
_CHECK: ContextVar[_Check | None] = ContextVar("check", default=None)

_LOST = (psycopg2.OperationalError, psycopg2.InterfaceError)


class _ProcessPool:
    """The connections of one process."""

    def __init__(self, dsn: str, size: int) -> None:
        self.free = threading.BoundedSemaphore(size)
        self._pool = ThreadedConnectionPool(
            0,
            size,
            dsn,
            connect_timeout=3,
            # A server that is gone without a word is noticed before an exit has waited for long.
            keepalives_idle=3,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=9000,
            application_name="portfolio_manager",
            options="-c timezone=Asia/Kolkata -c lock_timeout=5s -c statement_timeout=30s "
            # A process that is frozen in a transaction must not hold up all others: who leads next
            # waits for the old leader's, and may begin seven seconds after its last word.
            "-c idle_in_transaction_session_timeout=6s",
        )
        # It opens `minconn` at once and keeps no more than that: open none now, keep all later.
        self._pool.minconn = size

    def borrow(self) -> Connection:
        """A connection that was alive a moment ago."""
        while True:
            connection: Connection = self._pool.getconn()
            if not _has_spoken(connection):
                return connection
            self._pool.putconn(connection, close=True)

    def give_back(self, connection: Connection, *, broken: bool) -> None:
        """Back to the others, or away with it, as are all once the pool is closed."""
        try:
            self._pool.putconn(connection, close=broken)
        except PoolError:
            connection.close()

    def close(self) -> None:
        """Close every connection."""
        self._pool.closeall()


def _has_spoken(connection: Connection) -> bool:
    """Whether an idle connection has something to read: a server that says goodbye."""
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


class Database:
    """The connections to one database."""

    def __init__(self, dsn: str, pool_size: int, clock: Clock, wait_s: float = 5.0) -> None:
        """`wait_s` bounds how long a caller waits for one of `pool_size` connections."""
        self._dsn = dsn
        self._pool_size = pool_size
        self._wait_s = wait_s
        self._clock = clock
        self._pools: dict[int, _ProcessPool] = {}
        self._making = threading.Lock()

    def close(self) -> None:
        """Close this process's connections; the next use opens new ones."""
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            pool.close()

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """A cursor whose work is committed at the end of the block, or undone if that raises.

        Raises Retryable (nothing was committed) and OutcomeUnknown (the commit got no answer).
        """
        with self._borrowed() as connection:
            yield from _work(connection)

    @contextmanager
    def _borrowed(self) -> Iterator[Connection]:
        pool = self._pool()
        if not pool.free.acquire(timeout=self._wait_s):
            raise Retryable(f"no database connection became free within {self._wait_s:g} s")
        try:
            with _lent(pool) as connection:
                yield connection
        finally:
            pool.free.release()

    @contextmanager
    def checked(self, check: Callable[[Cursor], None]) -> Iterator[None]:
        """Let every transaction of this thread in the block pass `check` before its commit."""
        before = _CHECK.set(check)
        try:
            yield
        finally:
            _CHECK.reset(before)

    def read(self, work: Callable[[Cursor], Answer]) -> Answer:
        """The answer of `work`, which changes nothing and so is tried a second time if need be."""
        try:
            return self._once(work)
        except Retryable:
            return self._once(work)

    def rows(self, query: str, values: Values = ()) -> list[Row]:
        """The rows of one query that changes nothing."""
        try:
            return self._rows(query, values)
        except Retryable:
            return self._rows(query, values)

    def _rows(self, query: str, values: Values) -> list[Row]:
        """One statement is a transaction by itself: one round trip and not three."""
        with self._borrowed() as connection, _alone(connection) as cursor:
            return fetch(cursor, query, values)

    def _once(self, work: Callable[[Cursor], Answer]) -> Answer:
        with self.transaction() as cursor:
            return work(cursor)

    def _pool(self) -> _ProcessPool:
        process = os.getpid()
        pool = self._pools.get(process)
        if pool is None:
            with self._making:
                pool = self._pools.get(process)
                if pool is None:
                    pool = self._pools[process] = _ProcessPool(self._dsn, self._pool_size)
        return pool


@contextmanager
def _lent(pool: _ProcessPool) -> Iterator[Connection]:
    try:
        connection = pool.borrow()
    except (*_LOST, PoolError) as error:
        raise Retryable(f"the database cannot be reached: {error}".strip()) from error
    whole = False
    try:
        yield connection
        whole = True
    finally:
        broken = not whole and not _undone(connection)
        pool.give_back(connection, broken=broken)


def _work(connection: Connection) -> Iterator[Cursor]:
    try:
        with connection.cursor() as cursor:
            yield cursor
            if (check := _CHECK.get()) is not None:
                check(cursor)
    except _LOST as error:
        raise Retryable(f"the database gave up before the commit: {error}".strip()) from error
    try:
        connection.commit()
    except _LOST as error:
        raise OutcomeUnknown(f"the commit got no answer: {error}".strip()) from error


@contextmanager
def _alone(connection: Connection) -> Iterator[Cursor]:
    """A cursor whose every statement is a transaction of its own."""
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    except _LOST as error:
        raise Retryable(f"the database gave up before the commit: {error}".strip()) from error
    finally:
        if not connection.closed:
            connection.autocommit = False


def _undone(connection: Connection) -> bool:
    """Whether what was begun could be rolled back, so that the connection is good again."""
    try:
        connection.rollback()
    except _LOST:
        return False
    return not connection.closed


def fetch(cursor: Cursor, query: str, values: Values = ()) -> list[Row]:
    """All rows of a query."""
    cursor.execute(query, values)
    return cursor.fetchall()


def fetch_one(cursor: Cursor, query: str, values: Values = ()) -> Row | None:
    """The first row of a query, if there is one."""
    cursor.execute(query, values)
    return cursor.fetchone()
