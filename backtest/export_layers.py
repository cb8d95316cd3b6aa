"""An export's trades as the alerts behind them: a layer has one entry and, once closed, one exit.

An export lists what was bought and sold together, not what was asked for. The parts of one entry
are one layer again; layers that close at one bar were closed by `ALL` when none stayed open.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from backtest.signal_text import EntryText
from backtest.tradingview_export import ExportFill, ExportTrade


@dataclass(frozen=True, slots=True)
class ExportLayer:
    """One entry with all the parts it was closed in."""

    parts: tuple[ExportTrade, ...]

    @property
    def entry(self) -> ExportFill:
        """The fill that opened it."""
        return self.parts[0].entry

    @property
    def text(self) -> EntryText:
        """What the entry's comment says."""
        return self.parts[0].entry_text

    @property
    def lots(self) -> int:
        """Lots bought."""
        return sum(part.lots for part in self.parts)

    @property
    def last_exit(self) -> ExportFill | None:
        """The fill that closed the last of it; None while any part is open."""
        fills = [part.exit for part in self.parts if part.exit is not None]
        if len(fills) < len(self.parts):
            return None
        return max(fills, key=lambda fill: (fill.time, fill.line))

    @property
    def early_exits(self) -> tuple[ExportFill, ...]:
        """Fills that closed a part of it at an earlier bar than the last, or while some is open."""
        last = self.last_exit
        fills = [part.exit for part in self.parts if part.exit is not None]
        return tuple(fill for fill in fills if last is None or fill.time < last.time)


@dataclass(frozen=True, slots=True)
class ExportExit:
    """Layers closed at one bar and price; `is_all` when none of the trade stayed open."""

    fill: ExportFill
    layers: tuple[ExportLayer, ...]
    is_all: bool

    @property
    def lots(self) -> int:
        """Lots closed."""
        return sum(layer.lots for layer in self.layers)

    @property
    def is_after_entries(self) -> bool:
        """True for the odd exit of a layer that was opened at the same bar."""
        return any(layer.entry.time == self.fill.time for layer in self.layers)


def layers_of(trades: Iterable[ExportTrade]) -> list[ExportLayer]:
    """The entries behind the trades, in file order."""
    parts: defaultdict[tuple[object, ...], list[ExportTrade]] = defaultdict(list)
    for trade in trades:
        parts[trade.entry.time, trade.layer, trade.entry.price].append(trade)
    return [ExportLayer(tuple(found)) for found in parts.values()]


def exits_of(layers: Sequence[ExportLayer]) -> list[ExportExit]:
    """The exits behind the closed layers, by time; at one bar the highest layer first."""
    closing: defaultdict[datetime, list[tuple[ExportLayer, ExportFill]]] = defaultdict(list)
    for layer in layers:
        if (fill := layer.last_exit) is not None:
            closing[fill.time].append((layer, fill))
    exits: list[ExportExit] = []
    waiting = deque(sorted(layers, key=lambda layer: layer.entry.time))
    still_open: list[ExportLayer] = []
    for time in sorted(closing):
        while waiting and waiting[0].entry.time < time:
            still_open.append(waiting.popleft())
        still_open = [layer for layer in still_open if not _is_closed(layer, time)]
        exits += _exits_at(closing[time], some_stay_open=bool(still_open))
    return exits


def _is_closed(layer: ExportLayer, time: datetime) -> bool:
    return layer.last_exit is not None and layer.last_exit.time <= time


def _exits_at(
    closing: list[tuple[ExportLayer, ExportFill]], some_stay_open: bool
) -> list[ExportExit]:
    fills = [fill for _, fill in closing]
    if not some_stay_open and len({fill.price for fill in fills}) == 1:
        return [ExportExit(fills[0], tuple(layer for layer, _ in closing), is_all=True)]
    closing = sorted(closing, key=lambda pair: pair[0].text.layer, reverse=True)
    return [ExportExit(fill, (layer,), is_all=False) for layer, fill in closing]
