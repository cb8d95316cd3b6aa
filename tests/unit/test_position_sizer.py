"""Sizes: each constraint worked out by hand, the smallest wins, and no size passes a cap."""

from dataclasses import astuple, replace
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import PortfolioConfig
from core.decision_record import DecisionInputs
from core.models import ContractTerms, Limiter, Signal
from core.portfolio_state import AccountView, PortfolioStateManager
from core.position_sizer import NO_QUOTE, BrokerQuote, Size, TomBassoPositionSizer
from core.stop_manager import TomBassoStopManager
from tests.fixtures.rules import (
    BANK,
    account,
    add,
    base_entry,
    book,
    config,
    opened,
    reduced,
    reserved,
    terms,
)

RISK, VOLATILITY, MARGIN = Limiter.RISK, Limiter.VOLATILITY, Limiter.MARGIN
PREVIOUS, PROFIT, MAX_LOTS = Limiter.PREVIOUS_LAYER, Limiter.PROFIT, Limiter.MAX_LOTS
ALL_RISK, ALL_VOLATILITY = Limiter.PORTFOLIO_RISK, Limiter.PORTFOLIO_VOLATILITY


def sizer(rules: PortfolioConfig) -> TomBassoPositionSizer:
    trading = rules.instruments[BANK].trading
    stops = TomBassoStopManager(
        rules.stop_mode, trading.initial_atr_mult, trading.trailing_atr_mult
    )
    return TomBassoPositionSizer(rules, trading, stops)


def inputs(
    alert: Signal | None = None,
    view: AccountView | None = None,
    contract: ContractTerms | None = None,
    broker: BrokerQuote = NO_QUOTE,
    held: PortfolioStateManager | None = None,
    rules: PortfolioConfig | None = None,
) -> DecisionInputs:
    return sizer(rules or config()).inputs(
        alert or base_entry(),
        view or account(),
        contract or terms(),
        broker,
        (held or book())[BANK],
    )


def lots_by_limiter(size: Size) -> dict[Limiter, int]:
    return {constraint.limiter: constraint.lots for constraint in size.constraints}


def changed(given: DecisionInputs, changes: dict[str, Any]) -> DecisionInputs:
    """`given` with some values replaced; text is an exact number."""
    exact: dict[str, Any] = {
        name: Decimal(value) if isinstance(value, str) else value for name, value in changes.items()
    }
    return replace(given, **exact)


def written_out(size: Size) -> list[tuple[object, ...]]:
    """Each constraint as a row of a table."""
    return [
        (item.limiter, item.share, item.budget, item.per_lot, item.lots, item.enforced)
        for item in size.constraints
    ]


def base_size(rules: PortfolioConfig | None = None, **changes: Any) -> Size:
    """Size `inputs()` with some of them replaced."""
    return sizer(rules or config()).base(changed(inputs(rules=rules), changes))


def pyramid_size(rules: PortfolioConfig | None = None, **changes: Any) -> Size:
    """Size an add at 50,500 (stop 50,300) over 10 lots that gained 500 points."""
    given = inputs(add(), held=book(opened()), rules=rules)
    return sizer(rules or config()).pyramid(changed(given, changes))


def test_the_base_entry_worked_out_by_hand() -> None:
    size = sizer(config()).base(inputs())
    assert written_out(size) == [
        # 50,00,000 x 1.0 % x 0.8 = 40,000        200 x 30 = 6,000       6.67
        (RISK, Decimal("1.0"), 40_000, 6_000, 6, True),
        # 50,00,000 x 0.5 % = 25,000              250 x 30 = 7,500       3.33
        (VOLATILITY, Decimal("0.5"), 25_000, 7_500, 3, True),
        # 50,00,000 x 60 % = 30,00,000            2,70,000               11.11
        (MARGIN, Decimal(60), 3_000_000, 270_000, 11, True),
        # 50,00,000 x 15 % = 7,50,000             50,000 - 49,800, x 30  125
        (ALL_RISK, Decimal(15), 750_000, 6_000, 125, True),
        # 50,00,000 x 5 % = 2,50,000              7,500                  33.33
        (ALL_VOLATILITY, Decimal(5), 250_000, 7_500, 33, True),
    ]
    assert (size.lots, size.limiter) == (3, VOLATILITY)
    assert size.initial_stop == 49_800
    assert size.risk_per_lot == 6_000
    assert size.volatility_per_lot == 7_500


