"""Reality is booked on an operator's word: at prices given, with a reason, and without an order.

Also the one number about a contract that nobody but a person can confirm: what one lot is sent as.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from marshmallow import fields, validate
from marshmallow.exceptions import ValidationError

from live.adopting import Adopted, BookedStep, Terms
from live.api.broker import SyncReport, report
from live.api.guard import audited
from live.api.rest import Room
from live.api.schemas import Asked, instrument, schema_of, text
from live.broker_desk import BrokerDesk
from live.lot_guard import LotStanding
from live.web_parts import WebParts

_POINTS = r"^[0-9]{1,9}(\.[0-9]{1,4})?$"


@dataclass(frozen=True, slots=True)
class AdoptionReport:
    """What was booked, and how the books compare since."""

    booked: tuple[BookedStep, ...]
    since: SyncReport


@dataclass(frozen=True, slots=True)
class LotSizes:
    """The lots that need a confirmation, as they are at the broker and as they were confirmed."""

    lot_sizes: tuple[LotStanding, ...]


class PointsField(fields.String):
    """Points in, above zero, with at most four decimals, as a string or a number."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        is_number = isinstance(value, (str, int, float)) and not isinstance(value, bool)
        if is_number and re.fullmatch(_POINTS, str(value)) and Decimal(str(value)):
            return Decimal(str(value))
        raise ValidationError("must be points above 0 with at most four decimals, like 58012.35")


def _points(**options: Any) -> PointsField:
    return PointsField(metadata={"pattern": _POINTS, "example": "58012.35"}, **options)


def _by_name() -> fields.Dict:
    return fields.Dict(keys=text(40), values=_points(), load_default=dict)


def _position_ids() -> "fields.List[Any]":
    return fields.List(text(80), load_default=list)


class AdoptAsked(Asked):
    """At what prices, by symbol or instrument; stops of new layers, by instrument; and why."""

    reason = text(500, required=True)
    prices = _by_name()
    stops = _by_name()
    position_ids = _position_ids()
    instrument = instrument(load_default=None, allow_none=True)


class ManualExitAsked(Asked):
    """Layers that were closed at the broker, at what price, and why."""

    instrument = instrument(required=True)
    exit_price = _points(load_default=None, allow_none=True)
    prices = _by_name()
    position_ids = _position_ids()
    reason = text(500, required=True)
    force = fields.Boolean(load_default=False)


class LotSizeAsked(Asked):
    """What one lot of an instrument is sent as, and why it is believed."""

    instrument = instrument(required=True)
    lot_size = fields.Integer(required=True, strict=True, validate=validate.Range(1, 100_000))
    reason = text(500, required=True)


def sync_room(parts: WebParts, desk: BrokerDesk) -> Room:
    """POST /sync/adopt, /manual-exit and /sync/lot-size, GET /sync/lot-sizes."""
    room = Room("sync", __name__, description="Booking what was done at the broker")

    @room.on("POST", "/sync/adopt", schema_of(AdoptionReport), body=AdoptAsked)
    def adopt(
        reason: str,
        prices: Mapping[str, Decimal],
        stops: Mapping[str, Decimal],
        position_ids: list[str],
        instrument: str | None,
    ) -> AdoptionReport:
        """Book what differs, so that it does not any more. Sends nothing."""
        asked = {"prices": prices, "stops": stops, "position_ids": position_ids}
        audited(parts.store, reason, instrument=instrument, **asked)
        terms = Terms(reason, prices, stops, tuple(position_ids), instrument)
        return _reported(desk.adopter.adopt(terms))

    @room.on("POST", "/manual-exit", schema_of(AdoptionReport), body=ManualExitAsked)
    def manual_exit(
        instrument: str,
        exit_price: Decimal | None,
        prices: Mapping[str, Decimal],
        position_ids: list[str],
        reason: str,
        force: bool,
    ) -> AdoptionReport:
        """Book an exit that was done at the broker. Sends nothing."""
        given = dict(prices) if exit_price is None else {**prices, instrument: exit_price}
        asked = {"prices": given, "position_ids": position_ids, "force": force}
        audited(parts.store, reason, instrument=instrument, **asked)
        terms = Terms(reason, given, {}, tuple(position_ids))
        return _reported(desk.adopter.manual_exit(instrument, terms, force=force))

    @room.get_from("/sync/lot-sizes", schema_of(LotSizes))
    def lot_sizes() -> LotSizes:
        """What one lot is sent as, at the broker and as it was confirmed."""
        return LotSizes(desk.lot_guard.standings(parts.clock.now().date()))

    @room.on("POST", "/sync/lot-size", schema_of(LotSizes), body=LotSizeAsked)
    def confirm_lot_size(instrument: str, lot_size: int, reason: str) -> LotSizes:
        """Confirm what one lot is sent as, which has to be what the broker says today."""
        who = audited(parts.store, reason, instrument=instrument, lot_size=lot_size)
        day = parts.clock.now().date()
        desk.lot_guard.confirm(instrument, lot_size, day, who)
        return LotSizes(desk.lot_guard.standings(day))

    def _reported(done: Adopted) -> AdoptionReport:
        since = done.reconciled
        told = report(desk, parts, since.comparison, since.locked, since.unlocked)
        return AdoptionReport(done.booked, told)

    return room
