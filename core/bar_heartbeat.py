"""When a bar closes and when its alert is overdue: by the calendar and the chart's timeframe alone.

A bar begins at the open of its window, and the last one of a window is as short as the window makes
it. Breaks, nights, holidays and mornings that are closed hold no bar, so they are no silence; nor
does a special session that is not traded. In a year whose holidays are not published every weekday
but those that are certain to be one holds bars: of what is held then, an alarm too many is better
than none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from core.errors import OutsideCoverage
from core.market_calendar import MarketCalendar, SessionKind

_ONE_DAY = timedelta(days=1)
_MOST_DAYS = 15


@dataclass(frozen=True, slots=True)
class BarHeartbeat:
    """The bars of one instrument's chart: those of its exchange, each `bar` long."""

    calendar: MarketCalendar
    exchange: str
    bar: timedelta
    special_sessions: bool = True

    def closes_of(self, day: date) -> tuple[datetime, ...]:
        """When the bars of a day close, in their order; none where nothing is expected."""
        try:
            session = self.calendar.session(self.exchange, day, provisional=True)
        except OutsideCoverage:
            return ()
        if session is None:
            return ()
        if session.kind is SessionKind.SPECIAL and not self.special_sessions:
            return ()
        return tuple(close for window in session.windows for close in _closes(*window, self.bar))

    def last_close(self, by: datetime) -> datetime | None:
        """When the last bar of that day closed; None before the first one did."""
        return max((close for close in self.closes_of(by.date()) if close <= by), default=None)

    def next_close(self, after: datetime) -> datetime | None:
        """When the next bar closes; None where the coming days hold none."""
        days = (after.date() + _ONE_DAY * count for count in range(_MOST_DAYS))
        closes = (close for day in days for close in self.closes_of(day))
        return next((close for close in closes if close > after), None)

    def overdue(self, heard_at: datetime, by: datetime) -> tuple[datetime, ...]:
        """The bars that closed after `heard_at` and until `by`, the last weeks' at most."""
        first = max(heard_at.date(), by.date() - _ONE_DAY * _MOST_DAYS)
        days = (first + _ONE_DAY * count for count in range((by.date() - first).days + 1))
        return tuple(
            close for day in days for close in self.closes_of(day) if heard_at < close <= by
        )


def _closes(opens: datetime, ends: datetime, bar: timedelta) -> Iterator[datetime]:
    close = opens + bar
    while close < ends:
        yield close
        close += bar
    yield ends
