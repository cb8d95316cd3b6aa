import dataclasses
from datetime import date, timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly.offline import get_plotlyjs
from rich.console import Console

from backtest import monte_carlo
from backtest.monte_carlo import Method, simulate, whole_trade_returns
from backtest.monte_carlo_report import print_monte_carlo, write_monte_carlo_report
from core.errors import ConfigInvalid, InputInvalid
from tests.fixtures.results import closed_trade, realistic_result, result_of

MONDAY = date(2025, 1, 6)
RETURNS = np.array([0.10, -0.05, 0.02, -0.20, 0.30, -0.01, 0.04, -0.03])


def test_layers_open_together_are_one_return_on_the_equity_at_their_entry() -> None:
    second_week, third_week = MONDAY + timedelta(7), MONDAY + timedelta(14)
    trades = [
        closed_trade("100", MONDAY, trade_no=1),
        closed_trade("60", second_week + timedelta(1), trade_no=2, entry_day=second_week),
        closed_trade("-5", third_week, trade_no=3, entry_day=second_week + timedelta(1)),
        closed_trade("-11", second_week, trade_no=2, instrument="GOLD_MINI"),
    ]
    returns = whole_trade_returns(result_of(trades=trades, capital="1000"))
    assert returns.tolist() == pytest.approx([100 / 1000, -11 / 1100, 55 / 1100])


def test_a_trade_entered_before_another_closed_does_not_count_its_profit() -> None:
    trades = [
        closed_trade("100", MONDAY + timedelta(1), entry_day=MONDAY),
        closed_trade("50", MONDAY + timedelta(2), entry_day=MONDAY, instrument="GOLD_MINI"),
    ]
    returns = whole_trade_returns(result_of(trades=trades, capital="1000"))
    assert returns.tolist() == pytest.approx([0.1, 0.05])


@given(st.lists(st.tuples(st.integers(-90, 200), st.integers(0, 4)), min_size=1, max_size=30))
def test_one_instruments_trades_compound_to_what_they_earned(
    trades: list[tuple[int, int]],
) -> None:
    closed = [
        closed_trade(
            str(pnl), MONDAY + timedelta(place + length), entry_day=MONDAY + timedelta(place)
        )
        for place, (pnl, length) in enumerate(trades)
    ]
    capital = 100_000
    returns = whole_trade_returns(result_of(trades=closed, capital=str(capital)))
    earned = sum(pnl for pnl, _ in trades)
    assert np.prod(1 + returns) == pytest.approx((capital + earned) / capital, rel=1e-12)


def test_without_trades_or_without_equity_there_is_nothing_to_draw() -> None:
    with pytest.raises(InputInvalid, match="closed no trade"):
        whole_trade_returns(result_of())
    lost = [closed_trade("-100", MONDAY), closed_trade("5", MONDAY + timedelta(1), trade_no=2)]
    with pytest.raises(InputInvalid, match="no equity is left"):
        whole_trade_returns(result_of(trades=lost, capital="100"))


def test_a_shuffle_always_ends_alike_and_never_as_deep() -> None:
    result = simulate(RETURNS, 1000.0, method=Method.SHUFFLE, runs=500)
    assert result.final_equity == pytest.approx(np.full(500, 1000 * np.prod(1 + RETURNS)))
    losses = 1 - np.prod(1 + RETURNS[RETURNS < 0])
    assert result.max_drawdown.min() == pytest.approx(0.20)  # the worst trade alone
    assert result.max_drawdown.max() <= losses + 1e-12
    assert len(np.unique(result.max_drawdown.round(9))) > 10


def test_paths_are_compounded_as_by_hand() -> None:
    result = simulate(np.array([-0.5]), 1000.0, runs=3)
    assert result.final_equity.tolist() == [500.0] * 3
    assert result.max_drawdown.tolist() == [0.5] * 3
    assert result.kept_paths.tolist() == [[1000.0, 500.0]] * 3


def test_the_bootstrap_draws_whole_blocks() -> None:
    returns = np.array([0.0, 1.0, 3.0])  # growth of 1, 2 and 4
    ends = simulate(returns, 1.0, block=2, runs=400).final_equity
    pairs = {(0, 1): 2, (1, 2): 8, (2, 0): 4}
    possible = {float(pairs[pair] * first) for pair in pairs for first in (1, 2, 4)}
    assert set(ends.tolist()) == possible
    whole = simulate(returns, 1.0, block=3, runs=50).final_equity
    assert set(whole.tolist()) == {8.0}


def test_the_bootstraps_mean_is_that_of_independent_draws() -> None:
    ends = simulate(RETURNS, 1.0, block=1, runs=60_000, seed=3).final_equity
    expected = (1 + RETURNS.mean()) ** len(RETURNS)
    error = ends.std() / 60_000**0.5
    assert abs(ends.mean() - expected) < 4 * error


def test_the_block_is_the_cube_root_unless_given() -> None:
    assert simulate(np.full(125, 0.01), 1.0, runs=1).block == 5
    assert simulate(np.full(125, 0.01), 1.0, runs=1, block=9).block == 9


