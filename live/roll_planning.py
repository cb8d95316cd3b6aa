"""A roll is planned whole before anything is sent: contracts, prices, what it costs, its margin.

What the broker does not list, does not trade enough or has no money for is refused with a code,
and nothing has happened. The next contract ends strictly later than every one that is left.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from brokers.messages import Action, Contract, MarginLeg, Quote, SymbolInfo
from brokers.port import Broker
from core.config import PortfolioConfig, fraction
from core.contracts import Contracts
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.records import Leg, LegPlan
from core.db_state_manager.states import Side
from core.decision_record import LayerClose, LayerRoll
from core.errors import OutcomeUnknown, Rejected, Retryable
from core.instruments import InstrumentCatalog
from core.models import ContractTerms, Position
from core.ports import Clock
from core.roll_lots import lots_kept
from live.expiry_utils import ContractChooser, EntryChoice, FutureChoice, entry_legs, opposite
from live.quoted import price_of
from live.rollover_scanner import Expiring

_FINEST = Decimal("0.0001")

Held = Mapping[str, Sequence[Leg]]


@dataclass(frozen=True, slots=True)
class LegQuote:
    """A contract's prices when the roll was planned."""

    symbol: str
    bid: Decimal | None
    ask: Decimal | None
    ltp: Decimal
    open_interest: Decimal | None
    volume: Decimal | None


@dataclass(frozen=True, slots=True)
class RollPlan:
    """What would be sent, in its order, and what it is expected to cost.

    `basis` is what the next contract costs more, in points, by layers' lots; `spread_inr` what it
    costs in all to cross half of every spread. Margins are the broker's in rupees, None where it
    does not tell. `notes` are for people.
    """

    instrument: str
    near_expiry: date
    far_expiry: date
    closes: tuple[LegPlan, ...]
    opens: tuple[LegPlan, ...]
    rolls: tuple[LayerRoll, ...]
    quotes: tuple[LegQuote, ...]
    basis: Decimal
    spread_inr: Decimal
    near_margin: Decimal | None
    far_margin: Decimal | None
    free_funds: Decimal | None
    notes: tuple[str, ...]


