"""What an operation came to, from the fills of its legs alone: never from a quote or an alert.

A synthetic future costs strike + CE - PE of the fills. What was had of one leg and given back is
no layer's: its profit or loss goes to the ledger beside them. The same legs give the same booking,
so a recovery books what the worker would have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from core.book_events import LayerOpened, LayerReduced
from core.charges import ChargeSchedule, Side
from core.db_state_manager.operation_booking import BookedEvent
from core.db_state_manager.records import Intent, LedgerLine, Leg
from core.db_state_manager.states import LedgerKind, LegPurpose
from core.decision_record import LayerClose
from core.errors import Rejected
from core.instruments import InstrumentSpec
from core.symbols import OptionRight, OptionSymbol, parse

_PAISA = Decimal("0.01")
_ONE_EACH: Mapping[int, int] = {}


@dataclass(frozen=True, slots=True)
class Booking:
    """What is to be booked at an intent's end."""

    events: tuple[BookedEvent, ...]
    beside: tuple[LedgerLine, ...]


@dataclass(frozen=True, slots=True)
class Traded:
    """Legs that make one position, and the part of them that was had together."""

    legs: tuple[Leg, ...]
    lots: int
    price: Decimal


class Booker:
    """Books one instrument's operations."""

    def __init__(
        self,
        spec: InstrumentSpec,
        charges: ChargeSchedule,
        orders: Mapping[int, int] = _ONE_EACH,
    ) -> None:
        """`orders` is how many orders of a leg filled, by its id: each costs its brokerage."""
        self._spec = spec
        self._charges = charges
        self._orders = orders

    def entry(self, intent: Intent, legs: Sequence[Leg], at: datetime) -> Booking:
        """The layer that an entry's legs came to. Raises Rejected for what cannot be one."""
        backs = [leg for leg in legs if leg.purpose is LegPurpose.UNWIND]
        opened = traded([leg for leg in legs if leg.purpose is LegPurpose.OPEN], backs)
        decision = intent.decision
        inputs, stop = decision.inputs, decision.initial_stop
        if inputs is None or stop is None or intent.layer is None:
            raise Rejected("NO_INPUTS", f"intent {intent.id} was decided without its numbers")
        beside = self.unwound(legs, at, is_kept=opened.lots > 0)
        if not opened.lots:
            return Booking((), beside)
        event = LayerOpened(
            instrument=intent.instrument,
            layer=intent.layer,
            lots=opened.lots,
            price=opened.price,
            time=at,
            initial_stop=stop,
            close=inputs.price,
            atr=inputs.atr,
            point_value=inputs.point_value,
            lot_size=inputs.lot_size,
            margin_per_lot=inputs.margin_per_lot,
            charges=self.costs(opened, at),
            intent_id=str(intent.id),
            limiter=decision.limiter,
            symbol=opened.legs[0].symbol if len(opened.legs) == 1 else None,
        )
        return Booking((event,), beside)

    def exit(
        self,
        intent: Intent,
        legs: Sequence[Leg],
        held: Mapping[str, Sequence[Leg]],
        at: datetime,
    ) -> Booking:
        """The closes that an exit's legs came to; `held` are the legs of each layer's entry.

        Raises Rejected for a layer that is not held.
        """
        closing: dict[frozenset[str], list[LayerClose]] = {}
        for close in intent.decision.closes:
            if close.position_id not in held:
                raise Rejected("NOT_HELD", f"{close.position_id} is not held any more")
            symbols = frozenset(leg.symbol for leg in held[close.position_id])
            closing.setdefault(symbols, []).append(close)
        events: list[LayerReduced] = []
        for symbols, closes in closing.items():
            own = [leg for leg in legs if leg.purpose is LegPurpose.CLOSE and leg.symbol in symbols]
            events += self._reduced(intent, traded(own), closes, at)
        further = (replace(event, more_follow=True) for event in events[:-1])
        beside = self.unwound(legs, at, is_kept=bool(events))
        return Booking((*further, *events[-1:]), beside)

    def _reduced(
        self, intent: Intent, had: Traded, closes: Sequence[LayerClose], at: datetime
    ) -> list[LayerReduced]:
        """The lots that were had, layer by layer; their charges by lots, to the paisa in all."""
        events = []
        lots_left, costs_left = had.lots, self.costs(had, at)
        for close in closes:
            lots = min(close.lots, lots_left)
            if not lots:
                break
            costs = (costs_left * lots / lots_left).quantize(_PAISA)
            reduced = LayerReduced(
                instrument=intent.instrument,
                position_id=close.position_id,
                lots=lots,
                price=had.price,
                time=at,
                charges=costs,
                reason=intent.decision.reason,
            )
            events.append(reduced)
            lots_left, costs_left = lots_left - lots, costs_left - costs
        return events

    def unwound(
        self, legs: Sequence[Leg], at: datetime, *, is_kept: bool
    ) -> tuple[LedgerLine, ...]:
        """What each leg that was given back earned, and what having and giving it cost.

        The orders that had it are paid for here where no layer pays for them, and once.
        """
        lines: list[LedgerLine] = []
        paid: set[int] = set()
        for back in legs:
            quantity = back.filled_quantity
            if back.purpose is not LegPurpose.UNWIND or not quantity:
                continue
            had = next(leg for leg in legs if leg.symbol == back.symbol)
            bought, sold = (had, back) if had.side.value == Side.BUY else (back, had)
            points = (sold.average_price - bought.average_price) * quantity
            orders = 0 if is_kept or had.id in paid else self._filled_orders(had)
            paid.add(had.id)
            costs = self._cost(had, quantity, had, at, orders)
            costs += self._cost(back, quantity, had, at, self._filled_orders(back))
            note = f"unwound {quantity} of {back.symbol}"
            lines += [
                LedgerLine(LedgerKind.CHARGES, -costs, note),
                LedgerLine(LedgerKind.PNL, self._rupees(points, had), note),
            ]
        return tuple(lines)

    def costs(self, had: Traded, at: datetime) -> Decimal:
        """What having those legs cost, rupees."""
        costs = (
            self._cost(leg, had.lots * _lot(leg), leg, at, self._filled_orders(leg))
            for leg in had.legs
        )
        return sum(costs, Decimal(0))

    def _filled_orders(self, leg: Leg) -> int:
        return self._orders.get(leg.id, 1)

    def _cost(self, leg: Leg, quantity: int, planned: Leg, at: datetime, orders: int) -> Decimal:
        turnover = self._rupees(leg.average_price * quantity, planned)
        side = Side(leg.side.value)
        costs = self._charges.leg(self._spec.charge_segment, side, turnover, at.date(), orders)
        return costs.rounded().total

    def _rupees(self, points: Decimal, planned: Leg) -> Decimal:
        """Points times the broker's quantity, of a leg that was planned in whole lots."""
        lot = _lot(planned)
        return points * self._spec.point_value(lot) / lot


def traded(legs: Sequence[Leg], backs: Sequence[Leg] = ()) -> Traded:
    """What was had of all `legs` and not given back by one of `backs`."""
    kept = [
        leg.filled_quantity
        - sum(back.filled_quantity for back in backs if back.symbol == leg.symbol)
        for leg in legs
    ]
    lots = min((each // _lot(leg) for each, leg in zip(kept, legs, strict=True)), default=0)
    return Traded(tuple(legs), lots, _price(legs) if lots else Decimal(0))


def _price(legs: Sequence[Leg]) -> Decimal:
    """A future's own price; strike + CE - PE of a synthetic one."""
    if len(legs) == 1:
        return legs[0].average_price
    price = Decimal(0)
    for leg in legs:
        option = parse(leg.symbol)
        if not isinstance(option, OptionSymbol):
            raise Rejected("NOT_A_PAIR", f"{leg.symbol} is no leg of a synthetic future")
        is_call = option.right is OptionRight.CALL
        price += leg.average_price + option.strike if is_call else -leg.average_price
    return price


def _lot(leg: Leg) -> int:
    return leg.quantity // leg.lots
