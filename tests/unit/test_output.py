import dataclasses
import json
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from backtest.output import print_result, print_table
from backtest.result import BacktestResult
from backtest.result_json import decimal_text, to_json, trades_hash, write_json
from core.models import Limiter, Trade
from tests.fixtures.results import closed_trade, daily_curve, realistic_result, result_of

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def result() -> BacktestResult:
    return realistic_result(days=200)


def _printed(result: BacktestResult, *, terminal: bool, width: int = 100) -> str:
    page = StringIO()
    print_result(result, Console(file=page, force_terminal=terminal, width=width, _environ={}))
    return page.getvalue()


def test_a_pipe_gets_plain_ascii_lines_that_are_never_wrapped(result: BacktestResult) -> None:
    text = _printed(result, terminal=False, width=40)
    assert text.isascii()
    assert "\x1b" not in text
    (bank_nifty,) = [line for line in text.splitlines() if line.startswith("BANK_NIFTY")]
    assert len(bank_nifty.split("  ")) > 8
    assert not [line for line in text.splitlines() if set(line.strip()) & set("─━│|")]


def test_a_terminal_gets_drawn_tables(result: BacktestResult) -> None:
    text = _printed(result, terminal=True)
    assert "\x1b[1m" in text
    assert "─" in text


def test_the_table_says_money_ratios_codes_limiters_and_notes() -> None:
    trade = closed_trade("1234567.5", charges="32.5")
    run = result_of(
        daily_curve([date(2025, 1, 6), date(2025, 1, 7)], [5_000_000, 6_234_567.5]),
        [trade],
        "5000000",
        decisions={"ENTER": 1, "ZERO_LOTS": 12_345},
        limiters={Limiter.MARGIN: 1},
        notes=("slippage [bold]1 tick[/bold] :smile:",),
        open_layers=2,
    )
    lines = {
        line.split("  ")[0]: " ".join(line.split())
        for line in _printed(run, terminal=False).splitlines()
    }
    assert lines["Final equity"] == "Final equity 62,34,567.50"
    assert lines["Net P&L"] == "Net P&L 12,34,567.50 (24.7 %)"
    assert lines["Max drawdown"] == "Max drawdown n/a"
    assert lines["Trades"] == "Trades 1 closed; layers open at the end: 2, net P&L 0.00"
    assert lines["ZERO_LOTS"] == "ZERO_LOTS 12,345"
    assert lines["margin"] == "margin 1"
    assert lines["BANK_NIFTY"].startswith("BANK_NIFTY 1 12,34,567.50 32.50 100.0 % n/a 1234.57 R")
    assert "Note: slippage [bold]1 tick[/bold] :smile:" in lines


def test_the_drawdown_is_told_with_its_dates() -> None:
    curve = daily_curve([date(2025, 1, 6), date(2025, 1, 7)], [100_000, 80_000])
    text = _printed(result_of(curve, capital="100000"), terminal=False)
    assert "20.0 % (20,000.00), 2025-01-06 to 2025-01-07, not recovered, 1 days" in text


def test_a_run_without_anything_still_prints() -> None:
    assert "Win rate               n/a" in _printed(result_of(), terminal=False)


def test_json_has_the_keys_that_programs_read(result: BacktestResult) -> None:
    document = to_json(result)
    assert set(document) >= {
        *("initial_capital", "final_equity", "net_pnl", "charges", "trades", "trades_count"),
        *("decisions", "limiters", "metrics", "equity_curve", "trades_hash", "events"),
        *("elapsed_s", "refusals", "notes", "open_layers", "held"),
    }
    assert document["trades_count"] == len(result.trades)


def test_json_keeps_every_digit_of_money(result: BacktestResult) -> None:
    read = json.loads(json.dumps(to_json(result)))
    assert Decimal(read["final_equity"]) == result.final_equity
    assert Decimal(read["net_pnl"]) == result.net_pnl
    assert [Decimal(trade["net_pnl"]) for trade in read["trades"]] == [
        trade.net_pnl for trade in result.trades
    ]
    assert read["metrics"]["cagr"] == pytest.approx(json.loads(str(read["metrics"]["cagr"])), abs=0)


