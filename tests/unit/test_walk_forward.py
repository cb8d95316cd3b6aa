from collections.abc import Callable, Sequence
from datetime import date, timedelta
from io import StringIO
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from backtest.metrics import measure
from backtest.result import BacktestResult
from backtest.walk_forward import (
    Objective,
    Parameters,
    WalkForwardResult,
    Window,
    run_walk_forward,
    score,
    windows,
)
from backtest.walk_forward_output import print_walk_forward
from core.errors import ConfigInvalid
from tests.fixtures.results import closed_trade, daily_curve, result_of

START, END = date(2020, 1, 1), date(2022, 1, 1)
GRID: dict[str, Sequence[object]] = {"er": [0.7, 0.8], "rsi": [60, 70]}


def test_windows_roll_by_the_test_span() -> None:
    assert windows(START, END, 12, 6) == [
        Window(date(2020, 1, 1), date(2021, 1, 1), date(2021, 7, 1)),
        Window(date(2020, 7, 1), date(2021, 7, 1), date(2022, 1, 1)),
    ]


def test_a_window_that_is_not_whole_is_left_out() -> None:
    assert len(windows(START, END - timedelta(days=1), 12, 6)) == 1


def test_months_of_different_length_do_not_move_the_windows() -> None:
    found = windows(date(2023, 12, 31), date(2024, 5, 31), 1, 1)
    assert [window.test_start for window in found] == [
        *(date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 31), date(2024, 4, 30)),
    ]


@given(st.dates(date(2000, 1, 1), date(2030, 1, 1)), st.integers(1, 24), st.integers(1, 12))
def test_test_spans_follow_each_other_and_never_meet_their_training(
    start: date, train_months: int, test_months: int
) -> None:
    end = start + timedelta(days=2_000)
    found = windows(start, end, train_months, test_months)
    assert found[0].train_start == start
    assert found[-1].test_end <= end
    for window in found:
        assert window.train_start < window.test_start < window.test_end
    for before, after in pairwise(found):
        assert before.test_end == after.test_start


@pytest.mark.parametrize(("train", "test"), [(0, 6), (12, 0), (24, 1)])
def test_windows_that_cannot_be_are_refused(train: int, test: int) -> None:
    with pytest.raises(ConfigInvalid):
        windows(START, END, train, test)


