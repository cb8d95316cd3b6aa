"""An intent is carried out to its end: worked, then booked or cancelled, or left for a look.

What is naked or unknown stays an active intent, which keeps everything else of that instrument
out until it is resolved.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from core.charges import ChargeSchedule
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.intents import Completion
from core.db_state_manager.records import Intent, Leg
from core.db_state_manager.states import IntentAction, IntentState
from core.errors import Rejected
from core.instruments import InstrumentKind, InstrumentSpec
from core.ports import Clock
from live.booking import Booker, Booking
from live.order_executor import Outcome, SimpleLimitExecutor, SyntheticFuturesExecutor, Worked

_UNRESOLVED = (Outcome.NAKED, Outcome.UNKNOWN)


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """How the work ended, and what was booked; None where nothing could be booked (yet)."""

    outcome: Outcome
    reason: str
    completion: Completion | None


class IntentCarrier:
    """Carries out entries and exits. Rolls are carried out elsewhere."""

    def __init__(
        self,
        store: DatabaseStateManager,
        leg_executor: SimpleLimitExecutor,
        specs: Mapping[str, InstrumentSpec],
        charges: ChargeSchedule,
        clock: Clock,
    ) -> None:
        self._store = store
        self._single = leg_executor
        self._synthetic = SyntheticFuturesExecutor(store, leg_executor)
        self._specs = specs
        self._charges = charges
        self._clock = clock

    def carry_out(self, intent: Intent) -> CarriedOut:
        """Work a reserved intent. Raises Rejected for one that has been begun or ended before."""
        is_new = self._store.intent(intent.id).state is IntentState.RESERVED
        if not is_new or not self._store.move_intent(intent.id, IntentState.WORKING):
            raise Rejected("INTENT_BEGUN", f"intent {intent.id} has been begun: resolve it")
        worked = self._work(intent)
        if worked.outcome in _UNRESOLVED:
            return CarriedOut(worked.outcome, worked.reason, None)
        return CarriedOut(worked.outcome, worked.reason, self.finish(intent, worked.reason))

    def finish(self, intent: Intent, reason: str) -> Completion | None:
        """Book what the legs came to; None, and the intent cancelled, where nothing was traded."""
        legs = self._store.legs(intent.id)
        if not any(leg.filled_quantity for leg in legs):
            self._store.cancel_intent(intent.id, reason)
            return None
        booking = self._booking(intent, legs)
        return self._store.complete_intent(intent.id, booking.events, booking.beside)

    def _work(self, intent: Intent) -> Worked:
        """Contract after contract; what cannot be had of one does not keep the next from it."""
        legs = self._store.legs(intent.id)
        is_synthetic = self._specs[intent.instrument].kind is InstrumentKind.SYNTHETIC
        size = 2 if is_synthetic else 1
        had: list[Worked] = []
        for place in range(0, len(legs), size):
            worked = self._work_contract(intent, legs[place : place + size])
            if worked.outcome in _UNRESOLVED:
                return worked
            had.append(worked)
        quantity = sum(worked.quantity for worked in had)
        reason = "; ".join(worked.reason for worked in had if worked.reason)
        if quantity and all(worked.outcome is Outcome.FILLED for worked in had):
            return Worked(Outcome.FILLED, quantity)
        return Worked(Outcome.PARTLY_FILLED if quantity else Outcome.NOT_FILLED, quantity, reason)

    def _work_contract(self, intent: Intent, legs: list[Leg]) -> Worked:
        if len(legs) == 1:
            return self._single.work(intent, legs[0], legs[0].quantity)
        first, second = legs
        return self._synthetic.work(intent, first, second)

    def _booking(self, intent: Intent, legs: list[Leg]) -> Booking:
        booker, at = Booker(self._specs[intent.instrument], self._charges), self._clock.now()
        if intent.action is IntentAction.ENTRY:
            return booker.entry(intent, legs, at)
        return booker.exit(intent, legs, self._store.held_legs(intent.instrument), at)
