"""The kinds of value an alert may carry; each takes exactly one JSON type and says what it wants.

A switch is not a number and quoted text is neither: `"52000"` is refused, so that a misquoted
alert is repaired where it is written and never guessed at here.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Generic, TypeVar

from marshmallow import ValidationError, fields

from core.ist import IST, as_ist
from core.models import MAX_LAYERS, layer_name

T = TypeVar("T")

_PRICE_STEP = Decimal("0.0001")
_YEARS = range(2000, 2100)
_FIRST_S, _LAST_S = (
    int(datetime(year, 1, 1, tzinfo=IST).timestamp()) for year in (_YEARS.start, _YEARS.stop)
)
_NOT_A_TIME = "must be an ISO 8601 time such as 2025-11-28T10:30:00"
_LAYERS = {layer_name(layer): layer for layer in range(1, MAX_LAYERS + 1)}


class AlertField(fields.Field[T], Generic[T]):
    """A field that reads one JSON value."""

    def __init__(self, **options: Any) -> None:
        super().__init__(error_messages={"required": "is required"}, **options)

    def read(self, value: Any) -> T:
        """The value; raises ValidationError that says what it must be."""
        raise NotImplementedError

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> T:
        return self.read(value)


class NumberField(AlertField[T], Generic[T]):
    """A JSON number, exact, less than `limit` either way."""

    limit: ClassVar[Decimal] = Decimal(10) ** 9

    def exact(self, value: Any) -> Decimal:
        """The number as it was written; a float by its shortest text, without binary dust."""
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise ValidationError("must be a number, without quotes")
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        if abs(number) >= self.limit:
            raise ValidationError("is out of range")
        return number

    def whole(self, value: Any) -> int:
        """The same, from 0 and without a fraction; `5.0` is 5."""
        number = self.exact(value)
        if number < 0:
            raise ValidationError("must not be negative")
        if number != int(number):
            raise ValidationError("must be a whole number")
        return int(number)


class RatioField(NumberField[float]):
    """A ratio or an indicator's value."""

    def read(self, value: Any) -> float:
        return float(self.exact(value))


class PriceField(NumberField[Decimal]):
    """Points at the four decimals that are stored; zero is allowed."""

    def read(self, value: Any) -> Decimal:
        number = self.exact(value)
        if number < 0:
            raise ValidationError("must not be negative")
        exponent = number.as_tuple().exponent
        is_finer = isinstance(exponent, int) and exponent < -4
        return number.quantize(_PRICE_STEP) if is_finer else number


class TradedPriceField(PriceField):
    """A price that something can trade at."""

    def read(self, value: Any) -> Decimal:
        price = super().read(value)
        if price == 0:
            raise ValidationError("must be above 0")
        return price


class CountField(NumberField[int]):
    """A whole number from 0."""

    limit: ClassVar[Decimal] = Decimal(10) ** 18

    def read(self, value: Any) -> int:
        return self.whole(value)


class EpochField(NumberField[datetime]):
    """Milliseconds since 1970, as Pine's `time`; read as the moment in IST."""

    limit: ClassVar[Decimal] = Decimal(10) ** 18

    def read(self, value: Any) -> datetime:
        seconds, milliseconds = divmod(self.whole(value), 1000)
        if not _FIRST_S <= seconds < _LAST_S:
            raise ValidationError("is out of range")
        return datetime.fromtimestamp(seconds, IST).replace(microsecond=milliseconds * 1000)


class TimestampField(AlertField[datetime]):
    """ISO 8601 with a time of day; without an offset it is IST."""

    def read(self, value: Any) -> datetime:
        if not isinstance(value, str) or ":" not in value:
            raise ValidationError(_NOT_A_TIME)
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError as error:
            raise ValidationError(_NOT_A_TIME) from error
        if moment.year not in _YEARS:
            raise ValidationError("is out of range")
        return as_ist(moment)


class SwitchField(AlertField[bool]):
    """true or false."""

    def read(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("must be true or false")
        return value


class TextField(AlertField[str]):
    """Text with something in it, cut at 200 characters."""

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise ValidationError("must be text, not empty")
        return value.strip()[:200]


class PositionField(AlertField[int | None]):
    """`Long_1` to `Long_6` as 1 to 6; `ALL`, where it is allowed, as None."""

    def __init__(self, *, all_allowed: bool) -> None:
        super().__init__(required=True)
        self._all_allowed = all_allowed

    def read(self, value: Any) -> int | None:
        if self._all_allowed and value == layer_name(None):
            return None
        if not isinstance(value, str) or value not in _LAYERS:
            raise ValidationError(
                f"must be {'ALL or ' if self._all_allowed else ''}Long_1 to Long_{MAX_LAYERS}"
            )
        return _LAYERS[value]
