"""What became of an order that the search could not settle is said by a person, with the evidence.

An order that has no name yet can be settled so: as one of the orders that the broker's books show,
or as never sent; one that has a name only when its session is over and no book shows it any more.
All are refused while somebody works on its operation or has settled it meanwhile, and whatever
contradicts the books is. Afterwards the next sweep carries on, and releases the lock: an exit is
pursued to its end, an entry is not, for hours may have passed; what it has bought stays.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from brokers.messages import Action, Contract, Product
from brokers.messages import OrderRow as BookRow
from brokers.messages import TradeRow as BookTrade
from brokers.port import Broker
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.records import Intent, Leg, OrderRow
from core.db_state_manager.states import OrderState
from core.errors import PortfolioError, Rejected
from core.ports import Clock
from live.order_search import session_of
from live.sending import RESOLVE_WINDOW_S

_DAY = timedelta(days=1)
_LEASE_S = 15.0


@dataclass(frozen=True, slots=True)
class BookedOrder:
    """An order, or a trade, of the same contract and side in the broker's books.

    `is_new`: it was not there before ours was sent. `is_of_ours`: another order of ours has that
    name. `price` is that of the order, or of the trade.
    """

    order_id: str
    quantity: int
    price: Decimal
    status: str
    timestamp: str | None
    is_new: bool
    is_of_ours: bool

    @property
    def may_be_it(self) -> bool:
        """Whether nothing excludes that it is the one that is looked for."""
        return self.is_new and not self.is_of_ours


@dataclass(frozen=True, slots=True)
class UnknownOrder:
    """An order of which nobody knows what became, and what the broker's books show beside it.

    `unreadable` says why they could not be read; empty where they were.
    """

    instrument: str
    order: OrderRow
    leg: Leg
    orders: tuple[BookedOrder, ...]
    trades: tuple[BookedOrder, ...]
    unreadable: str


class UnknownOrders:
    """The unknown orders of one account."""

    def __init__(
        self,
        store: DatabaseStateManager,
        broker: Broker,
        clock: Clock,
        owner: str,
        resolve_window_s: float = RESOLVE_WINDOW_S,
    ) -> None:
        """`resolve_window_s` is how long after it was written down an order may arrive."""
        self._store = store
        self._broker = broker
        self._clock = clock
        self._owner = owner
        self._window = timedelta(seconds=resolve_window_s)

    def all(self) -> tuple[UnknownOrder, ...]:
        """Each of them with its evidence, oldest first."""
        found = self._store.unfinished_orders()
        unknown = [order for order in found if order.state is OrderState.UNKNOWN]
        return tuple(map(self._with_evidence, unknown))

    def resolve_as(self, row: int, order_id: str) -> None:
        """It is that order of the broker's. Raises Rejected for what the books contradict."""
        found = self._one(row)
        self._check_readable(found)
        for booked in (*found.orders, *found.trades):
            if booked.order_id == order_id:
                break
        else:
            raise Rejected(
                "NOT_IN_BOOKS", f"the broker's books show no {order_id} of that contract and side"
            )
        if booked.is_of_ours:
            raise Rejected("ANOTHER_OF_OURS", f"{order_id} is another order of ours")
        if not booked.is_new:
            raise Rejected("OLDER_ORDER", f"{order_id} was there before ours was sent")
        if booked in found.orders and booked.quantity != found.order.quantity:
            raise Rejected(
                "OTHER_QUANTITY",
                f"{order_id} is of {booked.quantity}, ours of {found.order.quantity}",
            )
        with self._in_hand(found):
            self._store.record_order_id(row, order_id)
        self._tell(found, f"it is {order_id}")

    def resolve_never_sent(self, row: int, reason: str) -> None:
        """It never reached the broker, or died there with its session: what is booked of it stays.

        Raises Rejected while it may reach it, or live there.
        """
        found = self._one(row, may_be_named=True)
        if self._clock.now() - found.order.created_at < self._window:
            raise Rejected(
                "TOO_EARLY",
                f"the gateway may be at work on it for {self._window.total_seconds():g} s",
            )
        with self._in_hand(found):
            is_named = found.order.order_id is not None
            what = "nothing more of it filled" if is_named else "never sent"
            told = f"{what}, says the operator: {reason}"
            self._store.move_order(row, OrderState.CANCELLED, told)
        self._tell(found, told)

    def _one(self, row: int, *, may_be_named: bool = False) -> UnknownOrder:
        order = self._unknown(row)
        is_named = order.order_id is not None
        if is_named and not (may_be_named and self._is_of_another_session(order)):
            raise _named(order)
        found = self._with_evidence(order)
        if is_named:
            self._check_readable(found)
            if order.order_id in {each.order_id for each in (*found.orders, *found.trades)}:
                raise _named(order)
        return found

    def _unknown(self, row: int) -> OrderRow:
        for order in self._store.unfinished_orders():
            if order.id == row and order.state is OrderState.UNKNOWN:
                return order
        raise Rejected("NOT_UNKNOWN", f"order {row} is not one of which nobody knows")

    def _is_of_another_session(self, order: OrderRow) -> bool:
        """Whether the books that would show it are gone, and it with them: it was for its day."""
        return session_of(self._clock.now()) != session_of(order.created_at)

    def _tell(self, found: UnknownOrder, told: str) -> None:
        payload = {"order": found.order.id, "intent_id": found.leg.intent_id, "told": told}
        self._store.append_outbox("ORDER_RESOLVED", found.instrument, payload)

    def _check_readable(self, found: UnknownOrder) -> None:
        if found.unreadable:
            raise Rejected("BOOKS_UNREADABLE", found.unreadable)

    @contextmanager
    def _in_hand(self, found: UnknownOrder) -> Iterator[None]:
        """Own the operation for a moment. Raises Rejected while another owner works on it.

        And where one did since the books were read, and has learned more of the order than they
        told: one that was found meanwhile may live.
        """
        intent_id = found.leg.intent_id
        if not self._store.take_intent(intent_id, self._owner, _LEASE_S):
            raise Rejected("INTENT_HELD", f"intent {intent_id} is being worked on: ask again")
        try:
            now = self._unknown(found.order.id)
            if now.order_id != found.order.order_id:
                raise _named(now)
            self._store.request_cancel(intent_id)
            yield
        finally:
            self._store.release_intent(intent_id, self._owner)

    def _with_evidence(self, order: OrderRow) -> UnknownOrder:
        leg = self._store.leg(order.leg_id)
        intent: Intent = self._store.intent(leg.intent_id)
        try:
            listed, traded = self._broker.orderbook(), self._broker.tradebook()
        except PortfolioError as error:
            told = f"the broker's books cannot be read: {error}"
            return UnknownOrder(intent.instrument, order, leg, (), (), told)
        orders = [row for row in listed if _is_alike(row, leg)]
        trades = [trade for trade in traded if _is_alike(trade, leg)]
        names = {row.order_id for row in orders} | {trade.order_id for trade in trades}
        since = order.trading_day - _DAY
        ours = self._store.named_order_ids(order.broker, since, names)
        known = set(order.known_order_ids)
        return UnknownOrder(
            intent.instrument,
            order,
            leg,
            tuple(_order(row, known, ours) for row in orders),
            tuple(_trade(trade, known, ours) for trade in trades),
            "",
        )


def _named(order: OrderRow) -> Rejected:
    return Rejected(
        "ORDER_NAMED",
        f"order {order.id} is {order.order_id} at the broker: cancel it there, and the next look "
        "settles it",
    )


def _is_alike(row: BookRow | BookTrade, leg: Leg) -> bool:
    contract, side = Contract(leg.symbol, leg.exchange), Action(leg.side.value)
    return (row.contract, row.action) == (contract, side) and row.product in (None, Product.NRML)


def _order(row: BookRow, known: set[str], ours: set[str]) -> BookedOrder:
    name = row.order_id
    return BookedOrder(
        name,
        row.quantity,
        row.price,
        row.status_text,
        row.timestamp,
        name not in known,
        name in ours,
    )


def _trade(row: BookTrade, known: set[str], ours: set[str]) -> BookedOrder:
    name = row.order_id
    return BookedOrder(
        name, row.quantity, row.price, "traded", row.timestamp, name not in known, name in ours
    )
