"""The pictures of a run, as plotly reads them, in the page's own colours."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from backtest.metrics import DailyEquity, Floats, drawdown_series
from backtest.report.page import Chart, JsonObject
from backtest.report.series import day_texts, drawn_places, rupee_ticks, wall_clock
from backtest.result import EquityCurve
from core.models import Trade

LINE_COLOURS = ("--accent", "--second", "--third", "--fourth", "--loss", "--gain")
MOST_BINS = 60


def layout(**axes: JsonObject) -> JsonObject:
    """A quiet layout; `axes` are plotly's xaxis, yaxis, yaxis2 and the like."""
    quiet: JsonObject = {
        "gridcolor": "--line",
        "linecolor": "--line",
        "zeroline": False,
        "automargin": True,
    }
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "--muted", "size": 12, "family": "system-ui, sans-serif"},
        "margin": {"l": 12, "r": 12, "t": 12, "b": 8},
        "hovermode": "x unified",
        "hoverlabel": {
            "bgcolor": "--card",
            "bordercolor": "--line",
            "font": {"color": "--ink", "size": 13},
        },
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "showlegend": False,
        "bargap": 0.08,
        **{name: {**quiet, **axis} for name, axis in axes.items()},
    }


def line(
    x: Sequence[object],
    y: Floats,
    name: str,
    colour: str,
    *,
    stepped: bool = False,
    **more: object,
) -> JsonObject:
    """One line of a chart; a stepped one stays level from each point to the next."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": list(x),
        "y": [round(value, 6) for value in y.tolist()],
        "name": name,
        "line": {"color": colour, "width": 1.6, "shape": "hv" if stepped else "linear"},
        **more,
    }


def equity_and_drawdown(curve: EquityCurve, daily: DailyEquity) -> Chart:
    """Marked equity at every point of the run, and under it the daily drawdown."""
    equity = np.frombuffer(curve.equity)
    places = drawn_places(equity)
    ticks, texts = rupee_ticks(equity)
    falls = -drawdown_series(daily)
    fall_places = drawn_places(falls)
    times = wall_clock(np.frombuffer(curve.epoch_s)[places])
    upper = line(
        times, equity[places], "Equity", "--accent", stepped=True, hovertemplate="₹%{y:,.2f}"
    )
    lower = line(
        day_texts(daily.days[fall_places]),
        falls[fall_places],
        "Drawdown",
        "--loss",
        yaxis="y2",
        fill="tozeroy",
        fillcolor="--loss-soft",
        hovertemplate="%{y:.1%}",
    )
    frame = layout(
        xaxis={"type": "date", "anchor": "y2", "showgrid": False},
        yaxis={"domain": [0.34, 1], "tickvals": ticks, "ticktext": texts, "fixedrange": True},
        yaxis2={"domain": [0, 0.26], "tickformat": ".0%", "nticks": 4, "fixedrange": True},
    )
    return Chart("equity", "Equity and drawdown over time", 460, [upper, lower], frame)


def exposure(curve: EquityCurve) -> Chart:
    """Margin in use and, under it on its own scale, risk to the stops: shares of equity."""
    equity, times = np.frombuffer(curve.equity), np.frombuffer(curve.epoch_s)
    solvent = equity > 0
    drawn = []
    for name, column, colour, axis in (
        ("Margin in use", curve.margin, "--accent", "y"),
        ("Risk to the stops", curve.risk, "--loss", "y2"),
    ):
        share = np.frombuffer(column)[solvent] / equity[solvent]
        places = drawn_places(share)
        moments = wall_clock(times[solvent][places])
        drawn.append(
            line(
                moments,
                share[places],
                name,
                colour,
                hovertemplate="%{y:.2%}",
                stepped=True,
                yaxis=axis,
            )
        )
    frame = layout(
        xaxis={"type": "date", "anchor": "y2", "showgrid": False},
        yaxis={
            "domain": [0.48, 1], "tickformat": ".0%", "rangemode": "tozero", "fixedrange": True,
        },
        yaxis2={
            "domain": [0, 0.4], "tickformat": ".1%", "rangemode": "tozero", "fixedrange": True,
        },
    )  # fmt: skip
    frame["showlegend"] = True
    return Chart("exposure", "Margin and risk as shares of equity", 400, drawn, frame)


def r_histogram(multiples: Floats) -> Chart:
    """How many trades came to how many R, in steps of half an R or coarser."""
    low, high = np.floor(multiples.min()), np.floor(multiples.max()) + 1
    width = 0.5 if high - low <= MOST_BINS / 2 else np.ceil((high - low) / MOST_BINS)
    edges = low + width * np.arange(np.ceil((high - low) / width) + 1)
    counts, edges = np.histogram(multiples, edges)
    middles = (edges[:-1] + edges[1:]) / 2
    bars: JsonObject = {
        "type": "bar",
        "x": middles.tolist(),
        "y": counts.tolist(),
        "width": width * 0.92,
        "marker": {"color": ["--loss" if middle < 0 else "--gain" for middle in middles]},
        "customdata": [f"{begin:g} to {begin + width:g} R" for begin in edges[:-1]],
        "hovertemplate": "%{customdata}: %{y:,} trades<extra></extra>",
    }
    frame = layout(
        xaxis={"ticksuffix": " R", "showgrid": False, "fixedrange": True},
        yaxis={"fixedrange": True, "tickformat": ",d"},
    )
    frame["hovermode"] = "closest"
    return Chart("r-multiples", "Number of trades by R multiple", 280, [bars], frame)


def instrument_lines(trades: Sequence[Trade]) -> Chart:
    """The net P&L of closed trades as it added up, per instrument."""
    groups: defaultdict[str, list[Trade]] = defaultdict(list)
    for trade in sorted(trades, key=lambda trade: trade.exit_time):
        groups[trade.instrument].append(trade)
    drawn, values = [], [np.zeros(1)]
    for place, (name, group) in enumerate(sorted(groups.items())):
        total = np.cumsum([float(trade.net_pnl) for trade in group])
        places = drawn_places(total)
        times = wall_clock(np.array([group[spot].exit_time.timestamp() for spot in places]))
        colour = LINE_COLOURS[place % len(LINE_COLOURS)]
        drawn.append(
            line(times, total[places], name, colour, hovertemplate="₹%{y:,.2f}", stepped=True)
        )
        values.append(total)
    ticks, texts = rupee_ticks(np.concatenate(values))
    frame = layout(
        xaxis={"type": "date", "showgrid": False},
        yaxis={"tickvals": ticks, "ticktext": texts, "fixedrange": True},
    )
    frame["showlegend"] = True
    return Chart("instruments", "Net P&L of closed trades by instrument", 300, drawn, frame)
