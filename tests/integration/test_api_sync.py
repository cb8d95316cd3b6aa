"""Operators hold the books against the broker's over HTTP, and settle what differs."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from brokers.messages import Action
from core.db_state_manager.records import OrderPlan
from core.db_state_manager.states import IntentState, PriceType
from core.errors import Rejected
from tests.fixtures.adoption import (
    GOLD_FUTURE,
    PRICES,
    STOPS,
    TRADED,
    Books,
    guard,
    open_books,
    unknown_order,
    web_over,
)
from tests.fixtures.rules import BANK, GOLD
from tests.fixtures.still_broker import order_row
from tests.fixtures.web import OPERATOR_MARK, Web

GIVEN = {
    "reason": "done by phone",
    "prices": {name: str(price) for name, price in PRICES.items()},
    "stops": {name: str(stop) for name, stop in STOPS.items()},
}


@pytest.fixture
def books(database_url: str) -> Iterator[Books]:
    with open_books(database_url) as opened:
        yield opened


@pytest.fixture
def web(books: Books) -> Web:
    return web_over(books)


def test_what_differs_is_told_with_what_to_do_and_adopted(web: Web, books: Books) -> None:
    books.hold(gold=3)
    told = web.act("POST", "/sync/broker")
    assert (told["agrees"], told["locked"]) == (False, [GOLD])
    (difference,) = told["differences"]
    assert (difference["kind"], difference["ours"], difference["brokers"]) == ("EXTRA", 0, 300)
    assert "sync --adopt" in difference["what_to_do"]
    (adoptable,) = told["adoptable"]
    assert [step["lots"] for step in adoptable["steps"]] == [3]
    done = web.act("POST", "/sync/adopt", **GIVEN)
    assert (done["since"]["agrees"], done["since"]["unlocked"]) == (True, [GOLD])
    assert [step["position_ids"] for step in done["booked"]] == [["GOLD_MINI/1/Long_1"]]
    assert web.act("POST", "/sync/adopt", **GIVEN)["booked"] == []
    asked = books.store.asked_by_operators(10)
    assert [(row.action, row.who, row.reason) for row in asked] == [
        ("sync.adopt", OPERATOR_MARK, "done by phone")
    ] * 2


def test_a_tag_takes_a_contract_out_of_the_comparison(web: Web, books: Books) -> None:
    books.hold(gold=3)
    named = {"exchange": "MCX", "symbol": GOLD_FUTURE.symbol}
    told = web.act("POST", "/broker/positions/tag", **named, owner="swing", notes="since May")
    (held,) = told["positions"]
    assert (held["owner"], held["difference"]) == ("swing", 300)
    assert web.read("/sync/status")["agrees"] is True
    web.act("POST", "/broker/positions/untag", **named)
    assert web.read("/broker/positions")["tags"] == []
    assert web.read("/sync/status")["agrees"] is False
    assert web.act("POST", "/broker/positions/untag", 404, **named)["code"] == "NOT_FOUND"


def test_a_broker_that_cannot_be_asked_is_unknown_and_not_flat(web: Web, books: Books) -> None:
    """Incident 46: a failed read of the broker's book was taken for a flat account."""
    books.hold(gold=3)
    books.adopt()
    books.broker.is_down = True
    told = web.act("POST", "/sync/broker")
    assert (told["agrees"], told["differences"], told["locked"]) == (None, [], [])
    assert "cannot be read" in told["unknown"]
    assert web.act("POST", "/sync/adopt", 409, **GIVEN)["code"] == "COMPARISON_UNKNOWN"


