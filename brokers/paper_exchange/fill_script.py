"""How one order fills when it does not fill whole: pieces, each at its price and in its time.

The first piece waits until the order meets the market; each later one for its delay or its number
of looks after the piece before, wherever the market is by then. No piece fills at a price that is
worse than the order's limit. When all pieces are played, what is left rests until the order is
changed, and then the market decides again.
"""

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from brokers.paper_exchange.listing import Contract
from brokers.paper_exchange.matching import Fill, Match, filled, match
from brokers.paper_exchange.orders import Action, Order, OrderStatus
from brokers.paper_exchange.pricing import Quote


@dataclass(frozen=True, slots=True)
class Piece:
    """One step of an order's life: it fills in part, or ends.

    Filled is `quantity`, else `fraction` of the order in whole lots, else all that is left; at
    `price`, else so many `ticks` better for the order than the touch. With `ends` nothing fills
    and the order has that status.
    """

    quantity: int | None = None
    fraction: Decimal | None = None
    price: Decimal | None = None
    ticks: int = 0
    after_s: float = 0.0
    after_looks: int = 0
    ends: OrderStatus | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """What is still to come of an order. `looks` are those since the last piece, at `since`."""

    orderid: str
    pieces: tuple[Piece, ...]
    since: datetime | None = None
    looks: int = 0
    is_over: bool = False

    @property
    def is_waiting(self) -> bool:
        """Whether looks count: it has begun, and there is more to come."""
        return self.since is not None and bool(self.pieces)

    def looked(self) -> "Script":
        """After one more look at the order."""
        return replace(self, looks=self.looks + 1)

    def freed(self) -> "Script":
        """After a change of the order: what all pieces left over is the market's again."""
        return replace(self, is_over=not self.pieces)

    def is_due(self, now: datetime) -> bool:
        """Whether its next piece is to be played at `now`."""
        if self.since is None or not self.pieces:
            return False
        piece = self.pieces[0]
        waited_s = (now - self.since).total_seconds()
        return waited_s >= piece.after_s and self.looks >= piece.after_looks

    def to_text(self) -> str:
        """As JSON, for the store."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_text(cls, text: str) -> "Script":
        """What `to_text` wrote."""
        row: dict[str, Any] = json.loads(text)
        since = row["since"]
        pieces = tuple(_piece(each) for each in row["pieces"])
        began = None if since is None else datetime.fromisoformat(since)
        return cls(row["orderid"], pieces, began, row["looks"], row["is_over"])


@dataclass(frozen=True, slots=True)
class Met:
    """An order after it met the market, with its script where it has one."""

    match: Match
    script: Script | None = None


def play(
    script: Script, order: Order, quote: Quote, contract: Contract, now: datetime, *, arriving: bool
) -> Met:
    """Let `order` meet `quote` as its script says."""
    if script.is_over:
        return Met(match(order, quote, arriving=arriving), script)
    if script.since is None:
        natural = match(order, quote, arriving=arriving)
        if not natural.fills and script.pieces[0].ends is None:
            return Met(natural, script)
        order, script = replace(order, status=OrderStatus.OPEN), replace(script, since=now)
    fills: tuple[Fill, ...] = ()
    while order.status.is_resting and script.is_due(now):
        piece, later = script.pieces[0], script.pieces[1:]
        script = replace(script, pieces=later, since=now, looks=0)
        if piece.ends is not None:
            order = replace(order, status=piece.ends)
            continue
        fill = _fill(piece, order, quote, contract)
        order, fills = filled(order, (fill,)), (*fills, fill)
    return Met(Match(order, fills), script)


def within_limit(order: Order, price: Decimal) -> Decimal:
    """`price`, or the order's limit where that is better for it."""
    if not order.pricetype.needs_price:
        return price
    return min(price, order.price) if order.action is Action.BUY else max(price, order.price)


def touch(order: Order, quote: Quote) -> Decimal:
    """What the market asks of this order."""
    return quote.ask if order.action is Action.BUY else quote.bid


def _fill(piece: Piece, order: Order, quote: Quote, contract: Contract) -> Fill:
    quantity = order.pending_quantity
    if piece.quantity is not None:
        quantity = piece.quantity
    elif piece.fraction is not None:
        lots = int(piece.fraction * order.quantity / contract.lotsize)
        quantity = max(lots, 1) * contract.lotsize
    price = piece.price
    if price is None:
        own = within_limit(order, touch(order, quote))
        price = max(own - order.action.sign * piece.ticks * contract.tick, contract.tick)
    return Fill(min(quantity, order.pending_quantity), within_limit(order, price))


def _piece(row: dict[str, Any]) -> Piece:
    fraction, price, ends = row["fraction"], row["price"], row["ends"]
    return Piece(
        quantity=row["quantity"],
        fraction=None if fraction is None else Decimal(fraction),
        price=None if price is None else Decimal(price),
        ticks=row["ticks"],
        after_s=row["after_s"],
        after_looks=row["after_looks"],
        ends=None if ends is None else OrderStatus(ends),
    )
