"""Decide and reserve in one short transaction; one operation per instrument at a time.

Whoever decides holds the account's row, sees everything in flight, and leaves behind the decision
with its numbers and the intent with what it reserves, or nothing at all. An intent's end and its
bookings are one transaction, and a repeated end changes nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from psycopg2.extensions import cursor as Cursor

from core.book_events import BarClosed, PriceMarked, StandInTrailed
from core.db_state_manager.book import (
    Booking,
    BookStore,
    LoadedBook,
    audit,
    save_marks,
    save_stops,
)
from core.db_state_manager.capital import Money, lock_money
from core.db_state_manager.connection import Row, fetch, fetch_one
from core.db_state_manager.decision_rights import check_epoch, check_not_void
from core.db_state_manager.json_values import from_row, to_json
from core.db_state_manager.left_over import NOTHING_KEPT, booked_lots, tell_left
from core.db_state_manager.operation import lock_instrument, unlock_instrument
from core.db_state_manager.operation_booking import Booked, BookedEvent, book_operation
from core.db_state_manager.orders import Orders, insert_legs, move_order
from core.db_state_manager.outbox import append_event
from core.db_state_manager.ownership import check_holder
from core.db_state_manager.records import Intent, LedgerLine, LegPlan, StopRaise
from core.db_state_manager.rolls import MARK_ROLLED, MARK_ROLLING
from core.db_state_manager.states import (
    ACTIVE_INTENTS,
    INTENT_FROM,
    AuditKind,
    IntentAction,
    IntentSource,
    IntentState,
    OrderState,
)
from core.db_state_manager.watching import save_stand_ins
from core.decision_record import Decision
from core.errors import Rejected, Retryable
from core.models import Position, Trade
from core.portfolio_state import PortfolioStateManager

ORDER_UNKNOWN = "ORDER_UNKNOWN"
_WHO = "order sender"

_COLUMNS = """id, signal_id, instrument, source, action, state, layer, lots, decision, is_test,
    epoch, reason, created_at, updated_at"""

# An operation, unless the instrument has one already.
RESERVE = f"""
INSERT INTO order_intents
    (signal_id, instrument, source, action, layer, lots, decision, reserved_risk,
     reserved_volatility, reserved_margin, is_test, epoch, created_at, updated_at, owner,
     lease_until)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
        now() + make_interval(secs => %s))
ON CONFLICT (instrument) WHERE state IN ('reserved', 'working', 'naked', 'unknown') DO NOTHING
RETURNING {_COLUMNS}"""  # noqa: S608 - a constant

# What a signal has led to; not what was cancelled, or closed a part before it was sent again.
OF_SIGNAL = f"""
SELECT {_COLUMNS} FROM order_intents
WHERE signal_id = %(signal)s AND state <> 'cancelled'
  AND NOT (state = 'completed' AND action = 'exit'
    AND updated_at < (SELECT received_at FROM signal_log WHERE id = %(signal)s))
