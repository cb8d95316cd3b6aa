"""The rules of the paper exchange: what it takes, refuses, changes, and how a day turns."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier

import pytest

from brokers.paper_exchange.exchange import PaperExchange
from brokers.paper_exchange.orders import (
    Mode,
    Order,
    OrderChange,
    OrderRequest,
    OrderStatus,
    PriceType,
)
from core.errors import Rejected
from core.ist import IST
from tests.fixtures.paper_account import CALL, GOLD, exchange, order

THREADS = 8
PAIRS_EACH = 12


@pytest.fixture
def held(tmp_path: Path) -> Iterator[PaperExchange]:
    with exchange(tmp_path) as opened:
        yield opened


def change(placed: Order, quantity: int, price: object) -> OrderChange:
    return OrderChange(placed.orderid, quantity, Decimal(str(price)), Decimal(0))


def orders_of(held: PaperExchange) -> list[Order]:
    with held.view() as view:
        return view.books.orders


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (order(CALL, "SELL", 31), "Quantity must be in multiples of lot size 30"),
        (order("BANKNIFTY29DEC2699999CE", "SELL", 30), "99999CE not found on NFO"),
        (order(CALL.lower(), "SELL", 30), "not found on NFO"),
        (replace(order(CALL, "SELL", 30), product="CNC"), "CNC product not allowed for NFO"),
        (
            replace(order(CALL, "SELL", 30), pricetype=PriceType.LIMIT),
            "LIMIT orders require price",
        ),
        (
            replace(order(CALL, "SELL", 30, 10), pricetype=PriceType.STOP_LIMIT),
            "SL orders require trigger_price",
        ),
        (
            replace(order("BANKNIFTY", "SELL", 30), exchange="NSE_INDEX"),
            "is an index and cannot be traded",
        ),
    ],
)
def test_the_sandbox_refuses_and_the_live_broker_lists_it_as_rejected(
    held: PaperExchange, request_: OrderRequest, text: str
) -> None:
    with pytest.raises(Rejected, match=text):
        held.place(request_)
    assert orders_of(held) == []
    held.set_mode(Mode.LIVE)
    listed = held.place(request_)
    assert listed.status is OrderStatus.REJECTED
    assert text in listed.rejection_reason
    assert orders_of(held) == [listed]


def test_a_resting_limit_fills_at_its_price_when_the_market_comes_to_it(
    held: PaperExchange,
) -> None:
    placed = held.place(order(GOLD, "BUY", 1, 127_900))
    held.move_price("GOLD_MINI", Decimal(127_900))
    assert orders_of(held)[0].status is OrderStatus.OPEN
    held.move_price("GOLD_MINI", Decimal(127_899))
    done = orders_of(held)[0]
    assert (done.orderid, done.status) == (placed.orderid, OrderStatus.COMPLETE)
    assert done.average_price == 127_900


def test_a_changed_order_meets_the_market_with_its_new_price_and_quantity(
    held: PaperExchange,
) -> None:
    placed = held.place(order(GOLD, "BUY", 1, 127_900))
    assert held.modify(change(placed, 2, 127_950)).status is OrderStatus.OPEN
    done = held.modify(change(placed, 2, 128_010))
    assert done.filled_quantity == 2
    assert done.average_price == 128_001


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (lambda held, done: held.cancel(done.orderid), "Cannot cancel order in complete status"),
        (
            lambda held, done: held.modify(change(done, 1, 1)),
            "Cannot modify order in complete status",
        ),
        (lambda held, _: held.cancel("999"), "Order 999 not found"),
    ],
)
def test_what_is_final_or_unknown_is_not_changed(
    held: PaperExchange, act: Callable[[PaperExchange, Order], Order], text: str
) -> None:
    done = held.place(order(GOLD, "BUY", 1))
    with pytest.raises(Rejected, match=text):
        act(held, done)
    assert orders_of(held) == [done]


@pytest.mark.parametrize(
    ("quantity", "price", "text"),
    [(31, 1_000, "multiples of lot size"), (30, 0, "require price"), (30_000, 1_000, "Insuffic")],
)
def test_a_change_is_checked_as_a_new_order_is(
    held: PaperExchange, quantity: int, price: int, text: str
) -> None:
    placed = held.place(order(CALL, "BUY", 30, 900))
    with pytest.raises(Rejected, match=text):
        held.modify(change(placed, quantity, price))
    assert orders_of(held) == [placed]


def test_no_order_is_lost_or_doubled_when_many_place_at_once(
    held: PaperExchange, tmp_path: Path
) -> None:
    together = Barrier(THREADS)

    def place(_: int) -> list[str]:
        together.wait()
        sides = ["BUY", "SELL"] * PAIRS_EACH
        return [held.place(order(GOLD, side, 1)).orderid for side in sides]

    with ThreadPoolExecutor(THREADS) as threads:
        placed = [each for ids in threads.map(place, range(THREADS)) for each in ids]
    assert len(set(placed)) == THREADS * PAIRS_EACH * 2
    with held.view() as now, exchange(tmp_path) as again, again.view() as stored:
        for view in (now, stored):
            assert sorted(each.orderid for each in view.books.orders) == sorted(placed)
            assert sorted(each.orderid for each in view.books.trades) == sorted(placed)
            assert [each.quantity for each in view.books.holdings] == [0]


def test_a_new_day_has_empty_books_and_the_positions_of_the_day_before(
    held: PaperExchange,
) -> None:
    held.place(order(GOLD, "BUY", 2))
    held.place(order(GOLD, "SELL", 1))
    held.place(order(GOLD, "BUY", 1, 100_000))
    held.advance_clock(timedelta(days=1))
    with held.view() as view:
        assert (view.books.orders, view.books.trades) == ([], [])
        (position,) = view.books.holdings
        assert position.quantity == 1
        assert position.realised_today == 0
        assert position.realised == -20
    held.place(order(GOLD, "SELL", 1))
    held.advance_clock(timedelta(days=1))
    with held.view() as view:
        assert view.books.holdings == []
        assert view.funds.realised == -40


def test_the_day_turns_at_three_in_the_morning(held: PaperExchange) -> None:
    held.place(order(GOLD, "BUY", 1))
    held.hold_clock(datetime(2026, 11, 23, 2, 59, tzinfo=IST))
    assert len(orders_of(held)) == 1
    held.hold_clock(datetime(2026, 11, 23, 3, 0, tzinfo=IST))
    assert orders_of(held) == []


def test_what_is_held_past_its_expiry_is_settled_at_its_intrinsic_value(
    held: PaperExchange,
) -> None:
    ending = "BANKNIFTY23NOV2657500CE"
    bought = held.place(order(ending, "BUY", 30))
    held.move_price("BANK_NIFTY", Decimal(58_200))
    held.hold_clock(datetime(2026, 11, 23, 15, 40, tzinfo=IST))
    with held.view() as view:
        assert view.books.holdings[0].quantity == 30
    held.hold_clock(datetime(2026, 11, 24, 9, 0, tzinfo=IST))
    with held.view() as view:
        (trade,) = view.books.trades
        assert trade.strategy == "EXPIRY_SETTLEMENT"
        assert trade.price == 700
        assert view.books.holdings[0].quantity == 0
        assert view.funds.realised == (700 - bought.average_price) * 30


def test_an_order_id_is_never_given_twice_even_after_refusals_and_a_restart(
    held: PaperExchange, tmp_path: Path
) -> None:
    ids = [held.place(order(GOLD, "BUY", 1)).orderid]
    with pytest.raises(Rejected):
        held.place(order(GOLD, "BUY", 100_000))
    ids.append(held.place(order(GOLD, "BUY", 1)).orderid)
    with exchange(tmp_path) as again:
        ids.append(again.place(order(GOLD, "BUY", 1)).orderid)
        assert [each.orderid for each in orders_of(again)] == ids
    assert len(set(ids)) == 3


def test_the_switch_survives_a_restart(held: PaperExchange, tmp_path: Path) -> None:
    held.set_mode(Mode.LIVE)
    with exchange(tmp_path) as again:
        assert again.mode is Mode.LIVE


def test_an_unknown_instrument_has_no_price(held: PaperExchange) -> None:
    with pytest.raises(Rejected, match="no instrument 'COPPER'"):
        held.move_price("COPPER", Decimal(1))
