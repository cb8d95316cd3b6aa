"""Orders of the paper exchange that do not fill whole, and what else happens to its truth."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.paper_exchange.exchange import PaperExchange
from brokers.paper_exchange.fault_events import away_from
from brokers.paper_exchange.fill_script import Piece, Script
from brokers.paper_exchange.orders import Action, Mode, Order, OrderChange, OrderStatus, Trade
from core.errors import Rejected
from tests.fixtures.paper_account import CALL, GOLD, OPENING_INR, PUT, SUNDAY, exchange, order

TINY = Decimal("0.000001")
THIRDS = (Piece(fraction=Decimal("0.34")), Piece(after_looks=1))

pieces = st.builds(
    Piece,
    quantity=st.none() | st.integers(1, 4),
    fraction=st.none() | st.sampled_from([Decimal("0.1"), Decimal("0.5"), Decimal(1)]),
    price=st.none() | st.integers(127_900, 128_100).map(Decimal),
    ticks=st.integers(0, 5),
    after_s=st.sampled_from([0.0, 30.0]),
    after_looks=st.integers(0, 2),
    ends=st.none() | st.sampled_from([OrderStatus.REJECTED, OrderStatus.CANCELLED]),
)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[PaperExchange]:
    with exchange(tmp_path) as opened:
        yield opened


def now_of(held: PaperExchange, orderid: str) -> Order:
    with held.view() as view:
        found = view.books.order(orderid)
    assert found is not None
    return found


def fills_of(held: PaperExchange) -> list[tuple[int, float]]:
    with held.view() as view:
        return [(trade.quantity, float(trade.price)) for trade in view.books.trades]


def test_pieces_fill_one_after_the_other_each_at_its_price(held: PaperExchange) -> None:
    told = (
        Piece(quantity=30, price=Decimal("1164.6")),
        Piece(quantity=30, price=Decimal(1150), after_looks=1),
        Piece(price=Decimal(1140), after_s=5),
    )
    placed = held.place(order(CALL, "SELL", 90), told)
    assert (placed.status, placed.filled_quantity) == (OrderStatus.OPEN, 30)
    held.looked(placed.orderid)
    assert now_of(held, placed.orderid).filled_quantity == 60
    held.advance_clock(timedelta(seconds=4))
    assert now_of(held, placed.orderid).filled_quantity == 60
    held.advance_clock(timedelta(seconds=1))
    done = now_of(held, placed.orderid)
    assert done.status is OrderStatus.COMPLETE
    assert round(done.average_price, 2) == Decimal("1151.53")
    assert [price for _, price in fills_of(held)] == [1164.6, 1150, 1140]


def test_a_piece_is_whole_lots_and_never_beyond_what_is_left(held: PaperExchange) -> None:
    told = (Piece(fraction=Decimal("0.5")), Piece(fraction=Decimal("0.01")), Piece(quantity=900))
    held.place(order(CALL, "BUY", 90), told)
    assert [quantity for quantity, _ in fills_of(held)] == [30, 30, 30]


@pytest.mark.parametrize(("action", "limit", "asked"), [("BUY", 128_002, 1), ("SELL", 127_998, -1)])
def test_no_piece_is_worse_than_the_limit_and_ticks_are_better_than_the_touch(
    held: PaperExchange, action: str, limit: int, asked: int
) -> None:
    told = (Piece(quantity=1, price=Decimal(128_000 + 50 * asked)), Piece(quantity=1, ticks=3))
    held.place(order(GOLD, action, 2, limit), told)
    touch = 128_000 + asked
    assert [price for _, price in fills_of(held)] == [limit, touch - 3 * asked]


def test_an_order_away_from_the_market_waits_with_all_its_pieces(held: PaperExchange) -> None:
    placed = held.place(order(GOLD, "BUY", 3, 127_900), THIRDS)
    held.looked(None)
    assert now_of(held, placed.orderid).filled_quantity == 0
    held.move_price("GOLD_MINI", Decimal(127_000))
    assert now_of(held, placed.orderid).filled_quantity == 1
    held.move_price("GOLD_MINI", Decimal(129_000))
    held.looked(None)
    assert now_of(held, placed.orderid).status is OrderStatus.COMPLETE
    assert fills_of(held) == [(1, 127_001), (2, 127_900)]


def test_what_the_pieces_leave_rests_until_the_order_is_changed(held: PaperExchange) -> None:
    placed = held.place(order(GOLD, "BUY", 3, 128_001), (Piece(quantity=1),))
    held.move_price("GOLD_MINI", Decimal(127_000))
    held.looked(None)
    assert now_of(held, placed.orderid).filled_quantity == 1
    changed = held.modify(OrderChange(placed.orderid, 3, Decimal(128_001), Decimal(0)))
    assert changed.status is OrderStatus.COMPLETE
    assert fills_of(held) == [(1, 128_001), (2, 127_001)]


def test_an_order_that_filled_in_part_is_cancelled_and_keeps_what_filled(
    held: PaperExchange,
) -> None:
    placed = held.place(order(GOLD, "BUY", 3), THIRDS)
    gone = held.cancel(placed.orderid)
    held.looked(None)
    assert (gone.status, gone.filled_quantity, gone.pending_quantity) == (
        OrderStatus.CANCELLED,
        1,
        2,
    )
    assert fills_of(held) == [(1, 128_001)]
    with held.view() as view:
        assert view.funds.utilised == Decimal("153600.00")


@pytest.mark.parametrize("quantity", [1, 2])
def test_an_order_is_not_made_smaller_than_what_filled(held: PaperExchange, quantity: int) -> None:
    placed = held.place(order(GOLD, "BUY", 5), (Piece(quantity=2),))
    with pytest.raises(Rejected, match="Cannot modify order in complete status"):
        held.modify(OrderChange(placed.orderid, quantity, Decimal(0), Decimal(0)))
    assert now_of(held, placed.orderid).quantity == 5


@pytest.mark.parametrize("looks", [0, 2])
def test_an_accepted_order_is_rejected_afterwards(held: PaperExchange, looks: int) -> None:
    told = (Piece(after_looks=looks, ends=OrderStatus.REJECTED),)
    placed = held.place(order(GOLD, "BUY", 1, 120_000), told)
    for _ in range(looks):
        assert now_of(held, placed.orderid).status is OrderStatus.OPEN
        held.looked(placed.orderid)
    assert now_of(held, placed.orderid).status is OrderStatus.REJECTED
    assert fills_of(held) == []


def test_a_look_at_another_order_does_not_count(held: PaperExchange) -> None:
    placed = held.place(order(GOLD, "BUY", 3), THIRDS)
    held.looked("26112200000999")
    assert now_of(held, placed.orderid).filled_quantity == 1
    held.looked(placed.orderid)
    assert now_of(held, placed.orderid).filled_quantity == 3


def test_a_resting_order_can_be_filled_wherever_the_market_is(held: PaperExchange) -> None:
    placed = held.place(order(GOLD, "BUY", 3, 120_000))
    assert held.fill(placed.orderid, 1)
    assert held.fill(placed.orderid, None, Decimal(130_000))
    assert not held.fill(placed.orderid)
    assert not held.fill("26112200000999")
    assert fills_of(held) == [(1, 120_000), (2, 120_000)]
    assert now_of(held, placed.orderid).status is OrderStatus.COMPLETE


@given(st.text(max_size=5), st.lists(pieces, max_size=3), st.none() | st.just(SUNDAY))
def test_a_script_reads_back_as_it_was_written(
    orderid: str, told: Sequence[Piece], since: datetime | None
) -> None:
    script = replace(Script(orderid, tuple(told)), since=since)
    assert Script.from_text(script.to_text()) == script


def lived(
    folder: Path, told: Sequence[Piece], is_reopened: bool
) -> tuple[list[Order], list[Trade]]:
    """The books after some looks and some time, with the exchange opened anew in between."""
    with exchange(folder) as held:
        held.place(order(GOLD, "BUY", 6, 128_050), told)
        held.looked(None)
        held.advance_clock(timedelta(seconds=30))
        if not is_reopened:
            return _rest_of_life(held)
    with exchange(folder) as again:
        again.hold_clock(SUNDAY + timedelta(seconds=30))
        return _rest_of_life(again)


def _rest_of_life(held: PaperExchange) -> tuple[list[Order], list[Trade]]:
    held.looked(None)
    held.looked(None)
    held.advance_clock(timedelta(seconds=30))
    with held.view() as view:
        funds, own = view.funds, sum(trade.quantity for trade in view.books.trades)
        assert abs(funds.available + funds.utilised - OPENING_INR - funds.realised) < TINY
        assert own == sum(each.filled_quantity for each in view.books.orders)
        assert own == sum(each.quantity for each in view.books.holdings)
        assert all(trade.price <= 128_050 for trade in view.books.trades)
        return view.books.orders, view.books.trades


@given(st.lists(pieces, min_size=1, max_size=4))
def test_an_order_in_pieces_lives_on_over_a_restart_and_its_fills_add_up(
    told: list[Piece],
) -> None:
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        whole, broken = lived(Path(one), told, False), lived(Path(other), told, True)
    assert whole == broken


def test_a_lot_that_is_called_otherwise_is_worth_the_same(
    held: PaperExchange, tmp_path: Path
) -> None:
    held.place(order(GOLD, "BUY", 3))
    resting = held.place(order(GOLD, "BUY", 1, 120_000))
    held.change_lotsize("GOLD_MINI", 100)
    assert now_of(held, resting.orderid).status is OrderStatus.CANCELLED
    with pytest.raises(Rejected, match="multiples of lot size 100"):
        held.place(order(GOLD, "SELL", 3))
    held.move_price("GOLD_MINI", Decimal(128_101))
    with exchange(tmp_path) as again:
        for opened in (held, again):
            with opened.view() as view:
                (position,) = view.books.holdings
                assert position.quantity == 300
                assert view.funds.open_pnl == 3 * 10 * 100
    held.place(order(GOLD, "SELL", 300))
    with held.view() as view:
        assert view.books.holdings[0].quantity == 0
        assert view.funds.realised == 3 * 10 * 99


@pytest.mark.parametrize("action", ["BUY", "SELL"])
@pytest.mark.parametrize("symbol", [CALL, PUT, GOLD])
@pytest.mark.parametrize("ticks", [1, 5, 40])
def test_a_price_that_runs_away_leaves_an_order_at_the_touch_unfilled(
    held: PaperExchange, symbol: str, action: str, ticks: int
) -> None:
    held.set_mode(Mode.LIVE)
    with held.view() as view:
        contract = view.market.find(symbol, "MCX" if symbol == GOLD else "NFO", view.day)
        assert contract is not None
        before = view.market.quote(contract, view.day)
        price = away_from(view, contract, Action(action), ticks)
        held.move_price(contract.instrument, price)
        after = view.market.quote(contract, view.day)
    sign = Action(action).sign
    assert sign * (after.ltp - before.ltp) >= ticks * contract.tick
    limit = before.ask if action == "BUY" else before.bid
    placed = held.place(order(symbol, action, contract.lotsize, limit))
    assert placed.status is OrderStatus.OPEN