@pytest.mark.parametrize(
    ("changes", "lots", "limiter"),
    [
        ({"er": 0.3}, 2, RISK),  # 15,000 / 6,000 = 2.5 (volatility 3, margin 11)
        ({"er": 0.8}, 3, VOLATILITY),  # 25,000 / 7,500 = 3.33 (risk 6, margin 11)
        ({"margin_per_lot": "1100000"}, 2, MARGIN),  # 30,00,000 / 11,00,000 = 2.73
        ({"er": 0.36}, 3, RISK),  # 18,000 / 6,000 = 3 exactly; at a tie the first is told
        ({"er": 0.359}, 2, RISK),  # 17,950 / 6,000 = 2.99
        ({"atr": "277.7"}, 3, VOLATILITY),  # 25,000 / 8,331 = 3.0008
        ({"atr": "277.8"}, 2, VOLATILITY),  # 25,000 / 8,334 = 2.9998
        ({"margin_available": "809999.99"}, 2, MARGIN),  # 2.99
        ({"margin_available": "810000"}, 3, VOLATILITY),  # 3 exactly, as volatility: the first
        ({"margin_available": "269999.99"}, 0, MARGIN),  # 0.99
        ({"margin_available": "0"}, 0, MARGIN),
        ({"margin_available": "-810000"}, 0, MARGIN),  # over the cap already: none, never below
        ({"margin_per_lot": "0"}, 0, MARGIN),  # a margin that is not known pays for nothing
        ({"er": 0.0}, 0, RISK),
        ({"equity_high": "0"}, 0, RISK),
        ({"equity_high": "-5000000"}, 0, RISK),
        ({"equity_high": "10000000"}, 6, VOLATILITY),  # 50,000 / 7,500 = 6.67 (risk 13)
        ({"equity_high": "4500000"}, 3, VOLATILITY),  # 22,500 / 7,500 = 3 exactly
        ({"equity_high": "4499999"}, 2, VOLATILITY),  # 22,499.995 / 7,500 = 2.99
        ({"stop_distance": "400"}, 3, RISK),  # 40,000 / 12,000 = 3.33, told before volatility
        ({"stop_distance": "445"}, 2, RISK),  # 40,000 / 13,350 = 2.996
        # 15 % of 50,00,000 = 7,50,000 less what is at risk, / 6,000
        ({"risk": "738000"}, 2, ALL_RISK),  # 12,000 / 6,000 = 2 exactly: a cap may be reached
        ({"risk": "738000.01"}, 1, ALL_RISK),
        ({"risk": "750000"}, 0, ALL_RISK),
        ({"risk": "800000"}, 0, ALL_RISK),
        # 5 % of 50,00,000 = 2,50,000 less the volatility held, / 7,500
        ({"volatility": "235000"}, 2, ALL_VOLATILITY),  # 15,000 / 7,500 = 2 exactly
        ({"volatility": "235000.01"}, 1, ALL_VOLATILITY),
        ({"volatility": "250000"}, 0, ALL_VOLATILITY),
        ({"volatility": "900000"}, 0, ALL_VOLATILITY),
        # The caps are on current equity: 80,000 x 15 % = 12,000 / 6,000 and x 5 % = 4,000 / 7,500
        ({"equity": "80000"}, 0, ALL_VOLATILITY),
    ],
)
def test_the_smallest_constraint_of_a_base_entry_wins(
    changes: dict[str, Any], lots: int, limiter: Limiter
) -> None:
    size = base_size(**changes)
    assert (size.lots, size.limiter) == (lots, limiter)


def test_volatility_may_be_reported_without_limiting() -> None:
    size = base_size(config({"volatility_constraint": "report"}))
    assert (size.lots, size.limiter) == (6, RISK)  # 40,000 / 6,000, with volatility at 3
    told = size.constraints[1]
    assert (told.limiter, told.lots, told.enforced) == (VOLATILITY, 3, False)
    assert all(item.enforced for item in size.constraints if item is not told)


@pytest.mark.parametrize(
    ("max_lots", "lots", "limiter"),
    [(1, 1, MAX_LOTS), (2, 2, MAX_LOTS), (3, 3, VOLATILITY), (4, 3, VOLATILITY)],
)
def test_an_instrument_may_have_a_most_lots_a_layer(
    max_lots: int, lots: int, limiter: Limiter
) -> None:
    size = base_size(config({"max_lots": max_lots}))
    assert (size.lots, size.limiter) == (lots, limiter)
    assert size.constraints[-1].limiter is MAX_LOTS
    assert size.constraints[-1].lots == max_lots


