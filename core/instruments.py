"""An instrument is a row of data: adding one takes an entry here and nothing in the code.

Lots belong to the contract (its expiry), freeze quantities, ticks and margins to the day.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from core.data import shipped
from core.data.fields import Fields, as_integer
from core.dated import Dated
from core.errors import ConfigInvalid, Rejected
from core.expiry_rules import ExpiryRule, TenderRule, read_expiry_rule

_LOT_SIZE = "lot_size"


class InstrumentKind(StrEnum):
    """A future, or one made of a bought call and a sold put."""

    SYNTHETIC = "SYNTHETIC"
    FUTURE = "FUTURE"


@dataclass(frozen=True, slots=True)
class Margin:
    """Rupees a lot at least, and as a fraction of the notional."""

    floor_inr: Decimal
    fraction: Decimal

    @classmethod
    def read(cls, row: Fields) -> "Margin":
        """A row of `margins`."""
        return cls(row.decimal("floor_inr"), row.decimal("fraction"))


@dataclass(frozen=True, slots=True)
class PremiumFractions:
    """What the legs of a synthetic are assumed to cost, as fractions of its price.

    Only for the charges of a backtest, which has no option prices.
    """

    call: Decimal
    put: Decimal

    @classmethod
    def read(cls, block: Fields) -> "PremiumFractions":
        """The block `assumed_premium_fractions`."""
        fractions = cls(block.decimal("call", above="0"), block.decimal("put", above="0"))
        block.finish()
        return fractions


@dataclass(frozen=True, slots=True, eq=False)
class InstrumentSpec:
    """Everything that sets one instrument apart.

    `calendar_exchange` is whose days it keeps, `broker_exchange` where its orders go. `lots`
    (exchange units: 30, or 100 g) and `expiry_rules` are dated by contract month, `tender` by
    expiry; the rest by the day it is asked for. `freeze_quantities` are in the units of the lot.
    `trading` and `strategy` are the defaults of the operator's configuration, as parsed.
    """

    name: str
    kind: InstrumentKind
    calendar_exchange: str
    broker_exchange: str
    root: str
    charge_segment: str
    months: tuple[int, ...]
    roll_days: int
    fixed_point_value: Decimal | None
    strike_step: Decimal | None
    assumed_premium_fractions: PremiumFractions | None
    expiry_rules: Dated[ExpiryRule]
    tender: Dated[TenderRule] | None
    lots: Dated[int]
    freeze_quantities: Dated[int]
    ticks: Dated[Decimal]
    future_ticks: Dated[Decimal]
    margins: Dated[Margin]
    trading: Mapping[str, Any]
    strategy: Mapping[str, Any]

    def point_value(self, lot_size: int) -> Decimal:
        """Rupees a point a lot, for a contract of `lot_size` units."""
        fixed = self.fixed_point_value
        return Decimal(lot_size) if fixed is None else fixed

    @classmethod
    def read(cls, name: str, fields: Fields) -> "InstrumentSpec":
        """Read one entry. Raises ConfigInvalid with the path of what is wrong."""
        kind = fields.choice("kind", InstrumentKind)
        synthetic = kind is InstrumentKind.SYNTHETIC
        ticks = fields.block("ticks")
        future_ticks = Dated.read(ticks, "future", _decimal_value)
        premiums = fields.block("assumed_premium_fractions") if synthetic else None
        spec = cls(
            name=name,
            kind=kind,
            calendar_exchange=fields.text("calendar_exchange"),
            broker_exchange=fields.text("broker_exchange"),
            root=fields.text("root"),
            charge_segment=fields.text("charge_segment"),
            months=_read_months(fields),
            roll_days=fields.integer("roll_days", 1),
            fixed_point_value=_read_point_value(fields),
            strike_step=fields.decimal("strike_step", above="0") if synthetic else None,
            assumed_premium_fractions=PremiumFractions.read(premiums) if premiums else None,
            expiry_rules=Dated.read(fields, "expiry_rules", read_expiry_rule),
            tender=Dated.read(fields, "tender", TenderRule.read) if fields.has("tender") else None,
            lots=Dated.read(fields, "lots", _lot_value),
            freeze_quantities=Dated.read(fields, "freeze_quantities", _lot_value),
            ticks=Dated.read(ticks, "option", _decimal_value) if synthetic else future_ticks,
            future_ticks=future_ticks,
            margins=Dated.read(fields, "margins", Margin.read),
            trading=MappingProxyType(fields.plain("trading")),
            strategy=MappingProxyType(fields.plain("strategy")),
        )
        ticks.finish()
        fields.finish()
        return spec


class InstrumentCatalog(Mapping[str, InstrumentSpec]):
    """All instruments by name."""

    def __init__(self, specs: Mapping[str, InstrumentSpec]) -> None:
        self._specs = specs

    @classmethod
    def shipped(cls, extra: object = None) -> "InstrumentCatalog":
        """The shipped instruments under the operator's parsed entries, by name.

        An entry for a shipped name need only hold what it changes: its rows are laid over the
        shipped ones. Raises ConfigInvalid with the path of what is wrong.
        """
        below = Fields(shipped("instruments"), "shipped instruments")
        above = Fields({} if extra is None else extra, "instruments", below)
        names = above.names()
        return cls({name: InstrumentSpec.read(name, above.block(name)) for name in names})

    def __getitem__(self, name: str) -> InstrumentSpec:
        """Raises Rejected (UNKNOWN_INSTRUMENT)."""
        spec = self._specs.get(name)
        if spec is None:
            known = ", ".join(self._specs)
            raise Rejected("UNKNOWN_INSTRUMENT", f"no instrument {name!r}; known: {known}")
        return spec

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def config_defaults(self) -> dict[str, dict[str, Any]]:
        """The `trading` and `strategy` blocks by instrument, for PortfolioConfig.from_mapping."""
        return {
            name: {"trading": dict(spec.trading), "strategy": dict(spec.strategy)}
            for name, spec in self._specs.items()
        }


def _read_months(fields: Fields) -> tuple[int, ...]:
    months = {as_integer(path, value, 1) for path, value in fields.values("months")}
    if not months or max(months) > 12:
        raise ConfigInvalid(f"{fields.path}.months", sorted(months), "months 1 to 12 are expected")
    return tuple(sorted(months))


def _read_point_value(fields: Fields) -> Decimal | None:
    """None where the point value is the contract's lot size."""
    by_lot_size = fields.says("point_value", _LOT_SIZE)
    return None if by_lot_size else fields.decimal("point_value", above="0")


def _lot_value(row: Fields) -> int:
    return row.integer("value", 1)


def _decimal_value(row: Fields) -> Decimal:
    return row.decimal("value", above="0")
