"""What happened at the broker without us is booked, and nothing is ever sent to it.

The operator gives the prices and a reason. What cannot be a layer of ours, and what cannot be
compared just now, is refused whole before anything is booked. Once it is booked the books agree,
so a second time there is nothing to do.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from brokers.messages import Contract
from brokers.port import Broker
from core.charges import ChargeSchedule
from core.contracts import Contracts
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.intents import DecisionRequest
from core.db_state_manager.operation_booking import BookedEvent
from core.db_state_manager.outside import Held
from core.db_state_manager.records import Intent, Leg, LegPlan
from core.db_state_manager.states import IntentSource
from core.errors import PortfolioError, Rejected
from core.instruments import InstrumentCatalog
from core.models import Position
from core.ports import Clock
from core.reconciliation import DifferenceKind
from core.symbols import OptionRight, OptionSymbol, parse
from live.adoption_decision import closing, opening
from live.adoption_plan import Holding, Step, closing_step, in_lots_of, steps_to
from live.booking import Booker
from live.lot_units import is_restated
from live.reconciliation import Comparison, Reconciled, Reconciler

_LOG = logging.getLogger(__name__)
_LEGS = (DifferenceKind.MISSING, DifferenceKind.EXTRA, DifferenceKind.QUANTITY)


@dataclass(frozen=True, slots=True)
class Adoptable:
    """What would be booked for an instrument; `reason` says why not, where it cannot be."""

    instrument: str
    steps: tuple[Step, ...]
    reason: str

    @property
    def needs_prices_of(self) -> tuple[str, ...]:
        """The symbols whose prices have to be given."""
        return tuple(leg.symbol for step in self.steps for leg in step.legs)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the operator says of it.

    `prices` are by symbol, or one by instrument: that of the future, or of the synthetic one.
    `stops` are by instrument, for new layers. `position_ids`, when given, lose their lots first
    to last; otherwise the newest layer does. `instrument` leaves the others as they are.
    """

    reason: str
    prices: Mapping[str, Decimal]
    stops: Mapping[str, Decimal]
    position_ids: tuple[str, ...] = ()
    instrument: str | None = None


@dataclass(frozen=True, slots=True)
class BookedStep:
    """What was booked: the layers that lost lots, or the one that is new, and their legs."""

    instrument: str
    is_exit: bool
    lots: int
    position_ids: tuple[str, ...]
    legs: tuple[LegPlan, ...]
    prices: tuple[Decimal, ...]


@dataclass(frozen=True, slots=True)
class Adopted:
    """What was booked, and how the books compare since."""

    booked: tuple[BookedStep, ...]
    reconciled: Reconciled


