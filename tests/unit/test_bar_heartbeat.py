"""When bars close and when their alerts are overdue: each regime, half days, nights, holidays."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.bar_heartbeat import BarHeartbeat
from core.ist import IST
from core.market_calendar import MarketCalendar

CALENDAR = MarketCalendar.shipped()
BANK = BarHeartbeat(CALENDAR, "NSE", timedelta(minutes=75), special_sessions=False)
GOLD = BarHeartbeat(CALENDAR, "MCX", timedelta(minutes=60), special_sessions=False)
DAYS = st.dates(date(2024, 1, 1), date(2026, 12, 31))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=IST)


def clocks(closes: Sequence[datetime]) -> str:
    return " ".join(f"{close:%H:%M}" for close in closes)


BANK_FIVE = "10:30 11:45 13:00 14:15"
GOLD_TO_23 = " ".join(f"{hour:02d}:00" for hour in range(10, 24))

# A day, and when its bars close. The last bar is as short as its session makes it.
CLOSES = [
    (BANK, "2026-07-31", f"{BANK_FIVE} 15:30"),  # five whole bars
    (BANK, "2026-08-03", f"{BANK_FIVE} 15:30 15:40"),  # 15:40 from that day: ten minutes more
    (BANK, "2026-12-04", f"{BANK_FIVE} 15:30 15:40"),
    (BANK, "2026-12-07", f"{BANK_FIVE} 15:30 15:45"),  # 15:45 from that day
    (BANK, "2026-11-24", ""),  # a holiday
    (BANK, "2026-11-28", ""),  # a Saturday
    (BANK, "2026-02-01", ""),  # a budget Sunday, which is not traded
    (BANK, "2028-06-01", f"{BANK_FIVE} 15:30 15:45"),  # a year that is not published
    (BANK, "2027-01-26", ""),  # a holiday that is certain in one
    (BANK, "1970-01-01", ""),  # a clock that has lost its date
    (GOLD, "2026-10-30", f"{GOLD_TO_23} 23:30"),  # New York keeps summer time
    (GOLD, "2026-11-02", f"{GOLD_TO_23} 23:55"),  # and winter time from then
    (GOLD, "2026-03-06", f"{GOLD_TO_23} 23:55"),
    (GOLD, "2026-03-09", f"{GOLD_TO_23} 23:30"),
    (GOLD, "2026-11-24", "18:00 19:00 20:00 21:00 22:00 23:00 23:55"),  # the evening only
    (GOLD, "2026-01-01", "10:00 11:00 12:00 13:00 14:00 15:00 16:00 17:00"),  # the morning only
    (GOLD, "2026-12-25", ""),
]


@pytest.mark.parametrize(("bars", "day", "closes"), CLOSES)
def test_a_days_bars_end_with_its_session(bars: BarHeartbeat, day: str, closes: str) -> None:
    assert clocks(bars.closes_of(date.fromisoformat(day))) == closes


def test_a_special_session_has_bars_where_it_is_traded() -> None:
    traded = BarHeartbeat(CALENDAR, "NSE", timedelta(minutes=75))
    assert clocks(traded.closes_of(date(2026, 2, 1))) == f"{BANK_FIVE} 15:30"
    assert traded.closes_of(date(2026, 11, 8)) == ()  # announced without its times
    # Two windows: a bar ends with the first one and another begins with the second.
    assert clocks(traded.closes_of(date(2024, 3, 2))) == "10:00 12:30"


# When something was last heard, until when it is asked, and the bars that are overdue then.
OVERDUE = [
    (BANK, "2026-11-30T10:30:05", "2026-11-30T11:44", ""),
    (BANK, "2026-11-30T10:30:05", "2026-11-30T11:45", "11:45"),
    (BANK, "2026-11-30T10:30:05", "2026-11-30T13:01", "11:45 13:00"),
    # A night: the last bar of the day came, and until 10:30 nothing is due.
    (BANK, "2026-11-30T15:40:02", "2026-12-01T10:29", ""),
    (BANK, "2026-11-30T15:30:02", "2026-12-01T10:29", "15:40"),
    (BANK, "2026-11-30T15:30:02", "2026-12-01T10:31", "15:40 10:30"),
    # A weekend.
    (BANK, "2026-11-27T15:40:02", "2026-11-30T10:29", ""),
    # The holiday of 24 November: Bank Nifty is silent all day, and that is no silence.
    (BANK, "2026-11-23T15:40:02", "2026-11-25T10:29", ""),
    (BANK, "2026-11-23T15:40:02", "2026-11-25T11:46", "10:30 11:45"),
    # Gold Mini trades its evening only: 17 hours after its last bar nothing is overdue.
    (GOLD, "2026-11-23T23:55:02", "2026-11-24T17:59", ""),
    (GOLD, "2026-11-23T23:55:02", "2026-11-24T19:01", "18:00 19:00"),
    # The close moves from 23:30 to 23:55 over a weekend.
    (GOLD, "2026-10-30T23:30:02", "2026-11-02T09:59", ""),
    (GOLD, "2026-11-02T23:00:02", "2026-11-02T23:54", ""),
    (GOLD, "2026-11-02T23:00:02", "2026-11-02T23:55", "23:55"),
    # The morning of 1 January, and the next day.
    (GOLD, "2026-01-01T17:00:02", "2026-01-02T09:59", ""),
]


@pytest.mark.parametrize(("bars", "heard", "by", "missing"), OVERDUE)
def test_only_bars_that_closed_in_session_are_overdue(
    bars: BarHeartbeat, heard: str, by: str, missing: str
) -> None:
    """Incident 57: a market that opens in its evening only is not silent in its morning."""
    assert clocks(bars.overdue(moment(heard), moment(by))) == missing


NEXT = [
    (BANK, "2026-11-30T10:30", "2026-11-30T11:45"),
    (BANK, "2026-11-30T15:40", "2026-12-01T10:30"),
    (BANK, "2026-11-23T15:40", "2026-11-25T10:30"),
    (GOLD, "2026-11-23T23:55", "2026-11-24T18:00"),
]


@pytest.mark.parametrize(("bars", "after", "closes"), NEXT)
def test_the_next_bar_is_that_of_the_next_session(
    bars: BarHeartbeat, after: str, closes: str
) -> None:
    assert bars.next_close(moment(after)) == moment(closes)


def test_what_is_held_into_a_year_that_is_not_published_is_not_forgotten() -> None:
    assert GOLD.next_close(moment("2028-06-01T10:00")) == moment("2028-06-01T11:00")
    assert GOLD.last_close(moment("2028-06-01T10:00")) == moment("2028-06-01T10:00")
    assert clocks(BANK.overdue(moment("2028-06-01T10:00"), moment("2028-06-01T12:00"))) == (
        "10:30 11:45"
    )


@given(day=DAYS, bars=st.sampled_from([BANK, GOLD]))
def test_bars_follow_each_other_to_the_close(day: date, bars: BarHeartbeat) -> None:
    closes = bars.closes_of(day)
    assert list(closes) == sorted(set(closes))
    for place, close in enumerate(closes):
        assert bars.last_close(close) == close
        assert bars.next_close(close - timedelta(seconds=1)) == close
        begins = close - bars.bar if place == 0 else closes[place - 1]
        assert timedelta(0) < close - begins <= bars.bar
    if closes:
        session = CALENDAR.session(bars.exchange, day, provisional=True)
        assert session is not None
        assert closes[-1] == session.close
