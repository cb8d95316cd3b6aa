"""A TradingView "List of trades" is read whole, or the line that cannot be read is named.

Rows are paired by trade number, whichever of entry and exit comes first. One entry closed in parts
(several exit rows, or several trade numbers) gives one `ExportTrade` a part. A trade of which any
row is bad is bad as a whole: dropping only its exit would turn it into an open one.
Times are the open of the bar whose close the order filled at (process_orders_on_close), in IST.
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path

from backtest.signal_text import EntryText, parse_entry_text, parse_exit_reason
from core.errors import InputInvalid
from core.ist import as_ist

_NUMBER = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:,\d{2,3})*,\d{3})(?:\.\d+)?")
_CURRENCY = re.compile(r"\s+[A-Z]{3,4}$")
_SPACES = re.compile(r"\s")


class Column(Enum):
    """A column by its meaning, with the names it goes by (lower case, without the currency)."""

    TRADE = ("trade #", "trade number")
    TYPE = ("type",)
    TIME = ("date/time", "date and time")
    SIGNAL = ("signal",)
    PRICE = ("price",)
    LOTS = ("position size (qty)", "size (qty)", "quantity", "contracts")
    NET_PNL = ("net p&l", "profit")
    CUMULATIVE_PNL = ("cumulative p&l", "cum. profit", "cumulative profit")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that was left out, and why."""

    source: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.source}, line {self.line}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ExportFill:
    """One side of a trade: bar time, price in points, the text of its signal, its line."""

    time: datetime
    price: Decimal
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class ExportTrade:
    """Lots of one layer, bought together and sold together; always long.

    An open trade has no `exit`; `last` is then the price it was marked at, where the export gives
    one. `net_pnl` and `cumulative_pnl` are rupees as the export says.
    """

    number: int
    lots: int
    entry: ExportFill
    entry_text: EntryText
    exit: ExportFill | None
    last: ExportFill | None
    net_pnl: Decimal | None
    cumulative_pnl: Decimal | None

    @property
    def layer(self) -> int:
        """1 for the base entry, 2 for the first add."""
        return self.entry_text.layer

    @property
    def exit_reason(self) -> str:
        """Why it was closed; empty while open."""
        return parse_exit_reason(self.exit.text) if self.exit else ""


@dataclass(frozen=True, slots=True)
class TradingViewExport:
    """The trades of one file in the order of their entry rows, and the lines left out."""

    source: str
    trades: tuple[ExportTrade, ...]
    bad_rows: tuple[BadRow, ...] = ()


def read_export(path: Path, skip_bad_rows: bool = False) -> TradingViewExport:
    """Read a file. Raises InputInvalid for a column or, unless they are skipped, a row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            return parse_export(path.name, lines, skip_bad_rows)
    except OSError as error:
        raise InputInvalid(str(path), f"cannot be opened: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputInvalid(path.name, "is not UTF-8 text; export it again as CSV") from error


def parse_export(
    source: str, lines: Iterable[str], skip_bad_rows: bool = False
) -> TradingViewExport:
    """The same from lines of text, without a byte order mark."""
    by_trade: dict[str, list[_Row]] = {}
    for row in _rows(source, lines):
        by_trade.setdefault(row[Column.TRADE], []).append(row)
    trades: list[ExportTrade] = []
    bad_rows: list[BadRow] = []
    causes: list[_Unreadable] = []
    for rows in by_trade.values():
        try:
            trades.extend(_trades(rows))
        except _Unreadable as error:
            bad_rows.extend(_all_bad(source, rows, error))
            causes.append(error)
    if causes and not skip_bad_rows:
        first = min(causes, key=lambda cause: cause.line)
        raise InputInvalid(source, str(first), first.line)
    return TradingViewExport(
        source,
        tuple(sorted(trades, key=lambda trade: trade.entry.line)),
        tuple(sorted(bad_rows, key=lambda bad: bad.line)),
    )


class _Unreadable(Exception):
    """A row cannot be read; `line` counts from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


