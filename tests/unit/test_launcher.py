"""The launcher's parts: folders, who holds them, restarts with pauses, and what is said."""

import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from socket import create_server

import pytest

from core.errors import ConfigInvalid
from core.ist import IST
from core.market_calendar import MarketCalendar
from live.embedded import ServerNotStarted
from live.embedded.folders import Folders, exclusive
from live.embedded.watch import Watched
from live.launcher.children import LOOPBACK
from live.launcher.home import LARGEST_LOG_BYTES, Home
from live.launcher.ports import free_port, need_port
from live.launcher.running import RunningService, launcher_pid, running_service
from live.launcher.words import describe, first_alert
from tests.fixtures.own_port import OwnPort

OPEN = datetime(2026, 11, 20, 10, 30, tzinfo=IST)
RUNNING = RunningService(
    started_at=OPEN.isoformat(),
    launcher_pid=os.getpid(),
    pids={"web server": 7},
    url="http://127.0.0.1:5002",
    database="embedded",
    redis="embedded",
    gateway="http://127.0.0.1:5003",
    mode="analyze",
    is_paper=True,
    is_test=False,
    clock_offset_s=0.0,
)


@dataclass
class MortalChild:
    """A child whose end a test decides."""

    name: str = "child"
    pid: int | None = 1
    exit_code: int | None = None
    starts: list[float] = field(default_factory=list)
    is_hopeless: bool = False

    def start(self) -> None:
        self.starts.append(0.0)
        if self.is_hopeless:
            raise ServerNotStarted("it cannot")
        self.exit_code = None

    def stop(self) -> None:
        self.exit_code = 1


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home(tmp_path / "state")
    found.prepare()
    return found


def test_only_its_owner_sees_what_is_in_the_state_folder(home: Home) -> None:
    home.empty_metrics()
    assert (mode(home.path), mode(home.logs), mode(home.metrics)) == (0o711, 0o700, 0o700)


def test_counts_of_an_earlier_run_are_dropped(home: Home) -> None:
    home.empty_metrics()
    (home.metrics / "counter_1.db").write_bytes(b"1")
    home.empty_metrics()
    assert list(home.metrics.iterdir()) == []


def test_a_log_that_grew_large_is_put_aside_under_its_writer(home: Home) -> None:
    servers_log = home.servers / "logs" / "postgres.log"
    servers_log.parent.mkdir(parents=True)
    for log in (home.logs / "gunicorn.log", servers_log):
        with log.open("ab", buffering=0) as writing:
            writing.write(b"x" * LARGEST_LOG_BYTES)
            home.trim_logs()
            assert log.stat().st_size == LARGEST_LOG_BYTES
            writing.write(b"y")
            home.trim_logs()
            writing.write(b"z")
        assert log.read_bytes() == b"z"
        assert log.with_name(f"{log.name}.1").stat().st_size == LARGEST_LOG_BYTES + 1


def test_a_state_folder_that_cannot_be_made_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigInvalid, match="PM_HOME"):
        Home(tmp_path / "file" / "state").prepare()


def test_a_folder_of_counts_that_is_not_ours_is_told_by_name(home: Home) -> None:
    home.metrics.touch()
    with pytest.raises(ConfigInvalid, match="PM_HOME"):
        home.empty_metrics()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as somebody else")
