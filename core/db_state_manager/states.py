"""The states of everything that is stored, and the moves between them that are allowed.

Each enum equals the CHECK of its column, and each move is made by an UPDATE that names the states
it may come from, so that no two writers can make contradicting ones.
"""

from collections.abc import Mapping
from enum import StrEnum


class SignalStatus(StrEnum):
    """How far an alert has come. Only a failed one may be sent again."""

    RECEIVED = "received"
    PROCESSING = "processing"
    EXECUTED = "executed"
    BLOCKED = "blocked"
    REJECTED = "rejected"
    FAILED = "failed"
    EXPIRED = "expired"


class AuditKind(StrEnum):
    """What a row of the audit tells."""

    DECISION = "decision"
    OPENED = "opened"
    REDUCED = "reduced"
    ROLLED = "rolled"


class PositionState(StrEnum):
    """What is being done with a layer. All but CLOSED are loaded at a start."""

    OPEN = "open"
    CLOSING = "closing"
    ROLLING = "rolling"
    CLOSED = "closed"


class IntentSource(StrEnum):
    """What asked for an operation."""

    SIGNAL = "signal"
    STOP = "stop"
    EOD = "eod"
    ROLLOVER = "rollover"
    OPERATOR = "operator"


class IntentAction(StrEnum):
    """What an operation does to the book."""

    ENTRY = "entry"
    EXIT = "exit"
    ROLL = "roll"


class IntentState(StrEnum):
    """How far an operation has come. NAKED: one leg is held without the other."""

    RESERVED = "reserved"
    WORKING = "working"
    NAKED = "naked"
    UNKNOWN = "unknown"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class LegPurpose(StrEnum):
    """Why a leg is traded."""

    OPEN = "open"
    CLOSE = "close"
    UNWIND = "unwind"


class Side(StrEnum):
    """Which way an order goes, as the broker spells it."""

    BUY = "BUY"
    SELL = "SELL"


class PriceType(StrEnum):
    """How an order is priced, as the broker spells it."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"


class LegState(StrEnum):
    """How far a leg has come."""

    PLANNED = "planned"
    WORKING = "working"
    FILLED = "filled"
    PARTLY_FILLED = "partly_filled"
    CANCELLED = "cancelled"


class OrderState(StrEnum):
    """How far an order at the broker has come.

    INTENDED is written before the send: after a crash such an order may live. SENT has an order
    id. UNKNOWN got no answer that settles it, and stays so until somebody has looked.
    """

    INTENDED = "intended"
    SENT = "sent"
    WORKING = "working"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


class LedgerKind(StrEnum):
    """What moved the equity."""

    DEPOSIT = "DEPOSIT"
    WITHDRAW = "WITHDRAW"
    PNL = "PNL"
    CHARGES = "CHARGES"


class ControlState(StrEnum):
    """The kill switch: everything, exits only, or nothing but the operator's own close-all."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class WatchAlarm(StrEnum):
    """What the stop watch tells when it begins and when it ends.

    BARS_SILENT: nothing was heard of an instrument for bars. QUOTES_DOUBTED: its quotes cannot be
    believed. STOP_PASSED: its bar is missing and its price is below a stop.
    """

    BARS_SILENT = "BARS_SILENT"
    QUOTES_DOUBTED = "QUOTES_DOUBTED"
    STOP_PASSED = "STOP_PASSED"


class EodPhase(StrEnum):
    """How far the end of an instrument's day has come."""

    JUDGED = "judged"
    ORDERED = "ordered"
    ENDED = "ended"


ACTIVE_INTENTS = (
    IntentState.RESERVED,
    IntentState.WORKING,
    IntentState.NAKED,
    IntentState.UNKNOWN,
)
FINISHED_SIGNALS = (
    SignalStatus.EXECUTED,
    SignalStatus.BLOCKED,
    SignalStatus.REJECTED,
    SignalStatus.FAILED,
    SignalStatus.EXPIRED,
)
FINISHED_ORDERS = (OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED)

# For each state, those it may be reached from.
INTENT_FROM: Mapping[IntentState, tuple[IntentState, ...]] = {
    IntentState.RESERVED: (),
    IntentState.WORKING: (IntentState.RESERVED, IntentState.NAKED, IntentState.UNKNOWN),
    IntentState.NAKED: (IntentState.WORKING, IntentState.UNKNOWN),
    IntentState.UNKNOWN: (IntentState.RESERVED, IntentState.WORKING, IntentState.NAKED),
    IntentState.COMPLETED: ACTIVE_INTENTS,
    IntentState.CANCELLED: ACTIVE_INTENTS,
}
LEG_FROM: Mapping[LegState, tuple[LegState, ...]] = {
    LegState.PLANNED: (),
    LegState.WORKING: (LegState.PLANNED, LegState.PARTLY_FILLED, LegState.CANCELLED),
    LegState.FILLED: (LegState.WORKING, LegState.PARTLY_FILLED, LegState.CANCELLED),
    LegState.PARTLY_FILLED: (LegState.WORKING, LegState.CANCELLED),
    LegState.CANCELLED: (LegState.PLANNED, LegState.WORKING),
}
# A fill that turns up late is still a fill, whatever was believed of its order.
ORDER_FROM: Mapping[OrderState, tuple[OrderState, ...]] = {
    OrderState.INTENDED: (),
    OrderState.SENT: (OrderState.INTENDED, OrderState.UNKNOWN),
    OrderState.WORKING: (OrderState.SENT, OrderState.UNKNOWN),
    OrderState.PARTIALLY_FILLED: (OrderState.SENT, OrderState.WORKING, OrderState.UNKNOWN),
    OrderState.FILLED: (
        OrderState.SENT,
        OrderState.WORKING,
        OrderState.PARTIALLY_FILLED,
        OrderState.CANCELLED,
        OrderState.REJECTED,
        OrderState.UNKNOWN,
    ),
    OrderState.CANCELLED: (
        OrderState.INTENDED,
        OrderState.SENT,
        OrderState.WORKING,
        OrderState.PARTIALLY_FILLED,
        OrderState.UNKNOWN,
    ),
    OrderState.REJECTED: (
        OrderState.INTENDED,
        OrderState.SENT,
        OrderState.WORKING,
        OrderState.PARTIALLY_FILLED,
        OrderState.UNKNOWN,
    ),
    OrderState.UNKNOWN: (
        OrderState.INTENDED,
        OrderState.SENT,
        OrderState.WORKING,
        OrderState.PARTIALLY_FILLED,
    ),
}
