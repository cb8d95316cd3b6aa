"""Bars as the strategy sees them, written for another program: each with the moment it is known."""

import csv
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

from backtest.feeds import coarse_bars
from backtest.market import BacktestMarket
from backtest.runs import PreparedRun, read_config
from core.ist import IST

COLUMNS = ("time", "open", "high", "low", "close", "closes_at")


def write_bar_files(prepared: PreparedRun, folder: Path, *, on_tick: bool) -> dict[str, Path]:
    """A file of bars in each instrument's timeframe; times in IST with their offset.

    `on_tick` moves prices to the nearest price that the day's contract can have.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = read_config(prepared.settings, prepared.market)
    files = {}
    for name, bars in prepared.bars.items():
        coarse, closes = coarse_bars(name, bars, config, prepared.market)
        files[name] = folder / f"{name.lower()}.csv"
        with files[name].open("w", encoding="ascii", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(COLUMNS)
            for bar, closes_at in zip(coarse, closes.tolist(), strict=True):
                tick = _tick(prepared.market, name, bar.time) if on_tick else None
                prices = (bar.open, bar.high, bar.low, bar.close)
                known = datetime.fromtimestamp(closes_at, IST)
                rows.writerow(
                    (
                        bar.time.isoformat(),
                        *(_text(each, tick) for each in prices),
                        known.isoformat(),
                    )
                )
    return files


def _tick(market: BacktestMarket, instrument: str, moment: datetime) -> Decimal:
    return market.terms(instrument, moment.date()).tick


def _text(price: float, tick: Decimal | None) -> str:
    exact = Decimal(repr(price))
    if tick is not None:
        exact = (exact / tick).quantize(Decimal(1), ROUND_HALF_EVEN) * tick
    return f"{exact:f}"
