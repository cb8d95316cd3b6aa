"""Money that was put in, taken out, earned and paid: the ledger, and the two ways to move it."""

from dataclasses import dataclass
from decimal import Decimal

from marshmallow import fields, validate

from core.db_state_manager.overview import LedgerSum
from core.db_state_manager.records import LedgerRow
from live.api.guard import audited
from live.api.rest import Room
from live.api.schemas import Asked, Page, PageAsked, RupeesField, page, page_of, schema_of, text
from live.web_parts import WebParts


@dataclass(frozen=True, slots=True)
class CapitalSummary:
    """Realised equity and what it is made of; charges are below zero."""

    closed_equity: Decimal
    equity_high: Decimal
    charges: Decimal
    by_kind: tuple[LedgerSum, ...]


@dataclass(frozen=True, slots=True)
class CapitalMove:
    """Capital that was moved, and the realised equity after it."""

    type: str
    amount: Decimal
    closed_equity: Decimal
    equity_high: Decimal


class CapitalMoveAsked(Asked):
    """Rupees to put in or take out, and why."""

    type = fields.String(required=True, validate=validate.OneOf(["DEPOSIT", "WITHDRAW"]))
    amount = RupeesField(
        required=True, metadata={"pattern": r"^[0-9]{1,15}(\.[0-9]{1,2})?$", "example": "250000.50"}
    )
    notes = text(500, required=True)


def capital_room(parts: WebParts) -> Room:
    """GET /capital/summary and /capital/transactions, POST /capital/inject."""
    room = Room("capital", __name__, description="The ledger")
    reads = parts.reads

    @room.get_from("/capital/summary", schema_of(CapitalSummary))
    def summary() -> CapitalSummary:
        """The ledger in one look."""
        money = reads.money()
        return CapitalSummary(
            money.closed_equity, money.equity_high, money.charges, tuple(reads.ledger_sums())
        )

    @room.get_from("/capital/transactions", page_of(LedgerRow), PageAsked)
    def transactions(limit: int, cursor: int | None) -> Page[LedgerRow]:
        """The lines of the ledger; newest first."""
        return page(reads.ledger(limit + 1, cursor), limit, lambda row: row.id)

    @room.on("POST", "/capital/inject", schema_of(CapitalMove), body=CapitalMoveAsked)
    def inject(type: str, amount: Decimal, notes: str) -> CapitalMove:
        """Put capital in or take it out; equity_high moves with it."""
        who = audited(parts.store, notes, type=type, amount=amount)
        signed = -amount if type == "WITHDRAW" else amount
        money = parts.store.move_capital(signed, notes, who)
        return CapitalMove(type, amount, money.closed_equity, money.equity_high)

    return room
