"""When a contract ends is a rule read from data, never the name of an instrument in code."""

import calendar
from dataclasses import dataclass
from datetime import date, time, timedelta
from enum import StrEnum
from typing import Protocol

from core.data.fields import Fields
from core.errors import ConfigInvalid


class ExpiryRule(Protocol):
    """Names the day a contract month would end on if it had no holidays."""

    def nominal(self, year: int, month: int) -> date:
        """That day; a holiday moves the expiry to the trading day before it."""
        ...


class Weekday(StrEnum):
    """The days a market trades, in the order of `date.weekday()`."""

    MONDAY = "MONDAY"
    TUESDAY = "TUESDAY"
    WEDNESDAY = "WEDNESDAY"
    THURSDAY = "THURSDAY"
    FRIDAY = "FRIDAY"


@dataclass(frozen=True, slots=True)
class LastWeekday:
    """The last such weekday of the month."""

    weekday: Weekday

    def nominal(self, year: int, month: int) -> date:
        """See ExpiryRule."""
        last = _last_day(year, month)
        return last - timedelta(days=(last.weekday() - list(Weekday).index(self.weekday)) % 7)


@dataclass(frozen=True, slots=True)
class DayOfMonth:
    """That day of the month, the last one of a month that is shorter (31: always the last)."""

    day: int

    def nominal(self, year: int, month: int) -> date:
        """See ExpiryRule."""
        return min(date(year, month, 1) + timedelta(days=self.day - 1), _last_day(year, month))


@dataclass(frozen=True, slots=True)
class TenderRule:
    """Compulsory delivery, counted in trading days back from the expiry, itself day 0.

    The tender window is the last `window_days` trading days, expiry included.
    """

    window_days: int
    no_new_entry_days: int
    roll_days: int
    hard_exit_days: int
    hard_exit_time: time

    @classmethod
    def read(cls, row: Fields) -> "TenderRule":
        """A row of `tender`. The hard exit must lie before the window."""
        rule = cls(
            row.integer("window_days", 1),
            row.integer("no_new_entry_days", 1),
            row.integer("roll_days", 1),
            row.integer("hard_exit_days", 1),
            row.clock("hard_exit_time"),
        )
        if not rule.window_days <= rule.hard_exit_days <= rule.roll_days <= rule.no_new_entry_days:
            allowed = "window_days <= hard_exit_days <= roll_days <= no_new_entry_days is expected"
            raise ConfigInvalid(f"{row.path}.hard_exit_days", rule.hard_exit_days, allowed)
        return rule


class _Kind(StrEnum):
    LAST_WEEKDAY = "last_weekday"
    DAY_OF_MONTH = "day_of_month"


def read_expiry_rule(row: Fields) -> ExpiryRule:
    """A row of `expiry_rules`: {"kind": "last_weekday", "weekday"} or {"kind": "day_of_month"}."""
    if row.choice("kind", _Kind) is _Kind.LAST_WEEKDAY:
        return LastWeekday(row.choice("weekday", Weekday))
    day = row.integer("day", 1)
    if day > 31:
        raise ConfigInvalid(f"{row.path}.day", day, "a day from 1 to 31 is expected")
    return DayOfMonth(day)


def _last_day(year: int, month: int) -> date:
    return date(year, month, calendar.monthrange(year, month)[1])
