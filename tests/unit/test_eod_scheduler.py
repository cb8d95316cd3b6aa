"""When each instrument's day ends: by that day's calendar and the contract that is held."""

from datetime import date, datetime, time, timedelta
from typing import Any

import pytest

from core.config import PortfolioConfig
from core.decision_record import DecisionCode
from core.eod_scheduler import EodScheduler, EodWindow, NoWindow
from core.instruments import InstrumentCatalog
from core.ist import IST
from core.market_calendar import MarketCalendar
from tests.fixtures.rules import BANK, GOLD

CATALOG = InstrumentCatalog.shipped()


def scheduler(overrides: object = None, **settings: Any) -> EodScheduler:
    config = PortfolioConfig.from_mapping(settings, CATALOG.config_defaults())
    return EodScheduler(config, CATALOG, MarketCalendar.shipped(overrides))


def at(day: date, clock: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), IST)


# day, instrument, close, open of the bar that runs at it, why nothing may be opened
REGIMES: list[tuple[date, str, str, str, DecisionCode | None]] = [
    (date(2026, 7, 31), BANK, "15:30", "14:15", None),  # the last day before 15:40
    (date(2026, 8, 3), BANK, "15:40", "15:30", None),
    (date(2026, 11, 17), BANK, "15:40", "15:30", None),
    (date(2026, 11, 17), GOLD, "23:55", "23:00", None),
    (date(2026, 11, 20), BANK, "15:40", "15:30", None),
    (date(2026, 11, 23), BANK, "15:40", "15:30", None),  # an expiry Monday, to 15:40 still
    (date(2026, 11, 23), GOLD, "23:55", "23:00", None),
    (date(2026, 11, 24), GOLD, "23:55", "23:00", None),  # opened at 17:00
    (date(2026, 11, 25), BANK, "15:40", "15:30", None),
    (date(2026, 11, 27), BANK, "15:40", "15:30", None),
    (date(2026, 12, 4), BANK, "15:40", "15:30", None),
    (date(2026, 12, 4), GOLD, "23:55", "23:00", None),
    (date(2026, 12, 7), BANK, "15:45", "15:30", None),
    (date(2026, 12, 8), BANK, "15:45", "15:30", None),
    (date(2026, 10, 30), GOLD, "23:30", "23:00", None),  # New York on summer time
    (date(2026, 11, 2), GOLD, "23:55", "23:00", None),
    (date(2026, 3, 6), GOLD, "23:55", "23:00", None),
    (date(2026, 3, 9), GOLD, "23:30", "23:00", None),
    (date(2026, 1, 1), GOLD, "17:00", "16:00", None),  # morning only
    (date(2026, 2, 1), GOLD, "17:00", "16:00", DecisionCode.SPECIAL_SESSION),  # a Sunday's budget
    (date(2026, 2, 1), BANK, "15:30", "14:15", DecisionCode.SPECIAL_SESSION),
    (date(2025, 10, 21), BANK, "14:45", "13:45", DecisionCode.SPECIAL_SESSION),  # Muhurat
    (date(2024, 3, 2), BANK, "12:30", "11:30", DecisionCode.SPECIAL_SESSION),  # two windows
    # The holidays of 2027 are not published: nothing is opened, the hours are the regime's.
    (date(2027, 1, 1), GOLD, "17:00", "16:00", DecisionCode.OUTSIDE_COVERAGE),
    (date(2027, 3, 12), GOLD, "23:55", "23:00", DecisionCode.OUTSIDE_COVERAGE),
    (date(2027, 3, 15), GOLD, "23:30", "23:00", DecisionCode.OUTSIDE_COVERAGE),
    (date(2027, 3, 15), BANK, "15:45", "15:30", DecisionCode.OUTSIDE_COVERAGE),
]


@pytest.mark.parametrize(("day", "instrument", "close", "bar", "refused"), REGIMES)
def test_a_day_ends_by_its_own_calendar(
    day: date, instrument: str, close: str, bar: str, refused: DecisionCode | None
) -> None:
    """Incidents 51 and 57: jobs fired after the close; an evening-only day was not known."""
    window = scheduler().window(instrument, day)
    assert isinstance(window, EodWindow)
    closes_at = at(day, close)
    assert (window.closes_at, window.bar_opens) == (closes_at, at(day, bar))
    moments = (window.scout_from, window.judge_at, window.order_at, window.chase_at, window.ends_at)
    assert [(closes_at - moment).total_seconds() for moment in moments] == [900, 45, 30, 15, 5]
    found = window.entries_refused
    assert (None if found is None else found.code) == refused


