"""The Pine strategy in Python: bars in, alerts out, one unit a layer, filled at the bar's close.

It keeps its own view of its position, as the script on TradingView does, and never knows lots,
equity or what the account did with an alert. At each closed bar, in this order: stops move and
layers that are hit leave; else, when flat, a trade begins; else a layer may be added. A bar that
closes anything opens nothing. Decisions are taken on unrounded floats, compared as Pine compares;
only the numbers an alert carries are rounded.
"""

import math
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import numpy as np

from backtest.bars import Bars
from backtest.conditions import Indicators, compute
from backtest.indicators import PINE_TOLERANCE, Flags
from backtest.signal_loader import IndicatorValues
from backtest.strategy_params import StrategyParams
from core.errors import InputInvalid
from core.ist import IST
from core.models import MarketDataSignal, Signal, SignalType
from core.stop_manager import TomBassoStopManager

__all__ = ["Indicators", "Strategy", "StrategyLayer", "StrategyParams", "compute"]

_BASE_LAYER = 1
_RATIO_DECIMALS = 6


class StrategyLayer:
    """One open layer of the strategy's own view, in points; only `Strategy` changes it."""

    __slots__ = ("entry_price", "highest_close", "initial_stop", "number", "stop")

    def __init__(self, number: int, entry_price: float, stop: float) -> None:
        self.number = number
        self.entry_price = entry_price
        self.initial_stop = stop
        self.stop = stop
        self.highest_close = entry_price


