"""All benchmarks in one sitting, as ratios: `run.py` (needs ../shared/bench for the peer).

Wall clocks differ from machine to machine, so a figure counts beside the peer measured minutes
before it. Nothing here fails a build: it prints what was measured next to what is wanted.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "bench"
BENCH_VENV = ROOT / ".venv-bench"
HERE = Path(__file__).resolve().parent
PEER_PACKAGES = ("backtrader==1.9.78.123", "pandas==2.3.3", "numpy==2.4.6")
MINUTE_BARS = 1_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """One finished process."""

    seconds: float
    peak_mb: float
    output: str


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table."""

    what: str
    measured: str
    wanted: str
    met: bool


def run(*command: str) -> Measured:
    """Run a process to its end; raises CalledProcessError when it fails."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, text)
    return Measured(seconds, usage.ru_maxrss / 1024, text)


def peer_python() -> str:
    """The peer's own interpreter, made once."""
    python = BENCH_VENV / "bin" / "python"
    if not python.exists():
        print("installing the peer (once) ...", flush=True)
        venv.create(BENCH_VENV, with_pip=True)
        run(str(python), "-m", "pip", "install", "--quiet", *PEER_PACKAGES)
    return str(python)


def last_json(measured: Measured) -> dict[str, float]:
    """The JSON line that a bench process ends with."""
    figures: dict[str, float] = json.loads(measured.output.strip().splitlines()[-1])
    return figures


def portfolio_lines(folder: Path) -> list[Line]:
    """The two-instrument case beside the peer, and the whole command from a cold start."""
    python = peer_python()
    run(python, str(HERE / "bars.py"), str(SHARED), str(folder))
    peer_run = run(python, str(SHARED / "p_backtrader.py"))
    peer = last_json(peer_run)
    ours = last_json(run(sys.executable, "-m", "scripts.bench.portfolio", str(folder)))
    cold = run(
        sys.executable,
        "portfolio_manager.py",
        "backtest",
        f"--bars=BANK_NIFTY={folder / 'BNF.csv'}",
        f"--bars=GOLD_MINI={folder / 'GOLDM.csv'}",
        f"--config={HERE / 'config.json'}",
        "--capital=10000000",
        "--on-bad-bars=repair",
    )
    ratio = ours["events_per_s"] / peer["events_per_s"]
    rate = ours["events_per_s"]
    print(f"peer: {json.dumps(peer)}\nours: {json.dumps(ours)}", flush=True)
    return [
        Line("bar events a second, two instruments", f"{rate:,.0f}", "150,000", rate >= 150_000),
        Line("the same, as a multiple of backtrader", f"{ratio:.1f} x", "10 x", ratio >= 10),
        Line("cold process, all in", f"{cold.seconds:.2f} s", "1.5 s", cold.seconds < 1.5),
        Line("its peak memory", f"{cold.peak_mb:.0f} MB", "120 MB", cold.peak_mb < 120),
        Line(
            "cold process beside backtrader's",
            f"{peer_run.seconds / cold.seconds:.1f} x faster",
            "-",
            True,
        ),
    ]


def minute_line(folder: Path) -> Line:
    """A million one-minute bars of one instrument, cold, from the file to the result."""
    path = folder / "minutes.csv"
    run(sys.executable, "-m", "scripts.bench.minutes", str(path), str(MINUTE_BARS))
    measured = run(
        sys.executable,
        "portfolio_manager.py",
        "backtest",
        f"--bars=BANK_NIFTY={path}",
        "--timeframe=BANK_NIFTY=1",
    )
    return Line(
        f"{MINUTE_BARS:,} one-minute bars, cold",
        f"{measured.seconds:.1f} s, {measured.peak_mb:.0f} MB",
        "10 s",
        measured.seconds < 10,
    )


def decide_lines() -> list[Line]:
    """Alerts through decide() with full records."""
    rates = last_json(run(sys.executable, "-m", "scripts.bench.decide"))
    return [
        Line(f"decide(), {name} a second", f"{rates[key]:,.0f}", "20,000", rates[key] >= 20_000)
        for name, key in (("base entries", "base_per_s"), ("adds", "pyramid_per_s"))
    ]


def main() -> None:
    """Measure and print the table."""
    lines = decide_lines()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if (SHARED / "p_backtrader.py").exists():
            lines += portfolio_lines(folder)
        else:
            print(f"skipped the peer: {SHARED} is not here")
        lines.append(minute_line(folder))
    width = max(len(line.what) for line in lines)
    print(f"{'':{width}}  {'measured':>18}  {'wanted':>9}")
    for line in lines:
        verdict = "" if line.met else "  NOT MET"
        print(f"{line.what:{width}}  {line.measured:>18}  {line.wanted:>9}{verdict}")


if __name__ == "__main__":
    main()
