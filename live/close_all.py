"""The operator's way out: every layer of every instrument is closed, and the broker says if it is.

Whatever the kill switch says, this passes. What was sent is not what counts: a contract is flat
when the broker's own book, read afterwards, holds nothing of it; a book that cannot be read is
reported as unknown and never as flat.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from contextvars import copy_context
from dataclasses import dataclass

from brokers.messages import Contract
from brokers.port import Broker
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.intents import DecisionRequest
from core.db_state_manager.records import Intent, Leg, LegPlan
from core.db_state_manager.states import IntentAction, IntentSource
from core.decision_record import Decision, DecisionCode, LayerClose
from core.errors import PortfolioError
from core.models import Position, SignalType
from core.portfolio_state import PortfolioStateManager
from live.carrying_out import IntentCarrier
from live.exits import BUSY_LOOK_S, DecideExit, ExitDesk, Stopping
from live.expiry_utils import ContractChooser
from live.sending import CALLED_OFF

DRY_RUN, WORKING, NOTHING_HELD, FAILED = "DRY_RUN", "WORKING", "NOTHING_HELD", "FAILED"

_LOG = logging.getLogger(__name__)

InHand = Callable[[], AbstractContextManager[str]]


@dataclass(frozen=True, slots=True)
class ContractStanding:
    """What the broker's book holds of a contract; None where it could not be read."""

    contract: Contract
    quantity: int | None


@dataclass(frozen=True, slots=True)
class LayerClosing:
    """A layer that was held, and the lots of it that are still held in our books."""

    position_id: str
    lots: int
    lots_left: int


@dataclass(frozen=True, slots=True)
class InstrumentClosing:
    """How an instrument's closing went.

    `outcome` is the work's (FILLED, PARTLY_FILLED, NOT_FILLED, NAKED, UNKNOWN), or DRY_RUN, or
    WORKING while it goes on, or NOTHING_HELD, or FAILED. `is_flat` is None where the broker does
    not say. `sends` is what a dry run would send.
    """

    instrument: str
    outcome: str
    reason: str
    is_flat: bool | None
    layers: tuple[LayerClosing, ...]
    broker: tuple[ContractStanding, ...]
    sends: tuple[LegPlan, ...] = ()


