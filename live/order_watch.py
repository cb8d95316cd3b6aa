"""A resting order is exposure: it is looked at until its end is sure, and silence is no end.

What filled is the sum of the trade book's rows. An order is filled when the trade book holds all
of it, and cancelled or rejected when two looks agree on that and on what had filled. A live broker
does not say how much that is: while its position book shows that the trade book lags behind, more
looks are taken. The gateway's stream of updates says when to look, and nothing else of it is
believed.
"""

from dataclasses import replace
from decimal import Decimal

from brokers.fills import fills_of
from brokers.messages import OrderRow, OrderStatus, Product
from brokers.order_updates import OrderNews
from brokers.port import Broker
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.states import OrderState
from core.errors import Rejected, Retryable
from live.sending import SentOrder

_LOOKS_BEFORE_BELIEF = 2
_ENDS = {
    OrderStatus.CANCELLED: OrderState.CANCELLED,
    OrderStatus.REJECTED: OrderState.REJECTED,
}


class OrderWatch:
    """What is known of one order. Each look books what is new, and believes an end late."""

    def __init__(
        self,
        store: DatabaseStateManager,
        broker: Broker,
        sent: SentOrder,
        filled: int = 0,
        news: OrderNews | None = None,
        looks_in_doubt: int = _LOOKS_BEFORE_BELIEF,
    ) -> None:
        """`filled` is what of it had been booked before; `news` are the stream's updates.

        After `looks_in_doubt` an end is believed though the trade book seems to lag behind.
        """
        self._store = store
        self._broker = broker
        self._news = OrderNews() if news is None else news
        self._heard = self._news.mark(sent.order_id)
        self._seen: tuple[OrderStatus, int] | None = None
        self._looks = 0
        self._looks_in_doubt = looks_in_doubt
        self.sent = sent
        self.filled = filled
        self.ended = False
        self.trouble = ""

    @property
    def is_whole(self) -> bool:
        """Whether all of it has filled."""
        return self.filled == self.sent.request.quantity

    @property
    def is_announced(self) -> bool:
        """Whether the stream speaks of this order and says what the looks say, no more or less.

        Then its next word may be waited for. Where they differ, one of them is late or lies.
        """
        said = self._news.said_of(self.sent.order_id)
        return said is not None and not said.is_final and said.filled_quantity == self.filled

    def wait_for_word(self, seconds: float) -> bool | None:
        """Wait for what the stream says after the last look: whether it did; None without one."""
        if not self._news.is_up:
            return None
        return self._news.wait(self.sent.order_id, self._heard, seconds)

    def look(self) -> bool:
        """Read the order, then its trades; True once it has come to its end.

        A read that failed is no news.
        """
        self._heard = self._news.mark(self.sent.order_id)
        try:
            row = self._broker.order_status(self.sent.order_id)
            fills = fills_of(self.sent.order_id, self._broker.tradebook())
        except (Rejected, Retryable) as error:
            self.trouble = str(error)
            return False
        if fills.quantity > self.filled and fills.average_price is not None:
            self._store.book_fill(self.sent.row, fills.quantity, fills.average_price)
            self.filled = fills.quantity
        self._believe_price(row.price)
        self.trouble = row.rejection_reason or ""
        self.ended = self._is_over(row)
        if self.ended and row.status in _ENDS:
            self._store.move_order(self.sent.row, _ENDS[row.status], row.status_text)
        return self.ended

    def _believe_price(self, price: Decimal) -> None:
        """Where the order stands: a modify without an answer may have moved it, or not."""
        if price > 0 and price != self.sent.request.price:
            self.sent = replace(self.sent, request=replace(self.sent.request, price=price))

    def _is_over(self, row: OrderRow) -> bool:
        if self.is_whole:
            return True
        seen = (row.status, self.filled)
        self._looks = self._looks + 1 if seen == self._seen else 1
        self._seen = seen
        is_whole = row.filled_quantity in (None, self.filled)
        if row.status not in _ENDS or not is_whole or self._looks < _LOOKS_BEFORE_BELIEF:
            return False
        return self._looks >= self._looks_in_doubt or not self._lags_behind(row)

    def _lags_behind(self, row: OrderRow) -> bool:
        """Whether the position book shows another quantity of the contract than our fills do."""
        if row.filled_quantity is not None:
            return False
        contract = self.sent.request.contract
        try:
            positions = self._broker.positionbook()
        except (Rejected, Retryable):
            return True
        there = sum(
            each.quantity
            for each in positions
            if each.contract == contract and each.product in (None, Product.NRML)
        )
        ours = sum(
            leg.quantity
            for leg in self._store.held_by_fills()
            if leg.contract == (contract.symbol, contract.exchange)
        )
        return there != ours
