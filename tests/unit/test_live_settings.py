"""The operator's settings: environment over files over defaults, and every mistake by its name."""

import json
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.factory import create_broker, order_calls_of_one
from brokers.messages import GatewayMode
from core.errors import ConfigInvalid
from live.access import Role
from live.clock import SystemClock
from live.settings import (
    PROJECT,
    Gateway,
    operator_settings,
    service_settings,
    service_variables,
)

SECRET = "8f" * 32
REAL = {
    "OPENALGO_URL": "http://10.0.0.5:5000",
    "OPENALGO_API_KEY": SECRET,
    "OPENALGO_MODE": "live",
}
COMPLETE = {
    **REAL,
    "PM_HOME": "/srv/pm",
    "DATABASE_URL": f"postgresql://pm:{SECRET}@db/pm",
    "REDIS_URL": "redis://cache:6379/0",
}


def write(folder: Path, name: str, content: object) -> None:
    (folder / name).write_text(json.dumps(content))


def test_nothing_given_means_everything_is_started_here(tmp_path: Path) -> None:
    found = operator_settings({}, tmp_path)
    assert (found.home, found.host, found.port) == (tmp_path / "var", "127.0.0.1", 5002)
    assert (found.workers, found.threads) == (2, 8)
    assert (found.database_url, found.redis_url, found.gateway) == (None, None, None)
    assert found.with_redis
    assert found.weak_allowed


def test_environment_wins_over_the_home_folder_which_wins_over_the_project(tmp_path: Path) -> None:
    home = tmp_path / "state"
    home.mkdir()
    write(tmp_path, "db_config.json", {"url": "host=project"})
    write(tmp_path, "redis_config.json", {"url": "redis://project"})
    write(home, "redis_config.json", {"url": "redis://home"})
    write(home, "openalgo_config.json", {"url": "http://home", "api_key": SECRET, "mode": "live"})
    given = {"PM_HOME": str(home), "OPENALGO_URL": "http://given"}
    found = operator_settings(given, tmp_path)
    assert found.database_url == "host=project"
    assert found.redis_url == "redis://home"
    stream = "ws://given:8765"
    assert found.gateway == Gateway("http://given", SECRET, GatewayMode.LIVE, False, stream)


@pytest.mark.parametrize(
    ("url", "named", "stream"),
    [
        ("http://10.0.0.5:5000", None, "ws://10.0.0.5:8765"),
        ("https://gateway.example:443/", None, "wss://gateway.example:8765"),
        ("http://[fd00::5]:5000", None, "ws://[fd00::5]:8765"),
        ("http://10.0.0.5:5000", "wss://10.0.0.6/ws", "wss://10.0.0.6/ws"),
        ("http://10.0.0.5:5000", "none", None),
    ],
)
def test_orders_are_told_of_at_the_gateways_host_unless_named_otherwise(
    tmp_path: Path, url: str, named: str | None, stream: str | None
) -> None:
    given = {**REAL, "OPENALGO_URL": url} | ({"OPENALGO_WS_URL": named} if named else {})
    gateway = operator_settings(given, tmp_path).gateway
    assert gateway is not None
    assert gateway.ws_url == stream


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("db_config.json", {"ulr": "host=a"}, "db_config.json: ulr"),
        ("redis_config.json", {"url": 6379}, "redis_config.json: url"),
        ("openalgo_config.json", ["http://x"], "openalgo_config.json"),
    ],
)
def test_a_wrong_file_is_refused_by_name(
    tmp_path: Path, name: str, content: object, told: str
) -> None:
    write(tmp_path, name, content)
    with pytest.raises(ConfigInvalid, match=told):
        operator_settings({}, tmp_path)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "db_config.json").mkdir()
    with pytest.raises(ConfigInvalid, match=r"db_config\.json.*may read"):
        operator_settings({}, tmp_path)


