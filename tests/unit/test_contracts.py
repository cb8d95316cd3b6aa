"""Expiries, tenders and the contract of a day, against the exchanges' published dates."""

from datetime import date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.contracts import Contracts, Expiry
from core.errors import ConfigInvalid, OutsideCoverage, Rejected
from core.instruments import InstrumentCatalog
from core.ist import IST
from core.market_calendar import MarketCalendar
from core.symbols import FutureSymbol

CALENDAR = MarketCalendar.shipped()
CATALOG = InstrumentCatalog.shipped()
CONTRACTS = Contracts(CALENDAR, CATALOG)
INSTRUMENTS = st.sampled_from(["BANK_NIFTY", "GOLD_MINI"])

BANK_NIFTY_EXPIRIES = {
    2024: "25Jan 29Feb 27Mar 24Apr 29May 26Jun 31Jul 28Aug 25Sep 30Oct 27Nov 24Dec",
    2025: "30Jan 27Feb 27Mar 24Apr 29May 26Jun 31Jul 28Aug 30Sep 28Oct 25Nov 30Dec",
    2026: "27Jan 24Feb 30Mar 28Apr 26May 30Jun 28Jul 25Aug 29Sep 27Oct 23Nov 29Dec",
    2027: "25Jan 23Feb 30Mar 27Apr 25May 29Jun 27Jul 31Aug 28Sep 26Oct 30Nov 28Dec",
}

# expiry, tender starts, hard exit (19:00), cautious hard exit, symbol
GOLD_MINI_CONTRACTS = [
    ("2026-01-05", "2026-01-01", "2025-12-31", "2025-12-30", "GOLDM05JAN26FUT"),
    ("2026-02-05", "2026-02-03", "2026-02-02", "2026-02-02", "GOLDM05FEB26FUT"),
    ("2026-03-05", "2026-03-03", "2026-03-02", "2026-02-27", "GOLDM05MAR26FUT"),
    ("2026-04-02", "2026-03-31", "2026-03-30", "2026-03-27", "GOLDM02APR26FUT"),
    ("2026-05-05", "2026-05-01", "2026-04-30", "2026-04-29", "GOLDM05MAY26FUT"),
    ("2026-06-05", "2026-06-03", "2026-06-02", "2026-06-02", "GOLDM05JUN26FUT"),
    ("2026-07-03", "2026-07-01", "2026-06-30", "2026-06-30", "GOLDM03JUL26FUT"),
    ("2026-08-05", "2026-08-03", "2026-07-31", "2026-07-31", "GOLDM05AUG26FUT"),
    ("2026-09-04", "2026-09-02", "2026-09-01", "2026-09-01", "GOLDM04SEP26FUT"),
    ("2026-10-05", "2026-09-30", "2026-09-29", "2026-09-29", "GOLDM05OCT26FUT"),
    ("2026-11-05", "2026-11-03", "2026-11-02", "2026-11-02", "GOLDM05NOV26FUT"),
    ("2026-12-04", "2026-12-02", "2026-12-01", "2026-12-01", "GOLDM04DEC26FUT"),
    ("2027-01-05", "2027-01-01", "2026-12-31", "2026-12-30", "GOLDM05JAN27FUT"),
    ("2027-02-05", "2027-02-03", "2027-02-02", "2027-02-02", "GOLDM05FEB27FUT"),
]


@pytest.mark.parametrize(
    ("year", "month", "written"),
    [
        (year, month, written)
        for year, row in BANK_NIFTY_EXPIRIES.items()
        for month, written in enumerate(row.split(), 1)
    ],
)
def test_bank_nifty_expires_on_the_published_day(year: int, month: int, written: str) -> None:
    """Protects: expiry weekdays were once hard-coded, as Thursday, Wednesday and Tuesday."""
    expiry = CONTRACTS.expiry("BANK_NIFTY", year, month)
    assert f"{expiry.day:%d%b}" == written
    assert expiry.day.year == year
    assert expiry.provisional == (year == 2027)


@pytest.mark.parametrize(("expiry", "tender", "leave", "cautious", "symbol"), GOLD_MINI_CONTRACTS)
def test_gold_mini_ends_and_is_left_before_its_tender(
    expiry: str, tender: str, leave: str, cautious: str, symbol: str
) -> None:
    day = date.fromisoformat(expiry)
    found = CONTRACTS.expiry("GOLD_MINI", day.year, day.month)
    dates = CONTRACTS.tender_dates("GOLD_MINI", day)
    assert found == Expiry(day, provisional=day.year == 2027)
    assert dates is not None
    assert dates.expiry == day
    assert dates.tender_starts == date.fromisoformat(tender)
    assert dates.hard_exit == datetime.fromisoformat(f"{leave}T19:00+05:30")
    assert dates.cautious_hard_exit == datetime.fromisoformat(f"{cautious}T19:00+05:30")
    assert dates.provisional == (day.year == 2027)
    assert str(FutureSymbol(CATALOG["GOLD_MINI"].root, day)) == symbol


