"""Our books are held against the broker's; what differs is locked for entries and told, once.

It only looks, locks and unlocks: nothing in it trades or books. A book that could not be read, that
moved while it was read, or that is empty where money is in use, is no answer, and changes nothing.
Instruments that are being worked on are left out until that has ended.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction

from brokers.messages import Contract, OrderRow, PositionRow, Product
from brokers.port import Broker
from core.db_state_manager import DatabaseStateManager
from core.errors import PortfolioError
from core.instruments import InstrumentCatalog
from core.ports import Clock
from core.reconciliation import (
    BrokerView,
    Difference,
    HeldLeg,
    OurView,
    RestingOrder,
    compare,
    instrument_of,
)
from live.lot_units import is_restated

BROKER_DIFFERS = "BROKER_DIFFERS"
_WHO = "reconciliation"
_LOOKS_BEFORE_EMPTY = 2
_DAYS_OF_ORDERS = timedelta(days=4)

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ComparedLeg:
    """A contract of our instruments as it is by our fills and at the broker; signed quantities."""

    instrument: str
    symbol: str
    exchange: str
    ours: int
    brokers: int
    tagged: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """One look. `unknown` says why there is no answer; then there are no differences either.

    `busy` are instruments that were left out because something is being done with them.
    """

    at: datetime
    unknown: str
    busy: tuple[str, ...]
    legs: tuple[ComparedLeg, ...]
    differences: tuple[Difference, ...]

    @property
    def agrees(self) -> bool | None:
        """Whether the books agree; None where that is not known."""
        return None if self.unknown else not self.differences


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A look, and the instruments it locked and unlocked."""

    comparison: Comparison
    locked: tuple[str, ...] = ()
    unlocked: tuple[str, ...] = ()


class _NoAnswer(Exception):
    """The books cannot be compared now."""


