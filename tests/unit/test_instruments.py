"""Instruments are data: lots by expiry, terms by day, and new ones without a line of code."""

from copy import deepcopy
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pytest

from core.charges import Charges, ChargeSchedule
from core.config import PortfolioConfig
from core.contracts import Contracts
from core.data import shipped
from core.errors import ConfigInvalid, OutsideCoverage, Rejected
from core.instruments import InstrumentCatalog, InstrumentKind
from core.ist import IST
from core.market_calendar import MarketCalendar
from core.models import ContractTerms

CALENDAR = MarketCalendar.shipped()
CATALOG = InstrumentCatalog.shipped()
CONTRACTS = Contracts(CALENDAR, CATALOG)
TODAY = date(2026, 11, 23)


def entry_of(
    root: str, *, months: list[int], lot: int, point_value: str, tick: str
) -> dict[str, Any]:
    """An MCX future that ends on the last day of its month, as an operator would write it."""
    since = "2020-01-01"
    return {
        "kind": "FUTURE",
        "calendar_exchange": "MCX",
        "broker_exchange": "MCX",
        "root": root,
        "charge_segment": "MCX_FUTURE",
        "months": months,
        "roll_days": 8,
        "point_value": point_value,
        "expiry_rules": [{"from": since, "kind": "day_of_month", "day": 31}],
        "tender": [
            {
                "from": since,
                "window_days": 3,
                "no_new_entry_days": 6,
                "roll_days": 5,
                "hard_exit_days": 3,
                "hard_exit_time": "19:00",
            }
        ],
        "lots": [{"from": since, "value": lot}],
        "freeze_quantities": [{"from": since, "value": lot * 40}],
        "ticks": {"future": [{"from": since, "value": tick}]},
        "margins": [{"from": since, "floor_inr": "0", "fraction": "0.15"}],
        "trading": {"volatility_pct": "0.3"},
        "strategy": {"timeframe_min": 60},
    }


NEWCOMERS = {
    "SILVER_MINI": entry_of("SILVERM", months=[2, 4, 6, 8, 11], lot=5, point_value="5", tick="1"),
    "COPPER": entry_of(
        "COPPER", months=list(range(1, 13)), lot=2500, point_value="2500", tick="0.05"
    ),
}


@pytest.mark.parametrize(
    ("expiry", "lot"),
    [
        (date(2005, 6, 30), 100),
        (date(2007, 2, 22), 50),
        (date(2010, 4, 29), 25),
        (date(2015, 7, 30), 25),
        (date(2015, 8, 27), 30),
        (date(2016, 4, 28), 40),
        (date(2017, 6, 29), 40),
        (date(2018, 9, 27), 40),
        (date(2018, 10, 25), 20),
        (date(2019, 6, 27), 20),
        (date(2020, 4, 30), 20),
        (date(2020, 5, 28), 25),
        (date(2023, 6, 29), 25),
        (date(2023, 7, 27), 15),
        (date(2025, 1, 30), 15),
        (date(2025, 2, 27), 30),
        (date(2025, 6, 26), 30),
        (date(2025, 7, 31), 35),
        (date(2025, 12, 30), 35),
        (date(2026, 1, 27), 30),
        (date(2026, 12, 29), 30),
    ],
)
def test_a_bank_nifty_lot_belongs_to_its_expiry(expiry: date, lot: int) -> None:
    assert CATALOG["BANK_NIFTY"].lots.on(expiry) == lot


def test_a_change_of_lot_is_a_dated_row_and_leaves_earlier_contracts_alone() -> None:
    """Protects: a lot of 35 became 30, and was edited in eleven files, open positions included."""
    december, january = date(2025, 12, 1), date(2025, 12, 29)
    before, after = (CONTRACTS.terms("BANK_NIFTY", on) for on in (december, january))
    assert (before.expiry, before.lot_size) == (date(2025, 12, 30), 35)
    assert (after.expiry, after.lot_size) == (date(2026, 1, 27), 30)
    assert (before.point_value, after.point_value) == (Decimal(35), Decimal(30))

    row = {"from": "2027-01-01", "value": 25}
    catalog = InstrumentCatalog.shipped({"BANK_NIFTY": {"lots": [row]}})
    contracts = Contracts(CALENDAR, catalog)
    assert contracts.terms("BANK_NIFTY", date(2026, 12, 21)).lot_size == 30
    assert contracts.terms("BANK_NIFTY", date(2026, 12, 22)).lot_size == 25
    assert contracts.terms("BANK_NIFTY", december) == before


