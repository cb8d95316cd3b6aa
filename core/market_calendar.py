"""A market is open when its exchange says so: an unpublished year is unknown, never open.

Trading days, by which expiries and tenders are counted, are weekdays that are not closed all day:
morning-only and evening-only days count; special sessions on holidays and at weekends do not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from core.data import shipped
from core.data.fields import Fields
from core.errors import OutsideCoverage, Rejected
from core.exchange_days import ExchangeDays, Holiday, HolidayKind
from core.ist import IST, as_ist

_ONE_DAY = timedelta(days=1)
_SATURDAY = 5
_SHIPPED_FILES = {"NSE": "calendar_nse", "MCX": "calendar_mcx"}


class SessionKind(StrEnum):
    """What sort of session a day has."""

    REGULAR = "REGULAR"
    SPECIAL = "SPECIAL"
    MORNING_ONLY = "MORNING_ONLY"
    EVENING_ONLY = "EVENING_ONLY"


@dataclass(frozen=True, slots=True)
class Session:
    """One day's trading: `windows` of (open, close), ordered, in IST.

    A special session that is announced without its times has no windows: it can be seen coming,
    and every question about its times raises OutsideCoverage.
    """

    exchange: str
    day: date
    kind: SessionKind
    name: str
    windows: tuple[tuple[datetime, datetime], ...]

    @property
    def times_known(self) -> bool:
        """Whether the session's windows are published."""
        return bool(self.windows)

    @property
    def open(self) -> datetime:
        """The first window's open. Raises OutsideCoverage where the times are unknown."""
        return self._known_windows()[0][0]

    @property
    def close(self) -> datetime:
        """The last window's close. Raises OutsideCoverage where the times are unknown."""
        return self._known_windows()[-1][1]

    def contains(self, moment: datetime) -> bool:
        """Whether a window is open at `moment`: from its open on, before its close."""
        at = as_ist(moment)
        return any(opens <= at < closes for opens, closes in self._known_windows())

    def _known_windows(self) -> tuple[tuple[datetime, datetime], ...]:
        if not self.windows:
            what = f"{self.exchange} session times ({self.name})"
            raise OutsideCoverage(what, self.day, "none announced")
        return self.windows


