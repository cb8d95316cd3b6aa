"""What the broker's book means for our layers: lots that are gone, lots that came, or neither.

Nothing is guessed. Gone are lots of layers of which every leg is short of the same lots; a new
layer is what came of a future, or of a call and a sold put of one strike and expiry. Whatever is
left over cannot be booked, and says why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from core.db_state_manager.records import Leg, LegPlan
from core.db_state_manager.states import LegPurpose, Side
from core.decision_record import LayerClose
from core.errors import Rejected
from core.instruments import InstrumentKind, InstrumentSpec
from core.models import Position
from core.symbols import FutureSymbol, OptionRight, OptionSymbol, parse
from live.expiry_utils import opposite
from live.reconciliation import ComparedLeg


@dataclass(frozen=True, slots=True)
class Step:
    """One booking: layers that lose lots (`closes`), or, without any, a layer that is new."""

    instrument: str
    lots: int
    closes: tuple[LayerClose, ...]
    legs: tuple[LegPlan, ...]

    @property
    def is_exit(self) -> bool:
        """Whether lots are gone, and not come."""
        return bool(self.closes)


@dataclass(frozen=True, slots=True)
class Holding:
    """An instrument's layers, newest first, and the legs each was entered with."""

    spec: InstrumentSpec
    layers: tuple[Position, ...]
    legs: Mapping[str, Sequence[Leg]]


def steps_to(holding: Holding, differing: Sequence[ComparedLeg]) -> tuple[Step, ...]:
    """What makes our books hold what the broker's do. Raises Rejected (CANNOT_BE_BOOKED)."""
    shared = [leg.symbol for leg in differing if leg.tagged]
    if shared:
        raise _not_bookable(
            f"{', '.join(shared)} is tagged as somebody else's: book it by manual-exit, or untag"
        )
    gaps = {leg.symbol: leg.brokers - leg.ours for leg in differing}
    exchanges = {leg.symbol: leg.exchange for leg in differing}
    exits = _exits(holding, gaps)
    return exits + _entries(holding.spec, gaps, exchanges)


def closing_step(holding: Holding, layers: Sequence[Position]) -> tuple[Step, ...]:
    """The whole of those layers, by the contracts they are in."""
    return tuple(
        _step(holding, [(layer, layer.lots) for layer in group])
        for group in _by_contracts(holding, layers)
    )


def _exits(holding: Holding, gaps: dict[str, int]) -> tuple[Step, ...]:
    """The lots that are gone; their part is taken out of `gaps`."""
    steps = []
    for group in _by_contracts(holding, holding.layers):
        legs = holding.legs[group[0].id]
        gone = [-gaps.get(leg.symbol, 0) * _sign(leg.side) for leg in legs]
        if max(gone) <= 0:
            continue
        if len(set(gone)) > 1:
            raise _not_bookable(_told_apart(legs, gone))
        step = _step(holding, _taken(holding, group, gone[0]))
        steps.append(step)
        for leg in legs:
            del gaps[leg.symbol]
    return tuple(steps)


