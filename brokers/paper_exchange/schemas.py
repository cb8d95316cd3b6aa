"""What a request may hold: anything else is refused by name, as the gateway refuses it.

The texts are marshmallow's own, which is what the gateway uses; where it has its own they are
given here.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from brokers.paper_exchange.orders import PriceType

_EXCHANGES = (
    *("NSE", "NFO", "CDS", "BSE", "BFO", "BCD", "MCX", "NCDEX", "NCO"),
    *("NSE_INDEX", "BSE_INDEX", "MCX_INDEX", "GLOBAL_INDEX", "CRYPTO"),
)
_PRODUCTS = ("MIS", "NRML", "CNC")
_PRICE_TYPES = [each.value for each in PriceType]
_NOT_A_NUMBER = "Not a valid number."
_HIGHEST_NUMBER = 10**9
_MOST_MARGIN_LEGS = 50


class Quantity(fields.Field[int]):
    """A whole number above zero, as a number or as text."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> int:
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise ValidationError(_NOT_A_NUMBER) from None
        if isinstance(value, bool) or not abs(number) <= _HIGHEST_NUMBER:
            raise ValidationError(_NOT_A_NUMBER)
        if number <= 0:
            raise ValidationError("Quantity must be a positive number.")
        if number != int(number):
            text = f"Fractional quantity ({value}) is not allowed for non-crypto exchanges."
            raise ValidationError(text)
        return int(number)


def _one_of(choices: list[str] | tuple[str, ...]) -> validate.OneOf:
    return validate.OneOf(choices)


def _price() -> fields.Decimal:
    return fields.Decimal(load_default=Decimal(0), validate=validate.Range(0, _HIGHEST_NUMBER))


def _text() -> fields.String:
    return fields.String(required=True)


class KeySchema(Schema):
    """A request that says who asks, and nothing else."""

    apikey = _text()


class ContractSchema(KeySchema):
    """A request about one symbol."""

    symbol = _text()
    exchange = fields.String(required=True, validate=_one_of(_EXCHANGES))


class NamedContractSchema(Schema):
    """One symbol of many."""

    symbol = _text()
    exchange = fields.String(required=True, validate=_one_of(_EXCHANGES))


class MultiQuotesSchema(KeySchema):
    """Quotes of many symbols."""

    symbols = fields.List(
        fields.Nested(NamedContractSchema), required=True, validate=validate.Length(min=1)
    )


class ExpirySchema(ContractSchema):
    """The expiries of an underlying."""

    instrumenttype = fields.String(required=True, validate=_one_of(("futures", "options")))


class OrderSchema(ContractSchema):
    """A new order. The product is MIS unless said otherwise, as at the gateway."""

    strategy = _text()
    action = fields.String(required=True, validate=_one_of(("BUY", "SELL", "buy", "sell")))
    quantity = Quantity(required=True)
    pricetype = fields.String(load_default="MARKET", validate=_one_of(_PRICE_TYPES))
    product = fields.String(load_default="MIS", validate=_one_of(_PRODUCTS))
    price = _price()
    trigger_price = _price()
    disclosed_quantity = fields.Integer(load_default=0)
    underlying_ltp = fields.Decimal(load_default=None, allow_none=True)


class ModifySchema(ContractSchema):
    """A change of an order: every field, also those that are not applied."""

    strategy = _text()
    orderid = _text()
    action = fields.String(required=True, validate=_one_of(("BUY", "SELL", "buy", "sell")))
    product = fields.String(required=True, validate=_one_of(_PRODUCTS))
    pricetype = fields.String(required=True, validate=_one_of(_PRICE_TYPES))
    price = fields.Decimal(required=True, validate=validate.Range(0, _HIGHEST_NUMBER))
    quantity = Quantity(required=True)
    disclosed_quantity = fields.Integer(required=True)
    trigger_price = fields.Decimal(required=True, validate=validate.Range(0, _HIGHEST_NUMBER))


class OrderIdSchema(KeySchema):
    """A request about one order."""

    strategy = _text()
    orderid = _text()


class OpenPositionSchema(ContractSchema):
    """A request about one position."""

    strategy = _text()
    product = fields.String(required=True, validate=_one_of(_PRODUCTS))


class MarginLegSchema(Schema):
    """A leg of a margin request. Here, and only here, the quantity must be text."""

    symbol = _text()
    exchange = fields.String(required=True, validate=_one_of(_EXCHANGES))
    action = fields.String(required=True, validate=_one_of(("BUY", "SELL", "buy", "sell")))
    quantity = _text()
    product = fields.String(required=True, validate=_one_of(_PRODUCTS))
    pricetype = fields.String(required=True, validate=_one_of(_PRICE_TYPES))
    price = fields.String(load_default="0")
    trigger_price = fields.String(load_default="0")


class MarginSchema(KeySchema):
    """What some legs would need together."""

    positions = fields.List(
        fields.Nested(MarginLegSchema),
        required=True,
        validate=validate.Length(min=1, max=_MOST_MARGIN_LEGS),
    )


class ModeSchema(KeySchema):
    """The global switch: true is the sandbox."""

    mode = fields.Boolean(required=True)


class YearSchema(KeySchema):
    """A year of holidays."""

    year = fields.Integer(required=True)


class DaySchema(KeySchema):
    """A day's timings."""

    date = _text()


class PriceSchema(KeySchema):
    """Control: what an instrument costs from now on."""

    instrument = _text()
    price = fields.Decimal(
        required=True, validate=validate.Range(0, _HIGHEST_NUMBER, min_inclusive=False)
    )


class TouchSchema(KeySchema):
    """Control: how many ticks bid and ask are from the last price; 0 is a market without spread."""

    ticks = fields.Integer(required=True, strict=True, validate=validate.Range(0, 1000))


class ClockSchema(KeySchema):
    """Control: hold the clock at `at`, `advance_s` later, or let it run (neither given)."""

    at = fields.DateTime(format="iso")
    advance_s = fields.Float(validate=validate.Range(0, _HIGHEST_NUMBER))
