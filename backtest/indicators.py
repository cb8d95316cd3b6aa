"""Indicators as Pine computes them, to the bar on which each first has a value.

Columns are float64, one value a bar, NaN until an indicator is known. Wilder's average (RMA) and
the EMA start from the simple mean of their first `length` values and pass over NaN whole; the only
NaN they meet are at the start. First values, with the strategy's lengths: SuperTrend and ATR(10)
at bar 9, Donchian(20) at 19, ADX(30, 30) at 59, EMA(200) at 199.

Sources: Wilder, New Concepts in Technical Trading Systems (1978) for RSI, ATR, DMI; Kaufman (1995)
for the efficiency ratio; Pine's reference manual for seeds and SuperTrend.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Pine calls two numbers equal that are no further apart than this, whatever their size.
PINE_TOLERANCE = 1e-10


class DirectionalMovement(NamedTuple):
    """+DI, -DI and ADX, each 0 to 100."""

    plus: Floats
    minus: Floats
    adx: Floats


class SuperTrend(NamedTuple):
    """The line in points, and Pine's direction: -1 in an up-trend (line below), +1 in a down-trend.

    At bar 0 the line is 0, as Pine's built-in prints it; then NaN until ATR is known.
    """

    line: Floats
    direction: Floats


def above(left: Floats | float, right: Floats | float) -> Flags:
    """Where `left` > `right` as Pine compares: by more than its tolerance, never beside NaN."""
    return np.asarray(np.subtract(left, right) > PINE_TOLERANCE)


def rma(values: Floats, length: int) -> Floats:
    """Wilder's average: (previous x (length - 1) + value) / length."""
    run, seed = _seeded(values, length)
    average, weight = seed, length - 1
    steps = [average := (average * weight + value) / length for value in run]
    return _placed(values, length, seed, steps)


def ema(values: Floats, length: int) -> Floats:
    """Exponential average with weight 2 / (length + 1)."""
    run, seed = _seeded(values, length)
    average, weight = seed, 2 / (length + 1)
    steps = [average := average + weight * (value - average) for value in run]
    return _placed(values, length, seed, steps)


def rsi(close: Floats, length: int) -> Floats:
    """Wilder's RSI, 0 to 100; without losses 100 (a flat market too), without gains 0."""
    change = close - _shifted(close, 1)
    gains = rma(np.maximum(change, 0.0), length)
    losses = rma(np.maximum(-change, 0.0), length)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        result = 100 - 100 / (1 + gains / losses)
    result[gains <= PINE_TOLERANCE] = 0.0
    result[losses <= PINE_TOLERANCE] = 100.0
    return result


def true_range(high: Floats, low: Floats, close: Floats) -> Floats:
    """max(high - low, |high - last close|, |low - last close|); bar 0 is high - low."""
    last_close = _shifted(close, 1)
    gap = np.fmax(np.abs(high - last_close), np.abs(low - last_close))
    return np.fmax(high - low, gap)


def atr(high: Floats, low: Floats, close: Floats, length: int) -> Floats:
    """Wilder's average of the true range, in points."""
    return rma(true_range(high, low, close), length)


def dmi(
    high: Floats, low: Floats, close: Floats, length: int, smoothing: int
) -> DirectionalMovement:
    """Directional movement over `length`, ADX by `smoothing`. Bar 0 has no movement (NaN)."""
    up, down = high - _shifted(high, 1), _shifted(low, 1) - low
    ranges = true_range(high, low, close)
    ranges[:1] = np.nan
    average_range = rma(ranges, length)
    average_range[average_range == 0.0] = np.nan
    plus = 100 * rma(_larger_move(up, down), length) / average_range
    minus = 100 * rma(_larger_move(down, up), length) / average_range
    both = plus + minus
    both[both == 0.0] = 1.0
    return DirectionalMovement(plus, minus, 100 * rma(np.abs(plus - minus) / both, smoothing))


