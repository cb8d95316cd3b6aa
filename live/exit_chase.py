"""An exit is repeated until it is filled: pass after pass, each allowed to pay more than the last.

Which pass is next follows from the orders that the leg has had, so that a process which takes over
goes on where the other one stopped; near the close that it was ordered for, it is the widest one.
Only the operator's stop, an unknown order and a broker that holds nothing to close end it early.
What no pass could fill while the calendar says closed is held until it opens and tried again now
and then all the same: the calendar does not know every session.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.records import Intent, Leg, OrderRow
from core.db_state_manager.states import FINISHED_ORDERS, OrderState
from core.ports import Clock
from live.ladder import Chase
from live.order_executor import Outcome, SimpleLimitExecutor, Worked
from live.trading_hours import TradingHours


class ExitChaser:
    """Trades a leg to its end."""

    def __init__(
        self,
        store: DatabaseStateManager,
        legs: SimpleLimitExecutor,
        clock: Clock,
        wait: Callable[[float], None],
        chase: Chase,
        hours: TradingHours,
    ) -> None:
        """`wait` lets so many seconds pass; what it raises ends the chase as a crash would."""
        self._store = store
        self._legs = legs
        self._clock = clock
        self._wait = wait
        self._chase = chase
        self._hours = hours

    def work(
        self, intent: Intent, leg: Leg, quantity: int, most_passes: int | None = None
    ) -> Worked:
        """Trade a leg until it has `quantity` in all.

        CHASING after `most_passes` without that, and while it is held until the market opens.
        """
        if held := self._held(intent, leg):
            return held
        stage = told = self._first_stage(intent, leg)
        passes = refusals = 0
        while True:
            was_near = self._legs.closing.is_near(intent)
            stage = self._last_stage if was_near else stage
            began_s = self._clock.monotonic()
            worked = self._legs.work(intent, leg, quantity, self._chase.caps[stage])
            passes += 1
            if worked.outcome in (Outcome.FILLED, Outcome.UNKNOWN) or worked.halted:
                return worked
            if stage == self._last_stage and (held := self._hold(intent, leg, worked)):
                return held
            stage = min(stage + 1, self._last_stage)
            if stage > told:
                told = stage
                self._tell(intent, leg, stage, worked)
            if passes == most_passes:
                return Worked(Outcome.CHASING, worked.quantity, worked.reason)
            rested = self._clock.monotonic() - began_s >= self._chase.refused_pause_s
            refusals = 0 if rested else refusals + 1
            if was_near or not self._legs.closing.is_near(intent):
                self._wait(self._chase.pause_after(refusals))

    @property
    def _last_stage(self) -> int:
        return len(self._chase.caps) - 1

    def _held(self, intent: Intent, leg: Leg) -> Worked | None:
        """The hold that the leg is in until it is to be tried again in this closed market."""
        now = self._clock.now()
        opens_at = self._hours.opens_at(intent.instrument, now)
        if opens_at is None or not self._store.was_told("EXIT_HELD", _hold_key(leg, opens_at)):
            return None
        orders = [order for order in self._store.orders(intent.id) if order.leg_id == leg.id]
        if any(order.state not in FINISHED_ORDERS for order in orders):
            return None
        pause = timedelta(seconds=self._chase.held_pause_s)
        if all(now - order.updated_at >= pause for order in orders):
            return None
        had = self._store.leg(leg.id).filled_quantity
        return Worked(Outcome.CHASING, had, _until(opens_at))

    def _hold(self, intent: Intent, leg: Leg, worked: Worked) -> Worked | None:
        """Hold what the widest cap did not fill, and tell it once; None in an open market."""
        opens_at = self._hours.opens_at(intent.instrument, self._clock.now())
        if opens_at is None:
            return None
        told = {"intent_id": intent.id, "symbol": leg.symbol, "reason": worked.reason}
        key = _hold_key(leg, opens_at)
        self._store.tell_once("EXIT_HELD", intent.instrument, {**told, **key}, key)
        reason = f"{_until(opens_at)}: {worked.reason}"
        return Worked(Outcome.CHASING, worked.quantity, reason)

    def _first_stage(self, intent: Intent, leg: Leg) -> int:
        """One stage for each order that rested in vain, or that the broker refused.

        What was tried in a closed market counts for as long as it stays closed.
        """
        name = intent.instrument
        opens_at = self._hours.opens_at(name, self._clock.now())
        tried = sum(
            order.leg_id == leg.id
            and was_in_vain(order)
            and self._hours.opens_at(name, order.created_at) == opens_at
            for order in self._store.orders(intent.id)
        )
        return min(tried, self._last_stage)

    def _tell(self, intent: Intent, leg: Leg, stage: int, worked: Worked) -> None:
        told = {
            "intent_id": intent.id,
            "stage": stage + 1,
            "cap_fraction": self._chase.caps[stage],
            "symbol": leg.symbol,
            "filled": worked.quantity,
            "quantity": leg.quantity,
            "reason": worked.reason,
        }
        self._store.append_outbox("EXIT_STAGE", intent.instrument, told)


def was_in_vain(order: OrderRow) -> bool:
    """Whether the broker had an order and it did not fill; one that never left does not count."""
    is_named = order.order_id is not None
    return order.state is OrderState.REJECTED or (order.state is OrderState.CANCELLED and is_named)


def _hold_key(leg: Leg, opens_at: datetime | None) -> dict[str, object]:
    return {"leg_id": leg.id, "opens_at": opens_at and opens_at.isoformat()}


def _until(opens_at: datetime) -> str:
    return f"held until the market opens at {opens_at:%d %b %H:%M}"
