"""The doctor finds what is wrong, says what to do, and calls a sound thing sound."""

import json
import subprocess
import sys
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path
from socket import create_server

import pytest
from psycopg2.extensions import make_dsn

from brokers.messages import GatewayMode
from core.ist import IST
from core.market_calendar import MarketCalendar
from core.migrations import read_migrations
from live.access import open_access
from live.doctor.findings import Level
from live.doctor.machine import check_home, check_ports, check_python
from live.doctor.services import check_database, check_gateway, check_redis, skew_between
from live.doctor.trading import check_calendar, check_mode
from live.embedded import EmbeddedServers
from live.launcher.home import Home
from live.settings import PROJECT, Gateway, operator_settings
from tests.fixtures.own_port import OwnPort
from tests.fixtures.paper_process import PaperProcess

LOOPBACK = "127.0.0.1"
REAL = {"OPENALGO_URL": "http://10.0.0.5", "OPENALGO_API_KEY": "8f" * 32, "OPENALGO_MODE": "live"}


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT / "portfolio_manager.py"), *arguments]
    given = {"PATH": "/usr/bin:/bin", **variables}
    return subprocess.run(command, env=given, capture_output=True, text=True, check=False)


def test_this_environment_is_as_it_should_be() -> None:
    assert [finding.level for finding in check_python()] == [Level.OK] * 3


def test_open_files_are_told(open_folder: Path) -> None:
    open_access(open_folder)
    found = {finding.about: finding.level for finding in check_home(Home(open_folder))}
    assert found["state folder"] is Level.WARN
    assert found["tokens.json"] is found["token_hashes.json"] is Level.OK
    open_folder.chmod(0o711)
    (open_folder / "tokens.json").chmod(0o644)
    (open_folder / "db_config.json").write_text("{}")
    (open_folder / "db_config.json").chmod(0o644)
    found = {finding.about: finding.level for finding in check_home(Home(open_folder))}
    assert found["state folder"] is Level.OK
    assert found["tokens.json"] is Level.FAIL
    assert found["db_config.json"] is Level.WARN


def test_a_busy_port_is_told_with_the_setting_that_moves_it(tmp_path: Path) -> None:
    with create_server((LOOPBACK, 0)) as busy:
        port = str(busy.getsockname()[1])
        settings = operator_settings({"PM_PORT": port, "PM_PAPER_PORT": "0"}, tmp_path)
        (found,) = check_ports(settings, None)
        assert found.level is Level.FAIL
        assert "PM_PORT" in found.advice
        (found,) = check_ports(settings, "http://127.0.0.1:5402")
        assert found.level is Level.OK
        assert "5402" in found.found


def test_a_sound_database_is_called_sound(database_url: str) -> None:
    assert {finding.about for finding in check_database(database_url)} == {
        "database",
        "schema",
        "clock",
    }
    assert all(finding.level is Level.OK for finding in check_database(database_url))


@pytest.mark.parametrize(
    ("told_s", "skew_s"), [(-7, -7.0), (0, 0.0), (2, 0.0), (9, 0.0), (10, 1.0), (15, 6.0)]
)
def test_an_answer_that_is_long_on_its_way_is_no_wrong_clock(told_s: int, skew_s: float) -> None:
    asked = datetime(2026, 11, 30, 10, 30, tzinfo=IST)
    told, answered = (asked + timedelta(seconds=each) for each in (told_s, 9))
    assert skew_between(asked, told, answered) == skew_s


def test_a_database_without_a_schema_is_told(postgres: EmbeddedServers) -> None:
    found = {finding.about: finding for finding in check_database(postgres.database_url)}
    assert found["schema"].level is Level.WARN
    assert "001_signals" in found["schema"].found


@pytest.mark.parametrize("url", ["host=/nowhere dbname=x", f"host={LOOPBACK} port=1 dbname=x"])
def test_a_database_out_of_reach_is_in_the_way(url: str) -> None:
    assert [finding.level for finding in check_database(url)] == [Level.FAIL]


