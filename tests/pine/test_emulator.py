"""What runs the scripts: repeatable, and it hides nothing that TradingView would not do."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from backtest.bars import Bars
from backtest.pine_emulator import (
    PYTHON,
    REPOSITORY,
    Chart,
    Emulation,
    PineEmulator,
    Tick,
    script_of,
)
from core.errors import InputInvalid
from core.models import Signal
from tests.fixtures.pine_mutants import mutated
from tests.fixtures.pine_parity import (
    SAMPLE,
    SCRIPTS,
    Expected,
    ShippedRun,
    chart,
    read,
    sample_bars,
    shipped_params,
)

FIRST_BAR_S = 1_735_962_300  # 2025-01-04 09:15 in India
FIVE_BARS = Bars(
    FIRST_BAR_S + 4500 * np.arange(5, dtype=np.int64),
    *(np.array([100.0, 101.0, 102.0, 103.0, 104.0]) for _ in range(4)),  # type: ignore[arg-type]
)


def run(
    emulator: PineEmulator, folder: Path, body: str, ticks: list[Tick] | None = None
) -> Emulation:
    script = folder / "probe.pine"
    script.write_text(f"//@version=6\n{body}", encoding="utf-8")
    return emulator.run(script, FIVE_BARS, Chart("X1!", "NSE", 75), ticks=ticks or ())


@pytest.mark.slow
def test_the_same_run_says_the_same_whatever_the_order_of_sets(
    emulator: PineEmulator, tmp_path: Path
) -> None:
    """Started by hand, as its docstring shows, by two processes that hash otherwise."""
    assert emulator is not None
    bars = sample_bars("BANK_NIFTY").first(500)
    file = tmp_path / "bars.csv"
    columns = zip(bars.epoch_s, bars.open, bars.high, bars.low, bars.close, strict=True)
    rows = [",".join(str(value) for value in row) for row in columns]
    file.write_text("\n".join(["epoch_s,open,high,low,close", *rows]), encoding="ascii")
    said = []
    for seed in ("1", "2"):
        command = [
            *("env", f"PYTHONHASHSEED={seed}", str(PYTHON), "pine/emulator.py"),
            *(str(script_of(SCRIPTS["BANK_NIFTY"])), str(file), '{"erThreshold": 0.5}'),
        ]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        said.append(done.stdout)
    assert json.loads(said[0])["fills"]
    assert said[0] == said[1]


def test_an_entry_that_is_swallowed_is_named(emulator: PineEmulator, tmp_path: Path) -> None:
    script = tmp_path / "five.pine"
    script.write_text(mutated("five entries may fill"), encoding="utf-8")
    bars = sample_bars("BANK_NIFTY").first(1700)
    said = emulator.run(script, bars, chart("BANK_NIFTY"))
    assert {entry.id for entry in said.dropped} == {"Long_6"}
    assert max(fill.position_after for fill in said.fills) == 5


@pytest.mark.slow
def test_margin_would_swallow_layers_of_gold(emulator: PineEmulator, tmp_path: Path) -> None:
    """Why the declaration sets it to nothing: the tester's 50 lakh do not pay for six lots."""
    text = script_of(SCRIPTS["GOLD_MINI"]).read_text(encoding="utf-8")
    script = tmp_path / "margin.pine"
    script.write_text(text.replace("margin_long=0,", "margin_long=100,"), encoding="utf-8")
    said = emulator.run(script, sample_bars("GOLD_MINI").first(3000), chart("GOLD_MINI"))
    assert said.dropped


def test_the_tester_pays_its_commission(shipped_run: ShippedRun) -> None:
    for trade in shipped_run("BANK_NIFTY").trades:
        turnover = trade.entry_price + (trade.exit_price or 0)
        assert trade.commission == pytest.approx(turnover * 0.0005)


def test_once_a_bar_is_once_a_bar(emulator: PineEmulator, tmp_path: Path) -> None:
    said = run(
        emulator,
        tmp_path,
        'indicator("x")\nfor i = 1 to 3\n    alert("once", alert.freq_once_per_bar)\n'
        '    alert("each", alert.freq_all)\nplot(close)\n',
    )
    assert [(each.bar, each.message) for each in said.said if each.bar == 4] == [
        (4, "once"),
        *[(4, "each")] * 3,
    ]