@pytest.mark.parametrize(
    ("on", "quantity"),
    [
        (date(2019, 6, 3), 900),
        (date(2025, 6, 30), 900),
        (date(2025, 7, 1), 600),
        (date(2025, 9, 1), 900),
        (date(2025, 10, 15), 600),
        (date(2025, 11, 3), 600),
        (date(2026, 3, 31), 600),
        (date(2026, 4, 1), 900),
        (date(2026, 7, 1), 600),
        (date(2026, 10, 5), 1440),
        (date(2026, 10, 30), 1440),
        (date(2026, 11, 23), 600),
    ],
)
def test_freeze_quantities_follow_the_circulars_and_the_smallest_where_none_was_seen(
    on: date, quantity: int
) -> None:
    assert CATALOG["BANK_NIFTY"].freeze_quantities.on(on) == quantity


@pytest.mark.parametrize(
    ("instrument", "on", "floor", "fraction"),
    [
        ("BANK_NIFTY", date(2019, 6, 3), 0, "0.16"),
        ("BANK_NIFTY", date(2025, 1, 22), 0, "0.16"),
        ("BANK_NIFTY", date(2025, 1, 23), 270_000, "0.16"),
        ("BANK_NIFTY", TODAY, 270_000, "0.16"),
        ("GOLD_MINI", date(2024, 12, 31), 0, "0.12"),
        ("GOLD_MINI", date(2025, 1, 1), 105_000, "0.12"),
    ],
)
def test_margins_are_those_of_the_day(instrument: str, on: date, floor: int, fraction: str) -> None:
    terms = CONTRACTS.terms(instrument, on)
    assert (terms.margin_floor_inr, terms.margin_fraction) == (Decimal(floor), Decimal(fraction))


def test_the_bank_nifty_margin_floor_starts_with_the_first_lot_of_thirty() -> None:
    assert CONTRACTS.terms("BANK_NIFTY", date(2025, 1, 22)).lot_size == 15
    assert CONTRACTS.terms("BANK_NIFTY", date(2025, 1, 23)).lot_size == 30


def test_the_futures_tick_of_bank_nifty_widened_and_the_option_tick_did_not() -> None:
    spec = CATALOG["BANK_NIFTY"]
    for on, tick in ((date(2025, 4, 14), "0.05"), (date(2025, 4, 15), "0.20")):
        assert spec.future_ticks.on(on) == Decimal(tick)
        assert spec.ticks.on(on) == Decimal("0.05")


def test_the_terms_of_a_day_are_those_of_its_entry_contract() -> None:
    assert CONTRACTS.terms("GOLD_MINI", TODAY) == ContractTerms(
        instrument="GOLD_MINI",
        expiry=date(2026, 12, 4),
        lot_size=100,
        point_value=Decimal(10),
        tick=Decimal(1),
        margin_floor_inr=Decimal(105_000),
        margin_fraction=Decimal("0.12"),
        freeze_quantity=10_000,
        symbol="GOLDM04DEC26FUT",
    )
    synthetic = CONTRACTS.terms("BANK_NIFTY", TODAY)
    assert (synthetic.expiry, synthetic.symbol) == (date(2026, 12, 29), None)
    assert not synthetic.provisional
    assert CONTRACTS.terms("BANK_NIFTY", date(2026, 12, 28)).provisional
    assert CONTRACTS.terms("BANK_NIFTY", TODAY) is synthetic


def test_trades_of_the_past_use_the_lots_of_their_time() -> None:
    assert CONTRACTS.terms("BANK_NIFTY", date(2017, 6, 5)).point_value == 40
    assert CONTRACTS.terms("BANK_NIFTY", date(2019, 6, 3)).point_value == 20
    with pytest.raises(OutsideCoverage, match=r"BANK_NIFTY\.lots"):
        CONTRACTS.terms("BANK_NIFTY", date(2004, 6, 1))


