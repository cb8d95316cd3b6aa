"""Stops: never wider than what was sized on, one per layer, moved at closed bars, only upward.

The same manager serves the book (`Decimal` layers) and the strategy's own view of its position
(`float` layers), so each rule is stated once.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Generic, Protocol, TypeVar

from core.models import StopMode

Number = TypeVar("Number", float, Decimal)


class StoppedLayer(Protocol[Number]):
    """What a layer must have to be stopped out. Prices in points, all of one number type."""

    entry_price: Number
    stop: Number
    highest_close: Number


LayerT = TypeVar("LayerT", bound=StoppedLayer)  # type: ignore[type-arg]  # either number type


class TomBassoStopManager(Generic[Number]):
    """The three stop modes, for one instrument.

    TOM_BASSO: starts at the tighter of the alert's stop and `initial_atr_mult` ATR under the
    price, then follows the highest close since entry at `trailing_atr_mult` ATR.
    SUPERTREND: every layer leaves on a close below the SuperTrend.
    VAN_THARP: a layer leaves below the entry of the layer above it, the top one on SuperTrend.
    """

    _initial_atr_mult: Number
    _trailing_atr_mult: Number

    def __init__(self, mode: StopMode, initial_atr_mult: Number, trailing_atr_mult: Number) -> None:
        self._mode = mode
        self._initial_atr_mult = initial_atr_mult
        self._trailing_atr_mult = trailing_atr_mult

    def initial(self, price: Number, signal_stop: Number, atr: Number) -> Number:
        """The stop a layer starts with, in points; outside TOM_BASSO the alert's own."""
        if self._mode is StopMode.TOM_BASSO:
            widest: Number = price - self._initial_atr_mult * atr
            return max(signal_stop, widest)
        return signal_stop

    def advance(
        self, layers: Sequence[LayerT], close: Number, atr: Number, supertrend: Number
    ) -> list[LayerT]:
        """Move the stops of one instrument's open layers at a closed bar; return those hit.

        `layers` are in the order they were opened. A layer is hit when `close` < its stop.
        """
        if self._mode is StopMode.TOM_BASSO:
            trail = self._trailing_atr_mult * atr
            for layer in layers:
                if close > layer.highest_close:
                    layer.highest_close = close
                raised = layer.highest_close - trail
                if raised > layer.stop:
                    layer.stop = raised
        else:
            self._advance_on_supertrend(layers, close, supertrend)
        return [layer for layer in layers if close < layer.stop]

    def _advance_on_supertrend(
        self, layers: Sequence[LayerT], close: Number, supertrend: Number
    ) -> None:
        """A SuperTrend above the close (a flip) raises the stop past it, which is the exit."""
        each_on_supertrend = self._mode is StopMode.SUPERTREND
        top = len(layers) - 1
        for place, layer in enumerate(layers):
            layer.highest_close = max(layer.highest_close, close)
            if each_on_supertrend or place == top:
                layer.stop = max(layer.stop, supertrend)
            else:
                layer.stop = max(layer.stop, layers[place + 1].entry_price)
