"""When a contract is left, contract by contract, and how many lots of the next one that makes."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.contracts import Contracts
from core.instruments import InstrumentCatalog
from core.ist import IST
from core.market_calendar import MarketCalendar
from core.roll_lots import lots_behind, lots_kept
from core.rollover import RollStep, RollWindow, roll_window
from tests.fixtures.rules import BANK, GOLD

CALENDAR = MarketCalendar.shipped()
CATALOG = InstrumentCatalog.shipped()
CONTRACTS = Contracts(CALENDAR, CATALOG)
LEAD = timedelta(minutes=60)

# instrument, expiry, rolled from, gone by
WINDOWS = [
    (BANK, "2026-01-27", "2026-01-20", "2026-01-23T15:30"),  # 26 January is a holiday
    (BANK, "2026-03-30", "2026-03-23", "2026-03-27T15:30"),  # a Monday: the 31st is a holiday
    (BANK, "2026-04-28", "2026-04-21", "2026-04-27T15:30"),
    (BANK, "2026-08-25", "2026-08-18", "2026-08-24T15:40"),  # the close is 15:40 since 3 August
    (BANK, "2026-10-27", "2026-10-20", "2026-10-26T15:40"),
    (BANK, "2026-11-23", "2026-11-16", "2026-11-20T15:40"),  # a Monday: the 24th is a holiday
    (BANK, "2026-12-29", "2026-12-22", "2026-12-28T15:45"),  # 15:45 since 7 December
    (BANK, "2027-01-25", "2027-01-18", "2027-01-22T15:45"),  # a Monday: the 26th is a holiday
    (GOLD, "2026-01-05", "2025-12-28", "2025-12-30T19:00"),  # 1 January is a half day
    (GOLD, "2026-02-05", "2026-01-28", "2026-02-02T19:00"),
    (GOLD, "2026-04-02", "2026-03-25", "2026-03-27T19:00"),  # 31 March trades in the evening only
    (GOLD, "2026-05-05", "2026-04-27", "2026-04-29T19:00"),
    (GOLD, "2026-11-05", "2026-10-28", "2026-11-02T19:00"),
    (GOLD, "2026-12-04", "2026-11-26", "2026-12-01T19:00"),
    (GOLD, "2027-01-05", "2026-12-28", "2026-12-30T19:00"),
    (GOLD, "2027-02-05", "2027-01-28", "2027-02-02T19:00"),
]


def window(instrument: str, expiry: str) -> RollWindow:
    spec = CATALOG[instrument]
    return roll_window(CONTRACTS, CALENDAR, spec, date.fromisoformat(expiry))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=IST)


@pytest.mark.parametrize(("instrument", "expiry", "opens", "gone_by"), WINDOWS)
def test_each_contract_has_its_window(
    instrument: str, expiry: str, opens: str, gone_by: str
) -> None:
    found = window(instrument, expiry)
    assert (found.opens.isoformat(), found.gone_by) == (opens, at(gone_by))


# instrument, expiry, the moment, what is due
STEPS = [
    (BANK, "2026-11-23", "2026-11-15T12:00", RollStep.KEEP),
    (BANK, "2026-11-23", "2026-11-16T09:15", RollStep.ROLL),
    (BANK, "2026-11-23", "2026-11-20T14:39", RollStep.ROLL),
    (BANK, "2026-11-23", "2026-11-20T14:40", RollStep.EXIT),
    (BANK, "2026-11-23", "2026-11-23T09:15", RollStep.EXIT),
    (BANK, "2026-11-23", "2026-11-25T09:15", RollStep.EXIT),
    (GOLD, "2026-12-04", "2026-11-25T23:54", RollStep.KEEP),
    (GOLD, "2026-12-04", "2026-11-26T09:00", RollStep.ROLL),
    (GOLD, "2026-12-04", "2026-12-01T17:59", RollStep.ROLL),
    (GOLD, "2026-12-04", "2026-12-01T18:00", RollStep.EXIT),
    (GOLD, "2026-12-04", "2026-12-02T09:00", RollStep.EXIT),
    (GOLD, "2027-01-05", "2026-12-30T17:59", RollStep.ROLL),
    (GOLD, "2027-01-05", "2026-12-30T18:00", RollStep.EXIT),
    (BANK, "2027-01-25", "2027-01-17T23:59", RollStep.KEEP),
    (BANK, "2027-01-25", "2027-01-18T09:15", RollStep.ROLL),
]


@pytest.mark.parametrize(("instrument", "expiry", "moment", "step"), STEPS)
def test_what_is_due_changes_at_the_minute(
    instrument: str, expiry: str, moment: str, step: RollStep
) -> None:
    assert window(instrument, expiry).step(at(moment), LEAD) is step


@pytest.mark.parametrize("instrument", [BANK, GOLD])
@pytest.mark.parametrize("year", [2025, 2026, 2027])
def test_no_contract_is_rolled_on_its_expiry_day_or_in_its_tender(
    instrument: str, year: int
) -> None:
    for month in range(1, 13):
        expiry = CONTRACTS.expiry(instrument, year, month).day
        found = window(instrument, expiry.isoformat())
        assert found.opens < found.gone_by.date() < expiry
        tender = CONTRACTS.tender_dates(instrument, expiry)
        assert tender is None or found.gone_by.date() < tender.tender_starts
        assert found.provisional is (not CALENDAR.is_published(exchange_of(instrument), expiry))


def exchange_of(instrument: str) -> str:
    return CATALOG[instrument].calendar_exchange


@pytest.mark.parametrize(("instrument", "expiry", "opens", "gone_by"), WINDOWS)
def test_what_is_entered_while_a_contract_is_rolled_ends_strictly_later(
    instrument: str, expiry: str, opens: str, gone_by: str
) -> None:
    """Incident 52: a holiday moved an expiry, and "the next one" was the same contract."""
    day = date.fromisoformat(opens)
    while day <= at(gone_by).date():
        assert CONTRACTS.entry_contract(instrument, day).day > date.fromisoformat(expiry)
        day += timedelta(days=1)


LOTS = st.integers(1, 1_000)
VALUES = st.sampled_from([15, 20, 25, 30, 35, 40, 50]).map(Decimal)


@given(LOTS, VALUES, VALUES)
def test_lots_of_the_next_contract_are_never_more_exposure(
    lots: int, old: Decimal, new: Decimal
) -> None:
    kept = lots_kept(lots, old, new)
    assert kept * new <= lots * old < (kept + 1) * new
    if kept:
        behind = lots_behind(kept, old, new)
        assert behind <= lots
        assert (behind - 1) * old < kept * new <= behind * old


def test_the_same_lot_keeps_all_lots() -> None:
    assert lots_kept(7, Decimal(30), Decimal(30)) == 7
    assert lots_kept(6, Decimal(35), Decimal(30)) == 7
    assert lots_kept(1, Decimal(30), Decimal(35)) == 0
