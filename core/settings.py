"""Declared settings: a dataclass field says its type, range and unit; a strict reader obeys it.

Nothing is converted on trust: text is not a switch, a switch is not a number, an unknown key is an
error. Every refusal names the key's path, the value and what is allowed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from itertools import pairwise
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from core.errors import ConfigInvalid

T = TypeVar("T")
_SETTING = "setting"
_PLAIN_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE]-?[0-9]{1,2})?")


@dataclass(frozen=True, slots=True)
class _Setting:
    """How one value is read (ValueError or TypeError: refused) and what is allowed, in words."""

    read: Callable[[Any], Any]
    allowed: str


def number(
    default: str, *, low: str | None = None, above: str | None = None, high: str, unit: str = ""
) -> Any:
    """A decimal setting from `low` to `high`, or above `above` and to `high`."""

    def read(value: Any) -> Decimal:
        parsed = _decimal(value)
        inside = parsed > Decimal(above) if above is not None else parsed >= Decimal(low or "0")
        if not (inside and parsed <= Decimal(high)):
            raise ValueError
        return parsed

    bound = f"above {above}" if above is not None else f"from {low}"
    return _declare(Decimal(default), read, f"a number {bound} to {high} {unit}")


def ratio(default: float, *, low: float, high: float) -> Any:
    """A float setting from `low` to `high`."""

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise TypeError
        if not low <= value <= high:
            raise ValueError
        return float(value)

    return _declare(default, read, f"a number from {low:g} to {high:g}")


def whole(default: int, *, low: int, high: int, unit: str = "") -> Any:
    """A whole-number setting from `low` to `high`."""
    return _declare(default, _whole_reader(low, high), f"a whole number {low} to {high} {unit}")


def optional_whole(*, low: int, high: int, unit: str = "") -> Any:
    """A whole-number setting, or null for none."""
    read = _whole_reader(low, high)
    return _declare(
        None,
        lambda value: None if value is None else read(value),
        f"null, or a whole number {low} to {high} {unit}",
    )


def optional_number(*, above: str, high: str, unit: str = "") -> Any:
    """A decimal setting above `above` and to `high`, or null for none."""
    read: Callable[[Any], Any] = number("0", above=above, high=high).metadata[_SETTING].read
    return _declare(
        None,
        lambda value: None if value is None else read(value),
        f"null, or a number above {above} to {high} {unit}",
    )


def rising_numbers(default: str, *, above: str, high: str, most: int, unit: str = "") -> Any:
    """A list of 1 to `most` decimals, each larger than the one before it."""

    def read(value: Any) -> tuple[Decimal, ...]:
        if not isinstance(value, list | tuple):
            raise TypeError
        parsed = tuple(map(_decimal, value))
        bounds = (Decimal(above), *parsed, Decimal(high))
        rises = all(low < next_one for low, next_one in pairwise(bounds[:-1]))
        if not (1 <= len(parsed) <= most and rises and bounds[-2] <= bounds[-1]):
            raise ValueError
        return parsed

    shown = f"1 to {most} rising numbers above {above} to {high} {unit}"
    return _declare(tuple(map(Decimal, default.split())), read, shown)


def flag(default: bool) -> Any:
    """A switch."""

    def read(value: Any) -> bool:
        if not isinstance(value, bool):
            raise TypeError
        return value

    return _declare(default, read, "true or false")


def choice(default: StrEnum) -> Any:
    """One of the values of `default`'s enum."""
    kind = type(default)
    return _declare(default, kind, "one of " + ", ".join(kind))


def read_settings(cls: type[T], settings: object, defaults: Mapping[str, Any], path: str = "") -> T:
    """Build `cls` from parsed JSON over `defaults` (same shape, may be partial).

    A mapping-typed field takes its keys from `defaults` alone. Raises `ConfigInvalid`.
    """
    if not isinstance(settings, Mapping):
        raise ConfigInvalid(path or "(top level)", settings, "an object with named settings")
    known = {item.name: item for item in fields(cls)}  # type: ignore[arg-type]
    for key in settings:
        if key not in known:
            raise ConfigInvalid(_join(path, key), settings[key], "known here: " + ", ".join(known))
    hints = get_type_hints(cls)
    values: dict[str, Any] = {}
    for name, item in known.items():
        where = _join(path, name)
        given, default = settings.get(name, MISSING), defaults.get(name, MISSING)
        if get_origin(hints[name]) is Mapping:
            values[name] = _read_named(get_args(hints[name])[1], given, default, where)
        elif is_dataclass(hints[name]):
            below = {} if default is MISSING else default
            values[name] = read_settings(
                hints[name], {} if given is MISSING else given, below, where
            )
        elif given is not MISSING or default is not MISSING:
            values[name] = _read_one(item.metadata[_SETTING], given, default, where)
    return cls(**values)


def _read_named(cls: type[T], given: Any, defaults: Any, path: str) -> dict[str, T]:
    """Read an object of objects whose names are those of `defaults`."""
    given = {} if given is MISSING else given
    defaults = {} if defaults is MISSING else defaults
    if not isinstance(given, Mapping):
        raise ConfigInvalid(path, given, "an object by name")
    for name in given:
        if name not in defaults:
            raise ConfigInvalid(_join(path, name), given[name], "known: " + ", ".join(defaults))
    return {
        name: read_settings(cls, given.get(name, {}), default, _join(path, name))
        for name, default in defaults.items()
    }


def _read_one(setting: _Setting, given: Any, default: Any, path: str) -> Any:
    value = default if given is MISSING else given
    try:
        return setting.read(value)
    except (TypeError, ValueError, InvalidOperation) as error:
        raise ConfigInvalid(path, value, f"allowed: {setting.allowed}") from error


def _decimal(value: Any) -> Decimal:
    """A finite decimal. Raises TypeError or ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise TypeError
    if isinstance(value, str) and not _PLAIN_NUMBER.fullmatch(value):
        raise ValueError
    parsed = Decimal(str(value))
    if not parsed.is_finite():
        raise ValueError
    return parsed


def _whole_reader(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError
        if not low <= value <= high:
            raise ValueError
        return value

    return read


def _declare(default: Any, read: Callable[[Any], Any], allowed: str) -> Any:
    return field(default=default, metadata={_SETTING: _Setting(read, allowed.rstrip())})


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)