ORDER BY id DESC LIMIT 1"""  # noqa: S608

# The operation that an instrument is busy with.
ACTIVE_OF = f"""
SELECT {_COLUMNS} FROM order_intents
WHERE instrument = %s AND state IN ('reserved', 'working', 'naked', 'unknown')"""  # noqa: S608

# Everything a recovery has to bring to an end.
ALL_ACTIVE = f"""
SELECT {_COLUMNS} FROM order_intents
WHERE state IN ('reserved', 'working', 'naked', 'unknown') ORDER BY id"""  # noqa: S608

# Those of them that nobody is at work on.
ABANDONED = f"""
SELECT {_COLUMNS} FROM order_intents
WHERE state IN ('reserved', 'working', 'naked', 'unknown')
  AND (owner IS NULL OR lease_until <= now()) ORDER BY id"""  # noqa: S608

# One operation.
GET_INTENT = f"SELECT {_COLUMNS} FROM order_intents WHERE id = %s"  # noqa: S608

# One operation, held against everybody else who would move it.
LOCK_INTENT = f"SELECT {_COLUMNS} FROM order_intents WHERE id = %s FOR UPDATE"  # noqa: S608

# A move from one of the states it may come from.
MOVE_INTENT = """
UPDATE order_intents SET state = %s, reason = %s, updated_at = %s
WHERE id = %s AND state = ANY (%s)"""

# The layers an exit is about to close.
MARK_CLOSING = """
UPDATE portfolio_positions SET state = 'closing', version = version + 1
WHERE id = ANY (%s) AND state = 'open'"""

# The layers that were not closed after all.
MARK_OPEN = """
UPDATE portfolio_positions SET state = 'open', version = version + 1
WHERE id = ANY (%s) AND state = 'closing'"""

# The last operation of an alert, whatever became of it.
LAST_OF_SIGNAL = f"""
SELECT {_COLUMNS} FROM order_intents WHERE signal_id = %s ORDER BY id DESC LIMIT 1"""  # noqa: S608

# What the orders of an intent have filled, in all.
FILLED = """
SELECT coalesce(sum(o.filled_quantity), 0)
FROM broker_orders AS o JOIN order_legs AS l ON l.id = o.leg_id WHERE l.intent_id = %s"""

# Orders of an intent that may still fill.
UNSETTLED = """
SELECT count(*) FROM broker_orders AS o JOIN order_legs AS l ON l.id = o.leg_id
WHERE l.intent_id = %s AND o.state NOT IN ('filled', 'cancelled', 'rejected')"""

Decide = Callable[[PortfolioStateManager], Decision | None]
PlanLegs = Callable[[Decision], Sequence[LegPlan]]


class ReserveResult(StrEnum):
    """What came of wanting to act.

    RESERVED: the intent is new. EXISTING: this signal has one from before. NOTHING: the decision
    does not act. BUSY: the instrument has another operation; nothing was written, decide again
    when it has ended.
    """

    RESERVED = "RESERVED"
    EXISTING = "EXISTING"
    NOTHING = "NOTHING"
    BUSY = "BUSY"


@dataclass(frozen=True, slots=True)
class Reservation:
    """The decision and its intent; for BUSY and EXISTING the other one's, for None neither."""

    result: ReserveResult
    decision: Decision | None
    intent: Intent | None


@dataclass(frozen=True, slots=True)
class DecisionRequest:
    """Who wants a decision. `epoch` is that of a leader's job, None for a signal's own.

    An `owner` holds the intent from its first moment, for `lease_s` or until it takes it.
    """

    instrument: str
    source: IntentSource
    signal_id: int | None = None
    epoch: int | None = None
    is_test: bool = False
    owner: str | None = None
    lease_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Completion:
    """What the end of an intent booked; `repeated` when it had been booked before."""

    opened: tuple[Position, ...] = ()
    trades: tuple[Trade, ...] = ()
    rolled: tuple[Position, ...] = ()
    repeated: bool = False


class InstrumentBusy(Exception):
    """The instrument has an operation already."""


