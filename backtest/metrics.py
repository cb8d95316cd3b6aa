"""What a finished run is worth, in figures that two people compute alike.

Everything stands on one daily equity series: the last marked equity of each IST day, with the
initial capital before the first. The risk-free rate is 0 and a year has 252 daily returns. A curve
that is only known where something was traded (fewer points than four weekdays in five) is carried
forward over all weekdays first, and a year then has 261.

With r the daily returns, n their count, P the periods a year (`empyrical` has the same formulas):

- CAGR       = (last / first) ** (P / n) - 1
- drawdown   = 1 - equity / highest equity so far; the deepest one is reported
- Sharpe     = mean(r) / stdev(r, n - 1) x sqrt(P)                      (Sharpe 1994)
- Sortino    = mean(r) x P / (sqrt(mean(min(r, 0)^2)) x sqrt(P))        (Sortino & Price 1994)
- Calmar     = CAGR / deepest drawdown                                  (Young 1991)
- expectancy = mean R of the trades, R = net P&L / risk first taken     (Tharp 2007)

A figure that the run does not define (no trades, one day, no loss to divide by) is None, never 0.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from backtest.result import BacktestResult, EquityCurve
from core.models import Trade

TRADING_DAYS_A_YEAR = 252
WEEKDAYS_A_YEAR = 261
DENSE_SHARE = 0.8
IST_OFFSET_S = 19_800
DAY_S = 86_400
PAISA = Decimal("0.01")

Floats = NDArray[np.float64]
Days = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True)
class DailyEquity:
    """Equity at the end of `days`, from `initial` rupees before the first of them."""

    days: Days
    equity: Floats
    initial: float
    periods_a_year: int

    @property
    def with_initial(self) -> Floats:
        """The equity series with the initial capital in front."""
        return np.concatenate(([self.initial], self.equity))


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The deepest fall from a peak. `fraction` is positive; `recovery` None while under water.

    `length_days` are calendar days from the peak to the recovery, or to the last day.
    """

    fraction: float
    rupees: float
    start: date
    trough: date
    recovery: date | None
    length_days: int


@dataclass(frozen=True, slots=True)
class MonthReturn:
    """The return of one calendar month on the equity it began with."""

    year: int
    month: int
    fraction: float


@dataclass(frozen=True, slots=True)
class TradeFigures:
    """Figures of closed trades, net of charges. A trade of exactly 0 neither wins nor loses."""

    count: int
    wins: int
    losses: int
    net_pnl: Decimal
    charges: Decimal
    win_rate: float | None
    average_win: Decimal | None
    average_loss: Decimal | None
    payoff_ratio: float | None
    profit_factor: float | None
    expectancy_r: float | None
    longest_losing_streak: int


@dataclass(frozen=True, slots=True)
class Metrics:
    """All figures of one run. Fractions are of 1; `total_return` holds open layers too."""

    days: int
    total_return: float | None
    cagr: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown: Drawdown | None
    time_in_market: float | None
    months: tuple[MonthReturn, ...]
    best_month: MonthReturn | None
    worst_month: MonthReturn | None
    trades: TradeFigures


def measure(result: BacktestResult) -> Metrics:
    """All figures of `result`."""
    daily = daily_equity(result.curve, float(result.initial_capital))
    growth = annual_growth(daily)
    drawdown = deepest_drawdown(daily)
    months = monthly_returns(daily)
    capital = result.initial_capital
    return Metrics(
        days=len(daily.days),
        total_return=float(result.net_pnl / capital) if capital > 0 else None,
        cagr=growth,
        sharpe=sharpe_ratio(daily),
        sortino=sortino_ratio(daily),
        calmar=None if growth is None or drawdown is None else growth / drawdown.fraction,
        max_drawdown=drawdown,
        time_in_market=time_in_market(result.curve, result.trades),
        months=months,
        best_month=max(months, key=lambda month: month.fraction, default=None),
        worst_month=min(months, key=lambda month: month.fraction, default=None),
        trades=trade_figures(result.trades),
    )


def daily_equity(curve: EquityCurve, initial: float) -> DailyEquity:
    """The last equity of each IST day; a sparse curve is carried forward over weekdays."""
    if not len(curve):
        empty = np.array([], dtype="datetime64[D]")
        return DailyEquity(empty, np.array([], dtype=float), initial, TRADING_DAYS_A_YEAR)
    day_numbers = (np.frombuffer(curve.epoch_s) + IST_OFFSET_S) // DAY_S
    last_of_day = np.append(np.flatnonzero(np.diff(day_numbers)), len(day_numbers) - 1)
    days = day_numbers[last_of_day].astype("datetime64[D]")
    equity = np.frombuffer(curve.equity)[last_of_day]
    every_day = np.arange(days[0], days[-1] + np.timedelta64(1, "D"))
    weekdays = every_day[np.is_busday(every_day)]
    if len(days) >= DENSE_SHARE * len(weekdays):
        return DailyEquity(days, equity, initial, TRADING_DAYS_A_YEAR)
    filled = np.union1d(weekdays, days)
    carried = equity[np.searchsorted(days, filled, side="right") - 1]
    return DailyEquity(filled, carried, initial, WEEKDAYS_A_YEAR)


def daily_returns(daily: DailyEquity) -> Floats | None:
    """One simple return a day; None with fewer than two days, or once nothing is left."""
    path = daily.with_initial
    if len(daily.equity) < 2 or path.min() <= 0:
        return None
    returns: Floats = path[1:] / path[:-1] - 1
    return returns