class Strategy:
    """One instrument's trades over its bars. Each bar is asked for once, in order."""

    def __init__(
        self,
        instrument: str,
        bars: Bars,
        params: StrategyParams,
        indicators: Indicators | None = None,
    ) -> None:
        """`indicators` spares computing them again where `compute(bars, params)` is at hand."""
        known = compute(bars, params) if indicators is None else indicators
        self._instrument = instrument
        self._params = params
        self._entries = (known.long_entry & _in_dates(bars, params)).tobytes()
        # Views: an element is a Python float, and a million bars are not held twice.
        self._epoch_s = bars.epoch_s.data
        self._close = bars.close.data
        self._atr = known.atr.data
        self._er = known.er.data
        self._supertrend = known.supertrend.data
        self._roc = known.roc.data
        self._stops = TomBassoStopManager[float](
            params.stop_mode, params.initial_atr_mult, params.trailing_atr_mult
        )
        self._layers: list[StrategyLayer] = []
        self._layers_used = 0
        self._seq = 0

    @property
    def layers(self) -> Sequence[StrategyLayer]:
        """The open layers, in the order they were opened."""
        return self._layers

    def on_bar(self, index: int) -> Sequence[Signal]:
        """The alerts of the closed bar at `index`."""
        if self._layers:
            return self._in_trade(index)
        if self._entries[index]:
            self._layers_used = 0
            return (self._open_layer(index, SignalType.BASE_ENTRY),)
        return ()

    def market_data(self, index: int) -> MarketDataSignal:
        """The closed bar at `index`, for the system's own stops. Raises as `alert_price` does."""
        return MarketDataSignal(
            self._instrument,
            alert_price(self._close[index]),
            alert_price(self._atr[index]),
            alert_price(self._supertrend[index]),
            self._bar_time(index),
        )

    def values_at(self, index: int) -> IndicatorValues | None:
        """The indicators of the closed bar at `index`, as alerts carry them; None in warm-up."""
        atr, er, supertrend = self._atr[index], self._er[index], self._supertrend[index]
        if not (math.isfinite(atr) and math.isfinite(er) and math.isfinite(supertrend)):
            return None
        roc = self._roc[index]
        return IndicatorValues(
            atr=alert_price(atr),
            er=alert_ratio(er),
            supertrend=alert_price(supertrend),
            roc=None if math.isnan(roc) else alert_ratio(roc),
        )

    def _in_trade(self, index: int) -> Sequence[Signal]:
        close, atr = self._close[index], self._atr[index]
        hit = self._stops.advance(self._layers, close, atr, self._supertrend[index])
        if hit:
            return self._close_layers(hit, index)
        if self._may_add(close, atr, index):
            return (self._open_layer(index, SignalType.PYRAMID),)
        return ()

    def _may_add(self, close: float, atr: float, index: int) -> bool:
        """Base open, layers left, past 1R, far enough from the last, above its stop, ROC."""
        base, params = self._layers[0], self._params
        if base.number != _BASE_LAYER or self._layers_used > params.max_adds:
            return False
        needed = params.min_profit_r * (base.entry_price - base.initial_stop)
        if close - base.entry_price - needed <= PINE_TOLERANCE:
            return False
        spacing = params.pyramid_atr_spacing * atr
        if close - self._layers[-1].entry_price - spacing < -PINE_TOLERANCE:
            return False
        if close - self._supertrend[index] <= PINE_TOLERANCE:
            return False
        if not params.use_roc_filter:
            return True
        return self._roc[index] - params.roc_threshold > PINE_TOLERANCE

    def _open_layer(self, index: int, kind: SignalType) -> Signal:
        close, supertrend = self._close[index], self._supertrend[index]
        self._layers_used += 1
        stop = self._stops.initial(close, supertrend, self._atr[index])
        self._layers.append(StrategyLayer(self._layers_used, close, stop))
        return self._alert(index, kind, self._layers_used, supertrend)

    def _close_layers(self, hit: list[StrategyLayer], index: int) -> Sequence[Signal]:
        """One alert for all when none stays (with the lowest stop), else one for each layer."""
        reason = f"{self._params.stop_mode.value}_STOP"
        if len(hit) == len(self._layers):
            self._layers.clear()
            lowest = min(layer.stop for layer in hit)
            return (self._alert(index, SignalType.EXIT, None, lowest, reason),)
        for layer in hit:
            self._layers.remove(layer)
        return tuple(
            self._alert(index, SignalType.EXIT, layer.number, layer.stop, reason) for layer in hit
        )

    def _alert(
        self, index: int, kind: SignalType, layer: int | None, stop: float, reason: str = ""
    ) -> Signal:
        self._seq += 1
        roc = self._roc[index]
        return Signal(
            type=kind,
            instrument=self._instrument,
            layer=layer,
            price=alert_price(self._close[index]),
            stop=alert_price(stop),
            atr=alert_price(self._atr[index]),
            er=alert_ratio(self._er[index]),
            supertrend=alert_price(self._supertrend[index]),
            bar_time=self._bar_time(index),
            roc=None if math.isnan(roc) else alert_ratio(roc),
            seq=self._seq,
            reason=reason,
        )

    def _bar_time(self, index: int) -> datetime:
        return datetime.fromtimestamp(self._epoch_s[index], IST)


def alert_price(points: float) -> Decimal:
    """A price as alerts carry it: 4 decimals, half to even.

    Raises `InputInvalid` for a number that is not known yet, as in the first bars of a series.
    """
    if not math.isfinite(points):
        raise InputInvalid("bars", "too few of them to know ATR and SuperTrend at this bar")
    return Decimal(f"{points:.4f}")


def alert_ratio(ratio: float) -> float:
    """A ratio as alerts carry it: 6 decimals."""
    return round(ratio, _RATIO_DECIMALS)


def _in_dates(bars: Bars, params: StrategyParams) -> Flags:
    """Bars that open on a day on which a trade may begin."""
    inside = np.ones(len(bars), dtype=np.bool_)
    if params.start is not None:
        inside &= bars.epoch_s >= _day_start_epoch_s(params.start)
    if params.end is not None:
        inside &= bars.epoch_s < _day_start_epoch_s(params.end + timedelta(days=1))
    return inside


def _day_start_epoch_s(day: date) -> int:
    return int(datetime.combine(day, time(), tzinfo=IST).timestamp())