class MarketCalendar:
    """When each exchange trades. Answers are remembered, so asking again costs a look-up."""

    def __init__(self, exchanges: Mapping[str, ExchangeDays]) -> None:
        self._exchanges = exchanges
        self._hours: dict[tuple[str, date], tuple[time, time]] = {}
        self._sessions: dict[tuple[str, date, bool], Session | None] = {}

    @classmethod
    def shipped(cls, overrides: object = None) -> "MarketCalendar":
        """The shipped calendar under the operator's parsed rows, `{"NSE": {...}, "MCX": {...}}`.

        They have the shape of core/data/calendar_*.json, and `removed_holidays` (a list of
        dates). Raises ConfigInvalid with the path of what is wrong.
        """
        above = Fields({} if overrides is None else overrides, "calendar")
        exchanges = {}
        for exchange, file in _SHIPPED_FILES.items():
            below = Fields(shipped(file), file)
            own = Fields(above.plain(exchange), f"{above.path}.{exchange}", below)
            exchanges[exchange] = ExchangeDays.read(own)
        above.finish()
        return cls(exchanges)

    @property
    def exchanges(self) -> tuple[str, ...]:
        """The exchanges whose days are known."""
        return tuple(self._exchanges)

    def holidays(self, exchange: str) -> tuple[Holiday, ...]:
        """The days of the covered years that are closed or half closed, in their order."""
        known = self._days(exchange).holidays
        return tuple(known[day] for day in sorted(known))

    def hours(self, exchange: str, day: date) -> tuple[time, time]:
        """Open and close of a regular day of the regime, whether or not `day` is a holiday.

        For days that prove themselves, such as a bar of the past: it needs no holidays and
        answers for any year. Before the first sourced regime the same hours are assumed.
        """
        key = (exchange, day)
        known = self._hours.get(key)
        if known is None:
            regime = self._days(exchange).hours.on(day)
            known = self._hours[key] = (regime.open, regime.close_on(day))
        return known

    def expiring_close(self, exchange: str, day: date) -> time | None:
        """When contracts that expire on `day` stop, if before the close."""
        return self._days(exchange).hours.on(day).expiring_close

    def is_published(self, exchange: str, day: date) -> bool:
        """Whether the holidays of `day`'s year are known."""
        return day.year in self._days(exchange).covered_years

    def covered_until(self, exchange: str) -> date:
        """The last day whose holidays are known."""
        return date(max(self._days(exchange).covered_years), 12, 31)

    def session(self, exchange: str, day: date, *, provisional: bool = False) -> Session | None:
        """The session of `day`, None when closed.

        Raises OutsideCoverage in a year that is not published; with `provisional` it is answered
        by weekends and the holidays that are certain by their date.
        """
        key = (exchange, day, provisional)
        if key not in self._sessions:
            self._sessions[key] = self._find_session(exchange, day, provisional)
        return self._sessions[key]

    def is_trading_day(self, exchange: str, day: date, *, provisional: bool = False) -> bool:
        """Whether `day` is a weekday that is not closed all day. Raises as `session` does."""
        holiday = self._holidays(exchange, day, provisional).get(day)
        closed = holiday is not None and holiday.kind is HolidayKind.CLOSED
        return day.weekday() < _SATURDAY and not closed

    def previous_trading_day(self, exchange: str, day: date, *, provisional: bool = False) -> date:
        """The last trading day strictly before `day`."""
        return self.shift_trading_days(exchange, day, -1, provisional=provisional)

    def next_trading_day(self, exchange: str, day: date, *, provisional: bool = False) -> date:
        """The first trading day strictly after `day`."""
        return self.shift_trading_days(exchange, day, 1, provisional=provisional)

    def shift_trading_days(
        self, exchange: str, day: date, count: int, *, provisional: bool = False
    ) -> date:
        """The `count`-th trading day strictly after `day`, strictly before it when negative."""
        step = _ONE_DAY if count > 0 else -_ONE_DAY
        for _ in range(abs(count)):
            day += step
            while not self.is_trading_day(exchange, day, provisional=provisional):
                day += step
        return day

    def _days(self, exchange: str) -> ExchangeDays:
        days = self._exchanges.get(exchange)
        if days is None:
            known = ", ".join(self._exchanges)
            raise Rejected("UNKNOWN_EXCHANGE", f"no calendar for {exchange!r}; known: {known}")
        return days

    def _holidays(self, exchange: str, day: date, provisional: bool) -> Mapping[date, Holiday]:
        """The holidays by which `day` is to be judged."""
        days = self._days(exchange)
        if day.year in days.covered_years:
            return days.holidays
        if provisional:
            return days.provisional_holidays
        years = ", ".join(str(year) for year in sorted(days.covered_years))
        raise OutsideCoverage(f"the {exchange} holiday calendar", day, years)

    def _find_session(self, exchange: str, day: date, provisional: bool) -> Session | None:
        holiday = self._holidays(exchange, day, provisional).get(day)
        days = self._days(exchange)
        special = days.special_sessions.get(day)
        if special is not None:
            windows = tuple(_window(day, *window) for window in special.windows)
            return Session(exchange, day, SessionKind.SPECIAL, special.name, windows)
        if not self.is_trading_day(exchange, day, provisional=provisional):
            return None
        opens, closes = self.hours(exchange, day)
        if holiday is None:
            window = _window(day, opens, closes)
            return Session(exchange, day, SessionKind.REGULAR, "Regular", (window,))
        evening = days.hours.on(day).evening_open or opens
        morning_only = holiday.kind is HolidayKind.MORNING_ONLY
        window = _window(day, opens, evening) if morning_only else _window(day, evening, closes)
        return Session(exchange, day, SessionKind(holiday.kind.value), holiday.name, (window,))


def _window(day: date, opens: time, closes: time) -> tuple[datetime, datetime]:
    return (datetime.combine(day, opens, IST), datetime.combine(day, closes, IST))