class Intents(BookStore, Orders):
    """Operations, from the decision to the booking."""

    def decide_and_reserve(
        self, request: DecisionRequest, decide: Decide, plan_legs: PlanLegs
    ) -> Reservation:
        """Let `decide` judge the book with everything in flight, and reserve what it decides.

        `decide` may mark prices and close bars in the book: those are kept with the decision.
        None from it means that there was nothing to decide. `plan_legs` is asked only for a
        decision that acts. Both run inside the transaction and must be quick. Raises Rejected
        (STALE_EPOCH) when the job's leader is not the leader any more, Rejected (SUPERSEDED) for an
        entry that an exit of a later bar has made void, and what they raise.
        """
        try:
            with self.transaction() as cursor:
                return self._reserve(cursor, request, decide, plan_legs)
        except InstrumentBusy:
            busy = self.active_intent(request.instrument)
        if busy is None:
            raise Retryable(f"{request.instrument}'s other operation has just ended: decide again")
        return Reservation(ReserveResult.BUSY, None, busy)

    def _reserve(
        self, cursor: Cursor, request: DecisionRequest, decide: Decide, plan_legs: PlanLegs
    ) -> Reservation:
        money = lock_money(cursor)
        if request.epoch is not None:
            check_epoch(cursor, request.epoch)
        if request.signal_id is not None:
            before = fetch_one(cursor, OF_SIGNAL, {"signal": request.signal_id})
            if before is not None:
                intent = _intent(before)
                return Reservation(ReserveResult.EXISTING, intent.decision, intent)
        loaded = self._load(cursor, money)
        loaded.book.journal = []
        decision = decide(loaded.book)
        _save_moves(cursor, loaded)
        save_stand_ins(cursor, loaded.book.journal, request.epoch, self._clock.now())
        if decision is None:
            return Reservation(ReserveResult.NOTHING, None, None)
        booking = Booking(request.signal_id, None, request.is_test, self._clock.now())
        if not decision.acts:
            _audit_decision(cursor, decision, booking)
            return Reservation(ReserveResult.NOTHING, decision, None)
        check_not_void(cursor, request.signal_id)
        intent = self._insert(cursor, request, decision)
        _audit_decision(cursor, decision, replace(booking, intent_id=intent.id))
        insert_legs(cursor, intent.id, plan_legs(decision))
        cursor.execute(MARK_CLOSING, ([close.position_id for close in decision.closes],))
        cursor.execute(MARK_ROLLING, ([roll.position_id for roll in decision.rolls],))
        return Reservation(ReserveResult.RESERVED, decision, intent)

    def _insert(self, cursor: Cursor, request: DecisionRequest, decision: Decision) -> Intent:
        action = IntentAction.EXIT if decision.closes else IntentAction.ENTRY
        if decision.rolls:
            action = IntentAction.ROLL
        now = self._clock.now()
        values = (
            request.signal_id,
            decision.instrument,
            request.source,
            action,
            decision.layer,
            decision.lots or decision.lots_closed,
            to_json(decision),
            decision.risk,
            decision.volatility,
            decision.margin,
            request.is_test,
            request.epoch,
            now,
            now,
            request.owner,
            None if request.owner is None else request.lease_s,
        )
        row = fetch_one(cursor, RESERVE, values)
        if row is None:
            raise InstrumentBusy
        return _intent(row)

    def begun_for(self, signal_id: int) -> Intent | None:
        """What an alert has led to since it was last received, unless that was cancelled."""
        found = self.rows(OF_SIGNAL, {"signal": signal_id})
        return _intent(found[0]) if found else None

    def booked_lots(self, intent_id: int) -> int:
        """The lots that an operation opened and closed."""
        return self.read(lambda cursor: booked_lots(cursor, intent_id))

    def active_intent(self, instrument: str) -> Intent | None:
        """The operation that an instrument is busy with."""
        found = self.rows(ACTIVE_OF, (instrument,))
        return _intent(found[0]) if found else None

    def intent(self, intent_id: int) -> Intent:
        """One operation. Raises Rejected where there is none of that id."""
        return self.read(lambda cursor: _found(fetch_one(cursor, GET_INTENT, (intent_id,))))

    def active_intents(self) -> list[Intent]:
        """Every operation that has not come to its end, oldest first."""
        return [_intent(row) for row in self.rows(ALL_ACTIVE)]

    def abandoned_intents(self) -> list[Intent]:
        """Every operation in flight without a living lease, oldest first."""
        return [_intent(row) for row in self.rows(ABANDONED)]

    def move_intent(
        self, intent_id: int, state: IntentState, reason: str = "", owner: str | None = None
    ) -> bool:
        """Move an intent among its active states. False when it may not go there from its own.

        It ends only by `complete_intent` and `cancel_intent`. That it became naked is told.
        Raises Fenced for anybody but its owner.
        """
        if state not in ACTIVE_INTENTS:
            raise ValueError(f"{state} is an end: complete or cancel the intent")
        with self.transaction() as cursor:
            check_holder(cursor, intent_id, owner)
            moved = self._move(cursor, intent_id, state, reason)
            if moved and state is IntentState.NAKED:
                intent = _locked(cursor, intent_id)
                told = {"intent_id": intent_id, "reason": reason}
                append_event(cursor, "INTENT_NAKED", intent.instrument, told, self._clock.now())
            return moved

    def leave_unknown(
        self, intent_id: int, orders: Sequence[int], reason: str, owner: str | None = None
    ) -> None:
        """Nobody knows what became of `orders`: they, the intent and its instrument say so.

        The instrument stays locked until `settle_unknown`, and that is told once. Raises Fenced.
        """
        now = self._clock.now()
        with self.transaction() as cursor:
            check_holder(cursor, intent_id, owner)
            intent = _locked(cursor, intent_id)
            for order in orders:
                move_order(cursor, order, OrderState.UNKNOWN, reason, now)
            self._move(cursor, intent_id, IntentState.UNKNOWN, reason)
            lock_instrument(cursor, intent.instrument, ORDER_UNKNOWN, reason, _WHO, now)

    def settle_unknown(self, intent_id: int, owner: str | None = None) -> None:
        """What became of the intent's orders is known again: it is worked on. Raises Fenced."""
        now = self._clock.now()
        with self.transaction() as cursor:
            check_holder(cursor, intent_id, owner)
            intent = _locked(cursor, intent_id)
            if intent.state is IntentState.UNKNOWN:
                self._move(cursor, intent_id, IntentState.WORKING, "")
            unlock_instrument(cursor, intent.instrument, ORDER_UNKNOWN, _WHO, now)

    def complete_intent(
        self,
        intent_id: int,
        events: Sequence[BookedEvent],
        beside: Sequence[LedgerLine] = (),
        owner: str | None = None,
        reason: str = "",
    ) -> Completion:
        """Book what an intent came to and end it: layers, ledger, audit and outbox at once.

        `beside` is what it earned or cost outside any layer (an unwound leg), `reason` why it came
        to less than was meant. Raises Rejected for what the book cannot hold, and for an intent
        whose orders may still fill; Fenced.
        """
        with self.transaction() as cursor:
            money = lock_money(cursor)
            return self._complete(cursor, money, intent_id, events, beside, owner, reason)

    def _complete(
        self,
        cursor: Cursor,
        money: Money,
        intent_id: int,
        events: Sequence[BookedEvent],
        beside: Sequence[LedgerLine],
        owner: str | None,
        reason: str = "",
    ) -> Completion:
        check_holder(cursor, intent_id, owner)
        intent = _locked(cursor, intent_id)
        if intent.state is IntentState.COMPLETED:
            return Completion(repeated=True)
        _check_settled(cursor, intent_id)
        if not self._move(cursor, intent_id, IntentState.COMPLETED, reason):
            raise Rejected("INTENT_ENDED", f"intent {intent_id} is {intent.state}")
        book = self._load(cursor, money).book
        booking = Booking(intent.signal_id, intent_id, intent.is_test, self._clock.now())
        booked = book_operation(cursor, book, events, beside, booking)
        _release(cursor, intent, booking.at)
        tell_left(cursor, intent, booked.lots, NOTHING_KEPT, booking.at)
        told = {"intent_id": intent_id, "action": intent.action, "events": list(events)}
        told |= {"reason": reason} if reason else {}
        append_event(cursor, "INTENT_COMPLETED", intent.instrument, told, booking.at)
        if intent.action is IntentAction.ROLL and booked.trades:
            append_event(cursor, "ROLL_CLOSED", intent.instrument, _closed(booked), booking.at)
        return Completion(booked.opened, booked.trades, booked.rolled)

    def cancel_intent(self, intent_id: int, reason: str, owner: str | None = None) -> bool:
        """End an intent of which nothing was filled. False when it had ended before.

        Raises Rejected where something was filled, or may still be; Fenced.
        """
        with self.transaction() as cursor:
            lock_money(cursor)
            check_holder(cursor, intent_id, owner)
            intent = _locked(cursor, intent_id)
            if fetch_one(cursor, FILLED, (intent_id,)) != (0,):
                raise Rejected("INTENT_FILLED", f"intent {intent_id} has fills: complete it")
            _check_settled(cursor, intent_id)
            if not self._move(cursor, intent_id, IntentState.CANCELLED, reason):
                return False
            now = self._clock.now()
            _release(cursor, intent, now)
            tell_left(cursor, intent, 0, reason, now)
            told = {"intent_id": intent_id, "action": intent.action, "reason": reason}
            append_event(cursor, "INTENT_CANCELLED", intent.instrument, told, now)
            return True

    def tell_if_ended(self, signal_id: int) -> None:
        """Tell an alert whose work was left over the end of that work, if it has one by now.

        Whoever ends the work tells it too; this is for an end that came before the alert's own.
        """
        with self.transaction() as cursor:
            row = fetch_one(cursor, LAST_OF_SIGNAL, (signal_id,))
            if row is None or _intent(row).state in ACTIVE_INTENTS:
                return
            intent = _intent(row)
            reason = intent.reason or NOTHING_KEPT
            tell_left(cursor, intent, booked_lots(cursor, intent.id), reason, self._clock.now())

    def _move(self, cursor: Cursor, intent_id: int, state: IntentState, reason: str) -> bool:
        origins = [*INTENT_FROM[state]]
        cursor.execute(MOVE_INTENT, (state, reason, self._clock.now(), intent_id, origins))
        return cursor.rowcount > 0