@pytest.mark.parametrize(
    ("expiry", "no_new_entry", "roll"),
    [
        (date(2026, 12, 4), date(2026, 11, 26), date(2026, 11, 27)),
        (date(2026, 10, 5), date(2026, 9, 24), date(2026, 9, 25)),
        (date(2026, 3, 5), date(2026, 2, 25), date(2026, 2, 26)),
    ],
)
def test_entries_end_six_trading_days_and_the_roll_is_due_five_before_a_delivery(
    expiry: date, no_new_entry: date, roll: date
) -> None:
    dates = CONTRACTS.tender_dates("GOLD_MINI", expiry)
    assert dates is not None
    assert (dates.no_new_entry_from, dates.roll_at) == (no_new_entry, roll)


def test_the_confirmed_gold_mini_of_december_2025_is_left_on_the_second() -> None:
    dates = CONTRACTS.tender_dates("GOLD_MINI", date(2025, 12, 5))
    assert dates is not None
    assert dates.hard_exit == datetime(2025, 12, 2, 19, 0, tzinfo=IST)


def test_gold_mini_of_2027_follows_the_rule_and_says_so() -> None:
    months = range(3, 13)
    expiries = [CONTRACTS.expiry("GOLD_MINI", 2027, month) for month in months]
    assert [expiry.day.day for expiry in expiries] == [5, 5, 5, 4, 5, 5, 3, 5, 5, 3]
    assert [expiry.day.month for expiry in expiries] == list(months)
    assert all(expiry.provisional for expiry in expiries)


def test_a_hard_exit_never_lies_after_that_days_close() -> None:
    """The exit day of the January 2030 contract is New Year's, which MCX keeps as a morning."""
    new_year = [{"date": "2030-01-01", "name": "New Year", "session": "MORNING_ONLY"}]
    calendar = MarketCalendar.shipped({"MCX": {"covered_years": [2030], "holidays": new_year}})
    contracts = Contracts(calendar, CATALOG)
    dates = contracts.tender_dates("GOLD_MINI", contracts.expiry("GOLD_MINI", 2030, 1).day)
    assert dates is not None
    assert dates.hard_exit == datetime(2030, 1, 1, 17, 0, tzinfo=IST)


def test_cash_settled_instruments_have_no_tender() -> None:
    assert CONTRACTS.tender_dates("BANK_NIFTY", date(2026, 11, 23)) is None


@pytest.mark.parametrize(
    ("year", "month", "day"),
    [
        (2017, 3, date(2017, 3, 30)),
        (2019, 9, date(2019, 9, 26)),
        (2022, 12, date(2022, 12, 29)),
    ],
)
def test_years_before_the_calendar_follow_the_weekday_alone(
    year: int, month: int, day: date
) -> None:
    assert CONTRACTS.expiry("BANK_NIFTY", year, month) == Expiry(day, provisional=True)


def test_next_after_a_holiday_shifted_expiry_is_another_contract() -> None:
    """Protects: an expiry moved a day earlier, and "next expiry" returned the same contract."""
    shifted = date(2026, 11, 23)
    assert CONTRACTS.next_expiry("BANK_NIFTY", date(2026, 11, 22)).day == shifted
    assert CONTRACTS.next_expiry("BANK_NIFTY", shifted).day == date(2026, 12, 29)
    assert CONTRACTS.next_expiry("BANK_NIFTY", date(2026, 11, 24)).day == date(2026, 12, 29)


@given(INSTRUMENTS, st.dates(date(2005, 1, 1), date(2040, 1, 1)))
def test_the_next_expiry_is_strictly_later_and_nothing_lies_between(
    instrument: str, after: date
) -> None:
    found = CONTRACTS.next_expiry(instrument, after)
    assert after < found.day <= after + timedelta(days=40)
    assert CONTRACTS.next_expiry(instrument, found.day - timedelta(days=1)) == found
    assert CONTRACTS.next_expiry(instrument, found.day).day > found.day


@pytest.mark.parametrize("instrument", ["BANK_NIFTY", "GOLD_MINI"])
def test_expiries_increase_month_by_month_and_are_trading_days(instrument: str) -> None:
    exchange = CATALOG[instrument].calendar_exchange
    days = [
        CONTRACTS.expiry(instrument, year, month).day
        for year in range(2024, 2030)
        for month in range(1, 13)
    ]
    assert days == sorted(set(days))
    assert all(CALENDAR.is_trading_day(exchange, day, provisional=True) for day in days)


@pytest.mark.parametrize(
    ("instrument", "on", "expiry"),
    [
        ("BANK_NIFTY", date(2026, 11, 15), date(2026, 11, 23)),
        ("BANK_NIFTY", date(2026, 11, 16), date(2026, 12, 29)),
        ("BANK_NIFTY", date(2026, 11, 23), date(2026, 12, 29)),
        ("BANK_NIFTY", date(2026, 12, 21), date(2026, 12, 29)),
        ("BANK_NIFTY", date(2026, 12, 22), date(2027, 1, 25)),
        ("GOLD_MINI", date(2026, 11, 25), date(2026, 12, 4)),
        ("GOLD_MINI", date(2026, 11, 26), date(2027, 1, 5)),
        ("GOLD_MINI", date(2026, 9, 23), date(2026, 10, 5)),
        ("GOLD_MINI", date(2026, 9, 24), date(2026, 11, 5)),
        ("GOLD_MINI", date(2026, 7, 27), date(2026, 8, 5)),
        ("GOLD_MINI", date(2026, 7, 28), date(2026, 9, 4)),
    ],
)
def test_entries_go_to_the_nearest_contract_outside_its_roll_window(
    instrument: str, on: date, expiry: date
) -> None:
    assert CONTRACTS.entry_contract(instrument, on).day == expiry


