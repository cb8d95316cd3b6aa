"""The operator's way out: every layer of every instrument is closed, until the broker says it is.

Whatever the kill switch says, this passes. What is being closed is locked for entries before
anything is sent, and that lock is what goes on with it: over faults, and after a crash, until
neither book holds anything, or until something stands in the way that only a person can settle.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from contextvars import copy_context
from dataclasses import replace
from datetime import timedelta

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.closings import CLOSE_ALL, Closing
from core.db_state_manager.intents import DecisionRequest
from core.db_state_manager.records import Intent
from core.db_state_manager.states import IntentAction, IntentSource
from core.decision_record import Decision, DecisionCode, LayerClose
from core.errors import PortfolioError
from core.models import Position, SignalType
from core.portfolio_state import PortfolioStateManager
from core.ports import Clock
from live.carrying_out import IntentCarrier
from live.close_all_report import (
    STOPPING_LOCKS,
    ClosingState,
    InstrumentClosing,
    Standings,
    is_flat,
    of_instrument,
)
from live.exits import BUSY_LOOK_S, DecideExit, ExitDesk, Stopping
from live.expiry_utils import ContractChooser
from live.sending import CALLED_OFF

# The event that tells how a close-all of an instrument ended.
CLOSE_ALL_ENDED = "CLOSE_ALL_ENDED"

_LOG = logging.getLogger(__name__)
_AGAIN_AFTER = timedelta(seconds=10)

InHand = Callable[[], AbstractContextManager[str]]


class CloseAll:
    """Closes everything."""

    def __init__(
        self,
        store: DatabaseStateManager,
        standings: Standings,
        chooser: ContractChooser,
        exits: ExitDesk,
        carriers: Callable[[str], IntentCarrier],
        clock: Clock,
        in_hand: InHand,
        lease_s: float,
        patience_s: float = 10.0,
    ) -> None:
        """`in_hand` gives an owner whose leases are renewed. `run` answers by `patience_s`."""
        self._store = store
        self._standings = standings
        self._chooser = chooser
        self._exits = exits
        self._carriers = carriers
        self._clock = clock
        self._in_hand = in_hand
        self._lease_s = lease_s
        self._patience_s = patience_s

    def rehearse(self) -> tuple[InstrumentClosing, ...]:
        """What would be sent, by instrument; nothing is. Raises what the broker's master raises."""
        held = self._held()
        stands = {each.instrument: each for each in self._standings.of(held)}
        return tuple(self._rehearsed(stands[name], held.get(name, ())) for name in stands)

    def run(self, reason: str, who: str) -> tuple[InstrumentClosing, ...]:
        """Close every layer; what is not closed by the answer is gone on with."""
        names = list(self._held())
        for name in names:
            self._store.lock_instrument(name, CLOSE_ALL, f"close-all by {who}: {reason}", who)
        if names:
            pool = ThreadPoolExecutor(len(names), thread_name_prefix="close-all")
            works = [pool.submit(copy_context().run, self._close, name) for name in names]
            wait(works, timeout=self._patience_s)
            pool.shutdown(wait=False)
        return self._standings.of(names)

    def look(self) -> tuple[InstrumentClosing, ...]:
        """How every instrument stands that holds something, or was closed the last time."""
        asked = {closing.instrument for closing in self._store.last_closings()}
        return self._standings.of(asked | self._held().keys())

    def go_on(self, owner: str) -> None:
        """One look after each close-all that has not ended; an error keeps no other from its turn.

        Raises Stopping when the process is to end.
        """
        for closing in self._under_way():
            try:
                self._go_on(closing, owner)
            except PortfolioError as error:
                _LOG.warning("close-all of %s waits: %s", closing.instrument, error)

    # What is held

    def _held(self) -> Mapping[str, list[Position]]:
        """Layers by instrument; an entry that is on its way may hold something without a layer."""
        held: dict[str, list[Position]] = {}
        for intent in self._store.active_intents():
            if intent.action is IntentAction.ENTRY:
                held[intent.instrument] = []
        for layer in self._store.load_book().layers():
            held.setdefault(layer.instrument, []).append(layer)
        return held

    def _rehearsed(
        self, standing: InstrumentClosing, layers: Sequence[Position]
    ) -> InstrumentClosing:
        name = standing.instrument
        sends = self._chooser.exit_legs(self._store.held_legs(name), map(_whole, layers))
        held = {layer.id for layer in layers}
        shown = tuple(layer for layer in standing.layers if layer.position_id in held)
        state, told = ClosingState.DRY_RUN, "nothing was sent"
        if standing.is_flat is None:
            told = f"{told}; {standing.reason}"
        return replace(standing, outcome=state, reason=told, layers=shown, sends=sends)

    def _under_way(self) -> list[Closing]:
        return [each for each in self._store.last_closings() if each.ended_at is None]

    # What is done

    def _close(self, instrument: str) -> None:
        """The first try; what it leaves, the recovery and `go_on` bring to its end."""
        closing = next((each for each in self._under_way() if each.instrument == instrument), None)
        if closing is None:
            return
        with self._in_hand() as owner:
            try:
                intent = self._reserved(self._request(instrument, owner), _closes(closing))
                if intent is not None:
                    self._carriers(owner).carry_out(intent)
                self._end_if_done(closing)
            except (PortfolioError, Stopping) as error:
                _LOG.error("close-all of %s goes on later: %s", instrument, error)

    def _go_on(self, closing: Closing, owner: str) -> None:
        if self._calls_off(closing.instrument) or self._end_if_done(closing):
            return
        if self._store.active_intent(closing.instrument) is not None:
            return
        ended = self._store.operator_exit_ended(closing.instrument, closing.since)
        if ended is not None and self._clock.now() - ended < _AGAIN_AFTER:
            return
        request = self._request(closing.instrument, owner)
        found = self._exits.attempt(request, _closes(closing))
        if found.intent is not None:
            # The next pass of the recovery carries it out beside what else there is.
            self._store.release_intent(found.intent.id, owner)

    def _request(self, instrument: str, owner: str) -> DecisionRequest:
        return DecisionRequest(
            instrument, IntentSource.OPERATOR, owner=owner, lease_s=self._lease_s
        )

    def _reserved(self, request: DecisionRequest, decide: DecideExit) -> Intent | None:
        """The exit of what is held once no entry is on its way; those are called off."""
        while True:
            was_entered = self._calls_off(request.instrument)
            intent = self._exits.reserve(request, decide).intent
            is_entered = was_entered or self._calls_off(request.instrument)
            if intent is not None or not is_entered:
                return intent
            self._exits.wait(BUSY_LOOK_S)

    def _calls_off(self, instrument: str) -> bool:
        """Whether an entry is on its way; what it has may then be given back although HALTED.

        A roll may then close what it has begun to close.
        """
        busy = self._store.active_intent(instrument)
        if busy is not None and busy.action is not IntentAction.EXIT:
            key = {"intent_id": busy.id}
            self._store.tell_once(CALLED_OFF, instrument, key, key)
        return self._exits.entry_in_the_way(instrument, None)

    def _end_if_done(self, closing: Closing) -> bool:
        """End it where nothing is held any more, or where only a person can settle what is."""
        name = closing.instrument
        if self._store.active_intent(name) is not None:
            return False
        seen = self._standings.compared()
        if seen.unknown:
            return False
        layers = self._store.load_book()[name].layers
        if not layers and is_flat(of_instrument(seen, name)):
            return self._end(closing, ClosingState.FLAT, "")
        tried = self._store.operator_exit_ended(name, closing.since) is not None
        if not (tried or not layers):
            return False
        # A lock for a difference that is gone is released by this very look.
        self._standings.reconciler.run()
        reasons = [
            lock.reason
            for lock in self._store.instrument_locks()
            if lock.instrument == name and lock.code in STOPPING_LOCKS
        ]
        return bool(reasons) and self._end(closing, ClosingState.LOCKED, "; ".join(reasons))

    def _end(self, closing: Closing, outcome: ClosingState, reason: str) -> bool:
        name = closing.instrument
        if self._store.unlock_instrument(name, CLOSE_ALL, f"close-all: {outcome}"):
            told = {"outcome": outcome, "reason": reason, "asked": closing.reason}
            self._store.append_outbox(CLOSE_ALL_ENDED, name, told)
        return True


def _closes(closing: Closing) -> DecideExit:
    def decide(book: PortfolioStateManager) -> Decision | None:
        return _close_layers(closing.instrument, book[closing.instrument].layers, closing.reason)

    return decide


def _whole(layer: Position) -> LayerClose:
    return LayerClose(layer.id, layer.layer, layer.lots)


def _close_layers(instrument: str, layers: Sequence[Position], why: str) -> Decision | None:
    if not layers:
        return None
    return Decision(
        code=DecisionCode.EXIT,
        reason=why,
        instrument=instrument,
        type=SignalType.EXIT,
        closes=tuple(map(_whole, layers)),
    )