def test_json_times_carry_the_indian_offset(result: BacktestResult) -> None:
    document = to_json(result)
    curve, trades = document["equity_curve"], document["trades"]
    assert isinstance(curve, list)
    assert isinstance(trades, list)
    assert curve[0] == ["2020-01-01T10:30:00+05:30", "5000000.00"]
    assert [datetime.fromisoformat(time).timestamp() for time, _ in curve] == list(
        result.curve.epoch_s
    )
    assert datetime.fromisoformat(trades[0]["exit_time"]) == result.trades[0].exit_time


def test_json_says_null_where_a_figure_is_not_defined() -> None:
    metrics = to_json(result_of())["metrics"]
    assert isinstance(metrics, dict)
    assert (metrics["sharpe"], metrics["max_drawdown"], metrics["average_win"]) == (None,) * 3


def test_json_file_is_read_back_and_refuses_nan(tmp_path: Path, result: BacktestResult) -> None:
    document = {**to_json(result), "export_net_pnl": "179625470.14"}
    write_json(document, tmp_path / "run.json")
    assert json.loads((tmp_path / "run.json").read_text("utf-8")) == document
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json({"cagr": float("nan")}, tmp_path / "bad.json")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("1E+3", "1000"),
        ("1.500", "1.5"),
        ("-0.00", "0"),
        ("100", "100"),
        ("12345678901234567890123456789.10", "12345678901234567890123456789.1"),
    ],
)
def test_decimals_have_one_spelling(amount: str, text: str) -> None:
    assert decimal_text(Decimal(amount)) == text


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_decimal_text_is_exact(amount: Decimal) -> None:
    assert Decimal(decimal_text(amount)) == amount


def test_hash_stays_what_it_was() -> None:
    trades = [closed_trade("300.50"), closed_trade("-100", date(2025, 1, 7), layer=2)]
    assert trades_hash(trades) == (
        "05e9ce802b7dd7bb7e2fac14b39ca99bde69b5a2d89cf7f56ed0aa40ed49e4b8"
    )


def test_hash_depends_on_the_trades_alone() -> None:
    first, second = closed_trade("300.50"), closed_trade("-100", date(2025, 1, 7))
    spelled = dataclasses.replace(
        first,
        net_pnl=Decimal("300.5000"),
        point_value=Decimal("3E+1"),
        exit_time=first.exit_time.astimezone(UTC),
    )
    assert trades_hash([first, second]) == trades_hash([second, spelled])


CHANGES: list[dict[str, object]] = [
    {"net_pnl": Decimal("300.51")},
    {"lots": 2},
    {"layer": 2},
    {"reason": "EOD"},
    {"limiter": None},
    {"exit_price": Decimal(1)},
    {"entry_time": datetime(2025, 1, 6, 10, 31, tzinfo=UTC)},
    {"instrument": "GOLD_MINI"},
]


@pytest.mark.parametrize("change", CHANGES)
def test_hash_changes_with_any_field(change: dict[str, object]) -> None:
    trade: Trade = closed_trade("300.50")
    assert trades_hash([trade]) != trades_hash([dataclasses.replace(trade, **change)])  # type: ignore[arg-type]


def test_a_trade_twice_is_not_a_trade_once() -> None:
    trade = closed_trade("300.50")
    assert len({trades_hash([]), trades_hash([trade]), trades_hash([trade, trade])}) == 3


def test_hash_is_the_same_in_processes_with_other_hash_seeds() -> None:
    program = (
        "from backtest.result_json import trades_hash\n"
        "from tests.fixtures.results import realistic_result\n"
        "print(trades_hash(realistic_result(days=80).trades))"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=REPOSITORY,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "4242")
    }
    assert hashes == {trades_hash(realistic_result(days=80).trades) + "\n"}


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_a_narrow_terminal_cuts_no_figure(width: int) -> None:
    rows = [("BANK_NIFTY", "26,60,024.38", "1,25,556.56"), ("GOLD_MINI", "-24,72,723.44", "0.00")]
    page = StringIO()
    console = Console(file=page, force_terminal=True, width=width, _environ={})
    print_table(console, "Instruments", ("instrument", "net P&L", "charges"), rows)
    text = page.getvalue()
    assert all(cell in text for row in rows for cell in row)
    assert max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines())) <= width
