"""Entries wait for a day that is known to be open; what is not known lets nothing in."""

from datetime import date

import pytest

from core.decision_record import DecisionCode
from core.entry_days import entries_refused_on
from core.market_calendar import MarketCalendar

CALENDAR = MarketCalendar.shipped()


@pytest.mark.parametrize(
    ("exchange", "day", "special", "attested", "code"),
    [
        ("NSE", date(2026, 11, 23), False, False, None),
        ("NSE", date(2026, 11, 24), False, False, DecisionCode.ENTRIES_BLOCKED),
        ("MCX", date(2026, 11, 24), False, False, None),
        ("NSE", date(2026, 11, 22), False, False, DecisionCode.ENTRIES_BLOCKED),
        ("NSE", date(2026, 2, 1), False, False, DecisionCode.SPECIAL_SESSION),
        ("NSE", date(2026, 2, 1), True, False, None),
        # announced without its times
        ("NSE", date(2026, 11, 8), False, False, DecisionCode.SPECIAL_SESSION),
        ("NSE", date(2026, 11, 8), True, False, DecisionCode.OUTSIDE_COVERAGE),
        ("NSE", date(2026, 11, 8), True, True, None),
        ("NSE", date(2027, 6, 1), False, False, DecisionCode.OUTSIDE_COVERAGE),
        ("NSE", date(2019, 6, 3), False, False, DecisionCode.OUTSIDE_COVERAGE),
        ("NSE", date(2019, 6, 3), False, True, None),
    ],
)
def test_entries_are_let_through_by_the_calendar(
    exchange: str, day: date, special: bool, attested: bool, code: DecisionCode | None
) -> None:
    refused = entries_refused_on(
        CALENDAR, exchange, day, special_sessions=special, attested=attested
    )
    assert (refused.code if refused else None) is code
