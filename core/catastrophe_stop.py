"""The stop that waits for no bar: a layer leaves when the market has fallen far through its stop.

It lies `multiple` ATR below the layer's own stop, so it is never nearer than the stop that a closed
bar is judged by, and it rises with that one. Who asks has seen the price twice.
"""

from collections.abc import Sequence
from decimal import Decimal

from core.models import Position


def level(layer: Position, atr: Decimal, multiple: Decimal) -> Decimal:
    """The price in points below which the layer leaves between two bars."""
    return layer.stop - multiple * atr


def fallen(
    layers: Sequence[Position], price: Decimal, atr: Decimal, multiple: Decimal
) -> list[Position]:
    """The layers whose catastrophe stop `price` has passed."""
    return [layer for layer in layers if price < level(layer, atr, multiple)]
