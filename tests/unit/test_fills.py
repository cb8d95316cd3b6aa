"""Slippage is always against us and lands on the tick grid."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.fills import Slippage
from core.errors import ConfigInvalid

TICK = Decimal("0.05")


@pytest.mark.parametrize(
    ("text", "price", "bought", "sold"),
    [
        ("0", "52000.03", "52000.03", "52000.03"),
        ("2", "52000", "52000.10", "51999.90"),
        ("2ticks", "52000", "52000.10", "51999.90"),
        ("0.01%", "52000", "52005.20", "51994.80"),
        # 0.001 % of 52,001 is 0.52001: up to .55 when buying, and down to .45 when selling
        ("0.001%", "52001", "52001.55", "52000.45"),
    ],
)
def test_slippage_is_paid_on_the_losing_side(text: str, price: str, bought: str, sold: str) -> None:
    slippage = Slippage.parse(text)
    assert slippage.price(Decimal(price), TICK, buying=True) == Decimal(bought)
    assert slippage.price(Decimal(price), TICK, buying=False) == Decimal(sold)


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "2 %x", "5000"])
def test_slippage_that_makes_no_sense_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigInvalid, match="slippage"):
        Slippage.parse(text)


@given(
    price=st.decimals("1", "200000", places=2),
    ticks=st.decimals("0", "20", places=1),
    tick=st.sampled_from([Decimal("0.05"), Decimal("0.20"), Decimal(1)]),
)
def test_slippage_never_helps(price: Decimal, ticks: Decimal, tick: Decimal) -> None:
    slippage = Slippage(ticks=ticks)
    bought = slippage.price(price, tick, buying=True)
    sold = slippage.price(price, tick, buying=False)
    assert bought >= price + ticks * tick
    assert sold <= price - ticks * tick
    if ticks:
        assert bought % tick == 0
        assert sold % tick == 0
