"""The bars of one instrument, in columns: rising open times, prices that hold together.

What a file gets wrong is never passed over: it is refused by default, or repaired or dropped where
the user asked for that, and reported either way.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backtest.bar_csv import RawBars, raw_lines, read_raw_bars
from backtest.bar_quality import (
    EXAMPLES,
    BadRow,
    BarFault,
    BarQuality,
    Flags,
    Gap,
    OnBadBars,
    bad_rows_of,
    fault_summary,
    find_faults,
    rows_to_keep,
)
from backtest.sessions import SessionHours, bar_spacing_s, find_sessions, missing_bars
from core.errors import InputInvalid
from core.ist import IST

DAYS_THAT_TELL = 5

__all__ = ["Bar", "BarFault", "BarQuality", "Bars", "OnBadBars", "read_bars"]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; `time` is its open, in IST."""

    time: datetime
    open: float
    high: float
    low: float
    close: float


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Columns of equal length; `epoch_s` is the open time and rises. Prices in points.

    `notes` say what was left out on the way to these bars.
    """

    epoch_s: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError for columns that are not of one length or times that do not rise."""
        columns = (self.open, self.high, self.low, self.close)
        if any(len(column) != len(self.epoch_s) for column in columns):
            raise ValueError("the columns of bars must be of one length")
        if not (np.diff(self.epoch_s) > 0).all():
            raise ValueError("the times of bars must rise")

    def __len__(self) -> int:
        return len(self.epoch_s)

    def __iter__(self) -> Iterator[Bar]:
        return (self[index] for index in range(len(self)))

    def first(self, count: int) -> "Bars":
        """The first `count` bars."""
        return Bars(
            self.epoch_s[:count],
            self.open[:count],
            self.high[:count],
            self.low[:count],
            self.close[:count],
            self.notes,
        )

    def __getitem__(self, index: int) -> Bar:
        return Bar(
            datetime.fromtimestamp(int(self.epoch_s[index]), IST),
            float(self.open[index]),
            float(self.high[index]),
            float(self.low[index]),
            float(self.close[index]),
        )


def read_bars(
    path: Path, on_bad: OnBadBars = OnBadBars.REFUSE, hours: SessionHours | None = None
) -> tuple[Bars, BarQuality]:
    """Read a CSV with a header: time, open, high, low, close in any order, others ignored.

    `hours` gives a day's open and close in IST; with them bars outside are counted, and gaps at
    the ends of sessions too. Raises `InputInvalid` for a file that is not such a CSV, for one
    without a usable row or with most days outside `hours`, and under REFUSE for any bad row or
    gap.
    """
    raw = read_raw_bars(path)
    faults = find_faults(raw)
    if faults and on_bad is OnBadBars.REFUSE:
        raise _refusal(path, raw, faults)
    kept = rows_to_keep(raw, faults, on_bad)
    if not len(kept):
        raise InputInvalid(str(path), f"has no usable bar in {len(raw.line)} rows")
    bars = _bars_of(raw, kept)
    quality = _quality(path, on_bad, raw, faults, bars, hours)
    if quality.gaps and on_bad is OnBadBars.REFUSE:
        raise _gap_refusal(quality)
    return bars, quality


def _bars_of(raw: RawBars, kept: NDArray[np.intp]) -> Bars:
    """The kept rows as bars; high and low are widened to hold open and close."""
    first, last = raw.open[kept], raw.close[kept]
    return Bars(
        epoch_s=raw.epoch_s[kept],
        open=first,
        high=np.maximum(raw.high[kept], np.maximum(first, last)),
        low=np.minimum(raw.low[kept], np.minimum(first, last)),
        close=last,
    )


def _quality(
    path: Path,
    on_bad: OnBadBars,
    raw: RawBars,
    faults: dict[BarFault, Flags],
    bars: Bars,
    hours: SessionHours | None,
) -> BarQuality:
    spacing_s = bar_spacing_s(bars.epoch_s)
    gaps: tuple[Gap, ...] = ()
    outside = special = 0
    if spacing_s is not None:
        sessions = find_sessions(bars.epoch_s, spacing_s, hours)
        if hours is not None:
            special = int(sessions.special.sum())
            _check_hours(path, special, len(sessions.starts))
        missing = missing_bars(bars.epoch_s, sessions, spacing_s).tolist()
        gaps = tuple(
            Gap(day, count) for day, count in zip(sessions.days, missing, strict=True) if count
        )
        outside = int((~sessions.inside).sum())
    return BarQuality(
        source=str(path),
        on_bad=on_bad,
        rows=len(raw.line),
        bad_rows=int(bad_rows_of(faults, len(raw.line)).sum()),
        kept_rows=len(bars),
        faults={fault: int(flags.sum()) for fault, flags in faults.items()},
        examples=_examples(path, raw, faults),
        gaps=gaps,
        outside_session=outside,
        special_days=special,
    )


def _check_hours(path: Path, special: int, days: int) -> None:
    """Raises `InputInvalid` when most days are traded wholly outside the market's hours."""
    if days >= DAYS_THAT_TELL and special > days / 2:
        raise InputInvalid(
            str(path),
            f"{special} of {days} days lie wholly outside the market's hours, so the times are of "
            "another time zone (without an offset they are read as IST): write them with offsets",
        )


def _gap_refusal(quality: BarQuality) -> InputInvalid:
    shown = quality.gaps[:EXAMPLES]
    return InputInvalid(
        quality.source,
        f"{quality.missing_bars} bars are missing inside sessions, on {len(quality.gaps)} days.\n"
        "Use --on-bad-bars repair or drop to go on without them (none is invented). "
        f"The first {len(shown)} days:\n"
        + "\n".join(f"  {gap.day}: {gap.bars} missing" for gap in shown),
    )


def _refusal(path: Path, raw: RawBars, faults: dict[BarFault, Flags]) -> InputInvalid:
    rows = len(raw.line)
    counts = {fault: int(flags.sum()) for fault, flags in faults.items()}
    examples = _examples(path, raw, faults)
    return InputInvalid(
        str(path),
        f"{fault_summary(int(bad_rows_of(faults, rows).sum()), rows, counts)}.\n"
        "Use --on-bad-bars repair (high and low are widened to hold open and close, rows are "
        "sorted and put into IST, the last of equal times is kept, the rest is dropped) or "
        f"--on-bad-bars drop. The first {len(examples)}:\n"
        + "\n".join(f"  {row}" for row in examples),
    )


def _examples(path: Path, raw: RawBars, faults: dict[BarFault, Flags]) -> tuple[BadRow, ...]:
    rows = np.flatnonzero(bad_rows_of(faults, len(raw.line)))[:EXAMPLES].tolist()
    lines = [int(raw.line[row]) for row in rows]
    return tuple(
        BadRow(line, tuple(fault for fault, flags in faults.items() if flags[row]), text)
        for row, line, text in zip(rows, lines, raw_lines(path, lines), strict=True)
    )
