"""What closes layers is reserved sooner or later: it waits for its turn and never gives up.

While another operation works on the instrument an exit waits, and calls off an entry that it finds
there, or a roll of all that it closes. The contracts to close are those that are held, read anew
each time it is decided.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from brokers.messages import Contract
from brokers.port import Broker
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.intents import DecisionRequest, Reservation, ReserveResult
from core.db_state_manager.records import Intent, Leg, LegPlan
from core.db_state_manager.states import IntentAction
from core.decision_record import Decision, DecisionCode, LayerClose
from core.errors import Halted, Rejected, Retryable
from core.portfolio_state import PortfolioStateManager
from live.expiry_utils import ContractChooser

BUSY_LOOK_S = 0.05
RETRY_S = 1.0

_LOG = logging.getLogger(__name__)

DecideExit = Callable[[PortfolioStateManager], Decision | None]


class Stopping(Exception):
    """The process is to end: what is not begun goes back to whoever comes next."""


class ExitDesk:
    """Reserves exits."""

    def __init__(
        self,
        store: DatabaseStateManager,
        broker: Broker,
        chooser: ContractChooser,
        pause: Callable[[float], bool],
    ) -> None:
        """`pause` lets so many seconds pass, and is True when the process is to end."""
        self._store = store
        self._broker = broker
        self._chooser = chooser
        self._pause = pause

    def reserve(self, request: DecisionRequest, decide: DecideExit) -> Reservation:
        """What `decide` wants closed, reserved; it may be asked several times. Raises Stopping.

        A stop that was hit before a roll is not judged again on the next contract's levels.
        """
        hit: Decision | None = None

        def again(book: PortfolioStateManager) -> Decision | None:
            return decide(book) if hit is None else _still_held(hit, book)

        while True:
            try:
                reservation = self.attempt(request, again)
            except Retryable as error:
                _LOG.warning("the exit of %s waits: %s", request.instrument, error)
                self.wait(RETRY_S)
                continue
            if reservation.result is not ReserveResult.BUSY:
                return reservation
            hit = hit or _hit_before_a_roll(reservation)
            self.wait(BUSY_LOOK_S)

    def attempt(self, request: DecisionRequest, decide: DecideExit) -> Reservation:
        """One try: BUSY, with what was wanted, where something works; see `_call_off`.

        Raises Retryable.
        """
        wanted: list[Decision | None] = [None]

        def remembered(book: PortfolioStateManager) -> Decision | None:
            wanted[0] = decide(book)
            return wanted[0]

        reservation = self._try(request, remembered)
        if reservation.result is ReserveResult.BUSY:
            self._call_off(reservation.intent, wanted[0])
            return replace(reservation, decision=wanted[0])
        return reservation

    def entry_in_the_way(self, instrument: str, layer: int | None) -> bool:
        """Whether an entry works that would open what is to be closed; it is called off."""
        busy = self._store.active_intent(instrument)
        if busy is None or busy.action is not IntentAction.ENTRY:
            return False
        if layer not in (None, busy.layer):
            return False
        return self._store.request_cancel(busy.id)

    def wait(self, seconds: float) -> None:
        """Let time pass. Raises Stopping."""
        if self._pause(seconds):
            raise Stopping

    def _try(self, request: DecisionRequest, decide: DecideExit) -> Reservation:
        held = self._store.held_legs(request.instrument)
        untold = self._untold(leg for legs in held.values() for leg in legs)

        def plan(decision: Decision) -> tuple[LegPlan, ...]:
            unread = [
                close.position_id for close in decision.closes if close.position_id not in held
            ]
            if unread:
                raise Retryable(f"{', '.join(unread)} was opened meanwhile")
            for close in decision.closes:
                _check_told(held[close.position_id], untold)
            self._check_unmoved(request.instrument, held, decision)
            return self._chooser.exit_legs(held, decision.closes)

        return self._store.decide_and_reserve(request, decide, plan)

    def _check_unmoved(
        self, instrument: str, held: Mapping[str, Sequence[Leg]], decision: Decision
    ) -> None:
        """Raise Retryable for a layer that a roll has moved since its contracts were read.

        Asked while the account is locked, so that nothing is booked meanwhile.
        """
        now = self._store.held_legs(instrument)
        for close in decision.closes:
            before, since = (each.get(close.position_id, ()) for each in (held, now))
            if [leg.symbol for leg in before] != [leg.symbol for leg in since]:
                raise Retryable(f"{close.position_id} was rolled meanwhile")

    def _untold(self, legs: Iterable[Leg]) -> dict[str, str]:
        """Why today's master does not tell of contracts; read here, and not while deciding.

        A gateway that refuses us (nobody has logged in yet, say) puts an exit off and never ends
        it; a contract that is gone (expired) puts off no exit of others.
        """
        untold = {}
        for leg in legs:
            try:
                self._broker.symbol(Contract(leg.symbol, leg.exchange))
            except (Rejected, Halted) as error:
                untold[leg.symbol] = str(error)
        return untold

    def _call_off(self, busy: Intent | None, wanted: Decision | None) -> None:
        """Call off an entry, and a roll of which nothing would stay; of others, wait for the end.

        A roll is then not opened again, and the exit finds closed what it was to close.
        """
        if busy is None or busy.action is IntentAction.EXIT:
            return
        if busy.action is IntentAction.ROLL and not closes_all(busy, wanted):
            return
        self._store.request_cancel(busy.id)


def _check_told(legs: Iterable[Leg], untold: Mapping[str, str]) -> None:
    """Raise Retryable for a contract that the master does not tell of."""
    for leg in legs:
        if why := untold.get(leg.symbol):
            raise Retryable(f"the master does not tell of {leg.symbol}: {why}")


def _hit_before_a_roll(reservation: Reservation) -> Decision | None:
    """The stop that was hit while a roll worked, if it was one."""
    busy, wanted = reservation.intent, reservation.decision
    is_roll = busy is not None and busy.action is IntentAction.ROLL
    is_stop = wanted is not None and wanted.code is DecisionCode.STOP_HIT
    return wanted if is_roll and is_stop else None


def _still_held(hit: Decision, book: PortfolioStateManager) -> Decision | None:
    """The same stop, of the layers of it that are still held, whole."""
    wanted = {close.position_id for close in hit.closes}
    layers = [layer for layer in book[hit.instrument].layers if layer.id in wanted]
    closes = tuple(LayerClose(layer.id, layer.layer, layer.lots) for layer in layers)
    return replace(hit, closes=closes) if closes else None


def closes_all(roll: Intent, wanted: Decision | None) -> bool:
    """Whether an exit closes every layer that a roll moves."""
    closing = set() if wanted is None else {close.position_id for close in wanted.closes}
    return {each.position_id for each in roll.decision.rolls} <= closing
