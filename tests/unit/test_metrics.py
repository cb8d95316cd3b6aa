import dataclasses
import math
from array import array
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from time import thread_time

import empyrical
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.metrics import MonthReturn, daily_equity, measure, trade_figures
from backtest.result import EquityCurve
from core.ist import IST
from tests.fixtures.results import (
    at,
    closed_trade,
    daily_curve,
    realistic_result,
    result_of,
    weekdays,
)

MONDAY = date(2025, 1, 6)


@given(
    # Whole basis points: of a return near nothing, a day's equity does not keep enough digits.
    st.lists(st.integers(-2000, 2000).map(lambda points: points / 1e4), min_size=2, max_size=400),
    st.sampled_from(["100", "5000000"]),
)
def test_figures_of_daily_equity_equal_empyrical(returns: list[float], capital: str) -> None:
    path = float(capital) * np.cumprod(1 + np.array(returns))
    metrics = measure(
        result_of(daily_curve(weekdays(MONDAY, len(path)), path.tolist()), (), capital)
    )
    series = np.diff(np.concatenate(([float(capital)], path))) / np.concatenate(
        ([float(capital)], path[:-1])
    )
    fraction = metrics.max_drawdown.fraction if metrics.max_drawdown else 0.0
    assert fraction == pytest.approx(-empyrical.max_drawdown(series), abs=1e-9)
    _same(metrics.cagr, empyrical.cagr(series))
    _same(metrics.sharpe, empyrical.sharpe_ratio(series), series)
    _same(metrics.sortino, empyrical.sortino_ratio(series), series)
    if fraction > 1e-6:
        _same(metrics.calmar, empyrical.calmar_ratio(series))


def last_of_each_day(curve: EquityCurve) -> dict[date, float]:
    """The last equity of each IST day that has a point, point by point."""
    return {
        datetime.fromtimestamp(epoch, IST).date(): equity
        for epoch, equity in zip(curve.epoch_s, curve.equity, strict=True)
    }


def _same(ours: float | None, theirs: float, series: np.ndarray | None = None) -> None:
    """Equal to 1e-9, or undefined in both; returns all alike to the last bits are not compared."""
    if series is not None and (np.ptp(series) < 1e-9 or abs(series.min()) < 1e-9):
        return
    if ours is None:
        assert not math.isfinite(theirs) or theirs > 1e250
    else:
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_figures_of_a_realistic_run_equal_empyrical(seed: int) -> None:
    result = realistic_result(seed, days=400)
    equity = np.array([float(result.initial_capital), *last_of_each_day(result.curve).values()])
    returns = equity[1:] / equity[:-1] - 1
    metrics = measure(result)
    assert metrics.max_drawdown is not None
    ours = [metrics.cagr, metrics.sharpe, metrics.sortino, metrics.calmar]
    theirs = [
        empyrical.cagr(returns),
        empyrical.sharpe_ratio(returns),
        empyrical.sortino_ratio(returns),
        empyrical.calmar_ratio(returns),
    ]
    assert ours == pytest.approx(theirs, rel=1e-9)
    assert metrics.max_drawdown.fraction == pytest.approx(
        -empyrical.max_drawdown(returns), rel=1e-9
    )


def test_deepest_drawdown_has_its_dates_rupees_and_length() -> None:
    days = weekdays(MONDAY, 7)
    drawdown = measure(
        result_of(daily_curve(days, [110, 104.5, 120, 90, 96, 120, 119]), capital="100")
    ).max_drawdown
    assert drawdown is not None
    assert drawdown.fraction == pytest.approx(0.25)
    assert drawdown.rupees == 30
    assert (drawdown.start, drawdown.trough, drawdown.recovery) == (days[2], days[3], days[5])
    assert drawdown.length_days == 5  # Wednesday to Monday


def test_a_drawdown_from_the_first_day_counts_from_the_initial_capital() -> None:
    days = weekdays(MONDAY, 3)
    drawdown = measure(result_of(daily_curve(days, [95, 80, 99]), capital="100")).max_drawdown
    assert drawdown is not None
    assert [drawdown.fraction, drawdown.rupees] == pytest.approx([0.2, 20])
    assert (drawdown.start, drawdown.recovery, drawdown.length_days) == (days[0], None, 2)


