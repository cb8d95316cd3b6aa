"""Two lists of trades, or of open layers, are equal, or each difference is a sentence."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from itertools import zip_longest
from typing import Any, TypeVar

from core.ist import as_ist
from live.chain.alerts import Chart

_DETAIL = ":"
_PAISA = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class ChainTrade:
    """Lots of a layer that were closed together; the bars are named by their closes.

    `risk` is the layer's first risk, which holds its first stop; `reason` is the rule's name.
    """

    layer: str
    lots: int
    entered: datetime | None
    entry_price: Decimal
    left: datetime | None
    exit_price: Decimal
    pnl: Decimal
    risk: Decimal
    reason: str


@dataclass(frozen=True, slots=True)
class ChainLayer:
    """A layer that is open at the end; the stops to the paisa."""

    layer: str
    lots: int
    entered: datetime | None
    entry_price: Decimal
    first_stop: Decimal
    stop: Decimal


_Row = TypeVar("_Row", ChainTrade, ChainLayer)


def held_in_backtest(
    rows: Sequence[Mapping[str, Any]], charts: Mapping[str, Chart]
) -> list[ChainLayer]:
    """The open layers of a backtest's JSON, whose times are the opens of their bars."""
    return sorted(
        (
            _layer(
                row,
                f"{row['instrument']}/{row['trade_no']}/Long_{row['layer']}",
                charts[row["instrument"]].close_of(_moment(row["entry_time"])),
            )
            for row in rows
        ),
        key=lambda layer: layer.layer,
    )


def held_in_service(
    rows: Sequence[Mapping[str, Any]], charts: Mapping[str, Chart]
) -> list[ChainLayer]:
    """The open layers that the service tells, whose times are those of their fills."""
    return sorted(
        (
            _layer(row, row["id"], charts[row["instrument"]].last_close(_moment(row["entry_time"])))
            for row in rows
        ),
        key=lambda layer: layer.layer,
    )


def of_backtest(rows: Sequence[Mapping[str, Any]], charts: Mapping[str, Chart]) -> list[ChainTrade]:
    """The trades of a backtest's JSON, whose times are the opens of their bars."""
    return _sorted(
        _trade(
            row,
            f"{row['instrument']}/{row['trade_no']}/Long_{row['layer']}",
            charts[row["instrument"]].close_of(_moment(row["entry_time"])),
            charts[row["instrument"]].close_of(_moment(row["exit_time"])),
        )
        for row in rows
    )


def of_service(rows: Sequence[Mapping[str, Any]], charts: Mapping[str, Chart]) -> list[ChainTrade]:
    """The trades that the service tells, whose times are those of their fills."""
    found = []
    for row in rows:
        chart = charts[row["position_id"].split("/")[0]]
        entered, left = (
            chart.last_close(_moment(row[name])) for name in ("entry_time", "exit_time")
        )
        found.append(_trade(row, row["position_id"], entered, left))
    return _sorted(found)


def differences(
    what: str,
    expected: Sequence[_Row],
    had: Sequence[_Row],
) -> Iterator[str]:
    """What is not the same, one by one; `what` is "trade" or "open layer"."""
    for number, (one, other) in enumerate(zip_longest(expected, had), start=1):
        if one is None or other is None:
            side, lone = ("service", other) if one is None else ("backtest", one)
            yield f"{what} {number}: only the {side} has {lone}"
            continue
        for field in fields(one):
            wanted, found = getattr(one, field.name), getattr(other, field.name)
            if wanted != found:
                yield (
                    f"{what} {number} ({one.layer}): {field.name} is {found} in the service and "
                    f"{wanted} in the backtest"
                )


def _trade(
    row: Mapping[str, Any], layer: str, entered: datetime | None, left: datetime | None
) -> ChainTrade:
    return ChainTrade(
        layer=layer,
        lots=int(row["lots"]),
        entered=entered,
        entry_price=Decimal(row["entry_price"]),
        left=left,
        exit_price=Decimal(row["exit_price"]),
        pnl=Decimal(row["gross_pnl"]),
        risk=Decimal(row["initial_risk"]).quantize(_PAISA),
        reason=str(row["reason"]).split(_DETAIL)[0],
    )


def _layer(row: Mapping[str, Any], layer: str, entered: datetime | None) -> ChainLayer:
    return ChainLayer(
        layer=layer,
        lots=int(row["lots"]),
        entered=entered,
        entry_price=Decimal(row["entry_price"]),
        first_stop=Decimal(row["initial_stop"]).quantize(_PAISA),
        stop=Decimal(row["stop"]).quantize(_PAISA),
    )


def _sorted(trades: Any) -> list[ChainTrade]:
    return sorted(trades, key=lambda trade: (trade.left, trade.layer, trade.lots))


def _moment(text: str) -> datetime:
    return as_ist(datetime.fromisoformat(text))