def test_risk_of_ruin_is_the_share_of_paths_that_fell_below_the_level() -> None:
    coin = np.array([-0.5, 1.0])  # two draws: half of the paths lose first, two in four end whole
    paths = simulate(coin, 1000.0, block=1, runs=40_000, ruin_fraction=0.6)
    assert paths.risk_of_ruin == pytest.approx(0.5, abs=0.01)
    deep = simulate(coin, 1000.0, block=1, runs=40_000, ruin_fraction=0.3)
    assert deep.risk_of_ruin == pytest.approx(0.25, abs=0.01)
    assert simulate(coin, 1000.0, block=1, runs=99, ruin_fraction=0.25).ruined == 0


def test_equity_stays_at_nothing_once_it_is_lost() -> None:
    result = simulate(np.array([-1.5, -1.5]), 1000.0, runs=4)
    assert result.final_equity.tolist() == [0.0] * 4
    assert result.max_drawdown.tolist() == [1.0] * 4


@given(
    st.lists(st.floats(-0.9, 2.0), min_size=1, max_size=40),
    st.sampled_from(list(Method)),
    st.integers(0, 2**32),
)
def test_a_seed_gives_the_same_paths_whatever_the_chunks(
    returns: list[float], method: Method, seed: int
) -> None:
    drawn = np.array(returns)
    one = simulate(drawn, 100.0, method=method, runs=30, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(monte_carlo, "CELLS_AT_ONCE", 7 * len(returns))
        other = simulate(drawn, 100.0, method=method, runs=30, seed=seed)
    assert one.final_equity.tolist() == other.final_equity.tolist()
    assert one.kept_paths.tolist() == other.kept_paths.tolist()
    assert one.ruined == other.ruined
    assert one.max_drawdown.min() >= 0
    assert one.max_drawdown.max() <= 1


def test_another_seed_gives_other_paths() -> None:
    one, other = (simulate(RETURNS, 1.0, runs=50, seed=seed) for seed in (1, 2))
    assert one.final_equity.tolist() != other.final_equity.tolist()


def test_memory_is_bounded_by_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monte_carlo, "CELLS_AT_ONCE", 80)
    told: list[tuple[int, int]] = []
    simulate(RETURNS, 1.0, runs=25, progress=lambda done, total: told.append((done, total)))
    assert told == [(10, 25), (20, 25), (25, 25)]


def test_an_interrupt_leaves_the_finished_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monte_carlo, "CELLS_AT_ONCE", 80)

    def interrupted(done: int, total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    result = simulate(RETURNS, 1.0, runs=25, progress=interrupted)
    assert (result.runs, result.requested_runs, result.interrupted) == (20, 25, True)
    assert len(result.max_drawdown) == len(result.kept_paths) == 20
    assert "Interrupted: 20 of 25 paths were finished." in _printed(result)


def test_the_trades_in_their_own_order_are_beside_the_paths() -> None:
    result = simulate(RETURNS, 1000.0, runs=5)
    assert result.observed_path.tolist() == pytest.approx(
        (1000 * np.cumprod([1.0, *(1 + RETURNS)])).tolist()
    )
    assert result.observed_max_drawdown == pytest.approx(1 - 0.95 * 1.02 * 0.80)
    assert result.observed_final_equity == result.observed_path[-1]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("runs", 0), ("block", 0), ("ruin_fraction", 0.0), ("ruin_fraction", 1.0)],
)
def test_senseless_settings_are_refused_by_name(setting: str, value: float) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        simulate(RETURNS, 1.0, **{setting: value})  # type: ignore[arg-type]
    assert refused.value.path == setting


def _printed(result: monte_carlo.MonteCarloResult) -> str:
    page = StringIO()
    print_monte_carlo(result, Console(file=page, width=60))
    return page.getvalue()


def test_the_table_has_the_percentiles_and_the_run_itself() -> None:
    text = _printed(simulate(np.array([-0.5]), 5_000_000.0, runs=3, ruin_fraction=0.6))
    assert text.isascii()
    equity = next(line for line in text.splitlines() if line.startswith("final equity"))
    assert equity.split()[2:] == ["25,00,000"] * 6
    assert "Risk of ruin 100.00 %: paths that ended a trade below Rs 30,00,000" in text


def test_the_page_shows_fan_and_histograms_and_loads_nothing(tmp_path: Path) -> None:
    returns = whole_trade_returns(realistic_result(days=500))
    result = simulate(returns, 5e6, runs=300)
    page = write_monte_carlo_report(result, tmp_path).read_text("utf-8")
    page = page.replace(get_plotlyjs(), "")
    for chart in ("fan", "finals", "drawdowns"):
        assert f'id="{chart}"' in page
    assert " src=" not in page
    shuffled = dataclasses.replace(result, method=Method.SHUFFLE)
    again = write_monte_carlo_report(shuffled, tmp_path).read_text("utf-8")
    assert 'id="finals"' not in again
