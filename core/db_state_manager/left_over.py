"""An alert whose work was left over is told how that work ended, by whoever ends it."""

from datetime import datetime

from psycopg2.extensions import cursor as Cursor

from core.db_state_manager.connection import fetch
from core.db_state_manager.json_values import to_json
from core.db_state_manager.outbox import append_event
from core.db_state_manager.records import Intent, Outcome
from core.db_state_manager.states import SignalStatus

NOTHING_KEPT = "nothing of it was kept"
# How the outcome of an alert begins whose work was left over, until that work has ended.
LEFT = "LEFT_"

# What an alert is told whose work was left over, once that work has ended.
TELL_LEFT = r"""
UPDATE signal_log SET status = %s, outcome = %s, finished_at = %s
WHERE id = %s AND status = 'blocked' AND outcome ->> 'code' LIKE 'LEFT\_%%'"""

# The lots that an operation opened and closed.
BOOKED_LOTS = """
SELECT (SELECT coalesce(sum(initial_lots), 0) FROM portfolio_positions WHERE intent_id = %(intent)s)
     + (SELECT coalesce(sum(lots), 0) FROM trades WHERE intent_id = %(intent)s)"""


def tell_left(cursor: Cursor, intent: Intent, lots: int, reason: str, at: datetime) -> None:
    """Nobody waited for the end of what was left over, so its alert is told that end here."""
    decision = intent.decision
    status, outcome = end_told(intent, lots, reason)
    cursor.execute(TELL_LEFT, (status, to_json(outcome), at, intent.signal_id))
    if cursor.rowcount:
        told = {
            "signal_id": intent.signal_id,
            "type": decision.type,
            "status": status,
            "outcome": outcome,
        }
        append_event(cursor, "SIGNAL_FINISHED", intent.instrument, told, at)


def end_told(intent: Intent, lots: int, reason: str) -> tuple[SignalStatus, Outcome]:
    """What an alert is told of an operation that came to `lots`; `reason` is why to none.

    An exit that closed less than it was to has failed, so that it may be sent again.
    """
    decision = intent.decision
    if not lots:
        status = SignalStatus.FAILED if decision.closes else SignalStatus.BLOCKED
        return status, Outcome("NOT_FILLED", reason)
    if decision.closes and lots < intent.lots:
        why = f"{lots} of {intent.lots} lots were closed"
        return SignalStatus.FAILED, Outcome("PARTLY_FILLED", why, lots)
    return SignalStatus.EXECUTED, Outcome(decision.code, decision.reason, lots, decision.limiter)


def booked_lots(cursor: Cursor, intent_id: int) -> int:
    """The lots that an operation opened and closed."""
    return int(fetch(cursor, BOOKED_LOTS, {"intent": intent_id})[0][0])
