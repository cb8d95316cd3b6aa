"""`sync` and `orders` as an operator types them, over real HTTP and PostgreSQL."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from brokers.messages import Action
from live.access import TOKENS_FILE
from portfolio_manager import main
from tests.fixtures.adoption import TRADED, Books, open_books, unknown_order, web_over
from tests.fixtures.rules import GOLD
from tests.fixtures.still_broker import order_row
from tests.fixtures.web import TOKENS

SECRETS = ("PM_WEBHOOK_SECRET", "PM_VIEWER_TOKEN", "PM_OPERATOR_TOKEN")


@pytest.fixture
def books(database_url: str) -> Iterator[Books]:
    with open_books(database_url) as opened:
        yield opened


@pytest.fixture
def url(books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / TOKENS_FILE).write_text(json.dumps(TOKENS))
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PM_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "100")
    server = make_server("127.0.0.1", 0, web_over(books).app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def type_(url: str, *words: str, given: str | None = None) -> Result:
    return CliRunner().invoke(main, [*words, "--url", url], input=given, catch_exceptions=False)


def test_the_table_shows_ours_the_brokers_and_what_to_do(url: str, books: Books) -> None:
    books.hold(gold=3)
    books.adopt()
    assert type_(url, "sync").exit_code == 0
    books.hold(gold=2)
    shown = type_(url, "sync", "--show")
    assert shown.exit_code == 1
    row = next(line for line in shown.output.splitlines() if "GOLDM04DEC26FUT" in line)
    assert row.split() == ["GOLDM04DEC26FUT", "+300", "+200", "-100", "QUANTITY"]
    assert "sync --adopt books the difference" in shown.output
    assert f"{GOLD} takes no entries until this is settled." in shown.output
    books.broker.is_down = True
    unknown = type_(url, "sync")
    assert unknown.exit_code == 2
    assert "cannot be read" in unknown.output


def test_adopting_asks_for_each_price_and_before_it_books(url: str, books: Books) -> None:
    books.hold(gold=3)
    books.adopt()
    books.hold(gold=2)
    asked = type_(url, "sync", "--adopt", given="128100\nsold there\nn\n")
    assert asked.exit_code == 1
    assert books.lots(GOLD) == [3]
    done = type_(url, "sync", "--adopt", given="128100\nsold there\ny\n")
    assert done.exit_code == 0
    assert "booked: exit of 1 lots, GOLD_MINI/1/Long_1 (SELL 100 GOLDM04DEC26FUT" in done.output
    assert "The books agree." in done.output
    assert books.lots(GOLD) == [2]
    again = type_(url, "sync", "--adopt")
    assert (again.exit_code, "booked" in again.output) == (0, False)


def test_everything_can_be_given_at_once(url: str, books: Books) -> None:
    books.hold(gold=3)
    words = ("--price", f"{GOLD}=128000", "--stop", f"{GOLD}=127000", "--reason", "it is mine")
    done = type_(url, "sync", "--adopt", "--yes", "--json", *words)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["since"]["agrees"] is True
    assert books.lots(GOLD) == [3]


def test_what_is_not_given_is_not_guessed(url: str, books: Books) -> None:
    books.hold(gold=3)
    refused = type_(url, "sync", "--adopt", "--yes", "--reason", "it is mine")
    assert refused.exit_code == 2
    assert "Price of GOLDM04DEC26FUT is needed" in refused.output
    assert books.lots(GOLD) == []


def test_the_lot_is_confirmed(url: str, books: Books) -> None:
    done = type_(url, "sync", "--confirm-lotsize", f"{GOLD}=100", "--reason", "contract note")
    assert done.output == f"one lot of {GOLD} is sent as 100: confirmed\n"
    assert books.store.confirmed_lot_sizes("still")[GOLD].lot_size == 100


def test_an_unknown_order_is_listed_shown_and_settled(url: str, books: Books) -> None:
    assert type_(url, "orders", "list").output == "What became of every order is known.\n"
    row = str(unknown_order(books))
    books.broker.orders += [
        order_row("1", TRADED, Action.BUY, 300),
        order_row("7", TRADED, Action.BUY, 300),
    ]
    assert "BUY 300 BANKNIFTY27JAN26FUT" in type_(url, "orders", "list").output
    shown = type_(url, "orders", "show", row).output
    assert "1, 300 at 900.00, open: was there before" in shown
    assert "7, 300 at 900.00, open: it may be this one" in shown
    neither = type_(url, "orders", "resolve", row, "--reason", "x")
    assert neither.exit_code == 2
    done = type_(url, "orders", "resolve", row, "--as", "7", "--reason", "seen in the app")
    assert done.output == f"order {row} is 7; the next sweep carries on with it\n"
    assert books.store.unfinished_orders()[0].order_id == "7"
