"""A Monte Carlo run as a table for the terminal and as a page with its fan of paths."""

from pathlib import Path

import numpy as np
from rich.console import Console

from backtest.metrics import Floats
from backtest.monte_carlo import PERCENTILES, SAMPLE_PATHS, Method, MonteCarloResult
from backtest.output import print_notes, print_table
from backtest.report.charts import layout, line
from backtest.report.page import Chart, JsonObject, notes, section, text_table, tiles, write_page
from backtest.report.series import rupee_ticks
from core.number_text import grouped, percent, rupees

PAGE_NAME = "monte_carlo.html"
BINS = 60
COLUMNS = ("figure", *(f"{percentile} %" for percentile in PERCENTILES), "as traded")


def print_monte_carlo(result: MonteCarloResult, console: Console) -> None:
    """Print the distributions, the risk of ruin and how to read them; money in rupees."""
    rows = _distributions(result)
    print_table(console, f"Monte Carlo ({result.method}), money in rupees", COLUMNS, rows)
    print_notes(console, _notes(result))


def write_monte_carlo_report(result: MonteCarloResult, directory: Path) -> Path:
    """Write `monte_carlo.html` into `directory`, made when absent; return its path."""
    charts = [_fan(result), _drawdowns(result)]
    if result.method is not Method.SHUFFLE:
        charts.insert(1, _finals(result))
    finals, falls = result.final_equity_percentiles(), result.max_drawdown_percentiles()
    figures = [
        ("Median final equity", rupees(finals[2], 0)),
        ("5 % end below", rupees(finals[0], 0)),
        ("Median drawdown", percent(falls[2])),
        ("5 % fall deeper than", percent(falls[4])),
        ("Risk of ruin", percent(result.risk_of_ruin, 2)),
    ]
    sections = [
        tiles(figures),
        *(section(chart.description, chart.html()) for chart in charts),
        section("Percentiles", text_table("Of all paths", COLUMNS, _distributions(result, "₹"))),
        section("How to read this", notes(_notes(result))),
    ]
    lead = (
        f"{grouped(result.runs, 0)} paths of {grouped(result.trades, 0)} whole trades, "
        f"{result.method}, on {rupees(result.initial_capital, 0)}"
    )
    return write_page(directory / PAGE_NAME, "Monte Carlo", lead, sections, charts)


def _distributions(result: MonteCarloResult, sign: str = "") -> list[tuple[str, ...]]:
    equities = (*result.final_equity_percentiles(), result.observed_final_equity)
    falls = (*result.max_drawdown_percentiles(), result.observed_max_drawdown)
    return [
        ("final equity", *(f"{sign}{grouped(equity, 0)}" for equity in equities)),
        ("max drawdown", *(percent(fall) for fall in falls)),
    ]


def _notes(result: MonteCarloResult) -> tuple[str, ...]:
    level = rupees(result.ruin_fraction * result.initial_capital, 0).replace("₹", "Rs ")
    ruin = (
        f"Risk of ruin {percent(result.risk_of_ruin, 2)}: paths that ended a trade below {level} "
        f"({percent(result.ruin_fraction, 0)} of the capital)."
    )
    how = (
        "Each trade is drawn once, so every path ends alike; only the way there differs."
        if result.method is Method.SHUFFLE
        else f"Trades are drawn with replacement in blocks of {result.block}."
    )
    common = (
        "A trade is an instrument's layers from first entry until flat, as a return on the "
        "realised equity at entry.",
        f"The fan is of {grouped(len(result.kept_paths), 0)} paths, the figures of all.",
        "Equity is seen at the end of each trade: falls inside a trade are not.",
    )
    cut = (
        f"Interrupted: {grouped(result.runs, 0)} of {grouped(result.requested_runs, 0)} paths "
        "were finished.",
    )
    return (*(cut if result.interrupted else ()), ruin, how, *common, f"Seed {result.seed}.")


def _fan(result: MonteCarloResult) -> Chart:
    steps = result.steps.tolist()
    low, lower, middle, upper, high = np.percentile(result.kept_paths, PERCENTILES, axis=0)
    drawn: list[JsonObject] = [
        {**line(steps, path, "A path", "--line"), "hoverinfo": "skip", "showlegend": False}
        for path in result.kept_paths[:SAMPLE_PATHS]
    ]
    hover = "₹%{y:,.0f}"
    for bottom, top, name, colour in (
        (low, high, "5 % to 95 %", "--accent-softer"),
        (lower, upper, "25 % to 75 %", "--accent-soft"),
    ):
        edge = line(steps, bottom, name, "rgba(0,0,0,0)", hovertemplate=hover, showlegend=False)
        fill = line(steps, top, name, "rgba(0,0,0,0)", hovertemplate=hover)
        drawn += [edge, {**fill, "fill": "tonexty", "fillcolor": colour}]
    drawn.append(line(steps, middle, "Median", "--accent", hovertemplate=hover))
    drawn.append(line(steps, result.observed_path, "As traded", "--loss", hovertemplate=hover))
    ticks, texts = rupee_ticks(np.concatenate((low, high, result.observed_path)))
    frame = layout(
        xaxis={"title": {"text": "trades"}, "showgrid": False},
        yaxis={"tickvals": ticks, "ticktext": texts, "range": [ticks[0], ticks[-1]]},
    )
    frame["showlegend"] = True
    return Chart("fan", "Equity after each trade", 440, drawn, frame)


def _finals(result: MonteCarloResult) -> Chart:
    ticks, texts = rupee_ticks(result.final_equity)
    axis: JsonObject = {"tickvals": ticks, "ticktext": texts}
    return _histogram("finals", "Final equity of all paths", result.final_equity, "--accent", axis)


def _drawdowns(result: MonteCarloResult) -> Chart:
    axis: JsonObject = {"tickformat": ".0%"}
    name = "Deepest drawdown of all paths"
    return _histogram("drawdowns", name, result.max_drawdown, "--loss", axis)


def _histogram(name: str, title: str, values: Floats, colour: str, axis: JsonObject) -> Chart:
    counts, edges = np.histogram(values, BINS)
    bars: JsonObject = {
        "type": "bar",
        "x": ((edges[:-1] + edges[1:]) / 2).tolist(),
        "y": counts.tolist(),
        "marker": {"color": colour},
        "hovertemplate": "%{y:,} paths<extra></extra>",
    }
    frame = layout(
        xaxis={**axis, "showgrid": False, "fixedrange": True},
        yaxis={"fixedrange": True, "tickformat": ",d"},
    )
    frame["hovermode"] = "closest"
    return Chart(name, title, 260, [bars], frame)
