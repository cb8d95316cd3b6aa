"""Peel-off: whole lots leave until a layer is within its ongoing limits, and none comes back."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.book_events import PriceMarked
from core.config import TradingConfig
from core.decision import DecisionMaker
from core.decision_record import Decision, DecisionCode, LayerClose
from core.models import SignalType
from core.peel_off import decide_peel_off
from core.portfolio_state import PortfolioStateManager
from tests.fixtures.rules import BANK, CAPITAL, GOLD, book, config, opened, reduced, row

TRADING = config().instruments[BANK].trading


def peel(
    held: PortfolioStateManager,
    price: Any,
    atr: Any = 250,
    equity: Any = CAPITAL,
    trading: TradingConfig = TRADING,
) -> Decision | None:
    """Judge the layers at a bar with this close and ATR."""
    held.mark(PriceMarked(BANK, Decimal(price), Decimal(atr)))
    return decide_peel_off(BANK, held[BANK], Decimal(equity), trading)


def closed_lots(decision: Decision | None) -> int:
    return 0 if decision is None else sum(close.lots for close in decision.closes)


def tight(stop: Any, lots: int = 10) -> PortfolioStateManager:
    return book(opened(lots=lots, initial_stop=stop))


def test_it_is_off_unless_switched_on() -> None:
    assert config().peel_off.enabled is False
    assert config(peel_off={"enabled": True}).peel_off.enabled is True


@pytest.mark.parametrize(
    ("price", "stop", "atr", "closed"),
    [
        # risk: 1.0 % of 50,00,000 = 50,000, over (price - stop) x 30 a lot
        ("50300", "49800", "100", 7),  # 50,000 / 15,000 = 3.33: three of ten stay
        ("50000", "49800", "100", 2),  # 50,000 / 6,000 = 8.33
        ("50000", "49834", "100", 0),  # 50,000 / 4,980 = 10.04
        ("50000", "49833", "100", 1),  # 50,000 / 5,010 = 9.98
        ("51000", "49000", "100", 10),  # 50,000 / 60,000 = 0.83: not one stays
        # volatility: 0.7 % of 50,00,000 = 35,000, over ATR x 30 a lot
        ("50000", "49900", "250", 6),  # 35,000 / 7,500 = 4.67
        ("50000", "49900", "116.6", 0),  # 35,000 / 3,498 = 10.006
        ("50000", "49900", "116.7", 1),  # 35,000 / 3,501 = 9.997
        ("50000", "49900", "1200", 10),  # 35,000 / 36,000 = 0.97
        # both: the smaller stays
        ("50300", "49800", "250", 7),  # 3 by risk, 4 by volatility
        ("50300", "49800", "500", 8),  # 3 by risk, 2 by volatility
        # a price at or under the stop leaves risk to the stop itself
        ("49900", "49900", "100", 0),
        ("49800", "49900", "100", 0),
        ("49800", "49900", "250", 6),
    ],
)
def test_a_layer_keeps_the_lots_that_both_limits_allow(
    price: str, stop: str, atr: str, closed: int
) -> None:
    assert closed_lots(peel(tight(stop), price, atr)) == closed


@pytest.mark.parametrize(
    ("equity", "closed"),
    [
        # ten lots risk 200 x 10 x 30 = 60,000 = 1.0 % of 60,00,000: at the limit is within it
        ("6000000", 0),
        ("5999999.99", 1),
        ("0", 10),
        ("-1000000", 10),
    ],
)
def test_a_limit_that_is_just_reached_peels_nothing(equity: str, closed: int) -> None:
    assert closed_lots(peel(tight("49800"), 50_000, 100, equity)) == closed


def test_volatility_that_just_reaches_its_limit_peels_nothing() -> None:
    # 140 x 10 x 30 = 42,000 = 0.7 % of 60,00,000
    assert peel(tight("49900"), 50_000, 140, 6_000_000) is None
    assert closed_lots(peel(tight("49900"), 50_000, 140, "5999999.99")) == 1


def test_the_limits_are_the_instruments_own() -> None:
    gold = config().instruments[GOLD].trading
    # 0.3 % of 50,00,000 = 15,000 / 7,500 = 2; 0.7 % keeps 4
    assert closed_lots(peel(tight("49900"), 50_000, 250, trading=gold)) == 8
    wide = config({"ongoing_risk_pct": "10", "ongoing_volatility_pct": "10"})
    assert peel(tight("49800"), 50_300, 250, trading=wide.instruments[BANK].trading) is None


def test_each_layer_is_judged_on_its_own_and_the_decision_names_them() -> None:
    held = book(opened(), opened(layer=2, lots=4, price=50_200, initial_stop=50_000))
    held.open_layer(opened(layer=3, lots=5, price=50_250, initial_stop=50_100))
    decision = peel(held, 50_300, 250)
    assert decision is not None
    assert row(decision.code, decision.instrument, decision.type, decision.layer) == (
        *(DecisionCode.PEEL_OFF, BANK, SignalType.MARKET_DATA, None),
    )
    assert decision.closes == (
        LayerClose("BANK_NIFTY/1/Long_1", 1, 7),  # 50,000 / 15,000 = 3 stay
        # Long_2: 50,000 / 9,000 = 5 by risk, 4 by volatility: its 4 lots stay
        LayerClose("BANK_NIFTY/1/Long_3", 3, 1),  # 8 by risk, 4 by volatility
    )
    assert decision.reason == (
        "over the ongoing limits: 7 of BANK_NIFTY/1/Long_1, 1 of BANK_NIFTY/1/Long_3"
    )
    assert decision.acts
    assert decision.lots == 0


def test_without_layers_or_a_bar_there_is_nothing_to_judge() -> None:
    assert peel(book(), 50_300) is None
    held = tight("49000")
    held[BANK].atr = None
    assert decide_peel_off(BANK, held[BANK], CAPITAL, TRADING) is None
    held = tight("49000")
    held[BANK].price = None
    assert decide_peel_off(BANK, held[BANK], CAPITAL, TRADING) is None


@given(
    layers=st.lists(
        st.tuples(st.integers(1, 60), st.integers(45_000, 49_990)), min_size=1, max_size=6
    ),
    price=st.integers(45_000, 56_000),
    atr=st.integers(1, 1_500),
    equity=st.integers(0, 20_000_000),
)
def test_one_pass_brings_every_layer_within_its_limits_and_a_second_does_nothing(
    layers: list[tuple[int, int]], price: int, atr: int, equity: int
) -> None:
    held = DecisionMaker(config()).new_book()
    for number, (lots, stop) in enumerate(layers, 1):
        held.open_layer(opened(layer=number, lots=lots, initial_stop=stop))
    before = {layer.layer: layer.lots for layer in held.layers()}
    decision = peel(held, price, atr, equity)
    for close in decision.closes if decision else ():
        found = held[BANK].layer(close.layer)
        assert found is not None
        assert 0 < close.lots <= found.lots
        held.reduce_layer(reduced(found, close.lots, price))
    for layer in held.layers():
        risk = max(0, price - int(layer.stop)) * layer.lots * 30
        assert risk <= Fraction(equity, 100)
        assert atr * layer.lots * 30 <= Fraction(equity * 7, 1000)
    for number, lots in before.items():  # and no lot more than needed went
        left = held[BANK].layer(number)
        kept = left.lots if left else 0
        if kept < lots:
            stop = layers[number - 1][1]
            more = (kept + 1) * 30
            over_risk = max(0, price - stop) * more > Fraction(equity, 100)
            assert over_risk or atr * more > Fraction(equity * 7, 1000)
    assert peel(held, price, atr, equity) is None
    # It never re-adds: with all the room there is, nothing is decided.
    assert peel(held, price, atr, 10**12) is None