@pytest.mark.parametrize("name", ["openalgo", "db", "redis"])
def test_an_example_names_exactly_what_its_file_may_hold(tmp_path: Path, name: str) -> None:
    example = (PROJECT / f"{name}_config.example.json").read_text()
    (tmp_path / f"{name}_config.json").write_text(example)
    if name == "redis":
        assert operator_settings({}, tmp_path).redis_url == "redis://127.0.0.1:6379/0"
        return
    with pytest.raises(ConfigInvalid, match="placeholder"):
        operator_settings({}, tmp_path)


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"PM_PORT": "80a"}, "PM_PORT"),
        ({"PM_PORT": "0"}, "PM_PORT"),
        ({"PM_PORT": "5003"}, "PM_PAPER_PORT: 5003 is not allowed; PM_PORT is the same"),
        ({"PM_WORKERS": "0"}, "PM_WORKERS"),
        ({"PM_WEBHOOK_SOURCES": "10.0.0.0/8, 10.0.0.0/99"}, "PM_WEBHOOK_SOURCES"),
        ({"PM_TEST_MODE": "perhaps"}, "PM_TEST_MODE"),
        ({"PM_CLOCK_OFFSET_S": "inf"}, "PM_CLOCK_OFFSET_S"),
        ({"PM_CLOCK_OFFSET_S": "nan"}, "PM_CLOCK_OFFSET_S"),
        ({**REAL, "PM_CLOCK_OFFSET_S": "60"}, "PM_CLOCK_OFFSET_S"),
        ({"PM_CLOCK_FILE": "/not/there"}, "PM_CLOCK_FILE"),
        ({**REAL, "PM_CLOCK_FILE": __file__}, "PM_CLOCK_FILE"),
        ({"DATABASE_URL": "what is this"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://pm:changeme@db/pm"}, "DATABASE_URL"),
        ({"REDIS_URL": "localhost"}, "REDIS_URL"),
        ({"OPENALGO_URL": "http://10.0.0.5"}, "OPENALGO_API_KEY"),
        ({**REAL, "OPENALGO_API_KEY": "your-key-here"}, "OPENALGO_API_KEY"),
        ({**REAL, "OPENALGO_MODE": "real"}, "OPENALGO_MODE"),
        ({**REAL, "OPENALGO_WS_URL": "http://10.0.0.5:8765"}, "OPENALGO_WS_URL"),
        ({**REAL, "OPENALGO_WS_URL": "ws://key@10.0.0.5:8765"}, "OPENALGO_WS_URL"),
        ({**REAL, "OPENALGO_URL": "10.0.0.5:5000"}, "openalgo.url"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(
    tmp_path: Path, variables: Mapping[str, str], told: str
) -> None:
    with pytest.raises(ConfigInvalid, match=told) as refused:
        operator_settings(variables, tmp_path)
    assert "changeme" not in str(refused.value)


def test_redis_may_be_done_without(tmp_path: Path) -> None:
    found = operator_settings({"REDIS_URL": "none"}, tmp_path)
    assert not found.with_redis
    assert found.redis_url is None


@pytest.mark.parametrize(
    ("variables", "allowed"),
    [
        ({}, True),
        ({"PM_HOST": "::1"}, True),
        ({"PM_HOST": "localhost"}, True),
        ({"PM_HOST": "0.0.0.0"}, False),  # noqa: S104 - to see it refused
        ({"PM_HOST": "pm.example.org"}, False),
        (REAL, False),
    ],
)
def test_weak_secrets_pass_on_paper_and_loopback_only(
    tmp_path: Path, variables: Mapping[str, str], allowed: bool
) -> None:
    assert operator_settings(variables, tmp_path).weak_allowed is allowed


def test_no_secret_is_shown_with_the_settings(tmp_path: Path) -> None:
    chosen = {**COMPLETE, "PM_WEBHOOK_SECRET": SECRET, "PM_HOME": str(tmp_path)}
    assert SECRET not in repr(operator_settings(chosen, tmp_path))
    assert SECRET not in repr(service_settings(chosen))


def test_what_a_worker_reads_is_what_the_launcher_handed_over(tmp_path: Path) -> None:
    given = {
        **COMPLETE,
        "PM_HOME": str(tmp_path),
        "PM_PAPER": "1",
        "REDIS_URL": "none",
        "PM_WEBHOOK_SECRET": SECRET,
        "PM_WEBHOOK_SOURCES": "10.0.0.0/8, 52.89.214.238",
        "PM_CLOCK_OFFSET_S": "-86400.25",
        "PM_TEST_MODE": "1",
        "PM_PORT": "5999",
    }
    settings = service_settings(given)
    assert settings.webhook_sources == ("10.0.0.0/8", "52.89.214.238")
    assert settings.secrets == {Role.WEBHOOK: SECRET}
    assert settings.redis_url is None
    assert settings.clock_offset_s == -86400.25
    assert service_settings({**given, **service_variables(settings)}) == settings


@pytest.mark.parametrize("name", ["PM_HOME", "DATABASE_URL", "REDIS_URL", "OPENALGO_URL"])
def test_a_worker_is_given_everything_or_says_what_is_missing(name: str) -> None:
    with pytest.raises(ConfigInvalid, match=name):
        service_settings({key: value for key, value in COMPLETE.items() if key != name})


def test_the_portfolio_file_of_the_home_folder_is_read(tmp_path: Path) -> None:
    write(tmp_path, "portfolio_config.json", {"portfolio": {"max_margin_pct": 40}})
    found = operator_settings({"PM_HOME": str(tmp_path)}, tmp_path)
    assert found.portfolio_config.portfolio.max_margin_pct == Decimal(40)
    write(tmp_path, "portfolio_config.json", {"portfolio": {"max_margin": 40}})
    with pytest.raises(ConfigInvalid, match=r"portfolio\.max_margin"):
        operator_settings({"PM_HOME": str(tmp_path)}, tmp_path)


def test_the_operators_market_file_wins_over_the_shipped_data(tmp_path: Path) -> None:
    holiday = {"date": "2026-12-10", "name": "Election"}
    write(tmp_path, "market_overrides.json", {"calendar": {"NSE": {"holidays": [holiday]}}})
    found = operator_settings({"PM_HOME": str(tmp_path)}, tmp_path)
    assert found.market.calendar.session("NSE", date(2026, 12, 10)) is None
    assert found.market.calendar.session("MCX", date(2026, 12, 10)) is not None
    write(tmp_path, "market_overrides.json", {"calender": {}})
    with pytest.raises(ConfigInvalid, match=r"market_overrides\.json: calender"):
        operator_settings({"PM_HOME": str(tmp_path)}, tmp_path)


@pytest.mark.parametrize(("processes", "calls"), [(1, 5), (2, 2), (3, 1), (5, 1), (8, 1)])
def test_the_order_calls_of_the_account_are_shared_out(processes: int, calls: int) -> None:
    assert order_calls_of_one(processes) == calls


def test_a_broker_holds_its_share_of_order_calls() -> None:
    gateway = Gateway("http://127.0.0.1:1", SECRET, GatewayMode.ANALYZE, is_paper=True)
    broker = create_broker(gateway.address, gateway.mode, SystemClock(), 2)
    assert repr(broker) == "OpenAlgoClient('http://127.0.0.1:1', analyze)"
    broker.close()


def test_a_practice_clock_is_ahead_by_its_offset() -> None:
    before = SystemClock().now()
    moment = SystemClock(3600.0).now() - timedelta(hours=1)
    assert before <= moment <= SystemClock().now()


def test_instances_of_one_account_need_what_they_share(tmp_path: Path) -> None:
    shared = {
        "DATABASE_URL": "host=db dbname=pm",
        "REDIS_URL": "none",
        "OPENALGO_URL": "http://127.0.0.1:1",
        "PM_WEBHOOK_SECRET": SECRET,
        "PM_VIEWER_TOKEN": SECRET[::-1],
        "PM_OPERATOR_TOKEN": SECRET.swapcase(),
    }
    given = {
        "PM_HOME": str(tmp_path),
        "PM_INSTANCES": "3",
        "OPENALGO_API_KEY": SECRET,
        "OPENALGO_MODE": "analyze",
    }
    assert operator_settings({**given, **shared}, tmp_path).instances == 3
    for name in shared:
        without = {**given, **shared} | {name: ""}
        with pytest.raises(ConfigInvalid, match=f"{name}: .*the same in each of them"):
            operator_settings(without, tmp_path)


def test_the_address_of_the_heartbeat_is_taken_and_never_shown(tmp_path: Path) -> None:
    url = "https://outside.example/" + SECRET
    found = operator_settings({"PM_HOME": str(tmp_path), "PM_HEARTBEAT_URL": url}, tmp_path)
    assert found.heartbeat_url == url
    assert SECRET not in repr(found)
    with pytest.raises(ConfigInvalid, match=r"PM_HEARTBEAT_URL: '\(hidden\)' is not allowed"):
        operator_settings({"PM_HOME": str(tmp_path), "PM_HEARTBEAT_URL": SECRET}, tmp_path)
