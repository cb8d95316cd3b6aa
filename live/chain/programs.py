"""What the chain has other programs do: bars on ticks, the scripts' alerts, the backtest."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from core.errors import InputInvalid
from live.api_client import JsonObject
from live.chain.alerts import Chart, ChartAlert, alerts_of, read_chart
from live.settings import PROJECT


@dataclass(frozen=True, slots=True)
class Inputs:
    """Files of bars by instrument; `config` is a portfolio_config.json; trades begin at `start`."""

    bars: Mapping[str, Path]
    config: Path | None
    start: date | None
    capital: str


class Programs:
    """Runs the command line's own backtest commands in `folder`."""

    def __init__(self, inputs: Inputs, folder: Path) -> None:
        self._inputs = inputs
        self._folder = folder
        self._bars: Mapping[str, Path] = inputs.bars

    def write_bars(self) -> dict[str, Chart]:
        """The bars of the strategy's timeframe, on the contracts' ticks, from here on."""
        out = self._folder / "bars"
        self._run("bars", "--out", str(out), "--on-tick", *self._given())
        self._bars = {name: out / f"{name.lower()}.csv" for name in self._inputs.bars}
        return {name: read_chart(name, path) for name, path in self._bars.items()}

    def alerts(self, charts: Mapping[str, Chart]) -> dict[str, list[ChartAlert]]:
        """What the scripts say over those bars, from the first day of trades on."""
        out = self._folder / "alerts"
        self._run("alerts", "--out", str(out), *self._given())
        found = {}
        for name, chart in charts.items():
            bodies = (out / f"{name.lower()}.jsonl").read_text("utf-8").splitlines()
            found[name] = [alert for alert in alerts_of(chart, bodies) if self._is_inside(alert)]
        return found

    def trades(self) -> JsonObject:
        """The backtest of those bars, as its JSON."""
        out = self._folder / "backtest.json"
        self._run("--no-charges", "--json", str(out), *self._given())
        result: JsonObject = json.loads(out.read_text("utf-8"))
        return result

    def _is_inside(self, alert: ChartAlert) -> bool:
        start = self._inputs.start
        return start is None or alert.closes_at.date() >= start

    def _given(self) -> list[str]:
        given = ["--capital", self._inputs.capital]
        for name, path in self._bars.items():
            given += ["--bars", f"{name}={path}"]
        if self._inputs.config is not None:
            given += ["--config", str(self._inputs.config)]
        if self._inputs.start is not None:
            given += ["--from", self._inputs.start.isoformat()]
        return given

    def _run(self, *arguments: str) -> None:
        command = [sys.executable, str(PROJECT / "portfolio_manager.py"), "backtest", *arguments]
        done = subprocess.run(  # noqa: S603 - our own command
            command, cwd=PROJECT, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise InputInvalid(f"backtest {arguments[0]}", _last_words(done.stderr.splitlines()))


def _last_words(lines: Sequence[str]) -> str:
    told = [line.removeprefix("Error: ") for line in lines if line.strip()]
    return told[-1] if told else "it failed and said nothing"
