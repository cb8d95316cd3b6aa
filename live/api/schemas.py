"""How values look in JSON: one rule for each type, so that a record needs no second description.

Decimals are strings with all their digits, times ISO 8601 with their offset, enums their value.
"""

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Generic, TypeVar

from marshmallow import Schema, fields, validate
from marshmallow.exceptions import ValidationError
from marshmallow.types import UnknownOption

from core.ist import IST, as_ist

Item = TypeVar("Item")

LARGEST_ID = 2**63 - 1
MOST_ROWS = 500

_RUPEES = re.compile(r"[0-9]{1,15}(\.[0-9]{1,2})?")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class ExactField(fields.String):
    """A Decimal out, as a string with all its digits and no exponent."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else format(value, "f")


class BytesField(fields.String):
    """Bytes out, as the text they most likely are."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else bytes(value).decode(errors="replace")


class RupeesField(fields.String):
    """Rupees in, above zero and to the paisa, as a string or a number."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        is_number = isinstance(value, (str, int, float)) and not isinstance(value, bool)
        if not is_number or not _RUPEES.fullmatch(str(value)) or not Decimal(str(value)):
            raise ValidationError(
                "must be rupees above 0 with at most two decimals, like 250000.50"
            )
        return Decimal(str(value))


class TextField(fields.String):
    """A line or more of text in, without what no person types."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if _UNPRINTABLE.search(text):
            raise ValidationError("must not hold control characters")
        return text.strip()


class MomentField(fields.AwareDateTime):
    """A time in, and given on in IST."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            return as_ist(super()._deserialize(value, attr, data, **kwargs))
        except OverflowError as error:
            raise ValidationError("must be a time between the years 1 and 9999") from error


def text(longest: int, *, shortest: int = 1, **options: Any) -> TextField:
    """An argument that is text; whitespace around it does not count."""

    def long_enough(value: str) -> None:
        if not shortest <= len(value) <= longest:
            raise ValidationError(f"must have {shortest} to {longest} characters")

    metadata = {"minLength": shortest, "maxLength": longest}
    return TextField(validate=long_enough, metadata=metadata, **options)


def instrument(**options: Any) -> fields.String:
    """An argument that names an instrument."""
    return fields.String(validate=validate.Regexp("^[A-Z][A-Z0-9_]{0,39}$"), **options)


def moment(**options: Any) -> MomentField:
    """An argument that is a time; without an offset, it is taken as IST."""
    return MomentField(format="iso", default_timezone=IST, **options)


class Asked(Schema):
    """Arguments; those that are not known are refused."""

    class Meta:
        """How it reads."""

        unknown: UnknownOption = "raise"


class PageAsked(Asked):
    """Which page of a list: up to `limit` rows, from where the last page's `next_cursor` says."""

    limit = fields.Integer(load_default=100, validate=validate.Range(1, MOST_ROWS))
    cursor = fields.Integer(load_default=None, validate=validate.Range(0, LARGEST_ID))


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Rows of a list, and the `cursor` of the next page, if there is one."""

    items: tuple[Item, ...]
    next_cursor: str | None


def page(rows: Sequence[Item], limit: int, cursor_of: Callable[[Item], int]) -> Page[Item]:
    """A page of at most `limit` of the rows, of which one more was read to see if there is more."""
    shown = tuple(rows[:limit])
    return Page(shown, str(cursor_of(shown[-1])) if len(rows) > limit else None)


@functools.cache
def page_of(kind: type) -> type[Schema]:
    """The schema of a page of those."""
    made: dict[str, fields.Field[Any]] = {
        "items": fields.List(fields.Nested(schema_of(kind)), required=True),
        "next_cursor": fields.String(required=True, allow_none=True),
    }
    return Schema.from_dict(made, name=f"{kind.__name__}Page")


@functools.cache
def schema_of(kind: type) -> type[Schema]:
    """The schema of a dataclass, made from the types of its fields."""
    hints = typing.get_type_hints(kind)
    made = {item.name: _field(hints[item.name]) for item in dataclasses.fields(kind)}
    return Schema.from_dict(made, name=kind.__name__)


_PLAIN: dict[Any, Callable[..., fields.Field[Any]]] = {
    Decimal: ExactField,
    bytes: BytesField,
    datetime: functools.partial(fields.DateTime, format="iso"),
    date: fields.Date,
    bool: fields.Boolean,
    int: fields.Integer,
    float: fields.Float,
    str: fields.String,
    object: fields.Raw,
    Any: fields.Raw,
}


def _field(hint: Any, *, nullable: bool = False) -> fields.Field[Any]:
    options: dict[str, Any] = {"required": True}
    if nullable:
        options["allow_none"] = True
    if hint in _PLAIN:
        return _PLAIN[hint](**options)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _field(next(arm for arm in inner if arm is not types.NoneType), nullable=True)
    if origin is tuple:
        return fields.List(_field(inner[0]), **options)
    if dataclasses.is_dataclass(hint):
        return fields.Nested(schema_of(typing.cast(type, hint)), **options)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return fields.Enum(hint, by_value=fields.String, **options)
    return fields.Dict(keys=fields.String(), values=_field(inner[1], nullable=True), **options)
