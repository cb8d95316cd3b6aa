"""Alerts: what came in, what became of each, and whether any are missing."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from marshmallow import fields

from core.db_state_manager.history import SignalJourney
from core.db_state_manager.overview import AlertCount, LastAlert, SequenceGap
from core.db_state_manager.records import SignalRow
from core.db_state_manager.states import SignalStatus
from live.api.refusals import NotThere
from live.api.rest import Room
from live.api.schemas import (
    LARGEST_ID,
    Page,
    PageAsked,
    instrument,
    page,
    page_of,
    schema_of,
)
from live.web_parts import WebParts

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class WebhookStatistics:
    """The alerts of the last day; each instrument's newest, whenever it came; and the gaps."""

    since: datetime
    total: int
    counts: tuple[AlertCount, ...]
    last: tuple[LastAlert, ...]
    gaps: tuple[SequenceGap, ...]


class SignalsAsked(PageAsked):
    """Which alerts."""

    instrument = instrument(load_default=None)
    status = fields.Enum(SignalStatus, by_value=fields.String, load_default=None)


def signals_room(parts: WebParts) -> Room:
    """GET /signals, /signals/<id> and /webhook/stats."""
    room = Room("signals", __name__, description="Alerts and what became of them")
    reads = parts.reads

    @room.get_from("/signals", page_of(SignalRow), SignalsAsked)
    def signals(
        limit: int, cursor: int | None, instrument: str | None, status: SignalStatus | None
    ) -> Page[SignalRow]:
        """Alerts; newest first."""
        return page(reads.signals(limit + 1, cursor, instrument, status), limit, lambda row: row.id)

    @room.get_from(f"/signals/<int(max={LARGEST_ID}):signal_id>", schema_of(SignalJourney))
    def journey(signal_id: int) -> SignalJourney:
        """One alert's whole journey: decision, operations, orders, fills, positions, money."""
        found = reads.journey(signal_id)
        if found is None:
            raise NotThere("signal")
        return found

    @room.get_from("/webhook/stats", schema_of(WebhookStatistics))
    def statistics() -> WebhookStatistics:
        """How many alerts came in during the last day, and which never arrived."""
        since = parts.clock.now() - _DAY
        found = reads.alert_statistics(since, parts.instruments)
        total = sum(row.count for row in found.counts)
        return WebhookStatistics(since, total, found.counts, found.last, found.gaps)

    return room