def _check_settled(cursor: Cursor, intent_id: int) -> None:
    open_orders = fetch(cursor, UNSETTLED, (intent_id,))[0][0]
    if open_orders:
        raise Rejected("ORDERS_UNSETTLED", f"{open_orders} orders of intent {intent_id} may fill")


def _release(cursor: Cursor, intent: Intent, at: datetime) -> None:
    """Whatever was kept from others for the intent: its layers, and a lock for its orders."""
    unlock_instrument(cursor, intent.instrument, ORDER_UNKNOWN, _WHO, at)
    cursor.execute(MARK_OPEN, ([close.position_id for close in intent.decision.closes],))
    cursor.execute(MARK_ROLLED, ([roll.position_id for roll in intent.decision.rolls],))


def _closed(booked: Booked) -> dict[str, object]:
    """What of a roll was closed and not opened again: the lots by layer, and why."""
    lots = {f"Long_{trade.layer}": trade.lots for trade in booked.trades}
    return {"lots": lots, "reason": booked.trades[0].reason}


def _audit_decision(cursor: Cursor, decision: Decision, booking: Booking) -> None:
    kind = AuditKind.DECISION
    audit(cursor, kind, decision.instrument, decision.code, decision, booking)


def _save_moves(cursor: Cursor, loaded: LoadedBook) -> None:
    """Keep the prices that were marked and the stops that a closed bar raised.

    Raises Retryable when somebody else changed a stop meanwhile.
    """
    events = loaded.book.journal or []
    marked = {event.instrument for event in events if isinstance(event, BarClosed | PriceMarked)}
    closed = {event.instrument for event in events if isinstance(event, BarClosed)}
    closed |= {each.stood_in.instrument for each in events if isinstance(each, StandInTrailed)}
    for instrument in sorted(marked):
        save_marks(cursor, loaded.book, instrument)
    raises = [
        StopRaise(layer.id, layer.stop, layer.highest_close, loaded.versions[layer.id])
        for instrument in sorted(closed)
        for layer in loaded.book[instrument].layers
    ]
    if missed := save_stops(cursor, raises):
        raise Retryable(f"{', '.join(missed)} changed meanwhile: decide again")


def _locked(cursor: Cursor, intent_id: int) -> Intent:
    return _found(fetch_one(cursor, LOCK_INTENT, (intent_id,)))


def _found(row: Row | None) -> Intent:
    if row is None:
        raise Rejected("UNKNOWN_INTENT", "there is no such intent")
    return _intent(row)


def _intent(row: Row) -> Intent:
    return from_row(Intent, row)
