"""Curves made small enough to draw without losing a peak or a trough, and round axis ticks."""

import math
from itertools import pairwise

import numpy as np

from backtest.metrics import IST_OFFSET_S, Days, Floats
from core.number_text import rupees_short

MAX_POINTS = 5_000


def drawn_places(values: Floats, limit: int = MAX_POINTS) -> np.ndarray:
    """Places of at most `limit` values to draw: the ends, and each bucket's lowest and highest."""
    count = len(values)
    if count <= limit:
        return np.arange(count)
    edges = np.linspace(0, count, limit // 2, dtype=int)
    places = [0, count - 1]
    for begin, end in pairwise(edges.tolist()):
        bucket = values[begin:end]
        places += [begin + int(bucket.argmin()), begin + int(bucket.argmax())]
    return np.unique(places)


def wall_clock(epoch_s: Floats) -> list[str]:
    """Each moment as `2025-01-06T15:30:00` on an Indian clock, for an axis."""
    moments = (epoch_s + IST_OFFSET_S).astype("datetime64[s]")
    return list(np.datetime_as_string(moments).tolist())


def day_texts(days: Days) -> list[str]:
    """Each day as `2025-01-06`."""
    return list(np.datetime_as_string(days.astype("datetime64[D]")).tolist())


def round_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Two to seven round numbers, the first at `low` or below it, the last at `high` or above."""
    span = max(high - low, 1e-6 * max(abs(low), abs(high)), 1e-6)
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(power * size for size in (1, 2, 2.5, 5, 10) if power * size * about >= span)
    first = math.floor(low / step)
    last = max(math.ceil(high / step), first + 1)
    return [step * place for place in range(first, last + 1)]


def rupee_ticks(values: Floats) -> tuple[list[float], list[str]]:
    """Round ticks around `values` and their texts in lakh and crore."""
    ticks = round_ticks(float(values.min()), float(values.max()))
    return ticks, [rupees_short(tick) for tick in ticks]