CLOSED = [
    (date(2026, 11, 24), BANK, "NSE is closed"),
    (date(2026, 11, 21), GOLD, "MCX is closed"),
    (date(2026, 12, 25), GOLD, "MCX is closed"),
    (date(2026, 11, 8), BANK, "announced without its times"),  # Muhurat
    (date(2026, 11, 8), GOLD, "announced without its times"),
    (date(2027, 1, 26), BANK, "NSE is closed"),  # certain by its date
]


@pytest.mark.parametrize(("day", "instrument", "reason"), CLOSED)
def test_a_day_without_a_known_close_has_no_end_and_says_why(
    day: date, instrument: str, reason: str
) -> None:
    window = scheduler().window(instrument, day)
    assert isinstance(window, NoWindow)
    assert reason in window.reason


def test_an_operators_times_make_a_muhurat_session_known() -> None:
    row = {
        "date": "2026-11-08",
        "name": "Muhurat (Sun)",
        "windows": [["18:15", "19:15"]],
        "source": "a circular",
        "confidence": "H",
    }
    known = {"NSE": {"special_sessions": [row]}}
    for trades, refused in ((False, DecisionCode.SPECIAL_SESSION), (True, None)):
        window = scheduler(known, trade_special_sessions=trades).window(BANK, date(2026, 11, 8))
        assert isinstance(window, EodWindow)
        assert window.closes_at == at(window.day, "19:15")
        assert window.bar_opens == at(window.day, "18:15")
        found = window.entries_refused
        assert (None if found is None else found.code) == refused


# day, expiry of what is held, close
EXPIRING = [
    (date(2026, 11, 23), date(2026, 11, 23), "15:40"),  # before the change
    (date(2026, 12, 29), date(2026, 12, 29), "15:30"),
    (date(2026, 12, 29), date(2027, 1, 25), "15:45"),  # what is held goes on
    (date(2026, 12, 28), date(2026, 12, 29), "15:45"),
]


@pytest.mark.parametrize(("day", "expiry", "close"), EXPIRING)
def test_the_close_that_counts_is_the_held_contracts(day: date, expiry: date, close: str) -> None:
    """Incident 51: jobs fired after the close of what they were for."""
    window = scheduler().window(BANK, day, (expiry,))
    assert isinstance(window, EodWindow)
    assert window.closes_at == at(day, close)


def test_of_two_contracts_the_one_that_stops_first_counts() -> None:
    day = date(2026, 12, 29)
    window = scheduler().window(BANK, day, (date(2027, 1, 25), day))
    assert isinstance(window, EodWindow)
    assert window.closes_at == at(day, "15:30")
    assert window.bar_opens == at(day, "14:15")


def test_a_bar_that_ends_with_the_close_runs_at_it() -> None:
    """75 minutes from 09:15 end at 15:30: the bar of 14:15 closes then, and none has begun."""
    day = date(2026, 7, 31)
    window = scheduler().window(BANK, day)
    assert isinstance(window, EodWindow)
    assert window.bar_opens + window.bar == window.closes_at


def test_the_bars_length_is_the_instruments_own_setting() -> None:
    day = date(2026, 11, 25)
    minutes = {"instruments": {BANK: {"strategy": {"timeframe_min": 15}}}}
    window = scheduler(**minutes).window(BANK, day)
    assert isinstance(window, EodWindow)
    assert window.bar_opens == at(day, "15:30")
    minutes = {"instruments": {BANK: {"strategy": {"timeframe_min": 5}}}}
    window = scheduler(**minutes).window(BANK, day)
    assert isinstance(window, EodWindow)
    assert window.bar_opens == at(day, "15:35")


def test_every_moment_is_a_setting() -> None:
    chosen = {
        "eod": {"judge_s": 60, "order_s": 40},
        "instruments": {BANK: {"eod": {"chase_s": 20, "end_s": 10, "scout_s": 600}}},
    }
    window = scheduler(**chosen).window(BANK, date(2026, 11, 25))
    assert isinstance(window, EodWindow)
    closes_at = window.closes_at
    moments = (window.scout_from, window.judge_at, window.order_at, window.chase_at, window.ends_at)
    assert [(closes_at - moment).total_seconds() for moment in moments] == [600, 60, 40, 20, 10]


def test_nothing_is_judged_before_the_earliest_close_that_any_contract_could_have() -> None:
    day = date(2026, 12, 29)
    assert scheduler().earliest_judging(BANK, day) == at(day, "15:30") - timedelta(seconds=45)
    assert scheduler().earliest_judging(GOLD, day) == at(day, "23:55") - timedelta(seconds=45)
    assert scheduler().earliest_judging(BANK, date(2026, 11, 24)) is None