@pytest.mark.parametrize(
    ("trading", "name", "lots"),
    [
        ({"risk_pct": "2.0"}, RISK, 13),  # 50,00,000 x 2 % x 0.8 = 80,000 / 6,000 = 13.33
        ({"risk_pct": "0.5"}, RISK, 3),  # 20,000 / 6,000 = 3.33
        ({"volatility_pct": "0.2"}, VOLATILITY, 1),  # 10,000 / 7,500 = 1.33
        ({"volatility_pct": "1.0"}, VOLATILITY, 6),  # 50,000 / 7,500 = 6.67
        # The caps look at the stop that will be worked: 50,000 - 0.5 x 250 = 49,875
        ({"initial_atr_mult": "0.5"}, ALL_RISK, 200),  # 7,50,000 / (125 x 30)
        ({"initial_atr_mult": "9"}, ALL_RISK, 125),  # the alert's is the tighter one
    ],
)
def test_each_share_is_the_instruments_own(
    trading: dict[str, str], name: Limiter, lots: int
) -> None:
    assert lots_by_limiter(base_size(config(trading)))[name] == lots


@pytest.mark.parametrize(
    ("caps", "name", "lots"),
    [
        ({"max_margin_pct": "30"}, MARGIN, 5),  # 15,00,000 / 2,70,000 = 5.56
        ({"max_risk_pct": "0.3"}, ALL_RISK, 2),  # 15,000 / 6,000 = 2.5
        ({"max_volatility_pct": "0.2"}, ALL_VOLATILITY, 1),  # 10,000 / 7,500 = 1.33
    ],
)
def test_each_cap_is_configuration(caps: dict[str, str], name: Limiter, lots: int) -> None:
    assert lots_by_limiter(base_size(config(portfolio=caps)))[name] == lots


@pytest.mark.parametrize(
    ("er", "taken"), [(-0.5, 0.0), (0.0, 0.0), (0.3, 0.3), (1.0, 1.0), (1.7, 1.0)]
)
def test_efficiency_is_held_between_0_and_1(er: float, taken: float) -> None:
    assert inputs(base_entry(er=er)).er == taken


def test_efficiency_above_1_sizes_as_1_and_below_0_as_none() -> None:
    whole, none = inputs(base_entry(er=1.7)), inputs(base_entry(er=-0.5))
    # 50,000 / 6,000 = 8.33
    assert lots_by_limiter(sizer(config()).base(whole))[RISK] == 8
    size = sizer(config()).base(none)
    assert (size.lots, size.limiter) == (0, RISK)


@pytest.mark.parametrize(
    ("stop", "distance", "risk_lots"),
    [
        # a quarter of ATR 250 is 62.5                 40,000 / (distance x 30)
        ("49990", "62.5", 21),  # 10 is too near: 40,000 / 1,875 = 21.33, not 133
        ("49937.55", "62.5", 21),  # 62.45 too
        ("49937.5", "62.5", 21),  # 62.5 exactly
        ("49936", "64", 20),  # 40,000 / 1,920 = 20.83
        ("49800", "200", 6),
    ],
)
def test_a_stop_too_near_is_sized_as_a_quarter_of_atr(
    stop: str, distance: str, risk_lots: int
) -> None:
    given_inputs = inputs(base_entry(stop=stop))
    assert given_inputs.stop_distance == Decimal(distance)
    assert lots_by_limiter(sizer(config()).base(given_inputs))[RISK] == risk_lots


def test_the_nearest_stop_distance_is_configuration() -> None:
    rules = config(sizing={"min_stop_atr": "1"})
    assert inputs(rules=rules).stop_distance == 250  # 1 x ATR, more than the 200 to the stop
    rules = config(sizing={"min_stop_atr": "0"})
    assert inputs(base_entry(stop="49999.95"), rules=rules).stop_distance == Decimal("0.05")


