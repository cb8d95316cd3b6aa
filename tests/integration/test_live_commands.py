"""The commands of a running service, as an operator types them, over real HTTP and PostgreSQL."""

import json
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.intents import DecisionRequest
from core.db_state_manager.records import LegPlan, OrderPlan, Outcome
from core.db_state_manager.states import (
    IntentSource,
    LegPurpose,
    PriceType,
    Side,
    SignalStatus,
)
from core.models import Limiter
from live.access import TOKENS_FILE, Role
from live.embedded.folders import Folders, exclusive
from live.launcher.home import Home
from live.launcher.running import RunningService
from portfolio_manager import main
from tests.fixtures.alert_payloads import BASE_ENTRY, EXIT
from tests.fixtures.database import LEASE_S, MAKER, claimed, database, entered
from tests.fixtures.rules import BANK, GOLD, base_entry, opened, terms
from tests.fixtures.web import TOKENS, web_on

SECRET_VARIABLES = ("PM_WEBHOOK_SECRET", "PM_VIEWER_TOKEN", "PM_OPERATOR_TOKEN")


@dataclass(frozen=True)
class Desk:
    """A service that listens, the folder with its tokens, and what is typed."""

    store: DatabaseStateManager
    url: str
    home: Path

    def type(self, *words: str, given: str | None = None) -> Result:
        """The command with those words, told where the service is."""
        asked = [*words, "--url", self.url]
        return CliRunner().invoke(main, asked, input=given, catch_exceptions=False)

    def json(self, *words: str) -> Any:
        """What the command prints with --json."""
        result = self.type(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


def type_anywhere(*words: str, given: str | None = None) -> Result:
    return CliRunner().invoke(main, words, input=given, catch_exceptions=False)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder with tokens, which commands take for theirs."""
    (tmp_path / TOKENS_FILE).write_text(json.dumps(TOKENS))
    for name in SECRET_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PM_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture
def desk(database_url: str, home: Path) -> Iterator[Desk]:
    store = database(database_url, pool_size=8)
    server = make_server("127.0.0.1", 0, web_on(store).app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Desk(store, f"http://127.0.0.1:{server.server_port}", home)
    server.shutdown()
    thread.join()
    server.server_close()
    store.close()


def test_an_alert_is_sent_from_a_file_and_its_repeat_is_told(desk: Desk) -> None:
    path = desk.home / "alert.json"
    path.write_text(json.dumps(BASE_ENTRY, indent=2))
    first, again = desk.type("signal", "send", str(path)), desk.type("signal", "send", str(path))
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert first.output.startswith("accepted: stored, and being worked on; signal ")
    assert again.output.startswith("duplicate: a repeat of an alert that came before (which is acc")
    assert first.output.strip().rsplit(" ", 1)[1] in again.output


def test_several_alerts_are_sent_line_by_line_in_order(desk: Desk) -> None:
    text = "\n".join([json.dumps(BASE_ENTRY), "", json.dumps(EXIT), ""])
    answers = desk.type("signal", "send", "-", "--json", given=text).output.splitlines()
    ids = [json.loads(line)["signal_id"] for line in answers]
    assert [row.type for row in desk.store.signals(5)] == ["EXIT", "BASE_ENTRY"]
    assert ids == sorted(ids)
    assert len(ids) == 2


def test_an_alert_that_was_blocked_is_told_and_is_no_failure(desk: Desk) -> None:
    desk.type("signal", "send", "-", given=json.dumps(BASE_ENTRY))
    (work,) = desk.store.claim_signals("worker", 1, LEASE_S)
    outcome = Outcome("GATE_CLOSED", "price is not 1R above the base entry")
    desk.store.finish_signal(work.id, "worker", SignalStatus.BLOCKED, outcome)
    result = desk.type("signal", "send", "-", given=json.dumps(BASE_ENTRY))
    assert result.exit_code == 0
    assert "which is blocked" in result.output
    assert "GATE_CLOSED: price is not 1R above the base entry" in result.output


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (json.dumps({**BASE_ENTRY, "price": -1}), "price"),
        ("{broken", "is not JSON"),
        ("[1, 2]", "must be a JSON object"),
        (json.dumps(BASE_ENTRY) + "\n{broken", "is not JSON"),
    ],
)
def test_what_is_refused_is_told_by_its_field_and_is_a_failure(
    desk: Desk, text: str, told: str
) -> None:
    result = desk.type("signal", "send", "-", given=text)
    assert result.exit_code == 1
    assert "rejected: refused" in result.output
    assert told in result.output


def test_nothing_to_send_is_a_failure(desk: Desk) -> None:
    result = desk.type("signal", "send", "-", given=" \n")
    assert (result.exit_code, "nothing to send" in result.output) == (1, True)


@pytest.mark.parametrize("kind", ["BASE_ENTRY", "PYRAMID", "EXIT", "EOD_MONITOR", "MARKET_DATA"])
def test_an_example_can_be_sent_as_it_is_printed(desk: Desk, kind: str) -> None:
    example = type_anywhere("signal", "example", kind.lower(), "--instrument", GOLD)
    assert example.exit_code == 0
    assert desk.type("signal", "send", "-", given=example.stdout).exit_code == 0
    (row,) = desk.store.signals(5)
    assert (row.type, row.instrument) == (kind, GOLD)


def test_an_example_refuses_a_position_its_type_cannot_name() -> None:
    result = type_anywhere("signal", "example", "PYRAMID", "--position", "Long_1")
    assert result.exit_code == 2
    assert "Long_2, Long_3" in result.output


def traded(desk: Desk) -> int:
    """A base entry that went all the way: decided, ordered, filled, booked. Its signal's id."""
    store, alert = desk.store, base_entry()
    signal = claimed(store, alert)
    plan = [LegPlan(LegPurpose.OPEN, Side.BUY, "BANKNIFTY27JAN26FUT", "NFO", 4, 120)]
    request = DecisionRequest(BANK, IntentSource.SIGNAL, signal.id)
    reservation = store.decide_and_reserve(
        request, lambda book: MAKER.decide(alert, book, terms()), lambda decision: plan
    )
    assert reservation.intent is not None
    intent = reservation.intent
    (leg,) = store.legs(intent.id)
    order = store.record_send_intent(
        OrderPlan(leg.id, "paper", date(2026, 1, 5), 120, PriceType.LIMIT, Decimal(50_010), ())
    )
    store.record_order_id(order, "A17")
    store.book_fill(order, 60, Decimal(50_000))
    store.book_fill(order, 120, Decimal(50_005))
    event = opened(lots=4, price=Decimal(50_005), intent_id=str(intent.id))
    store.complete_intent(intent.id, [event])
    outcome = Outcome("ENTER_BASE", "4 lots bought", 4, Limiter.RISK)
    assert store.finish_signal(signal.id, "worker", SignalStatus.EXECUTED, outcome)
    return signal.id


def test_explain_tells_the_journey_in_its_order(desk: Desk) -> None:
    text = desk.type("explain", str(traded(desk))).output
    steps = [
        "BASE_ENTRY BANK_NIFTY Long_1",
        "received",
        "outcome    ENTER_BASE: 4 lots bought",
        "decided: ENTER_BASE",
        "equity     ₹50,00,000.00",
        "risk ",
        "<- binds",
        "initial stop",
        "entry of",
        "BUY 4 lots (120) BANKNIFTY27JAN26FUT NFO",
        "order A17 at paper: LIMIT 120 at 50,010.00, filled",
        "60 filled at 50,000.00",
        "120 filled at 50,005.00",
        "position   BANK_NIFTY/1/Long_1 open: 4 of 4 lots",
        "booked: opened 4 lots of Long_1 at 50,005.00",
    ]
    at = -1
    for step in steps:
        at = text.find(step, at + 1)
        assert at >= 0, f"{step!r} is missing or out of order in\n{text}"


def test_explain_tells_that_nothing_was_decided_yet(desk: Desk) -> None:
    signal = claimed(desk.store, base_entry())
    assert "Nothing was decided on it yet." in desk.type("explain", str(signal.id)).output


def test_explain_as_json_is_what_the_service_answers(desk: Desk) -> None:
    journey = desk.json("explain", str(traded(desk)))
    assert journey["intents"][0]["orders"][0]["order_id"] == "A17"


def test_explain_of_no_signal_says_so(desk: Desk) -> None:
    result = desk.type("explain", "99")
    assert (result.exit_code, "no such signal" in result.output) == (1, True)


def test_status_shows_what_is_held_stopped_and_locked(desk: Desk) -> None:
    entered(desk.store, opened(lots=4))
    desk.type("emergency", "stop", "--reason", "a look", "--scope", GOLD)
    desk.store.lock_instrument(BANK, "BREAK", "2 lots more at the broker", "reconciliation")
    result = desk.type("status")
    assert result.exit_code == 0
    assert re.search(r"closed equity\s+₹50,00,000.00", result.output)
    assert "BANK_NIFTY at " in result.output
    row = r"1/Long_1 +4 +50,000.00 +49,800.00 +-?₹[\d,]+ +-?\d.\d\d +₹24,000"
    assert re.search(row, result.output)
    assert f"{GOLD} is REDUCING" in result.output
    assert "BANK_NIFTY is locked (BREAK)" in result.output
    assert "2 lots more at the broker" in result.output


def test_status_of_an_empty_account_is_calm(desk: Desk) -> None:
    assert "NOBODY LEADS" in desk.type("status").output
    desk.store.begin_leadership("one")
    desk.store.heartbeat("one", "here", 4711, "0.1.0")
    output = desk.type("status").output
    assert "Nothing is held." in output
    assert "Nothing is stopped, locked or in work." in output
    assert re.search(r"worker 4711 of here, heard of \d+ s ago, leads under epoch \d+", output)
    assert "NOBODY LEADS" not in output


def test_status_as_json_has_all_positions(desk: Desk) -> None:
    entered(desk.store, opened())
    found = desk.json("status")
    assert [row["id"] for row in found["positions"]] == ["BANK_NIFTY/1/Long_1"]
    assert found["account"]["closed_equity"] == "5000000.00"


def test_capital_moves_in_and_out_and_the_ledger_shows_it(desk: Desk) -> None:
    into = desk.type("capital", "deposit", "2,50,000.50", "--reason", "from savings")
    assert into.exit_code == 0
    assert "₹52,50,000.50" in into.output
    assert desk.type("capital", "withdraw", "50000", "--reason", "tax").exit_code == 0
    shown = desk.type("capital", "show")
    assert "₹52,00,000.50" in shown.output
    assert "from savings" in shown.output
    assert [line["kind"] for line in desk.json("capital", "show")["transactions"]] == [
        "WITHDRAW",
        "DEPOSIT",
        "DEPOSIT",
    ]


@pytest.mark.parametrize("amount", ["0", "-5", "1.005", "NaN", "many"])
def test_capital_refuses_what_is_no_amount(desk: Desk, amount: str) -> None:
    result = desk.type("capital", "deposit", "--reason", "x", "--", amount)
    assert result.exit_code == 2
    assert len(desk.store.ledger(10)) == 1


def test_more_than_there_is_cannot_be_withdrawn(desk: Desk) -> None:
    result = desk.type("capital", "withdraw", "9000000", "--reason", "x")
    assert result.exit_code == 1
    assert "realised" in result.output


def test_trading_is_stopped_and_resumed_with_a_reason(desk: Desk) -> None:
    stopped = desk.type("emergency", "stop", "--reason", "wrong prices")
    assert stopped.exit_code == 0
    assert desk.store.control_of(BANK) == "REDUCING"
    desk.type("emergency", "stop", "--reason", "wrong prices", "--halt")
    assert desk.store.control_of(BANK) == "HALTED"
    assert "wrong prices" in desk.type("emergency", "status").output
    assert desk.type("emergency", "resume", "--reason", "checked").exit_code == 0
    assert desk.store.control_of(BANK) == "ACTIVE"
    assert desk.type("emergency", "stop").exit_code == 2


def test_a_lock_is_released_with_a_reason_and_never_that_of_an_unknown_order(desk: Desk) -> None:
    for code in ("BOOKS_DISAGREE", "ORDER_UNKNOWN"):
        desk.store.lock_instrument(BANK, code, "a test", "recovery")
    words = ("emergency", "unlock", BANK)
    assert desk.type(*words, "BOOKS_DISAGREE", "--reason", "seen to").exit_code == 0
    assert desk.type(*words, "BOOKS_DISAGREE", "--reason", "again").exit_code == 1
    refused = desk.type(*words, "ORDER_UNKNOWN", "--reason", "no")
    assert refused.exit_code == 1
    assert "resolve the order" in refused.output
    assert [lock.code for lock in desk.store.instrument_locks()] == ["ORDER_UNKNOWN"]


def test_an_unknown_scope_is_refused_with_those_there_are(desk: Desk) -> None:
    result = desk.type("emergency", "stop", "--reason", "x", "--scope", "COPPER")
    assert result.exit_code == 1
    assert "GLOBAL, BANK_NIFTY" in result.output


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("explain", "1"),
        ("capital", "show"),
        ("emergency", "stop", "--reason", "x"),
        ("signal", "send", "-"),
    ],
)
def test_a_service_that_does_not_run_is_told_with_what_to_do(
    home: Path, words: tuple[str, ...]
) -> None:
    for more in ((), ("--url", "http://127.0.0.1:9")):
        result = type_anywhere(*words, *more, given="{}")
        assert result.exit_code == 1
        assert "start it with ./start_all.sh" in result.output