def test_a_manual_exit_is_refused_while_the_broker_holds_the_lots(web: Web, books: Books) -> None:
    books.hold(gold=3)
    books.adopt()
    asked: dict[str, Any] = {"instrument": GOLD, "exit_price": "128100", "reason": "sold there"}
    assert web.act("POST", "/manual-exit", 409, **asked)["code"] == "BROKER_STILL_HOLDS"
    books.hold()
    done = web.act("POST", "/manual-exit", **asked)
    assert [(step["lots"], step["prices"]) for step in done["booked"]] == [(3, ["128100"])]
    assert books.layers(GOLD) == []
    assert web.act("POST", "/manual-exit", 409, **asked)["code"] == "NOTHING_HELD"


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("/sync/adopt", {}, {"reason"}),
        ("/sync/adopt", {"reason": "x", "prices": {GOLD: "-1"}}, {f"prices.{GOLD}.value"}),
        ("/sync/adopt", {"reason": "x", "stops": {"a\x00": "1"}}, {"stops.a\x00.key"}),
        ("/sync/adopt", {"reason": "x", "position_ids": ["a\x00"]}, {"position_ids.0"}),
        ("/manual-exit", {"instrument": "gold", "reason": "x"}, {"instrument"}),
        ("/orders/1/resolve", {"reason": "x"}, {"order_id"}),
        ("/orders/1/resolve", {"reason": "x", "order_id": "7", "never_sent": True}, {"order_id"}),
        ("/sync/lot-size", {"instrument": GOLD, "lot_size": 0, "reason": "x"}, {"lot_size"}),
        ("/broker/positions/tag", {"exchange": "MCX", "symbol": "A"}, {"owner"}),
    ],
)
def test_a_bad_body_is_told_by_field(
    web: Web, books: Books, path: str, body: dict[str, Any], fields: set[str]
) -> None:
    assert set(web.act("POST", path, 400, **body)["errors"]) == fields
    assert books.store.asked_by_operators(10) == []


def test_an_unknown_order_is_shown_with_the_evidence_and_settled(web: Web, books: Books) -> None:
    row = unknown_order(books)
    books.broker.orders += [
        order_row("1", TRADED, Action.BUY, 300),
        order_row("7", TRADED, Action.BUY, 300),
        order_row("8", TRADED, Action.SELL, 300),
    ]
    (shown,) = web.read("/orders/unknown")["items"]
    assert (shown["order"]["id"], shown["order"]["known_order_ids"]) == (row, ["1"])
    assert [(each["order_id"], each["is_new"]) for each in shown["orders"]] == [
        ("1", False),
        ("7", True),
    ]
    settled = web.act("POST", f"/orders/{row}/resolve", order_id="7", reason="the broker's app")
    assert settled["items"] == []
    (order,) = books.store.unfinished_orders()
    assert order.order_id == "7"
    told = [event.kind for event in books.store.events_after(0, 100)]
    assert told[-1] == "ORDER_RESOLVED"


def test_what_the_books_contradict_is_refused(web: Web, books: Books) -> None:
    row = unknown_order(books)
    books.broker.orders += [
        order_row("1", TRADED, Action.BUY, 300),
        order_row("7", TRADED, Action.BUY, 270),
        order_row("8", TRADED, Action.SELL, 300),
    ]

    def code(**asked: Any) -> str:
        return str(web.act("POST", f"/orders/{row}/resolve", 409, reason="x", **asked)["code"])

    assert code(order_id="1") == "OLDER_ORDER"
    assert code(order_id="7") == "OTHER_QUANTITY"
    assert code(order_id="8") == "NOT_IN_BOOKS"
    assert code(never_sent=True) == "TOO_EARLY"
    books.broker.is_down = True
    assert code(order_id="7") == "BOOKS_UNREADABLE"
    assert web.read("/orders/unknown")["items"][0]["unreadable"] != ""
    assert books.store.unfinished_orders()[0].order_id is None


def test_another_order_of_ours_is_never_taken_for_it(web: Web, books: Books) -> None:
    row = unknown_order(books)
    intent = books.store.active_intents()[0]
    leg, day = books.store.legs(intent.id)[0], books.clock.now().date()
    plan = OrderPlan(leg.id, "still", day, 300, PriceType.LIMIT, PRICES[BANK], ())
    books.store.record_order_id(books.store.record_send_intent(plan), "7")
    books.broker.orders.append(order_row("7", TRADED, Action.BUY, 300))
    told = web.act("POST", f"/orders/{row}/resolve", 409, order_id="7", reason="x")
    assert told["code"] == "ANOTHER_OF_OURS"