def _taken(
    holding: Holding, group: Sequence[Position], quantity: int
) -> list[tuple[Position, int]]:
    """Lots by layer, in their order, that come to `quantity`."""
    taken = []
    for layer in group:
        per_lot = _per_lot(holding.legs[layer.id][0])
        lots = min(layer.lots, quantity // per_lot)
        if lots:
            taken.append((layer, lots))
            quantity -= lots * per_lot
    if quantity:
        raise _not_bookable(f"{quantity} more are gone there than whole lots of the layers come to")
    return taken


def _step(holding: Holding, taken: Sequence[tuple[Position, int]]) -> Step:
    """The legs of the layers turned round, in reverse."""
    first = taken[0][0]
    lots = sum(count for _, count in taken)
    plans = []
    for place in reversed(range(len(holding.legs[first.id]))):
        leg = holding.legs[first.id][place]
        quantity = sum(count * _per_lot(holding.legs[layer.id][place]) for layer, count in taken)
        side = opposite(leg.side)
        plans.append(LegPlan(LegPurpose.CLOSE, side, leg.symbol, leg.exchange, lots, quantity))
    closes = tuple(LayerClose(layer.id, layer.layer, count) for layer, count in taken)
    return Step(holding.spec.name, lots, closes, tuple(plans))


def _entries(
    spec: InstrumentSpec, gaps: Mapping[str, int], exchanges: Mapping[str, str]
) -> tuple[Step, ...]:
    left = {symbol: quantity for symbol, quantity in gaps.items() if quantity}
    steps = []
    while left:
        symbol, quantity = next(iter(left.items()))
        pair = _pair_of(spec, symbol, left)
        if pair is None:
            raise _not_bookable(
                f"{quantity:+d} {symbol} at the broker is no layer of {spec.name}: close it there, "
                "or tag it as somebody else's"
            )
        legs = tuple((each, left.pop(each)) for each in pair)
        steps.append(_entry(spec, legs, exchanges))
    return tuple(steps)


def _pair_of(spec: InstrumentSpec, symbol: str, left: Mapping[str, int]) -> tuple[str, ...] | None:
    """The contracts that make a layer with `symbol`: the long one first."""
    parsed = parse(symbol)
    if isinstance(parsed, FutureSymbol):
        is_ours = spec.kind is InstrumentKind.FUTURE and left[symbol] > 0
        return (symbol,) if is_ours else None
    if spec.kind is not InstrumentKind.SYNTHETIC:
        return None
    call, put = (
        str(OptionSymbol(parsed.root, parsed.expiry, parsed.strike, right))
        for right in (OptionRight.CALL, OptionRight.PUT)
    )
    if left.get(call, 0) > 0 and left[call] == -left.get(put, 0):
        return call, put
    return None


def _entry(
    spec: InstrumentSpec, legs: Sequence[tuple[str, int]], exchanges: Mapping[str, str]
) -> Step:
    """A layer of what came; `in_lots_of` makes lots of its quantity."""
    plans = tuple(
        LegPlan(
            LegPurpose.OPEN,
            Side.BUY if quantity > 0 else Side.SELL,
            symbol,
            exchanges[symbol],
            abs(quantity),
            abs(quantity),
        )
        for symbol, quantity in legs
    )
    return Step(spec.name, plans[0].lots, (), plans)


def in_lots_of(step: Step, lot_size: int) -> Step:
    """A new layer in the broker's lots. Raises Rejected where they are not whole."""
    lots, rest = divmod(step.legs[0].quantity, lot_size)
    if rest:
        raise _not_bookable(f"{step.legs[0].quantity} {step.legs[0].symbol} is no whole lots")
    return replace(step, lots=lots, legs=tuple(replace(leg, lots=lots) for leg in step.legs))


def _by_contracts(holding: Holding, layers: Sequence[Position]) -> tuple[tuple[Position, ...], ...]:
    """Layers that are in the same contracts, in their order."""
    groups: dict[tuple[str, ...], list[Position]] = {}
    for layer in layers:
        contracts = tuple(leg.symbol for leg in holding.legs[layer.id])
        groups.setdefault(contracts, []).append(layer)
    return tuple(map(tuple, groups.values()))


def _told_apart(legs: Sequence[Leg], gone: Sequence[int]) -> str:
    told = ", ".join(
        f"{quantity} of {leg.symbol}" for leg, quantity in zip(legs, gone, strict=True)
    )
    return f"the legs are gone apart ({told}): even them out at the broker first"


def _per_lot(leg: Leg) -> int:
    return leg.quantity // leg.lots


def _sign(side: Side) -> int:
    return 1 if side is Side.BUY else -1


def _not_bookable(why: str) -> Rejected:
    return Rejected("CANNOT_BE_BOOKED", why)