class CloseAll:
    """Closes everything."""

    def __init__(
        self,
        store: DatabaseStateManager,
        broker: Broker,
        chooser: ContractChooser,
        exits: ExitDesk,
        carriers: Callable[[str], IntentCarrier],
        in_hand: InHand,
        lease_s: float,
        patience_s: float = 60.0,
    ) -> None:
        """`in_hand` gives an owner whose leases are renewed. The answer comes by `patience_s`."""
        self._store = store
        self._broker = broker
        self._chooser = chooser
        self._exits = exits
        self._carriers = carriers
        self._in_hand = in_hand
        self._lease_s = lease_s
        self._patience_s = patience_s

    def rehearse(self) -> tuple[InstrumentClosing, ...]:
        """What would be sent, by instrument; nothing is. Raises what the broker's master raises."""
        return tuple(self._rehearsed(name, layers) for name, layers in self._held().items())

    def run(self, reason: str, who: str) -> tuple[InstrumentClosing, ...]:
        """Close every layer. What goes on after the patience is reported as WORKING."""
        held = self._held()
        legs = {name: self._traded_legs(name) for name in held}
        pool = ThreadPoolExecutor(max(len(held), 1), thread_name_prefix="close-all")
        why = f"close-all by {who}: {reason}"
        works = {name: pool.submit(copy_context().run, self._close, name, why) for name in held}
        wait(works.values(), timeout=self._patience_s)
        pool.shutdown(wait=False)
        return tuple(
            self._report(name, layers, legs[name], works[name]) for name, layers in held.items()
        )

    def _held(self) -> Mapping[str, list[Position]]:
        """Layers by instrument; an entry that is on its way may hold something without a layer."""
        held: dict[str, list[Position]] = {}
        for intent in self._store.active_intents():
            if intent.action is IntentAction.ENTRY:
                held[intent.instrument] = []
        for layer in self._store.load_book().layers():
            held.setdefault(layer.instrument, []).append(layer)
        return held

    def _traded_legs(self, instrument: str) -> Mapping[str, Sequence[Leg]]:
        """The legs of each layer, and those of an entry that is on its way."""
        legs: dict[str, Sequence[Leg]] = dict(self._store.held_legs(instrument))
        busy = self._store.active_intent(instrument)
        if busy is not None and busy.action is IntentAction.ENTRY:
            legs[f"intent {busy.id}"] = self._store.legs(busy.id)
        return legs

    def _close(self, instrument: str, why: str) -> tuple[str, str]:
        """Its outcome and the reason, in words."""

        def decide(book: PortfolioStateManager) -> Decision | None:
            return _close_layers(instrument, book[instrument].layers, why)

        with self._in_hand() as owner:
            request = DecisionRequest(
                instrument, IntentSource.OPERATOR, owner=owner, lease_s=self._lease_s
            )
            try:
                intent = self._reserved(request, decide)
                if intent is None:
                    return NOTHING_HELD, "closed meanwhile"
                carried = self._carriers(owner).carry_out(intent)
            except (PortfolioError, Stopping) as error:
                _LOG.error("close-all of %s: %s", instrument, error)
                return FAILED, str(error) or "the service is stopping"
            return carried.outcome, carried.reason

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
        """Whether an entry is on its way; what it has may then be given back although HALTED."""
        busy = self._store.active_intent(instrument)
        if busy is not None and busy.action is IntentAction.ENTRY:
            key = {"intent_id": busy.id}
            self._store.tell_once(CALLED_OFF, instrument, key, key)
        return self._exits.entry_in_the_way(instrument, None)

    def _rehearsed(self, instrument: str, layers: Sequence[Position]) -> InstrumentClosing:
        legs = self._store.held_legs(instrument)
        sends = self._chooser.exit_legs(legs, map(_whole, layers))
        closings = tuple(LayerClosing(layer.id, layer.lots, layer.lots) for layer in layers)
        broker = self._standings(self._traded_legs(instrument))
        reason = "nothing was sent"
        return InstrumentClosing(
            instrument, DRY_RUN, reason, _is_flat(broker), closings, broker, sends
        )

    def _report(
        self,
        instrument: str,
        layers: Sequence[Position],
        legs: Mapping[str, Sequence[Leg]],
        work: "Future[tuple[str, str]]",
    ) -> InstrumentClosing:
        outcome, reason = work.result() if work.done() else (WORKING, "it goes on: look again")
        left = {layer.id: layer.lots for layer in self._store.load_book()[instrument].layers}
        closings = tuple(
            LayerClosing(layer.id, layer.lots, left.get(layer.id, 0)) for layer in layers
        )
        broker = self._standings(legs)
        return InstrumentClosing(instrument, outcome, reason, _is_flat(broker), closings, broker)

    def _standings(self, legs: Mapping[str, Sequence[Leg]]) -> tuple[ContractStanding, ...]:
        contracts = dict.fromkeys(
            Contract(leg.symbol, leg.exchange) for each in legs.values() for leg in each
        )
        try:
            rows = self._broker.positionbook()
        except PortfolioError as error:
            _LOG.error("the broker's positions cannot be read: %s", error)
            return tuple(ContractStanding(contract, None) for contract in contracts)
        return tuple(
            ContractStanding(
                contract, sum(row.quantity for row in rows if row.contract == contract)
            )
            for contract in contracts
        )


def _is_flat(broker: Sequence[ContractStanding]) -> bool | None:
    if any(standing.quantity is None for standing in broker):
        return None
    return all(standing.quantity == 0 for standing in broker)


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
