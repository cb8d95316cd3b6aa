"""An exit is repeated until it is filled: pass after pass, each allowed to pay more than the last.

Which pass is next follows from the orders that the leg has had, so that a process which takes over
goes on where the other one stopped. Only the operator's stop and an unknown order end it early.
"""

from collections.abc import Callable

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.records import Intent, Leg
from core.db_state_manager.states import OrderState
from core.ports import Clock
from live.ladder import Chase
from live.order_executor import Outcome, SimpleLimitExecutor, Worked

_IN_VAIN = (OrderState.CANCELLED, OrderState.REJECTED)


class ExitChaser:
    """Trades a leg to its end."""

    def __init__(
        self,
        store: DatabaseStateManager,
        legs: SimpleLimitExecutor,
        clock: Clock,
        wait: Callable[[float], None],
        chase: Chase,
    ) -> None:
        """`wait` lets so many seconds pass; what it raises ends the chase as a crash would."""
        self._store = store
        self._legs = legs
        self._clock = clock
        self._wait = wait
        self._chase = chase

    def work(
        self, intent: Intent, leg: Leg, quantity: int, most_passes: int | None = None
    ) -> Worked:
        """Trade a leg until it has `quantity` in all; CHASING after `most_passes` without that."""
        stage = self._first_stage(intent, leg)
        told = stage
        passes = refusals = 0
        while True:
            began_s = self._clock.monotonic()
            worked = self._legs.work(intent, leg, quantity, self._chase.caps[stage])
            passes += 1
            if worked.outcome in (Outcome.FILLED, Outcome.UNKNOWN) or worked.halted:
                return worked
            stage = min(stage + 1, len(self._chase.caps) - 1)
            if stage > told:
                told = stage
                self._tell(intent, leg, stage, worked)
            if passes == most_passes:
                return Worked(Outcome.CHASING, worked.quantity, worked.reason)
            rested = self._clock.monotonic() - began_s >= self._chase.refused_pause_s
            refusals = 0 if rested else refusals + 1
            self._wait(self._chase.pause_after(refusals))

    def _first_stage(self, intent: Intent, leg: Leg) -> int:
        """One stage for each order that was tried in vain."""
        tried = sum(
            order.leg_id == leg.id and order.order_id is not None and order.state in _IN_VAIN
            for order in self._store.orders(intent.id)
        )
        return min(tried, len(self._chase.caps) - 1)

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