def _run_earning(rule: Callable[[Parameters, date], float]) -> Callable[..., BacktestResult]:
    """A backtest that ends every span with the capital times 1 + `rule(parameters, start)`."""

    def run(parameters: Parameters, start: date, end: date) -> BacktestResult:
        final = 1000 * (1 + rule(parameters, start))
        days = [start, start + timedelta(days=(end - start).days // 2), end - timedelta(days=1)]
        trade = closed_trade(f"{final - 1000:.2f}", days[-1], entry_day=start)
        return result_of(daily_curve(days, [1000, 990, final]), [trade], "1000")

    return run


def _walk(rule: Callable[[Parameters, date], float]) -> WalkForwardResult:
    return run_walk_forward(_run_earning(rule), GRID, windows(START, END, 12, 6), Objective.NET_PNL)


def test_the_best_of_the_past_is_judged_on_what_follows() -> None:
    def rule(parameters: Parameters, start: date) -> float:
        late = start >= date(2021, 1, 1)
        favourite = {"er": 0.7, "rsi": 70}
        if parameters == favourite:
            return 0.01 if late else 0.20
        return 0.50 if late else 0.10

    result = _walk(rule)
    first, second = result.finished
    assert dict(first.parameters) == dict(second.parameters) == {"er": 0.7, "rsi": 70}
    assert first.in_sample.score == pytest.approx(0.20)
    assert first.out_of_sample.score == pytest.approx(0.01)
    assert first.efficiency == pytest.approx((0.01 / 181) / (0.20 / 366))
    assert result.compounded_return == pytest.approx(1.01**2 - 1)
    assert [trade.net_pnl for trade in result.trades] == [10, 10]
    assert result.efficiency == pytest.approx((0.01 / 181 + 0.01 / 184) / (0.20 / 366 + 0.20 / 365))


def test_no_run_sees_both_sides_of_a_test_start() -> None:
    asked: list[tuple[date, date]] = []

    def run(parameters: Parameters, start: date, end: date) -> BacktestResult:
        asked.append((start, end))
        return _run_earning(lambda *_: 0.1)(parameters, start, end)

    (window,) = windows(START, END, 12, 12)
    run_walk_forward(run, GRID, [window], Objective.NET_PNL)
    training, testing = (
        (window.train_start, window.test_start),
        (window.test_start, window.test_end),
    )
    assert asked == [training] * 4 + [testing]


def test_of_equal_scores_the_first_in_the_grid_is_chosen() -> None:
    (first, _) = _walk(lambda *_: 0.1).finished
    assert dict(first.parameters) == {"er": 0.7, "rsi": 60}


def test_a_losing_past_has_no_efficiency() -> None:
    result = _walk(lambda *_: -0.1)
    assert (result.efficiency, result.finished[0].efficiency) == (None, None)


def test_a_window_without_a_defined_objective_is_skipped_and_said() -> None:
    def run(parameters: Parameters, start: date, end: date) -> BacktestResult:
        if start == START:
            return result_of(capital="1000")
        return _run_earning(lambda *_: 0.1)(parameters, start, end)

    both = windows(START, END, 12, 6)
    result = run_walk_forward(run, GRID, both, Objective.SHARPE)
    assert result.skipped == (both[0],)
    assert [done.window for done in result.finished] == [both[1]]
    assert not result.interrupted
    assert "Skipped, as no parameters had a defined sharpe: 2021-01-01." in _printed(result)


def test_an_interrupt_leaves_the_finished_windows() -> None:
    calls = 0

    def run(parameters: Parameters, start: date, end: date) -> BacktestResult:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise KeyboardInterrupt
        return _run_earning(lambda *_: 0.1)(parameters, start, end)

    result = run_walk_forward(run, GRID, windows(START, END, 12, 6), Objective.NET_PNL)
    assert (len(result.finished), result.interrupted) == (1, True)
    assert "Interrupted: 1 of 2 windows were finished." in _printed(result)


def test_an_interrupt_before_the_first_window_prints_that_nothing_was_finished() -> None:
    def run(parameters: Parameters, start: date, end: date) -> BacktestResult:
        raise KeyboardInterrupt

    result = run_walk_forward(run, GRID, windows(START, END, 12, 6))
    assert "Interrupted: 0 of 2 windows were finished." in _printed(result)


def test_progress_counts_every_run_to_the_end() -> None:
    told: list[tuple[int, int]] = []
    run_walk_forward(
        _run_earning(lambda *_: 0.1),
        GRID,
        windows(START, END, 12, 6),
        Objective.NET_PNL,
        lambda done, total: told.append((done, total)),
    )
    assert told == [(done, 10) for done in range(1, 11)]


def test_an_empty_grid_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="grid"):
        run_walk_forward(_run_earning(lambda *_: 0.1), {"er": []}, windows(START, END, 12, 6))


@pytest.mark.parametrize("objective", list(Objective))
def test_every_objective_has_a_value(objective: Objective) -> None:
    days = [date(2025, 1, 6), date(2025, 1, 7), date(2025, 1, 8)]
    trades = [closed_trade("20"), closed_trade("-10")]
    assert score(measure(result_of(daily_curve(days, [110, 105, 110]), trades)), objective)


def _printed(result: WalkForwardResult) -> str:
    page = StringIO()
    print_walk_forward(result, Console(file=page, width=60))
    return page.getvalue()


def test_the_table_sets_past_and_future_side_by_side() -> None:
    text = _printed(_walk(lambda _, start: 0.2 if start < date(2021, 1, 1) else 0.04))
    row = next(line for line in text.splitlines() if line.startswith("2021-01-01"))
    cells = [cell for cell in row.split("  ") if cell]
    assert [cell.strip() for cell in cells] == [
        *("2021-01-01 to 2021-07-01", "er=0.7 rsi=60", "0.20", "0.04", "20.0 %", "8.1 %"),
        *("0.40", "1.0 %", "1.0 %", "1", "1"),
    ]
    assert "Out of sample together: 8.2 % compounded, 2 trades" in text
