"""A replayed export: P&L from its fills to the paisa, and how far that is from what it says."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.replay import ReplayResult, replay
from backtest.tradingview_export import TradingViewExport, parse_export, read_export
from core.ist import IST
from tests.fixtures.exports.export_writer import Row, entry, exit_, export_text

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "exports"
CAPITAL = Decimal(5_000_000)


def export(*rows: Row, skip_bad_rows: bool = False) -> TradingViewExport:
    return parse_export("trades.csv", export_text(rows).splitlines(), skip_bad_rows)


def replayed(traded: TradingViewExport, commission_pct: str = "0.1") -> ReplayResult:
    return replay(traded, "BANK_NIFTY", Decimal(35), Decimal(commission_pct), CAPITAL)


WINNER = [
    exit_(1, "2024-01-02 14:15", "EXIT - Below ST", "48500", net_pnl="141220"),
    entry(1, "2024-01-01 09:15", "ENTRY-10L", "48000"),
]
LOSER = [
    exit_(2, "2024-01-04 09:15", "EXIT - Below ST", "48100.5", lots="4", net_pnl="-69441"),
    entry(2, "2024-01-03 09:15", "PYR1-4L", "48500", lots="4"),
]
OPEN = [
    exit_(3, "2024-01-09 14:15", "Open", "49000", lots="2", net_pnl="66570"),
    entry(3, "2024-01-08 09:15", "ENTRY-2L", "48000", lots="2"),
]


def test_a_trade_earns_its_points_less_commission_on_both_notionals() -> None:
    (row,) = replayed(export(*WINNER)).rows
    assert row.trade.gross_pnl == 500 * 10 * 35
    assert row.trade.charges == Decimal("0.001") * 10 * 35 * (48000 + 48500)
    assert row.trade.net_pnl == Decimal(141225)
    assert row.difference == Decimal(5)


def test_without_commission_the_net_is_the_gross() -> None:
    (row,) = replayed(export(*WINNER), commission_pct="0").rows
    assert row.trade.net_pnl == 175000
    assert row.trade.charges == 0


def test_the_largest_difference_counts_in_either_direction() -> None:
    result = replayed(export(*WINNER, *LOSER))
    differences = [row.difference for row in result.rows]
    assert differences == [Decimal(5), Decimal("-13.07")]
    assert result.max_abs_diff_per_trade == Decimal("13.07")
    assert (result.difference, result.export_net_pnl) == (Decimal("-8.07"), Decimal(71779))


def test_the_curve_steps_at_each_exit_from_the_first_entry_on() -> None:
    result = replayed(export(*LOSER, *WINNER))
    curve = result.backtest.curve
    times = [datetime.fromtimestamp(epoch, IST) for epoch in curve.epoch_s]
    assert [f"{time:%m-%d %H:%M}" for time in times] == [
        "01-01 09:15",
        "01-02 14:15",
        "01-04 09:15",
    ]
    assert list(curve.equity) == [5_000_000, 5_141_225, pytest.approx(5_071_770.93)]
    assert set(curve.risk) == set(curve.margin) == {0.0}


def test_an_open_trade_is_marked_but_not_compared() -> None:
    result = replayed(export(*WINNER, *OPEN))
    marked = Decimal(1000 * 2 * 35) - Decimal("0.001") * 48000 * 2 * 35
    assert len(result.rows) == 1
    assert result.backtest.open_layers == 1
    assert result.backtest.final_equity == CAPITAL + 141225 + marked
    assert result.backtest.curve.equity[-1] == float(result.backtest.final_equity)
    assert result.export_net_pnl == Decimal(141220)
    assert result.backtest.notes[1].startswith("1 open trades are not compared")


def test_an_open_trade_without_a_price_costs_its_entry_commission_and_says_so() -> None:
    blank = Row(3, "Exit long", "", "Open", "", "2", net_pnl="", cumulative_pnl="")
    result = replayed(export(blank, OPEN[1]))
    assert result.backtest.net_pnl == -Decimal("0.001") * 48000 * 2 * 35
    assert "no last price" in result.backtest.notes[2]


def test_the_parts_of_a_split_exit_are_recomputed_each() -> None:
    result = replayed(
        export(
            exit_(1, "2024-01-02 09:15", "EXIT - Basso Stop", "48100", lots="4"),
            exit_(1, "2024-01-02 14:15", "EXIT - Below ST", "48500", lots="6"),
            WINNER[1],
        ),
        commission_pct="0",
    )
    assert [row.trade.net_pnl for row in result.rows] == [100 * 4 * 35, 500 * 6 * 35]


def test_rows_left_out_are_listed_with_their_reason() -> None:
    bad = entry(9, "2024-01-08 09:15", "ENTRY-2L", "forty", lots="2")
    result = replayed(export(*WINNER, bad, skip_bad_rows=True))
    (left_out,) = result.backtest.left_out
    assert "line 4: trade 9 has no exit row" in left_out
    assert len(result.rows) == 1


def test_an_export_without_trades_changes_nothing() -> None:
    result = replayed(export())
    assert result.net_pnl == result.max_abs_diff_per_trade == 0
    assert (result.backtest.final_equity, len(result.backtest.curve)) == (CAPITAL, 0)


def test_the_stop_in_the_comment_gives_the_risk_and_its_absence_gives_none() -> None:
    with_stop = replayed(read_export(FIXTURES / "older_names.csv")).rows[0].trade
    without = replayed(export(*WINNER)).rows[0].trade
    assert with_stop.initial_risk == (48000 - 47650) * 10 * 35
    assert with_stop.r_multiple == pytest.approx(141399.825 / 122500)
    assert without.r_multiple is None


def test_the_fixture_replays_to_the_paisa() -> None:
    result = replayed(read_export(FIXTURES / "older_names.csv"))
    assert len(result.rows) == 5
    assert result.max_abs_diff_per_trade < Decimal("0.01")


PRICE = st.decimals("1000", "90000", places=2)


@given(
    st.lists(st.tuples(st.integers(1, 900), PRICE, PRICE, st.integers(0, 2)), max_size=12),
    st.decimals("0", "1", places=3),
)
def test_the_total_is_the_sum_of_the_rows_and_the_end_of_the_curve(
    trades: list[tuple[int, Decimal, Decimal, int]], commission_pct: Decimal
) -> None:
    rows = []
    for number, (lots, bought, sold, day) in enumerate(trades, start=1):
        rows.append(entry(number, "2024-01-01 09:15", "ENTRY-1L", str(bought), str(lots)))
        rows.append(exit_(number, f"2024-01-0{2 + day} 09:15", "EXIT", str(sold), str(lots)))
    result = replay(export(*rows), "BANK_NIFTY", Decimal(35), commission_pct, CAPITAL)
    total = sum((row.trade.net_pnl for row in result.rows), Decimal(0))
    assert result.net_pnl == result.backtest.net_pnl == total
    assert result.difference == sum(row.difference for row in result.rows)
    assert result.backtest.charges == sum(row.trade.charges for row in result.rows)
    assert list(result.backtest.curve.epoch_s) == sorted(result.backtest.curve.epoch_s)
    if rows:
        assert result.backtest.curve.equity[-1] == pytest.approx(float(CAPITAL + total))
