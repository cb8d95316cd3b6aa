"""A finished run as text for a person: drawn tables in a terminal, aligned ASCII in a pipe."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from backtest.headline import BREAKDOWN_COLUMNS, breakdown, counts, headline
from backtest.metrics import Metrics, measure
from backtest.result import BacktestResult

LEFT_OUT_SHOWN = 10
# Blanks that a drawn table has in each column, and at its two sides.
_PADDING, _EDGES = 2, 2


def print_result(result: BacktestResult, console: Console, metrics: Metrics | None = None) -> None:
    """Print headline figures, instruments, decisions, limiters and notes; money in rupees."""
    title = f"Backtest ({result.kind}), money in rupees"
    print_table(console, title, ("", ""), headline(result, metrics or measure(result)))
    by_instrument = breakdown(result.trades, lambda trade: trade.instrument)
    print_table(console, "Instruments", ("instrument", *BREAKDOWN_COLUMNS), by_instrument)
    decisions = counts(dict(result.decisions))
    print_table(console, "Decisions", ("code", "count"), decisions)
    limiters = counts({limiter.value: count for limiter, count in result.limiters.items()})
    print_table(console, "Entries by limiter", ("limiter", "count"), limiters)
    print_notes(console, result.notes)
    _print_left_out(console, result.left_out)


def print_table(
    console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    """Print `rows` under `columns`, numbers to the right; nothing when there are no rows.

    A first column of labels is to the left, and so is the text of a table of two bare columns.
    A table too wide for the terminal is drawn in parts, each beginning with the first column.
    Cells are never read as markup.
    """
    rows = list(rows)
    if not rows:
        return
    console.print(Text(title, style="bold"))
    if console.is_terminal:
        for places in _side_by_side(columns, rows, console.width):
            shown = [[row[place] for place in places] for row in rows]
            console.print(_drawn([columns[place] for place in places], shown))
    else:
        for line in _aligned(columns, rows):
            console.print(Text(line), soft_wrap=True)
        console.print()


def _print_left_out(console: Console, rows: Sequence[str]) -> None:
    if rows:
        console.print(Text(f"{len(rows)} input rows left out", style="bold"))
        print_notes(console, rows[:LEFT_OUT_SHOWN])
    if len(rows) > LEFT_OUT_SHOWN:
        hidden = len(rows) - LEFT_OUT_SHOWN
        console.print(Text(f"... and {hidden} more; --json lists them all"))


def _side_by_side(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> list[list[int]]:
    """Places of the columns that fit beside the first one, part by part; no figure is cut."""
    if not any(columns):
        return [list(range(len(columns)))]
    widths = [max(map(len, cells)) + _PADDING for cells in zip(columns, *rows, strict=True)]
    parts = [[0]]
    beside_first = width - _EDGES - widths[0]
    room = beside_first
    for place, needed in enumerate(widths[1:], start=1):
        if needed > room and len(parts[-1]) > 1:
            parts.append([0])
            room = beside_first
        parts[-1].append(place)
        room -= needed
    return parts


def _drawn(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    headed = any(columns)
    table = Table(box=box.SIMPLE_HEAD, show_header=headed)
    for place, column in enumerate(columns):
        to_the_right = headed and place > 0
        table.add_column(Text(column), justify="right" if to_the_right else "left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _aligned(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Lines of columns two spaces apart, however wide they come out."""
    headed = any(columns)
    lines = [columns, *rows] if headed else rows
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            cell.rjust(width) if headed and place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


def print_notes(console: Console, notes: Iterable[str]) -> None:
    """Print each note on its own line, never as markup."""
    for note in notes:
        console.print(Text(f"Note: {note}"), soft_wrap=True)
