"""What is said to a broker and what it answers: values only, each number exact, nothing guessed.

`quantity` is what the broker is sent and never lots. The exchange travels with the symbol. What a
broker does not tell is None and never zero. The product is always NRML, so no request names it.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum


class Action(StrEnum):
    """The side of an order or a trade."""

    BUY = "BUY"
    SELL = "SELL"


class PriceType(StrEnum):
    """How an order's price binds."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP_LIMIT = "SL"
    STOP_MARKET = "SL-M"

    @property
    def has_price(self) -> bool:
        """Whether a limit price belongs to it."""
        return self in (PriceType.LIMIT, PriceType.STOP_LIMIT)

    @property
    def has_trigger(self) -> bool:
        """Whether a trigger price belongs to it."""
        return self in (PriceType.STOP_LIMIT, PriceType.STOP_MARKET)


class Product(StrEnum):
    """How a position is carried. We trade NRML; the others belong to somebody else."""

    NRML = "NRML"
    MIS = "MIS"
    CNC = "CNC"


class OrderStatus(StrEnum):
    """Where an order stands. A word we do not know is UNRECOGNISED, and never an end."""

    OPEN = "open"
    TRIGGER_PENDING = "trigger pending"
    COMPLETE = "complete"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    UNRECOGNISED = "unrecognised"

    @property
    def is_final(self) -> bool:
        """Whether the order is over, if one look can be believed (a rejection needs two)."""
        return self in (OrderStatus.COMPLETE, OrderStatus.REJECTED, OrderStatus.CANCELLED)


class GatewayMode(StrEnum):
    """Whether the gateway's orders reach the broker (live) or its own sandbox (analyze)."""

    ANALYZE = "analyze"
    LIVE = "live"


class ContractKind(StrEnum):
    """Which contracts of an underlying an expiry list is about."""

    FUTURES = "futures"
    OPTIONS = "options"


@dataclass(frozen=True, slots=True)
class Contract:
    """A symbol and the exchange it trades on: `GOLDM04DEC26FUT` on `MCX`."""

    symbol: str
    exchange: str

    def __str__(self) -> str:
        return f"{self.exchange}:{self.symbol}"


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An order to be sent, or what a working order is to become.

    `price` and `trigger_price` are 0 where the price type has none. `tag` is the gateway's
    `strategy` label, 1 to 100 characters: it comes back in the sandbox's books, in live ones never.
    """

    contract: Contract
    action: Action
    quantity: int
    price: Decimal
    tag: str
    price_type: PriceType = PriceType.LIMIT
    trigger_price: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """The gateway accepted an order. That is an acknowledgement and never a fill."""

    order_id: str
    mode: GatewayMode


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One order as the order book shows it; its timestamp is the broker's text, unread.

    There is no average price: the gateway gives that of the first fill. `fills_of` knows better.
    `filled_quantity` and `pending_quantity` come from the sandbox only. `price_type` and `product`
    are None where the broker uses a word of its own; `status_text` is the broker's own word.
    """

    order_id: str
    contract: Contract
    action: Action
    quantity: int
    price: Decimal
    trigger_price: Decimal | None
    price_type: PriceType | None
    product: Product | None
    status: OrderStatus
    status_text: str
    filled_quantity: int | None = None
    pending_quantity: int | None = None
    rejection_reason: str | None = None
    tag: str | None = None
    timestamp: str | None = None


@dataclass(frozen=True, slots=True)
class TradeRow:
    """One fill as the trade book shows it. An order may have several; few brokers name them."""

    order_id: str
    contract: Contract
    action: Action
    quantity: int
    price: Decimal
    product: Product | None
    trade_id: str | None = None
    timestamp: str | None = None


@dataclass(frozen=True, slots=True)
class PositionRow:
    """The account's net position in a symbol and product; below zero is short, zero is closed.

    The account is everybody's: what part is ours, our own books say. There is no P&L here, because
    the gateway's is wrong for some contracts.
    """

    contract: Contract
    product: Product | None
    quantity: int
    average_price: Decimal


@dataclass(frozen=True, slots=True)
class Funds:
    """What the account may spend and has spent, in rupees."""

    available_cash_inr: Decimal
    utilised_inr: Decimal
    collateral_inr: Decimal


@dataclass(frozen=True, slots=True)
class MarginLeg:
    """A leg whose margin is asked for."""

    contract: Contract
    action: Action
    quantity: int


@dataclass(frozen=True, slots=True)
class Margin:
    """What the broker would block for the legs together; the parts are None where it tells none."""

    total_inr: Decimal
    span_inr: Decimal | None
    exposure_inr: Decimal | None


@dataclass(frozen=True, slots=True)
class Quote:
    """Prices of one contract, without a time: their age cannot be seen.

    `bid` and `ask` are None where nobody is on that side; `high` and `low` before the first trade.
    `open_interest` and `volume` are None where they are not told.
    """

    contract: Contract
    ltp: Decimal
    bid: Decimal | None
    ask: Decimal | None
    high: Decimal | None
    low: Decimal | None
    open_interest: Decimal | None = None
    volume: Decimal | None = None


@dataclass(frozen=True, slots=True)
class SymbolInfo:
    """A contract as today's master describes it.

    `lot_size` is the quantity one lot is sent as on this broker (Gold Mini: 1, 10 or 100) and says
    nothing about money. `freeze_quantity` is None where the master has no real one.
    """

    contract: Contract
    root: str
    lot_size: int
    tick: Decimal
    freeze_quantity: int | None
    expiry: date | None
    strike: Decimal | None


@dataclass(frozen=True, slots=True)
class Session:
    """An exchange's opening hours on one day."""

    exchange: str
    opens: datetime
    closes: datetime


@dataclass(frozen=True, slots=True)
class MarketHoliday:
    """A day on which some exchanges are closed and others open at their own hours."""

    day: date
    description: str
    closed_exchanges: tuple[str, ...]
    sessions: tuple[Session, ...]
