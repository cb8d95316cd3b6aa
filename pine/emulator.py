"""Runs a Pine script over bars, offline, and says everything that it said.

Started by the Python of `.venv-pine`, which has the compiler and the runtime (docs/third-party.md);
the rest of the program talks to it through `backtest/pine_emulator.py`. Requests come in as JSON
lines on the standard input, and each is answered by one JSON line, in their order. Each is run in
a process of its own, forked from this one: the runtime keeps state in its modules.

A request: {"script": path, "bars": path of a CSV, "inputs": {variable: value},
"chart": {"ticker", "exchange", "minutes", "tick_size", "point_value", "opens", "closes"},
"ticks": path of a CSV or null}. The columns of bars are epoch seconds of the open, open, high, low,
close. With ticks, the bars are history and the ticks are what follows live: epoch milliseconds at
which each is seen, epoch seconds of its bar's open, open, high, low, close of the bar so far, and
1 where the bar is closed with it, else 0.

By hand: .venv-pine/bin/python pine/emulator.py SCRIPT BARS.csv [INPUTS_AS_JSON [CHART_AS_JSON]]
"""

import csv
import hashlib
import json
import math
import os
import re
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from datetime import time as clock
from pathlib import Path
from typing import Any

import pynecore.core.import_hook  # noqa: F401  # the runtime's compiler passes
import pynecore.lib.alert as alerts_of_runtime
from pine2pyne import transpile
from pynecore import lib
from pynecore.core import script_runner
from pynecore.core.syminfo import SymInfo, SymInfoInterval, SymInfoSession
from pynecore.lib import strategy as orders_of_runtime
from pynecore.types.na import NA
from pynecore.types.ohlcv import OHLCV

CHART = {
    "ticker": "BANKNIFTY1!",
    "exchange": "NSE",
    "minutes": 75,
    "tick_size": 0.01,
    "point_value": 1.0,
    "opens": "09:15",
    "closes": "15:30",
}
_WORKDAYS = range(5)
_TICK_PROOF = "from pynecore.types import IBPersistentSeries\n"
_Row = dict[str, Any]


class Recorder:
    """Notes orders and alerts where the runtime makes them, and keeps TradingView's rules of both.

    An order that never fills sends no alert on TradingView: such entries are listed as dropped.
    A second call of `alert` in a bar is silent where its frequency is once a bar.
    """

    def __init__(self) -> None:
        self.fills: list[_Row] = []
        self.alerts: list[_Row] = []
        self.asked: list[tuple[int, str]] = []
        self._once: set[tuple[int, str]] = set()

    def attach(self) -> None:
        """Stand between the script and the runtime's `alert`, `strategy.entry` and fills."""
        entry, fill = orders_of_runtime.entry, orders_of_runtime.SimPosition._fill_order

        def noted_entry(id: str, *rest: Any, **named: Any) -> Any:
            self.asked.append((int(lib.bar_index), str(id)))
            return entry(id, *rest, **named)

        def noted_fill(position: Any, order: Any, *rest: Any, **named: Any) -> Any:
            filled_before, size_before = position._fill_counter, float(position.size)
            size = float(order.size)
            result = fill(position, order, *rest, **named)
            if position._fill_counter != filled_before:
                self._note_fill(position, order, size, size_before)
            return result

        orders_of_runtime.entry = noted_entry
        orders_of_runtime.SimPosition._fill_order = noted_fill
        alerts_of_runtime.alert = self._alert

    def _note_fill(self, position: Any, order: Any, size: float, size_before: float) -> None:
        self.fills.append(
            {
                "bar": int(lib.bar_index),
                "time_ms": int(lib._time),
                "id": plain(order.order_id or order.exit_id),
                "action": "buy" if size > 0 else "sell",
                "quantity": abs(size),
                "price": round(float(position._last_fill_price), 9),
                "position_before": size_before,
                "position_after": float(position.size),
                "comment": plain(order.comment),
                "alert_message": plain(order.alert_message),
            }
        )

    def _alert(self, message: str, freq: Any = alerts_of_runtime.freq_once_per_bar) -> None:
        if lib._lib_semaphore:
            return
        frequency, bar = str(freq), int(lib.bar_index)
        if "close" in frequency and not lib.barstate.isconfirmed:
            return
        if "once" in frequency:
            if (bar, frequency) in self._once:
                return
            self._once.add((bar, frequency))
        self.alerts.append(
            {
                "bar": bar,
                "time_ms": int(lib._time),
                "seen_ms": int(lib._timenow_ms) if lib.barstate.isrealtime else None,
                "message": str(message),
            }
        )

    def dropped(self, last_bar: int) -> list[_Row]:
        """Entries that were asked for and never filled, those of the last bar left out."""
        done = {(fill["bar"] - late, fill["id"]) for fill in self.fills for late in (0, 1)}
        return [
            {"bar": bar, "id": name}
            for bar, name in self.asked
            if (bar, name) not in done and bar < last_bar
        ]


