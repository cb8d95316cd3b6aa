"""What can be traded on a day, with the terms the broker's master would give.

Listed are the three nearest expiries of an instrument and, for options on an index, the next
quarter's; strikes are multiples of 100 from half to double the underlying's price.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from core.contracts import Contracts
from core.errors import Rejected
from core.instruments import InstrumentCatalog, InstrumentKind, InstrumentSpec
from core.symbols import FutureSymbol, OptionRight, OptionSymbol, parse

STRIKE_STEP = Decimal(100)
_SERIAL_MONTHS = 3
_QUARTER_MONTHS = 3
_INDEX_TICK = Decimal("0.05")


@dataclass(frozen=True, slots=True)
class Contract:
    """A listed symbol. `expiry`, `right` and `strike` are None where it has none.

    `unit_value` is rupees a point for one unit of quantity, so a lot earns
    `lotsize x unit_value` a point whatever the broker calls a lot.
    """

    symbol: str
    exchange: str
    instrument: str
    root: str
    expiry: date | None
    strike: Decimal | None
    right: OptionRight | None
    lotsize: int
    tick: Decimal
    freeze_quantity: int
    unit_value: Decimal

    @property
    def kind(self) -> str:
        """CE, PE, FUT or INDEX, as the master says."""
        if self.expiry is None:
            return "INDEX"
        return "FUT" if self.right is None else self.right.value

    def has_ended(self, day: date) -> bool:
        """Whether its last day is past."""
        return self.expiry is not None and self.expiry < day

    def lots(self, quantity: int) -> Decimal:
        """`quantity` in lots; a fraction where it is no multiple."""
        return Decimal(quantity) / self.lotsize


class Listing:
    """The contracts of all instruments. `lotsizes` replaces the lotsize of an instrument.

    Where nothing is given, a contract whose point value is its lot counts units, and any other
    counts contracts (a lotsize of 1), as most brokers do.
    """

    def __init__(
        self,
        catalog: InstrumentCatalog,
        contracts: Contracts,
        lotsizes: Mapping[str, int] | None = None,
    ) -> None:
        self._catalog = catalog
        self._contracts = contracts
        self._lotsizes = dict(lotsizes or {})

    def call_lot(self, instrument: str, lotsize: int) -> None:
        """Give a lot of `instrument` another quantity, which is worth the same. Raises Rejected."""
        self.spec(instrument)
        self._lotsizes[instrument] = lotsize

    @property
    def lotsizes(self) -> Mapping[str, int]:
        """What a lot is called now, by instrument, where that was said."""
        return dict(self._lotsizes)

    @property
    def instruments(self) -> tuple[str, ...]:
        """The names of all instruments."""
        return tuple(self._catalog)

    def spec(self, instrument: str) -> InstrumentSpec:
        """Everything known of an instrument. Raises Rejected (UNKNOWN_INSTRUMENT)."""
        return self._catalog[instrument]

    def instrument_of_root(self, root: str, exchange: str) -> str:
        """The name of the instrument whose contracts begin with `root`, empty if there is none."""
        found = self._by_root(root, exchange)
        return "" if found is None else found.name

    def expiries(self, root: str, exchange: str, options: bool, day: date) -> list[date]:
        """The listed expiries of options or futures on `root`, by date; none if it is unknown."""
        spec = self._by_root(root, exchange)
        if spec is None or (options and spec.kind is not InstrumentKind.SYNTHETIC):
            return []
        return self.listed_expiries(spec, day)

    def listed_expiries(self, spec: InstrumentSpec, day: date) -> list[date]:
        """The expiries of `spec` from `day` on that are listed."""
        first = self._contracts.next_expiry(spec.name, date.fromordinal(day.toordinal() - 1)).day
        expiries = [first]
        while len(expiries) < _SERIAL_MONTHS:
            expiries.append(self._contracts.next_expiry(spec.name, expiries[-1]).day)
        if spec.kind is InstrumentKind.SYNTHETIC:
            expiries.append(self._next_quarter(spec, expiries[-1]))
        return expiries

    def find(self, symbol: str, exchange: str, day: date, price: Decimal) -> Contract | None:
        """The contract of that name if it is listed while its underlying costs `price`."""
        contract = self.terms(symbol, exchange, day)
        if contract is None or contract.expiry is None:
            return contract
        if contract.expiry not in self.listed_expiries(self.spec(contract.instrument), day):
            return None
        strike = contract.strike
        if strike is None:
            return contract
        in_range = price / 2 <= strike <= price * 2
        return contract if in_range and strike % STRIKE_STEP == 0 else None

    def terms(self, symbol: str, exchange: str, day: date) -> Contract | None:
        """The terms of a symbol, listed or no longer; None where no instrument has it."""
        for spec in self._catalog.values():
            if symbol == spec.root and exchange == _index_exchange(spec):
                return self._index(spec)
        try:
            parsed = parse(symbol)
        except Rejected:
            return None
        found = self._by_root(parsed.root, exchange)
        return None if found is None else self._derivative(found, parsed, day)

    def _by_root(self, root: str, exchange: str) -> InstrumentSpec | None:
        for spec in self._catalog.values():
            if (spec.root, spec.broker_exchange) == (root, exchange):
                return spec
        return None

    def _next_quarter(self, spec: InstrumentSpec, after: date) -> date:
        expiry = self._contracts.next_expiry(spec.name, after).day
        while expiry.month % _QUARTER_MONTHS:
            expiry = self._contracts.next_expiry(spec.name, expiry).day
        return expiry

    def _index(self, spec: InstrumentSpec) -> Contract:
        return Contract(
            symbol=spec.root,
            exchange=_index_exchange(spec) or "",
            instrument=spec.name,
            root=spec.root,
            expiry=None,
            strike=None,
            right=None,
            lotsize=1,
            tick=_INDEX_TICK,
            freeze_quantity=0,
            unit_value=Decimal(1),
        )

    def _derivative(
        self, spec: InstrumentSpec, parsed: FutureSymbol | OptionSymbol, day: date
    ) -> Contract | None:
        option = isinstance(parsed, OptionSymbol)
        if option and spec.kind is not InstrumentKind.SYNTHETIC:
            return None
        lot = spec.lots.on(parsed.expiry)
        by_lot = spec.fixed_point_value is None
        lotsize = self._lotsizes.get(spec.name, lot if by_lot else 1)
        return Contract(
            symbol=str(parsed),
            exchange=spec.broker_exchange,
            instrument=spec.name,
            root=spec.root,
            expiry=parsed.expiry,
            strike=parsed.strike if isinstance(parsed, OptionSymbol) else None,
            right=parsed.right if isinstance(parsed, OptionSymbol) else None,
            lotsize=lotsize,
            tick=spec.ticks.on(day) if option else spec.future_ticks.on(day),
            freeze_quantity=spec.freeze_quantities.on(day) if by_lot else 1,
            unit_value=_unit_value(spec, lot, lotsize),
        )


def _unit_value(spec: InstrumentSpec, lot: int, lotsize: int) -> Decimal:
    """Units are units whatever a lot of them is called; lots of a broker's own are worth a lot."""
    return Decimal(1) if spec.fixed_point_value is None else spec.point_value(lot) / lotsize


def _index_exchange(spec: InstrumentSpec) -> str | None:
    """Where the underlying itself is quoted, if it is an index."""
    synthetic = spec.kind is InstrumentKind.SYNTHETIC
    return f"{spec.calendar_exchange}_INDEX" if synthetic else None
