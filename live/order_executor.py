"""Legs are worked with limit orders to a known end: filled, ended at the broker, or unknown.

A price starts at the touch and is improved step by step up to a cap, never at the market. A
resting order is exposure, so it is watched, then cancelled, then looked at again. What filled is
the sum of the trade book's rows, committed before anything else is sent. A synthetic future has
both legs, or neither, or is NAKED and says so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum

from brokers.fills import fills_of
from brokers.messages import Contract, OrderRow, OrderStatus
from brokers.port import Broker
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.records import Intent, Leg, LegPlan
from core.db_state_manager.states import IntentState, LegPurpose, LegState, OrderState, Side
from core.errors import Halted, OutcomeUnknown, PortfolioError, Rejected, Retryable
from core.ports import Clock
from live.expiry_utils import opposite
from live.sending import OrderSender, SentOrder

_LOOKS_BEFORE_BELIEF = 2
_ENDS = {
    OrderStatus.CANCELLED: OrderState.CANCELLED,
    OrderStatus.REJECTED: OrderState.REJECTED,
}


class Outcome(StrEnum):
    """What working came to. NAKED: one leg of two is held. UNKNOWN: an order may still live."""

    FILLED = "FILLED"
    PARTLY_FILLED = "PARTLY_FILLED"
    NOT_FILLED = "NOT_FILLED"
    NAKED = "NAKED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Worked:
    """`quantity` was had, of a leg or of both legs together; `reason` says why not more."""

    outcome: Outcome
    quantity: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ladder:
    """How a price is improved, and when that ends.

    From the touch in `steps` of `step_s` each, by no more in all than `cap_fraction` of the touch
    or `cap_ticks`, whichever is more. After the cancel an end is awaited for `settle_s`.
    """

    steps: int = 5
    step_s: float = 2.0
    poll_s: float = 0.25
    settle_s: float = 10.0
    cap_fraction: Decimal = Decimal("0.002")
    cap_ticks: int = 5

    def price(
        self, side: Side, touch: Decimal, start: Decimal, step: int, tick: Decimal
    ) -> Decimal:
        """The limit at `step`: the touch of now, within that step's share of the cap."""
        cap = max(self.cap_fraction * start, self.cap_ticks * tick)
        allowed = cap * min(step, self.steps) / self.steps
        if side is Side.BUY:
            return on_tick(side, min(touch, start + allowed), tick)
        return on_tick(side, max(touch, start - allowed), tick)


def on_tick(side: Side, price: Decimal, tick: Decimal) -> Decimal:
    """The tick that never pays more, or takes less, than `price`; at least one tick."""
    rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
    return max((price / tick).quantize(Decimal(1), rounding) * tick, tick)


class SimpleLimitExecutor:
    """Works one leg."""

    def __init__(
        self,
        store: DatabaseStateManager,
        sender: OrderSender,
        broker: Broker,
        clock: Clock,
        wait: Callable[[float], None],
        ladder: Ladder,
    ) -> None:
        """`wait` lets so many seconds pass."""
        self._store = store
        self._sender = sender
        self._broker = broker
        self._clock = clock
        self._wait = wait
        self._ladder = ladder

    def work(self, intent: Intent, leg: Leg, quantity: int) -> Worked:
        """Trade `quantity` of a leg, or as much of it as can be had."""
        try:
            contract = Contract(leg.symbol, leg.exchange)
            tick = self._broker.symbol(contract).tick
            start = self._touch(leg)
            price = self._ladder.price(leg.side, start, start, 0, tick)
            sent = self._send(intent, leg, quantity, price)
        except OutcomeUnknown as error:
            return Worked(Outcome.UNKNOWN, 0, str(error))
        except (Rejected, Retryable, Halted) as error:
            self._store.move_leg(leg.id, LegState.CANCELLED)
            return Worked(Outcome.NOT_FILLED, 0, str(error))
        watch = _Watch(self._store, self._broker, sent)
        self._improve(intent, leg, watch, start, tick)
        if not watch.ended:
            self._withdraw(watch)
        if not watch.ended:
            reason = f"order {sent.order_id} came to no end in {self._ladder.settle_s:g} s"
            self._sender.give_up(intent, sent.row, reason)
            return Worked(Outcome.UNKNOWN, watch.filled, reason)
        return self._settled(leg, quantity, watch)

    def _send(self, intent: Intent, leg: Leg, quantity: int, price: Decimal) -> SentOrder:
        """Send; what surely did not arrive is sent anew while the leg's time lasts."""
        deadline = self._clock.monotonic() + self._ladder.steps * self._ladder.step_s
        while True:
            try:
                return self._sender.send(intent, leg, quantity, price)
            except Retryable:
                if self._clock.monotonic() >= deadline:
                    raise
            self._wait(self._ladder.poll_s)

    def _improve(
        self, intent: Intent, leg: Leg, watch: "_Watch", start: Decimal, tick: Decimal
    ) -> None:
        """Watch the order, and give it a better price on the clock, until it or the time ends."""
        began = self._clock.monotonic()
        step = 0
        while not watch.look():
            due = int((self._clock.monotonic() - began) / self._ladder.step_s)
            if due > self._ladder.steps:
                return
            if due > step:
                step = due
                if not self._step(intent, leg, watch, start, step, tick):
                    return
            self._wait(self._ladder.poll_s)

    def _step(
        self,
        intent: Intent,
        leg: Leg,
        watch: "_Watch",
        start: Decimal,
        step: int,
        tick: Decimal,
    ) -> bool:
        """Improve the price. False when trading was stopped: then the order is to be withdrawn.

        A modify that fails changes nothing that the next look does not show: the order has just
        filled, or stands at one of two prices within the cap.
        """
        try:
            price = self._ladder.price(leg.side, self._touch(leg), start, step, tick)
            if _is_better(leg.side, price, watch.sent.request.price):
                watch.sent = self._sender.reprice(intent, leg, watch.sent, price)
        except Halted:
            return False
        except (Rejected, Retryable, OutcomeUnknown):
            return True
        return True

    def _withdraw(self, watch: "_Watch") -> None:
        """Cancel, and look until the order has come to an end or the time is over."""
        try:
            self._sender.cancel(watch.sent)
        except PortfolioError as error:
            watch.trouble = f"cancel: {error}"
        deadline = self._clock.monotonic() + self._ladder.settle_s
        while not watch.look() and self._clock.monotonic() < deadline:
            self._wait(self._ladder.poll_s)

    def _settled(self, leg: Leg, quantity: int, watch: "_Watch") -> Worked:
        if watch.filled == quantity:
            self._store.move_leg(leg.id, LegState.FILLED)
            return Worked(Outcome.FILLED, quantity)
        reason = watch.trouble or f"{watch.filled} of {quantity} {leg.symbol} within the price cap"
        if watch.filled:
            self._store.move_leg(leg.id, LegState.PARTLY_FILLED)
            return Worked(Outcome.PARTLY_FILLED, watch.filled, reason)
        self._store.move_leg(leg.id, LegState.CANCELLED)
        return Worked(Outcome.NOT_FILLED, 0, reason)

    def _touch(self, leg: Leg) -> Decimal:
        """The best price on the other side, or the last one where nobody is there."""
        quote = self._broker.quote(Contract(leg.symbol, leg.exchange))
        touch = quote.ask if leg.side is Side.BUY else quote.bid
        return quote.ltp if touch is None else touch