class Adopter:
    """Books reality."""

    def __init__(
        self,
        store: DatabaseStateManager,
        reconciler: Reconciler,
        broker: Broker,
        catalog: InstrumentCatalog,
        contracts: Contracts,
        charges: ChargeSchedule,
        clock: Clock,
        *,
        is_test: bool = False,
    ) -> None:
        self._store = store
        self._reconciler = reconciler
        self._broker = broker
        self._catalog = catalog
        self._contracts = contracts
        self._charges = charges
        self._clock = clock
        self._is_test = is_test

    def look(self) -> Comparison:
        """Compare now; an empty book is looked at twice. Raises Rejected where nobody knows."""
        seen = self._reconciler.look()
        if seen.unknown:
            seen = self._reconciler.look()
        if seen.unknown:
            raise Rejected("COMPARISON_UNKNOWN", f"nothing is booked on a guess: {seen.unknown}")
        return seen

    def adoptable(
        self, seen: Comparison, position_ids: Sequence[str] = ()
    ) -> tuple[Adoptable, ...]:
        """By instrument that differs, what would be booked."""
        names = dict.fromkeys(difference.instrument for difference in seen.differences)
        return tuple(self._adoptable(seen, name, position_ids) for name in names)

    def adopt(self, terms: Terms) -> Adopted:
        """Book what differs. Raises Rejected, and then nothing was booked of what it names."""
        self._check_names(terms.position_ids, self._catalog)
        ours = {leg.contract: leg.quantity for leg in self._store.held_by_fills()}
        seen = self.look()
        only = terms.instrument
        busy = [name for name in seen.busy if only in (None, name)]
        if busy:
            raise Rejected(
                "INSTRUMENT_BUSY",
                f"{', '.join(busy)} is being worked on: wait, or name an instrument that is not",
            )
        found = [
            each
            for each in self.adoptable(seen, terms.position_ids)
            if only in (None, each.instrument)
        ]
        refused = [f"{each.instrument}: {each.reason}" for each in found if each.reason]
        if refused:
            raise Rejected("CANNOT_BE_BOOKED", "; ".join(refused))
        ready = [(step, self._prices(step, terms.prices)) for each in found for step in each.steps]
        for step, _ in ready:
            if not step.is_exit and step.instrument not in terms.stops:
                raise Rejected("STOP_NEEDED", f"the new layer of {step.instrument} needs a stop")
        booked = tuple(self._book(step, prices, terms, ours) for step, prices in ready)
        return Adopted(booked, self._reconciler.run())

    def manual_exit(self, instrument: str, terms: Terms, *, force: bool) -> Adopted:
        """Book layers as closed at the broker: those given, or all. Raises Rejected.

        Refused while the broker still holds more than would be left, unless `force`; then the
        difference locks the instrument.
        """
        ours = {leg.contract: leg.quantity for leg in self._store.held_by_fills()}
        self._check_names(terms.position_ids, (instrument,))
        holding = self._holding(instrument, terms.position_ids)
        if not holding.layers:
            raise Rejected("NOTHING_HELD", f"{instrument} holds no layer")
        steps = closing_step(holding, holding.layers)
        if not force:
            self._check_gone(instrument, steps)
        ready = [(step, self._prices(step, terms.prices)) for step in steps]
        booked = tuple(self._book(step, prices, terms, ours) for step, prices in ready)
        return Adopted(booked, self._reconciler.run())

    def _adoptable(
        self, seen: Comparison, instrument: str, position_ids: Sequence[str]
    ) -> Adoptable:
        own = [each for each in seen.differences if each.instrument == instrument]
        orders = [each.order_id for each in own if each.kind is DifferenceKind.ORPHAN_ORDER]
        if orders:
            told = f"{', '.join(orders)} rests there and is not ours: cancel it at the broker"
            return Adoptable(instrument, (), told)
        symbols = {each.symbol for each in own if each.kind in _LEGS}
        differing = [leg for leg in seen.legs if leg.symbol in symbols]
        try:
            holding = self._holding(instrument, position_ids)
            self._check_units(holding)
            steps = steps_to(holding, differing)
            steps = tuple(step if step.is_exit else self._in_lots(step) for step in steps)
        except PortfolioError as error:
            return Adoptable(instrument, (), str(error))
        return Adoptable(instrument, steps, "")

    def _check_names(self, position_ids: Sequence[str], instruments: Iterable[str]) -> None:
        """Raise Rejected for a layer that belongs to none: it must not come to mean all of them."""
        starts = tuple(f"{name}/" for name in instruments)
        strange = [each for each in position_ids if not each.startswith(starts)]
        if strange:
            raise Rejected("NOT_HELD", f"{', '.join(strange)} is no layer of {', '.join(starts)}")

    def _holding(self, instrument: str, position_ids: Sequence[str]) -> Holding:
        if instrument not in self._catalog:
            raise Rejected("INSTRUMENT_UNKNOWN", f"{instrument} is no instrument of ours")
        held = {layer.id: layer for layer in self._store.load_book()[instrument].layers}
        named = [each for each in position_ids if each.startswith(f"{instrument}/")]
        gone = [each for each in named if each not in held]
        if gone:
            raise Rejected("NOT_HELD", f"{', '.join(gone)} is not held")
        legs = self._store.held_legs(instrument)
        unknown = [each for each in held if each not in legs]
        if unknown:
            raise Rejected("NO_LEGS", f"{', '.join(unknown)} has no legs: its contract is unknown")
        layers = [held[each] for each in named] or list(reversed(held.values()))
        return Holding(self._catalog[instrument], tuple(layers), legs)

    def _check_units(self, holding: Holding) -> None:
        """Raise Rejected where the lots of the layers are called something else by now."""
        if not is_restated(holding.spec):
            return
        for layer in holding.layers:
            for leg in holding.legs[layer.id]:
                now = self._broker.symbol(Contract(leg.symbol, leg.exchange)).lot_size
                if leg.quantity // leg.lots != now:
                    raise Rejected(
                        "LOTSIZE_CHANGED",
                        f"one lot of {leg.symbol} was {leg.quantity // leg.lots} when {layer.id} "
                        f"was entered and is {now}: book it by manual-exit",
                    )

    def _in_lots(self, step: Step) -> Step:
        leg = step.legs[0]
        return in_lots_of(step, self._broker.symbol(Contract(leg.symbol, leg.exchange)).lot_size)

    def _check_gone(self, instrument: str, steps: Sequence[Step]) -> None:
        """Raise Rejected unless the broker holds no more than would be left to us."""
        seen = self.look()
        if instrument in seen.busy:
            raise Rejected("INSTRUMENT_BUSY", f"{instrument} is being worked on")
        there = {leg.symbol: leg for leg in seen.legs if not leg.tagged}
        for leg in (leg for step in steps for leg in step.legs):
            found = there.get(leg.symbol)
            if found is None:
                continue
            left = abs(found.ours) - self._in_todays(instrument, leg)
            if abs(found.brokers) > left:
                raise Rejected(
                    "BROKER_STILL_HOLDS",
                    f"the broker holds {found.brokers:+d} {leg.symbol}, and {left} would be left "
                    "to us: close it there first, or say force",
                )

    def _in_todays(self, instrument: str, leg: LegPlan) -> int:
        """A leg's quantity as the comparison counts it: in what the broker calls a lot today."""
        if not is_restated(self._catalog[instrument]):
            return leg.quantity
        return leg.lots * self._broker.symbol(Contract(leg.symbol, leg.exchange)).lot_size

    def _prices(self, step: Step, given: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """The price of each leg. Raises Rejected for one that nobody gave."""
        whole = given.get(step.instrument)
        if whole is not None and len(step.legs) == 2:
            return _within(self._split(step, whole))
        prices = {leg.symbol: given.get(leg.symbol, whole) for leg in step.legs}
        missing = [symbol for symbol, price in prices.items() if price is None]
        if missing:
            raise Rejected(
                "PRICE_NEEDED",
                f"at what price? Needed of {', '.join(missing)}, or {step.instrument}",
            )
        return _within({symbol: price for symbol, price in prices.items() if price is not None})

    def _split(self, step: Step, whole: Decimal) -> dict[str, Decimal]:
        """A synthetic price as a call's and a put's: the put's is its last one."""
        call, put, strike = _options(step.legs)
        last = self._broker.quote(Contract(put.symbol, put.exchange)).ltp
        price = whole - strike + last
        return {call.symbol: price, put.symbol: last}

    def _book(
        self, step: Step, prices: Mapping[str, Decimal], terms: Terms, ours: Held
    ) -> BookedStep:
        """One step, in one transaction; `ours` is what our fills held when it was planned."""
        spec = self._catalog[step.instrument]
        booker, at = Booker(spec, self._charges), self._clock.now()

        def events(
            intent: Intent, legs: Sequence[Leg], held: Mapping[str, Sequence[Leg]]
        ) -> Sequence[BookedEvent]:
            if step.is_exit:
                return booker.exit(intent, legs, held, at).events
            return booker.entry(intent, legs, at).events

        if step.is_exit:
            decide = closing(step, terms.reason)
        else:
            day_terms = self._contracts.terms(step.instrument, at.date())
            stop = terms.stops[step.instrument]
            decide = opening(step, terms.reason, _whole_price(step, prices), stop, day_terms)
        request = DecisionRequest(step.instrument, IntentSource.OPERATOR, is_test=self._is_test)
        contracts = [(leg.symbol, leg.exchange) for leg in step.legs]
        expected = {contract: ours.get(contract, 0) for contract in contracts}
        done = self._store.book_outside(
            request, expected, decide, lambda _: step.legs, prices, events
        )
        touched = [close.position_id for close in step.closes] + [_id(lay) for lay in done.opened]
        _LOG.warning("booked without an order: %s %s", step.instrument, ", ".join(touched))
        in_order = tuple(prices[leg.symbol] for leg in step.legs)
        return BookedStep(
            step.instrument, step.is_exit, step.lots, tuple(touched), step.legs, in_order
        )


def _id(layer: Position) -> str:
    return layer.id


def _within(prices: dict[str, Decimal]) -> dict[str, Decimal]:
    """Raise Rejected for a price that no contract can have."""
    wrong = [f"{symbol} at {price}" for symbol, price in prices.items() if not price > 0]
    if wrong:
        raise Rejected("PRICE_OUT_OF_RANGE", f"{', '.join(wrong)}: give the price of each leg")
    return prices


def _options(legs: Sequence[LegPlan]) -> tuple[LegPlan, LegPlan, Decimal]:
    """The call, the put, and their strike."""
    found = {}
    strike = Decimal(0)
    for leg in legs:
        option = parse(leg.symbol)
        if isinstance(option, OptionSymbol):
            found[option.right] = leg
            strike = option.strike
    return found[OptionRight.CALL], found[OptionRight.PUT], strike


def _whole_price(step: Step, prices: Mapping[str, Decimal]) -> Decimal:
    """Of the future, or strike + CE - PE."""
    if len(step.legs) == 1:
        return prices[step.legs[0].symbol]
    call, put, strike = _options(step.legs)
    return strike + prices[call.symbol] - prices[put.symbol]
