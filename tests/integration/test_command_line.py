"""The command line as a user meets it: helpful texts, one-line errors, files where asked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from portfolio_manager import main

ROOT = Path(__file__).resolve().parents[2]
HEADER = "time,open,high,low,close\n"
BARS = HEADER + "".join(
    f"2026-03-09T{time}:00+05:30,50000,50010,49990,50005\n"
    for time in ("09:15", "10:30", "11:45", "13:00", "14:15")
)
EXPORT = (
    "\ufeffTrade #,Type,Date/Time,Signal,Price INR,Position size (qty),Position size (value),"
    "Net P&L INR,Net P&L %,Run-up INR,Run-up %,Drawdown INR,Drawdown %,"
    "Cumulative P&L INR,Cumulative P&L %\n"
    "1,Exit long,2026-03-09 14:15,EXIT - Below ST,50100,2,100000,6900,0.1,0,0,0,0,6900,0.1\n"
    "1,Entry long,2026-03-09 09:15,ENTRY-2L,50000,2,100000,6900,0.1,0,0,0,0,6900,0.1\n"
)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    path = tmp_path / "bars.csv"
    path.write_text(BARS)
    return path


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "export.csv"
    path.write_text(EXPORT, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("backtest", "--help"),
        ("backtest", "monte-carlo", "--help"),
        ("backtest", "walk-forward", "--help"),
    ],
)
def test_every_command_explains_itself(arguments: tuple[str, ...]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 0
    assert "Usage:" in result.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nonsense",), "No such command 'nonsense'"),
        (("backtest",), "nothing to test"),
        (("backtest", "--bars", "BANK_NIFTY"), "write NAME=VALUE"),
        (("backtest", "--bars", "BANK_NIFTY=/nowhere.csv"), "there is no file /nowhere.csv"),
        (("backtest", "--bars", "COPPER={bars}"), "the instruments are BANK_NIFTY, GOLD_MINI"),
        (("backtest", "--signals", "{export}"), "FILE:INSTRUMENT"),
        (("backtest", "--signals", "{export}:BANK_NIFTY"), "do not say ATR, ER, ST"),
        (("backtest", "--signals", "{export}:COPPER"), "'COPPER' is not one of"),
        (("backtest", "--sample", "--bars", "BANK_NIFTY={bars}"), "--sample brings its own"),
        (("backtest", "--sample", "--capital", "much"), "--capital: 'much' is not allowed"),
        (("backtest", "--sample", "--capital", "-5"), "--capital: '-5' is not allowed"),
        (("backtest", "--sample", "--capital", "1e16"), "--capital: '1e16' is not allowed"),
        (("backtest", "--sample", "--slippage", "x"), "slippage: 'x' is not allowed"),
        (("backtest", "--sample", "--slippage", "11%"), "slippage: '11%' is not allowed"),
        (("backtest", "--sample", "--from", "2030-01-01"), "from the day on which the run begins"),
        (
            ("backtest", "--sample", "--from", "2025-02-01", "--to", "2025-01-31"),
            "--from 2025-02-01 is after --to 2025-01-31",
        ),
        (
            ("backtest", "--bars", "BANK_NIFTY={bars}", "--bars", "bank_nifty={bars}"),
            "--bars: BANK_NIFTY is given twice",
        ),
        (("backtest", "--sample", "--market-overrides", "{list}"), "[1] is not allowed"),
        (("backtest", "--sample", "--config", "{deep}"), "is nested too deeply"),
        (("backtest", "--sample", "--point-value", "35"), "--point-value is for --replay"),
        (("backtest", "--sample", "monte-carlo"), "write --sample after monte-carlo"),
        (("backtest", "monte-carlo", "--sample", "--seed", "-1"), "--seed"),
        (("backtest", "monte-carlo", "--sample", "--ruin-pct", "100"), "--ruin-pct"),
        (("backtest", "--signals", "{nothing}:BANK_NIFTY"), "none to feed"),
        (
            ("backtest", "--replay", "{export}", "--point-value", "35", "--from", "2025-01-01"),
            "leave --from out",
        ),
        (("backtest", "--sample", "--timeframe", "BANK_NIFTY=0"), "minutes from 1 to 1440"),
        (("backtest", "--sample", "--timeframe", "BANK_NIFTY=7"), "only finer bars"),
        (("backtest", "--sample", "--config", "{bars}"), "is not JSON"),
        (("backtest", "--sample", "--json", "{bars}/x/y.json"), "Not a directory"),
        (("backtest", "--replay", "{export}"), "--replay needs --point-value"),
        (("backtest", "--replay", "{bars}", "--point-value", "35"), "column"),
        (("backtest", "--bars", "BANK_NIFTY={export}"), "time column"),
        (("backtest", "monte-carlo", "--bars", "BANK_NIFTY={bars}"), "closed no trade"),
        (
            ("backtest", "walk-forward", "--sample", "--grid", "pyramid.max_adds=9,x"),
            "pyramid.max_adds: 9 is not allowed",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_error_and_no_traceback(
    arguments: tuple[str, ...], told: str, bars: Path, export: Path, tmp_path: Path
) -> None:
    files = {"list": ("list.json", "[1]"), "deep": ("deep.json", "[" * 200_000)}
    files["nothing"] = ("nothing.jsonl", "")
    paths = {name: tmp_path / file for name, (file, _) in files.items()}
    for name, (_, text) in files.items():
        paths[name].write_text(text)
    result = invoke(*(text.format(bars=bars, export=export, **paths) for text in arguments))
    assert result.exit_code != 0
    assert told in result.output
    assert "Traceback" not in result.output
    assert result.output.count("Error: ") == 1


def test_a_wrong_setting_is_named_by_its_path(tmp_path: Path) -> None:
    config = tmp_path / "portfolio_config.json"
    config.write_text('{"instruments": {"GOLD_MINI": {"trading": {"risk_pct": 99}}}}')
    result = invoke("backtest", "--sample", "--config", str(config))
    assert result.exit_code == 1
    assert "instruments.GOLD_MINI.trading.risk_pct: 99 is not allowed" in result.output
    assert "above 0 to 10" in result.output


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"portfolio": {"max_risk_pct": 5}, "portfolio": {}}', "the key 'portfolio' twice"),
        ('{"portfolio": {"max_risk_pct": ' + "9" * 5000 + "}}", "integer string conversion"),
        ("[" * 100_000, "nested too deeply"),
        ("{", "is not JSON"),
    ],
)
def test_a_config_that_cannot_mean_what_it_says_is_refused(
    tmp_path: Path, text: str, told: str
) -> None:
    config = tmp_path / "portfolio_config.json"
    config.write_text(text)
    result = invoke("backtest", "--sample", "--config", str(config))
    assert result.exit_code == 1
    assert told in result.output
    assert "unexpected" not in result.output


def test_debug_shows_the_traceback(bars: Path) -> None:
    with pytest.raises(Exception, match="slippage"):
        invoke("--debug", "backtest", "--bars", f"BANK_NIFTY={bars}", "--slippage", "x")


def test_a_replay_writes_how_far_it_is_from_the_export(export: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    result = invoke(
        "backtest", "--replay", str(export), "--point-value", "35",
        "--commission-pct", "0.1", "--json", str(out),
    )  # fmt: skip
    assert result.exit_code == 0
    document = json.loads(out.read_text())
    # 100 x 2 x 35 less 0.1 % of 35,00,000 and of 35,07,000: 7,000 - 7,007 = -7
    assert document["net_pnl"] == "-7"
    assert document["export_net_pnl"] == "6900"
    assert document["max_abs_diff_per_trade"] == "6907"
    assert document["replayed"][0]["line"] == 2


def test_the_sample_runs_and_says_that_it_is_synthetic(tmp_path: Path) -> None:
    out, folder = tmp_path / "out.json", tmp_path / "report"
    result = invoke("backtest", "--sample", "--json", str(out), "--report", str(folder))
    assert result.exit_code == 0
    assert "synthetic" in result.output
    document = json.loads(out.read_text())
    wanted = {
        "initial_capital", "final_equity", "net_pnl", "charges", "trades", "decisions",
        "limiters", "metrics", "equity_curve", "trades_hash", "events", "elapsed_s",
    }  # fmt: skip
    assert wanted <= document.keys()
    assert {trade["instrument"] for trade in document["trades"]} == {"BANK_NIFTY", "GOLD_MINI"}
    page = (folder / "backtest.html").read_text(encoding="utf-8")
    assert "Plotly" in page
    assert (folder / "equity.svg").read_text(encoding="utf-8").startswith("<svg")


def test_skipped_rows_are_counted_and_listed(export: Path, bars: Path) -> None:
    result = invoke(
        "backtest", "--signals", f"{export}:BANK_NIFTY", "--bars", f"BANK_NIFTY={bars}",
        "--skip-bad-rows",
    )  # fmt: skip
    assert result.exit_code == 0
    assert "1 input rows left out" in result.output
    assert "line 3: the bars have no values" in result.output


def test_market_data_can_be_overridden_and_strange_keys_are_refused(
    tmp_path: Path, bars: Path
) -> None:
    overrides = tmp_path / "overrides.json"
    overrides.write_text('{"holidays": {}}')
    result = invoke(
        "backtest", "--bars", f"BANK_NIFTY={bars}", "--market-overrides", str(overrides)
    )
    assert result.exit_code == 1
    assert "holidays" in result.output


def test_a_result_that_cannot_be_written_is_still_printed(tmp_path: Path) -> None:
    told = invoke("backtest", "--sample", "--json", str(tmp_path / "absent" / "out.json"))
    assert told.exit_code == 1
    assert "Final equity" in told.output
    assert "No such file or directory" in told.output


def test_a_replay_is_told_in_any_character_set(export: Path) -> None:
    told = subprocess.run(
        [sys.executable, "portfolio_manager.py", "backtest", "--replay", str(export),
         "--point-value", "35"],
        cwd=ROOT, check=True, capture_output=True, env={"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert b"Replay against the export" in told.stdout


def test_walk_forward_keeps_to_the_days_it_is_given() -> None:
    result = invoke(
        "backtest", "walk-forward", "--sample", "--grid", "equity_basis=open",
        "--from", "2025-07-01", "--to", "2025-12-31", "--train-months", "3",
    )  # fmt: skip
    spans = [line.split("  ")[0] for line in result.output.splitlines() if line.startswith("20")]
    assert spans == ["2025-10-01 to 2026-01-01"]


def test_help_is_quick_to_import() -> None:
    """`--help` and unknown commands do not wait for numpy or plotly."""
    code = "import sys, portfolio_manager; print('numpy' in sys.modules, 'plotly' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert told.stdout.split() == ["False", "False"]
