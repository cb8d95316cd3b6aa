"""The gateway's calendar: what is closed, and from when to when the rest trades.

It answers an unpublished year with an empty list and success, as the gateway does: whoever reads
it must know that empty is unknown.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from core.errors import OutsideCoverage
from core.exchange_days import ExchangeDays
from core.market_calendar import MarketCalendar

_MEMBERS: Mapping[str, tuple[str, ...]] = {
    "NSE": ("NSE", "BSE", "NFO", "BFO", "CDS", "BCD"),
    "MCX": ("MCX",),
}
_SEGMENTS: Mapping[str, str] = {"NSE": "NFO", "MCX": "MCX"}
_MS_A_SECOND = 1000


def holidays(
    exchanges: Mapping[str, ExchangeDays], calendar: MarketCalendar, year: int
) -> list[dict[str, Any]]:
    """The year's holidays by date; none if the year is not published."""
    names: dict[date, str] = {}
    for days in exchanges.values():
        for day, holiday in days.holidays.items():
            if day.year == year:
                names.setdefault(day, holiday.name)
    return [_holiday_row(exchanges, calendar, day, names[day]) for day in sorted(names)]


def timings(calendar: MarketCalendar, day: date) -> list[dict[str, Any]]:
    """When each segment trades on `day`; what is closed is absent."""
    rows = []
    for exchange, segment in _SEGMENTS.items():
        row = _open_row(calendar, exchange, segment, day)
        if row is not None:
            rows.append(row)
    return rows


def _holiday_row(
    exchanges: Mapping[str, ExchangeDays], calendar: MarketCalendar, day: date, name: str
) -> dict[str, Any]:
    closed = [
        member
        for exchange, days in exchanges.items()
        if day in days.holidays
        for member in _MEMBERS[exchange]
    ]
    opened = [
        row
        for exchange, segment in _SEGMENTS.items()
        if (row := _open_row(calendar, exchange, segment, day)) is not None
    ]
    still_open = {row["exchange"] for row in opened}
    return {
        "closed_exchanges": [member for member in closed if member not in still_open],
        "date": day.isoformat(),
        "description": name,
        "holiday_type": "TRADING_HOLIDAY",
        "open_exchanges": opened,
    }


def _open_row(
    calendar: MarketCalendar, exchange: str, segment: str, day: date
) -> dict[str, Any] | None:
    try:
        session = calendar.session(exchange, day)
    except OutsideCoverage:
        return None
    if session is None or not session.times_known:
        return None
    return {
        "end_time": _epoch_ms(session.close),
        "exchange": segment,
        "start_time": _epoch_ms(session.open),
    }


def _epoch_ms(moment: datetime) -> int:
    return int(moment.timestamp()) * _MS_A_SECOND
