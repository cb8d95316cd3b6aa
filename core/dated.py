"""A market fact holds from a day on; a day that no row reaches is refused, never guessed."""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Generic, TypeVar

from core.data.fields import Fields
from core.errors import ConfigInvalid, OutsideCoverage

T = TypeVar("T")


class Confidence(StrEnum):
    """H: a primary circular or two sources; M: one good source; L: weak, or extended back."""

    HIGH = "H"
    MEDIUM = "M"
    LOW = "L"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a row comes from and how far it is to be believed."""

    source: str
    confidence: Confidence

    @classmethod
    def read(cls, row: Fields) -> "Origin":
        """The row's own, or the operator's where it names none."""
        return cls(
            row.text("source") if row.has("source") else "operator",
            row.choice("confidence", Confidence) if row.has("confidence") else Confidence.HIGH,
        )


@dataclass(frozen=True, slots=True)
class Row(Generic[T]):
    """`value` from `start` to `end`, both included; without an end, until a later row starts."""

    value: T
    start: date
    end: date | None
    origin: Origin

    def reaches(self, day: date) -> bool:
        """Whether the row has not ended by `day`."""
        return self.end is None or day <= self.end


class Dated(Generic[T]):
    """The rows of one fact. Of two rows with the same start, the one given later wins.

    In force is the row that started last and has not ended, so that a row with an end lies over
    an open one for a while.
    """

    def __init__(self, what: str, rows: Iterable[Row[T]]) -> None:
        by_start = {row.start: row for row in rows}
        self._what = what
        self._starts = sorted(by_start)
        self._rows = [by_start[start] for start in self._starts]

    @classmethod
    def read(cls, fields: Fields, key: str, read_value: Callable[[Fields], T]) -> "Dated[T]":
        """The rows `{"from", "to"?, ...value, "source"?, "confidence"?}` under `key`."""
        rows = [read_row(row, read_value) for row in fields.rows(key)]
        if not rows:
            raise ConfigInvalid(f"{fields.path}.{key}", [], "at least one dated row is required")
        return cls(f"{fields.path}.{key}", rows)

    @property
    def rows(self) -> tuple[Row[T], ...]:
        """All rows, by start."""
        return tuple(self._rows)

    def row(self, day: date) -> Row[T]:
        """The row in force on `day`. Raises OutsideCoverage where there is none."""
        for place in range(bisect_right(self._starts, day) - 1, -1, -1):
            if self._rows[place].reaches(day):
                return self._rows[place]
        first = self._starts[0].isoformat() if self._starts else "nothing"
        raise OutsideCoverage(self._what, day, f"from {first}")

    def on(self, day: date) -> T:
        """The value in force on `day`. Raises OutsideCoverage where there is none."""
        return self.row(day).value


def read_row(row: Fields, read_value: Callable[[Fields], T]) -> Row[T]:
    """One row; `read_value` takes from it what is not about its dates and origin."""
    start = row.day("from")
    end = row.day("to") if row.has("to") else None
    if end is not None and end < start:
        raise ConfigInvalid(f"{row.path}.to", end.isoformat(), f"a day from {start} on is expected")
    read = Row(read_value(row), start, end, Origin.read(row))
    row.finish()
    return read