@given(INSTRUMENTS, st.dates(date(2015, 1, 1), date(2028, 1, 1)))
def test_an_entry_is_never_due_for_its_roll_on_the_same_day(instrument: str, on: date) -> None:
    expiry = CONTRACTS.entry_contract(instrument, on)
    roll_days = CATALOG[instrument].roll_days
    assert (expiry.day - on).days > roll_days
    assert on < CONTRACTS.roll_from(instrument, expiry.day) < expiry.day
    tender = CONTRACTS.tender_dates(instrument, expiry.day)
    if tender is not None:
        assert on < tender.no_new_entry_from <= tender.roll_at < tender.tender_starts
        assert tender.cautious_hard_exit <= tender.hard_exit
        assert tender.hard_exit.date() < tender.tender_starts


@pytest.mark.parametrize(
    ("instrument", "expiry", "roll"),
    [
        ("BANK_NIFTY", date(2026, 11, 23), date(2026, 11, 16)),
        ("GOLD_MINI", date(2026, 12, 4), date(2026, 11, 26)),
        ("GOLD_MINI", date(2026, 10, 5), date(2026, 9, 25)),
    ],
)
def test_a_position_rolls_by_calendar_days_or_earlier_for_a_tender(
    instrument: str, expiry: date, roll: date
) -> None:
    assert CONTRACTS.roll_from(instrument, expiry) == roll


@pytest.mark.parametrize(
    ("instrument", "expiry", "day", "stops"),
    [
        ("BANK_NIFTY", date(2026, 7, 28), date(2026, 7, 28), "15:30"),
        ("BANK_NIFTY", date(2026, 11, 23), date(2026, 11, 23), "15:40"),
        ("BANK_NIFTY", date(2026, 12, 29), date(2026, 12, 28), "15:45"),
        ("BANK_NIFTY", date(2026, 12, 29), date(2026, 12, 29), "15:30"),
        ("BANK_NIFTY", date(2026, 2, 24), date(2026, 2, 1), "15:30"),
        ("GOLD_MINI", date(2026, 12, 4), date(2026, 11, 24), "23:55"),
        ("GOLD_MINI", date(2026, 2, 5), date(2026, 1, 1), "17:00"),
    ],
)
def test_a_contract_stops_with_the_session_or_earlier_on_its_last_day(
    instrument: str, expiry: date, day: date, stops: str
) -> None:
    moment = CONTRACTS.last_trading_moment(instrument, expiry, day)
    assert moment == datetime.combine(day, time.fromisoformat(stops), IST)


def test_a_contract_does_not_trade_on_closed_days_or_after_its_end() -> None:
    november = date(2026, 11, 23)
    assert CONTRACTS.last_trading_moment("BANK_NIFTY", november, date(2026, 11, 22)) is None
    assert CONTRACTS.last_trading_moment("BANK_NIFTY", november, date(2026, 11, 25)) is None
    with pytest.raises(OutsideCoverage):
        CONTRACTS.last_trading_moment("BANK_NIFTY", date(2027, 1, 25), date(2027, 1, 25))


def test_a_newly_announced_holiday_moves_the_expiry_and_the_tender() -> None:
    poll = {"holidays": [{"date": "2026-12-29", "name": "Poll"}]}
    contracts = Contracts(MarketCalendar.shipped({"NSE": poll}), CATALOG)
    assert contracts.expiry("BANK_NIFTY", 2026, 12).day == date(2026, 12, 28)
    closed = {"holidays": [{"date": "2026-12-02", "name": "Poll"}]}
    tender = Contracts(MarketCalendar.shipped({"MCX": closed}), CATALOG).tender_dates(
        "GOLD_MINI", date(2026, 12, 4)
    )
    assert tender is not None
    assert tender.tender_starts == date(2026, 12, 1)
    assert tender.hard_exit.date() == date(2026, 11, 30)


def test_a_month_without_a_contract_is_refused() -> None:
    with pytest.raises(Rejected, match="no contract of month 13") as refusal:
        CONTRACTS.expiry("GOLD_MINI", 2026, 13)
    assert refusal.value.code == "NO_SUCH_CONTRACT"


def test_an_instrument_of_an_exchange_without_a_calendar_is_refused_at_the_start() -> None:
    catalog = InstrumentCatalog.shipped({"GOLD_MINI": {"calendar_exchange": "NCDEX"}})
    with pytest.raises(ConfigInvalid, match="NCDEX") as refusal:
        Contracts(CALENDAR, catalog)
    assert refusal.value.path == "instruments.GOLD_MINI.calendar_exchange"
