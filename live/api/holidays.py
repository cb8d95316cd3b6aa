"""Holidays: the shipped calendar, and the days that operators close an exchange for."""

from dataclasses import dataclass
from datetime import date

from flask import Response
from marshmallow import fields, validate

from core.db_state_manager.operators import OperatorHoliday
from core.exchange_days import Holiday, HolidayKind
from live.api.guard import audited
from live.api.refusals import NotThere
from live.api.rest import Room
from live.api.schemas import Asked, schema_of, text
from live.web_parts import WebParts

_SHIPPED, _OPERATOR = "calendar", "operator"


@dataclass(frozen=True, slots=True)
class ListedHoliday:
    """A day that is closed or half closed; `source` is the calendar or an operator."""

    day: date
    name: str
    session: HolidayKind
    source: str
    who: str | None


@dataclass(frozen=True, slots=True)
class HolidayList:
    """An exchange's holidays, in their order; after `covered_until` they are not known."""

    exchange: str
    covered_until: date
    items: tuple[ListedHoliday, ...]


class YearAsked(Asked):
    """Which year; all that are known where nothing is said."""

    year = fields.Integer(load_default=None, validate=validate.Range(1990, 2200))


class NewHoliday(Asked):
    """A day to close an exchange for, and why."""

    day = fields.Date(required=True)
    description = text(200, required=True)


class HolidayRemovalAsked(Asked):
    """Which of the operators' holidays to take back, and why."""

    day = fields.Date(required=True)
    reason = text(500, required=True)


def holidays_room(parts: WebParts) -> Room:
    """GET, POST and DELETE /holidays/<exchange>."""
    room = Room("holidays", __name__, description="When exchanges are closed")
    store, reads = parts.store, parts.reads
    rule = f"/holidays/<any({', '.join(parts.calendar.exchanges)}):exchange>"

    @room.get_from(rule, schema_of(HolidayList), YearAsked)
    def holidays(exchange: str, year: int | None) -> HolidayList:
        """An exchange's holidays."""
        found = [_shipped(row) for row in parts.calendar.holidays(exchange)]
        found += [_operators(row) for row in reads.operator_holidays(exchange)]
        listed = sorted(found, key=lambda row: (row.day, row.source))
        shown = tuple(row for row in listed if year in (None, row.day.year))
        return HolidayList(exchange, parts.calendar.covered_until(exchange), shown)

    @room.on("POST", rule, schema_of(ListedHoliday), body=NewHoliday, status=201)
    def close(exchange: str, day: date, description: str) -> ListedHoliday:
        """Close an exchange for a day."""
        who = audited(store, description, exchange=exchange, day=day.isoformat())
        store.set_holiday(exchange, day, description, who)
        return ListedHoliday(day, description, HolidayKind.CLOSED, _OPERATOR, who)

    @room.on("DELETE", rule, None, query=HolidayRemovalAsked, status=204)
    def reopen(exchange: str, day: date, reason: str) -> Response:
        """Take a holiday of the operators' back; those of the calendar stay."""
        audited(store, reason, exchange=exchange, day=day.isoformat())
        if not store.remove_holiday(exchange, day):
            raise NotThere("holiday of an operator's")
        return Response(status=204)

    return room


def _shipped(row: Holiday) -> ListedHoliday:
    return ListedHoliday(row.day, row.name, row.kind, _SHIPPED, None)


def _operators(row: OperatorHoliday) -> ListedHoliday:
    return ListedHoliday(row.day, row.description, HolidayKind.CLOSED, _OPERATOR, row.who)
