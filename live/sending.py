"""The one way to the broker: no order leaves but through `OrderSender.send`, and each leaves once.

The kill switch and the locks are asked here and nowhere else, so no path can go round them and
none can be stricter than meant: whatever reduces exposure passes while entries are stopped. An
order is committed, with the order ids the broker knew before it, and only then sent. One whose
outcome is unknown locks its instrument and is never sent again: somebody has to look first. Right
before the order leaves, after every wait, all of that is asked once more: only the intent's owner
gets as far as the broker, and not after a pause.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from brokers.messages import Action, Contract, OrderRequest
from brokers.port import Broker
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.closings import CLOSE_ALL
from core.db_state_manager.intents import ORDER_UNKNOWN
from core.db_state_manager.records import Intent, Leg, OrderPlan, OrderRow
from core.db_state_manager.states import (
    ControlState,
    IntentAction,
    IntentSource,
    LegPurpose,
    OrderState,
    PriceType,
)
from core.errors import Halted, OutcomeUnknown, PortfolioError, Rejected, Retryable
from core.ports import Clock
from live.metrics import order_call

__all__ = ["ORDER_UNKNOWN", "OrderSender", "SentOrder", "request_of", "tag_of"]

# The event of an entry, or a roll, that the operator's close-all called off.
CALLED_OFF = "ENTRY_CALLED_OFF"

# Longer than the broker's limiter may let an order wait, and far shorter than a send is looked for.
SEND_WITHIN_S = 10.0
# How long after it was written down an order may still reach the broker: longer than it may take to
# leave and the gateway then waits for its broker (120 s), than we wait for the gateway (125 s), and
# than either was seen to take (130 s).
RESOLVE_WINDOW_S = 140.0 + SEND_WITHIN_S


@dataclass(frozen=True, slots=True)
class SentOrder:
    """An order that the broker has named. `row` is its row in the database."""

    row: int
    order_id: str
    request: OrderRequest


class OrderSender:
    """Sends, re-prices and cancels for one account at one broker."""

    def __init__(
        self,
        store: DatabaseStateManager,
        broker: Broker,
        broker_name: str,
        clock: Clock,
        owner: str,
    ) -> None:
        """`owner` is for whom intents are held; a name for each piece of work, never shared."""
        self._store = store
        self._broker = broker
        self._broker_name = broker_name
        self._clock = clock
        self._owner = owner

    @property
    def owner(self) -> str:
        """For whom orders are sent."""
        return self._owner

    def send(self, intent: Intent, leg: Leg, quantity: int, price: Decimal) -> SentOrder:
        """Send a limit order for `quantity` of a leg.

        Raises Halted (stopped or locked), Rejected and Retryable: nothing is at the broker.
        Raises OutcomeUnknown when something may be: then the order is marked, its instrument is
        locked, and no order of it passes here until that lock is released.
        """
        known = tuple(sorted(row.order_id for row in self._broker.orderbook()))
        self.check_allowed(intent, leg)
        request = request_of(intent, leg, quantity, price)
        day = self._clock.now().date()
        plan = OrderPlan(leg.id, self._broker_name, day, quantity, PriceType.LIMIT, price, known)
        began_s = self._clock.monotonic()
        row = self._record(intent, plan)

        def may_go() -> None:
            try:
                self._check_still(intent, leg, began_s)
            except PortfolioError as error:
                self._end(row, OrderState.CANCELLED, f"not sent: {error}")
                raise

        return SentOrder(row, self._place(intent, row, request, may_go), request)

    def sent_before(self, intent: Intent, leg: Leg, order: OrderRow) -> SentOrder:
        """An order of a leg that the broker has named, by whomever it was sent."""
        if order.order_id is None:
            raise ValueError(f"order {order.id} has no name yet")
        request = request_of(intent, leg, order.quantity, order.price)
        return SentOrder(order.id, order.order_id, request)

    def reprice(self, intent: Intent, leg: Leg, sent: SentOrder, price: Decimal) -> SentOrder:
        """Move a working order to `price`. Raises Halted, and what the broker's modify raises."""
        self.check_allowed(intent, leg)
        request = replace(sent.request, price=price)
        self._store.record_price(sent.row, price, self._owner)
        with order_call("modify"):
            self._broker.modify_order(
                sent.order_id, request, lambda: self.check_allowed(intent, leg)
            )
        return replace(sent, request=request)

    def cancel(self, sent: SentOrder) -> None:
        """Ask for the end of a working order. Always allowed; what became of it, a look tells."""
        with order_call("cancel"):
            self._broker.cancel_order(sent.order_id)

    def give_up(self, intent: Intent, order: int, reason: str) -> None:
        """Leave an order as unknown, and its instrument locked until somebody has looked."""
        self._store.leave_unknown(intent.id, [order], reason, self._owner)

    def _place(
        self, intent: Intent, row: int, request: OrderRequest, may_go: Callable[[], None]
    ) -> str:
        try:
            with order_call("place"):
                placed = self._broker.place_order(request, may_go)
        except OutcomeUnknown as error:
            self._mark_unknown(intent, row, error)
            raise
        except Retryable as error:
            self._end(row, OrderState.CANCELLED, f"not sent: {error}")
            raise
        except (Rejected, Halted) as error:
            self._end(row, OrderState.REJECTED, str(error))
            raise
        try:
            self._store.record_order_id(row, placed.order_id)
        except PortfolioError as error:
            raise OutcomeUnknown(f"order {placed.order_id} lives unrecorded: {error}") from error
        return placed.order_id

    def _record(self, intent: Intent, plan: OrderPlan) -> int:
        """Write an order down. What may have been written without an answer is never sent."""
        try:
            return self._store.record_send_intent(plan, self._owner)
        except OutcomeUnknown as error:
            reason = f"not sent: {error}"
            for order in self._intended(intent, plan, reason):
                self._end(order.id, OrderState.CANCELLED, reason)
            raise Retryable(reason) from error

    def _intended(self, intent: Intent, plan: OrderPlan, reason: str) -> list[OrderRow]:
        """The rows of a leg that were written down and not sent: its owner sends one by one."""
        try:
            orders = self._store.orders(intent.id)
        except Retryable as error:
            raise OutcomeUnknown(f"{reason}; nor could it be looked for: {error}") from error
        return [
            order
            for order in orders
            if order.leg_id == plan.leg_id and order.state is OrderState.INTENDED
        ]

    def _check_still(self, intent: Intent, leg: Leg, began_s: float) -> None:
        """Raise unless an order that was written down may leave now."""
        self.check_allowed(intent, leg)
        self._store.check_owner(intent.id, self._owner)
        if self._clock.monotonic() - began_s > SEND_WITHIN_S:
            raise Retryable("this process was held up after the order was written down")

    def _end(self, row: int, state: OrderState, reason: str) -> None:
        """Keep that nothing is at the broker; until that is kept, nothing else is sent."""
        try:
            self._store.move_order(row, state, reason)
        except (Retryable, OutcomeUnknown) as error:
            raise OutcomeUnknown(f"{reason}; nor could that be kept: {error}") from error

    def _mark_unknown(self, intent: Intent, row: int, error: OutcomeUnknown) -> None:
        """Give the order up; a database that fails in this must not make it look unsent."""
        try:
            self.give_up(intent, row, str(error))
        except (Retryable, OutcomeUnknown) as failed:
            raise OutcomeUnknown(f"{error}; nor could that be kept: {failed}") from error

    def check_allowed(self, intent: Intent, leg: Leg) -> None:
        """Raise Halted where the operator, or an unanswered question, stands in the way."""
        reduces = leg.purpose is not LegPurpose.OPEN
        control = self._store.control_of(intent.instrument)
        all_locks = self._store.instrument_locks()
        locks = [lock for lock in all_locks if lock.instrument == intent.instrument]
        closes_all = any(lock.code == CLOSE_ALL for lock in locks)
        is_allowed = _control_allows(control, intent, reduces, closes_all)
        if not (is_allowed or self._is_given_back(intent, leg)):
            raise Halted(f"{intent.instrument} is {control}: {leg.side} {leg.symbol} is not sent")
        for lock in locks:
            if lock.code == ORDER_UNKNOWN or not reduces:
                raise Halted(f"{intent.instrument} is locked ({lock.code}): {lock.reason}")

    def _is_given_back(self, intent: Intent, leg: Leg) -> bool:
        """Whether a leg reduces what an entry, or a roll, has that a close-all called off."""
        key = {"intent_id": intent.id}
        is_rolls = intent.action is IntentAction.ROLL and leg.purpose is LegPurpose.CLOSE
        reduces = is_rolls or leg.purpose is LegPurpose.UNWIND
        return reduces and self._store.was_told(CALLED_OFF, key)


def tag_of(intent_id: int, place: int) -> str:
    """The label of a leg's orders, which the sandbox's books show and live ones do not."""
    return f"PM-{intent_id}-{place}"


def request_of(intent: Intent, leg: Leg, quantity: int, price: Decimal) -> OrderRequest:
    """A limit order for a leg."""
    return OrderRequest(
        contract=Contract(leg.symbol, leg.exchange),
        action=Action(leg.side.value),
        quantity=quantity,
        price=price,
        tag=tag_of(intent.id, leg.place),
    )


def _control_allows(control: ControlState, intent: Intent, reduces: bool, closes_all: bool) -> bool:
    """ACTIVE: everything. REDUCING: what reduces. HALTED: the operator's own exits.

    And, while a close-all goes on, an exit that others had begun: it closes what is to be closed,
    and is in the way of the operator's until it has ended.
    """
    if control is ControlState.HALTED:
        is_wanted = closes_all or intent.source is IntentSource.OPERATOR
        return is_wanted and intent.action is IntentAction.EXIT
    return reduces or control is ControlState.ACTIVE