def test_an_order_that_was_never_sent_is_ended_and_its_lock_goes(web: Web, books: Books) -> None:
    row = unknown_order(books)
    books.clock.moment += timedelta(seconds=151)
    web.act("POST", f"/orders/{row}/resolve", never_sent=True, reason="the gateway was off")
    (intent,) = books.store.abandoned_intents()
    assert intent.state is IntentState.UNKNOWN
    assert [lock.code for lock in books.store.instrument_locks()] == ["ORDER_UNKNOWN"]
    books.store.settle_unknown(intent.id)
    assert books.store.instrument_locks() == []
    told = web.act("POST", f"/orders/{row}/resolve", 409, never_sent=True, reason="x")
    assert told["code"] == "NOT_UNKNOWN"


def test_an_order_in_somebodys_hand_is_not_settled(web: Web, books: Books) -> None:
    row = unknown_order(books)
    books.broker.orders.append(order_row("7", TRADED, Action.BUY, 300))
    assert books.store.take_intent(books.store.active_intents()[0].id, "the sweep", 60)
    told = web.act("POST", f"/orders/{row}/resolve", 409, order_id="7", reason="x")
    assert told["code"] == "INTENT_HELD"


def test_entries_wait_until_somebody_has_confirmed_the_lot(web: Web, books: Books) -> None:
    info = books.broker.symbol(GOLD_FUTURE)
    with pytest.raises(Rejected, match=f"--confirm-lotsize {GOLD}=100") as refusal:
        guard(books).check(GOLD, info)
    assert refusal.value.code == "LOTSIZE_UNCONFIRMED"
    asked = {"instrument": GOLD, "reason": "the contract note says 100 g"}
    assert web.act("POST", "/sync/lot-size", 409, **asked, lot_size=10)["code"] == (
        "LOTSIZE_IS_ANOTHER"
    )
    (told,) = web.act("POST", "/sync/lot-size", **asked, lot_size=100)["lot_sizes"]
    assert (told["instrument"], told["brokers"], told["confirmed"]) == (GOLD, 100, 100)
    guard(books).check(GOLD, info)


def test_a_lot_that_changed_locks_entries_until_it_is_confirmed_anew(
    web: Web, books: Books
) -> None:
    books.store.confirm_lot_size("still", GOLD, 1, "me")
    with pytest.raises(Rejected) as refusal:
        guard(books).check(GOLD, books.broker.symbol(GOLD_FUTURE))
    assert refusal.value.code == "LOTSIZE_CHANGED"
    assert [(lock.instrument, lock.code) for lock in books.store.instrument_locks()] == [
        (GOLD, "LOTSIZE_CHANGED")
    ]
    assert books.store.events_after(0, 100)[-1].kind == "INSTRUMENT_LOCKED"
    web.act("POST", "/sync/lot-size", instrument=GOLD, lot_size=100, reason="new master")
    assert books.store.instrument_locks() == []


def test_on_paper_the_first_lot_is_the_confirmed_one(books: Books) -> None:
    info = books.broker.symbol(GOLD_FUTURE)
    guard(books, is_paper=True).check(GOLD, info)
    assert books.store.confirmed_lot_sizes("still")[GOLD].lot_size == 100
    with pytest.raises(Rejected):
        guard(books, is_paper=True).check(GOLD, replace(info, lot_size=1))


def test_a_lot_that_the_dated_rows_know_needs_no_confirmation(books: Books) -> None:
    guard(books).check(BANK, replace(books.broker.symbol(GOLD_FUTURE), lot_size=7))
    assert books.store.confirmed_lot_sizes("still") == {}
