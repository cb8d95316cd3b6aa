"""Reads a CSV of bars as it stands. Nothing is corrected here: what cannot be read is marked.

Times may be ISO 8601 (without an offset they are IST), epoch seconds or epoch milliseconds; column
names are matched by meaning, in any case.
"""

import csv
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InputInvalid

IST_OFFSET = timedelta(hours=5, minutes=30)
_FIXED_IST = timezone(IST_OFFSET)
_TIME_NAMES = ("time", "datetime", "timestamp", "date")
_PRICE_NAMES = ("open", "high", "low", "close")
_ROWS_AT_ONCE = 20_000
_EPOCH_DIGITS = 9
_FIRST_MILLISECONDS = 10**11
_MS_A_SECOND = 1000
_ANY_DAY = "2000-01-03"
_DATE_LENGTH = len(_ANY_DAY)

Row = list[str]


@dataclass(frozen=True, slots=True)
class RawBars:
    """Columns as read, one value a row; `line` counts from 1. An unreadable price is NaN."""

    line: NDArray[np.int64]
    epoch_s: NDArray[np.int64]
    time_unreadable: NDArray[np.bool_]
    foreign_offset: NDArray[np.bool_]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]


class _Midnights(dict[str, int]):
    """Epoch seconds of an IST day's start, by the ten characters of its ISO date."""

    def __missing__(self, day: str) -> int:
        self[day] = epoch = _read_time(day)[0]
        return epoch


class _Clocks(dict[str, int]):
    """Seconds from an IST day's start, by what follows the date; `foreign` have another offset."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: set[str] = set()

    def __missing__(self, clock: str) -> int:
        epoch, foreign = _read_time(_ANY_DAY + clock)
        if foreign:
            self.foreign.add(clock)
        self[clock] = seconds = epoch - _read_time(_ANY_DAY)[0]
        return seconds


class _Columns:
    """The columns while they are being read."""

    def __init__(self, places: tuple[int, ...]) -> None:
        self._time_place, *self._price_places = places
        self._line = array("q")
        self._epoch_s = array("q")
        self._time_unreadable = bytearray()
        self._foreign_offset = bytearray()
        self._prices = [array("d") for _ in _PRICE_NAMES]
        self._midnights = _Midnights()
        self._clocks = _Clocks()

    def add(self, lines: range, rows: list[Row]) -> None:
        """Append rows: together when all can be read, else one by one. Blank rows are no rows."""
        try:
            times, foreign = self._read_times([row[self._time_place] for row in rows])
            prices = [[float(row[place]) for row in rows] for place in self._price_places]
        except (ValueError, IndexError):
            for line, row in zip(lines, rows, strict=True):
                if row:
                    self._add_doubtful(line, row)
            return
        self._line.extend(lines)
        self._epoch_s.extend(times)
        self._time_unreadable.extend(bytes(len(rows)))
        self._foreign_offset.extend(foreign)
        for column, values in zip(self._prices, prices, strict=True):
            column.extend(values)

    def _read_times(self, texts: list[str]) -> tuple[list[int], bytes]:
        """As `_read_time` for each, but days and clock readings repeat: each is parsed once."""
        if texts[0].isdecimal():
            return [_read_time(text)[0] for text in texts], bytes(len(texts))
        days, clocks = self._midnights, self._clocks
        times = [days[text[:_DATE_LENGTH]] + clocks[text[_DATE_LENGTH:]] for text in texts]
        if not clocks.foreign:
            return times, bytes(len(texts))
        return times, bytes(text[_DATE_LENGTH:] in clocks.foreign for text in texts)

    def _add_doubtful(self, line: int, row: Row) -> None:
        self._line.append(line)
        try:
            epoch, foreign = _read_time(row[self._time_place])
            unreadable = False
        except (ValueError, IndexError):
            epoch, foreign, unreadable = 0, False, True
        self._epoch_s.append(epoch)
        self._time_unreadable.append(unreadable)
        self._foreign_offset.append(foreign)
        for column, place in zip(self._prices, self._price_places, strict=True):
            column.append(_read_price(row, place))

    def finish(self) -> RawBars:
        """The columns as numpy sees them, without a copy."""
        return RawBars(
            np.frombuffer(self._line, dtype=np.int64),
            np.frombuffer(self._epoch_s, dtype=np.int64),
            np.frombuffer(self._time_unreadable, dtype=np.bool_),
            np.frombuffer(self._foreign_offset, dtype=np.bool_),
            *(np.frombuffer(column, dtype=np.float64) for column in self._prices),
        )


def read_raw_bars(path: Path) -> RawBars:
    """Every row of the file. Raises `InputInvalid` where the file is not such a CSV."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            columns = _Columns(_places(path, next(rows, [])))
            line = 2
            while chunk := list(islice(rows, _ROWS_AT_ONCE)):
                columns.add(range(line, line + len(chunk)), chunk)
                line += len(chunk)
    except OSError as error:
        raise InputInvalid(str(path), error.strerror or "cannot be opened") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputInvalid(str(path), f"is not a CSV text file ({error})") from error
    return columns.finish()


def raw_lines(path: Path, lines: list[int]) -> Iterator[str]:
    """The text of some lines (counted from 1, rising), as it stands in the file."""
    wanted = set(lines)
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, text in enumerate(islice(file, max(lines, default=0)), start=1):
            if number in wanted:
                yield text.rstrip("\r\n")


def _places(path: Path, header: Row) -> tuple[int, ...]:
    """Where the time and the four prices stand."""
    names = [name.strip().lower() for name in header]
    times = [name for name in names if name in _TIME_NAMES]
    if len(times) != 1:
        found = "none" if not times else " and ".join(times)
        wanted = f"needs one time column ({', '.join(_TIME_NAMES)}), found {found}"
        raise InputInvalid(str(path), f"{wanted}; the header is: {', '.join(header)}", line=1)
    missing = [name for name in _PRICE_NAMES if names.count(name) != 1]
    if missing:
        wanted = f"needs one column each of {', '.join(missing)}"
        raise InputInvalid(str(path), f"{wanted}; the header is: {', '.join(header)}", line=1)
    return (names.index(times[0]), *(names.index(name) for name in _PRICE_NAMES))


def _read_time(text: str) -> tuple[int, bool]:
    """Epoch seconds, and whether an offset other than that of IST was given."""
    text = text.strip()
    if len(text) >= _EPOCH_DIGITS and text.isdecimal():
        epoch = int(text)
        return (epoch // _MS_A_SECOND if epoch >= _FIRST_MILLISECONDS else epoch), False
    moment = datetime.fromisoformat(text)
    offset = moment.utcoffset()
    if offset is None:
        return int(moment.replace(tzinfo=_FIXED_IST).timestamp()), False
    return int(moment.timestamp()), offset != IST_OFFSET


def _read_price(row: Row, place: int) -> float:
    try:
        return float(row[place])
    except (ValueError, IndexError):
        return float("nan")