@pytest.mark.parametrize(
    ("view", "free_funds", "available"),
    [
        # 60 % of 50,00,000 = 30,00,000
        ({}, None, 3_000_000),
        ({"margin_in_use": 1_000_000}, None, 2_000_000),
        ({"margin_reserved": 540_000}, None, 2_460_000),
        ({"margin_in_use": 1_000_000, "margin_reserved": 540_000}, None, 1_460_000),
        ({"margin_in_use": 3_000_000}, None, 0),
        ({"margin_in_use": 2_900_000, "margin_reserved": 540_000}, None, -440_000),
        ({"equity": 4_000_000}, None, 2_400_000),  # of current equity, not of its high
        ({}, "2999999", 2_999_999),  # the broker has less
        ({}, "3000000", 3_000_000),
        ({}, "9000000", 3_000_000),  # the broker has more: the cap stands
        ({}, "0", 0),
        ({"margin_in_use": 1_000_000}, "500000", 500_000),
    ],
)
def test_available_margin_counts_what_is_used_reserved_and_free(
    view: dict[str, int], free_funds: str | None, available: int
) -> None:
    funds = None if free_funds is None else Decimal(free_funds)
    found = inputs(view=account(**view), broker=BrokerQuote(free_funds=funds))
    assert found.margin_available == available
    assert found.broker_free_funds == funds


@pytest.mark.parametrize(
    ("price", "quote", "margin"),
    [
        # 16 % x price x 30
        ("50000", None, "270000"),  # 2,40,000 is below the configured figure
        ("56250", None, "270000"),  # 2,70,000: the same
        ("60000", None, "288000"),  # above it
        ("50000", "269999", "270000"),  # the broker asks less
        ("50000", "270000.01", "270000.01"),  # the broker asks more
        ("60000", "280000", "288000"),
    ],
)
def test_margin_a_lot_is_the_largest_that_anybody_names(
    price: str, quote: str | None, margin: str
) -> None:
    broker = BrokerQuote(margin_per_lot=None if quote is None else Decimal(quote))
    assert inputs(base_entry(price=price), broker=broker).margin_per_lot == Decimal(margin)


def test_what_the_size_depends_on_is_recorded_as_it_was() -> None:
    view = account(equity=4_900_000, risk=1, volatility=2, margin_in_use=3, margin_reserved=4)
    held = book(opened(), opened(layer=2, lots=5, price=50_250))
    found = inputs(add(), view, terms(lot_size=35, point_value=35), held=held)
    assert astuple(found) == (
        *(4_900_000, 5_000_000, 1, 2, 3, 4),  # the account as it was handed in
        2_939_993,  # 60 % of 49,00,000 - 3 - 4
        None,
        *(50_500, 50_300, 200, 250, 0.8),  # price, stop, distance, ATR, ER
        *(35, 35, 282_800),  # 16 % x 50,500 x 35, above the 2,70,000
        187_500,  # 500 x 10 x 30 + 250 x 5 x 30
        60_000,  # 200 x 10 x 30
        5,
    )


def test_a_flat_instrument_has_no_base_risk_and_no_previous_layer() -> None:
    found = inputs(add())
    assert found.base_risk is None
    assert found.previous_lots is None
    assert found.open_pnl == 0


def test_the_add_worked_out_by_hand() -> None:
    size = pyramid_size()
    assert written_out(size) == [
        # A: 30,00,000 / 2,70,000 = 11.11
        (MARGIN, Decimal(60), 3_000_000, 270_000, 11, True),
        # B: 0.5 x 10
        (PREVIOUS, Decimal("0.5"), 5, 1, 5, True),
        # C: 0.5 x (500 x 10 x 30 - 200 x 10 x 30) = 45,000      200 x 30 = 6,000      7.5
        (PROFIT, Decimal("0.5"), 45_000, 6_000, 7, True),
        (ALL_RISK, Decimal(15), 750_000, 6_000, 125, True),
        (ALL_VOLATILITY, Decimal(5), 250_000, 7_500, 33, True),
    ]
    assert (size.lots, size.limiter) == (5, PREVIOUS)
    assert size.initial_stop == 50_300
    assert size.risk_per_lot == 6_000
    assert size.volatility_per_lot == 7_500