def test_what_is_not_running_yet_is_no_failure(tmp_path: Path) -> None:
    settings = operator_settings({}, tmp_path)
    found = [*check_database(None), *check_redis(settings, None), *check_gateway(None)]
    assert [finding.level for finding in found] == [Level.WARN] * 3


def test_redis_is_found_or_missed(tmp_path: Path, valkey_url: str) -> None:
    for url, level in ((valkey_url, Level.OK), ("redis://127.0.0.1:1", Level.WARN)):
        (found,) = check_redis(operator_settings({"REDIS_URL": url}, tmp_path), None)
        assert found.level is level
    (found,) = check_redis(operator_settings({"REDIS_URL": "none"}, tmp_path), None)
    assert found.level is Level.OK


def test_a_gateway_is_asked_for_its_mode_and_its_session(tmp_path: Path) -> None:
    with PaperProcess(tmp_path / "paper") as paper:
        for mode, level in ((GatewayMode.ANALYZE, Level.OK), (GatewayMode.LIVE, Level.FAIL)):
            gateway = Gateway(paper.url, paper.apikey, mode, is_paper=True)
            assert list(check_gateway(gateway))[-1].level is level
        wrong_key = Gateway(paper.url, "wrong", GatewayMode.ANALYZE, is_paper=True)
        assert list(check_gateway(wrong_key))[-1].level is Level.FAIL
    gone = Gateway(f"http://{LOOPBACK}:1", "any", GatewayMode.LIVE, is_paper=False)
    assert [finding.level for finding in check_gateway(gone)] == [Level.FAIL]


@pytest.mark.parametrize(
    ("today", "level"),
    [
        (date(2026, 1, 5), Level.OK),
        (date(2026, 12, 1), Level.WARN),
        (date(2026, 12, 31), Level.WARN),
        (date(2040, 1, 1), Level.FAIL),
    ],
)
def test_a_calendar_that_ends_is_told_in_time(today: date, level: Level) -> None:
    assert {finding.level for finding in check_calendar(MarketCalendar.shipped(), today)} == {level}


def test_a_guessable_secret_is_in_the_way_where_it_could_do_harm(tmp_path: Path) -> None:
    guessable = {"PM_WEBHOOK_SECRET": "webhook"}
    for given, level in ((guessable, Level.WARN), ({**guessable, **REAL}, Level.FAIL)):
        found = {each.about: each.level for each in check_mode(operator_settings(given, tmp_path))}
        assert found["secret of webhook"] is level


def test_the_command_looks_at_everything_and_its_exit_code_tells(open_folder: Path) -> None:
    with closing(OwnPort()) as port:
        ports = {"PM_PORT": str(port.number), "PM_PAPER_PORT": "0"}
        sound = run("doctor", "--json", PM_HOME=str(open_folder), **ports)
    assert sound.returncode == 0, sound.stdout + sound.stderr
    looked_at = {finding["about"] for finding in json.loads(sound.stdout)}
    assert {"python", "packages", "disk", "calendar", "mode", "database", "redis"} <= looked_at
    wrong = run("doctor", PM_HOME=str(open_folder), PM_PORT="none")
    assert wrong.returncode == 1
    assert "PM_PORT" in wrong.stdout


def test_migrations_run_by_hand_on_our_own_database(open_folder: Path) -> None:
    home = str(open_folder / "state")
    names = [migration.name for migration in read_migrations()]
    shown = run("migrate", "--show", PM_HOME=home)
    assert shown.stdout.count("not applied") == len(names), shown.stderr
    assert run("migrate", PM_HOME=home).stdout.count("applied 0") == len(names)
    again = run("migrate", PM_HOME=home)
    assert again.returncode == 0
    assert "applied" not in again.stdout


def test_migrations_run_by_hand_on_the_operators_database(
    open_folder: Path, database_url: str
) -> None:
    shown = run("migrate", "--show", PM_HOME=str(open_folder), DATABASE_URL=database_url)
    assert "not applied" not in shown.stdout
    assert not (open_folder / "servers").exists()
    away = make_dsn(database_url, host="/nowhere")
    gone = run("migrate", PM_HOME=str(open_folder), DATABASE_URL=away)
    assert gone.returncode == 1
    assert "cannot be reached" in gone.stderr
