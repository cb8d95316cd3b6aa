"""Parameters are chosen on the past and judged on what came after it, window by window.

A window trains on [train_start, test_start) and tests on [test_start, test_end); the next one
begins `test_months` later, so the test spans follow each other without a gap or an overlap. Every
run starts with the whole capital. Nothing of a test span takes part in choosing its parameters.

Efficiency is the yearly out-of-sample return over the yearly in-sample return of the chosen
parameters (Pardo 2008, walk-forward efficiency): near 1 the rules carry over, near 0 they were
fitted to the past. It is None where the in-sample return is not above 0.
"""

import calendar
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import product

from backtest.metrics import Metrics, measure
from backtest.progress import Progress, silent
from backtest.result import BacktestResult
from core.errors import ConfigInvalid
from core.models import Trade

DAYS_A_YEAR = 365.25

Parameters = Mapping[str, object]
# Runs a backtest with the parameters from the first date up to, and without, the second.
Run = Callable[[Parameters, date, date], BacktestResult]


class Objective(StrEnum):
    """What the in-sample runs are ranked by; more is better."""

    NET_PNL = "net-pnl"
    CAGR = "cagr"
    SHARPE = "sharpe"
    SORTINO = "sortino"
    CALMAR = "calmar"
    PROFIT_FACTOR = "profit-factor"
    EXPECTANCY_R = "expectancy-r"


@dataclass(frozen=True, slots=True)
class Window:
    """Days to choose on and days to judge on; each end is the first day outside."""

    train_start: date
    test_start: date
    test_end: date


@dataclass(frozen=True, slots=True)
class Span:
    """One run over a part of a window. `score` is the objective's value there."""

    start: date
    end: date
    score: float | None
    metrics: Metrics

    @property
    def yearly_return(self) -> float:
        """Simple return a year on the capital."""
        years = (self.end - self.start).days / DAYS_A_YEAR
        return (self.metrics.total_return or 0.0) / years


@dataclass(frozen=True, slots=True)
class FinishedWindow:
    """The chosen parameters of a window, and how they did before and after."""

    window: Window
    parameters: Parameters
    in_sample: Span
    out_of_sample: Span
    trades: tuple[Trade, ...]

    @property
    def efficiency(self) -> float | None:
        """Out-of-sample over in-sample yearly return."""
        return _quotient(self.out_of_sample.yearly_return, self.in_sample.yearly_return)


@dataclass(frozen=True, slots=True)
class WalkForwardResult:
    """All finished windows in order; `skipped` had no parameters with a defined objective."""

    objective: Objective
    requested_windows: int
    finished: tuple[FinishedWindow, ...]
    skipped: tuple[Window, ...]

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before the last window."""
        return len(self.finished) + len(self.skipped) < self.requested_windows

    @property
    def trades(self) -> tuple[Trade, ...]:
        """Every out-of-sample trade, window after window."""
        return tuple(trade for done in self.finished for trade in done.trades)

    @property
    def compounded_return(self) -> float:
        """The out-of-sample returns, one after the other."""
        returns = (done.out_of_sample.metrics.total_return or 0.0 for done in self.finished)
        return math.prod(1 + gained for gained in returns) - 1

    @property
    def efficiency(self) -> float | None:
        """Mean yearly return out of sample over the mean in sample."""
        return _quotient(
            math.fsum(done.out_of_sample.yearly_return for done in self.finished),
            math.fsum(done.in_sample.yearly_return for done in self.finished),
        )


def windows(start: date, end: date, train_months: int, test_months: int) -> list[Window]:
    """Every whole window in [start, end); ConfigInvalid where not even one fits."""
    for name, months in (("train_months", train_months), ("test_months", test_months)):
        if months < 1:
            raise ConfigInvalid(name, months, "at least 1")
    found: list[Window] = []
    while True:
        moved = len(found) * test_months
        window = Window(
            _months_after(start, moved),
            _months_after(start, moved + train_months),
            _months_after(start, moved + train_months + test_months),
        )
        if window.test_end > end:
            break
        found.append(window)
    if not found:
        needed = train_months + test_months
        allowed = f"one window needs {needed} months, {start} to {end} is shorter"
        raise ConfigInvalid("train_months", train_months, allowed)
    return found


def run_walk_forward(
    run: Run,
    grid: Mapping[str, Sequence[object]],
    windows: Sequence[Window],
    objective: Objective = Objective.SHARPE,
    progress: Progress = silent,
) -> WalkForwardResult:
    """Choose on each window's past by `objective`, judge on what follows.

    Of equal scores the first in the grid's order is chosen. A window whose every score is
    undefined is skipped. An interrupt (Ctrl-C) leaves the windows finished so far.
    """
    candidates = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    if not candidates:
        raise ConfigInvalid("grid", dict(grid), "at least one value for each parameter")
    steps = _Steps(progress, len(windows) * (len(candidates) + 1))
    finished: list[FinishedWindow] = []
    skipped: list[Window] = []
    try:
        for window in windows:
            done = _walk(run, candidates, window, objective, steps)
            if done is None:
                skipped.append(window)
            else:
                finished.append(done)
            steps.reach((len(finished) + len(skipped)) * (len(candidates) + 1))
    except KeyboardInterrupt:
        pass  # what is finished is the answer, and `interrupted` says that it is not all
    return WalkForwardResult(objective, len(windows), tuple(finished), tuple(skipped))


def score(metrics: Metrics, objective: Objective) -> float | None:
    """The value of `objective`; net P&L is ranked by the return on the capital."""
    values = {
        Objective.NET_PNL: metrics.total_return,
        Objective.CAGR: metrics.cagr,
        Objective.SHARPE: metrics.sharpe,
        Objective.SORTINO: metrics.sortino,
        Objective.CALMAR: metrics.calmar,
        Objective.PROFIT_FACTOR: metrics.trades.profit_factor,
        Objective.EXPECTANCY_R: metrics.trades.expectancy_r,
    }
    return values[objective]


@dataclass(slots=True)
class _Steps:
    """Counts the runs that are done and tells."""

    progress: Progress
    total: int
    done: int = 0

    def reach(self, done: int) -> None:
        self.done = done
        self.progress(done, self.total)


def _walk(
    run: Run,
    candidates: Sequence[Parameters],
    window: Window,
    objective: Objective,
    steps: _Steps,
) -> FinishedWindow | None:
    best: tuple[float, Parameters, Metrics] | None = None
    for parameters in candidates:
        metrics = measure(run(parameters, window.train_start, window.test_start))
        value = score(metrics, objective)
        if value is not None and (best is None or value > best[0]):
            best = (value, parameters, metrics)
        steps.reach(steps.done + 1)
    if best is None:
        return None
    value, parameters, metrics = best
    tested = run(parameters, window.test_start, window.test_end)
    after = measure(tested)
    return FinishedWindow(
        window=window,
        parameters=parameters,
        in_sample=Span(window.train_start, window.test_start, value, metrics),
        out_of_sample=Span(window.test_start, window.test_end, score(after, objective), after),
        trades=tested.trades,
    )


def _months_after(day: date, months: int) -> date:
    """The same day of a later month, or that month's last."""
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(day.day, last))


def _quotient(after: float, before: float) -> float | None:
    return after / before if before > 0 else None
