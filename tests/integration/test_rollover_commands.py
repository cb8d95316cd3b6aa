"""`rollover` as an operator types it, and what `explain` tells afterwards, over real HTTP."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from live.access import TOKENS_FILE
from live.app import create_app
from live.journey_text import journey_lines
from portfolio_manager import main
from tests.fixtures.database import journal
from tests.fixtures.order_desk import Desk, open_desk
from tests.fixtures.rolling import IN_WINDOW, enter_near, go_to, rollover_of
from tests.fixtures.rules import BANK, base_entry
from tests.fixtures.web import TOKENS, web_on
from tests.integration.test_rolling import LEGS

SECRETS = ("PM_WEBHOOK_SECRET", "PM_VIEWER_TOKEN", "PM_OPERATOR_TOKEN")


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    with open_desk(database_url, tmp_path / "paper", "--funds", "1e9") as opened:
        yield opened


@pytest.fixture
def url(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / TOKENS_FILE).write_text(json.dumps(TOKENS))
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PM_HOME", str(tmp_path))
    app = create_app(replace(web_on(desk.store).parts, rollover=rollover_of(desk)))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def type_(url: str, *words: str) -> Result:
    command = ["rollover", *words, "--url", url]
    return CliRunner().invoke(main, command, catch_exceptions=False)


def test_a_roll_from_the_scan_to_its_explanation(url: str, desk: Desk) -> None:
    assert type_(url, "scan").output == "Nothing is held.\n"
    signal = journal(desk.store, base_entry())
    go_to(desk, IN_WINDOW[BANK])
    enter_near(desk, BANK, 2, signal_id=signal.id)
    sent = desk.sent()
    shown = type_(url, "scan").output
    assert "BANK_NIFTY 29-Dec-2026: 1 layers, 2 lots, to be rolled" in shown
    assert "closed from 28-Dec 14:45, gone by 28-Dec 15:45" in shown
    rehearsed = type_(url, "execute", "--dry-run").output
    assert all(symbol in rehearsed for symbol in LEGS[BANK])
    assert "basis" in rehearsed
    assert (desk.sent(), desk.store.active_intents()) == (sent, [])
    refused = CliRunner().invoke(main, ["rollover", "execute", "--url", url])
    assert (refused.exit_code, "--reason" in refused.output) == (2, True)
    assert "ROLL RESERVED" in type_(url, "execute", "--reason", "before the budget").output
    (intent,) = desk.store.active_intents()
    working = type_(url, "status").output
    assert f"operation {intent.id}: roll of 2 lots of BANK_NIFTY, reserved" in working
    assert "before the budget" in working
    desk.carrier.carry_out(intent)
    assert "basis" in type_(url, "status").output
    assert type_(url, "execute", "--reason", "again").output == "Nothing is due.\n"
    asked = desk.store.asked_by_operators(10)
    assert [row.reason for row in asked] == ["again", "before the budget", "a dry run"]
    journey = desk.store.journey(signal.id)
    assert journey is not None
    told = [line for line in journey_lines(journey) if "rolled" in line]
    assert len(told) == 1
    assert f"operation {intent.id}" in told[0]


def test_what_it_answers_can_be_read_by_programs(url: str, desk: Desk) -> None:
    go_to(desk, IN_WINDOW[BANK])
    enter_near(desk, BANK, 1)
    (expiring,) = json.loads(type_(url, "scan", "--json").output)["expiring"]
    assert (expiring["step"], expiring["expiry"]) == ("ROLL", "2026-12-29")
    (tried,) = json.loads(type_(url, "execute", "--dry-run", "--json").output)["instruments"]
    assert [leg["symbol"] for leg in tried["plan"]["closes"]] == LEGS[BANK][:2]
    assert json.loads(type_(url, "status", "--json").output) == {"working": [], "rolls": []}


def test_an_instrument_that_there_is_not_is_refused(url: str) -> None:
    asked = ["rollover", "execute", "--dry-run", "--instrument", "COPPER", "--url", url]
    refused = CliRunner().invoke(main, asked)
    assert refused.exit_code == 1
    assert "must be one of" in refused.output
