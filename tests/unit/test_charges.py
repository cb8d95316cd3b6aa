"""Charges: the two worked examples to the paisa, each rate on its day, nothing rounded early."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.charges import Charges, ChargeSchedule, Side
from core.contracts import Contracts
from core.errors import ConfigInvalid, OutsideCoverage, Rejected
from core.instruments import InstrumentCatalog
from core.market_calendar import MarketCalendar

SCHEDULE = ChargeSchedule.shipped()
CATALOG = InstrumentCatalog.shipped()
CONTRACTS = Contracts(MarketCalendar.shipped(), CATALOG)
TODAY = date(2026, 11, 23)
OPTION, FUTURE = "NSE_INDEX_OPTION", "MCX_FUTURE"
AMOUNTS = st.decimals(Decimal(1), Decimal(10**9), places=2)


def test_a_synthetic_round_trip_costs_about_205_rupees_a_lot() -> None:
    """Call 800, put 750, 30 units: bought and sold at the same premiums."""
    call, put = Decimal(800 * 30), Decimal(750 * 30)
    legs = [(Side.BUY, call), (Side.SELL, put), (Side.BUY, put), (Side.SELL, call)]
    total = sum((SCHEDULE.leg(OPTION, *leg, TODAY) for leg in legs), Charges())
    assert total.rounded() == Charges(
        brokerage=Decimal("80.00"),
        stt=Decimal("69.75"),
        exchange=Decimal("33.04"),
        sebi=Decimal("0.09"),
        stamp=Decimal("1.40"),
        gst=Decimal("20.36"),
    )
    assert round(total.total) == 205


def test_a_gold_mini_round_trip_costs_about_305_rupees_a_lot() -> None:
    """At 1,50,000 per 10 g: a notional of 15 lakh, once bought and once sold."""
    notional = Decimal(1_500_000)
    legs = (SCHEDULE.leg(FUTURE, side, notional, TODAY) for side in Side)
    total = sum(legs, Charges())
    assert total.rounded() == Charges(
        brokerage=Decimal("40.00"),
        stt=Decimal("150.00"),
        exchange=Decimal("63.00"),
        sebi=Decimal("3.00"),
        stamp=Decimal("30.00"),
        gst=Decimal("19.08"),
    )
    assert round(total.total) == 305


@pytest.mark.parametrize(
    ("on", "tax"),
    [
        (date(2019, 6, 3), "62.50"),
        (date(2024, 9, 30), "62.50"),
        (date(2024, 10, 1), "100.00"),
        (date(2026, 3, 31), "100.00"),
        (date(2026, 4, 1), "150.00"),
    ],
)
def test_a_sold_option_pays_the_transaction_tax_of_its_day(on: date, tax: str) -> None:
    premium = Decimal(100_000)
    assert SCHEDULE.leg(OPTION, Side.SELL, premium, on).stt == Decimal(tax)
    assert SCHEDULE.leg(OPTION, Side.BUY, premium, on).stt == 0


@pytest.mark.parametrize(
    ("on", "tax"), [(date(2026, 3, 31), "125.00"), (date(2026, 4, 1), "150.00")]
)
def test_only_the_holder_pays_at_exercise_and_only_the_tax(on: date, tax: str) -> None:
    intrinsic = Decimal(100_000)
    holder = SCHEDULE.leg(OPTION, Side.SELL, intrinsic, on, exercised=True)
    writer = SCHEDULE.leg(OPTION, Side.BUY, intrinsic, on, exercised=True)
    assert holder == Charges(stt=Decimal(tax))
    assert writer == Charges()


def test_commodities_paid_no_transaction_tax_before_july_2013() -> None:
    notional = Decimal(300_000)
    assert SCHEDULE.leg(FUTURE, Side.SELL, notional, date(2013, 6, 28)).stt == 0
    assert SCHEDULE.leg(FUTURE, Side.SELL, notional, date(2013, 7, 1)).stt == Decimal(30)


def test_only_a_buyer_pays_stamp_duty() -> None:
    turnover = Decimal(100_000)
    assert SCHEDULE.leg(OPTION, Side.BUY, turnover, TODAY).stamp == 3
    assert SCHEDULE.leg(OPTION, Side.SELL, turnover, TODAY).stamp == 0


@given(AMOUNTS, st.sampled_from(Side), st.sampled_from([OPTION, FUTURE]), st.integers(1, 50))
def test_gst_is_on_brokerage_exchange_and_sebi_alone(
    turnover: Decimal, side: Side, segment: str, orders: int
) -> None:
    charges = SCHEDULE.leg(segment, side, turnover, TODAY, orders)
    base = charges.brokerage + charges.exchange + charges.sebi
    assert charges.gst == base * Decimal("0.18")
    assert charges.brokerage == 20 * orders
    assert charges.total == base + charges.gst + charges.stt + charges.stamp


@given(AMOUNTS, AMOUNTS)
def test_legs_add_up_exactly_because_nothing_is_rounded(first: Decimal, second: Decimal) -> None:
    apart = SCHEDULE.leg(OPTION, Side.SELL, first, TODAY) + SCHEDULE.leg(
        OPTION, Side.SELL, second, TODAY
    )
    assert apart == SCHEDULE.leg(OPTION, Side.SELL, first + second, TODAY, orders=2)


def test_rounding_is_to_the_paisa_with_halves_up() -> None:
    assert Charges(stamp=Decimal("1.395")).rounded().stamp == Decimal("1.40")
    assert Charges(sebi=Decimal("0.0349")).rounded().sebi == Decimal("0.03")


def test_opening_a_synthetic_buys_the_call_and_sells_the_put() -> None:
    spec, price = CATALOG["BANK_NIFTY"], Decimal(56_400)
    terms = CONTRACTS.terms("BANK_NIFTY", TODAY)
    assert spec.assumed_premium_fractions is not None
    call = spec.assumed_premium_fractions.call * price * 30
    put = spec.assumed_premium_fractions.put * price * 30
    opening = SCHEDULE.exposure(spec, terms, price, 1, TODAY, True)
    closing = SCHEDULE.exposure(spec, terms, price, 1, TODAY, False)
    assert opening.stt == put * Decimal("0.0015")
    assert closing.stt == call * Decimal("0.0015")
    assert opening.stamp == call * Decimal("0.00003")
    assert round((opening + closing).total) == 205


def test_opening_a_future_buys_and_closing_sells() -> None:
    spec, price = CATALOG["GOLD_MINI"], Decimal(150_000)
    terms = CONTRACTS.terms("GOLD_MINI", TODAY)
    opening = SCHEDULE.exposure(spec, terms, price, 2, TODAY, True)
    closing = SCHEDULE.exposure(spec, terms, price, 2, TODAY, False)
    assert opening == SCHEDULE.leg(FUTURE, Side.BUY, Decimal(3_000_000), TODAY)
    assert closing == SCHEDULE.leg(FUTURE, Side.SELL, Decimal(3_000_000), TODAY)


@pytest.mark.parametrize(
    ("instrument", "lots", "orders"),
    [
        ("BANK_NIFTY", 20, 1),
        ("BANK_NIFTY", 21, 2),
        ("BANK_NIFTY", 61, 4),
        ("GOLD_MINI", 100, 1),
        ("GOLD_MINI", 101, 2),
    ],
)
def test_orders_are_cut_at_the_freeze_quantity_in_whole_lots(
    instrument: str, lots: int, orders: int
) -> None:
    spec, terms = CATALOG[instrument], CONTRACTS.terms(instrument, TODAY)
    charges = SCHEDULE.exposure(spec, terms, Decimal(50_000), lots, TODAY, True)
    legs = 2 if instrument == "BANK_NIFTY" else 1
    assert charges.brokerage == 20 * orders * legs


def test_without_a_freeze_quantity_one_order_carries_all_lots() -> None:
    terms = replace(CONTRACTS.terms("GOLD_MINI", TODAY), freeze_quantity=None)
    charges = SCHEDULE.exposure(CATALOG["GOLD_MINI"], terms, Decimal(1), 5000, TODAY, True)
    assert charges.brokerage == 20


def test_the_operators_rate_wins_from_its_day_on() -> None:
    row = {"from": "2026-12-01", "value": "10"}
    own = ChargeSchedule.shipped({OPTION: {"brokerage_per_order_inr": [row]}})
    turnover = Decimal(1000)
    assert own.leg(OPTION, Side.BUY, turnover, date(2026, 11, 30)).brokerage == 20
    assert own.leg(OPTION, Side.BUY, turnover, date(2026, 12, 1)).brokerage == 10
    assert own.leg(FUTURE, Side.BUY, turnover, date(2026, 12, 1)).brokerage == 20


@pytest.mark.parametrize(
    ("overrides", "path"),
    [
        ([], "charges"),
        (
            {OPTION: {"gst": [{"from": "2026-12-01", "value": "-1"}]}},
            f"charges.{OPTION}.gst[0].value",
        ),
        ({OPTION: {"vat": []}}, f"charges.{OPTION}.vat"),
        ({"NEW": {}}, "charges.NEW.brokerage_per_order_inr"),
    ],
)
def test_a_malformed_override_is_named_by_its_path(overrides: object, path: str) -> None:
    with pytest.raises(ConfigInvalid) as refusal:
        ChargeSchedule.shipped(overrides)
    assert refusal.value.path == path


def test_an_unknown_segment_or_day_is_refused() -> None:
    with pytest.raises(Rejected, match="NSE_INDEX_OPTION, MCX_FUTURE"):
        SCHEDULE.leg("NSE_EQUITY", Side.BUY, Decimal(1), TODAY)
    with pytest.raises(OutsideCoverage):
        SCHEDULE.leg(OPTION, Side.BUY, Decimal(1), date(1989, 12, 31))