def test_equity_that_never_falls_has_no_drawdown_and_no_calmar() -> None:
    metrics = measure(result_of(daily_curve(weekdays(MONDAY, 3), [100, 101, 103]), capital="100"))
    assert (metrics.max_drawdown, metrics.calmar, metrics.sortino) == (None, None, None)
    assert metrics.cagr is not None


def test_the_last_point_of_an_ist_day_is_the_days_equity() -> None:
    curve = EquityCurve()
    for moment, value in [
        (at(MONDAY, time(9, 15)), 100.0),
        (at(MONDAY, time(23, 55)), 104.0),  # Monday in IST, and in UTC
        (at(MONDAY + timedelta(days=1), time(0, 5)), 103.0),  # Tuesday in IST, Monday in UTC
        (at(MONDAY + timedelta(days=1), time(0, 5)), 105.0),
    ]:
        curve.append(moment.timestamp(), value, 0.0, 0.0)
    daily = daily_equity(curve, 100.0)
    assert dict(zip(daily.days.tolist(), daily.equity.tolist(), strict=True)) == last_of_each_day(
        curve
    )
    assert daily.equity.tolist() == [104.0, 105.0]


def test_a_curve_known_only_at_trades_is_carried_over_the_weekdays_between() -> None:
    friday, wednesday = date(2025, 1, 3), date(2025, 1, 8)
    daily = daily_equity(daily_curve([friday, wednesday], [110.0, 121.0]), 100.0)
    assert daily.days.tolist() == [friday, *weekdays(MONDAY, 3)]
    assert daily.equity.tolist() == [110, 110, 110, 121]
    assert daily.periods_a_year == 261


def test_a_curve_with_every_trading_day_keeps_its_own_days() -> None:
    days = weekdays(MONDAY, 60)
    without_holidays = [day for number, day in enumerate(days) if number % 20 != 7]
    daily = daily_equity(daily_curve(without_holidays, [100.0] * 57), 100.0)
    assert (len(daily.days), daily.periods_a_year) == (57, 252)


def test_carried_equity_grows_at_the_calendars_rate() -> None:
    curve = daily_curve([date(2020, 1, 1), date(2022, 6, 1), date(2025, 1, 1)], [100, 170, 200])
    growth = measure(result_of(curve, capital="100")).cagr
    assert growth == pytest.approx(2 ** (1 / 5) - 1, rel=0.003)


def test_months_follow_each_other_from_the_initial_capital() -> None:
    days = [date(2024, 12, 30), date(2024, 12, 31), date(2025, 1, 1), date(2025, 1, 2)]
    metrics = measure(result_of(daily_curve(days, [105, 110, 100, 99]), capital="100"))
    assert [(month.year, month.month) for month in metrics.months] == [(2024, 12), (2025, 1)]
    assert [m.fraction for m in metrics.months] == pytest.approx([0.10, -0.10])
    assert metrics.best_month == metrics.months[0]
    assert metrics.worst_month == metrics.months[1]


def test_months_multiply_to_the_total_return() -> None:
    metrics = measure(realistic_result(days=300))
    assert metrics.total_return is not None
    growth = math.prod(1 + month.fraction for month in metrics.months)
    assert growth == pytest.approx(1 + metrics.total_return, abs=1e-8)
    assert isinstance(metrics.worst_month, MonthReturn)


def test_time_in_market_is_the_share_of_clock_time_with_risk_or_margin() -> None:
    start = datetime(2025, 1, 6, 10, 0, tzinfo=IST).timestamp()
    curve = EquityCurve()
    for hour, risk, margin in [(0, 0, 0), (1, 50, 0), (3, 0, 20), (4, 0, 0), (10, 5, 5)]:
        curve.append(start + hour * 3600, 100.0, risk, margin)
    assert measure(result_of(curve)).time_in_market == pytest.approx(3 / 10)


def test_time_in_market_of_a_curve_without_risk_is_the_time_of_its_trades() -> None:
    days = weekdays(MONDAY, 5)
    trades = [
        closed_trade("1", days[1], entry_day=days[0]),  # Monday 10:30 to Tuesday 15:30
        closed_trade("1", days[1], layer=2),  # within it
        closed_trade("1", days[3], trade_no=2),  # five hours of Thursday
    ]
    curve = daily_curve([days[0], days[4]], [100.0, 103.0])  # four days of 24 hours
    assert measure(result_of(curve, trades)).time_in_market == pytest.approx((29 + 5) / 96)
    assert measure(result_of(curve)).time_in_market == 0.0