@dataclass(slots=True)
class Reconciler:
    """Compares for one account at one broker."""

    store: DatabaseStateManager
    broker: Broker
    broker_name: str
    catalog: InstrumentCatalog
    clock: Clock
    _empty_looks: int = field(default=0, init=False)

    def look(self) -> Comparison:
        """Compare, and change nothing. Raises what the database raises."""
        now = self.clock.now()
        before = self._busy()
        try:
            ours, broker = self._views(now)
        except _NoAnswer as error:
            return Comparison(now, str(error), tuple(sorted(before)), (), ())
        # What began meanwhile may have filled at the broker and not yet with us.
        busy = tuple(sorted(before | self._busy()))
        found = compare(ours, broker)
        differences = tuple(each for each in found if each.instrument not in busy)
        return Comparison(now, "", busy, _legs(ours, broker), differences)

    def run(self) -> Reconciled:
        """Compare; lock what differs, unlock what agrees again."""
        seen = self.look()
        if seen.unknown:
            _LOG.warning("the books could not be compared: %s", seen.unknown)
            return Reconciled(seen)
        by_instrument: dict[str, list[Difference]] = {}
        for difference in seen.differences:
            by_instrument.setdefault(difference.instrument, []).append(difference)
        locked = tuple(
            instrument
            for instrument, found in by_instrument.items()
            if self.store.lock_instrument(
                instrument, BROKER_DIFFERS, "; ".join(map(str, found)), _WHO
            )
        )
        agreeing = [
            lock.instrument
            for lock in self.store.instrument_locks()
            if lock.code == BROKER_DIFFERS
            and lock.instrument not in by_instrument
            and lock.instrument not in seen.busy
        ]
        unlocked = tuple(
            instrument
            for instrument in agreeing
            if self.store.unlock_instrument(instrument, BROKER_DIFFERS, _WHO)
        )
        if locked or unlocked:
            _LOG.warning("locked %s, unlocked %s", locked, unlocked)
        return Reconciled(seen, locked, unlocked)

    def ours(self) -> tuple[HeldLeg, ...]:
        """What our fills came to, in what the broker sends a lot as today.

        Raises what the broker's master raises.
        """
        held: dict[tuple[str, str], Fraction] = {}
        for filled in self.store.filled_by_lot_size():
            contract = (filled.symbol, filled.exchange)
            unit = filled.lot_size if self._is_restated(contract) else 1
            held[contract] = held.get(contract, Fraction(0)) + Fraction(filled.quantity, unit)
        return tuple(
            HeldLeg(*contract, int(count * self._unit_today(contract)))
            for contract, count in sorted(held.items())
            if count
        )

    def _unit_today(self, contract: tuple[str, str]) -> int:
        if not self._is_restated(contract):
            return 1
        return self.broker.symbol(Contract(*contract)).lot_size

    def _is_restated(self, contract: tuple[str, str]) -> bool:
        name = instrument_of(roots_of(self.catalog), contract)
        return name is not None and is_restated(self.catalog[name])

    def _busy(self) -> set[str]:
        return {intent.instrument for intent in self.store.active_intents()}

    def _views(self, now: datetime) -> tuple[OurView, BrokerView]:
        before = self.store.held_by_fills()
        try:
            legs = self.ours()
            positions = self.broker.positionbook()
            orders = self.broker.orderbook()
        except PortfolioError as error:
            raise _NoAnswer(f"the broker's books cannot be read: {error}") from error
        self._doubt_emptiness(legs, positions)
        if self.store.held_by_fills() != before:
            raise _NoAnswer("something was filled while the books were read")
        since = (now - _DAYS_OF_ORDERS).date()
        tags = self.store.position_tags(self.broker_name)
        ours = OurView(
            legs,
            self.store.our_order_ids(self.broker_name, since),
            frozenset((tag.symbol, tag.exchange) for tag in tags),
            roots_of(self.catalog),
        )
        return ours, BrokerView(tuple(_held(positions)), tuple(_resting(orders)))

    def _doubt_emptiness(self, legs: Sequence[HeldLeg], positions: Sequence[PositionRow]) -> None:
        """An empty book where we hold something is believed late, and never while money is used."""
        if not legs or any(row.quantity for row in positions):
            self._empty_looks = 0
            return
        try:
            utilised = self.broker.funds().utilised_inr
        except PortfolioError as error:
            raise _NoAnswer(f"an empty book, and funds cannot be read: {error}") from error
        if utilised:
            raise _NoAnswer(f"an empty book, though ₹{utilised} are in use there")
        self._empty_looks += 1
        if self._empty_looks < _LOOKS_BEFORE_EMPTY:
            raise _NoAnswer("an empty book, which another look has to confirm")


def roots_of(catalog: InstrumentCatalog) -> Mapping[tuple[str, str], str]:
    """Our instruments by the broker's exchange and the root of their symbols."""
    return {(spec.broker_exchange, spec.root): name for name, spec in catalog.items()}


def _held(positions: Sequence[PositionRow]) -> list[HeldLeg]:
    """What is carried over night; other products are others'."""
    return [
        HeldLeg(row.contract.symbol, row.contract.exchange, row.quantity)
        for row in positions
        if row.product in (None, Product.NRML)
    ]


def _resting(orders: Sequence[OrderRow]) -> list[RestingOrder]:
    return [
        RestingOrder(
            row.order_id,
            row.contract.symbol,
            row.contract.exchange,
            row.action.value,
            row.quantity,
        )
        for row in orders
        if not row.status.is_final and row.product in (None, Product.NRML)
    ]


def _legs(ours: OurView, broker: BrokerView) -> tuple[ComparedLeg, ...]:
    own: dict[tuple[str, str], int] = {}
    there: dict[tuple[str, str], int] = {}
    for sums, legs in ((own, ours.legs), (there, broker.positions)):
        for leg in legs:
            sums[leg.contract] = sums.get(leg.contract, 0) + leg.quantity
    found = []
    for contract in sorted(own.keys() | there.keys()):
        instrument = instrument_of(ours.roots, contract)
        quantities = own.get(contract, 0), there.get(contract, 0)
        if instrument is not None and any(quantities):
            tagged = contract in ours.tagged
            found.append(ComparedLeg(instrument, *contract, *quantities, tagged))
    return tuple(found)
