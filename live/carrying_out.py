"""An intent is carried out from whatever state it is in, by one owner at a time, to its end.

Beginning, going on and recovering are one function: what is unknown is resolved first, then what
is missing is traded, then what was traded is booked. What is naked, unknown or still chased stays
an active intent, which keeps everything else of that instrument out; it is let go, so that whoever
sweeps up next goes on with it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from core.charges import ChargeSchedule
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.intents import Completion
from core.db_state_manager.records import Intent, Leg
from core.db_state_manager.states import ACTIVE_INTENTS, IntentAction, IntentState, LegPurpose
from core.errors import OutcomeUnknown, Rejected, Retryable
from core.instruments import InstrumentKind, InstrumentSpec
from core.ports import Clock
from live.booking import Booker, Booking
from live.executors import Executors
from live.order_executor import Outcome, Worked
from live.order_search import OrderSearch
from live.roll_booking import RollBooker

_PLANNED = (LegPurpose.OPEN, LegPurpose.CLOSE)
# Why an intent is not ours to carry out: somebody else has it, or had it.
TAKEN_OVER = ("INTENT_HELD", "INTENT_ENDED", "FENCED")
UNRESOLVED = (Outcome.NAKED, Outcome.UNKNOWN, Outcome.CHASING)


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """How the work ended, and what was booked; None where nothing could be booked (yet)."""

    outcome: Outcome
    reason: str
    completion: Completion | None


class IntentCarrier:
    """Carries out entries, exits and rolls for one owner."""

    def __init__(
        self,
        store: DatabaseStateManager,
        executors: Mapping[str, Executors],
        search: OrderSearch,
        specs: Mapping[str, InstrumentSpec],
        charges: ChargeSchedule,
        clock: Clock,
        owner: str,
        lease_s: float = 30.0,
    ) -> None:
        """`owner` is the sender's; somebody else renews its leases while the work goes on."""
        self._store = store
        self._executors = executors
        self._search = search
        self._specs = specs
        self._charges = charges
        self._clock = clock
        self._owner = owner
        self._lease_s = lease_s

    def carry_out(self, intent: Intent, most_passes: int | None = None) -> CarriedOut:
        """Bring an intent to its end, or as far as it goes now.

        An exit is chased until it is filled, or through `most_passes` of each leg. Raises Rejected
        for an intent that has ended (INTENT_ENDED), that another owner works (INTENT_HELD) or has
        taken meanwhile (FENCED), and what the database raises; then the intent is as a crash would
        have left it, for the next one to carry on.
        """
        with self._holding(intent):
            intent = self._store.intent(intent.id)
            if intent.state is IntentState.RESERVED:
                self._store.move_intent(intent.id, IntentState.WORKING, owner=self._owner)
            elif unknown := self._search.resolve(intent):
                reason = "; ".join(unknown.values())
                self._store.leave_unknown(intent.id, list(unknown), reason, self._owner)
                return CarriedOut(Outcome.UNKNOWN, reason, None)
            else:
                self._store.settle_unknown(intent.id, self._owner)
            worked = self._work(intent, most_passes)
            if worked.outcome in UNRESOLVED:
                return CarriedOut(worked.outcome, worked.reason, None)
            return CarriedOut(worked.outcome, worked.reason, self._finish(intent, worked.reason))

    @contextmanager
    def _holding(self, intent: Intent) -> Iterator[None]:
        """Own the intent meanwhile."""
        if not self._store.take_intent(intent.id, self._owner, self._lease_s):
            state = self._store.intent(intent.id).state
            if state in ACTIVE_INTENTS:
                raise Rejected("INTENT_HELD", f"intent {intent.id} is worked by another owner")
            raise Rejected("INTENT_ENDED", f"intent {intent.id} has ended: {state}")
        try:
            yield
        finally:
            self._let_go(intent)

    def _let_go(self, intent: Intent) -> None:
        try:
            self._store.release_intent(intent.id, self._owner)
        except (Retryable, OutcomeUnknown):
            return  # The lease ends by itself.

    def _finish(self, intent: Intent, reason: str) -> Completion | None:
        """Book what the legs came to; None, and the intent cancelled, where nothing was traded."""
        legs = self._store.legs(intent.id)
        if not any(leg.filled_quantity for leg in legs):
            self._store.cancel_intent(intent.id, reason, self._owner)
            return None
        try:
            booking = self._booking(intent, legs, reason)
        except Rejected:
            # Whoever took it over meanwhile may have booked it: then that is what is said.
            self._store.check_owner(intent.id, self._owner)
            raise
        return self._store.complete_intent(
            intent.id, booking.events, booking.beside, self._owner, reason
        )

    def _work(self, intent: Intent, most_passes: int | None) -> Worked:
        """Contract after contract; what cannot be had of one does not keep the next from it."""
        is_synthetic = self._specs[intent.instrument].kind is InstrumentKind.SYNTHETIC
        size = 2 if is_synthetic else 1
        planned = [leg for leg in self._store.legs(intent.id) if leg.purpose in _PLANNED]
        if intent.action is IntentAction.ROLL:
            near = [leg for leg in planned if leg.purpose is LegPurpose.CLOSE]
            far = [leg for leg in planned if leg.purpose is LegPurpose.OPEN]
            pairs = [near[place : place + size] for place in range(0, len(near), size)]
            return self._executors[intent.instrument].rolls.work(intent, pairs, far, most_passes)
        had: list[Worked] = []
        for place in range(0, len(planned), size):
            worked = self._work_contract(intent, planned[place : place + size], most_passes)
            if worked.outcome in UNRESOLVED:
                return worked
            had.append(worked)
        quantity = sum(worked.quantity for worked in had)
        reason = "; ".join(worked.reason for worked in had if worked.reason)
        if quantity and all(worked.outcome is Outcome.FILLED for worked in had):
            return Worked(Outcome.FILLED, quantity)
        return Worked(Outcome.PARTLY_FILLED if quantity else Outcome.NOT_FILLED, quantity, reason)

    def _work_contract(self, intent: Intent, legs: list[Leg], most_passes: int | None) -> Worked:
        executors = self._executors[intent.instrument]
        is_entry = intent.action is IntentAction.ENTRY
        if len(legs) == 1:
            (leg,) = legs
            if is_entry:
                return executors.single.enter(intent, leg)
            return executors.single.leave(intent, leg, most_passes)
        first, second = legs
        if is_entry:
            return executors.synthetic.enter(intent, first, second)
        return executors.synthetic.leave(intent, first, second, most_passes)

    def _booking(self, intent: Intent, legs: list[Leg], reason: str) -> Booking:
        filled = Counter(
            order.leg_id for order in self._store.orders(intent.id) if order.filled_quantity
        )
        booker = Booker(self._specs[intent.instrument], self._charges, filled)
        at = self._clock.now()
        if intent.action is IntentAction.ENTRY:
            return booker.entry(intent, legs, at)
        held = self._store.held_legs(intent.instrument)
        if intent.action is IntentAction.ROLL:
            layers = self._store.load_book()[intent.instrument].layers
            return RollBooker(booker, intent, at, reason).book(legs, held, layers)
        return booker.exit(intent, legs, held, at)