@dataclass(frozen=True, slots=True)
class _Row:
    """A line's cells, found by the column's meaning."""

    line: int
    cells: list[str]
    places: dict[Column, int]
    width: int

    def __getitem__(self, column: Column) -> str:
        place = self.places[column]
        return self.cells[place].strip() if place < len(self.cells) else ""

    @property
    def is_entry(self) -> bool:
        return self[Column.TYPE].lower().startswith("entry")

    @property
    def is_open(self) -> bool:
        return self[Column.SIGNAL].lower() == "open" or not self[Column.PRICE]

    def check(self) -> None:
        """Raise unless it has every cell and is a side of a long trade."""
        if len(self.cells) != self.width:
            raise _Unreadable(self.line, f"has {len(self.cells)} cells, the header {self.width}")
        kind = self[Column.TYPE]
        if kind.lower() in ("entry short", "exit short"):
            raise _Unreadable(self.line, f"{kind!r}: short trades are not read, only long ones")
        if kind.lower() not in ("entry long", "exit long"):
            raise _Unreadable(self.line, f"type {kind!r} is neither 'Entry long' nor 'Exit long'")

    def fill(self) -> ExportFill:
        price = self.number(Column.PRICE)
        if price <= 0:
            raise _Unreadable(self.line, f"price {price} is not above 0")
        return ExportFill(self._time(), price, self[Column.SIGNAL], self.line)

    def _time(self) -> datetime:
        text = self[Column.TIME]
        try:
            return as_ist(datetime.fromisoformat(text))
        except (ValueError, OverflowError) as error:
            raise _Unreadable(self.line, f"{text!r} is not a time (YYYY-MM-DD HH:MM)") from error

    def number(self, column: Column) -> Decimal:
        """A number with or without thousands separators, its minus a hyphen or the typographic."""
        text = self[column]
        bare = _SPACES.sub("", text).replace("\N{MINUS SIGN}", "-")
        if not _NUMBER.fullmatch(bare):
            raise _Unreadable(self.line, f"{column.value[0]} {text!r} is not a number")
        return Decimal(bare.replace(",", ""))

    def whole(self, column: Column) -> int:
        number = self.number(column)
        if number <= 0 or number != int(number):
            raise _Unreadable(
                self.line, f"{column.value[0]} {number} is not a whole number above 0"
            )
        return int(number)


def _rows(source: str, lines: Iterable[str]) -> list[_Row]:
    reader = csv.reader(lines)
    try:
        header = next(reader, [])
        places = _places(source, header)
        return [
            _Row(reader.line_num, cells, places, len(header))
            for cells in reader
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise InputInvalid(source, f"is not CSV: {error}", reader.line_num) from error


def _places(source: str, header: list[str]) -> dict[Column, int]:
    names = [_CURRENCY.sub("", name.strip()).lower() for name in header]
    places: dict[Column, int] = {}
    for column in Column:
        found = [place for place, name in enumerate(names) if name in column.value]
        if len(found) != 1:
            accepted = ", ".join(repr(name) for name in column.value)
            problem = "two columns" if found else "no column"
            raise InputInvalid(
                source,
                f"{problem} for {column.value[0]!r}; needs one of {accepted} (any case, with or "
                f"without a currency after it), and has {', '.join(header) or 'nothing'}",
                1,
            )
        places[column] = found[0]
    return places


def _trades(rows: list[_Row]) -> list[ExportTrade]:
    """The trade of one number: one part for each of its exit rows."""
    for row in rows:
        row.check()
    entries = [row for row in rows if row.is_entry]
    exits = [row for row in rows if not row.is_entry]
    number = rows[0].whole(Column.TRADE)
    if len(entries) != 1:
        raise _Unreadable(rows[-1].line, f"trade {number} has {len(entries)} entry rows, not one")
    if not exits:
        raise _Unreadable(
            entries[0].line, f"trade {number} has no exit row (an open one says 'Open')"
        )
    parts = [_part(number, entries[0], row) for row in exits]
    bought, sold = entries[0].whole(Column.LOTS), sum(part.lots for part in parts)
    if bought != sold:
        raise _Unreadable(
            exits[-1].line, f"trade {number} bought {bought} lots, its exit rows hold {sold}"
        )
    return parts


def _part(number: int, entry: _Row, exit_: _Row) -> ExportTrade:
    bought = entry.fill()
    try:
        entry_text = parse_entry_text(bought.text)
    except ValueError as error:
        raise _Unreadable(entry.line, str(error)) from error
    is_marked = bool(exit_[Column.PRICE] and exit_[Column.TIME])
    sold = exit_.fill() if is_marked or not exit_.is_open else None
    if sold is not None and sold.time < bought.time:
        raise _Unreadable(exit_.line, f"trade {number} is closed before it was opened")
    return ExportTrade(
        number=number,
        lots=exit_.whole(Column.LOTS),
        entry=bought,
        entry_text=entry_text,
        exit=None if exit_.is_open else sold,
        last=sold if exit_.is_open else None,
        net_pnl=_rupees(exit_, Column.NET_PNL),
        cumulative_pnl=_rupees(exit_, Column.CUMULATIVE_PNL),
    )


def _rupees(row: _Row, column: Column) -> Decimal | None:
    """Only an open trade may leave its figures out."""
    return None if row.is_open and not row[column] else row.number(column)


def _all_bad(source: str, rows: list[_Row], error: _Unreadable) -> list[BadRow]:
    return [
        BadRow(
            source,
            row.line,
            str(error)
            if row.line == error.line
            else f"belongs to the trade that line {error.line} makes unreadable",
        )
        for row in rows
    ]
