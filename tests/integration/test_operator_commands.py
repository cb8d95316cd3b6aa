"""`broker`, `manual-exit` and `emergency close-all` as an operator types them, over real HTTP."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from werkzeug.serving import make_server

from core.db_state_manager.states import SignalStatus
from live.access import TOKENS_FILE
from portfolio_manager import main
from tests.fixtures import live_service
from tests.fixtures.adoption import Books, open_books, web_over
from tests.fixtures.live_service import until
from tests.fixtures.paper_faults import PaperFaults
from tests.fixtures.rules import BANK, GOLD
from tests.fixtures.web import TOKENS

SECRETS = ("PM_WEBHOOK_SECRET", "PM_VIEWER_TOKEN", "PM_OPERATOR_TOKEN")
FUTURE = "GOLDM04DEC26FUT"


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The address of an application."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / TOKENS_FILE).write_text(json.dumps(TOKENS))
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PM_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def books(database_url: str) -> Iterator[Books]:
    with open_books(database_url) as opened:
        yield opened


@pytest.fixture
def url(books: Books) -> Iterator[str]:
    with served(web_over(books).app) as address:
        yield address


def type_(url: str, *words: str, given: str | None = None) -> Result:
    return CliRunner().invoke(main, [*words, "--url", url], input=given)


def cells(shown: Result, symbol: str) -> list[str]:
    return next(line.split() for line in shown.output.splitlines() if symbol in line)


def test_a_contract_is_left_to_somebody_else_and_taken_back(url: str, books: Books) -> None:
    books.hold(gold=2)
    assert type_(url, "sync").exit_code == 1
    words = ("--owner", "the gold strategy", "--notes", "runs elsewhere")
    tagged = type_(url, "broker", "tag", FUTURE, *words)
    assert tagged.exit_code == 0, tagged.output
    assert f"{FUTURE} on MCX is left to the gold strategy (runs elsewhere)." in tagged.output
    assert cells(tagged, FUTURE)[:4] == [FUTURE, "+0", "+200", "+200"]
    assert type_(url, "sync").exit_code == 0
    assert type_(url, "broker", "untag", FUTURE, "--reason", "it is mine").exit_code == 0
    assert type_(url, "sync").exit_code == 1
    again = type_(url, "broker", "untag", FUTURE, "--reason", "it is mine")
    assert (again.exit_code, "tag" in again.output) == (1, True)
    asked = [(row.action, row.reason) for row in books.store.asked_by_operators(10)]
    assert ("broker.tag", "runs elsewhere") in asked
    assert ("broker.untag", "it is mine") in asked


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("broker", "tag", "RELIANCE", "--owner", "x"), "give --exchange"),
        (("broker", "tag", "NIFTY29DEC26FUT", "--owner", "x"), "NIFTY is no instrument of ours"),
        (("broker", "tag", FUTURE), "--owner"),
        (("broker", "untag", FUTURE), "--reason"),
        (("broker", "tag", FUTURE, "--owner", ""), "owner"),
        (("manual-exit", GOLD, "--reason", "x"), "--price"),
        (("manual-exit", GOLD, "--price", "-1", "--reason", "x"), "a price such as"),
        (("manual-exit", GOLD, "--price", "nan", "--reason", "x"), "a price such as"),
        (("manual-exit", "gold", "--price", "1", "--reason", "x", "--yes"), "instrument"),
        (("manual-exit", GOLD, "--price", "1", "--reason", "x", "--yes"), "holds no layer"),
        (("emergency", "close-all", "--dry-run", "--status"), "either"),
    ],
)
def test_what_makes_no_sense_is_refused_and_says_why(
    url: str, books: Books, words: tuple[str, ...], told: str
) -> None:
    refused = type_(url, *words)
    assert refused.exit_code in (1, 2)
    assert told in refused.output
    assert "Traceback" not in refused.output
    assert books.store.held_by_fills() == ()


def test_a_broker_that_cannot_be_asked_is_unknown(url: str, books: Books) -> None:
    books.broker.is_down = True
    shown = type_(url, "broker", "positions")
    assert (shown.exit_code, "cannot be read" in shown.output) == (2, True)


def test_an_exit_that_was_done_at_the_broker_is_booked(url: str, books: Books) -> None:
    books.hold(gold=3)
    books.adopt()
    words = ("manual-exit", GOLD, "--price", "128,100", "--reason", "sold in the app")
    early = type_(url, *words, "--yes")
    assert early.exit_code == 1
    assert "close it there first, or say force" in early.output
    books.hold()
    unsure = type_(url, *words, given="n\n")
    assert (unsure.exit_code, books.lots(GOLD)) == (1, [3])
    done = type_(url, *words, given="y\n")
    assert done.exit_code == 0, done.output
    assert f"booked: exit of 3 lots, GOLD_MINI/1/Long_1 (SELL 300 {FUTURE} at" in done.output
    assert "The books agree." in done.output
    assert books.lots(GOLD) == []


def test_a_layer_that_there_is_not_is_never_taken_for_all_of_them(url: str, books: Books) -> None:
    books.hold(gold=3, bank=2)
    books.adopt()
    books.hold()
    words = ("manual-exit", GOLD, "--price", "128100", "--reason", "x", "--yes", "--position")
    for strange in ("GOLD_MINI-1-Long_1", "BANK_NIFTY/1/Long_1", "GOLD_MINI/1/Long_2"):
        refused = type_(url, *words, strange)
        assert refused.exit_code == 1
        assert strange in refused.output
    assert (books.lots(GOLD), books.lots(BANK)) == ([3], [2])


def test_a_forced_exit_leaves_a_difference_that_is_told(url: str, books: Books) -> None:
    books.hold(gold=3)
    books.adopt()
    words = ("--price", f"{FUTURE}=128100", "--reason", "x", "--yes", "--force")
    done = type_(url, "manual-exit", GOLD, *words)
    assert (done.exit_code, f"EXTRA {FUTURE}" in done.output) == (1, True)


@pytest.mark.slow
def test_close_all_is_rehearsed_asked_for_watched_and_looked_at_again(
    database_url: str, open_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PM_OPERATOR_TOKEN", live_service.OPERATOR_TOKEN)
    monkeypatch.setenv("PM_VIEWER_TOKEN", live_service.OPERATOR_TOKEN)
    close_all = ("emergency", "close-all")
    with live_service.open_desk(database_url, open_folder) as desk, served(desk.service.app) as url:
        nothing = type_(url, *close_all, "--dry-run")
        assert (nothing.exit_code, nothing.output) == (0, "Nothing is held.\n")
        for instrument in (GOLD, BANK):
            assert desk.alert("BASE_ENTRY", instrument).status is SignalStatus.EXECUTED
        held = desk.held()
        shown = type_(url, *close_all, "--dry-run")
        assert shown.exit_code == 0
        for symbol, quantity in held.items():
            assert cells(shown, symbol)[-2:] == [f"{quantity:+d}", f"{quantity:+d}"]
            side = "SELL" if quantity > 0 else "BUY"
            assert f"would send {side} {abs(quantity)} {symbol}" in shown.output
        unsure = type_(url, *close_all, "--reason", "out", given="n\n")
        assert (unsure.exit_code, desk.held()) == (1, held)
        faults = PaperFaults(desk.paper)
        faults.set("session_dead", endpoint="placeorder")
        begun = type_(url, *close_all, "--reason", "out", "--yes", "--no-wait")
        assert (begun.exit_code, "WORKING" in begun.output, desk.held()) == (1, True, held)
        faults.clear()
        done = type_(url, *close_all, "--reason", "out", "--yes")
        assert done.exit_code == 0, done.output
        assert desk.held() == {}
        looked = until(lambda: _flat(type_(url, *close_all, "--status")))
        for symbol in held:
            assert cells(looked, symbol)[-2:] == ["+0", "+0"]
        as_json = type_(url, *close_all, "--status", "--json")
        assert json.loads(as_json.stdout)["is_flat"] is True


def _flat(shown: Result) -> Result | None:
    return shown if shown.exit_code == 0 and "WORKING" not in shown.output else None