def supertrend(
    high: Floats, low: Floats, close: Floats, average_range: Floats, factor: float
) -> SuperTrend:
    """hl2 -/+ `factor` x ATR: the lower band only rises, the upper only falls, until crossed."""
    lines, directions = np.full(len(close), np.nan), np.ones(len(close))
    lines[:1] = 0.0
    start = max(int(np.isnan(average_range).sum()), 1)
    if start < len(close):
        middle, width = (high + low) / 2, factor * average_range
        lines[start:], directions[start:] = _follow_bands(
            (middle + width)[start:].tolist(), (middle - width)[start:].tolist(), close[start:]
        )
    return SuperTrend(lines, directions)


def highest(values: Floats, length: int) -> Floats:
    """The highest of the last `length` values; NaN at the start is passed over."""
    result = np.full(len(values), np.nan)
    if len(values) < length:
        return result
    top, width = values, 1
    while width * 2 <= length:
        top = np.fmax(top[width:], top[:-width])
        width *= 2
    overlap = length - width
    if overlap:
        top = np.fmax(top[overlap:], top[:-overlap])
    result[length - 1 :] = top
    return result


def donchian_upper(high: Floats, length: int) -> Floats:
    """The highest high of the `length` bars before this one: Pine's highest(high[1], length).

    Bar 0 has no bar before it, so the first value (bar length - 1) spans one bar less.
    """
    return highest(_shifted(high, 1), length)


def efficiency_ratio(close: Floats, length: int) -> Floats:
    """|close - close[length]| / the sum of the last `length` |changes|, 0 to 1; 0 when flat."""
    step = np.abs(close - _shifted(close, 1))
    path = np.zeros(len(close))
    for back in range(length):
        path += _shifted(step, back)
    net = np.abs(close - _shifted(close, length))
    return np.divide(net, path, out=net * 0.0, where=path != 0.0)


def roc(close: Floats, length: int) -> Floats:
    """Change over `length` bars in percent."""
    before = _shifted(close, length)
    return 100 * (close - before) / before


def _shifted(values: Floats, bars: int) -> Floats:
    """`values[bars]` in Pine's sense: the value so many bars ago."""
    if bars == 0:
        return values
    result = np.full(len(values), np.nan)
    result[bars:] = values[:-bars]
    return result


def _larger_move(move: Floats, opposite: Floats) -> Floats:
    """`move` where it is up and larger than its opposite, else 0 (a tie is neither's)."""
    larger = above(move, opposite) & above(move, 0.0)
    return np.where(np.isnan(move), np.nan, np.where(larger, move, 0.0))


def _seeded(values: Floats, length: int) -> tuple[list[float], float]:
    """What follows the first `length` known values, and their mean (NaN when they are fewer)."""
    known = values[~np.isnan(values)]
    if len(known) < length:
        return [], math.nan
    return known[length:].tolist(), math.fsum(known[:length].tolist()) / length


def _placed(values: Floats, length: int, seed: float, steps: list[float]) -> Floats:
    """The average on the bars whose values it was made of, NaN elsewhere."""
    result = np.full(len(values), np.nan)
    known = np.flatnonzero(~np.isnan(values))
    if len(known) >= length:
        result[known[length - 1]] = seed
        result[known[length:]] = steps
    return result


def _follow_bands(
    uppers: list[float], lowers: list[float], close: Floats
) -> tuple[list[float], list[float]]:
    """SuperTrend from the first bar with bands, which counts as a down-trend."""
    closes: list[float] = close.tolist()
    last_upper, last_lower, last_close = uppers[0], lowers[0], closes[0]
    line = last_upper
    lines, directions = [line], [1.0]
    for upper, lower, price in zip(uppers[1:], lowers[1:], closes[1:], strict=True):
        if lower <= last_lower <= last_close:
            lower = last_lower
        if upper >= last_upper >= last_close:
            upper = last_upper
        falling = price <= upper if line == last_upper else price < lower
        line = upper if falling else lower
        lines.append(line)
        directions.append(1.0 if falling else -1.0)
        last_upper, last_lower, last_close = upper, lower, price
    return lines, directions
