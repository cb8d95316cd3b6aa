"""What a roll came to, from the fills of its legs: moved layers, and closes where nothing was had.

Every lot that was closed near is either opened far or booked as closed at the near fills. Layers
take the far lots oldest first; one that gets fewer than it closed gives up the lots behind those.
The same legs give the same booking, whoever books them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from core.book_events import LayerReduced, LayerRolled
from core.db_state_manager.records import Intent, Leg
from core.db_state_manager.states import LegPurpose
from core.decision_record import LayerRoll
from core.errors import Rejected
from core.models import Position
from core.roll_lots import lots_behind
from live.booking import Booker, Booking, Traded, traded

_PAISA = Decimal("0.01")

Held = Mapping[str, Sequence[Leg]]


@dataclass(frozen=True, slots=True)
class _Closed:
    """A layer's lots that were closed near, at which price and cost."""

    roll: LayerRoll
    layer: Position
    lots: int
    price: Decimal
    costs: Decimal
    symbols: str


@dataclass(frozen=True, slots=True)
class RollBooker:
    """Books one roll; `why` says why less was opened than was closed, if that is so."""

    booker: Booker
    intent: Intent
    at: datetime
    why: str

    def book(self, legs: Sequence[Leg], held: Held, layers: Sequence[Position]) -> Booking:
        """The moves and closes; `held` are the legs of each layer before it, `layers` the book's.

        Raises Rejected for a layer that is not held.
        """
        backs = [leg for leg in legs if leg.purpose is LegPurpose.UNWIND]
        far = traded([leg for leg in legs if leg.purpose is LegPurpose.OPEN], backs)
        left, costs = far.lots, self.booker.costs(far, self.at)
        events: list[LayerReduced | LayerRolled] = []
        for closed in self._closed(legs, held, layers):
            kept = min(left, closed.roll.lots_after)
            share = (costs * kept / left).quantize(_PAISA) if left else Decimal(0)
            left, costs = left - kept, costs - share
            events += self._events(closed, kept, share, far)
        further = (replace(event, more_follow=True) for event in events[:-1])
        beside = self.booker.unwound(legs, self.at, is_kept=far.lots > 0)
        return Booking((*further, *events[-1:]), beside)

    def _closed(self, legs: Sequence[Leg], held: Held, layers: Sequence[Position]) -> list[_Closed]:
        """What was closed of each layer, by the contracts it was in."""
        by_id = {layer.id: layer for layer in layers}
        groups: dict[frozenset[str], list[LayerRoll]] = {}
        for roll in self.intent.decision.rolls:
            if roll.position_id not in held or roll.position_id not in by_id:
                raise Rejected("NOT_HELD", f"{roll.position_id} is not held any more")
            symbols = frozenset(leg.symbol for leg in held[roll.position_id])
            groups.setdefault(symbols, []).append(roll)
        found = []
        for symbols, rolls in groups.items():
            own = [leg for leg in legs if leg.purpose is LegPurpose.CLOSE and leg.symbol in symbols]
            near = traded(own)
            left, costs = near.lots, self.booker.costs(near, self.at)
            for roll in rolls:
                lots = min(roll.lots, left)
                if not lots:
                    break
                share = (costs * lots / left).quantize(_PAISA)
                left, costs = left - lots, costs - share
                layer = by_id[roll.position_id]
                found.append(_Closed(roll, layer, lots, near.price, share, names_of(own)))
        return sorted(found, key=lambda closed: closed.roll.layer)

    def _events(
        self, closed: _Closed, kept: int, far_costs: Decimal, far: Traded
    ) -> list[LayerReduced | LayerRolled]:
        roll, layer = closed.roll, closed.layer
        behind = lots_behind(kept, layer.point_value, roll.point_value) if kept else 0
        if kept == roll.lots_after:
            behind = closed.lots if kept else 0
        costs = (closed.costs * behind / closed.lots).quantize(_PAISA)
        events: list[LayerReduced | LayerRolled] = []
        if behind < closed.lots:
            events.append(self._reduced(closed, closed.lots - behind, closed.costs - costs))
        if kept:
            basis = far.price - closed.price
            planned = roll.far_price - roll.near_price
            events.append(
                LayerRolled(
                    instrument=self.intent.instrument,
                    position_id=roll.position_id,
                    lots=kept,
                    near_close=closed.price,
                    far_open=far.price,
                    time=self.at,
                    point_value=roll.point_value,
                    lot_size=roll.lot_size,
                    margin_per_lot=roll.margin_per_lot,
                    charges=costs + far_costs,
                    near=closed.symbols,
                    far=names_of(far.legs),
                    symbol=roll.symbol,
                    slippage=basis - planned,
                )
            )
        return events

    def _reduced(self, closed: _Closed, lots: int, costs: Decimal) -> LayerReduced:
        return LayerReduced(
            instrument=self.intent.instrument,
            position_id=closed.roll.position_id,
            lots=lots,
            price=closed.price,
            time=self.at,
            charges=costs,
            reason=f"ROLL_CLOSED: {self.why or 'not opened again'}",
        )


def names_of(legs: Sequence[Leg]) -> str:
    """The contracts of legs, in one text."""
    return " ".join(sorted(leg.symbol for leg in legs))
