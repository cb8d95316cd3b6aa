"""The seven entry conditions and the indicators they look at, one value a bar.

A condition whose indicator is not known yet is false. The names are those of the alerts.
"""

from dataclasses import dataclass

import numpy as np

from backtest import indicators
from backtest.bars import Bars
from backtest.indicators import Flags, Floats, above
from backtest.strategy_params import StrategyParams


@dataclass(frozen=True, slots=True, eq=False)
class Indicators:
    """Columns of equal length. Prices and ATR in points, ROC in percent.

    `supertrend_direction` is Pine's: -1 in an up-trend. `supertrend` is 0 on bar 0 (see
    `indicators.SuperTrend`), so `st_condition` is true there.
    """

    rsi: Floats
    ema: Floats
    dc_upper: Floats
    adx: Floats
    er: Floats
    supertrend: Floats
    supertrend_direction: Floats
    atr: Floats
    roc: Floats
    rsi_condition: Flags
    ema_condition: Flags
    dc_condition: Flags
    adx_condition: Flags
    er_condition: Flags
    st_condition: Flags
    not_doji: Flags
    long_entry: Flags


def compute(bars: Bars, params: StrategyParams) -> Indicators:
    """Everything the strategy knows of each bar."""
    high, low, close = bars.high, bars.low, bars.close
    rsi = indicators.rsi(close, params.rsi_length)
    ema = indicators.ema(close, params.ema_length)
    dc_upper = indicators.donchian_upper(high, params.donchian_length)
    adx = indicators.dmi(high, low, close, params.adx_length, params.adx_smoothing).adx
    er = indicators.efficiency_ratio(close, params.er_length)
    atr = indicators.atr(high, low, close, params.atr_length)
    band_range = atr
    if params.supertrend_length != params.atr_length:
        band_range = indicators.atr(high, low, close, params.supertrend_length)
    trend = indicators.supertrend(high, low, close, band_range, params.supertrend_factor)
    conditions = {
        "rsi_condition": above(rsi, params.rsi_threshold),
        "ema_condition": above(close, ema),
        "dc_condition": above(close, dc_upper),
        "adx_condition": above(params.adx_threshold, adx),
        "er_condition": above(er, params.er_threshold),
        "st_condition": above(close, trend.line),
        "not_doji": above(np.abs(close - bars.open), params.doji_body_fraction * (high - low)),
    }
    return Indicators(
        rsi=rsi,
        ema=ema,
        dc_upper=dc_upper,
        adx=adx,
        er=er,
        supertrend=trend.line,
        supertrend_direction=trend.direction,
        atr=atr,
        roc=indicators.roc(close, params.roc_length),
        long_entry=np.logical_and.reduce(list(conditions.values())),
        **conditions,
    )
