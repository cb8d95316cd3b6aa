"""equity_high is where realised equity has rested: an operation's closes raise it together."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.desk import SimulatedDesk
from backtest.fills import Slippage
from backtest.market import BacktestMarket
from core.book_events import LayerReduced
from core.portfolio_state import PortfolioStateManager
from tests.fixtures.rules import (
    BANK,
    CAPITAL,
    book,
    config,
    deposit,
    leave,
    opened,
    reduced,
    row,
)

_price = st.integers(49_000, 51_000)

BASE = opened()  # 10 lots at 50,000
WORSE = opened(layer=2, price=53_800, initial_stop=53_300, close=53_800)
EXIT_PRICE = 52_800  # +8,40,000 on the base and -3,00,000 on the add


def closes_of(held: PortfolioStateManager, prices: Sequence[int]) -> list[LayerReduced]:
    """Every layer, closed whole at its price."""
    return [
        reduced(layer, layer.lots, price)
        for layer, price in zip(held.layers(), prices, strict=True)
    ]


def one_operation(closes: Sequence[LayerReduced]) -> list[LayerReduced]:
    """Those closes, as one exit of all of them makes them."""
    return [*(replace(event, more_follow=True) for event in closes[:-1]), *closes[-1:]]


def pyramid(prices: Sequence[int]) -> PortfolioStateManager:
    """Layers that were entered at those prices."""
    return book(
        *(opened(layer=number, price=price) for number, price in enumerate(prices, start=1))
    )


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["winner first", "loser first"])
def test_a_winner_that_is_closed_with_a_loser_raises_the_high_by_both(
    order: tuple[int, int],
) -> None:
    held = book(BASE, WORSE)
    closes = closes_of(held, [EXIT_PRICE, EXIT_PRICE])
    held.replay(one_operation([closes[place] for place in order]))
    assert row(held.closed_equity, held.equity_high) == (5_540_000, 5_540_000)


def test_two_operations_raise_the_high_one_after_the_other() -> None:
    held = book(BASE, WORSE)
    for event in closes_of(held, [EXIT_PRICE, EXIT_PRICE]):
        held.apply(event)
    assert row(held.closed_equity, held.equity_high) == (5_540_000, 5_840_000)


@given(st.data())
def test_the_order_of_an_operations_closes_does_not_matter(data: st.DataObject) -> None:
    entries = data.draw(st.lists(_price, min_size=2, max_size=6))
    exits = data.draw(st.lists(_price, min_size=len(entries), max_size=len(entries)))
    held, other = pyramid(entries), pyramid(entries)
    before = held.equity_high
    closes = closes_of(held, exits)
    held.journal = []
    held.replay(one_operation(closes))
    other.replay(one_operation(data.draw(st.permutations(closes))))
    assert held.equity_high == other.equity_high == max(before, held.closed_equity)
    assert held.closed_equity == other.closed_equity
    again = pyramid(entries)
    again.replay(held.journal)
    assert again.snapshot() == held.snapshot()


@pytest.mark.parametrize("fill_later", [False, True], ids=["at the close", "at the next open"])
def test_a_simulated_exit_of_all_layers_is_one_operation(fill_later: bool) -> None:
    market = BacktestMarket.shipped(with_charges=False)
    desk = SimulatedDesk(config(), market, Slippage(), fill_later=fill_later)
    desk.book.replay([deposit(CAPITAL), BASE, WORSE])
    desk.book.journal = []
    alert = leave(price=EXIT_PRICE)
    desk.on_alert(alert)
    desk.fill_waiting(BANK, alert.price, alert.bar_time)
    found = [event.more_follow for event in desk.book.journal if isinstance(event, LayerReduced)]
    assert found == [True, False]
    assert row(desk.book.closed_equity, desk.book.equity_high) == (5_540_000, 5_540_000)
