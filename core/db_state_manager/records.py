"""What goes into the database and comes out of it: frozen values, one for each kind of row.

Rupees and points are `Decimal`, times aware. `quantity` is what the broker is sent, `lots` are
lots. Fields are in the order of the columns that they are read from.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from core.db_state_manager.states import (
    AuditKind,
    ControlState,
    IntentAction,
    IntentSource,
    IntentState,
    LedgerKind,
    LegPurpose,
    LegState,
    OrderState,
    PositionState,
    PriceType,
    Side,
    SignalStatus,
)
from core.decision_record import Decision
from core.models import Limiter, SignalType
from core.webhook_parser import Alert


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an alert: a stable code, a sentence, and for entries their size."""

    code: str
    reason: str
    lots: int | None = None
    limiter: Limiter | None = None


@dataclass(frozen=True, slots=True)
class Journalled:
    """An alert as the journal has it. `duplicate_of` is the id of the first, for a repeat."""

    id: int
    duplicate_of: int | None
    status: SignalStatus
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class ClaimedSignal:
    """An alert that is this worker's to handle until its lease ends.

    `superseded_by` is an exit of the same position from a later bar, if one is journalled: an
    entry that has one must not be executed any more. `attempts` counts deliveries.
    """

    id: int
    fingerprint: str
    alert: Alert
    received_at: datetime
    attempts: int
    superseded_by: int | None


@dataclass(frozen=True, slots=True)
class SignalRow:
    """One line of the signal log."""

    id: int
    fingerprint: str
    type: SignalType
    instrument: str
    layer: int | None
    bar_time: datetime
    received_at: datetime
    finished_at: datetime | None
    attempts: int
    status: SignalStatus
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class LegPlan:
    """A leg that is to be traded."""

    purpose: LegPurpose
    side: Side
    symbol: str
    exchange: str
    lots: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Leg:
    """A leg of an intent, with what its orders have filled so far (average in points)."""

    id: int
    intent_id: int
    place: int
    purpose: LegPurpose
    side: Side
    symbol: str
    exchange: str
    lots: int
    quantity: int
    state: LegState
    filled_quantity: int
    average_price: Decimal


@dataclass(frozen=True, slots=True)
class Intent:
    """One operation on one instrument. Reserved amounts are rupees."""

    id: int
    signal_id: int | None
    instrument: str
    source: IntentSource
    action: IntentAction
    state: IntentState
    layer: int | None
    lots: int
    decision: Decision
    is_test: bool
    epoch: int | None
    reason: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """An order that is about to be sent, and the order ids the broker knew just before."""

    leg_id: int
    broker: str
    trading_day: date
    quantity: int
    price_type: PriceType
    price: Decimal
    known_order_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order as far as it is known. `order_id` is None until the broker has named it."""

    id: int
    leg_id: int
    broker: str
    trading_day: date
    order_id: str | None
    quantity: int
    price_type: PriceType
    price: Decimal
    known_order_ids: tuple[str, ...]
    state: OrderState
    filled_quantity: int
    average_price: Decimal
    reason: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Fill:
    """What an order had filled in all at that time."""

    order: int
    cumulative_quantity: int
    average_price: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class PositionRow:
    """One layer, open or history. `lots` are those still held."""

    key: int
    id: str
    instrument: str
    trade_no: int
    layer: int
    state: PositionState
    is_test: bool
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
    limiter: Limiter | None
    symbol: str | None
    intent_id: int | None
    closed_at: datetime | None
    version: int


@dataclass(frozen=True, slots=True)
class StopRaise:
    """A layer's new stop, from somebody who saw it at `version`."""

    position_id: str
    stop: Decimal
    highest_close: Decimal
    version: int


@dataclass(frozen=True, slots=True)
class TradeRow:
    """Lots of a layer that were closed together."""

    id: int
    position_id: str
    intent_id: int | None
    lots: int
    entry_time: datetime
    entry_price: Decimal
    exit_time: datetime
    exit_price: Decimal
    gross_pnl: Decimal
    charges: Decimal
    net_pnl: Decimal
    initial_risk: Decimal
    reason: str


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """Rupees that an operation earned or cost beside its layers (an unwound leg, a roll)."""

    kind: LedgerKind
    amount: Decimal
    notes: str


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One line of the ledger, and the realised equity after it."""

    id: int
    kind: LedgerKind
    amount: Decimal
    equity_after: Decimal
    position_id: str | None
    intent_id: int | None
    notes: str
    who: str
    at: datetime


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A decision or a booking. `detail` is a Decision, or the event that was booked, as JSON."""

    id: int
    kind: AuditKind
    code: str
    detail: dict[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class TradingControl:
    """What is allowed in a scope (GLOBAL or an instrument), why, and who said so."""

    scope: str
    state: ControlState
    reason: str
    who: str
    at: datetime


@dataclass(frozen=True, slots=True)
class InstrumentLock:
    """Why an instrument takes no entries."""

    instrument: str
    code: str
    reason: str
    locked_at: datetime
    locked_by: str


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """Something that happened and is to be told. `payload` depends on `kind`."""

    id: int
    kind: str
    instrument: str | None
    payload: dict[str, Any]
    created_at: datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A process of some instance. `config_hash` names the rules it goes by."""

    instance_id: str
    host: str
    pid: int
    version: str
    config_hash: str
    started_at: datetime
    heartbeat_at: datetime


@dataclass(frozen=True, slots=True)
class LeadershipRow:
    """One time of leading; not ended while `ended_at` is None."""

    epoch: int
    instance_id: str
    started_at: datetime
    ended_at: datetime | None
    reason: str