@pytest.mark.parametrize("role", Role)
def test_a_wrong_token_is_told_and_never_shown(desk: Desk, role: Role) -> None:
    wrong = "f" * 32
    (desk.home / TOKENS_FILE).write_text(json.dumps({**TOKENS, role: wrong}))
    words = {
        Role.VIEWER: ("status",),
        Role.OPERATOR: ("emergency", "resume", "--reason", "x"),
        Role.WEBHOOK: ("signal", "send", "-"),
    }
    result = desk.type(*words[role], given=json.dumps(EXIT))
    assert result.exit_code == 1
    assert f"does not know this {role} token" in result.output
    assert wrong not in result.output


def test_tokens_may_come_from_the_environment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk.home / TOKENS_FILE).unlink()
    missing = desk.type("status")
    assert (missing.exit_code, "PM_VIEWER_TOKEN" in missing.output) == (1, True)
    monkeypatch.setenv("PM_VIEWER_TOKEN", TOKENS[Role.VIEWER])
    assert desk.type("status").exit_code == 0


def example_of_now() -> datetime:
    """The moment of an example that is printed now."""
    printed = json.loads(type_anywhere("signal", "example", "EXIT").stdout)
    return datetime.fromisoformat(printed["timestamp"])


def test_the_service_that_runs_on_the_folder_is_found(desk: Desk) -> None:
    home = Home(desk.home)
    running = RunningService(
        started_at="2026-11-23T09:00:00+05:30",
        launcher_pid=os.getpid(),
        pids={},
        url=desk.url,
        database="",
        redis="",
        gateway="",
        mode="live",
        is_paper=True,
        is_test=False,
        clock_offset_s=-365 * 86_400.0,
    )
    running.write(home.run_file)
    with exclusive(Folders(home.path)):
        assert type_anywhere("status").exit_code == 0
        before, practice = example_of_now(), example_of_now()
    now = example_of_now()
    assert before <= practice <= now - timedelta(days=365)
    assert now - practice < timedelta(days=366)


def test_another_program_on_the_port_is_told(home: Path) -> None:
    def other(environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [("Content-Type", "text/html")])
        return [b"<html>"]

    server = make_server("127.0.0.1", 0, other)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    result = type_anywhere("status", "--url", f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    thread.join()
    server.server_close()
    assert result.exit_code == 1
    assert "something else than the service" in result.output
