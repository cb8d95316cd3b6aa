"""What passes between rooms: alerts in, layers and trades out. All values, no behaviour that acts.

Prices and money are `Decimal`, ratios are `float`, times are aware. `lots` are lots; the quantity
a broker is sent is made elsewhere and never kept in these types.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

MAX_LAYERS = 6
HIGHEST_PRICE = Decimal(10**9)


class SignalType(StrEnum):
    """What an alert asks for."""

    BASE_ENTRY = "BASE_ENTRY"
    PYRAMID = "PYRAMID"
    EXIT = "EXIT"
    EOD_MONITOR = "EOD_MONITOR"
    MARKET_DATA = "MARKET_DATA"


class StopMode(StrEnum):
    """How a layer's stop follows the market (the same three in Pine, live and backtest)."""

    TOM_BASSO = "TOM_BASSO"
    SUPERTREND = "SUPERTREND"
    VAN_THARP = "VAN_THARP"


class Limiter(StrEnum):
    """The constraint that decided how many lots a size came to."""

    RISK = "risk"
    VOLATILITY = "volatility"
    MARGIN = "margin"
    PREVIOUS_LAYER = "previous_layer"
    PROFIT = "profit"
    PORTFOLIO_RISK = "portfolio_risk"
    PORTFOLIO_VOLATILITY = "portfolio_volatility"
    MAX_LOTS = "max_lots"


def layer_name(layer: int | None) -> str:
    """`Long_3` for 3; `ALL` for None."""
    return "ALL" if layer is None else f"Long_{layer}"


@dataclass(frozen=True, slots=True)
class Signal:
    """An alert that opens, adds to or closes exposure.

    `layer` is 1..6, or None for ALL (exits only). `bar_time` is the time the alert's own content
    gives (never the time it arrived). `stop` is the SuperTrend for entries and may be 0 on exits.
    """

    type: SignalType
    instrument: str
    layer: int | None
    price: Decimal
    stop: Decimal
    atr: Decimal
    er: float
    supertrend: Decimal
    bar_time: datetime
    roc: float | None = None
    seq: int | None = None
    suggested_lots: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MarketDataSignal:
    """A closed bar, for the system's own stops."""

    instrument: str
    price: Decimal
    atr: Decimal
    supertrend: Decimal
    bar_time: datetime
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class EODMonitorSignal:
    """The Scout's view of the unfinished last bar: condition states and indicator values.

    `sent_at` is when it says it was sent; an alert without a `bar_time` has that as its bar time.
    """

    instrument: str
    price: Decimal
    conditions: dict[str, bool]
    indicators: dict[str, float | None]
    bar_time: datetime
    in_position: bool | None = None
    pyramid_count: int | None = None
    seq: int | None = None
    sent_at: datetime | None = None


@dataclass(slots=True)
class Position:
    """One open layer. Only `PortfolioStateManager` changes it; everybody else reads.

    `point_value` (rupees a point a lot) and `lot_size` are those of the contract it was entered
    with and never follow a later change. `initial_lots` is what was first filled.
    """

    id: str
    instrument: str
    trade_no: int
    layer: int
    lots: int
    initial_lots: int
    entry_price: Decimal
    entry_time: datetime
    initial_stop: Decimal
    stop: Decimal
    highest_close: Decimal
    atr: Decimal
    point_value: Decimal
    lot_size: int
    margin_per_lot: Decimal
    limiter: Limiter | None = None
    symbol: str | None = None
    entry_charges: Decimal = field(default=Decimal(0))

    @property
    def risk(self) -> Decimal:
        """Rupees lost if the stop fills at its price: max(0, entry - stop) x lots x point value."""
        distance = self.entry_price - self.stop
        return distance * self.lots * self.point_value if distance > 0 else Decimal(0)

    @property
    def initial_risk(self) -> Decimal:
        """1R in rupees: `r_points` x first lots x point value."""
        return self.r_points * self.initial_lots * self.point_value

    @property
    def r_points(self) -> Decimal:
        """1R in points: entry - initial stop, and 0 for a layer that filled below its stop."""
        return max(self.entry_price - self.initial_stop, Decimal(0))

    def open_pnl(self, price: Decimal) -> Decimal:
        """Rupees gained at `price`, before charges."""
        return (price - self.entry_price) * self.lots * self.point_value


@dataclass(frozen=True, slots=True)
class Trade:
    """Lots of one layer that were closed together. P&L in rupees; R is the layer's initial risk."""

    instrument: str
    trade_no: int
    layer: int
    lots: int
    entry_time: datetime
    entry_price: Decimal
    exit_time: datetime
    exit_price: Decimal
    point_value: Decimal
    gross_pnl: Decimal
    charges: Decimal
    net_pnl: Decimal
    initial_risk: Decimal
    reason: str
    limiter: Limiter | None = None

    @property
    def r_multiple(self) -> float | None:
        """Net P&L in units of the risk first taken; None where no risk was recorded."""
        return float(self.net_pnl / self.initial_risk) if self.initial_risk > 0 else None


@dataclass(frozen=True, slots=True)
class ContractTerms:
    """The contract an instrument trades at a moment, as far as sizing and booking need it.

    `lot_size` is the exchange's lot in units (30 for Bank Nifty in 2026), `point_value` rupees a
    point a lot. Margin per lot is the larger of `margin_floor_inr` and `margin_fraction` of the
    notional (price x point value), and of the broker's own figure where there is one.
    `provisional` says that the expiry follows from the rule alone (holidays not yet published).
    """

    instrument: str
    expiry: date
    lot_size: int
    point_value: Decimal
    tick: Decimal
    margin_floor_inr: Decimal
    margin_fraction: Decimal
    freeze_quantity: int | None = None
    symbol: str | None = None
    provisional: bool = False

    def margin_per_lot(self, price: Decimal, broker_quote: Decimal | None = None) -> Decimal:
        """Rupees blocked for one lot at `price`."""
        own = max(self.margin_floor_inr, self.margin_fraction * price * self.point_value)
        return own if broker_quote is None else max(own, broker_quote)
