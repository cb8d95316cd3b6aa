"""A failing database loses nothing, repeats no write, and never passes for an empty book."""

import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path
from threading import Event

import psycopg2
import pytest
from psycopg2.extensions import cursor as Cursor
from psycopg2.extensions import make_dsn, parse_dsn

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.connection import fetch_one
from core.errors import OutcomeUnknown, Retryable
from core.migrations import migrate
from live.embedded import EmbeddedServers
from tests.fixtures.database import database, journal, later, untraded
from tests.fixtures.rules import CAPITAL, base_entry
from tests.fixtures.tcp_proxy import TcpProxy

ALERTS = 300
_PATIENCE = (
    socket.TCP_USER_TIMEOUT,
    socket.TCP_KEEPIDLE,
    socket.TCP_KEEPINTVL,
    socket.TCP_KEEPCNT,
)


def end_connections(dsn: str) -> None:
    """As a restart of the server ends them."""
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def backend(cursor: Cursor) -> int:
    found = fetch_one(cursor, "SELECT pg_backend_pid()")
    assert found is not None
    return int(found[0])


def test_a_connection_that_ended_while_idle_is_not_written_on(database_url: str) -> None:
    manager = database(database_url)
    for amount in (1, 2, 3):
        end_connections(database_url)
        manager.move_capital(Decimal(amount), "deposit", "operator")
    assert manager.money().closed_equity == CAPITAL + 6
    assert len(manager.ledger(9)) == 4


def test_a_server_that_is_gone_without_a_word_is_noticed_in_seconds(database_url: str) -> None:
    """The kernel's own patience is a quarter of an hour, and for an answer two hours."""
    parts = parse_dsn(database_url)
    with TcpProxy(Path(parts["host"]) / f".s.PGSQL.{parts.get('port', '5432')}") as way:
        far = make_dsn(database_url, host="127.0.0.1", port=way.port)
        manager = database(far, capital=None)
        with closing(manager), manager.transaction() as cursor:
            line = socket.socket(fileno=os.dup(cursor.connection.fileno()))
            with line:
                told = [line.getsockopt(socket.IPPROTO_TCP, option) for option in _PATIENCE]
                is_kept = line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    unheard_ms, idle_s, interval_s, count = told
    assert is_kept == 1
    assert 0 < unheard_ms <= 10_000
    assert idle_s + interval_s * count <= 10


def test_closing_while_somebody_is_at_work_is_a_loss_like_any_other(database_url: str) -> None:
    manager = database(database_url)

    def close_meanwhile(*statements: str) -> None:
        with manager.transaction() as cursor:
            cursor.execute("UPDATE portfolio_state SET equity_high = 1")
            manager.close()
            for statement in statements:
                cursor.execute(statement)

    with pytest.raises(Retryable):
        close_meanwhile("SELECT 1")
    with pytest.raises(OutcomeUnknown):
        close_meanwhile()
    assert manager.money().equity_high == CAPITAL


def test_what_was_lost_before_the_commit_can_be_done_again(database_url: str) -> None:
    manager = database(database_url)

    def deposit_and_lose() -> None:
        with manager.transaction() as cursor:
            cursor.execute("UPDATE portfolio_state SET equity_high = 1")
            end_connections(database_url)
            cursor.execute("SELECT 1")

    with pytest.raises(Retryable, match="gave up before the commit"):
        deposit_and_lose()
    assert manager.money().equity_high == CAPITAL


def test_a_commit_without_an_answer_is_unknown(database_url: str) -> None:
    manager = database(database_url)

    def deposit_and_hope() -> None:
        with manager.transaction() as cursor:
            cursor.execute("UPDATE portfolio_state SET equity_high = 1")
            end_connections(database_url)

    with pytest.raises(OutcomeUnknown, match="the commit got no answer"):
        deposit_and_hope()
    assert manager.money().equity_high == CAPITAL


def test_a_read_is_tried_twice_and_not_three_times(database_url: str) -> None:
    manager = database(database_url)
    tries: list[int] = []

    def once_lost(cursor: Cursor) -> int:
        tries.append(backend(cursor))
        if len(tries) == 1:
            end_connections(database_url)
        return backend(cursor)

    assert manager.read(once_lost) == tries[1] != tries[0]

    def always_lost(cursor: Cursor) -> int:
        tries.append(backend(cursor))
        end_connections(database_url)
        return backend(cursor)

    with pytest.raises(Retryable):
        manager.read(always_lost)
    assert len(tries) == 4