def test_shipped_defaults_are_valid_configuration() -> None:
    config = PortfolioConfig.from_mapping({}, CATALOG.config_defaults())
    bank, gold = config.instruments["BANK_NIFTY"], config.instruments["GOLD_MINI"]
    assert (bank.trading.volatility_pct, gold.trading.volatility_pct) == (
        Decimal("0.5"),
        Decimal("0.2"),
    )
    assert (bank.trading.initial_atr_mult, bank.trading.trailing_atr_mult) == (
        Decimal("1.5"),
        Decimal("2.5"),
    )
    assert (gold.trading.initial_atr_mult, gold.trading.trailing_atr_mult) == (
        Decimal(1),
        Decimal(2),
    )
    assert (bank.strategy.timeframe_min, gold.strategy.timeframe_min) == (75, 60)
    assert (bank.strategy.adx_threshold, gold.strategy.adx_threshold) == (25.0, 15.0)


def test_silver_mini_and_copper_take_data_only() -> None:
    """Protects: adding an instrument once missed a dozen if/elif chains."""
    catalog = InstrumentCatalog.shipped(NEWCOMERS)
    contracts = Contracts(CALENDAR, catalog)
    assert list(catalog) == ["BANK_NIFTY", "GOLD_MINI", "SILVER_MINI", "COPPER"]

    silver, copper = (contracts.terms(name, TODAY) for name in NEWCOMERS)
    assert (silver.symbol, silver.point_value) == ("SILVERM26FEB27FUT", Decimal(5))
    assert (copper.symbol, copper.point_value) == ("COPPER31DEC26FUT", Decimal(2500))
    assert contracts.terms("SILVER_MINI", date(2026, 11, 2)).symbol == "SILVERM30NOV26FUT"
    assert contracts.next_expiry("SILVER_MINI", date(2026, 4, 30)).day == date(2026, 6, 30)

    session = CALENDAR.session(catalog["COPPER"].calendar_exchange, TODAY)
    assert session is not None
    assert session.close == datetime.combine(TODAY, time(23, 55), IST)
    assert contracts.last_trading_moment("COPPER", copper.expiry, TODAY) == session.close
    tender = contracts.tender_dates("COPPER", copper.expiry)
    assert tender is not None
    assert (tender.tender_starts, tender.hard_exit.date()) == (
        date(2026, 12, 29),
        date(2026, 12, 28),
    )

    paid = ChargeSchedule.shipped().exposure(
        catalog["COPPER"], copper, Decimal(900), 2, TODAY, opening=False
    )
    assert paid.rounded() == Charges(
        brokerage=Decimal("20.00"),
        stt=Decimal("450.00"),
        exchange=Decimal("94.50"),
        sebi=Decimal("4.50"),
        stamp=Decimal("0.00"),
        gst=Decimal("21.42"),
    )
    config = PortfolioConfig.from_mapping({}, catalog.config_defaults())
    assert config.instruments["COPPER"].trading.volatility_pct == Decimal("0.3")


def test_an_override_changes_what_it_names_and_nothing_else() -> None:
    own = {"GOLD_MINI": {"roll_days": 12, "trading": {"risk_pct": "0.5"}}}
    changed, unchanged = InstrumentCatalog.shipped(own)["GOLD_MINI"], CATALOG["GOLD_MINI"]
    assert (changed.roll_days, unchanged.roll_days) == (12, 8)
    assert changed.trading["risk_pct"] == "0.5"
    assert changed.trading["volatility_pct"] == unchanged.trading["volatility_pct"]
    assert changed.lots.rows == unchanged.lots.rows


def test_a_margin_surcharge_can_lie_over_the_usual_margin_for_a_while() -> None:
    row = {"from": "2026-11-23", "to": "2026-11-27", "floor_inr": 157000, "fraction": 0.16}
    contracts = Contracts(CALENDAR, InstrumentCatalog.shipped({"GOLD_MINI": {"margins": [row]}}))
    floors = [
        contracts.terms("GOLD_MINI", date(2026, 11, day)).margin_floor_inr for day in (20, 23, 30)
    ]
    assert floors == [105_000, 157_000, 105_000]


