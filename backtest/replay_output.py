"""A replay beside the export's own figures, for a person and for a program."""

from collections.abc import Sequence

from rich.console import Console

from backtest.output import print_table
from backtest.replay import ReplayedTrade, ReplayResult
from backtest.result_json import JsonObject, decimal_text
from core.number_text import grouped

LARGEST_SHOWN = 10


def print_replay(replayed: ReplayResult, console: Console) -> None:
    """Print the totals, and the trades that are furthest from the export."""
    totals = (
        ("closed trades", str(len(replayed.rows))),
        ("net P&L, recomputed", grouped(replayed.net_pnl)),
        ("net P&L, as the export says", grouped(replayed.export_net_pnl)),
        ("difference of the totals", grouped(replayed.difference)),
        ("largest difference of one trade", grouped(replayed.max_abs_diff_per_trade)),
    )
    print_table(console, "Replay against the export, money in rupees", ("", ""), totals)
    furthest = sorted(replayed.rows, key=lambda row: abs(row.difference), reverse=True)
    print_table(
        console,
        f"The {min(LARGEST_SHOWN, len(furthest))} trades furthest from the export",
        ("trade", "line", "exit", "recomputed", "export", "difference"),
        [_row(row) for row in furthest[:LARGEST_SHOWN]],
    )


def replay_json(replayed: ReplayResult) -> JsonObject:
    """The keys a replay adds to a result; every closed trade's difference is in `replayed`."""
    return {
        "export_net_pnl": decimal_text(replayed.export_net_pnl),
        "replayed_net_pnl": decimal_text(replayed.net_pnl),
        "export_difference": decimal_text(replayed.difference),
        "max_abs_diff_per_trade": decimal_text(replayed.max_abs_diff_per_trade),
        "replayed": [
            {
                "trade_no": row.trade.trade_no,
                "line": row.line,
                "net_pnl": decimal_text(row.trade.net_pnl),
                "export_net_pnl": decimal_text(row.export_net_pnl),
                "difference": decimal_text(row.difference),
            }
            for row in replayed.rows
        ],
    }


def _row(row: ReplayedTrade) -> Sequence[str]:
    return (
        str(row.trade.trade_no),
        str(row.line),
        f"{row.trade.exit_time:%Y-%m-%d %H:%M}",
        grouped(row.trade.net_pnl),
        grouped(row.export_net_pnl),
        grouped(row.difference),
    )