def test_a_connection_is_waited_for_only_so_long(database_url: str) -> None:
    manager = database(database_url, pool_size=1, wait_s=0.05)
    told = r"no database connection became free within 0\.05 s"
    with manager.transaction(), pytest.raises(Retryable, match=told):
        manager.money()
    assert manager.money().closed_equity == CAPITAL


def test_a_connection_is_good_again_after_a_failure(database_url: str) -> None:
    manager = database(database_url, pool_size=1)

    def use(fail: bool) -> int:
        with manager.transaction() as cursor:
            number = backend(cursor)
            if fail:
                cursor.execute("SELECT 1 / 0")
        return number

    first = use(fail=False)
    with pytest.raises(psycopg2.errors.DivisionByZero):
        use(fail=True)
    assert use(fail=False) == first


def test_connections_are_kept_between_uses(database_url: str) -> None:
    manager = database(database_url, pool_size=3)
    seen = {manager.read(backend) for _ in range(5)}
    assert len(seen) == 1
    manager.close()
    assert manager.read(backend) not in seen


def test_a_forked_worker_has_connections_of_its_own(database_url: str) -> None:
    manager = database(database_url, pool_size=1)
    before = manager.read(backend)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - the child is not measured
        try:
            os.write(tell, str(manager.read(backend)).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(tell)
    with os.fdopen(told) as answer:
        assert int(answer.read()) != before
    assert manager.read(backend) == before


def test_a_database_that_is_down_is_not_an_empty_book(database_url: str) -> None:
    """Incident 43: the database was down at start and the system traded from an empty book."""
    manager = database(make_dsn(database_url, dbname="nowhere"), capital=None)
    with pytest.raises(Retryable, match="cannot be reached"):
        manager.load_book()
    with pytest.raises(Retryable, match="cannot be reached"):
        manager.open_ledger(CAPITAL, "operator")


@pytest.fixture
def mortal(open_folder: Path) -> Iterator["MortalServer"]:
    """A durable server of the test's own, to kill."""
    with ExitStack() as running:
        yield MortalServer(open_folder, running)


class MortalServer:
    """A PostgreSQL that can be killed and brought back."""

    def __init__(self, folder: Path, running: ExitStack) -> None:
        self._folder = folder
        self._running = running
        self._servers = self._start()
        self.dsn = self._servers.database_url

    def _start(self) -> EmbeddedServers:
        return self._running.enter_context(EmbeddedServers(self._folder, with_valkey=False))

    def kill(self) -> None:
        """Kill the postmaster as nothing kinder would."""
        assert self._servers.database_pid is not None
        os.kill(self._servers.database_pid, signal.SIGKILL)

    def revive(self) -> None:
        """Clear away the dead one and start another on its data."""
        self._running.pop_all().close()
        self._servers = self._start()


def store_through_anything(manager: DatabaseStateManager, minute: int, stored: Event) -> int:
    """Journal one alert, as often as it takes; the id it was told."""
    while True:
        try:
            found = journal(manager, base_entry(bar_time=later(minute))).id
        except (Retryable, OutcomeUnknown):
            continue
        if minute == ALERTS // 3:
            stored.set()
        return found


def test_a_killed_server_loses_nothing_that_was_answered(mortal: MortalServer) -> None:
    migrate(mortal.dsn)
    manager = database(mortal.dsn)
    stored = Event()
    with ThreadPoolExecutor(4) as threads:
        waiting = [
            threads.submit(store_through_anything, manager, minute, stored)
            for minute in range(ALERTS)
        ]
        assert stored.wait(120)
        mortal.kill()
        mortal.revive()
        told = [future.result(120) for future in waiting]
    rows = manager.signals(ALERTS + 9)
    assert sorted(row.id for row in rows) == sorted(told)
    assert set(Counter(row.fingerprint for row in rows).values()) == {1}
    assert {row.attempts for row in rows} == {1}


def test_a_killed_server_comes_back_with_the_book(mortal: MortalServer) -> None:
    migrate(mortal.dsn)
    manager = database(mortal.dsn)
    manager.move_capital(Decimal(-7), "last words", "operator")
    before = untraded(manager.load_book())
    mortal.kill()
    mortal.revive()
    assert untraded(manager.load_book()) == before
    assert manager.move_capital(Decimal(7), "again", "operator").closed_equity == CAPITAL
