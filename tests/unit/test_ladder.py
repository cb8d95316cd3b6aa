"""A price on the ladder is never past the touch, never past its cap, and always on a tick."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.db_state_manager.states import Side
from live.ladder import Chase, Ladder, is_better, on_tick

TICKS = st.sampled_from([Decimal("0.05"), Decimal("0.10"), Decimal(1)])
PRICES = st.decimals(min_value=5, max_value=200_000, places=2)
SIDES = st.sampled_from(list(Side))


@given(side=SIDES, touch=PRICES, start=PRICES, step=st.integers(0, 9), tick=TICKS)
def test_a_price_is_within_the_touch_and_the_cap(
    side: Side, touch: Decimal, start: Decimal, step: int, tick: Decimal
) -> None:
    ladder = Ladder()
    price = ladder.price(side, touch, start, step, tick)
    cap = max(ladder.cap_fraction * start, ladder.cap_ticks * tick)
    assert price % tick == 0
    assert price > 0
    if side is Side.BUY:
        assert price <= max(min(touch, start + cap), tick)
    else:
        assert price >= max(touch, start - cap)


@given(side=SIDES, touch=PRICES, start=PRICES, step=st.integers(0, 5), tick=TICKS)
def test_a_later_step_and_a_wider_cap_never_make_the_price_worse(
    side: Side, touch: Decimal, start: Decimal, step: int, tick: Decimal
) -> None:
    ladder, wide = Ladder(), Ladder().capped(Decimal("0.05"))
    price = ladder.price(side, touch, start, step, tick)
    assert not is_better(side, price, ladder.price(side, touch, start, step + 1, tick))
    assert not is_better(side, price, wide.price(side, touch, start, step, tick))


@pytest.mark.parametrize(
    ("side", "price", "expected"),
    [
        (Side.BUY, "100.07", "100.05"),
        (Side.SELL, "100.07", "100.10"),
        (Side.BUY, "0.01", "0.05"),
        (Side.SELL, "100.05", "100.05"),
    ],
)
def test_a_tick_protects(side: Side, price: str, expected: str) -> None:
    assert on_tick(side, Decimal(price), Decimal("0.05")) == Decimal(expected)


def test_refusals_are_met_with_patience_and_a_missed_fill_is_not() -> None:
    chase = Chase()
    assert [chase.pause_after(refusals) for refusals in range(6)] == [1, 5, 10, 20, 30, 30]
    assert list(chase.caps) == sorted(chase.caps)
