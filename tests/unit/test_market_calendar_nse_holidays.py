"""NSE weekday holidays, checked against a calendar that other people keep."""

from datetime import date, timedelta

import pandas_market_calendars
import pytest

from core.market_calendar import MarketCalendar, SessionKind

CALENDAR = MarketCalendar.shipped()
MUHURAT = {date(2024, 11, 1), date(2025, 10, 21)}


def weekdays_of(year: int) -> set[date]:
    days = (date(year, 1, 1) + timedelta(days=offset) for offset in range(366))
    return {day for day in days if day.year == year and day.weekday() < 5}


@pytest.mark.parametrize(("year", "closures"), [(2024, 17), (2025, 14), (2026, 16)])
def test_nse_weekday_holidays_agree_with_pandas_market_calendars(year: int, closures: int) -> None:
    schedule = pandas_market_calendars.get_calendar("NSE").schedule(
        f"{year}-01-01", f"{year}-12-31"
    )
    theirs = weekdays_of(year) & {moment.date() for moment in schedule.index}
    ours = {day for day in weekdays_of(year) if CALENDAR.is_trading_day("NSE", day)}
    assert len(weekdays_of(year) - ours) == closures
    assert theirs - MUHURAT == ours


def test_a_muhurat_is_a_special_session_on_a_holiday() -> None:
    for day in MUHURAT:
        session = CALENDAR.session("NSE", day)
        assert session is not None
        assert session.kind is SessionKind.SPECIAL