def annual_growth(daily: DailyEquity) -> float | None:
    """The compound annual growth rate."""
    if daily_returns(daily) is None:
        return None
    growth = float(daily.equity[-1]) / daily.initial
    annual = math.log(growth) * daily.periods_a_year / len(daily.equity)
    return math.expm1(annual) if annual < math.log(1e300) else None


def sharpe_ratio(daily: DailyEquity) -> float | None:
    """Mean over standard deviation of the daily returns, annualised."""
    returns = daily_returns(daily)
    if returns is None or returns.min() == returns.max():
        return None
    deviation = returns.std(ddof=1)
    return float(returns.mean() / deviation * math.sqrt(daily.periods_a_year))


def sortino_ratio(daily: DailyEquity) -> float | None:
    """Mean over the root mean square of the losing days, annualised."""
    returns = daily_returns(daily)
    if returns is None or returns.min() >= 0:
        return None
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0) ** 2)))
    return float(returns.mean()) / downside * math.sqrt(daily.periods_a_year)


def drawdown_series(daily: DailyEquity) -> Floats:
    """For each day how far below the highest equity so far it ends, as a fraction >= 0."""
    path = daily.with_initial
    fractions: Floats = 1 - path / np.maximum.accumulate(path)
    return fractions[1:]


def deepest_drawdown(daily: DailyEquity) -> Drawdown | None:
    """The deepest drawdown; None when equity never ended a day below its peak."""
    if not len(daily.days) or daily.initial <= 0:
        return None
    path = daily.with_initial
    trough = int(np.argmax(drawdown_series(daily))) + 1
    peak = int(np.argmax(path[: trough + 1]))
    fall = float(path[peak] - path[trough])
    if fall <= 0:
        return None
    back = np.flatnonzero(path[trough:] >= path[peak])
    dates: list[date] = daily.days.tolist()
    start, bottom = dates[max(peak - 1, 0)], dates[trough - 1]
    recovery = dates[trough + int(back[0]) - 1] if len(back) else None
    length = (recovery or dates[-1]) - start
    return Drawdown(fall / float(path[peak]), fall, start, bottom, recovery, length.days)


def monthly_returns(daily: DailyEquity) -> tuple[MonthReturn, ...]:
    """Each month that has a day, in order; months that begin without equity are left out."""
    months = daily.days.astype("datetime64[M]")
    if not len(months):
        return ()
    ends = np.append(np.flatnonzero(np.diff(months.astype(int))), len(months) - 1)
    closing = daily.equity[ends]
    opening = np.concatenate(([daily.initial], closing[:-1]))
    return tuple(
        MonthReturn(day.year, day.month, float(end / begin - 1))
        for day, begin, end in zip(daily.days[ends].tolist(), opening, closing, strict=True)
        if begin > 0
    )


def time_in_market(curve: EquityCurve, trades: Sequence[Trade] = ()) -> float | None:
    """The share of the curve's clock time (nights included) with risk or margin in use.

    A curve that records neither (a replay) is answered from the times of its trades.
    """
    if len(curve) < 2 or curve.epoch_s[-1] <= curve.epoch_s[0]:
        return None
    risk, margin = np.frombuffer(curve.risk), np.frombuffer(curve.margin)
    held = (risk > 0) | (margin > 0)
    spans = np.diff(np.frombuffer(curve.epoch_s))
    in_market = float(spans[held[:-1]].sum()) if held.any() else _time_held(trades)
    return min(in_market / float(spans.sum()), 1.0)


def _time_held(trades: Sequence[Trade]) -> float:
    """Seconds in which at least one of `trades` was open."""
    total, until = 0.0, -math.inf
    for trade in sorted(trades, key=lambda trade: trade.entry_time):
        entered, left = trade.entry_time.timestamp(), trade.exit_time.timestamp()
        total += max(0.0, left - max(entered, until))
        until = max(until, left)
    return total


def trade_figures(trades: Iterable[Trade]) -> TradeFigures:
    """Figures of `trades`, each the lots of one layer that were closed together."""
    ordered = sorted(trades, key=lambda trade: trade.exit_time)
    won = [trade.net_pnl for trade in ordered if trade.net_pnl > 0]
    lost = [trade.net_pnl for trade in ordered if trade.net_pnl < 0]
    average_win, average_loss = _average(won), _average(lost)
    multiples = [r for trade in ordered if (r := trade.r_multiple) is not None]
    return TradeFigures(
        count=len(ordered),
        wins=len(won),
        losses=len(lost),
        net_pnl=sum((trade.net_pnl for trade in ordered), Decimal(0)),
        charges=sum((trade.charges for trade in ordered), Decimal(0)),
        win_rate=len(won) / len(ordered) if ordered else None,
        average_win=average_win,
        average_loss=average_loss,
        payoff_ratio=_quotient(average_win, average_loss),
        profit_factor=_quotient(sum(won, Decimal(0)), sum(lost, Decimal(0))) if ordered else None,
        expectancy_r=math.fsum(multiples) / len(multiples) if multiples else None,
        longest_losing_streak=_longest_losing_streak(ordered),
    )


def _average(amounts: Sequence[Decimal]) -> Decimal | None:
    return (sum(amounts, Decimal(0)) / len(amounts)).quantize(PAISA) if amounts else None


def _quotient(gain: Decimal | None, loss: Decimal | None) -> float | None:
    return float(gain / -loss) if gain is not None and loss else None


def _longest_losing_streak(ordered: Sequence[Trade]) -> int:
    longest = current = 0
    for trade in ordered:
        current = current + 1 if trade.net_pnl < 0 else 0
        longest = max(longest, current)
    return longest
