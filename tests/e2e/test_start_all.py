"""./start_all.sh as its user knows it: it starts, survives, ends, and says what is wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from socket import create_server
from typing import Any

import psycopg2
import pytest

from live.embedded import EmbeddedServers, ready_servers
from live.launcher.children import LOOPBACK
from tests.fixtures.installation import ROOT, Installation, eventually, lives
from tests.fixtures.paper_process import PaperProcess

OPEN_MARKET = "2026-11-20T10:30:00+05:30"
LEDGER = "SELECT kind, amount FROM capital_transactions ORDER BY id"


@pytest.fixture
def installation() -> Iterator[Installation]:
    with Installation() as found:
        yield found


def query(url: str, text: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall()


def ledger(installation: Installation) -> list[tuple[str, int]]:
    ready = ready_servers(installation.home.servers)
    assert ready is not None
    assert ready.database_url is not None
    return [(kind, int(amount)) for kind, amount in query(ready.database_url, LEDGER)]


@pytest.mark.parametrize("arguments", [["--help"], ["start", "--help"], ["restart", "-h"]])
def test_help_says_how_it_is_used(installation: Installation, arguments: list[str]) -> None:
    helped = installation.run(*arguments)
    assert helped.returncode == 0
    assert helped.stdout.startswith("Usage: ./start_all.sh")


@pytest.mark.parametrize("arguments", [["begin"], ["start", "--fast"], ["start", "--at", "noon"]])
def test_a_word_it_does_not_know_is_refused(
    installation: Installation, arguments: list[str]
) -> None:
    refused = installation.run(*arguments)
    assert refused.returncode == 2
    assert "Usage:" in refused.stdout


def test_where_nothing_runs_status_fails_and_stop_is_content(installation: Installation) -> None:
    assert installation.run("status").returncode == 1
    stopped = installation.run("stop")
    assert (stopped.returncode, stopped.stdout) == (0, "nothing runs\n")


@pytest.mark.parametrize("home", ["/proc/pm", "/dev/null/pm"])
def test_a_folder_that_cannot_be_written_is_told(installation: Installation, home: str) -> None:
    refused = installation.run("start", PM_HOME=home)
    assert refused.returncode == 1
    assert "PM_HOME" in refused.stdout
    assert home in refused.stdout


@pytest.mark.parametrize(
    "variable", ["PM_PORT", pytest.param("PM_PAPER_PORT", marks=pytest.mark.slow)]
)
def test_a_busy_port_is_told_with_the_setting_that_moves_it(
    installation: Installation, variable: str
) -> None:
    with create_server((LOOPBACK, 0)) as busy:
        port = str(busy.getsockname()[1])
        refused = installation.run("start", **{variable: port})
    assert refused.returncode == 1
    assert f"port {port}" in refused.stdout
    assert f"set {variable}" in refused.stdout
    assert installation.run("status").returncode == 1


def test_a_wrong_setting_is_told_by_name(installation: Installation) -> None:
    refused = installation.run("start", PM_WEBHOOK_SOURCES="10.0.0.0/99")
    assert refused.returncode == 1
    assert "PM_WEBHOOK_SOURCES" in refused.stdout


def test_a_practice_time_is_refused_at_a_real_gateway(installation: Installation) -> None:
    real = {
        "OPENALGO_URL": f"http://{LOOPBACK}:1",
        "OPENALGO_API_KEY": "8f" * 32,
        "OPENALGO_MODE": "live",
    }
    refused = installation.run("start", "--at", OPEN_MARKET, **real)
    assert refused.returncode == 1
    assert "paper exchange" in refused.stdout


@pytest.mark.slow
def test_a_day_with_it(installation: Installation) -> None:
    told = installation.start("--capital", "3000000")
    assert installation.url in told
    assert str(installation.home.tokens) in told
    assert installation.tokens()["webhook"] not in told
    first = installation.running
    again = installation.start()
    assert "runs already" in again
    assert installation.running == first
    assert installation.run("status").returncode == 0
    assert "ready" in installation.run("logs").stdout
    assert ledger(installation) == [("DEPOSIT", 3_000_000)]
    assert installation.run("restart").returncode == 0
    assert installation.running.launcher_pid != first.launcher_pid
    assert ledger(installation) == [("DEPOSIT", 3_000_000)]
    here = installation.processes()
    assert installation.run("stop").stdout == "stopped\n"
    assert eventually(lambda: not any(map(lives, here)))
    assert installation.run("stop").stdout == "nothing runs\n"


@pytest.mark.slow
def test_the_command_it_prints_opens_a_position_that_a_restart_keeps(
    installation: Installation,
) -> None:
    told = installation.start("--at", OPEN_MARKET)
    assert "does not trade" not in told
    pasted = re.search(r"^ +\S.*signal example.*\n.*curl.*$", told, re.MULTILINE)
    assert pasted is not None, told
    answered = installation.paste(pasted[0])
    answer = json.loads(answered.stdout)
    assert answer["status"] == "executed", f"{answered.stdout}\n{installation.logs()}"
    held = installation.get("/positions")
    assert "GOLD_MINI" in json.dumps(held)
    assert installation.run("restart", "--at", OPEN_MARKET).returncode == 0
    assert installation.get("/positions") == held


@pytest.mark.slow
def test_a_closed_market_is_told_with_the_way_to_practise(installation: Installation) -> None:
    told = installation.start("--at", "2026-11-22T10:30")
    assert "MCX does not trade today" in told
    assert "./start_all.sh restart --at '2026-11-20T10:30:00+05:30'" in told


@pytest.mark.slow
def test_whatever_is_killed_comes_back(installation: Installation) -> None:
    installation.start()
    for name, pid in installation.running.pids.items():
        os.kill(pid, signal.SIGKILL)

        def is_back(name: str = name, pid: int = pid) -> bool:
            return installation.running.pids[name] != pid and installation.is_ready()

        assert eventually(is_back), f"{name}: {installation.logs()}"


@pytest.mark.slow
def test_a_killed_launcher_leaves_nothing_running_and_can_be_started_again(
    installation: Installation,
) -> None:
    installation.start()
    here = installation.processes()
    assert set(installation.running.pids.values()) < set(here)
    os.kill(here[0], signal.SIGKILL)
    assert eventually(lambda: not any(map(lives, here)))
    installation.start()
    assert ledger(installation) == [("DEPOSIT", 5_000_000)]


@pytest.mark.slow
def test_a_launcher_is_started_again_at_once_after_it_was_killed(
    installation: Installation,
) -> None:
    installation.start()
    os.kill(installation.running.launcher_pid, signal.SIGKILL)
    installation.start()
    assert installation.is_ready()


@pytest.mark.slow
def test_two_starts_at_once_are_one(installation: Installation) -> None:
    with ThreadPoolExecutor(2) as both:
        started = list(both.map(lambda _: installation.run("start"), range(2)))
    assert [each.returncode for each in started] == [0, 0], [each.stdout for each in started]
    assert all(
        f"launcher     {installation.running.launcher_pid}" in each.stdout for each in started
    )


@pytest.mark.slow
def test_servers_of_ones_own_are_used_and_left_running(installation: Installation) -> None:
    with tempfile.TemporaryDirectory(prefix="pm-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with EmbeddedServers(folder, True) as own:
            given = {"DATABASE_URL": own.database_url, "REDIS_URL": own.redis_url}
            installation.start(**given)
            assert set(installation.running.pids) == {"paper exchange", "web server"}
            assert not installation.home.servers.exists()
            assert query(own.database_url, LEDGER) == [("DEPOSIT", 5_000_000)]
            assert installation.run("stop").returncode == 0
            assert query(own.database_url, "SELECT 1") == [(1,)]


@pytest.mark.slow
def test_it_runs_without_redis(installation: Installation) -> None:
    installation.start(REDIS_URL="none")
    assert set(installation.running.pids) == {"PostgreSQL", "paper exchange", "web server"}


@pytest.mark.slow
def test_a_real_gateway_needs_a_capital_at_its_first_start_only(installation: Installation) -> None:
    with PaperProcess(installation.home.path.parent / "gateway") as gateway:
        real = {
            "OPENALGO_URL": gateway.url,
            "OPENALGO_API_KEY": gateway.apikey,
            "OPENALGO_MODE": "analyze",
        }
        refused = installation.run("start", **real)
        assert refused.returncode == 1
        assert "--capital" in refused.stdout
        told = installation.start("--capital", "2000000", **real)
        assert "THE GATEWAY IS REAL" in told
        assert set(installation.running.pids) == {"PostgreSQL", "Valkey", "web server"}
        assert installation.run("stop").returncode == 0
        installation.start(**real)
        assert ledger(installation) == [("DEPOSIT", 2_000_000)]


def test_a_database_that_is_away_is_waited_for_and_said(installation: Installation) -> None:
    given = {**installation.variables, "DATABASE_URL": f"host={LOOPBACK} port=1 dbname=pm"}
    command = [sys.executable, "portfolio_manager.py", "live"]
    with subprocess.Popen(
        command, cwd=ROOT, env=given, stdout=subprocess.PIPE, text=True
    ) as launcher:
        assert launcher.stdout is not None
        assert any("waiting for the database" in line for line in launcher.stdout)
        launcher.terminate()
        assert "stopped" in launcher.stdout.read()
    assert launcher.returncode == 0
    assert not installation.is_ready()
