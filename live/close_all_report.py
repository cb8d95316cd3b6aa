"""How far a close-all is, by layer: what our book holds of it, and what the broker's book shows.

What was sent is not what counts. A contract is flat when the broker's book holds nothing of it; a
book that could not be read, or is too empty to be believed, is unknown and never flat.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.closings import CLOSE_ALL, ClosedLayer, Closing
from core.db_state_manager.intents import ORDER_UNKNOWN
from core.db_state_manager.records import InstrumentLock, Intent, Leg, LegPlan
from core.db_state_manager.states import IntentState, LegPurpose, Side
from core.ports import Clock
from live.reconciliation import BROKER_DIFFERS, ComparedLeg, Comparison, Reconciler
from live.recovery import BOOKS_DISAGREE

STOPPING_LOCKS = (ORDER_UNKNOWN, BROKER_DIFFERS, BOOKS_DISAGREE)
_LOOKS = 3


class ClosingState(StrEnum):
    """DRY_RUN: nothing was sent. WORKING: it goes on by itself. LOCKED: it waits for a person, and
    `reason` says for what. FLAT: neither book holds anything. HELD: nothing is being closed, and
    something is held, or nobody knows."""

    DRY_RUN = "DRY_RUN"
    WORKING = "WORKING"
    LOCKED = "LOCKED"
    FLAT = "FLAT"
    HELD = "HELD"


@dataclass(frozen=True, slots=True)
class LegStanding:
    """A contract of a layer: our part of it, and all that the broker holds of it, signed.

    `brokers` is None where nobody knows.
    """

    symbol: str
    exchange: str
    ours: int
    brokers: int | None


@dataclass(frozen=True, slots=True)
class LayerClosing:
    """A layer: the lots that were to be closed, and those that are still held by our book."""

    position_id: str
    lots: int
    lots_left: int
    legs: tuple[LegStanding, ...]


@dataclass(frozen=True, slots=True)
class InstrumentClosing:
    """How the closing of an instrument stands. `is_flat` is None where the broker does not say.

    `broker` are all contracts of the instrument that either book holds; one that is tagged as
    somebody else's may stay. `sends` is what a dry run would send.
    """

    instrument: str
    outcome: ClosingState
    reason: str
    is_flat: bool | None
    layers: tuple[LayerClosing, ...]
    broker: tuple[ComparedLeg, ...]
    sends: tuple[LegPlan, ...] = ()


@dataclass(frozen=True, slots=True)
class Standings:
    """Looks at both books."""

    store: DatabaseStateManager
    reconciler: Reconciler
    clock: Clock

    def compared(self) -> Comparison:
        """Both books, looked at again where something moved, or seemed too empty."""
        seen = self.reconciler.look()
        for _ in range(_LOOKS - 1):
            if not seen.unknown:
                break
            seen = self.reconciler.look()
        return seen

    def of(self, instruments: Iterable[str]) -> tuple[InstrumentClosing, ...]:
        """How each of those stands, and each that the broker holds, or may hold, beside them."""
        closings = {closing.instrument: closing for closing in self.store.last_closings()}
        seen = self.compared()
        wanted = sorted({*instruments, *self._there(seen)})
        return tuple(self._one(name, closings.get(name), seen) for name in wanted)

    def _there(self, seen: Comparison) -> set[str]:
        """Instruments of which the broker's book holds something that is nobody else's."""
        if seen.unknown:
            return set(self.reconciler.catalog)
        return {leg.instrument for leg in seen.legs if leg.brokers and not leg.tagged}

    def _one(self, name: str, closing: Closing | None, seen: Comparison) -> InstrumentClosing:
        layers = self._layers(name, closing, seen)
        broker = of_instrument(seen, name)
        flat = None if seen.unknown else is_flat(broker)
        outcome, reason = self._state(name, closing, layers, flat)
        if seen.unknown:
            reason = "; ".join(
                filter(None, (reason, f"the broker's part is unknown: {seen.unknown}"))
            )
        return InstrumentClosing(name, outcome, reason, flat, layers, broker)

    def _state(
        self,
        name: str,
        closing: Closing | None,
        layers: Sequence[LayerClosing],
        flat: bool | None,
    ) -> tuple[ClosingState, str]:
        """Where it stands, and why."""
        locks = [lock for lock in self.store.instrument_locks() if lock.instrument == name]
        stops = [lock for lock in locks if lock.code in STOPPING_LOCKS]
        busy = self.store.active_intent(name)
        is_held = busy is not None or any(layer.lots_left for layer in layers)
        if closing is not None and closing.ended_at is None:
            waits = busy is not None and busy.state is IntentState.UNKNOWN
            state = ClosingState.LOCKED if waits and stops else ClosingState.WORKING
            return state, "; ".join(_told(stops) or [self._doing(busy)])
        if is_held or not flat:
            stuck = closing is not None and bool(stops)
            return (ClosingState.LOCKED if stuck else ClosingState.HELD), "; ".join(_told(stops))
        return ClosingState.FLAT, ""

    def _doing(self, busy: Intent | None) -> str:
        if busy is None:
            return "the next look goes on"
        orders = self.store.orders(busy.id)
        told = busy.reason or (orders[-1].reason if orders else "")
        return f"{busy.action} {busy.id} is {busy.state}" + (f": {told}" if told else "")

    def _layers(
        self, name: str, closing: Closing | None, seen: Comparison
    ) -> tuple[LayerClosing, ...]:
        now = self.clock.now()
        since = now if closing is None else closing.since
        until = now if closing is None or closing.ended_at is None else closing.ended_at
        there = (
            {} if seen.unknown else {(leg.symbol, leg.exchange): leg.brokers for leg in seen.legs}
        )
        return tuple(
            LayerClosing(
                layer.position_id,
                layer.lots + layer.closed_lots,
                layer.lots,
                self._legs(layer, None if seen.unknown else there),
            )
            for layer in self.store.layers_of(name, since, until)
        )

    def _legs(
        self, layer: ClosedLayer, there: Mapping[tuple[str, str], int] | None
    ) -> tuple[LegStanding, ...]:
        legs = [] if layer.intent_id is None else self.store.legs(layer.intent_id)
        return tuple(
            LegStanding(
                leg.symbol,
                leg.exchange,
                _part(leg, layer.lots),
                None if there is None else there.get((leg.symbol, leg.exchange), 0),
            )
            for leg in legs
            if leg.purpose is LegPurpose.OPEN
        )


def of_instrument(seen: Comparison, name: str) -> tuple[ComparedLeg, ...]:
    """The contracts of one instrument that either book holds."""
    return tuple(leg for leg in seen.legs if leg.instrument == name)


def is_flat(broker: Iterable[ComparedLeg]) -> bool:
    """Whether nothing of ours is left there: what is somebody else's may be."""
    return all(leg.ours == 0 and (leg.tagged or leg.brokers == 0) for leg in broker)


def _part(leg: Leg, lots: int) -> int:
    sign = 1 if leg.side is Side.BUY else -1
    return sign * lots * leg.quantity // leg.lots


def _told(locks: Iterable[InstrumentLock]) -> list[str]:
    return [f"locked ({lock.code}): {lock.reason}" for lock in locks if lock.code != CLOSE_ALL]
