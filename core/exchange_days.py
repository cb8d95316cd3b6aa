"""What is known about one exchange's days: hours, holidays and special sessions, as dated rows.

A year is covered only when its holidays were entered; an empty list is never "no holidays".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum
from zoneinfo import ZoneInfo

from core.data.fields import Fields, as_clock, as_day, as_integer
from core.dated import Dated, Origin
from core.errors import ConfigInvalid

_NEW_YORK = ZoneInfo("America/New_York")


class HolidayKind(StrEnum):
    """What a holiday leaves of its day."""

    CLOSED = "CLOSED"
    MORNING_ONLY = "MORNING_ONLY"
    EVENING_ONLY = "EVENING_ONLY"


@dataclass(frozen=True, slots=True)
class TradingHours:
    """A regime of regular hours in IST, from a day on.

    `close_outside_us_dst` replaces `close` while New York keeps winter time. `evening_open` splits
    the day where holidays close only half of it. `expiring_close` is where contracts stop on
    their own expiry day, if before the close.
    """

    open: time
    close: time
    close_outside_us_dst: time | None
    evening_open: time | None
    expiring_close: time | None

    @classmethod
    def read(cls, row: Fields) -> "TradingHours":
        """A row of `hours`. Raises ConfigInvalid unless its times rise through the day."""
        hours = cls(
            row.clock("open"),
            row.clock("close"),
            row.optional_clock("close_outside_us_dst"),
            row.optional_clock("evening_open"),
            row.optional_clock("expiring_close"),
        )
        first_close = min(hours.close, hours.close_outside_us_dst or hours.close)
        within = [hours.evening_open or hours.open, hours.expiring_close or first_close]
        if hours.open >= first_close or not all(hours.open <= t <= first_close for t in within):
            shown = hours.close.strftime("%H:%M")
            allowed = "times that rise from open through evening_open or expiring_close to close"
            raise ConfigInvalid(f"{row.path}.close", shown, f"{allowed} are expected")
        return hours

    def close_on(self, day: date) -> time:
        """The close of `day`.

        The US clock changes on a Sunday after midnight, so Monday is the first day that starts,
        in New York, on the new time; and Monday is when MCX switches.
        """
        if self.close_outside_us_dst is None:
            return self.close
        in_dst = datetime(day.year, day.month, day.day, tzinfo=_NEW_YORK).dst()
        return self.close if in_dst else self.close_outside_us_dst


@dataclass(frozen=True, slots=True)
class Holiday:
    """A day that is closed, or half closed."""

    day: date
    name: str
    kind: HolidayKind
    origin: Origin


@dataclass(frozen=True, slots=True)
class SpecialSession:
    """An announced session outside the regular ones; without windows, its times are unknown."""

    day: date
    name: str
    windows: tuple[tuple[time, time], ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class ExchangeDays:
    """All rows of one exchange, the operator's already laid over the shipped ones.

    `provisional_holidays` are certain by their date although their year is not published.
    """

    covered_years: frozenset[int]
    hours: Dated[TradingHours]
    holidays: Mapping[date, Holiday]
    provisional_holidays: Mapping[date, Holiday]
    special_sessions: Mapping[date, SpecialSession]

    @classmethod
    def read(cls, fields: Fields) -> "ExchangeDays":
        """Read the layered rows. Raises ConfigInvalid with the path of what is wrong."""
        hours = Dated.read(fields, "hours", TradingHours.read)
        holidays = _read_holidays(fields, "holidays", hours)
        for path, value in fields.values("removed_holidays"):
            if holidays.pop(as_day(path, value), None) is None:
                raise ConfigInvalid(path, value, "the date of a known holiday is expected")
        special_sessions = [_read_special(row) for row in fields.rows("special_sessions")]
        days = cls(
            _read_covered_years(fields, holidays),
            hours,
            holidays,
            _read_holidays(fields, "provisional_holidays", hours),
            {special.day: special for special in special_sessions},
        )
        fields.finish()
        return days


def _read_covered_years(fields: Fields, holidays: Mapping[date, Holiday]) -> frozenset[int]:
    years = set()
    for path, value in fields.values("covered_years"):
        year = as_integer(path, value, 1990)
        if not any(day.year == year for day in holidays):
            raise ConfigInvalid(path, value, "a year whose holidays are given is expected")
        years.add(year)
    if not years:
        raise ConfigInvalid(f"{fields.path}.covered_years", [], "at least one year is required")
    return frozenset(years)


def _read_holidays(fields: Fields, key: str, hours: Dated[TradingHours]) -> dict[date, Holiday]:
    holidays = {}
    for row in fields.rows(key):
        day = row.day("date")
        kind = row.choice("session", HolidayKind) if row.has("session") else HolidayKind.CLOSED
        if kind is not HolidayKind.CLOSED and hours.on(day).evening_open is None:
            allowed = "CLOSED is expected: this exchange has no evening session"
            raise ConfigInvalid(f"{row.path}.session", kind.value, allowed)
        holidays[day] = Holiday(day, row.text("name"), kind, Origin.read(row))
        row.finish()
    return holidays


def _read_special(row: Fields) -> SpecialSession:
    windows: list[tuple[time, time]] = []
    for path, value in row.values("windows"):
        if not isinstance(value, list) or len(value) != 2:
            raise ConfigInvalid(path, value, "a pair of times [open, close] is expected")
        opens, closes = as_clock(f"{path}[0]", value[0]), as_clock(f"{path}[1]", value[1])
        if opens >= closes or (windows and opens < windows[-1][1]):
            raise ConfigInvalid(path, value, "times that rise and do not overlap are expected")
        windows.append((opens, closes))
    special = SpecialSession(row.day("date"), row.text("name"), tuple(windows), Origin.read(row))
    row.finish()
    return special
