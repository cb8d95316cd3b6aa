"""A close-all in words and a table: each layer by our book and by the broker's."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from live.api.close_all import CloseAllReport
from live.close_all_report import ClosingState, InstrumentClosing, LayerClosing


def close_all_text(report: CloseAllReport) -> RenderableType:
    """All of it."""
    if not report.instruments:
        return Text("Nothing is held.")
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("layer", "contract"):
        table.add_column(name, no_wrap=True)
    for name in ("lots", "left", "ours", "broker's"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in report.instruments:
        for layer in each.layers:
            _add(table, layer)
    lines = [Text(line) for each in report.instruments for line in _lines(each)]
    return Group(table, *lines) if table.row_count else Group(*lines)


def _add(table: Table, layer: LayerClosing) -> None:
    firsts: Sequence[str] = (layer.position_id, str(layer.lots), str(layer.lots_left))
    for leg in layer.legs:
        name, lots, left = firsts
        there = "unknown" if leg.brokers is None else f"{leg.brokers:+d}"
        table.add_row(name, leg.symbol, lots, left, f"{leg.ours:+d}", there)
        firsts = ("", "", "")


def _lines(each: InstrumentClosing) -> list[str]:
    told = f"{each.instrument}: {each.outcome}"
    lines = [f"{told} ({each.reason})" if each.reason else told]
    lines += [
        f"{each.instrument}: would send {leg.side} {leg.quantity} {leg.symbol} ({leg.lots} lots)"
        for leg in each.sends
    ]
    shown = {(leg.symbol, leg.exchange) for layer in each.layers for leg in layer.legs}
    lines += [
        f"{each.instrument}: the broker holds {leg.brokers:+d} {leg.symbol} beside the layers"
        + (", which is tagged as somebody else's" if leg.tagged else "")
        for leg in each.broker
        if (leg.symbol, leg.exchange) not in shown and leg.brokers
    ]
    return lines


def is_working(report: CloseAllReport) -> bool:
    """Whether something of it goes on by itself."""
    return any(each.outcome is ClosingState.WORKING for each in report.instruments)