def plain(value: Any) -> Any:
    """A value of the runtime as JSON has it; what is not known is None."""
    if value is None or isinstance(value, NA):
        return None
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return value if math.isfinite(value) else None
    return str(value)


def symbol(chart: _Row) -> SymInfo:
    """What the script sees of its chart."""
    opens, closes = (clock.fromisoformat(chart[end]) for end in ("opens", "closes"))
    return SymInfo(
        prefix=chart["exchange"],
        description=chart["ticker"],
        ticker=chart["ticker"],
        currency="INR",
        period=str(chart["minutes"]),
        type="futures",
        mintick=chart["tick_size"],
        pricescale=round(1 / chart["tick_size"]),
        minmove=1,
        pointvalue=chart["point_value"],
        mincontract=1.0,
        opening_hours=[SymInfoInterval(day, opens, closes) for day in _WORKDAYS],
        session_starts=[SymInfoSession(day, opens) for day in _WORKDAYS],
        session_ends=[SymInfoSession(day, closes) for day in _WORKDAYS],
        timezone="Asia/Kolkata",
    )


def correct_symbol_names() -> None:
    """Pine's `ticker` has no exchange in front and `root` no contract number; the runtime's do."""
    original = script_runner._set_lib_syminfo_properties

    def corrected(info: SymInfo) -> Any:
        result = original(info)
        lib.syminfo.ticker = info.ticker
        lib.syminfo.root = re.sub(r"\d*!$", "", info.ticker)
        return result

    script_runner._set_lib_syminfo_properties = corrected


def compiled(source: str) -> str:
    """The script in Python. The compiler takes `varip` for `var`: here it outlives a tick again."""
    python: str = transpile(source)
    for name in re.findall(r"^varip +(?:\w+ +)?(\w+) *=", source, re.MULTILINE):
        kept = re.compile(rf"^( *{name}: )Persistent", re.MULTILINE)
        python, found = kept.subn(r"\1IBPersistent", python)
        if found != 1:
            raise ValueError(f"varip {name} is declared {found} times in the compiled script")
    return re.sub(r"^(?=from pynecore\.types import )", _TICK_PROOF, python, count=1, flags=re.M)


def read_bars(path: str) -> list[OHLCV]:
    """The bars of a CSV; its header is passed over."""
    with Path(path).open(newline="") as file:
        rows = csv.reader(file)
        next(rows)
        return [
            OHLCV(int(row[0]) * 1000, *(float(price) for price in row[1:5]), 1.0) for row in rows
        ]


def read_ticks(path: str) -> Iterator[OHLCV]:
    """Live updates of a CSV, the runtime's clock set to when each is seen."""
    with Path(path).open(newline="") as file:
        rows = csv.reader(file)
        next(rows)
        for row in rows:
            lib._timenow_ms = int(row[0])
            prices = (float(price) for price in row[2:6])
            yield OHLCV(int(row[1]) * 1000, *prices, 1.0, is_closed=row[6] == "1")


