"""A walk-forward run as a table: each window's past and what came after, side by side."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console

from backtest.metrics import Metrics, trade_figures
from backtest.output import print_notes, print_table
from backtest.walk_forward import FinishedWindow, Parameters, WalkForwardResult
from core.number_text import ABSENT, grouped, percent, ratio

COLUMNS = (
    "test span",
    "parameters",
    "{} in",
    "{} out",
    "yearly in",
    "yearly out",
    "efficiency",
    "drawdown in",
    "drawdown out",
    "trades in",
    "trades out",
)


def print_walk_forward(result: WalkForwardResult, console: Console) -> None:
    """Print a row per window and one for all; "in" is in sample, "out" is out of sample."""
    columns = [column.format(result.objective) for column in COLUMNS]
    rows = [_row(done) for done in result.finished]
    print_table(console, "Walk-forward, in sample against out of sample", columns, rows)
    print_notes(console, _notes(result))


def _row(done: FinishedWindow) -> tuple[str, ...]:
    before, after = done.in_sample, done.out_of_sample
    return (
        f"{after.start} to {after.end}",
        parameters_text(done.parameters),
        ratio(before.score),
        ratio(after.score),
        percent(before.yearly_return),
        percent(after.yearly_return),
        ratio(done.efficiency),
        _drawdown(before.metrics),
        _drawdown(after.metrics),
        grouped(before.metrics.trades.count, 0),
        grouped(after.metrics.trades.count, 0),
    )


def parameters_text(parameters: Parameters) -> str:
    """`er_threshold=0.8 rsi_threshold=70`: a dotted name's end, or all of it where ends clash."""
    ends = Counter(name.rpartition(".")[2] for name in parameters)
    texts = []
    for name, value in parameters.items():
        end = name.rpartition(".")[2]
        texts.append(f"{end if ends[end] == 1 else name}={value}")
    return " ".join(texts)


def _drawdown(metrics: Metrics) -> str:
    return percent(metrics.max_drawdown.fraction if metrics.max_drawdown else 0.0)


def _notes(result: WalkForwardResult) -> Sequence[str]:
    done = len(result.finished) + len(result.skipped)
    figures = trade_figures(result.trades)
    expectancy = ABSENT if figures.expectancy_r is None else f"{figures.expectancy_r:.2f} R"
    told = [
        f"Out of sample together: {percent(result.compounded_return)} compounded, "
        f"{grouped(figures.count, 0)} trades, win rate {percent(figures.win_rate)}, "
        f"profit factor {ratio(figures.profit_factor)}, expectancy {expectancy}, "
        f"efficiency {ratio(result.efficiency)}."
    ]
    if result.skipped:
        spans = ", ".join(f"{window.test_start}" for window in result.skipped)
        told.append(f"Skipped, as no parameters had a defined {result.objective}: {spans}.")
    if result.interrupted:
        told.append(f"Interrupted: {done} of {result.requested_windows} windows were finished.")
    return told