def test_the_servers_of_root_go_where_their_account_can_and_stay_there(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    home, reachable = Home(closed / "state"), tmp_path / "reachable"
    home.prepare()
    assert home.place_servers(reachable) == home.servers
    assert home.servers.resolve().parent == reachable
    closed.chmod(0o755)
    assert home.place_servers(tmp_path / "other").resolve().parent == reachable


def test_what_runs_is_believed_only_while_its_launcher_holds_the_lock(home: Home) -> None:
    RUNNING.write(home.run_file)
    assert launcher_pid(home) is None
    assert running_service(home) is None
    with exclusive(Folders(home.path)):
        assert launcher_pid(home) == os.getpid()
        assert running_service(home) == RUNNING
        replace(RUNNING, launcher_pid=1).write(home.run_file)
        assert running_service(home) is None
    assert launcher_pid(home) is None


def test_a_launcher_that_is_gone_is_not_believed_while_the_next_one_takes_its_lock(
    home: Home,
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    replace(RUNNING, launcher_pid=gone.pid).write(home.run_file)
    with exclusive(Folders(home.path)):
        Folders(home.path).lock.write_text(str(gone.pid))
        assert launcher_pid(home) is None
        assert running_service(home) is None


def test_whoever_only_asks_does_not_keep_a_launcher_from_starting(home: Home) -> None:
    lock = Folders(home.path).lock
    lock.touch()
    with lock.open() as asking, ThreadPoolExecutor(1) as pool:
        fcntl.flock(asking, fcntl.LOCK_SH)

        def held() -> int | None:
            with exclusive(Folders(home.path)):
                return launcher_pid(home)

        holder = pool.submit(held)
        wait([holder], 0.1)
        fcntl.flock(asking, fcntl.LOCK_UN)
        assert holder.result() == os.getpid()


def test_nothing_runs_where_there_is_no_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none", Path("/dev/null/none")):
        assert launcher_pid(Home(path)) is None
        assert running_service(Home(path)) is None


def test_a_child_that_dies_is_started_at_once_and_then_after_growing_pauses() -> None:
    child = MortalChild(exit_code=1, is_hopeless=True)
    watched = Watched(child)
    started_at = []
    for now_s in range(130):
        before = len(child.starts)
        watched.look(float(now_s))
        if len(child.starts) > before:
            started_at.append(now_s)
    assert started_at == [0, 2, 6, 14, 30, 60, 90, 120]


def test_a_child_that_was_calm_is_started_at_once_again() -> None:
    child = MortalChild(exit_code=1)
    watched = Watched(child)
    watched.look(0.0)
    watched.look(100.0)
    child.exit_code = 1
    watched.look(101.0)
    assert len(child.starts) == 2
    assert watched.restarts == 1


def test_a_child_that_runs_is_left_alone() -> None:
    child = MortalChild()
    Watched(child).look(0.0)
    assert child.starts == []


def test_a_taken_port_is_told_and_a_free_one_is_not() -> None:
    with closing(OwnPort()) as own:
        with (
            create_server((LOOPBACK, own.number)),
            pytest.raises(ServerNotStarted, match=f"port {own.number}.*PM_PORT"),
        ):
            need_port(LOOPBACK, own.number, "PM_PORT", 0.0)
        need_port(LOOPBACK, own.number, "PM_PORT", 0.0)
    assert free_port(LOOPBACK) > 0


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="PM_HOST"):
        need_port("192.0.2.1", 5002, "PM_PORT", 0.0)


def joined(lines: Iterator[str]) -> str:
    return "\n".join(lines)


def test_what_runs_is_said_with_where_everything_is(home: Home) -> None:
    said = joined(describe(home, RUNNING, OPEN))
    for part in (RUNNING.url, RUNNING.gateway, "paper account", str(home.logs), str(home.tokens)):
        assert part in said
    assert "practice" not in said
    assert "practice" in joined(describe(home, replace(RUNNING, clock_offset_s=60.0), OPEN))
    assert "one lot" in joined(describe(home, replace(RUNNING, is_test=True), OPEN))


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (OPEN, None),
        (datetime(2026, 11, 22, 10, 30, tzinfo=IST), "--at '2026-11-20T10:30:00+05:30'"),
        (datetime(2026, 11, 20, 3, 0, tzinfo=IST), None),
        (datetime(2040, 1, 5, 10, 30, tzinfo=IST), "not known now"),
    ],
)
def test_a_day_without_trading_is_said_before_the_first_alert_is_sent(
    home: Home, now: datetime, told: str | None
) -> None:
    said = joined(first_alert(home, RUNNING, MarketCalendar.shipped(), now))
    assert "/webhook" in said
    assert str(home.tokens) in said
    if told is None:
        assert "does not trade" not in said
    else:
        assert told in said


def test_no_practice_is_offered_at_a_real_gateway(home: Home) -> None:
    real = replace(RUNNING, is_paper=False)
    said = joined(
        first_alert(
            home, real, MarketCalendar.shipped(), datetime(2026, 11, 22, 10, 30, tzinfo=IST)
        )
    )
    assert "THE GATEWAY IS REAL" in said
    assert "--at" not in said
