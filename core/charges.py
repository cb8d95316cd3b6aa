"""What a leg costs besides its price: each component exact, by the rates of its day.

Nothing is rounded here: exchanges and brokers round the sums of a day, not each leg. `rounded()`
gives paise for a ledger.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from core.data import shipped
from core.data.fields import Fields
from core.dated import Dated
from core.errors import Rejected
from core.instruments import InstrumentSpec
from core.models import ContractTerms

_PAISA = Decimal("0.01")
_NONE = Decimal(0)


class Side(StrEnum):
    """Which way a leg trades."""

    BUY = "BUY"
    SELL = "SELL"


@dataclass(frozen=True, slots=True)
class Charges:
    """Rupees. `stt` is the transaction tax: STT on securities, CTT on commodities."""

    brokerage: Decimal = _NONE
    stt: Decimal = _NONE
    exchange: Decimal = _NONE
    sebi: Decimal = _NONE
    stamp: Decimal = _NONE
    gst: Decimal = _NONE

    @property
    def total(self) -> Decimal:
        """All of it."""
        return self.brokerage + self.stt + self.exchange + self.sebi + self.stamp + self.gst

    def __add__(self, other: "Charges") -> "Charges":
        return Charges(
            self.brokerage + other.brokerage,
            self.stt + other.stt,
            self.exchange + other.exchange,
            self.sebi + other.sebi,
            self.stamp + other.stamp,
            self.gst + other.gst,
        )

    def rounded(self) -> "Charges":
        """Each component to the paisa, halves up; their total is then the sum of what is shown."""
        return Charges(
            _to_paisa(self.brokerage),
            _to_paisa(self.stt),
            _to_paisa(self.exchange),
            _to_paisa(self.sebi),
            _to_paisa(self.stamp),
            _to_paisa(self.gst),
        )


@dataclass(frozen=True, slots=True)
class SegmentRates:
    """The dated rates of one segment: rupees an order, and fractions of what is named."""

    brokerage_per_order_inr: Dated[Decimal]
    transaction_tax_sell: Dated[Decimal]
    transaction_tax_exercise: Dated[Decimal]
    exchange: Dated[Decimal]
    sebi: Dated[Decimal]
    stamp_buy: Dated[Decimal]
    gst: Dated[Decimal]

    @classmethod
    def read(cls, fields: Fields) -> "SegmentRates":
        """One segment of charges.json."""
        rates = cls(
            *(Dated.read(fields, name, lambda row: row.decimal("value")) for name in cls.__slots__)
        )
        fields.finish()
        return rates


class ChargeSchedule:
    """The charges of every segment by day."""

    def __init__(self, segments: Mapping[str, SegmentRates]) -> None:
        self._segments = segments

    @classmethod
    def shipped(cls, overrides: object = None) -> "ChargeSchedule":
        """The shipped rates under the operator's parsed rows, by segment.

        Raises ConfigInvalid with the path of what is wrong.
        """
        below = Fields(shipped("charges"), "shipped charges")
        above = Fields({} if overrides is None else overrides, "charges", below)
        return cls({name: SegmentRates.read(above.block(name)) for name in above.names()})

    def leg(
        self,
        segment: str,
        side: Side,
        turnover_inr: Decimal,
        on: date,
        orders: int = 1,
        exercised: bool = False,
    ) -> Charges:
        """One leg of `turnover_inr` (price x quantity; premium x quantity for options).

        Exercised: the turnover is the intrinsic value, no order is placed, and only the holder,
        who gives up the option (SELL), pays the transaction tax.
        """
        rates = self._rates(segment)
        if exercised:
            holder = side is Side.SELL
            tax = rates.transaction_tax_exercise.on(on) * turnover_inr if holder else _NONE
            return Charges(stt=tax)
        brokerage = rates.brokerage_per_order_inr.on(on) * orders
        exchange = rates.exchange.on(on) * turnover_inr
        sebi = rates.sebi.on(on) * turnover_inr
        selling = side is Side.SELL
        return Charges(
            brokerage=brokerage,
            stt=rates.transaction_tax_sell.on(on) * turnover_inr if selling else _NONE,
            exchange=exchange,
            sebi=sebi,
            stamp=_NONE if selling else rates.stamp_buy.on(on) * turnover_inr,
            gst=rates.gst.on(on) * (brokerage + exchange + sebi),
        )

    def exposure(
        self,
        spec: InstrumentSpec,
        terms: ContractTerms,
        price: Decimal,
        lots: int,
        on: date,
        opening: bool,
    ) -> Charges:
        """What opening or closing `lots` at `price` costs where the legs' prices are not known.

        A future is one leg. A synthetic buys the call and sells the put, and the reverse to
        close, at premiums assumed as fractions of `price`. Orders are cut at the freeze quantity.
        """
        turnover = price * lots * terms.point_value
        orders = _orders(terms, lots)
        side, other = (Side.BUY, Side.SELL) if opening else (Side.SELL, Side.BUY)
        premiums = spec.assumed_premium_fractions
        if premiums is None:
            return self.leg(spec.charge_segment, side, turnover, on, orders)
        call = self.leg(spec.charge_segment, side, premiums.call * turnover, on, orders)
        put = self.leg(spec.charge_segment, other, premiums.put * turnover, on, orders)
        return call + put

    def _rates(self, segment: str) -> SegmentRates:
        rates = self._segments.get(segment)
        if rates is None:
            known = ", ".join(self._segments)
            raise Rejected("UNKNOWN_SEGMENT", f"no charges for {segment!r}; known: {known}")
        return rates


def _orders(terms: ContractTerms, lots: int) -> int:
    """How many orders it takes to send `lots` in whole lots of at most the freeze quantity."""
    if terms.freeze_quantity is None:
        return 1
    lots_per_order = max(1, terms.freeze_quantity // terms.lot_size)
    return -(-lots // lots_per_order)


def _to_paisa(amount: Decimal) -> Decimal:
    return amount.quantize(_PAISA, ROUND_HALF_UP)
