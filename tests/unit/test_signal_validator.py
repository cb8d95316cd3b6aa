"""Entries: what an alert may look like, and what may still be executed at the broker's price."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import ValidationConfig
from core.decision_record import DecisionCode
from core.models import Signal
from core.portfolio_state import PortfolioStateManager
from core.signal_validator import AgeTier, ExecutionCheck, ProposedEntry, SignalValidator
from tests.fixtures.rules import add, base_entry, book, config, opened, reduced

C = DecisionCode
NORMAL, WARNED, HALVED, REFUSED = AgeTier


def validator(max_layers: int = 6, **validation: Any) -> SignalValidator:
    return SignalValidator(config(validation=validation).validation, max_layers)


def code(
    alert: Signal,
    held: PortfolioStateManager | None = None,
    max_layers: int = 6,
    **validation: Any,
) -> DecisionCode | None:
    """The code of the first stage's refusal; None where the alert passes."""
    refused = validator(max_layers, **validation).check_alert(alert, held or book())
    return None if refused is None else refused.code


@pytest.mark.parametrize("number", ["NaN", "sNaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("name", ["price", "stop", "atr", "supertrend"])
def test_a_price_that_is_not_a_finite_number_is_refused_by_name(name: str, number: str) -> None:
    for alert in (base_entry(**{name: number}), add(**{name: number})):
        refused = validator().check_alert(alert, book())
        assert refused is not None
        assert refused.code is C.NUMBER_NOT_FINITE
        assert refused.reason == f"{name} is not a finite number"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["er", "roc"])
def test_a_ratio_that_is_not_a_finite_number_is_refused_by_name(name: str, number: float) -> None:
    refused = validator().check_alert(base_entry(**{name: number}), book())
    assert refused is not None
    assert refused.code is C.NUMBER_NOT_FINITE
    assert refused.reason == f"{name} is not a finite number"


@pytest.mark.parametrize(
    ("alert", "expected"),
    [
        (base_entry(), None),
        (base_entry(roc=None), None),
        (base_entry(roc=-3.5), None),
        (base_entry(er=-0.2), None),  # clamped when sized
        (base_entry(supertrend="0"), None),
        # price above 0
        (base_entry(price="0", stop="-1"), C.PRICE_OUT_OF_RANGE),
        (base_entry(price="-0.05", stop="-1"), C.PRICE_OUT_OF_RANGE),
        (base_entry(price="0.05", stop="0.04", atr="0.01"), None),
        # ATR above 0 and up to 20 % of 50,000 = 10,000
        (base_entry(atr="0"), C.ATR_OUT_OF_RANGE),
        (base_entry(atr="-250"), C.ATR_OUT_OF_RANGE),
        (base_entry(atr="0.0001"), None),
        (base_entry(atr="10000"), None),
        (base_entry(atr="10000.01"), C.ATR_OUT_OF_RANGE),
        # stop below the price
        (base_entry(stop="49999.95"), None),
        (base_entry(stop="50000"), C.STOP_NOT_BELOW_PRICE),
        (base_entry(stop="50000.05"), C.STOP_NOT_BELOW_PRICE),
        # and no further than 30 % of it: 50,000 - 15,000 = 35,000
        (base_entry(stop="35000"), None),
        (base_entry(stop="34999.99"), C.STOP_OUT_OF_RANGE),
        (base_entry(stop="0"), C.STOP_OUT_OF_RANGE),
        (base_entry(stop="-1"), C.STOP_OUT_OF_RANGE),
    ],
)
def test_the_numbers_of_an_alert_must_make_sense(
    alert: Signal, expected: DecisionCode | None
) -> None:
    assert code(alert) is expected


def test_the_ranges_are_configuration() -> None:
    assert code(base_entry(atr=501), max_atr_pct="1") is C.ATR_OUT_OF_RANGE  # 500
    assert code(base_entry(atr=500), max_atr_pct="1") is None
    assert code(base_entry(stop=49_499), max_stop_pct="1") is C.STOP_OUT_OF_RANGE  # 49,500
    assert code(base_entry(stop=49_500), max_stop_pct="1") is None


FLAT = book()
BASE_OPEN = book(opened())
TWO_OPEN = book(opened(), opened(layer=3, lots=5))
ONLY_THIRD = book(opened(), opened(layer=3, lots=5))
ONLY_THIRD.reduce_layer(reduced(next(ONLY_THIRD.layers()), 10, 50_100))


@pytest.mark.parametrize(
    ("alert", "held", "expected"),
    [
        # a base entry is Long_1 of an instrument that is flat
        (base_entry(layer=1), FLAT, None),
        (base_entry(layer=2), FLAT, C.LAYER_INVALID),
        (base_entry(layer=0), FLAT, C.LAYER_INVALID),
        (base_entry(layer=None), FLAT, C.LAYER_INVALID),
        (base_entry(layer=1), BASE_OPEN, C.ALREADY_IN_POSITION),
        (base_entry(layer=1), ONLY_THIRD, C.ALREADY_IN_POSITION),
        # an add is Long_2 to Long_6 (that there is a base is the gate's to say)
        (add(layer=2), FLAT, None),
        (add(layer=2), BASE_OPEN, None),
        (add(layer=6), BASE_OPEN, None),
        (add(layer=1), BASE_OPEN, C.LAYER_INVALID),
        (add(layer=7), BASE_OPEN, C.LAYER_INVALID),
        (add(layer=None), BASE_OPEN, C.LAYER_INVALID),
        # above the last open one
        (add(layer=2), TWO_OPEN, C.LAYER_OUT_OF_ORDER),
        (add(layer=3), TWO_OPEN, C.LAYER_OUT_OF_ORDER),
        (add(layer=4), TWO_OPEN, None),
        (add(layer=2), ONLY_THIRD, C.LAYER_OUT_OF_ORDER),
    ],
)
def test_a_layer_must_fit_the_book(
    alert: Signal, held: PortfolioStateManager, expected: DecisionCode | None
) -> None:
    assert code(alert, held) is expected


def test_the_most_layers_follow_from_the_most_adds() -> None:
    assert code(add(layer=3), BASE_OPEN, max_layers=3) is None
    assert code(add(layer=4), BASE_OPEN, max_layers=3) is C.LAYER_INVALID
    assert code(add(layer=2), BASE_OPEN, max_layers=1) is C.LAYER_INVALID


def test_a_refusal_says_its_numbers() -> None:
    refused = validator().check_alert(base_entry(), BASE_OPEN)
    assert refused is not None
    assert refused.reason == ("BANK_NIFTY/1/Long_1 is open: a base entry needs the instrument flat")
    refused = validator().check_alert(base_entry(stop=50_001), FLAT)
    assert refused is not None
    assert refused.reason == "stop 50001 is not below price 50000"


@pytest.mark.parametrize(
    ("age_s", "tier"),
    [
        (-5.0, NORMAL),  # a sender's clock that is ahead
        (0.0, NORMAL),
        (9.999, NORMAL),
        (10.0, WARNED),
        (30.0, WARNED),
        (30.001, HALVED),
        (60.0, HALVED),
        (60.001, REFUSED),
        (86_400.0, REFUSED),
    ],
)
def test_an_entry_ages_in_four_tiers(age_s: float, tier: AgeTier) -> None:
    assert validator().age_tier(age_s) is tier


def test_the_tiers_are_configuration() -> None:
    checks = validator(normal_age_s="1", warned_age_s="2", refused_age_s="3")
    assert [checks.age_tier(age) for age in (0.9, 1.0, 2.1, 3.1)] == list(AgeTier)


def proposed(alert: Signal, lots: int) -> ProposedEntry:
    """An entry that was sized on the alert's own stop."""
    return ProposedEntry(alert, lots, alert.stop, alert.price - alert.stop)


def execute(
    alert: Signal,
    broker: str = "50000",
    lots: int = 10,
    age_s: float = 0.0,
    bar_age_s: float = 5.0,
    **validation: Any,
) -> ExecutionCheck:
    return validator(**validation).check_execution(
        proposed(alert, lots), Decimal(broker), age_s, bar_age_s
    )


def outcome(check: ExecutionCheck) -> DecisionCode | int:
    """The refusal's code, or the lots that remain."""
    if check.refused is None:
        return check.lots
    assert check.lots == 0
    return check.refused.code


BASE, ADD = base_entry(stop=48_000), add(price=50_000, stop=48_000)


@pytest.mark.parametrize(
    ("alert", "broker", "age_s", "expected"),
    [
        # base 2 % of 50,000 = 1,000; the distance to the stop grows from 2,000 to 3,000: by 50 %
        (BASE, "51000", 0.0, 10),
        (BASE, "51000.05", 0.0, C.PRICE_DIVERGED),
        (BASE, "49000", 0.0, 10),
        (BASE, "48999.95", 0.0, C.PRICE_DIVERGED),
        # add 1 % = 500
        (ADD, "50400", 0.0, 10),
        (ADD, "50500", 0.0, 8),  # 2,500 is 25 % more: 10 x 2,000 / 2,500
        (ADD, "50500.05", 0.0, C.PRICE_DIVERGED),
        (ADD, "49500", 0.0, 10),
        (ADD, "49499.95", 0.0, C.PRICE_DIVERGED),
        # past 30 s half of that: 500 and 250
        (BASE, "50500", 30.1, 10),
        (BASE, "50500.05", 30.1, C.PRICE_DIVERGED),
        (BASE, "50500.05", 30.0, 10),
        (BASE, "49499.95", 60.0, C.PRICE_DIVERGED),
        (ADD, "50250", 30.1, 10),
        (ADD, "50250.05", 30.1, C.PRICE_DIVERGED),
        (ADD, "50250.05", 30.0, 10),
    ],
)
def test_the_brokers_price_may_not_have_gone_far(
    alert: Signal, broker: str, age_s: float, expected: DecisionCode | int
) -> None:
    assert outcome(execute(alert, broker, age_s=age_s)) == expected


def test_the_limits_of_divergence_are_configuration() -> None:
    assert outcome(execute(BASE, "50500.05", base_divergence_pct="1")) is C.PRICE_DIVERGED
    assert outcome(execute(ADD, "50250.05", pyramid_divergence_pct="0.5")) is C.PRICE_DIVERGED
    assert outcome(execute(BASE, "50250", age_s=30.1, late_divergence_fraction="0.25")) == 10
    late = execute(BASE, "50250.05", age_s=30.1, late_divergence_fraction="0.25")
    assert outcome(late) is C.PRICE_DIVERGED


@pytest.mark.parametrize(
    ("broker", "expected"),
    [("49800.05", 10), ("49800", C.PRICE_BELOW_STOP), ("49799.95", C.PRICE_BELOW_STOP)],
)
def test_a_price_already_at_the_stop_opens_nothing(
    broker: str, expected: DecisionCode | int
) -> None:
    assert outcome(execute(base_entry(), broker)) == expected


@pytest.mark.parametrize(
    ("alert", "broker", "lots", "expected"),
    [
        # base, 200 to the stop: up to 300 is 50 % more
        (base_entry(), "50100", 10, 10),
        (base_entry(), "50100.05", 10, 6),  # 10 x 200 / 300.05 = 6.67
        (base_entry(), "50200", 10, 5),  # 10 x 200 / 400
        (base_entry(), "50199.95", 10, 5),  # 5.0006
        (base_entry(), "50200.05", 10, 4),  # 4.9994
        (base_entry(), "50200", 2, 1),
        (base_entry(), "50200.05", 2, C.RISK_GREW),  # 0.9999: below one lot
        (base_entry(), "50200", 1, C.RISK_GREW),  # 0.5
        (base_entry(), "50100", 1, 1),
        # add, 200 to the stop: up to 240 is 20 % more
        (add(), "50540", 10, 10),
        (add(), "50540.05", 10, 8),  # 10 x 200 / 240.05 = 8.33
        (add(), "50540.05", 1, C.RISK_GREW),
        # a better price never buys more
        (base_entry(), "49900", 10, 10),
    ],
)
def test_risk_that_grew_is_cut_back_to_what_was_decided(
    alert: Signal, broker: str, lots: int, expected: DecisionCode | int
) -> None:
    assert outcome(execute(alert, broker, lots)) == expected


def test_the_limits_of_risk_growth_are_configuration() -> None:
    assert outcome(execute(base_entry(), "50000.05", base_risk_growth_pct="0")) == 9
    assert outcome(execute(base_entry(), "50200", base_risk_growth_pct="100")) == 10
    assert outcome(execute(add(), "50500.05", pyramid_risk_growth_pct="0")) == 9


@pytest.mark.parametrize(
    ("age_s", "bar_age_s", "expected"),
    [
        (60.0, 5.0, 10),
        (60.001, 5.0, C.SIGNAL_TOO_OLD),
        (0.0, 900.0, 10),
        (0.0, 900.001, C.SIGNAL_TOO_OLD),  # delivered at once, of a bar long closed
        (9_999.0, 9_999.0, C.SIGNAL_TOO_OLD),
    ],
)
def test_delivery_and_bar_are_each_too_old_on_their_own(
    age_s: float, bar_age_s: float, expected: DecisionCode | int
) -> None:
    assert outcome(execute(base_entry(), age_s=age_s, bar_age_s=bar_age_s)) == expected


def test_a_check_tells_its_tier_whether_or_not_it_refuses() -> None:
    assert [execute(base_entry(), age_s=age).tier for age in (1, 10, 31, 61)] == list(AgeTier)
    late = execute(base_entry(), age_s=75.2).refused
    assert late is not None
    assert late.reason == "delivered 75 s late, more than 60 s"
    old = execute(base_entry(), bar_age_s=1_200.4).refused
    assert old is not None
    assert old.reason == "its bar closed 1200 s ago, more than 900 s"


def test_the_oldest_bar_is_configuration() -> None:
    assert outcome(execute(base_entry(), bar_age_s=901, max_bar_age_s="1000")) == 10
    assert outcome(execute(base_entry(), bar_age_s=5, max_bar_age_s="4")) is C.SIGNAL_TOO_OLD


_points = st.integers(1, 200_000).map(lambda paisa: Decimal(paisa) / 100)


@given(distance=_points, move=_points, lots=st.integers(1, 500), is_base=st.booleans())
def test_what_may_be_executed_never_risks_much_more_than_was_decided(
    distance: Decimal, move: Decimal, lots: int, is_base: bool
) -> None:
    alert = (base_entry if is_base else add)(price=100_000, stop=100_000 - distance)
    growth = Fraction(3, 2) if is_base else Fraction(6, 5)
    check = SignalValidator(ValidationConfig()).check_execution(
        proposed(alert, lots), Decimal(100_000) + move, 0.0, 0.0
    )
    assert 0 <= check.lots <= lots
    assert (check.lots == 0) == (check.refused is not None)
    decided = Fraction(distance) * lots
    assert Fraction(distance + move) * check.lots <= decided * growth
    if 0 < check.lots < lots:
        assert Fraction(distance + move) * check.lots <= decided


def test_a_price_below_the_worked_stop_is_below_the_stop() -> None:
    """The layer would start under its own stop, though the alert's is further away."""
    entry = ProposedEntry(
        base_entry(stop=48_000), 10, initial_stop=Decimal(49_625), sized_distance=Decimal(2_000)
    )
    at_it = validator().check_execution(entry, Decimal(49_625), 0.0, 0.0)
    above = validator().check_execution(entry, Decimal("49_625.05"), 0.0, 0.0)
    assert at_it.refused is not None
    assert at_it.refused.code is C.PRICE_BELOW_STOP
    assert above.lots == 10


def test_a_stop_sized_at_the_floor_is_measured_at_the_floor() -> None:
    """One point away but sized on 62.5: three points are no growth, 94 are, by half."""
    entry = ProposedEntry(
        base_entry(stop=49_999), 100, initial_stop=Decimal(49_999), sized_distance=Decimal("62.5")
    )

    def kept(broker: str) -> int:
        return validator().check_execution(entry, Decimal(broker), 0.0, 0.0).lots

    assert kept("50002") == 100
    assert kept("50092.75") == 100  # 93.75 is half as much again as 62.5
    assert kept("50093") == 66  # 100 x 62.5 / 94