class RollPlanner:
    """Plans for one account at one broker."""

    def __init__(
        self,
        store: DatabaseStateManager,
        broker: Broker,
        contracts: Contracts,
        chooser: ContractChooser,
        catalog: InstrumentCatalog,
        config: PortfolioConfig,
        check_lot: Callable[[str, SymbolInfo], None],
        clock: Clock,
    ) -> None:
        """`check_lot` raises for a future whose lot nobody has confirmed."""
        self._store = store
        self._broker = broker
        self._contracts = contracts
        self._chooser = chooser
        self._catalog = catalog
        self._config = config
        self._check_lot = check_lot
        self._clock = clock

    def plan(self, instrument: str, expiring: Sequence[Expiring]) -> RollPlan:
        """The roll of all those layers together. Raises Rejected, and what the broker raises."""
        day = self._clock.now().date()
        choice = self._choice(instrument, day, max(each.expiry for each in expiring))
        layers = self._layers(instrument, expiring)
        held = self._store.held_legs(instrument)
        far = _far_contracts(choice)
        quotes = self._quotes([*_near_contracts(held, layers), *far])
        notes = [self._check_traded(quotes[each]) for each in far]
        far_price = price_of([quotes[each] for each in far])
        terms = self._contracts.terms(instrument, day)
        rolls = tuple(
            _roll(
                layer, [quotes[each] for each in _near_contracts(held, [layer])], far_price, terms
            )
            for layer in layers
        )
        lots_after = sum(roll.lots_after for roll in rolls)
        if not lots_after:
            raise Rejected("LOT_TOO_LARGE", f"no layer comes to a lot of {terms.lot_size}")
        whole = [LayerClose(roll.position_id, roll.layer, roll.lots) for roll in rolls]
        plan = RollPlan(
            instrument=instrument,
            near_expiry=min(each.expiry for each in expiring),
            far_expiry=choice.expiry,
            closes=self._chooser.exit_legs(held, whole),
            opens=entry_legs(choice, lots_after),
            rolls=rolls,
            quotes=tuple(map(_told, quotes.values())),
            basis=_mean_basis(rolls),
            spread_inr=self._check_spreads(quotes, layers, far_price),
            near_margin=None,
            far_margin=None,
            free_funds=None,
            notes=tuple(note for note in notes if note),
        )
        return self._with_margin(plan, layers)

    def _choice(self, instrument: str, day: date, last: date) -> EntryChoice:
        """The next contract. Raises Rejected where it does not end later than what is left."""
        choice = self._chooser.choose(instrument, day)
        if choice.expiry <= last:
            raise Rejected("NOT_LATER", f"{choice.expiry} is not later than {last}")
        if isinstance(choice, FutureChoice):
            self._check_lot(instrument, choice.future)
        return choice

    def _layers(self, instrument: str, expiring: Sequence[Expiring]) -> list[Position]:
        wanted = {layer.position_id: layer.lots for each in expiring for layer in each.layers}
        book = self._store.load_book()[instrument].layers
        return [layer for layer in book if wanted.get(layer.id) == layer.lots]

    def _quotes(self, contracts: Sequence[Contract]) -> dict[Contract, Quote]:
        wanted = tuple(dict.fromkeys(contracts))
        found = self._broker.quotes(wanted)
        if missing := [str(each) for each in wanted if each not in found]:
            raise Retryable(f"no quote of {', '.join(missing)}")
        return {each: found[each] for each in wanted}

    def _check_traded(self, quote: Quote) -> str:
        """What is to be said of a contract's trading. Raises Rejected (ILLIQUID)."""
        symbol = quote.contract.symbol
        if quote.bid is None or quote.ask is None:
            raise Rejected("ILLIQUID", f"nobody is on one side of {symbol}")
        told = [each for each in (quote.open_interest, quote.volume) if each is not None]
        if not told:
            return f"neither open interest nor volume of {symbol} is told"
        least = self._config.rollover.min_open_interest
        if max(told) < least:
            raise Rejected("ILLIQUID", f"open interest and volume of {symbol} are below {least}")
        return ""

    def _check_spreads(
        self, quotes: Mapping[Contract, Quote], layers: Sequence[Position], price: Decimal
    ) -> Decimal:
        """Rupees to cross half of every spread. Raises Rejected (TOO_DEAR)."""
        spreads = [
            quote.ask - quote.bid
            for quote in quotes.values()
            if quote.ask is not None and quote.bid is not None
        ]
        points = sum(spreads, Decimal(0)) / 2
        allowed = fraction(self._config.rollover.max_cost_pct) * price
        if points > allowed:
            raise Rejected(
                "TOO_DEAR", f"half of the spreads is {points} points, over {allowed:.2f}"
            )
        return points * sum((layer.lots * layer.point_value for layer in layers), Decimal(0))

    def _with_margin(self, plan: RollPlan, layers: Sequence[Position]) -> RollPlan:
        """The plan with what the broker says of money. Raises Rejected (MARGIN), Retryable."""
        funds = self._broker.funds().available_cash_inr
        far = self._margin(plan.opens, turned=False)
        near = self._margin(plan.closes, turned=True)
        own_far = sum((roll.margin_per_lot * roll.lots_after for roll in plan.rolls), Decimal(0))
        own_near = sum((layer.margin_per_lot * layer.lots for layer in layers), Decimal(0))
        needed = (far or own_far) - (near or own_near)
        if needed > funds:
            why = f"{needed:.2f} more are needed and {funds:.2f} free at the broker"
            raise Rejected("MARGIN", why)
        self._check_cap(own_far - own_near)
        if far is None:
            note = "the broker does not tell its margin: reckoned with our own figures"
            plan = replace(plan, notes=(*plan.notes, note))
        return replace(plan, near_margin=near, far_margin=far, free_funds=funds)

    def _check_cap(self, more: Decimal) -> None:
        """Raise Rejected (MARGIN) where the roll would bring margin over its cap."""
        view = self._store.load_book().account(self._config.equity_basis)
        cap = fraction(self._config.portfolio.max_margin_pct) * view.equity
        after = view.margin_in_use + view.margin_reserved + more
        if more > 0 and after > cap:
            raise Rejected("MARGIN", f"margin would be {after:.2f}, over the cap of {cap:.2f}")

    def _margin(self, legs: Sequence[LegPlan], *, turned: bool) -> Decimal | None:
        """The broker's margin of the legs, or of what they close; None where it does not tell."""
        asked = tuple(_margin_leg(leg, opposite(leg.side) if turned else leg.side) for leg in legs)
        try:
            return self._broker.margin(asked).total_inr or None
        except (Rejected, Retryable, OutcomeUnknown):
            return None


def _roll(
    layer: Position, near: Sequence[Quote], far_price: Decimal, terms: ContractTerms
) -> LayerRoll:
    return LayerRoll(
        position_id=layer.id,
        layer=layer.layer,
        lots=layer.lots,
        lots_after=lots_kept(layer.lots, layer.point_value, terms.point_value),
        point_value=terms.point_value,
        lot_size=terms.lot_size,
        margin_per_lot=terms.margin_per_lot(far_price),
        near_price=price_of(near),
        far_price=far_price,
        symbol=terms.symbol,
    )


def _far_contracts(choice: EntryChoice) -> tuple[Contract, ...]:
    if isinstance(choice, FutureChoice):
        return (choice.future.contract,)
    return choice.call.contract, choice.put.contract


def _near_contracts(held: Held, layers: Sequence[Position]) -> list[Contract]:
    return [Contract(leg.symbol, leg.exchange) for layer in layers for leg in held[layer.id]]


def _mean_basis(rolls: Sequence[LayerRoll]) -> Decimal:
    """By lots, in points."""
    lots = sum(roll.lots for roll in rolls)
    points = sum(((roll.far_price - roll.near_price) * roll.lots for roll in rolls), Decimal(0))
    return (points / lots).quantize(_FINEST)


def _told(quote: Quote) -> LegQuote:
    return LegQuote(
        quote.contract.symbol,
        quote.bid,
        quote.ask,
        quote.ltp,
        quote.open_interest,
        quote.volume,
    )


def _margin_leg(leg: LegPlan, side: Side) -> MarginLeg:
    return MarginLeg(Contract(leg.symbol, leg.exchange), Action(side.value), leg.quantity)
