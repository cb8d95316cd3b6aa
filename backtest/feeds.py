"""One instrument's bars with the strategy that trades them, as the engine takes them."""

from collections.abc import Sequence
from datetime import date, datetime, time
from functools import partial

import numpy as np
from numpy.typing import NDArray

from backtest.bars import Bars
from backtest.engine import BarFeed
from backtest.market import BacktestMarket
from backtest.resample import close_times, resample
from backtest.signal_loader import IndicatorValues
from backtest.strategy import Strategy, StrategyParams
from core.config import PortfolioConfig
from core.ist import IST


def bar_feed(
    instrument: str,
    bars: Bars,
    config: PortfolioConfig,
    market: BacktestMarket,
    start: date | None = None,
    end: date | None = None,
) -> BarFeed:
    """Bars resampled to the strategy's timeframe, with the strategy on them.

    The run begins on `start`, and base entries are taken up to `end`, both included. Raises
    `InputInvalid` when the bars are coarser than the timeframe.
    """
    coarse, closes = coarse_bars(instrument, bars, config, market)
    begins = 0 if start is None else int(datetime.combine(start, time(), IST).timestamp())
    params = StrategyParams.from_config(config, instrument, start, end)
    return BarFeed(
        instrument=instrument,
        source=Strategy(instrument, coarse, params),
        open_epoch_s=coarse.epoch_s,
        close_epoch_s=closes,
        opens=coarse.open,
        first_bar=int(np.searchsorted(coarse.epoch_s, begins)),
    )


def coarse_bars(
    instrument: str, bars: Bars, config: PortfolioConfig, market: BacktestMarket
) -> tuple[Bars, NDArray[np.int64]]:
    """Bars of the strategy's timeframe, and when each is known, epoch seconds."""
    minutes = config.instruments[instrument].strategy.timeframe_min
    hours = partial(market.hours, instrument)
    coarse = resample(bars, minutes, hours)
    return coarse, close_times(coarse, minutes, hours)


class FeedIndicators:
    """The indicators of feeds' bars, for recorded alerts that do not carry them."""

    def __init__(self, feeds: Sequence[BarFeed]) -> None:
        self._feeds = {feed.instrument: feed for feed in feeds}

    def values_at(self, instrument: str, bar_time: datetime) -> IndicatorValues | None:
        """The values at the bar that opened at `bar_time`; None where there are none."""
        feed = self._feeds.get(instrument)
        if feed is None:
            return None
        epoch_s = int(bar_time.timestamp())
        bar = int(np.searchsorted(feed.open_epoch_s, epoch_s))
        if bar == len(feed) or feed.open_epoch_s[bar] != epoch_s:
            return None
        return feed.source.values_at(bar)
