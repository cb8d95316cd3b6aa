"""A synthetic future has both legs, or neither, or is NAKED and says so.

Entry: BUY CE, then SELL PE for as much as was bought; what stays unmatched is given back. Exit:
BUY back PE, then SELL CE for as much as was bought back, never given back. Both start from what
the legs have filled so far, whoever filled it.
"""

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.records import Intent, Leg, LegPlan
from core.db_state_manager.states import IntentState, LegPurpose, LegState
from live.exit_chase import ExitChaser
from live.expiry_utils import opposite
from live.order_executor import Outcome, SimpleLimitExecutor, Worked


class SyntheticFuturesExecutor:
    """Works two legs of equal quantity as one: the second only for what the first had."""

    def __init__(
        self,
        store: DatabaseStateManager,
        legs: SimpleLimitExecutor,
        chaser: ExitChaser,
        owner: str,
    ) -> None:
        self._store = store
        self._legs = legs
        self._chaser = chaser
        self._owner = owner

    def enter(self, intent: Intent, first: Leg, second: Leg) -> Worked:
        """Buy and sell, or give back what could not be matched."""
        tried = Worked(Outcome.NOT_FILLED, 0, "what was unmatched is given back")
        if not self._is_given_back(intent, first, second):
            tried = self._both(intent, first, second)
            if tried.outcome is Outcome.UNKNOWN:
                return tried
        alone, excess = self._unmatched(intent, first, second)
        if excess:
            undone = self._give_back(intent, alone, excess)
            if undone.outcome is Outcome.UNKNOWN:
                return undone
            alone, excess = self._unmatched(intent, first, second)
            if excess:
                return self._naked(intent, alone, excess, undone.reason)
        matched = self._held(intent, first)
        if matched == first.quantity:
            return Worked(Outcome.FILLED, matched)
        outcome = Outcome.PARTLY_FILLED if matched else Outcome.NOT_FILLED
        return Worked(outcome, matched, tried.reason)

    def leave(
        self, intent: Intent, first: Leg, second: Leg, most_passes: int | None = None
    ) -> Worked:
        """Buy back and sell, chasing each; naked where a stop comes between the two."""
        back = self._chaser.work(intent, first, first.quantity, most_passes)
        if back.outcome in (Outcome.UNKNOWN, Outcome.CHASING):
            return back
        if not back.quantity:
            self._store.move_leg(second.id, LegState.CANCELLED)
            return back
        sold = self._chaser.work(intent, second, back.quantity, most_passes)
        if sold.outcome in (Outcome.UNKNOWN, Outcome.CHASING):
            return sold
        if sold.quantity != back.quantity:
            return self._naked(intent, first, back.quantity - sold.quantity, sold.reason)
        return back

    def _both(self, intent: Intent, first: Leg, second: Leg) -> Worked:
        had = self._legs.work(intent, first, first.quantity)
        if had.outcome is Outcome.UNKNOWN:
            return had
        if not had.quantity:
            self._store.move_leg(second.id, LegState.CANCELLED)
            return had
        matched = self._legs.work(intent, second, had.quantity)
        if matched.outcome is Outcome.UNKNOWN:
            return matched
        reason = matched.reason or had.reason
        return Worked(matched.outcome, matched.quantity, reason, matched.halted)

    def _unmatched(self, intent: Intent, first: Leg, second: Leg) -> tuple[Leg, int]:
        """The leg that stands alone, and how much of it."""
        excess = self._held(intent, first) - self._held(intent, second)
        return (first, excess) if excess >= 0 else (second, -excess)

    def _held(self, intent: Intent, leg: Leg) -> int:
        """What a leg had and did not give back."""
        backs = self._backs(intent, leg)
        return self._store.leg(leg.id).filled_quantity - sum(one.filled_quantity for one in backs)

    def _is_given_back(self, intent: Intent, *legs: Leg) -> bool:
        return any(self._backs(intent, leg) for leg in legs)

    def _backs(self, intent: Intent, leg: Leg) -> list[Leg]:
        return [
            one
            for one in self._store.legs(intent.id)
            if one.purpose is LegPurpose.UNWIND and one.symbol == leg.symbol
        ]

    def _give_back(self, intent: Intent, held: Leg, quantity: int) -> Worked:
        """Undo that much of a leg, through the leg that is undoing it already if there is one."""
        begun = [one for one in self._backs(intent, held) if one.filled_quantity < one.quantity]
        if begun:
            back = begun[-1]
            target = min(back.quantity, back.filled_quantity + quantity)
            return self._legs.work(intent, back, target)
        lots = quantity * held.lots // held.quantity
        side = opposite(held.side)
        plan = LegPlan(LegPurpose.UNWIND, side, held.symbol, held.exchange, lots, quantity)
        back = self._store.add_legs(intent.id, [plan], self._owner)[-1]
        return self._legs.work(intent, back, quantity)

    def _naked(self, intent: Intent, held: Leg, quantity: int, why: str) -> Worked:
        reason = f"{held.side} {quantity} {held.symbol} stands alone: {why}"
        self._store.move_intent(intent.id, IntentState.NAKED, reason, self._owner)
        return Worked(Outcome.NAKED, 0, reason)
