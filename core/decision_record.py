"""A decision with everything a person needs to work it out again by hand.

Codes are stable: reports, the API and operators' notes refer to them, so they are added, never
renamed.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from core.models import Limiter, SignalType


class DecisionCode(StrEnum):
    """What was decided. The first six act; the rest open nothing and close nothing."""

    ENTER_BASE = "ENTER_BASE"
    ENTER_PYRAMID = "ENTER_PYRAMID"
    EXIT = "EXIT"
    STOP_HIT = "STOP_HIT"
    PEEL_OFF = "PEEL_OFF"
    ROLL = "ROLL"
    NOTHING_HELD = "NOTHING_HELD"
    INSTRUMENT_UNKNOWN = "INSTRUMENT_UNKNOWN"
    INSTRUMENT_DISABLED = "INSTRUMENT_DISABLED"
    ENTRIES_BLOCKED = "ENTRIES_BLOCKED"
    SPECIAL_SESSION = "SPECIAL_SESSION"
    OUTSIDE_COVERAGE = "OUTSIDE_COVERAGE"
    NUMBER_NOT_FINITE = "NUMBER_NOT_FINITE"
    PRICE_OUT_OF_RANGE = "PRICE_OUT_OF_RANGE"
    ATR_OUT_OF_RANGE = "ATR_OUT_OF_RANGE"
    STOP_OUT_OF_RANGE = "STOP_OUT_OF_RANGE"
    STOP_NOT_BELOW_PRICE = "STOP_NOT_BELOW_PRICE"
    LAYER_INVALID = "LAYER_INVALID"
    ALREADY_IN_POSITION = "ALREADY_IN_POSITION"
    ENTRY_IN_FLIGHT = "ENTRY_IN_FLIGHT"
    LAYER_OUT_OF_ORDER = "LAYER_OUT_OF_ORDER"
    GATE_CLOSED = "GATE_CLOSED"
    ZERO_LOTS = "ZERO_LOTS"
    SIGNAL_TOO_OLD = "SIGNAL_TOO_OLD"
    PRICE_DIVERGED = "PRICE_DIVERGED"
    PRICE_BELOW_STOP = "PRICE_BELOW_STOP"
    RISK_GREW = "RISK_GREW"


@dataclass(frozen=True, slots=True)
class Constraint:
    """One limit on a size: lots = floor(budget / per_lot), never below 0.

    `share` is the configured percentage or fraction that the budget was made with. `budget` and
    `per_lot` are rupees (or lots against 1); an unenforced one is recorded only.
    """

    limiter: Limiter
    share: Decimal
    budget: Decimal
    per_lot: Decimal
    lots: int
    enforced: bool = True


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """One condition of the pyramid gate: passed when `measured` stands to `threshold` as named."""

    name: str
    passed: bool
    measured: Decimal | None
    threshold: Decimal | None


@dataclass(frozen=True, slots=True)
class DecisionInputs:
    """The account, the alert and the contract as they were when an entry was decided.

    Rupees for money, points for prices. `risk`, `volatility` and `margin_*` are those of the whole
    account before this entry, orders in flight included. `stop_distance` is what was sized on.
    The last three belong to adds: the instrument's open P&L at the alert's price, the base
    layer's initial risk, and the lots of the layer opened last.
    """

    equity: Decimal
    equity_high: Decimal
    risk: Decimal
    volatility: Decimal
    margin_in_use: Decimal
    margin_reserved: Decimal
    margin_available: Decimal
    broker_free_funds: Decimal | None
    price: Decimal
    stop: Decimal
    stop_distance: Decimal
    atr: Decimal
    er: float
    point_value: Decimal
    lot_size: int
    margin_per_lot: Decimal
    open_pnl: Decimal | None = None
    base_risk: Decimal | None = None
    previous_lots: int | None = None


@dataclass(frozen=True, slots=True)
class LayerClose:
    """Lots of one open layer that are to be closed."""

    position_id: str
    layer: int
    lots: int


@dataclass(frozen=True, slots=True)
class LayerRoll:
    """A layer that is to be moved: `lots` of its contract closed, `lots_after` of the next opened.

    The contract's terms are those of the next one. `near_price` and `far_price` are what both cost
    (points) when it was planned; `symbol` is the next one's where it is a single contract.
    """

    position_id: str
    layer: int
    lots: int
    lots_after: int
    point_value: Decimal
    lot_size: int
    margin_per_lot: Decimal
    near_price: Decimal
    far_price: Decimal
    symbol: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of one alert or one closed bar, or the roll of an instrument's layers.

    Entries carry `lots`, `initial_stop` and what they add to risk, volatility and margin (rupees);
    exits carry `closes`, rolls `rolls`. `reason` is for people, `code` for programs.
    """

    code: DecisionCode
    reason: str
    instrument: str
    type: SignalType
    layer: int | None = None
    lots: int = 0
    initial_stop: Decimal | None = None
    risk: Decimal = Decimal(0)
    volatility: Decimal = Decimal(0)
    margin: Decimal = Decimal(0)
    limiter: Limiter | None = None
    inputs: DecisionInputs | None = None
    constraints: tuple[Constraint, ...] = ()
    gates: tuple[GateVerdict, ...] = ()
    closes: tuple[LayerClose, ...] = ()
    rolls: tuple[LayerRoll, ...] = ()

    @property
    def acts(self) -> bool:
        """True when something is to be opened, closed or moved."""
        return self.lots > 0 or bool(self.closes) or bool(self.rolls)

    @property
    def lots_closed(self) -> int:
        """The lots that an exit closes, or a roll moves."""
        closes = sum(close.lots for close in self.closes)
        return closes + sum(roll.lots for roll in self.rolls)
