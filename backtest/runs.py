"""From a run's options to its result: files are read once, and may be run many times over.

This is the one place that knows which input goes through which room.
"""

import json
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from backtest.bars import Bars, OnBadBars, read_bars
from backtest.engine import BacktestEngine, BarFeed
from backtest.feeds import FeedIndicators, bar_feed
from backtest.market import BacktestMarket
from backtest.options import RunOptions
from backtest.progress import Progress, silent
from backtest.result import BacktestResult
from backtest.signal_loader import LoadedSignals, SignalLoader
from core.config import PortfolioConfig
from core.errors import ConfigInvalid, InputInvalid
from core.ist import IST

SAMPLE = Path(__file__).parent / "sample"
SAMPLE_NOTE = "the sample's prices are synthetic: made by a seeded script, not by a market"
ROLL_NOTE = "positions are held through expiries: rolls and what they cost are not simulated"
PREMIUM_NOTE = "charges of synthetics assume option premiums that are fixed shares of the price"


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """Everything read and checked; `run` leaves it as it is."""

    options: RunOptions
    settings: Mapping[str, Any]
    market: BacktestMarket
    bars: Mapping[str, Bars]
    notes: tuple[str, ...]

    def run(
        self,
        settings: Mapping[str, Any] | None = None,
        start: date | None = None,
        end: date | None = None,
        progress: Progress = silent,
    ) -> BacktestResult:
        """One run; `settings`, `start` and `end` stand in for the options' own where given.

        It begins on `start`, on warm indicators, and takes base entries up to `end`.
        """
        options = self.options
        config = read_config(self.settings if settings is None else settings, self.market)
        feeds = [
            bar_feed(name, bars, config, self.market, start or options.start, end or options.end)
            for name, bars in self.bars.items()
        ]
        engine = BacktestEngine(
            config, self.market, options.capital, options.fill_at, options.slippage
        )
        if not options.signals:
            result = engine.run_bars(feeds, progress)
            return replace(result, notes=(*self.notes, *result.notes))
        loaded = self._load_signals(config, feeds, start or options.start, end or options.end)
        result = engine.run_signals(loaded.signals, feeds if options.own_stops else (), progress)
        return replace(
            result,
            notes=(*self.notes, *loaded.notes, *result.notes),
            left_out=tuple(str(row) for row in loaded.bad_rows),
        )

    def run_span(self, settings: Mapping[str, Any], start: date, end: date) -> BacktestResult:
        """One run over [start, end): bars from `end` on are not known to it."""
        ends = int(datetime.combine(end, time(), IST).timestamp())
        known = {
            name: bars.first(int(np.searchsorted(bars.epoch_s, ends)))
            for name, bars in self.bars.items()
        }
        return replace(self, bars=known).run(settings, start)

    @property
    def days(self) -> tuple[date, date]:
        """The first and the last day of all bars, within the options' own.

        Raises `InputInvalid` without any bars.
        """
        if not self.bars:
            raise InputInvalid("walk-forward", "needs --bars or --sample")
        epochs = [bars.epoch_s for bars in self.bars.values()]
        first = datetime.fromtimestamp(min(int(column[0]) for column in epochs), IST).date()
        last = datetime.fromtimestamp(max(int(column[-1]) for column in epochs), IST).date()
        return max(first, self.options.start or first), min(last, self.options.end or last)

    def _load_signals(
        self,
        config: PortfolioConfig,
        feeds: list[BarFeed],
        start: date | None,
        end: date | None,
    ) -> LoadedSignals:
        loader = SignalLoader(
            tuple(config.instruments),
            FeedIndicators(feeds) if feeds else None,
            self.options.skip_bad_rows,
            start,
            end,
        )
        return loader.load(self.options.signals)


def prepare(options: RunOptions) -> PreparedRun:
    """Read every file that `options` name. Raises `InputInvalid` and `ConfigInvalid`."""
    overrides = None if options.market_overrides is None else read_json(options.market_overrides)
    market = BacktestMarket.shipped(overrides, with_charges=options.charges)
    settings = {} if options.config is None else read_json(options.config)
    read_config(settings, market)
    settings = with_settings(
        settings,
        {
            f"instruments.{name}.strategy.timeframe_min": minutes
            for name, minutes in options.timeframes.items()
        },
    )
    config = read_config(settings, market)
    files = _sample_files(config) if options.sample else options.bars
    bars: dict[str, Bars] = {}
    notes = [SAMPLE_NOTE] if options.sample else []
    for name, path in files.items():
        if name not in config.instruments:
            known = ", ".join(config.instruments)
            raise ConfigInvalid("--bars", f"{name}={path}", f"the instruments are {known}")
        bars[name], quality = read_bars(
            path, OnBadBars(options.on_bad_bars), partial(market.hours, name)
        )
        notes += replace(quality, source=path.name).notes()
    notes.append(ROLL_NOTE)
    if options.charges:
        notes.append(PREMIUM_NOTE)
    return PreparedRun(options, settings, market, bars, tuple(notes))


def read_json(path: Path) -> Any:
    """A JSON file, parsed. Raises `InputInvalid` with the line that is wrong."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_each_key_once)
    except json.JSONDecodeError as error:
        raise InputInvalid(str(path), f"is not JSON: {error.msg}", error.lineno) from error
    except UnicodeDecodeError as error:
        raise InputInvalid(str(path), "is not UTF-8 text") from error
    except RecursionError as error:
        raise InputInvalid(str(path), "is nested too deeply") from error
    except ValueError as error:
        raise InputInvalid(str(path), str(error)) from error


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's keys and values; a key written twice would hide the first."""
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"has the key {twice!r} twice in one object")
    return found


def read_config(settings: Any, market: BacktestMarket) -> PortfolioConfig:
    """Settings over the instruments' shipped defaults. Raises `ConfigInvalid`."""
    return PortfolioConfig.from_mapping(settings, market.catalog.config_defaults())


def with_settings(settings: Any, values: Mapping[str, object]) -> Any:
    """A copy of `settings` in which each dotted path has its value."""
    changed = deepcopy(settings) if isinstance(settings, dict) else {}
    for path, value in values.items():
        *above, name = path.split(".")
        block = changed
        for key in above:
            block = block.setdefault(key, {})
        block[name] = value
    return changed


def _sample_files(config: PortfolioConfig) -> dict[str, Path]:
    files = {name: SAMPLE / f"{name.lower()}_synthetic.csv" for name in config.instruments}
    return {name: path for name, path in files.items() if path.is_file()}