class SyntheticFuturesExecutor:
    """Works two legs of equal quantity as one: the second only for what the first had."""

    def __init__(self, store: DatabaseStateManager, leg_executor: SimpleLimitExecutor) -> None:
        self._store = store
        self._legs = leg_executor

    def work(self, intent: Intent, first: Leg, second: Leg) -> Worked:
        """Trade both legs, or unwind what the second did not match.

        On entry BUY CE, then SELL PE; on exit BUY PE, then SELL CE: the legs come in that order.
        """
        had = self._legs.work(intent, first, first.quantity)
        if had.outcome is Outcome.UNKNOWN or not had.quantity:
            if had.outcome is not Outcome.UNKNOWN:
                self._store.move_leg(second.id, LegState.CANCELLED)
            return Worked(had.outcome, 0, had.reason)
        matched = self._legs.work(intent, second, had.quantity)
        if matched.outcome is Outcome.UNKNOWN:
            return matched
        excess = had.quantity - matched.quantity
        if excess:
            undone = self._unwind(intent, first, excess)
            if undone.outcome is Outcome.UNKNOWN:
                return Worked(Outcome.UNKNOWN, matched.quantity, undone.reason)
            if undone.quantity != excess:
                return self._naked(intent, first, excess - undone.quantity, undone.reason, matched)
        if matched.quantity == first.quantity:
            return Worked(Outcome.FILLED, matched.quantity)
        outcome = Outcome.PARTLY_FILLED if matched.quantity else Outcome.NOT_FILLED
        return Worked(outcome, matched.quantity, matched.reason or had.reason)

    def _unwind(self, intent: Intent, held: Leg, quantity: int) -> Worked:
        lots = quantity * held.lots // held.quantity
        back = LegPlan(
            LegPurpose.UNWIND, opposite(held.side), held.symbol, held.exchange, lots, quantity
        )
        leg = self._store.add_legs(intent.id, [back])[-1]
        return self._legs.work(intent, leg, quantity)

    def _naked(self, intent: Intent, held: Leg, quantity: int, why: str, matched: Worked) -> Worked:
        reason = f"{held.side} {quantity} {held.symbol} stands alone: {why}"
        self._store.move_intent(intent.id, IntentState.NAKED, reason)
        return Worked(Outcome.NAKED, matched.quantity, reason)


class _Watch:
    """What is known of one order. Each look books what is new, and believes an end late."""

    def __init__(self, store: DatabaseStateManager, broker: Broker, sent: SentOrder) -> None:
        self._store = store
        self._broker = broker
        self._seen: tuple[OrderStatus, int] | None = None
        self._looks = 0
        self.sent = sent
        self.filled = 0
        self.ended = False
        self.trouble = ""

    def look(self) -> bool:
        """Read the order, then its trades; True once it has come to its end.

        A read that failed is no news. An order is filled when the trade book holds all of it, and
        cancelled or rejected when two looks agree on that and on what had filled.
        """
        try:
            row = self._broker.order_status(self.sent.order_id)
            fills = fills_of(self.sent.order_id, self._broker.tradebook())
        except (Rejected, Retryable) as error:
            self.trouble = str(error)
            return False
        if fills.quantity > self.filled and fills.average_price is not None:
            self._store.book_fill(self.sent.row, fills.quantity, fills.average_price)
            self.filled = fills.quantity
        self.trouble = row.rejection_reason or ""
        self.ended = self._is_over(row)
        if self.ended and row.status in _ENDS:
            self._store.move_order(self.sent.row, _ENDS[row.status], row.status_text)
        return self.ended

    def _is_over(self, row: OrderRow) -> bool:
        if self.filled == self.sent.request.quantity:
            return True
        seen = (row.status, self.filled)
        self._looks = self._looks + 1 if seen == self._seen else 1
        self._seen = seen
        is_whole = row.filled_quantity in (None, self.filled)
        return row.status in _ENDS and is_whole and self._looks >= _LOOKS_BEFORE_BELIEF


def _is_better(side: Side, price: Decimal, than: Decimal) -> bool:
    return price > than if side is Side.BUY else price < than
