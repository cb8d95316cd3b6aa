"""The way out: everything is closed, and the answer is what the broker's own book says then.

A call rehearses unless it says otherwise: it shows what would be sent and sends nothing. What has
not ended by the answer goes on, and can be looked at again.
"""

from dataclasses import dataclass

from marshmallow import fields

from live.api.guard import audited
from live.api.rest import Room
from live.api.schemas import Asked, schema_of, text
from live.close_all import CloseAll
from live.close_all_report import InstrumentClosing
from live.web_parts import WebParts


@dataclass(frozen=True, slots=True)
class CloseAllReport:
    """`is_flat` says whether the broker holds nothing of ours any more; null where unknown."""

    dry_run: bool
    is_flat: bool | None
    instruments: tuple[InstrumentClosing, ...]


class CloseAllAsked(Asked):
    """Why, and whether it is meant."""

    reason = text(500, required=True)
    dry_run = fields.Boolean(load_default=True)


def close_all_room(parts: WebParts, closer: CloseAll) -> Room:
    """POST /emergency/close-all, and GET for how it stands."""
    room = Room("close_all", __name__, description="Close everything")

    @room.on("POST", "/emergency/close-all", schema_of(CloseAllReport), body=CloseAllAsked)
    def close_all(reason: str, dry_run: bool) -> CloseAllReport:
        """Close every layer, whatever the emergency switch says; or rehearse it."""
        who = audited(parts.store, reason, dry_run=dry_run)
        return _report(closer.rehearse() if dry_run else closer.run(reason, who), dry_run=dry_run)

    @room.get_from("/emergency/close-all", schema_of(CloseAllReport))
    def stand() -> CloseAllReport:
        """What is left of each layer, by our book and by the broker's."""
        return _report(closer.look(), dry_run=False)

    return room


def _report(found: tuple[InstrumentClosing, ...], *, dry_run: bool) -> CloseAllReport:
    flat = [instrument.is_flat for instrument in found]
    return CloseAllReport(dry_run, None if None in flat else all(flat), found)