def program_of(script: Path, folder: Path) -> Path:
    """The script's Python in a folder that keeps it, so that it is compiled once."""
    source = script.read_bytes()
    program = (
        folder / hashlib.sha256(source).hexdigest() / (re.sub(r"\W", "_", script.stem) + ".py")
    )
    if not program.exists():
        program.parent.mkdir(exist_ok=True)
        program.write_text(compiled(source.decode("utf-8")), encoding="utf-8")
    return program


def run(request: _Row, folder: Path) -> _Row:
    """One script over one set of bars; `folder` keeps compiled scripts."""
    chart = CHART | (request.get("chart") or {})
    bars = read_bars(request["bars"])
    recorder = Recorder()
    recorder.attach()
    correct_symbol_names()
    plots: list[_Row] = []
    trades: list[_Row] = []
    with warnings.catch_warnings(record=True) as noticed:
        warnings.simplefilter("always")
        runner = _runner(program_of(Path(request["script"]), folder), bars, chart, request)
        for _, shown, *closed in runner.run_iter():
            plots.append({name: plain(value) for name, value in shown.items()})
            trades += [_trade(trade) for trade in (closed[0] if closed else ())]
    position = getattr(runner.script, "position", None)
    names = dict.fromkeys(name for shown in plots for name in shown)
    return {
        "bars": len(plots),
        "plots": {name: [shown.get(name) for shown in plots] for name in names},
        "fills": recorder.fills,
        "alerts": recorder.alerts,
        "trades": trades,
        "open_trades": [] if position is None else [_open(each) for each in position.open_trades],
        "dropped": recorder.dropped(len(plots) - 1),
        "warnings": [str(warning.message) for warning in noticed],
    }


def _runner(
    program: Path, bars: list[OHLCV], chart: _Row, request: _Row
) -> script_runner.ScriptRunner:
    inputs = request.get("inputs") or {}
    lib._timenow_ms = bars[-1].timestamp
    exact = {"inputs": inputs, "lossless_prices": True, "lossless_volume": True}
    if not request.get("ticks"):
        return script_runner.ScriptRunner(
            program,
            iter(bars),
            symbol(chart),
            last_bar_index=len(bars) - 1,
            last_bar_time=bars[-1].timestamp,
            **exact,
        )

    def history_then_ticks() -> Iterator[Any]:
        yield from bars
        yield script_runner.LIVE_TRANSITION
        yield from read_ticks(request["ticks"])

    return script_runner.ScriptRunner(
        program, history_then_ticks(), symbol(chart), live=True, **exact
    )


def _trade(trade: Any) -> _Row:
    return _open(trade) | {
        "exit_bar": trade.exit_bar_index,
        "exit_price": round(float(trade.exit_price), 9),
        "exit_comment": plain(trade.exit_comment),
        "profit": float(trade.profit),
        "commission": float(trade.commission),
    }


def _open(trade: Any) -> _Row:
    return {
        "entry_id": plain(trade.entry_id),
        "entry_bar": trade.entry_bar_index,
        "entry_price": round(float(trade.entry_price), 9),
        "quantity": float(trade.size),
    }


def answer(request: _Row, folder: Path) -> str:
    """The result of a run in a forked process, or {"error": what went wrong}, as a JSON line."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            os.dup2(2, 1)  # what the runtime prints is not an answer
            with os.fdopen(writing, "w", encoding="utf-8") as pipe:
                try:
                    json.dump(run(request, folder), pipe, allow_nan=False)
                except BaseException:
                    json.dump({"error": traceback.format_exc()}, pipe)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text or json.dumps({"error": "the run ended without a result"})


def main(arguments: list[str]) -> int:
    """Answer the requests of the standard input, or the one that the arguments make up."""
    with tempfile.TemporaryDirectory(prefix="pine-") as folder:
        if not arguments:
            for line in sys.stdin:
                print(answer(json.loads(line), Path(folder)), flush=True)
            return 0
        script, bars, *more = arguments
        inputs, chart = (json.loads(text) for text in (*more, "{}", "{}")[:2])
        request = {"script": script, "bars": bars, "inputs": inputs, "chart": chart}
        print(answer(request, Path(folder)))
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
