"""Which contracts an order names: confirmed in the broker's own master, or no order at all.

The calendar proposes an expiry and the master of the day has the last word. Lots become a quantity
here and nowhere else: lots x the lotsize that the broker's master gives today. A position is left
in the contracts it holds, whatever the calendar would choose now, and in the units it holds, unless
the broker counts in lots of its own and may call them something else today.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from brokers.messages import Contract, SymbolInfo
from brokers.port import Broker
from core.contracts import Contracts
from core.db_state_manager.records import Leg, LegPlan
from core.db_state_manager.states import LegPurpose, Side
from core.decision_record import LayerClose
from core.errors import Rejected
from core.instruments import InstrumentCatalog, InstrumentKind, InstrumentSpec
from core.symbols import FutureSymbol, OptionRight, OptionSymbol, parse


@dataclass(frozen=True, slots=True)
class FutureChoice:
    """A future to be entered."""

    expiry: date
    future: SymbolInfo


@dataclass(frozen=True, slots=True)
class SyntheticChoice:
    """A call to be bought and a put to be sold, at one strike and expiry."""

    expiry: date
    strike: Decimal
    call: SymbolInfo
    put: SymbolInfo


EntryChoice = FutureChoice | SyntheticChoice


class ContractChooser:
    """Contracts by the calendar, confirmed by the broker."""

    def __init__(self, contracts: Contracts, catalog: InstrumentCatalog, broker: Broker) -> None:
        self._contracts = contracts
        self._catalog = catalog
        self._broker = broker

    def choose(self, instrument: str, on: date) -> EntryChoice:
        """What an entry on that day trades: nearest expiry that is not in its roll window.

        Raises Rejected for what the broker does not list as expected, and what the broker raises.
        """
        spec = self._catalog[instrument]
        expiry = self._contracts.entry_contract(instrument, on).day
        future = Contract(str(FutureSymbol(spec.root, expiry)), spec.broker_exchange)
        if spec.kind is InstrumentKind.FUTURE:
            return FutureChoice(expiry, self._confirmed(spec, future, expiry, None))
        strike = self._strike(spec, future)
        call, put = (
            self._confirmed(spec, _option(spec, expiry, strike, right), expiry, strike)
            for right in (OptionRight.CALL, OptionRight.PUT)
        )
        return SyntheticChoice(expiry, strike, call, put)

    def exit_legs(
        self, held: Mapping[str, Sequence[Leg]], closes: Iterable[LayerClose]
    ) -> tuple[LegPlan, ...]:
        """What closes those layers, each in the contracts it holds; `held` as in `held_legs`.

        The legs of an entry in reverse and turned round, so the short one is bought back first.
        Layers in the same contracts are closed together.
        """
        lots: dict[tuple[Contract, ...], int] = {}
        sides: dict[Contract, Side] = {}
        quantities: dict[Contract, int] = {}
        for close in closes:
            legs = held[close.position_id]
            contracts = tuple(Contract(leg.symbol, leg.exchange) for leg in reversed(legs))
            lots[contracts] = lots.get(contracts, 0) + close.lots
            for leg, contract in zip(reversed(legs), contracts, strict=True):
                sides[contract] = opposite(leg.side)
                quantity = close.lots * self._unit(leg, contract)
                quantities[contract] = quantities.get(contract, 0) + quantity
        return tuple(
            LegPlan(
                LegPurpose.CLOSE,
                sides[contract],
                contract.symbol,
                contract.exchange,
                count,
                quantities[contract],
            )
            for contracts, count in lots.items()
            for contract in contracts
        )

    def _unit(self, leg: Leg, contract: Contract) -> int:
        """What a lot that is held is closed as: as it was entered, or in the lots of today."""
        named = (contract.exchange, parse(contract.symbol).root)
        (spec,) = (
            each for _, each in self._catalog.items() if (each.broker_exchange, each.root) == named
        )
        if spec.fixed_point_value is None:
            return leg.quantity // leg.lots
        return self._broker.symbol(contract).lot_size

    def _strike(self, spec: InstrumentSpec, future: Contract) -> Decimal:
        """The multiple of the strike step that is nearest to the forward."""
        if spec.strike_step is None:
            raise Rejected("NO_STRIKE_STEP", f"{spec.name} has no strike step")
        forward = self._broker.quote(future).ltp
        return (forward / spec.strike_step).quantize(Decimal(1), ROUND_HALF_UP) * spec.strike_step

    def _confirmed(
        self, spec: InstrumentSpec, contract: Contract, expiry: date, strike: Decimal | None
    ) -> SymbolInfo:
        """The contract in the master. Raises Rejected where that says otherwise than we expect."""
        info = self._broker.symbol(contract)
        is_option = strike is not None
        if info.expiry != expiry or (is_option and info.strike != strike):
            raise Rejected(
                "CONTRACT_DIFFERS",
                f"{contract} ends {info.expiry} at strike {info.strike} in the broker's master",
            )
        lot_size = spec.lots.on(expiry)
        if spec.fixed_point_value is None and info.lot_size != lot_size:
            raise Rejected(
                "LOT_SIZE_DIFFERS",
                f"a lot of {contract} is {info.lot_size} in the broker's master and {lot_size} in "
                "the instrument's rows: every rupee a point would be wrong; add the dated row",
            )
        return info


def entry_legs(choice: EntryChoice, lots: int) -> tuple[LegPlan, ...]:
    """What enters `lots`: the long leg first, so that there is never a naked short."""
    if isinstance(choice, FutureChoice):
        return (leg_plan(LegPurpose.OPEN, Side.BUY, choice.future, lots),)
    return (
        leg_plan(LegPurpose.OPEN, Side.BUY, choice.call, lots),
        leg_plan(LegPurpose.OPEN, Side.SELL, choice.put, lots),
    )


def leg_plan(purpose: LegPurpose, side: Side, info: SymbolInfo, lots: int) -> LegPlan:
    """A leg of `lots`, in the quantity that the broker's master makes of them."""
    contract = info.contract
    return LegPlan(purpose, side, contract.symbol, contract.exchange, lots, lots * info.lot_size)


def opposite(side: Side) -> Side:
    """The side that undoes `side`."""
    return Side.SELL if side is Side.BUY else Side.BUY


def _option(spec: InstrumentSpec, expiry: date, strike: Decimal, right: OptionRight) -> Contract:
    return Contract(str(OptionSymbol(spec.root, expiry, strike, right)), spec.broker_exchange)
