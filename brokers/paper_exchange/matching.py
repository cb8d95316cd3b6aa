"""When an order fills, and at what price; a pure function of the order and the quote.

An order that meets the touch as it arrives takes the touch. One that rests fills at its own limit
when the touch reaches it. A stop wakes when the last price reaches its trigger. What fills here,
fills whole; orders that fill in pieces have a script of their own.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from brokers.paper_exchange.orders import Action, Order, OrderStatus, PriceType
from brokers.paper_exchange.pricing import Quote


@dataclass(frozen=True, slots=True)
class Fill:
    """Units at a price."""

    quantity: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class Match:
    """The order after it met a quote, and what filled in that."""

    order: Order
    fills: tuple[Fill, ...] = ()


def match(order: Order, quote: Quote, *, arriving: bool) -> Match:
    """Let a resting order meet `quote`; `arriving` if it was placed or changed just now."""
    if order.status is OrderStatus.TRIGGER_PENDING:
        if not _is_triggered(order, quote.ltp):
            return Match(order)
        order, arriving = replace(order, status=OrderStatus.OPEN), True
    price = _fill_price(order, quote, arriving)
    if price is None:
        return Match(order)
    fills = (Fill(order.pending_quantity, price),)
    return Match(filled(order, fills), fills)


def filled(order: Order, fills: tuple[Fill, ...]) -> Order:
    """`order` with `fills` counted: their sum, and the average of all it ever had."""
    quantity = order.filled_quantity + sum(fill.quantity for fill in fills)
    worth = order.average_price * order.filled_quantity
    worth += sum((fill.price * fill.quantity for fill in fills), Decimal(0))
    done = quantity == order.quantity
    return replace(
        order,
        status=OrderStatus.COMPLETE if done else order.status,
        filled_quantity=quantity,
        average_price=worth / quantity,
    )


def first_status(pricetype: PriceType) -> OrderStatus:
    """How an accepted order starts."""
    return OrderStatus.TRIGGER_PENDING if pricetype.needs_trigger else OrderStatus.OPEN


def _is_triggered(order: Order, ltp: Decimal) -> bool:
    if order.action is Action.BUY:
        return ltp >= order.trigger_price
    return ltp <= order.trigger_price


def _fill_price(order: Order, quote: Quote, arriving: bool) -> Decimal | None:
    touch = quote.ask if order.action is Action.BUY else quote.bid
    if not order.pricetype.needs_price:
        return touch
    within = touch <= order.price if order.action is Action.BUY else touch >= order.price
    if not within:
        return None
    return touch if arriving else order.price
