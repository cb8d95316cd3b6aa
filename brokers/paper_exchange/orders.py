"""Orders and trades are values: a change makes a new one, and what was stored stays as it was.

`quantity` is in the units of the contract's `lotsize`, as the broker's API has it.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum


class Mode(StrEnum):
    """Which of the gateway's two faces answers: its sandbox, or a live broker."""

    ANALYZE = "analyze"
    LIVE = "live"


class Action(StrEnum):
    """The side of an order."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for what adds to a position, -1 for what takes from it."""
        return 1 if self is Action.BUY else -1


class PriceType(StrEnum):
    """How an order meets the market."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP_LIMIT = "SL"
    STOP_MARKET = "SL-M"

    @property
    def needs_price(self) -> bool:
        """Whether a limit price belongs to it."""
        return self in (PriceType.LIMIT, PriceType.STOP_LIMIT)

    @property
    def needs_trigger(self) -> bool:
        """Whether it waits for a trigger price."""
        return self in (PriceType.STOP_LIMIT, PriceType.STOP_MARKET)


class OrderStatus(StrEnum):
    """The gateway's words; there is none for an order that is filled in part."""

    OPEN = "open"
    TRIGGER_PENDING = "trigger pending"
    COMPLETE = "complete"
    REJECTED = "rejected"
    CANCELLED = "cancelled"

    @property
    def is_resting(self) -> bool:
        """Whether it may still fill."""
        return self in (OrderStatus.OPEN, OrderStatus.TRIGGER_PENDING)


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a caller asks for. `price` and `trigger_price` are 0 where they do not apply."""

    strategy: str
    exchange: str
    symbol: str
    action: Action
    quantity: int
    pricetype: PriceType
    product: str
    price: Decimal
    trigger_price: Decimal


@dataclass(frozen=True, slots=True)
class OrderChange:
    """The new total quantity, price and trigger of a resting order."""

    orderid: str
    quantity: int
    price: Decimal
    trigger_price: Decimal


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the books have it.

    `reference_price` is the market's price when it came; `session` the trading day it is good for.
    """

    orderid: str
    session: date
    placed_at: datetime
    strategy: str
    exchange: str
    symbol: str
    action: Action
    quantity: int
    pricetype: PriceType
    product: str
    price: Decimal
    trigger_price: Decimal
    status: OrderStatus
    reference_price: Decimal
    filled_quantity: int = 0
    average_price: Decimal = Decimal(0)
    rejection_reason: str = ""

    @property
    def pending_quantity(self) -> int:
        """What is not filled."""
        return self.quantity - self.filled_quantity

    @classmethod
    def of(
        cls, request: OrderRequest, orderid: str, session: date, at: datetime, status: OrderStatus
    ) -> "Order":
        """`request` as it arrives."""
        return cls(
            orderid=orderid,
            session=session,
            placed_at=at,
            strategy=request.strategy,
            exchange=request.exchange,
            symbol=request.symbol,
            action=request.action,
            quantity=request.quantity,
            pricetype=request.pricetype,
            product=request.product,
            price=request.price,
            trigger_price=request.trigger_price,
            status=status,
            reference_price=Decimal(0),
        )


@dataclass(frozen=True, slots=True)
class Trade:
    """A fill. `unit_value` is rupees a point for one unit of quantity."""

    tradeid: str
    orderid: str
    session: date
    at: datetime
    strategy: str
    exchange: str
    symbol: str
    action: Action
    quantity: int
    product: str
    price: Decimal
    unit_value: Decimal

    @classmethod
    def of(
        cls,
        order: Order,
        quantity: int,
        price: Decimal,
        tradeid: str,
        at: datetime,
        unit_value: Decimal,
    ) -> "Trade":
        """A fill of `order`."""
        return cls(
            tradeid=tradeid,
            orderid=order.orderid,
            session=order.session,
            at=at,
            strategy=order.strategy,
            exchange=order.exchange,
            symbol=order.symbol,
            action=order.action,
            quantity=quantity,
            product=order.product,
            price=price,
            unit_value=unit_value,
        )

    @property
    def value(self) -> Decimal:
        """Rupees that changed hands on paper."""
        return self.price * self.quantity * self.unit_value
