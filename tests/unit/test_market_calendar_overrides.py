"""The operator's rows win over the shipped ones, and a malformed one is named by its path."""

from datetime import date, time
from typing import Any

import pytest

from core.data.fields import Fields
from core.errors import ConfigInvalid, OutsideCoverage
from core.exchange_days import ExchangeDays
from core.market_calendar import MarketCalendar, SessionKind

HOLIDAYS_OF_2027 = [
    {"date": "2027-01-26", "name": "Republic Day"},
    {"date": "2027-03-22", "name": "Holi"},
    {"date": "2027-03-26", "name": "Good Friday"},
]


def test_an_ad_hoc_holiday_closes_the_day() -> None:
    day = date(2026, 12, 10)
    calendar = MarketCalendar.shipped(
        {"NSE": {"holidays": [{"date": "2026-12-10", "name": "Poll"}]}}
    )
    assert calendar.session("NSE", day) is None
    assert not calendar.is_trading_day("NSE", day)
    assert calendar.is_trading_day("MCX", day)


def test_a_half_day_can_be_added_where_there_is_an_evening_session() -> None:
    row = {"date": "2026-12-10", "name": "Poll", "session": "EVENING_ONLY"}
    session = MarketCalendar.shipped({"MCX": {"holidays": [row]}}).session(
        "MCX", date(2026, 12, 10)
    )
    assert session is not None
    assert session.kind is SessionKind.EVENING_ONLY


def test_a_removed_holiday_is_a_regular_day_again() -> None:
    calendar = MarketCalendar.shipped({"NSE": {"removed_holidays": ["2026-11-24"]}})
    session = calendar.session("NSE", date(2026, 11, 24))
    assert session is not None
    assert session.kind is SessionKind.REGULAR


def test_announced_times_complete_a_special_session() -> None:
    row = {"date": "2026-11-08", "name": "Muhurat", "windows": [["18:00", "19:00"]]}
    session = MarketCalendar.shipped({"NSE": {"special_sessions": [row]}}).session(
        "NSE", date(2026, 11, 8)
    )
    assert session is not None
    assert (session.open.time(), session.close.time()) == (time(18), time(19))


def test_a_postponed_regime_is_replaced_by_a_row_of_the_same_day() -> None:
    row = {"from": "2026-12-07", "open": "09:15", "close": "15:40"}
    calendar = MarketCalendar.shipped({"NSE": {"hours": [row]}})
    assert calendar.hours("NSE", date(2026, 12, 7)) == (time(9, 15), time(15, 40))
    assert calendar.expiring_close("NSE", date(2026, 12, 29)) is None
    assert calendar.hours("NSE", date(2026, 8, 3)) == (time(9, 15), time(15, 40))


def test_a_further_year_is_covered_once_its_holidays_are_given() -> None:
    own = {"covered_years": [2027], "holidays": HOLIDAYS_OF_2027}
    calendar = MarketCalendar.shipped({"NSE": own})
    assert calendar.covered_until("NSE") == date(2027, 12, 31)
    assert calendar.session("NSE", date(2027, 3, 22)) is None
    assert calendar.is_trading_day("NSE", date(2027, 4, 14))
    with pytest.raises(OutsideCoverage):
        calendar.session("MCX", date(2027, 3, 22))


def test_a_year_without_holidays_is_not_a_published_year() -> None:
    """Protects: a source answered "success" with an empty list for the year to come."""
    with pytest.raises(ConfigInvalid, match="a year whose holidays are given") as refusal:
        MarketCalendar.shipped({"NSE": {"covered_years": [2027], "holidays": []}})
    assert refusal.value.path == "calendar.NSE.covered_years[0]"


@pytest.mark.parametrize(
    ("overrides", "path"),
    [
        ([], "calendar"),
        ({"BSE": {}}, "calendar.BSE"),
        ({"NSE": []}, "calendar.NSE"),
        ({"NSE": {"holiday": []}}, "calendar.NSE.holiday"),
        ({"NSE": {"holidays": {}}}, "calendar.NSE.holidays"),
        ({"NSE": {"holidays": ["2026-12-10"]}}, "calendar.NSE.holidays[0]"),
        (
            {"NSE": {"holidays": [{"date": "10-12-2026", "name": "x"}]}},
            "calendar.NSE.holidays[0].date",
        ),
        ({"NSE": {"holidays": [{"date": "2026-12-10"}]}}, "calendar.NSE.holidays[0].name"),
        (
            {"NSE": {"holidays": [{"date": "2026-12-10", "name": "x", "session": "EVENING_ONLY"}]}},
            "calendar.NSE.holidays[0].session",
        ),
        (
            {"MCX": {"holidays": [{"date": "2026-12-10", "name": "x", "session": "LATE"}]}},
            "calendar.MCX.holidays[0].session",
        ),
        ({"NSE": {"removed_holidays": ["2026-11-25"]}}, "calendar.NSE.removed_holidays[0]"),
        ({"NSE": {"removed_holidays": [20261124]}}, "calendar.NSE.removed_holidays[0]"),
        ({"NSE": {"covered_years": ["2027"]}}, "calendar.NSE.covered_years[0]"),
        (
            {"NSE": {"hours": [{"from": "2027-01-01", "open": "09:15", "close": "09:00"}]}},
            "calendar.NSE.hours[0].close",
        ),
        (
            {"NSE": {"hours": [{"from": "2027-01-01", "open": "09:15"}]}},
            "calendar.NSE.hours[0].close",
        ),
    ],
)
def test_a_malformed_override_is_named_by_its_path(overrides: object, path: str) -> None:
    with pytest.raises(ConfigInvalid) as refusal:
        MarketCalendar.shipped(overrides)
    assert refusal.value.path == path


@pytest.mark.parametrize(
    ("windows", "place"),
    [
        ([["09:15"]], "[0]"),
        (["09:15-10:00"], "[0]"),
        ([["10:00", "09:15"]], "[0]"),
        ([["09:15", "09:15"]], "[0]"),
        ([["09:15", "10:00"], ["09:45", "11:00"]], "[1]"),
        ([["09:15", "25:00"]], "[0][1]"),
        ([[915, "10:00"]], "[0][0]"),
    ],
)
def test_windows_must_be_pairs_of_times_that_rise(windows: list[Any], place: str) -> None:
    row = {"date": "2026-11-08", "name": "Muhurat", "windows": windows}
    with pytest.raises(ConfigInvalid) as refusal:
        MarketCalendar.shipped({"NSE": {"special_sessions": [row]}})
    assert refusal.value.path == f"calendar.NSE.special_sessions[0].windows{place}"


def test_an_exchange_without_a_covered_year_is_refused() -> None:
    hours = [{"from": "1990-01-01", "open": "09:15", "close": "15:30"}]
    with pytest.raises(ConfigInvalid, match="at least one year is required"):
        ExchangeDays.read(Fields({"hours": hours}, "calendar.NSE"))
