"""Typed values as JSON or a row, and back: what is read equals what was written.

Decimals are text with every digit, times ISO 8601 with their offset, enums their value. The type
is not in the JSON: whoever reads says which it is.
"""

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, TypeVar

Value = TypeVar("Value")


def to_json(value: object) -> str:
    """A dataclass, or a mapping or sequence of plain values, as JSON text."""
    return json.dumps(_plain(value), allow_nan=False)


def from_json(kind: type[Value], data: object) -> Value:
    """The `kind` that `data` (decoded JSON) was made from."""
    value: Value = _typed(kind, data)
    return value


def from_row(kind: type[Value], row: Sequence[Any]) -> Value:
    """The `kind` whose fields are the columns of `row`, in their order."""
    hints = _hints(typing.cast(type, kind)).values()
    return kind(*(_typed(hint, value) for hint, value in zip(hints, row, strict=True)))


def _plain(value: object) -> object:
    match value:
        case Enum():
            return value.value
        case Decimal():
            return str(value)
        case datetime():
            return value.isoformat()
        case Mapping():
            return {str(name): _plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case _ if dataclasses.is_dataclass(value):
            return {
                item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)
            }
        case _:
            return value


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _typed(kind: Any, data: Any) -> Any:
    if data is None or kind is Any:
        return data
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _typed(next(arm for arm in inner if arm is not types.NoneType), data)
    if origin is tuple:
        return tuple(_typed(inner[0], item) for item in data)
    if origin is dict:
        return {name: _typed(inner[1], item) for name, item in data.items()}
    if isinstance(data, kind):
        return data
    if dataclasses.is_dataclass(kind):
        hints, make = _hints(typing.cast(type, kind)), typing.cast(Any, kind)
        return make(**{name: _typed(hints[name], item) for name, item in data.items()})
    if kind in (date, datetime):
        return kind.fromisoformat(data)
    return kind(data)