def test_an_unfinished_bar_forgets_all_but_what_is_to_stay(
    emulator: PineEmulator, tmp_path: Path
) -> None:
    """`var` goes back with each tick, `varip` does not; at the close says nothing before it."""
    opens = FIRST_BAR_S + 5 * 4500
    ticks = [Tick(opens * 1000 + n, opens, 105.0, 105.0, 105.0, 105.0, n == 3) for n in range(4)]
    said = run(
        emulator,
        tmp_path,
        'indicator("x")\nvar int bars = 0\nvarip int ticks = 0\nbars += 1\nticks += 1\n'
        'alert(str.tostring(bars) + " " + str.tostring(ticks), alert.freq_all)\n'
        'alert("closed", alert.freq_once_per_bar_close)\nplot(close)\n',
        ticks,
    )
    live = [each.message for each in said.said if each.bar == 5]
    assert live == ["6 6", "6 7", "6 8", "6 9", "closed"]


@pytest.mark.parametrize(
    "body",
    [
        'indicator("x"\nplot(close)\n',
        'indicator("x")\nplot(no_such_thing)\n',
        'indicator("x")\nif bar_index == 3\n    runtime.error("stop here")\nplot(close)\n',
    ],
)
def test_a_script_that_cannot_run_says_so_and_the_next_one_runs(
    emulator: PineEmulator, tmp_path: Path, body: str
) -> None:
    with pytest.raises(InputInvalid, match=r"probe\.pine"):
        run(emulator, tmp_path, body)
    assert run(emulator, tmp_path, 'indicator("x")\nplot(close, "c")\n').bars == 5


def test_without_its_environment_it_says_what_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backtest.pine_emulator.PYTHON", Path("nowhere/python"))
    with pytest.raises(InputInvalid, match="setup-only"):
        PineEmulator()


def test_the_command_line_writes_the_alerts_that_fired(
    emulator: PineEmulator, tmp_path: Path
) -> None:
    """With the configuration's own numbers told to the script, from a day on."""
    assert emulator is not None
    bars = sample_bars("BANK_NIFTY").first(600)
    file = tmp_path / "bars.csv"
    columns = zip(bars.epoch_s, bars.open, bars.high, bars.low, bars.close, strict=True)
    rows = [",".join(str(value) for value in row) for row in columns]
    file.write_text("\n".join(["time,open,high,low,close", *rows]), encoding="ascii")
    config = tmp_path / "config.json"
    easy = {"er_threshold": 0.3, "adx_threshold": 45.0, "ema_length": 50}
    config.write_text(json.dumps({"instruments": {"BANK_NIFTY": {"strategy": easy}}}))
    command = [
        *(sys.executable, "portfolio_manager.py", "backtest", "alerts", "--out", str(tmp_path)),
        *("--bars", f"BANK_NIFTY={file}", "--config", str(config), "--from", "2024-04-01"),
    ]
    subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    told = [read(line) for line in (tmp_path / "bank_nifty.jsonl").read_text().splitlines()]
    orders = [alert for alert in told if isinstance(alert, Signal)]
    params = replace(
        shipped_params("BANK_NIFTY"),
        start=date(2024, 4, 1),
        **easy,  # type: ignore[arg-type]
    )
    assert orders == [order for _, order in Expected.of("BANK_NIFTY", bars, params).orders] != []


def test_a_chain_of_bars_that_nothing_is_said_of_starts_no_service(
    emulator: PineEmulator, tmp_path: Path
) -> None:
    """Equality of nothing with nothing is no success."""
    assert emulator is not None
    lines = (SAMPLE / "bank_nifty_synthetic.csv").read_text("ascii").splitlines()
    file = tmp_path / "bars.csv"
    file.write_text("\n".join(lines[:30]), encoding="ascii")
    kept = tmp_path / "kept"
    command = [sys.executable, "portfolio_manager.py", "chain", "--keep", str(kept)]
    command += ["--bars", f"BANK_NIFTY={file}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the scripts say nothing" in done.stderr
    assert not (kept / "service").exists()
