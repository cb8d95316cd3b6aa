"""One leg of an entry is had whole, or as far as its settings say, and only in whole lots.

What filled is the position: stops and risk follow it. A part of a lot that stays is no position
and nothing that an order can carry: it is naked until it is whole or somebody has closed it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from core.config import ExecutionConfig, PartialFill, SecondLeg, fraction
from core.db_state_manager.records import Intent, Leg
from core.ports import Clock
from live.exit_chase import ExitChaser
from live.order_executor import Outcome, SimpleLimitExecutor, Worked
from live.unwinding import Unwinder

_PAUSE_S = 1.0
_ENDS = (Outcome.FILLED, Outcome.UNKNOWN)


@dataclass(frozen=True, slots=True)
class EntryLegs:
    """Gets the legs of entries; `wait` lets so many seconds pass."""

    legs: SimpleLimitExecutor
    config: ExecutionConfig
    clock: Clock
    wait: Callable[[float], None]

    def first(self, intent: Intent, leg: Leg) -> Worked:
        """One pass; what that filled in part is chased within the entry's bounds, or kept.

        At the end of the day the rest is chased, whatever the settings say, as long as there is
        time before the close.
        """
        if self.legs.closing.binds(intent):
            return self._before_the_close(intent, leg)
        worked = self.legs.work(intent, leg, leg.quantity)
        if self.config.partial_fill is PartialFill.KEEP:
            return worked
        while worked.outcome is Outcome.PARTLY_FILLED and self._goes_on(intent, leg, worked):
            self.wait(_PAUSE_S)
            worked = self.legs.work(intent, leg, leg.quantity)
        return worked

    def second(self, intent: Intent, leg: Leg, quantity: int) -> Worked:
        """One pass; then, where it is to be completed, more of them within its own bounds."""
        worked = self.legs.work(intent, leg, quantity)
        if self.config.second_leg is SecondLeg.UNWIND and not self.legs.closing.binds(intent):
            return worked
        until_s = self.clock.monotonic() + float(self.config.second_leg_s)
        cap = fraction(self.config.second_leg_cap_pct)
        while worked.outcome not in _ENDS and self._goes_on(intent, leg, worked):
            if self.clock.monotonic() >= until_s:
                break
            self.wait(_PAUSE_S)
            worked = self.legs.work(intent, leg, quantity, cap)
        return worked

    def keeps(self, leg: Leg, quantity: int) -> int:
        """How much of what is held stays: whole lots, or nothing of less than was wanted."""
        if self.config.partial_fill is PartialFill.ABANDON and quantity < leg.quantity:
            return 0
        lot = leg.quantity // leg.lots
        return quantity // lot * lot

    def _before_the_close(self, intent: Intent, leg: Leg) -> Worked:
        """Pass after pass, at once with the wider cap when the close comes near."""
        wider = fraction(self.config.eod_cap_pct)
        while True:
            was_near = self.legs.closing.is_near(intent)
            worked = self.legs.work(intent, leg, leg.quantity, wider if was_near else None)
            if worked.outcome in _ENDS or not self._goes_on(intent, leg, worked):
                return worked
            if was_near or not self.legs.closing.is_near(intent):
                self.wait(_PAUSE_S)

    def _goes_on(self, intent: Intent, leg: Leg, worked: Worked) -> bool:
        return not worked.halted and not self.legs.is_over(intent, leg)


@dataclass(frozen=True, slots=True)
class SingleLegExecutor:
    """Works operations of one leg: a future's."""

    entries: EntryLegs
    chaser: ExitChaser
    unwinder: Unwinder

    def enter(self, intent: Intent, leg: Leg) -> Worked:
        """Have it, and give back what is not to be kept of it."""
        tried = Worked(Outcome.NOT_FILLED, 0, "what is not kept is given back")
        if not self.unwinder.is_begun(intent, leg):
            tried = self.entries.first(intent, leg)
            if tried.outcome is Outcome.UNKNOWN:
                return tried
        held = self.unwinder.held(intent, leg)
        kept = self.entries.keeps(leg, held)
        if held > kept:
            undone = self.unwinder.give_back(intent, leg, held - kept)
            if undone.outcome is Outcome.UNKNOWN:
                return undone
            left = self.unwinder.held(intent, leg) - kept
            if left % (leg.quantity // leg.lots):
                return self.unwinder.naked(intent, leg, left, undone.reason)
            if left:
                return Worked(Outcome.CHASING, left, undone.reason)
        if kept == leg.quantity:
            return Worked(Outcome.FILLED, kept)
        outcome = Outcome.PARTLY_FILLED if kept else Outcome.NOT_FILLED
        return Worked(outcome, kept, tried.reason)

    def leave(self, intent: Intent, leg: Leg, most_passes: int | None = None) -> Worked:
        """Chase it to its end."""
        return self.chaser.work(intent, leg, leg.quantity, most_passes)
