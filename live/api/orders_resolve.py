"""Orders of which nobody knows what became: shown with the evidence, and settled by a person."""

from dataclasses import dataclass

from marshmallow import fields, validates_schema
from marshmallow.exceptions import ValidationError

from live.api.guard import audited
from live.api.rest import Room
from live.api.schemas import LARGEST_ID, Asked, schema_of, text
from live.broker_desk import BrokerDesk
from live.unknown_orders import UnknownOrder
from live.web_parts import WebParts


@dataclass(frozen=True, slots=True)
class UnknownOrderList:
    """All of them, oldest first."""

    items: tuple[UnknownOrder, ...]


class ResolveAsked(Asked):
    """It is that order of the broker's, or was never sent; and how that is known."""

    order_id = text(64, load_default=None, allow_none=True)
    never_sent = fields.Boolean(load_default=False)
    reason = text(500, required=True)

    @validates_schema
    def one_of_both(self, data: dict[str, object], **kwargs: object) -> None:
        """Refuse neither and both."""
        if (data["order_id"] is None) is not data["never_sent"]:
            raise ValidationError("either order_id or never_sent is expected", "order_id")


def orders_room(parts: WebParts, desk: BrokerDesk) -> Room:
    """GET /orders/unknown and POST /orders/<row>/resolve."""
    room = Room("unknown_orders", __name__, description="Orders nobody knows the end of")

    @room.get_from("/orders/unknown", schema_of(UnknownOrderList))
    def unknown() -> UnknownOrderList:
        """Each with our row, and the broker's rows that might be it."""
        return UnknownOrderList(desk.unknown_orders.all())

    @room.on(
        "POST",
        f"/orders/<int(max={LARGEST_ID}):row>/resolve",
        schema_of(UnknownOrderList),
        body=ResolveAsked,
    )
    def resolve(row: int, order_id: str | None, never_sent: bool, reason: str) -> UnknownOrderList:
        """Settle one; the next sweep carries on with its operation and releases the lock."""
        audited(parts.store, reason, row=row, order_id=order_id, never_sent=never_sent)
        if order_id is None:
            desk.unknown_orders.resolve_never_sent(row, reason)
        else:
            desk.unknown_orders.resolve_as(row, order_id)
        return UnknownOrderList(desk.unknown_orders.all())

    return room
