"""A setting is read by its path: what is missing, malformed or unknown is named, never guessed.

One layer (the operator's) may lie over another (the shipped one): a single value comes from the
upper layer where it has one, and a list is the lower layer's elements followed by the upper's.
"""

from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TypeVar

from core.errors import ConfigInvalid

Choice = TypeVar("Choice", bound=StrEnum)


def as_text(path: str, value: object) -> str:
    """A non-empty string."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigInvalid(path, value, "a non-empty text is expected")
    return value


def as_integer(path: str, value: object, at_least: int) -> int:
    """A whole number; true and false are not numbers."""
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise ConfigInvalid(path, value, f"a whole number of at least {at_least} is expected")
    return value


def as_decimal(path: str, value: object, above: str | None = None) -> Decimal:
    """A finite number, best written as a string; at least 0, or above `above` where given."""
    allowed = "a number of at least 0" if above is None else f"a number above {above}"
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        raise ConfigInvalid(path, value, f"{allowed} is expected")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ConfigInvalid(path, value, f"{allowed} is expected") from None
    too_low = not number.is_finite() or (number < 0 if above is None else number <= Decimal(above))
    if too_low:
        raise ConfigInvalid(path, value, f"{allowed} is expected")
    return number


def as_day(path: str, value: object) -> date:
    """A date written 2026-11-24."""
    text = value if isinstance(value, str) else ""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise ConfigInvalid(path, value, "a real date written YYYY-MM-DD is expected")
    return day


def as_clock(path: str, value: object) -> time:
    """A time of day in IST, written 15:30."""
    text = value if isinstance(value, str) else ""
    try:
        clock = time.fromisoformat(text)
    except ValueError:
        clock = None
    if clock is None or clock.strftime("%H:%M") != text:
        raise ConfigInvalid(path, value, "a time of day written HH:MM is expected")
    return clock


class Fields:
    """One JSON object, read key by key. `finish()` refuses the keys that nobody read."""

    def __init__(self, raw: object, path: str, under: "Fields | None" = None) -> None:
        if not isinstance(raw, Mapping):
            raise ConfigInvalid(path, raw, "an object is expected")
        self._raw: Mapping[str, object] = raw
        self._under = under
        self._known: set[str] = set()
        self.path = path

    def has(self, key: str) -> bool:
        """Whether a layer has `key` (null counts as absent)."""
        return self._layer(key) is not None

    def says(self, key: str, word: str) -> bool:
        """Whether the value is exactly that word."""
        return self._value(key)[1] == word

    def names(self) -> list[str]:
        """Every key of every layer, the lower layer's first."""
        below = self._under.names() if self._under is not None else []
        return below + [key for key in self._raw if key not in below]

    def text(self, key: str) -> str:
        """A non-empty string."""
        return as_text(*self._value(key))

    def integer(self, key: str, at_least: int) -> int:
        """A whole number of at least `at_least`."""
        return as_integer(*self._value(key), at_least)

    def decimal(self, key: str, above: str | None = None) -> Decimal:
        """A finite number: at least 0, or above `above` where given."""
        return as_decimal(*self._value(key), above)

    def day(self, key: str) -> date:
        """A date."""
        return as_day(*self._value(key))

    def clock(self, key: str) -> time:
        """A time of day."""
        return as_clock(*self._value(key))

    def optional_clock(self, key: str) -> time | None:
        """A time of day, or None where absent."""
        return self.clock(key) if self.has(key) else None

    def choice(self, key: str, kind: type[Choice]) -> Choice:
        """One of the values of `kind`."""
        path, value = self._value(key)
        try:
            return kind(str(value))
        except ValueError:
            raise ConfigInvalid(path, value, f"one of {', '.join(kind)} is expected") from None

    def block(self, key: str) -> "Fields":
        """The object under `key`, layered like this one; an absent one is empty."""
        below = self._under.block(key) if self._under is not None else None
        self._known.add(key)
        own = self._raw.get(key)
        return Fields({} if own is None else own, f"{self.path}.{key}", below)

    def values(self, key: str) -> list[tuple[str, object]]:
        """Path and value of each element of the list under `key`, the lower layer's first."""
        below = self._under.values(key) if self._under is not None else []
        self._known.add(key)
        own = self._raw.get(key)
        if own is None:
            return below
        if not isinstance(own, list):
            raise ConfigInvalid(f"{self.path}.{key}", own, "a list is expected")
        return below + [(f"{self.path}.{key}[{i}]", element) for i, element in enumerate(own)]

    def rows(self, key: str) -> list["Fields"]:
        """The objects of the list under `key`, the lower layer's first."""
        return [Fields(value, path) for path, value in self.values(key)]

    def plain(self, key: str) -> dict[str, object]:
        """The object under `key` as it is, unread, the upper layer's keys winning."""
        below = self._under.plain(key) if self._under is not None else {}
        return below | dict(self.block(key)._raw)

    def finish(self) -> None:
        """Refuse keys that were never asked for."""
        for key in self._raw:
            if key not in self._known:
                allowed = f"known here: {', '.join(sorted(self._known))}"
                raise ConfigInvalid(f"{self.path}.{key}", self._raw[key], allowed)
        if self._under is not None:
            self._under.finish()

    def _layer(self, key: str) -> "Fields | None":
        self._known.add(key)
        below = self._under._layer(key) if self._under is not None else None
        return self if self._raw.get(key) is not None else below

    def _value(self, key: str) -> tuple[str, object]:
        layer = self._layer(key)
        if layer is None:
            raise ConfigInvalid(f"{self.path}.{key}", None, "a value is required")
        return f"{layer.path}.{key}", layer._raw[key]