@pytest.mark.parametrize(
    ("changes", "lots", "limiter"),
    [
        # A: margin
        ({"margin_available": "810000"}, 3, MARGIN),
        ({"margin_available": "809999"}, 2, MARGIN),
        ({"margin_available": "-1"}, 0, MARGIN),
        # B: half of the previous layer, floored
        ({"previous_lots": 9}, 4, PREVIOUS),  # 4.5
        ({"previous_lots": 2}, 1, PREVIOUS),
        ({"previous_lots": 1}, 0, PREVIOUS),  # 0.5: the pyramid ends
        ({"previous_lots": None}, 0, PREVIOUS),
        # C: half of what was gained beyond 60,000, over 6,000 a lot
        ({"open_pnl": "107999.99"}, 3, PROFIT),  # 23,999.995 / 6,000 = 3.99
        ({"open_pnl": "108000"}, 4, PROFIT),  # 24,000 / 6,000 = 4 exactly
        ({"open_pnl": "71999.99"}, 0, PROFIT),
        ({"open_pnl": "72000"}, 1, PROFIT),
        ({"open_pnl": "60000"}, 0, PROFIT),  # no profit beyond the base risk
        ({"open_pnl": "-60000"}, 0, PROFIT),
        ({"open_pnl": None}, 0, PROFIT),
        ({"base_risk": None}, 0, PROFIT),  # no base layer
        ({"base_risk": "120000"}, 2, PROFIT),  # 15,000 / 6,000 = 2.5
        ({"stop_distance": "400"}, 3, PROFIT),  # 45,000 / 12,000 = 3.75
        # The caps of the account bind adds too.
        ({"risk": "738000"}, 2, ALL_RISK),
        ({"volatility": "242500"}, 1, ALL_VOLATILITY),
        # Efficiency does not: an add follows what the base has earned.
        ({"er": 0.0}, 5, PREVIOUS),
        # Nor does the ratchet: nothing of an add is a share of equity_high.
        ({"equity_high": "0"}, 5, PREVIOUS),
    ],
)
def test_the_smallest_constraint_of_an_add_wins(
    changes: dict[str, Any], lots: int, limiter: Limiter
) -> None:
    size = pyramid_size(**changes)
    assert (size.lots, size.limiter) == (lots, limiter)


@pytest.mark.parametrize(
    ("rules", "name", "lots"),
    [
        (config(pyramid={"previous_layer_fraction": "0.8"}), PREVIOUS, 8),
        (config(pyramid={"previous_layer_fraction": "0.29"}), PREVIOUS, 2),
        (config(pyramid={"profit_fraction": "1"}), PROFIT, 15),  # 90,000 / 6,000
        (config(pyramid={"profit_fraction": "0.2"}), PROFIT, 3),  # 18,000 / 6,000
        (config({"max_lots": 3}), MAX_LOTS, 3),
    ],
)
def test_each_share_of_an_add_is_configuration(
    rules: PortfolioConfig, name: Limiter, lots: int
) -> None:
    assert lots_by_limiter(pyramid_size(rules))[name] == lots


def test_without_an_open_base_layer_an_add_has_nothing_to_grow_from() -> None:
    held = book(opened(), opened(layer=2, lots=4, price=50_250))
    base = held[BANK].layers[0]
    held.reduce_layer(reduced(base, base.lots, 50_300))
    size = sizer(config()).pyramid(inputs(add(layer=3), held=held))
    assert (size.lots, size.limiter) == (0, PROFIT)
    assert lots_by_limiter(size)[PREVIOUS] == 2  # half of Long_2
    flat = sizer(config(pyramid={"previous_layer_fraction": "1"})).pyramid(inputs(add()))
    assert lots_by_limiter(flat)[PREVIOUS] == 0


def test_a_near_stop_counts_as_a_quarter_of_atr_for_an_add_too() -> None:
    held = book(opened())
    size = sizer(config()).pyramid(inputs(add(stop=50_490), held=held))
    assert lots_by_limiter(size)[PROFIT] == 24  # 45,000 / (62.5 x 30 = 1,875)


def test_orders_in_flight_take_their_share_of_every_cap() -> None:
    rules = config()
    held = book()
    held.reserve(reserved(risk=738_000, volatility=242_500, margin=2_460_000))
    found = inputs(view=held.account(rules.equity_basis), held=held)
    lots = lots_by_limiter(sizer(rules).base(found))
    assert lots[ALL_RISK] == 2  # 12,000 / 6,000
    assert lots[ALL_VOLATILITY] == 1  # 7,500 / 7,500
    assert lots[MARGIN] == 2  # 5,40,000 / 2,70,000


_rupees = st.integers(0, 2_000_000_000).map(lambda paisa: Decimal(paisa) / 100)
_points = st.integers(100, 50_000).map(lambda paisa: Decimal(paisa) / 100)


