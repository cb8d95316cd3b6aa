"""Prices from a file of bars: each bar's close is told at the bar's time, faster than it happened.

The exchange's clock stands at the bar told last. A gap that is longer than a bar (a night, a
holiday) lasts no longer than a bar.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from threading import Event

from brokers.paper_exchange.exchange import PaperExchange
from core.errors import InputInvalid
from core.ist import as_ist

_TIMES = ("time", "datetime", "timestamp", "date")


@dataclass(frozen=True, slots=True)
class Tick:
    """An instrument's price at a moment."""

    at: datetime
    instrument: str
    price: Decimal


def read_ticks(path: Path, instrument: str) -> list[Tick]:
    """The closes of a CSV with a column of ISO 8601 times and one named close, by time.

    Raises InputInvalid with the line of what cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            ticks = list(_rows(csv.reader(file), path.name, instrument))
    except OSError as error:
        raise InputInvalid(str(path), f"cannot be read: {error.strerror}") from error
    return sorted(ticks, key=lambda tick: tick.at)


def replay(exchange: PaperExchange, ticks: Iterable[Tick], speed: float, stop: Event) -> None:
    """Tell `ticks` (by time) to the exchange, `speed` seconds of them a second, until `stop`."""
    before: datetime | None = None
    longest_s = 0.0
    for tick in ticks:
        gap_s = 0.0 if before is None else (tick.at - before).total_seconds()
        if gap_s > 0:
            longest_s = min(longest_s or gap_s, gap_s)
            if stop.wait(longest_s / speed):
                return
        before = tick.at
        exchange.hold_clock(tick.at)
        exchange.move_price(tick.instrument, tick.price)


def _rows(rows: Iterator[list[str]], name: str, instrument: str) -> Iterator[Tick]:
    header = [column.strip().lower() for column in next(rows, [])]
    times = [place for place, column in enumerate(header) if column in _TIMES]
    if not times or "close" not in header:
        raise InputInvalid(name, "a column of times and a column close are expected", 1)
    time_place, close_place = times[0], header.index("close")
    for line, row in enumerate(rows, start=2):
        try:
            at, price = datetime.fromisoformat(row[time_place]), Decimal(row[close_place])
        except (IndexError, ValueError, InvalidOperation):
            raise InputInvalid(name, "expected an ISO 8601 time and a price", line) from None
        if not price.is_finite() or price <= 0:
            raise InputInvalid(name, "a price is above zero", line)
        yield Tick(as_ist(at), instrument, price)