def test_trade_figures_by_hand() -> None:
    pnls = ["300", "-100", "-50", "0", "-10", "-20", "-30", "100"]
    days = weekdays(MONDAY, len(pnls))
    trades = [
        closed_trade(pnl, day, initial_risk="100", charges="1.25")
        for pnl, day in zip(pnls, days, strict=True)
    ]
    figures = trade_figures(reversed(trades))  # the order of exits counts, not of the list
    assert (figures.count, figures.wins, figures.losses) == (8, 2, 5)
    assert (figures.net_pnl, figures.charges) == (Decimal(190), Decimal("10.00"))
    assert figures.win_rate == 0.25
    assert (figures.average_win, figures.average_loss) == (Decimal("200.00"), Decimal("-42.00"))
    assert figures.payoff_ratio == pytest.approx(200 / 42)
    assert figures.profit_factor == pytest.approx(400 / 210)
    assert figures.expectancy_r == pytest.approx(1.9 / 8)
    assert figures.longest_losing_streak == 3


def test_expectancy_leaves_out_trades_without_a_recorded_risk() -> None:
    trades = [closed_trade("300", initial_risk="100"), closed_trade("-900", initial_risk="0")]
    assert trade_figures(trades).expectancy_r == 3.0


@pytest.mark.parametrize(
    ("pnls", "undefined"),
    [
        ([], ["win_rate", "average_win", "average_loss", "payoff_ratio", "profit_factor"]),
        (["5"], ["average_loss", "payoff_ratio", "profit_factor"]),
        (["-5"], ["average_win", "payoff_ratio"]),
    ],
)
def test_figures_without_trades_to_divide_by_are_none(
    pnls: list[str], undefined: list[str]
) -> None:
    figures = dataclasses.asdict(trade_figures([closed_trade(pnl) for pnl in pnls]))
    always = {"expectancy_r"} if not pnls else set()
    assert {name for name, value in figures.items() if value is None} == {*undefined, *always}


def test_a_run_without_points_has_no_ratios() -> None:
    metrics = dataclasses.asdict(measure(result_of()))
    defined = {name for name, value in metrics.items() if value is not None}
    assert defined == {"days", "total_return", "months", "trades"}
    assert (metrics["total_return"], metrics["months"]) == (0.0, ())


def test_a_run_of_one_day_has_no_ratios() -> None:
    metrics = measure(result_of(daily_curve([MONDAY], [90.0])))
    assert (metrics.cagr, metrics.sharpe, metrics.sortino, metrics.calmar) == (None,) * 4
    assert metrics.max_drawdown is not None
    assert metrics.max_drawdown.fraction == pytest.approx(0.1)


def test_an_account_that_lost_everything_has_a_drawdown_and_no_growth_rate() -> None:
    metrics = measure(result_of(daily_curve(weekdays(MONDAY, 3), [50, -10, 20]), capital="100"))
    assert (metrics.cagr, metrics.sharpe) == (None, None)
    assert metrics.max_drawdown is not None
    assert metrics.max_drawdown.fraction == pytest.approx(1.1)


def test_flat_equity_has_no_sharpe() -> None:
    metrics = measure(result_of(daily_curve(weekdays(MONDAY, 5), [100.0] * 5)))
    assert (metrics.sharpe, metrics.cagr) == (None, 0.0)


def test_a_million_points_are_measured_in_under_a_second() -> None:
    """Of the processor's time, whatever else the machine does."""
    minutes = np.arange(1_000_000) * 60.0 + at(MONDAY).timestamp()
    equity = 5e6 + np.cumsum(np.random.default_rng(1).normal(0, 100, 1_000_000))
    columns = [array("d", column.tobytes()) for column in (minutes, equity, equity, equity)]
    result = result_of(EquityCurve(*columns), capital="5000000")
    start_s = thread_time()
    assert measure(result).days == 696
    assert thread_time() - start_s < 1
