"""What became of an order that has no name yet: it is looked for, adopted, or proven not to exist.

A process that died around a send, and a reply that was lost, leave the same row: an order that may
live. The broker's books tell, because the ids that they held before the send are in the row. One
order that is new there and equal to ours is ours, once the order book shows it: trades alone may be
anybody's. None, once the gateway can no longer be waiting for its broker, means that it never
arrived. Several are for a person. A read that failed is not an answer; books of another session, or
without the orders that they held before, are none either. How long it has been missing is measured
by looking: a machine that slept, or whose clock was set, is no older than it has watched.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from brokers.messages import Contract, Product
from brokers.messages import OrderRow as BookRow
from brokers.messages import TradeRow as BookTrade
from brokers.port import Broker
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.records import Intent, Leg, OrderRow
from core.db_state_manager.states import FINISHED_ORDERS, OrderState
from core.errors import PortfolioError, Rejected, Retryable
from core.ist import as_ist
from core.ports import Clock
from live.order_watch import OrderWatch
from live.sending import RESOLVE_WINDOW_S, OrderSender, tag_of

_SESSION_STARTS = timedelta(hours=3)
_DAY = timedelta(days=1)


class OrderSearch:
    """Resolves the orders of an intent."""

    def __init__(
        self,
        store: DatabaseStateManager,
        sender: OrderSender,
        broker: Broker,
        clock: Clock,
        resolve_window_s: float = RESOLVE_WINDOW_S,
        missing_since_s: dict[int, float] | None = None,
    ) -> None:
        """`resolve_window_s` is how long after it was written down an order may arrive.

        `missing_since_s` is the memory of all searches of a process: by order's row, when it was
        first looked for in vain, on the clock that only rises.
        """
        self._store = store
        self._sender = sender
        self._broker = broker
        self._clock = clock
        self._window = timedelta(seconds=resolve_window_s)
        self._missing_since_s = {} if missing_since_s is None else missing_since_s

    def resolve(self, intent: Intent) -> dict[int, str]:
        """By order's row, why nobody knows what became of it; empty when all are known."""
        legs = {leg.id: leg for leg in self._store.legs(intent.id)}
        unknown: dict[int, str] = {}
        for order in self._store.orders(intent.id):
            leg = legs[order.leg_id]
            why = None
            if order.order_id is None and order.state not in FINISHED_ORDERS:
                why = self._find(intent, leg, order)
            elif order.state is OrderState.UNKNOWN:
                why = self._withdraw(intent, leg, order)
            if why is not None:
                unknown[order.id] = why
        return unknown

    def _find(self, intent: Intent, leg: Leg, order: OrderRow) -> str | None:
        """Adopt the order, or end one that never arrived; else why neither can be done."""
        now = self._clock.now()
        try:
            found, shown = self._candidates(intent, leg, order)
        except (Rejected, Retryable) as error:
            return f"the broker's books cannot be read: {error}"
        if len(found) > 1:
            return f"{', '.join(found)} may each be {_told(leg, order)}: say which"
        if found:
            (order_id,) = found
            if order_id not in shown:
                return f"the order book does not show {order_id}, of which the trade book tells"
            self._store.record_order_id(order.id, order_id)
            return None
        if session_of(now) != session_of(order.created_at):
            return f"{_told(leg, order)}: the books of its session are gone"
        now_s = self._clock.monotonic()
        watched = timedelta(seconds=now_s - self._missing_since_s.setdefault(order.id, now_s))
        if min(now - order.created_at, watched) < self._window:
            return f"{_told(leg, order)} is not in the broker's books yet"
        if gone := set(order.known_order_ids) - shown:
            return f"{_told(leg, order)}: nor do the broker's books show {min(gone)} any more"
        reason = f"it never arrived: not in the books after {self._window.total_seconds():g} s"
        self._store.move_order(order.id, OrderState.CANCELLED, reason)
        self._missing_since_s.pop(order.id, None)
        return None

    def _candidates(
        self, intent: Intent, leg: Leg, order: OrderRow
    ) -> tuple[Sequence[str], set[str]]:
        """The ids, new since the send and not of another order of ours, that may be it.

        And every id that the order book shows.
        """
        listed, traded = self._broker.orderbook(), self._broker.tradebook()
        tag = tag_of(intent.id, leg.place)
        matches = {row.order_id for row in listed if _is_like(row, leg, order, tag)}
        shown = {row.order_id for row in listed}
        matches |= {
            row.order_id
            for row in traded
            if row.order_id not in shown and _is_part_of(row, leg, order)
        }
        new = matches.difference(order.known_order_ids)
        since = order.trading_day - _DAY
        return sorted(new - self._store.named_order_ids(order.broker, since, new)), shown

    def _withdraw(self, intent: Intent, leg: Leg, order: OrderRow) -> str | None:
        """Ask once more for the end of an order that came to none; None once it has ended."""
        sent = self._sender.sent_before(intent, leg, order)
        watch = OrderWatch(self._store, self._broker, sent, order.filled_quantity)
        if watch.look():
            return None
        try:
            self._sender.cancel(sent)
        except PortfolioError as error:
            watch.trouble = f"cancel: {error}"
        if watch.look() or watch.look():
            return None
        return f"order {sent.order_id} comes to no end: {watch.trouble or 'it rests'}"


def _is_like(row: BookRow, leg: Leg, order: OrderRow, tag: str) -> bool:
    """Whether a row may be the order; a label, where there is one, decides."""
    if (row.contract, row.action.value) != (Contract(leg.symbol, leg.exchange), leg.side.value):
        return False
    if row.tag:
        return row.tag == tag
    return (
        row.quantity == order.quantity
        and row.price == order.price
        and (row.price_type is None or row.price_type.value == order.price_type.value)
        and row.product in (None, Product.NRML)
    )


def _is_part_of(row: BookTrade, leg: Leg, order: OrderRow) -> bool:
    """Whether a trade may be of the order, for an order that the order book does not show."""
    same = (row.contract, row.action.value) == (Contract(leg.symbol, leg.exchange), leg.side.value)
    return same and row.quantity <= order.quantity and row.product in (None, Product.NRML)


def session_of(moment: datetime) -> date:
    """The broker's day, which ends at 03:00 IST."""
    return (as_ist(moment) - _SESSION_STARTS).date()


def _told(leg: Leg, order: OrderRow) -> str:
    return f"order {order.id} ({leg.side} {order.quantity} {leg.symbol} at {order.price:f})"
