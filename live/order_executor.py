"""Legs are worked with limit orders to a known end: filled, ended at the broker, or unknown.

Work starts from what is stored and not from a plan: an order that lives is watched and improved
on, and a new one is sent only for the rest and only after the old one is proven dead, and never
for more than one order may carry, nor to close what the broker's book says is not there. So the
same call begins work, goes on with it, and takes it over from a process that died. What filled is
committed before anything else is sent.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

from brokers.messages import Contract
from brokers.order_updates import OrderNews
from brokers.port import Broker
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.ownership import Fenced
from core.db_state_manager.records import Intent, Leg
from core.db_state_manager.states import (
    FINISHED_ORDERS,
    IntentAction,
    LegPurpose,
    LegState,
    Side,
)
from core.errors import Halted, OutcomeUnknown, PortfolioError, Rejected, Retryable
from core.ports import Clock
from live.closing_time import ClosingTime
from live.ladder import Ladder, is_better
from live.lot_units import LotUnits
from live.order_watch import OrderWatch
from live.position_guard import NothingThere, PositionGuard
from live.sending import OrderSender, SentOrder

_BETWEEN_LOOKS_S = 0.02


class Outcome(StrEnum):
    """What working came to.

    NAKED: one leg of two is held. UNKNOWN: an order may still live. CHASING: an exit is not filled
    yet, and the passes it was given are over. These three leave the intent active.
    """

    FILLED = "FILLED"
    PARTLY_FILLED = "PARTLY_FILLED"
    NOT_FILLED = "NOT_FILLED"
    NAKED = "NAKED"
    UNKNOWN = "UNKNOWN"
    CHASING = "CHASING"


@dataclass(frozen=True, slots=True)
class Worked:
    """`quantity` was had in all, of a leg or of both legs together; `reason` says why not more.

    `halted` is true where the operator's stop, a lock, or a book that shows nothing to close keeps
    orders from being sent; `nothing_there` where it is that book.
    """

    outcome: Outcome
    quantity: int
    reason: str = ""
    halted: bool = False
    nothing_there: bool = False


@dataclass(frozen=True, slots=True)
class _Start:
    """The touch now, what caps are measured from, the tick and lot, and the most of one order.

    An entry's `anchor` is where its leg began, so that one cap holds over all orders of it.
    """

    touch: Decimal
    anchor: Decimal
    tick: Decimal
    lot_size: int
    most: int | None


class SimpleLimitExecutor:
    """Works one leg, a pass at a time: one limit at the touch, which is waited for."""

    def __init__(
        self,
        store: DatabaseStateManager,
        sender: OrderSender,
        broker: Broker,
        clock: Clock,
        wait: Callable[[float], None],
        ladder: Ladder,
        guard: PositionGuard,
        units: LotUnits,
        entry_patience_s: float = 60.0,
        news: OrderNews | None = None,
        roll_patience_s: float = 600.0,
    ) -> None:
        """`wait` lets so many seconds pass; what it raises ends the work as a crash would.

        An entry is not worked for longer than `entry_patience_s` after it was decided, nor is the
        next contract of a roll for longer than `roll_patience_s`. `news` says when to look at an
        order before its time.
        """
        self._store = store
        self._sender = sender
        self._broker = broker
        self._clock = clock
        self._wait = wait
        self._ladder = ladder
        self._guard = guard
        self._units = units
        self._patience = {
            IntentAction.ENTRY: timedelta(seconds=entry_patience_s),
            IntentAction.ROLL: timedelta(seconds=roll_patience_s),
        }
        self._news = OrderNews() if news is None else news
        self._anchors: dict[int, Decimal] = {}
        self.closing = ClosingTime(store, clock)

    def work(
        self, intent: Intent, leg: Leg, quantity: int, cap_fraction: Decimal | None = None
    ) -> Worked:
        """Trade a leg until it has `quantity` in all, or as much of that as one pass gets.

        Raises Fenced, and what the database raises.
        """
        ladder = self._ladder if cap_fraction is None else self._ladder.capped(cap_fraction)
        while True:
            worked = self._work_order(intent, leg, quantity, ladder)
            if worked is not None:
                return worked

    def _work_order(self, intent: Intent, leg: Leg, quantity: int, ladder: Ladder) -> Worked | None:
        """Work one order to its end; None when all of it filled and there is more to trade."""
        watch = self._living(intent, leg)
        over = self.is_over(intent, leg)
        had = self._had(leg)
        if watch is None and (over or had >= quantity):
            return self._settled(leg, quantity, over)
        began_at = self._began_at(leg)
        start: _Start | None = None
        try:
            start = self._start(intent, leg, began_at)
            if watch is None:
                watch = self._begin(intent, leg, quantity - had, start, ladder)
        except OutcomeUnknown as error:
            return Worked(Outcome.UNKNOWN, had, str(error))
        except Fenced:
            raise
        except (Rejected, Retryable, Halted) as error:
            if watch is None:
                return _stopped(self._settled(leg, quantity, str(error)), error)
        if start is not None:
            self._improve(intent, leg, watch, start, ladder)
        return self._ended(intent, leg, quantity, watch)

    def _ended(self, intent: Intent, leg: Leg, quantity: int, watch: OrderWatch) -> Worked | None:
        """Bring an order that lives to its end, and say what the leg has then."""
        if not watch.ended:
            self._await_whole_lot(leg, watch)
        if not watch.ended:
            self._withdraw(watch)
        if not watch.ended:
            sent = watch.sent
            reason = f"order {sent.order_id} came to no end in {self._ladder.settle_s:g} s"
            self._sender.give_up(intent, sent.row, reason)
            return Worked(Outcome.UNKNOWN, self._had(leg), reason)
        if watch.is_whole and self._had(leg) < quantity:
            return None
        return self._settled(leg, quantity, watch.trouble or self.is_over(intent, leg))

    def _living(self, intent: Intent, leg: Leg) -> OrderWatch | None:
        """The leg's order that has a name and no end, to be watched."""
        for order in self._store.orders(intent.id):
            is_living = order.order_id is not None and order.state not in FINISHED_ORDERS
            if order.leg_id == leg.id and is_living:
                sent = self._sender.sent_before(intent, leg, order)
                return self._watch(sent, order.filled_quantity)
        return None

    def is_over(self, intent: Intent, leg: Leg) -> str:
        """Why no exposure is taken on any more; nothing for what reduces it."""
        patience = self._patience.get(intent.action)
        if leg.purpose is not LegPurpose.OPEN or patience is None:
            return ""
        if self._store.cancel_requested(intent.id):
            return f"the rest of the {intent.action} was called off"
        if self._clock.now() - intent.created_at > patience:
            return f"the {intent.action} is older than {patience.total_seconds():g} s"
        if self.closing.is_over(intent, leg):
            return "the market is about to close"
        return ""

    def _begin(
        self, intent: Intent, leg: Leg, quantity: int, start: _Start, ladder: Ladder
    ) -> OrderWatch:
        """Send what one order may carry; what surely did not arrive is sent anew for a while."""
        if leg.purpose is not LegPurpose.OPEN:
            quantity = self._guard.most(intent, leg, quantity, start.lot_size)
        quantity = quantity if start.most is None else min(quantity, start.most)
        price = ladder.price(leg.side, start.touch, start.anchor, 0, start.tick)
        deadline = self._clock.monotonic() + ladder.steps * ladder.step_s
        while True:
            try:
                return self._watch(self._sender.send(intent, leg, quantity, price))
            except Retryable:
                if self._clock.monotonic() >= deadline or self.is_over(intent, leg):
                    raise
            self._wait(ladder.poll_s)

    def _improve(
        self, intent: Intent, leg: Leg, watch: OrderWatch, start: _Start, ladder: Ladder
    ) -> None:
        """Watch the order, and give it a better price on the clock, until it or the time ends.

        A pass ends as well when it becomes time to hurry: the next one may pay more.
        """
        began = self._clock.monotonic()
        step, was_near = 0, self.closing.is_near(intent)
        while not watch.look():
            due = int((self._clock.monotonic() - began) / ladder.step_s)
            if due > ladder.steps or self.is_over(intent, leg):
                return
            if not was_near and self.closing.is_near(intent):
                return
            if due > step:
                step = due
                if not self._follow(intent, leg, watch, start, step, ladder):
                    return
            self._await_look(intent, leg, watch, ladder, began + (step + 1) * ladder.step_s)

    def _await_look(
        self, intent: Intent, leg: Leg, watch: OrderWatch, ladder: Ladder, step_at_s: float
    ) -> None:
        """Let time pass until the order is to be looked at.

        That is after a poll's time, or for an order that the stream speaks of after a longer one:
        but at once when it says something, and for the next step of the price. Whether the entry
        is called off is asked as often as ever.
        """
        look_at_s = self._clock.monotonic() + ladder.announced_poll_s
        while not self._pause(watch, ladder.poll_s):
            now_s = self._clock.monotonic()
            is_due = now_s >= look_at_s or now_s >= step_at_s
            if is_due or not watch.is_announced or self.is_over(intent, leg):
                return

    def _pause(self, watch: OrderWatch, seconds: float) -> bool:
        """Let so many seconds pass, fewer where the stream says something: then True.

        An order is not looked at again at once: words may come faster than looks are allowed.
        """
        has_word = watch.wait_for_word(seconds)
        self._wait(seconds if has_word is None else _BETWEEN_LOOKS_S if has_word else 0.0)
        return bool(has_word)

    def _watch(self, sent: SentOrder, filled: int = 0) -> OrderWatch:
        """A doubtful end is believed before the time for it is over: what is unknown stops more."""
        in_doubt = int(self._ladder.settle_s / self._ladder.poll_s / 2)
        return OrderWatch(self._store, self._broker, sent, filled, self._news, in_doubt)

    def _follow(
        self,
        intent: Intent,
        leg: Leg,
        watch: OrderWatch,
        start: _Start,
        step: int,
        ladder: Ladder,
    ) -> bool:
        """Leave the order where it is. False when trading was stopped: it is to be withdrawn."""
        try:
            self._sender.check_allowed(intent, leg)
        except Halted:
            return False
        return True

    def _await_whole_lot(self, leg: Leg, watch: OrderWatch) -> None:
        """Let an order that is within a lot fill that lot: no other order can carry the rest."""
        deadline = self._clock.monotonic() + self._ladder.settle_s
        while self._had(leg) % (leg.quantity // leg.lots) and self._clock.monotonic() < deadline:
            self._pause(watch, self._ladder.poll_s)
            if watch.look():
                return

    def _withdraw(self, watch: OrderWatch) -> None:
        """Cancel, and look until the order has come to an end or the time is over."""
        try:
            self._sender.cancel(watch.sent)
        except PortfolioError as error:
            watch.trouble = f"cancel: {error}"
        deadline = self._clock.monotonic() + self._ladder.settle_s
        while not watch.look() and self._clock.monotonic() < deadline:
            self._pause(watch, self._ladder.poll_s)

    def _settled(self, leg: Leg, quantity: int, why: str) -> Worked:
        """What the leg has now that no order of it lives."""
        had = self._had(leg)
        if had >= quantity:
            whole = had == leg.quantity
            self._store.move_leg(leg.id, LegState.FILLED if whole else LegState.PARTLY_FILLED)
            return Worked(Outcome.FILLED, had)
        reason = why or f"{had} of {quantity} {leg.symbol} within the price cap"
        state = LegState.PARTLY_FILLED if had else LegState.CANCELLED
        self._store.move_leg(leg.id, state)
        outcome = Outcome.PARTLY_FILLED if had else Outcome.NOT_FILLED
        return Worked(outcome, had, reason)

    def _had(self, leg: Leg) -> int:
        """What the leg has in all, as stored now."""
        return self._store.leg(leg.id).filled_quantity

    def _start(self, intent: Intent, leg: Leg, began_at: Decimal | None) -> _Start:
        info = self._broker.symbol(Contract(leg.symbol, leg.exchange))
        self._units.check(intent, leg, info)
        freeze = info.freeze_quantity
        most = None if freeze is None else freeze // info.lot_size * info.lot_size
        touch = self._touch(leg)
        anchor = touch if began_at is None else began_at
        if leg.purpose is LegPurpose.OPEN:
            self._anchors[leg.id] = anchor
        return _Start(touch, anchor, info.tick, info.lot_size, most)

    def _began_at(self, leg: Leg) -> Decimal | None:
        """Where an entry's leg began, here or by whoever sent its first order; None at first."""
        if leg.purpose is not LegPurpose.OPEN:
            return None
        if leg.id in self._anchors:
            return self._anchors[leg.id]
        return self._store.began_at(leg.id)

    def _touch(self, leg: Leg) -> Decimal:
        """The best price on the other side, or the last one where nobody is there."""
        quote = self._broker.quote(Contract(leg.symbol, leg.exchange))
        touch = quote.ask if leg.side is Side.BUY else quote.bid
        return quote.ltp if touch is None else touch


class ProgressiveLimitExecutor(SimpleLimitExecutor):
    """Works one leg, a pass at a time: from the touch, improved step by step up to the cap."""

    def _follow(
        self,
        intent: Intent,
        leg: Leg,
        watch: OrderWatch,
        start: _Start,
        step: int,
        ladder: Ladder,
    ) -> bool:
        """Improve the price. False when trading was stopped: then the order is to be withdrawn.

        A modify that fails, or whose outcome is unknown, changes nothing that the next look does
        not show: the order has just filled, or stands at one of two prices within the cap.
        """
        try:
            self._sender.check_allowed(intent, leg)
            price = ladder.price(leg.side, self._touch(leg), start.anchor, step, start.tick)
            if is_better(leg.side, price, watch.sent.request.price):
                watch.sent = self._sender.reprice(intent, leg, watch.sent, price)
        except Halted:
            return False
        except Fenced:
            raise
        except (Rejected, Retryable, OutcomeUnknown):
            return True
        return True


def _stopped(worked: Worked, error: PortfolioError) -> Worked:
    """What was had when nothing more could be sent, and whether trying again is of any use."""
    if worked.outcome is Outcome.FILLED:
        return worked
    nothing_there = isinstance(error, NothingThere)
    halted = nothing_there or isinstance(error, Halted)
    return replace(worked, halted=halted, nothing_there=nothing_there)
