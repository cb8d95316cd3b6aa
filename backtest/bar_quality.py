"""What is wrong with rows of bars, by count and by row, and what remains after it was dealt with.

Nothing is invented: a repair only widens a bar's high and low to hold its own open and close, sorts
by time, and keeps the last of several rows of one time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from backtest.bar_csv import RawBars

EXAMPLES = 10

Flags = NDArray[np.bool_]


class OnBadBars(StrEnum):
    """What to do about bad rows: stop, repair what can be (and drop the rest), or drop them."""

    REFUSE = "refuse"
    REPAIR = "repair"
    DROP = "drop"


class BarFault(StrEnum):
    """What can be wrong with a row."""

    HIGH_TOO_LOW = "high below open or close"
    LOW_TOO_HIGH = "low above open or close"
    PRICE_UNUSABLE = "price not a positive number"
    TIME_UNREADABLE = "time not readable (ISO 8601 or epoch)"
    DUPLICATE = "time of an earlier row"
    WRONG_ORDER = "earlier than a row before it"
    WRONG_TIME_ZONE = "offset other than +05:30"


_BEYOND_REPAIR = (BarFault.PRICE_UNUSABLE, BarFault.TIME_UNREADABLE)


@dataclass(frozen=True, slots=True)
class BadRow:
    """One bad row as the file has it; `line` counts from 1."""

    line: int
    faults: tuple[BarFault, ...]
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {'; '.join(self.faults)}: {self.text}"


@dataclass(frozen=True, slots=True)
class Gap:
    """A day whose session lacks bars between others."""

    day: date
    bars: int


@dataclass(frozen=True, slots=True)
class BarQuality:
    """What was found in a file of bars, and what became of it.

    A row may have several faults and is one bad row. `gaps` are days whose session lacks bars,
    `outside_session` counts bars that lie in no session, and `special_days` days traded wholly
    outside their regular hours (both 0 where hours were not given).
    """

    source: str
    on_bad: OnBadBars
    rows: int
    bad_rows: int
    kept_rows: int
    faults: Mapping[BarFault, int]
    examples: tuple[BadRow, ...]
    gaps: tuple[Gap, ...]
    outside_session: int
    special_days: int = 0

    @property
    def missing_bars(self) -> int:
        """Bars that sessions should hold and do not."""
        return sum(gap.bars for gap in self.gaps)

    @property
    def dropped_rows(self) -> int:
        """Rows that did not become bars."""
        return self.rows - self.kept_rows

    def notes(self) -> tuple[str, ...]:
        """One sentence for each thing a reader of results must know; none for a clean file."""
        notes = []
        if self.bad_rows:
            notes.append(
                f"{self.source}: {fault_summary(self.bad_rows, self.rows, self.faults)}; "
                f"on-bad-bars {self.on_bad}: {self.dropped_rows} rows dropped, "
                f"{self.kept_rows} kept"
            )
        if self.missing_bars:
            notes.append(
                f"{self.source}: {self.missing_bars} bars missing inside sessions, "
                f"on {len(self.gaps)} days; none is invented"
            )
        if self.special_days:
            notes.append(
                f"{self.source}: {self.special_days} days lie wholly outside the market's hours "
                "and are taken as special sessions"
            )
        if self.outside_session:
            notes.append(f"{self.source}: {self.outside_session} bars outside session hours")
        return tuple(notes)

    def __str__(self) -> str:
        head = self.notes() or (f"{self.source}: {self.rows} bars, none bad",)
        return "\n".join([*head, *(f"  {row}" for row in self.examples)])


def fault_summary(bad_rows: int, rows: int, faults: Mapping[BarFault, int]) -> str:
    """`5 of 900 rows are bad (5 high below open or close)`."""
    kinds = ", ".join(f"{count} {fault}" for fault, count in faults.items())
    return f"{bad_rows} of {rows} rows are bad ({kinds})"


def find_faults(raw: RawBars) -> dict[BarFault, Flags]:
    """Which rows have which fault; only faults that occur."""
    prices = (raw.open, raw.high, raw.low, raw.close)
    with np.errstate(invalid="ignore"):
        usable = np.logical_and.reduce([np.isfinite(price) & (price > 0) for price in prices])
        high_too_low = usable & (raw.high < np.maximum(raw.open, raw.close))
        low_too_high = usable & (raw.low > np.minimum(raw.open, raw.close))
    duplicate, wrong_order = _out_of_place(raw, usable & ~raw.time_unreadable)
    found = {
        BarFault.HIGH_TOO_LOW: high_too_low,
        BarFault.LOW_TOO_HIGH: low_too_high,
        BarFault.PRICE_UNUSABLE: ~usable,
        BarFault.TIME_UNREADABLE: raw.time_unreadable,
        BarFault.DUPLICATE: duplicate,
        BarFault.WRONG_ORDER: wrong_order,
        BarFault.WRONG_TIME_ZONE: raw.foreign_offset,
    }
    return {fault: rows for fault, rows in found.items() if rows.any()}


def bad_rows_of(faults: Mapping[BarFault, Flags], rows: int) -> Flags:
    """Rows with any fault."""
    bad = np.zeros(rows, dtype=np.bool_)
    for flags in faults.values():
        bad |= flags
    return bad


def rows_to_keep(
    raw: RawBars, faults: Mapping[BarFault, Flags], on_bad: OnBadBars
) -> NDArray[np.intp]:
    """Row numbers that become bars, by rising time, one for each time.

    DROP leaves out every row with a fault (of equal times the first stays); REPAIR only those
    beyond repair (of equal times the last stays).
    """
    rows = len(raw.line)
    if on_bad is OnBadBars.REPAIR:
        lost = {fault: flags for fault, flags in faults.items() if fault in _BEYOND_REPAIR}
        kept = np.flatnonzero(~bad_rows_of(lost, rows))
        kept = kept[np.argsort(raw.epoch_s[kept], kind="stable")]
        return kept[np.append(np.diff(raw.epoch_s[kept]) != 0, True)] if len(kept) else kept
    return np.flatnonzero(~bad_rows_of(faults, rows))


def _out_of_place(raw: RawBars, readable: Flags) -> tuple[Flags, Flags]:
    """Rows whose time an earlier row has, and other rows that are earlier than one before them."""
    duplicate = np.zeros(len(raw.line), dtype=np.bool_)
    wrong_order = duplicate.copy()
    rows = np.flatnonzero(readable)
    times = raw.epoch_s[rows]
    if len(rows) < 2 or (np.diff(times) > 0).all():
        return duplicate, wrong_order
    by_time = np.argsort(times, kind="stable")
    again = np.flatnonzero(np.diff(times[by_time]) == 0) + 1
    duplicate[rows[by_time[again]]] = True
    wrong_order[rows[1:]] = times[1:] < np.maximum.accumulate(times)[:-1]
    return duplicate, wrong_order & ~duplicate
