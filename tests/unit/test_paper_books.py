"""The books of the paper exchange: positions are sums of fills, and rupees are only moved."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.paper_exchange.exchange import PaperExchange
from brokers.paper_exchange.funds import ExchangeView, Funds
from core.errors import Rejected
from tests.fixtures.paper_account import CALL, GOLD, OPENING_INR, PUT, exchange, order

LOTSIZES = {CALL: 30, PUT: 30, GOLD: 1}
TINY = Decimal("0.000001")

steps = st.one_of(
    st.tuples(
        st.sampled_from(sorted(LOTSIZES)),
        st.sampled_from(["BUY", "SELL"]),
        st.integers(1, 3),
        st.sampled_from([None, 900, 1_300, 128_000]),
    ),
    st.tuples(st.just("BANK_NIFTY"), st.integers(56_000, 60_000)),
    st.tuples(st.just("GOLD_MINI"), st.integers(125_000, 131_000)),
    st.just("cancel all"),
)


@contextmanager
def account() -> Iterator[PaperExchange]:
    with TemporaryDirectory() as folder, exchange(Path(folder)) as opened:
        yield opened


@pytest.fixture
def held(tmp_path: Path) -> Iterator[PaperExchange]:
    with exchange(tmp_path) as opened:
        yield opened


def take(held: PaperExchange, step: object) -> None:
    match step:
        case (str(symbol), str(action), int(lots), limit):
            with suppress(Rejected):
                held.place(order(symbol, action, lots * LOTSIZES[symbol], limit))
        case (str(instrument), int(price)):
            held.move_price(instrument, Decimal(price))
        case _:
            with held.view() as view:
                resting = [each.orderid for each in view.books.resting()]
            for orderid in resting:
                held.cancel(orderid)


def funds_of(held: PaperExchange) -> Funds:
    with held.view() as view:
        return view.funds


def check_books(view: ExchangeView) -> None:
    sums: dict[str, int] = {}
    cash = Decimal(0)
    for trade in view.books.trades:
        sums[trade.symbol] = sums.get(trade.symbol, 0) + trade.action.sign * trade.quantity
        cash -= trade.action.sign * trade.value
    positions = {each.symbol: each.quantity for each in view.books.holdings}
    worth = sum(
        (view.ltp(each) * each.quantity * each.unit_value for each in view.books.holdings),
        Decimal(0),
    )
    assert positions == sums
    assert (
        abs(view.funds.available + view.funds.utilised - OPENING_INR - view.funds.realised) < TINY
    )
    assert abs(view.funds.realised + view.funds.open_pnl - cash - worth) < TINY
    for each in view.books.orders:
        own = sum(trade.quantity for trade in view.books.trades if trade.orderid == each.orderid)
        assert own == each.filled_quantity


@given(st.lists(steps, max_size=25))
def test_positions_are_the_sum_of_fills_and_no_rupee_is_made_or_lost(taken: list[object]) -> None:
    with account() as held:
        for step in taken:
            take(held, step)
            with held.view() as view:
                check_books(view)


@given(st.lists(steps, max_size=15))
def test_an_exchange_that_is_opened_again_has_the_same_books(taken: list[object]) -> None:
    with TemporaryDirectory() as folder, exchange(Path(folder)) as first:
        for step in taken:
            take(first, step)
        with first.view() as before, exchange(Path(folder)) as again, again.view() as after:
            assert after.books.orders == before.books.orders
            assert after.books.trades == before.books.trades
            assert after.books.holdings == before.books.holdings
            assert after.funds == before.funds


@pytest.mark.parametrize("lotsize", [1, 10, 100])
def test_a_lot_of_gold_earns_ten_rupees_a_rupee_whatever_a_lot_is_called(
    tmp_path: Path, lotsize: int
) -> None:
    with exchange(tmp_path, {"GOLD_MINI": lotsize}) as held:
        held.place(order(GOLD, "BUY", 3 * lotsize))
        margin = funds_of(held).utilised
        held.move_price("GOLD_MINI", Decimal(128_101))
        assert funds_of(held).open_pnl == 3 * 10 * 100
        held.place(order(GOLD, "SELL", 3 * lotsize))
        done = funds_of(held)
    assert done.realised == 3 * 10 * 99
    assert done.utilised == 0
    assert margin == 3 * Decimal("153600.00")


def test_a_synthetic_future_needs_the_margin_of_one_future_and_the_difference_of_premiums(
    held: PaperExchange,
) -> None:
    bought = held.place(order(CALL, "BUY", 60))
    assert funds_of(held).utilised == bought.average_price * 60
    sold = held.place(order(PUT, "SELL", 60))
    premiums = (bought.average_price - sold.average_price) * 60
    assert funds_of(held).utilised == premiums + 2 * Decimal("278400.00")


def test_a_synthetic_exit_realises_what_its_legs_filled_at(held: PaperExchange) -> None:
    legs = [held.place(order(CALL, "BUY", 30)), held.place(order(PUT, "SELL", 30))]
    held.move_price("BANK_NIFTY", Decimal(58_600))
    legs += [held.place(order(PUT, "BUY", 30)), held.place(order(CALL, "SELL", 30))]
    flows = sum(-leg.action.sign * leg.average_price * 30 for leg in legs)
    done = funds_of(held)
    assert done.realised == flows
    assert done.utilised == 0
    assert done.available == OPENING_INR + flows
    assert 600 * 30 < flows < 610 * 30


def test_an_order_beyond_the_funds_is_refused_and_an_exit_never_is(held: PaperExchange) -> None:
    held.place(order(GOLD, "BUY", 30))
    held.move_price("GOLD_MINI", Decimal(90_000))
    with pytest.raises(Rejected, match=r"Insufficient funds\. Required: ₹"):
        held.place(order(GOLD, "BUY", 60))
    held.place(order(GOLD, "SELL", 30))
    with held.view() as view:
        assert [each.quantity for each in view.books.holdings] == [0]


def test_a_resting_order_holds_its_money_until_it_is_cancelled(held: PaperExchange) -> None:
    resting = held.place(order(CALL, "BUY", 30, 1_000))
    assert funds_of(held).utilised == 30_000
    held.cancel(resting.orderid)
    assert funds_of(held).available == OPENING_INR


def test_turning_a_position_around_starts_it_at_the_new_price(held: PaperExchange) -> None:
    held.place(order(GOLD, "BUY", 1))
    held.move_price("GOLD_MINI", Decimal(128_500))
    sold = held.place(order(GOLD, "SELL", 3))
    with held.view() as view:
        (position,) = view.books.holdings
    assert (position.quantity, position.average_price) == (-2, sold.average_price)
    assert position.realised == (128_499 - 128_001) * 10
