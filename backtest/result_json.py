"""A finished run as JSON, and the hash by which two runs are known to have traded alike.

Money is a string with every digit it has, ratios are numbers, an undefined figure is null, and
times are ISO 8601 with their offset. Equal trades give equal hashes on every machine and day.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np

from backtest.metrics import IST_OFFSET_S, Drawdown, Metrics, MonthReturn, measure
from backtest.result import BacktestResult, EquityCurve, Refusal
from core.ist import as_ist
from core.models import Position, Trade

JsonObject = dict[str, object]


def to_json(result: BacktestResult, metrics: Metrics | None = None) -> JsonObject:
    """The whole run as what `json.dumps` takes; the caller may add keys of its own."""
    return {
        "kind": result.kind,
        "initial_capital": decimal_text(result.initial_capital),
        "final_equity": decimal_text(result.final_equity),
        "net_pnl": decimal_text(result.net_pnl),
        "charges": decimal_text(result.charges),
        "trades_count": len(result.trades),
        "open_layers": result.open_layers,
        "trades_hash": trades_hash(result.trades),
        "decisions": dict(sorted(result.decisions.items())),
        "limiters": dict(sorted((key.value, count) for key, count in result.limiters.items())),
        "metrics": metrics_json(metrics or measure(result)),
        "events": result.events,
        "elapsed_s": result.elapsed_s,
        "notes": list(result.notes),
        "left_out": list(result.left_out),
        "refusals": [_refusal_json(refusal) for refusal in result.refusals],
        "held": [_held_json(layer) for layer in result.held],
        "trades": [_trade_json(trade) for trade in result.trades],
        "equity_curve": _curve_json(result.curve),
    }


def _held_json(layer: Position) -> JsonObject:
    return {
        "instrument": layer.instrument,
        "trade_no": layer.trade_no,
        "layer": layer.layer,
        "lots": layer.lots,
        "entry_time": as_ist(layer.entry_time).isoformat(),
        "entry_price": decimal_text(layer.entry_price),
        "initial_stop": decimal_text(layer.initial_stop),
        "stop": decimal_text(layer.stop),
    }


def write_json(document: Mapping[str, object], path: Path) -> None:
    """Write `document` to `path`, with NaN and infinity refused (`ValueError`)."""
    path.write_text(json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def trades_hash(trades: Iterable[Trade]) -> str:
    """SHA-256 over one line per trade, the lines sorted: the same set of trades, the same hash."""
    lines = sorted(json.dumps(list(_trade_json(trade).values())) for trade in trades)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def decimal_text(amount: Decimal) -> str:
    """Every digit of `amount`, without exponent, trailing zeros or a negative zero."""
    text = f"{amount:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def metrics_json(metrics: Metrics) -> JsonObject:
    """All figures on one level, the drawdown and the months as objects of their own."""
    trades = metrics.trades
    return {
        "days": metrics.days,
        "total_return": metrics.total_return,
        "cagr": metrics.cagr,
        "sharpe": metrics.sharpe,
        "sortino": metrics.sortino,
        "calmar": metrics.calmar,
        "max_drawdown": _drawdown_json(metrics.max_drawdown),
        "time_in_market": metrics.time_in_market,
        "trades": trades.count,
        "wins": trades.wins,
        "losses": trades.losses,
        "win_rate": trades.win_rate,
        "average_win": _optional_text(trades.average_win),
        "average_loss": _optional_text(trades.average_loss),
        "payoff_ratio": trades.payoff_ratio,
        "profit_factor": trades.profit_factor,
        "expectancy_r": trades.expectancy_r,
        "longest_losing_streak": trades.longest_losing_streak,
        "best_month": _month_json(metrics.best_month),
        "worst_month": _month_json(metrics.worst_month),
        "months": [_month_json(month) for month in metrics.months],
    }


def _optional_text(amount: Decimal | None) -> str | None:
    return None if amount is None else decimal_text(amount)


def _date_text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _time_text(moment: datetime) -> str:
    return as_ist(moment).isoformat()


def _drawdown_json(drawdown: Drawdown | None) -> JsonObject | None:
    if drawdown is None:
        return None
    return {
        "fraction": drawdown.fraction,
        "rupees": f"{drawdown.rupees:.2f}",
        "start": _date_text(drawdown.start),
        "trough": _date_text(drawdown.trough),
        "recovery": _date_text(drawdown.recovery),
        "length_days": drawdown.length_days,
    }


def _month_json(month: MonthReturn | None) -> JsonObject | None:
    if month is None:
        return None
    return {"month": f"{month.year}-{month.month:02}", "fraction": month.fraction}


def _trade_json(trade: Trade) -> JsonObject:
    return {
        "instrument": trade.instrument,
        "trade_no": trade.trade_no,
        "layer": trade.layer,
        "lots": trade.lots,
        "entry_time": _time_text(trade.entry_time),
        "entry_price": decimal_text(trade.entry_price),
        "exit_time": _time_text(trade.exit_time),
        "exit_price": decimal_text(trade.exit_price),
        "point_value": decimal_text(trade.point_value),
        "gross_pnl": decimal_text(trade.gross_pnl),
        "charges": decimal_text(trade.charges),
        "net_pnl": decimal_text(trade.net_pnl),
        "initial_risk": decimal_text(trade.initial_risk),
        "reason": trade.reason,
        "limiter": None if trade.limiter is None else trade.limiter.value,
    }


def _refusal_json(refusal: Refusal) -> JsonObject:
    return {
        "time": _time_text(refusal.time),
        "instrument": refusal.instrument,
        "type": refusal.type.value,
        "layer": refusal.layer,
        "price": decimal_text(refusal.price),
        "code": refusal.code,
        "reason": refusal.reason,
        "our_lots": refusal.our_lots,
        "export_lots": refusal.export_lots,
    }


def _curve_json(curve: EquityCurve) -> list[list[str]]:
    """`[time, equity]` of each point; times to the second, equity in paise."""
    if not len(curve):
        return []
    wall_clock = (np.frombuffer(curve.epoch_s) + IST_OFFSET_S).astype("datetime64[s]")
    return [
        [f"{moment}+05:30", f"{equity:.2f}"]
        for moment, equity in zip(
            np.datetime_as_string(wall_clock).tolist(), curve.equity, strict=True
        )
    ]