def shares(least: int, most: int) -> st.SearchStrategy[Decimal]:
    """A share of something, in thousandths."""
    return st.integers(least, most).map(lambda thousandths: Decimal(thousandths) / 1000)


@st.composite
def any_inputs(draw: st.DrawFn) -> DecisionInputs:
    """Inputs as the sizer would gather them for any account, alert and contract.

    What the account uses is drawn as a share of its equity that goes a little past each cap, so
    that most accounts have room for some lots and each limit binds in its turn.
    """
    equity = Decimal(draw(st.integers(500, 200_000))) * 1000
    used = [equity * draw(shares(0, most)) for most in (160, 55, 350, 350)]
    view = AccountView(equity, equity * draw(shares(500, 1_500)), *used)
    price, distance, atr = draw(_points) + 10_000, draw(_points), draw(_points)
    alert = base_entry(
        price=price, stop=price - distance, atr=atr, er=draw(st.integers(-1, 15)) / 10
    )
    contract = terms(
        point_value=draw(st.sampled_from([5, 10, 30, 35])),
        margin_floor_inr=draw(st.integers(1, 300_000)),
        margin_fraction=Decimal("0.01"),
    )
    free_funds = draw(st.none() | shares(0, 800).map(lambda share: share * equity))
    given_inputs = inputs(alert, view, contract, BrokerQuote(free_funds=free_funds))
    return replace(
        given_inputs,
        open_pnl=equity * draw(shares(-10, 200)),
        base_risk=equity * draw(shares(0, 50)),
        previous_lots=draw(st.integers(0, 200)),
    )


def sizes(given_inputs: DecisionInputs) -> tuple[Size, Size]:
    house = sizer(config())
    return house.base(given_inputs), house.pyramid(given_inputs)


@given(any_inputs())
def test_no_size_passes_any_limit(given_inputs: DecisionInputs) -> None:
    held = given_inputs
    equity, high = Fraction(held.equity), Fraction(held.equity_high)
    base, pyramid = sizes(held)
    point_value = Fraction(held.point_value)
    stop = max(Fraction(held.stop), Fraction(held.price) - Fraction(held.atr) * 3 / 2)
    for size in (base, pyramid):
        assert size.lots >= 0
        if size.lots == 0:
            continue
        risk = (Fraction(held.price) - stop) * size.lots * point_value
        volatility = Fraction(held.atr) * size.lots * point_value
        assert Fraction(held.risk) + risk <= equity * 15 / 100
        assert Fraction(held.volatility) + volatility <= equity * 5 / 100
        margin = Fraction(held.margin_per_lot) * size.lots
        in_use = Fraction(held.margin_in_use) + Fraction(held.margin_reserved)
        assert in_use + margin <= equity * 60 / 100
        assert held.broker_free_funds is None or margin <= Fraction(held.broker_free_funds)
    sized_on = Fraction(held.stop_distance) * point_value
    assert base.lots * sized_on <= high / 100 * Fraction(str(held.er))
    assert base.lots * Fraction(held.atr) * point_value <= high * 5 / 1000
    beyond = Fraction(held.open_pnl or 0) - Fraction(held.base_risk or 0)
    assert pyramid.lots * sized_on <= max(Fraction(0), beyond / 2)
    assert pyramid.lots <= floor(Fraction(held.previous_lots or 0, 2))


@given(any_inputs(), _rupees)
def test_more_equity_never_means_fewer_lots(given_inputs: DecisionInputs, more: Decimal) -> None:
    cap = config().portfolio.max_margin_pct / 100
    funds = given_inputs.broker_free_funds
    available = given_inputs.margin_available + cap * more
    richer = replace(
        given_inputs,
        equity=given_inputs.equity + more,
        margin_available=available if funds is None else min(available, funds),
    )
    higher = replace(given_inputs, equity_high=given_inputs.equity_high + more)
    for poor, rich, high in zip(sizes(given_inputs), sizes(richer), sizes(higher), strict=True):
        assert poor.lots <= rich.lots
        assert poor.lots <= high.lots


@given(any_inputs(), _points)
def test_a_wider_stop_never_means_more_lots(given_inputs: DecisionInputs, wider: Decimal) -> None:
    distant = replace(
        given_inputs,
        stop=given_inputs.stop - wider,
        stop_distance=given_inputs.stop_distance + wider,
    )
    for near, far in zip(sizes(given_inputs), sizes(distant), strict=True):
        assert far.lots <= near.lots
