"""A synthetic future has both legs, or neither, or is NAKED and says so.

Entry: BUY CE, then SELL PE for as much as was bought; what stays unmatched is given back, the
short leg first. Exit: BUY back PE, then SELL CE for as much as was bought back, never given back.
Both start from what the legs have filled so far, whoever filled it.
"""

from dataclasses import dataclass

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.records import Intent, Leg
from core.db_state_manager.states import LegState
from live.exit_chase import ExitChaser
from live.order_executor import Outcome, Worked
from live.single_leg import EntryLegs
from live.unwinding import Unwinder


@dataclass(frozen=True, slots=True)
class SyntheticFuturesExecutor:
    """Works two legs of equal quantity as one: the second only for what the first had."""

    store: DatabaseStateManager
    entries: EntryLegs
    chaser: ExitChaser
    unwinder: Unwinder

    def enter(self, intent: Intent, first: Leg, second: Leg) -> Worked:
        """Buy and sell, or give back what could not be matched."""
        tried = Worked(Outcome.NOT_FILLED, 0, "what was unmatched is given back")
        if not self.unwinder.is_begun(intent, first, second):
            tried = self._both(intent, first, second)
            if tried.outcome is Outcome.UNKNOWN:
                return tried
        kept = self.entries.keeps(first, min(self._held(intent, first, second)))
        for leg in (second, first):
            excess = self.unwinder.held(intent, leg) - kept
            if excess <= 0:
                continue
            undone = self.unwinder.give_back(intent, leg, excess)
            if undone.outcome is Outcome.UNKNOWN:
                return undone
            left = self.unwinder.held(intent, leg) - kept
            if left:
                return self._left(intent, first, second, undone.reason)
        if kept == first.quantity:
            return Worked(Outcome.FILLED, kept)
        outcome = Outcome.PARTLY_FILLED if kept else Outcome.NOT_FILLED
        return Worked(outcome, kept, tried.reason)

    def leave(
        self, intent: Intent, first: Leg, second: Leg, most_passes: int | None = None
    ) -> Worked:
        """Buy back and sell, chasing each; naked where something comes between the two."""
        back = self.chaser.work(intent, first, first.quantity, most_passes)
        if back.outcome in (Outcome.UNKNOWN, Outcome.CHASING):
            return back
        if not back.quantity:
            self.store.move_leg(second.id, LegState.CANCELLED)
            return back
        sold = self.chaser.work(intent, second, back.quantity, most_passes)
        if sold.outcome in (Outcome.UNKNOWN, Outcome.CHASING):
            return sold
        left = back.quantity - sold.quantity
        if left and sold.nothing_there and self.unwinder.adopt(second, left):
            left = back.quantity - self.store.leg(second.id).filled_quantity
        if left:
            return self.unwinder.naked(intent, first, left, sold.reason)
        return back

    def _both(self, intent: Intent, first: Leg, second: Leg) -> Worked:
        had = self.entries.first(intent, first)
        if had.outcome is Outcome.UNKNOWN:
            return had
        matchable = self.entries.keeps(first, had.quantity)
        if not matchable:
            self.store.move_leg(second.id, LegState.CANCELLED)
            return had
        matched = self.entries.second(intent, second, matchable)
        if matched.outcome is Outcome.UNKNOWN:
            return matched
        reason = matched.reason or had.reason
        return Worked(matched.outcome, matched.quantity, reason, matched.halted)

    def _left(self, intent: Intent, first: Leg, second: Leg, why: str) -> Worked:
        """What is had of both alike is being given back still; what is not stands alone."""
        call, put = self._held(intent, first, second)
        if call == put and not call % (first.quantity // first.lots):
            return Worked(Outcome.CHASING, call, why)
        alone = first if call > put else second
        whole = self.entries.keeps(first, min(call, put))
        return self.unwinder.naked(intent, alone, max(call, put) - whole, why)

    def _held(self, intent: Intent, first: Leg, second: Leg) -> tuple[int, int]:
        return self.unwinder.held(intent, first), self.unwinder.held(intent, second)
