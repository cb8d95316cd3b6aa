"""The vocabulary: layers, trades, contracts, errors and times say what they say."""

from dataclasses import FrozenInstanceError, fields, replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from core.config import fraction
from core.decision_record import Decision, DecisionCode, LayerClose
from core.errors import (
    ConfigInvalid,
    Halted,
    InputInvalid,
    OutcomeUnknown,
    OutsideCoverage,
    PortfolioError,
    Rejected,
    Retryable,
)
from core.ist import IST, as_ist
from core.models import MAX_LAYERS, Position, SignalType, layer_name
from tests.fixtures.rules import BANK, MORNING, base_entry, book, opened, reduced, terms


def test_layers_have_the_names_that_alerts_use() -> None:
    assert [layer_name(layer) for layer in (1, 2, MAX_LAYERS)] == ["Long_1", "Long_2", "Long_6"]
    assert layer_name(None) == "ALL"


@pytest.mark.parametrize(
    ("stop", "risk"),
    [
        ("49800", "60000"),  # 200 x 10 x 30
        ("49999.95", "15.00"),  # 0.05 x 10 x 30
        ("50000", "0"),
        ("50400", "0"),  # a gain that is locked in is no risk
    ],
)
def test_a_layers_risk_is_from_its_entry_to_its_stop(stop: str, risk: str) -> None:
    layer = book(opened())[BANK].layers[0]
    layer.stop = Decimal(stop)
    assert layer.risk == Decimal(risk)
    assert layer.initial_risk == 60_000


def test_a_layers_first_risk_does_not_shrink_with_its_lots() -> None:
    held = book(opened())
    layer = held[BANK].layers[0]
    held.reduce_layer(reduced(layer, 4, 50_100))
    assert layer.initial_risk == 60_000  # 200 x 10 x 30
    assert layer.risk == 36_000  # 200 x 6 x 30


def test_a_layers_open_pnl_is_before_charges() -> None:
    layer = book(opened(charges=100))[BANK].layers[0]
    assert layer.open_pnl(Decimal("50450.50")) == 135_150  # 450.5 x 10 x 30
    assert layer.open_pnl(Decimal(49_900)) == -30_000


@pytest.mark.parametrize(
    ("stop", "price", "charges", "multiple"),
    [
        # 10 lots of 30 from 50,000
        (49_800, 50_400, 0, 2.0),  # 1,20,000 of 60,000
        (49_800, 50_400, 6_000, 1.9),  # net of charges
        (49_800, 49_800, 0, -1.0),
        (49_900, 50_400, 0, 4.0),
        ("49999.999", 50_000, 0, 0.0),  # 0.001 x 300: thirty paise are a risk too
        (50_000, 50_400, 0, None),  # no risk was recorded
        (50_100, 50_400, 0, None),
    ],
)
def test_a_trade_is_told_in_units_of_the_risk_first_taken(
    stop: int | str, price: int, charges: int, multiple: float | None
) -> None:
    held = book(opened(initial_stop=stop))
    trade = held.reduce_layer(reduced(held[BANK].layers[0], 10, price, charges=charges))
    assert trade.r_multiple == multiple


@pytest.mark.parametrize(
    ("price", "quote", "margin"),
    [
        ("50000", None, "270000"),  # 16 % of 50,000 x 30 = 2,40,000
        ("60000", None, "288000"),
        ("50000", "300000", "300000"),
        ("60000", "287999.99", "288000"),
    ],
)
def test_margin_a_lot(price: str, quote: str | None, margin: str) -> None:
    broker = None if quote is None else Decimal(quote)
    assert terms().margin_per_lot(Decimal(price), broker) == Decimal(margin)


def test_what_a_contract_or_a_layer_is_not_told_is_nothing() -> None:
    assert terms().provisional is False
    assert terms().freeze_quantity is None
    layer = book(opened(charges=100))[BANK].layers[0]
    kept = {item.name: getattr(layer, item.name) for item in fields(Position)}
    for name in ("limiter", "symbol", "entry_charges"):
        kept.pop(name)
    bare = Position(**kept)
    assert (bare.limiter, bare.symbol, bare.entry_charges) == (None, None, Decimal(0))


def test_alerts_are_values() -> None:
    alert = base_entry()
    assert alert == base_entry()
    assert replace(alert, layer=2) != alert
    with pytest.raises(FrozenInstanceError):
        alert.layer = 2  # type: ignore[misc]  # that it cannot be is what is shown


def test_a_percentage_is_read_as_a_fraction() -> None:
    assert fraction(Decimal("1.5")) == Decimal("0.015")
    assert fraction(Decimal(60)) == Decimal("0.6")


@pytest.mark.parametrize(
    ("lots", "closes", "acts"),
    [(0, (), False), (1, (), True), (0, (LayerClose("BANK_NIFTY/1/Long_1", 1, 1),), True)],
)
def test_a_decision_acts_when_it_opens_or_closes(
    lots: int, closes: tuple[LayerClose, ...], acts: bool
) -> None:
    kind, code = SignalType.BASE_ENTRY, DecisionCode.ENTER_BASE
    assert Decision(code, "", BANK, kind, lots=lots, closes=closes).acts is acts


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2026, 1, 5, 10, 30), MORNING),  # noqa: DTZ001  # without an offset: Indian
        (datetime(2026, 1, 5, 5, 0, tzinfo=UTC), MORNING),
        (datetime(2026, 1, 5, 0, 0, tzinfo=timezone(timedelta(hours=-5))), MORNING),
        (MORNING, MORNING),
    ],
)
def test_a_time_without_an_offset_is_indian(moment: datetime, expected: datetime) -> None:
    found = as_ist(moment)
    assert found == expected
    assert found.tzinfo is IST
    assert found.hour == 10


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Rejected("ZERO_LOTS", "less than one lot"), "less than one lot"),
        (
            OutsideCoverage("the NSE calendar", date(2031, 1, 2), "2024 to 2026"),
            "the NSE calendar is not known for 2031-01-02 (covered: 2024 to 2026); "
            "add the dated rows or an operator override",
        ),
        (
            ConfigInvalid("pyramid.max_adds", 9, "allowed: a whole number 0 to 5 adds"),
            "pyramid.max_adds: 9 is not allowed; allowed: a whole number 0 to 5 adds",
        ),
        (InputInvalid("trades.csv", "no price"), "trades.csv: no price"),
        (InputInvalid("trades.csv", "no price", 7), "trades.csv, line 7: no price"),
        (Retryable("busy"), "busy"),
        (OutcomeUnknown("no reply"), "no reply"),
        (Halted("kill switch"), "kill switch"),
    ],
)
def test_every_error_is_one_sentence(error: PortfolioError, text: str) -> None:
    assert str(error) == text
    assert isinstance(error, PortfolioError)


def test_a_refused_value_is_shown_in_one_line_however_long_or_deep_it_is() -> None:
    deep: list[object] = []
    for _ in range(10_000):
        deep = [deep]
    for value in ("x" * 100_000, list(range(100_000)), {"a": "x" * 100_000}, deep):
        error = ConfigInvalid("portfolio", value, "an object with named settings")
        assert len(str(error)) < 200
        assert error.value is value


def test_a_rejection_carries_its_stable_code() -> None:
    assert Rejected("NOT_HELD", "3 lots asked, 2 held").code == "NOT_HELD"
    missing = OutsideCoverage("lot size", date(2031, 1, 2), "2005 to 2027")
    assert isinstance(missing, Rejected)
    assert (missing.code, missing.day) == ("OUTSIDE_COVERAGE", date(2031, 1, 2))
