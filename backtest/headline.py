"""The figures a reader asks for first, in words: the terminal and the pages say the same."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from decimal import Decimal

from backtest.metrics import Metrics, MonthReturn, TradeFigures, trade_figures
from backtest.result import BacktestResult
from core.models import Trade
from core.number_text import ABSENT, grouped, percent, ratio

MoneyText = Callable[[Decimal], str]

BREAKDOWN_COLUMNS = (
    "trades",
    "net P&L",
    "charges",
    "win rate",
    "profit factor",
    "expectancy",
    "average win",
    "average loss",
)


def headline(
    result: BacktestResult, metrics: Metrics, money: MoneyText = grouped
) -> tuple[tuple[str, str], ...]:
    """Label and text of each headline figure; `money` writes rupees."""
    trades = metrics.trades
    return (
        ("Initial capital", money(result.initial_capital)),
        ("Final equity", money(result.final_equity)),
        ("Net P&L", f"{money(result.net_pnl)} ({percent(metrics.total_return)})"),
        ("Charges", money(result.charges)),
        ("CAGR", percent(metrics.cagr)),
        ("Max drawdown", _drawdown_text(metrics, money)),
        ("Sharpe", ratio(metrics.sharpe)),
        ("Sortino", ratio(metrics.sortino)),
        ("Calmar", ratio(metrics.calmar)),
        ("Trades", _trades_text(result, trades, money)),
        ("Win rate", percent(trades.win_rate)),
        ("Average win", _optional(trades.average_win, money)),
        ("Average loss", _optional(trades.average_loss, money)),
        ("Payoff ratio", ratio(trades.payoff_ratio)),
        ("Profit factor", ratio(trades.profit_factor)),
        ("Expectancy", r_text(trades.expectancy_r)),
        ("Longest losing streak", f"{grouped(trades.longest_losing_streak, 0)} trades"),
        ("Time in market", percent(metrics.time_in_market)),
        ("Best month", _month_text(metrics.best_month)),
        ("Worst month", _month_text(metrics.worst_month)),
        ("Events", f"{grouped(result.events, 0)} in {result.elapsed_s:.2f} s"),
    )


def breakdown(
    trades: Sequence[Trade], key: Callable[[Trade], str], money: MoneyText = grouped
) -> list[tuple[str, ...]]:
    """One row of texts per group of trades, by name: the name, then BREAKDOWN_COLUMNS."""
    groups: defaultdict[str, list[Trade]] = defaultdict(list)
    for trade in trades:
        groups[key(trade)].append(trade)
    return [(name, *_breakdown_row(trade_figures(groups[name]), money)) for name in sorted(groups)]


def counts(counted: dict[str, int]) -> list[tuple[str, str]]:
    """Name and count, the most frequent first."""
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return [(name, grouped(count, 0)) for name, count in ordered]


def r_text(value: float | None) -> str:
    """`0.42 R`."""
    return ABSENT if value is None else f"{value:.2f} R"


def _breakdown_row(figures: TradeFigures, money: MoneyText) -> tuple[str, ...]:
    return (
        grouped(figures.count, 0),
        money(figures.net_pnl),
        money(figures.charges),
        percent(figures.win_rate),
        ratio(figures.profit_factor),
        r_text(figures.expectancy_r),
        _optional(figures.average_win, money),
        _optional(figures.average_loss, money),
    )


def _drawdown_text(metrics: Metrics, money: MoneyText) -> str:
    drawdown = metrics.max_drawdown
    if drawdown is None:
        return ABSENT
    end = f"recovered {drawdown.recovery}" if drawdown.recovery else "not recovered"
    fallen = money(Decimal(drawdown.rupees))
    return (
        f"{percent(drawdown.fraction)} ({fallen}), {drawdown.start} to {drawdown.trough}, "
        f"{end}, {drawdown.length_days} days"
    )


def _trades_text(result: BacktestResult, trades: TradeFigures, money: MoneyText) -> str:
    closed = f"{grouped(trades.count, 0)} closed"
    if not result.open_layers:
        return closed
    open_pnl = money(result.net_pnl - trades.net_pnl)
    return f"{closed}; layers open at the end: {result.open_layers}, net P&L {open_pnl}"


def _optional(amount: Decimal | None, money: MoneyText) -> str:
    return ABSENT if amount is None else money(amount)


def _month_text(month: MonthReturn | None) -> str:
    return ABSENT if month is None else f"{percent(month.fraction)} ({month.year}-{month.month:02})"
