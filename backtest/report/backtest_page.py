"""A finished backtest as one page that can be sent, kept and opened without a network."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np

from backtest.headline import BREAKDOWN_COLUMNS, breakdown, counts, headline
from backtest.metrics import Metrics, MonthReturn, daily_equity
from backtest.report import charts
from backtest.report.page import (
    Cell,
    Chart,
    Column,
    facts,
    notes,
    section,
    table,
    text_table,
    tiles,
    write_page,
)
from backtest.result import BacktestResult, Refusal
from core.ist import IST, as_ist
from core.models import Trade, layer_name
from core.number_text import ABSENT, grouped, percent, rupees

PAGE_NAME = "backtest.html"
MOST_ROWS = 5_000
LARGE = ("Net P&L", "CAGR", "Max drawdown", "Sharpe", "Profit factor", "Expectancy")
MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MONTH_OF_FULL_HEAT = 0.10

TRADE_COLUMNS = (
    Column("Trade"),
    Column("Entered"),
    Column("Exited"),
    Column("Lots", numeric=True),
    Column("Entry", numeric=True),
    Column("Exit", numeric=True),
    Column("Gross P&L", numeric=True),
    Column("Charges", numeric=True),
    Column("Net P&L", numeric=True),
    Column("R", numeric=True),
    Column("Limiter"),
    Column("Closed by"),
)
REFUSAL_COLUMNS = (
    Column("Time"),
    Column("Instrument"),
    Column("Signal"),
    Column("Price", numeric=True),
    Column("Code"),
    Column("Export lots", numeric=True),
    Column("Our lots", numeric=True),
    Column("Reason", wide=True),
)


def write_report(result: BacktestResult, metrics: Metrics, directory: Path) -> Path:
    """Write `backtest.html` into `directory`, made when absent; return its path."""
    drawn = _charts(result)
    figures = headline(result, metrics, rupees)
    sections = [
        tiles(_large(result, metrics)),
        section(
            "Equity and drawdown",
            _picture(drawn, "equity"),
            "Open layers are marked at their last price; the drawdown is of daily equity. "
            "Drag across a picture to zoom, double-click to see it whole.",
        ),
        section("Figures", facts(figures)),
        section("Monthly returns", _months(metrics.months), "Each on the equity it began with."),
        section(
            "Exposure and risk",
            _picture(drawn, "exposure"),
            "Margin blocked, and rupees lost if every stop filled at its price; shares of equity.",
        ),
        section(
            "R multiples",
            _picture(drawn, "r-multiples"),
            "Net P&L of each closed trade in units of the risk it first took.",
        ),
        section("Instruments", _picture(drawn, "instruments") + _breakdowns(result.trades)),
        section("Decisions", _counted(result)),
        section("Trades", _trades(result.trades), _shown(len(result.trades), "trades")),
        section(
            "Signals refused or cut",
            _refusals(result.refusals),
            _shown(len(result.refusals), "signals"),
        ),
    ]
    if result.notes:
        sections.append(section("Notes and assumptions", notes(result.notes)))
    names = ", ".join(sorted({trade.instrument for trade in result.trades})) or result.kind
    return write_page(directory / PAGE_NAME, f"Backtest: {names}", _lead(result), sections, drawn)


def _charts(result: BacktestResult) -> list[Chart]:
    drawn = []
    if len(result.curve):
        daily = daily_equity(result.curve, float(result.initial_capital))
        drawn.append(charts.equity_and_drawdown(result.curve, daily))
    if any(result.curve.risk) or any(result.curve.margin):
        drawn.append(charts.exposure(result.curve))
    multiples = [r for trade in result.trades if (r := trade.r_multiple) is not None]
    if multiples:
        drawn.append(charts.r_histogram(np.array(multiples)))
    if result.trades:
        drawn.append(charts.instrument_lines(result.trades))
    return drawn


def _picture(drawn: Sequence[Chart], name: str) -> str:
    found = [chart.html() for chart in drawn if chart.id == name]
    return found[0] if found else '<p class="hint">This run has nothing to draw here.</p>'


def _lead(result: BacktestResult) -> str:
    capital = f"on {rupees(result.initial_capital, 0)}"
    if not len(result.curve):
        return f"From {result.kind}, {capital}"
    first, last = (
        datetime.fromtimestamp(epoch, IST).date()
        for epoch in (result.curve.epoch_s[0], result.curve.epoch_s[-1])
    )
    return f"{first} to {last}, from {result.kind}, {capital}"


def _large(result: BacktestResult, metrics: Metrics) -> list[tuple[str, str]]:
    drawdown = metrics.max_drawdown
    figures = dict(headline(result, metrics, rupees))
    figures["Net P&L"] = rupees(result.net_pnl, 0)
    figures["Max drawdown"] = ABSENT if drawdown is None else percent(drawdown.fraction)
    return [(label, figures[label]) for label in LARGE]


def _months(months: Sequence[MonthReturn]) -> str:
    if not months:
        return '<p class="hint">This run has no month.</p>'
    heads = "".join(
        f'<th scope="col" class="number">{name}</th>' for name in (*MONTH_NAMES, "Year")
    )
    by_month = {(month.year, month.month): month.fraction for month in months}
    rows = []
    for year in sorted({month.year for month in months}, reverse=True):
        fractions = [by_month.get((year, number)) for number in range(1, 13)]
        whole = np.prod([1 + fraction for fraction in fractions if fraction is not None]) - 1
        cells = "".join(_month(fraction) for fraction in fractions)
        tone = "gain" if whole > 0 else "loss"
        rows.append(
            f'<tr><th scope="row">{year}</th>{cells}'
            f'<td class="year {tone}" style="--heat:0">{percent(float(whole))}</td></tr>'
        )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Monthly returns">'
        f'<table class="months"><thead><tr><th scope="col">Year</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _month(fraction: float | None) -> str:
    if fraction is None:
        return "<td></td>"
    heat = min(abs(fraction) / MONTH_OF_FULL_HEAT, 1.0) * 60
    tone = "gain" if fraction > 0 else "loss"
    return f'<td class="{tone}" style="--heat:{heat:.0f}">{percent(fraction)}</td>'


def _breakdowns(trades: Sequence[Trade]) -> str:
    by_instrument = breakdown(trades, lambda trade: trade.instrument, rupees)
    by_limiter = breakdown(trades, _limiter, rupees)
    return text_table("By instrument", ("Instrument", *BREAKDOWN_COLUMNS), by_instrument) + (
        text_table("By what limited the entry", ("Limiter", *BREAKDOWN_COLUMNS), by_limiter)
    )


def _limiter(trade: Trade) -> str:
    return "not recorded" if trade.limiter is None else trade.limiter.value


def _counted(result: BacktestResult) -> str:
    limiters = {limiter.value: count for limiter, count in result.limiters.items()}
    return (
        '<div class="pair">'
        + text_table("By code", ("Code", "Count"), counts(dict(result.decisions)))
        + text_table("Entries by limiter", ("Limiter", "Count"), counts(limiters))
        + "</div>"
    )


def _shown(count: int, what: str) -> str:
    if count <= MOST_ROWS:
        return f"{grouped(count, 0)} {what}. Press a heading to sort."
    return f"The first {grouped(MOST_ROWS, 0)} of {grouped(count, 0)} {what}; the JSON has all."


def _trades(trades: Sequence[Trade]) -> str:
    return table("Closed trades", TRADE_COLUMNS, [_trade(trade) for trade in trades[:MOST_ROWS]])


def _trade(trade: Trade) -> list[Cell]:
    multiple = trade.r_multiple
    tone = "gain" if trade.net_pnl > 0 else "loss"
    return [
        Cell(f"{trade.instrument}/{trade.trade_no}/{layer_name(trade.layer)}"),
        Cell(_time(trade.entry_time)),
        Cell(_time(trade.exit_time)),
        Cell(grouped(trade.lots, 0), trade.lots),
        _amount(trade.entry_price),
        _amount(trade.exit_price),
        _amount(trade.gross_pnl),
        _amount(trade.charges),
        _amount(trade.net_pnl, tone),
        Cell("" if multiple is None else f"{multiple:.2f}", multiple, tone),
        Cell("" if trade.limiter is None else trade.limiter.value),
        Cell(trade.reason),
    ]


def _refusals(refusals: Sequence[Refusal]) -> str:
    if not refusals:
        return ""
    by_code = counts(Counter(refusal.code for refusal in refusals))
    rows = [_refusal(refusal) for refusal in refusals[:MOST_ROWS]]
    return text_table("By code", ("Code", "Signals"), by_code) + (
        table("Each with its reason", REFUSAL_COLUMNS, rows)
    )


def _refusal(refusal: Refusal) -> list[Cell]:
    wanted = refusal.export_lots
    layer = "" if refusal.layer is None else f" {layer_name(refusal.layer)}"
    return [
        Cell(_time(refusal.time)),
        Cell(refusal.instrument),
        Cell(f"{refusal.type.value}{layer}"),
        _amount(refusal.price),
        Cell(refusal.code),
        Cell("" if wanted is None else grouped(wanted, 0), wanted),
        Cell(grouped(refusal.our_lots, 0), refusal.our_lots),
        Cell(refusal.reason),
    ]


def _amount(amount: Decimal, tone: str = "") -> Cell:
    return Cell(grouped(amount), float(amount), tone)


def _time(moment: datetime) -> str:
    return f"{as_ist(moment):%Y-%m-%d %H:%M}"