def broken(*path: str | int, value: object) -> dict[str, Any]:
    """The silver entry with one value replaced; `...` removes the key."""
    entry = deepcopy(NEWCOMERS["SILVER_MINI"])
    place: Any = entry
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return {"SILVER_MINI": entry}


@pytest.mark.parametrize(
    ("extra", "path"),
    [
        ([], "instruments"),
        ({"SILVER_MINI": "SILVERM"}, "instruments.SILVER_MINI"),
        (broken("kind", value="SWAP"), "instruments.SILVER_MINI.kind"),
        (
            broken("kind", value="SYNTHETIC"),
            "instruments.SILVER_MINI.strike_step",
        ),
        (broken("root", value=...), "instruments.SILVER_MINI.root"),
        (broken("roll_days", value=0), "instruments.SILVER_MINI.roll_days"),
        (broken("months", value=[]), "instruments.SILVER_MINI.months"),
        (broken("months", value=[0]), "instruments.SILVER_MINI.months[0]"),
        (broken("months", value=[13]), "instruments.SILVER_MINI.months"),
        (broken("point_value", value="lots"), "instruments.SILVER_MINI.point_value"),
        (broken("point_value", value="0"), "instruments.SILVER_MINI.point_value"),
        (broken("lots", 0, "value", value=0), "instruments.SILVER_MINI.lots[0].value"),
        (broken("lots", value=[]), "instruments.SILVER_MINI.lots"),
        (broken("ticks", value={}), "instruments.SILVER_MINI.ticks.future"),
        (broken("ticks", "option", value=[]), "instruments.SILVER_MINI.ticks.option"),
        (
            broken("margins", 0, "fraction", value="x"),
            "instruments.SILVER_MINI.margins[0].fraction",
        ),
        (
            broken("expiry_rules", 0, "kind", value="nth"),
            "instruments.SILVER_MINI.expiry_rules[0].kind",
        ),
        (broken("expiry_rules", 0, "day", value=32), "instruments.SILVER_MINI.expiry_rules[0].day"),
        (
            broken("tender", 0, "hard_exit_days", value=2),
            "instruments.SILVER_MINI.tender[0].hard_exit_days",
        ),
        (broken("colour", value="grey"), "instruments.SILVER_MINI.colour"),
        ({"BANK_NIFTY": {"strike_step": "0"}}, "instruments.BANK_NIFTY.strike_step"),
        ({"BANK_NIFTY": {"lot": []}}, "instruments.BANK_NIFTY.lot"),
    ],
)
def test_a_malformed_entry_is_named_by_its_path(extra: object, path: str) -> None:
    with pytest.raises(ConfigInvalid) as refusal:
        InstrumentCatalog.shipped(extra)
    assert refusal.value.path == path


def test_a_point_value_may_be_written_as_a_number() -> None:
    catalog = InstrumentCatalog.shipped(broken("point_value", value=5))
    assert catalog["SILVER_MINI"].point_value(5) == 5


def test_an_unknown_instrument_is_refused_by_name() -> None:
    assert "COPPER" not in CATALOG
    assert len(CATALOG) == len(shipped("instruments"))
    with pytest.raises(Rejected, match="known: BANK_NIFTY, GOLD_MINI") as refusal:
        CATALOG["COPPER"]
    assert refusal.value.code == "UNKNOWN_INSTRUMENT"


def test_kinds_have_what_their_orders_need() -> None:
    bank, gold = CATALOG["BANK_NIFTY"], CATALOG["GOLD_MINI"]
    assert (bank.kind, bank.strike_step) == (InstrumentKind.SYNTHETIC, Decimal(500))
    assert (gold.kind, gold.strike_step) == (InstrumentKind.FUTURE, None)
    assert (bank.calendar_exchange, bank.broker_exchange) == ("NSE", "NFO")
    assert (gold.calendar_exchange, gold.broker_exchange) == ("MCX", "MCX")
    assert (bank.root, gold.root) == ("BANKNIFTY", "GOLDM")
