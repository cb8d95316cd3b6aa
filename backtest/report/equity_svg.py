"""A still picture of a run, equity above and drawdown below, written without a browser."""

from datetime import date
from html import escape
from pathlib import Path

import numpy as np

from backtest.metrics import Floats, daily_equity, drawdown_series
from backtest.report.series import drawn_places, round_ticks
from backtest.result import BacktestResult
from core.number_text import percent, rupees_short

WIDTH, HEIGHT = 960, 420
LEFT, RIGHT = 72.0, 944.0
EQUITY_TOP, EQUITY_BOTTOM = 40.0, 280.0
FALL_TOP, FALL_BOTTOM = 306.0, 386.0
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #5b6472; } .title { font-size: 15px; fill: #1d2530; }
.page { fill: #ffffff; } .grid { stroke: #e3e7ec; } .equity { stroke: #1f6f8b; fill: none; }
.fall { fill: #c2573a; fill-opacity: .28; stroke: #c2573a; } path { stroke-width: 1.5; }
@media (prefers-color-scheme: dark) { text { fill: #9aa5b1; } .title { fill: #e6eaef; }
.page { fill: #14181d; } .grid { stroke: #2a313a; } .equity { stroke: #5fb3cf; }
.fall { fill: #e08a6d; stroke: #e08a6d; } }
"""


def write_equity_svg(result: BacktestResult, path: Path) -> None:
    """Draw the daily equity and drawdown of `result` into `path`; `ValueError` without points."""
    daily = daily_equity(result.curve, float(result.initial_capital))
    if not len(daily.days):
        raise ValueError("a run without equity points has no picture")
    falls = drawdown_series(daily)
    ticks = round_ticks(float(daily.equity.min()), float(daily.equity.max()))
    deepest = max(float(falls.max()), 0.01)
    across = np.linspace(LEFT, RIGHT, len(daily.days))
    equity_y = _scaled(daily.equity, ticks[0], ticks[-1], EQUITY_BOTTOM, EQUITY_TOP)
    fall_y = _scaled(falls, 0.0, deepest, FALL_TOP, FALL_BOTTOM)
    tick_y = _scaled(np.array(ticks), ticks[0], ticks[-1], EQUITY_BOTTOM, EQUITY_TOP)
    grid = "".join(
        f'<path class="grid" d="M{LEFT:g} {y:.1f}H{RIGHT:g}"/>'
        f'<text x="{LEFT - 8:g}" y="{y + 4:.1f}" text-anchor="end">{rupees_short(tick)}</text>'
        for tick, y in zip(ticks, tick_y, strict=True)
    )
    days = daily.days.tolist()
    title = f"Equity and drawdown, {days[0]} to {days[-1]}"
    fall_path = f"M{LEFT:g} {FALL_TOP:g}L{_points(across, fall_y)}L{RIGHT:g} {FALL_TOP:g}Z"
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}"><style>{STYLE}</style>'
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="8"/>'
        f'<text class="title" x="{LEFT:g}" y="24">{escape(title)}</text>{grid}'
        f'<path class="equity" d="M{_points(across, equity_y)}"/>'
        f'<path class="fall" d="{fall_path}"/>'
        f'<text x="{LEFT - 8:g}" y="{FALL_TOP + 4:g}" text-anchor="end">0 %</text>'
        f'<text x="{LEFT - 8:g}" y="{FALL_BOTTOM + 4:g}" text-anchor="end">'
        f"-{percent(deepest)}</text>{_years(days, across)}</svg>\n",
        "utf-8",
    )


def _scaled(values: Floats, low: float, high: float, at_low: float, at_high: float) -> Floats:
    scaled: Floats = at_low + (values - low) / (high - low) * (at_high - at_low)
    return scaled


def _points(across: Floats, down: Floats) -> str:
    places = drawn_places(down, WIDTH)
    return "L".join(f"{across[place]:.1f} {down[place]:.1f}" for place in places)


def _years(days: list[date], across: Floats) -> str:
    """A label where each year begins; of two that would touch, the later one."""
    labels, last = [], WIDTH + 100.0
    for place in range(len(days) - 1, -1, -1):
        begins = place == 0 or days[place].year != days[place - 1].year
        x = float(across[place])
        if begins and x < min(last - 48, RIGHT - 24):
            last = x
            labels.append(f'<text x="{x:.1f}" y="{HEIGHT - 14}">{days[place].year}</text>')
    return "".join(labels)
