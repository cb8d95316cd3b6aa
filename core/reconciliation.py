"""What our fills say we hold against what the broker's book says: each difference by its kind.

Nothing here trades, and nothing is guessed: a symbol of a root that is not ours, or that is tagged
as somebody else's, is left alone. Where a tagged symbol is also ours, the broker must hold at least
our part of it, on our side.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from core.errors import Rejected
from core.symbols import FutureSymbol, OptionRight, OptionSymbol, parse


class DifferenceKind(StrEnum):
    """How ours and the broker's differ.

    MISSING: the broker holds nothing of a leg of ours. QUANTITY: it holds another quantity, or the
    other side. EXTRA: it holds what we do not know of. NAKED: what it holds leaves an option short
    without its partner. ORPHAN_ORDER: an order rests there that is none of ours.
    """

    MISSING = "MISSING"
    EXTRA = "EXTRA"
    QUANTITY = "QUANTITY"
    NAKED = "NAKED"
    ORPHAN_ORDER = "ORPHAN_ORDER"


@dataclass(frozen=True, slots=True)
class HeldLeg:
    """A contract and its signed quantity; below zero is short."""

    symbol: str
    exchange: str
    quantity: int

    @property
    def contract(self) -> tuple[str, str]:
        """What names it."""
        return self.symbol, self.exchange


@dataclass(frozen=True, slots=True)
class RestingOrder:
    """An order that rests at the broker."""

    order_id: str
    symbol: str
    exchange: str
    side: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference; quantities are signed. `order_id` is an orphan order's."""

    kind: DifferenceKind
    instrument: str
    symbol: str
    exchange: str
    ours: int
    brokers: int
    order_id: str = ""

    def __str__(self) -> str:
        if self.kind is DifferenceKind.ORPHAN_ORDER:
            return f"order {self.order_id} of {self.brokers:+d} {self.symbol} is not ours"
        return f"{self.kind}: {self.symbol} is {self.ours:+d} by our fills, {self.brokers:+d} there"


@dataclass(frozen=True, slots=True)
class BrokerView:
    """What the broker holds, and what rests there."""

    positions: tuple[HeldLeg, ...]
    orders: tuple[RestingOrder, ...]


@dataclass(frozen=True, slots=True)
class OurView:
    """What we know: legs by our fills, the names of our orders, and what is somebody else's.

    `tagged` are contracts (symbol, exchange) that belong to others; `roots` name our instruments
    by exchange and root: ("NFO", "BANKNIFTY").
    """

    legs: tuple[HeldLeg, ...]
    order_ids: frozenset[str]
    tagged: frozenset[tuple[str, str]]
    roots: Mapping[tuple[str, str], str]


def compare(ours: OurView, broker: BrokerView) -> tuple[Difference, ...]:
    """Every difference, by instrument and symbol; empty when the books agree."""
    expected = _summed(ours.legs)
    there = _summed(broker.positions)
    found = [
        difference
        for contract in sorted(expected.keys() | there.keys())
        if (difference := _difference(ours, contract, expected, there)) is not None
    ]
    found += _orphans(ours, broker.orders)
    found += _naked(ours, found, there)
    return tuple(sorted(found, key=lambda each: (each.instrument, each.symbol, each.kind)))


def instrument_of(roots: Mapping[tuple[str, str], str], contract: tuple[str, str]) -> str | None:
    """Whose contract it is; None for one that is no instrument's of ours."""
    try:
        symbol = parse(contract[0])
    except Rejected:
        return None
    return roots.get((contract[1], symbol.root))


def _summed(legs: Iterable[HeldLeg]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for leg in legs:
        found[leg.contract] = found.get(leg.contract, 0) + leg.quantity
    return {contract: quantity for contract, quantity in found.items() if quantity}


def _difference(
    ours: OurView,
    contract: tuple[str, str],
    expected: Mapping[tuple[str, str], int],
    there: Mapping[tuple[str, str], int],
) -> Difference | None:
    instrument = instrument_of(ours.roots, contract)
    own, brokers = expected.get(contract, 0), there.get(contract, 0)
    if instrument is None or own == brokers:
        return None
    if contract in ours.tagged and (not own or _covers(own, brokers)):
        return None
    if not own:
        kind = DifferenceKind.EXTRA
    elif not brokers:
        kind = DifferenceKind.MISSING
    else:
        kind = DifferenceKind.QUANTITY
    return Difference(kind, instrument, *contract, own, brokers)


def _covers(own: int, brokers: int) -> bool:
    return brokers >= own if own > 0 else brokers <= own


def _orphans(ours: OurView, orders: Sequence[RestingOrder]) -> list[Difference]:
    found = []
    for order in orders:
        contract = (order.symbol, order.exchange)
        instrument = instrument_of(ours.roots, contract)
        is_ours = order.order_id in ours.order_ids
        if instrument is None or is_ours or contract in ours.tagged:
            continue
        signed = order.quantity if order.side == "BUY" else -order.quantity
        kind = DifferenceKind.ORPHAN_ORDER
        found.append(Difference(kind, instrument, *contract, 0, signed, order.order_id))
    return found


def _naked(
    ours: OurView, found: Sequence[Difference], there: Mapping[tuple[str, str], int]
) -> list[Difference]:
    """Short options that the broker holds without the other right of their strike and expiry."""
    naked = []
    for contract in sorted({(each.symbol, each.exchange) for each in found}):
        for option, pair in _pairs(contract):
            quantity, cover = there.get(option, 0), there.get(pair, 0)
            instrument = instrument_of(ours.roots, option)
            if quantity < 0 and cover < -quantity and instrument is not None:
                kind = DifferenceKind.NAKED
                naked.append(Difference(kind, instrument, *option, -cover, quantity))
    return list(dict.fromkeys(naked))


def _pairs(contract: tuple[str, str]) -> tuple[tuple[tuple[str, str], tuple[str, str]], ...]:
    """An option with the other right of its strike and expiry, both ways; none for a future."""
    symbol = parse(contract[0])
    if isinstance(symbol, FutureSymbol):
        return ()
    right = OptionRight.PUT if symbol.right is OptionRight.CALL else OptionRight.CALL
    partner = str(OptionSymbol(symbol.root, symbol.expiry, symbol.strike, right)), contract[1]
    return (contract, partner), (partner, contract)
