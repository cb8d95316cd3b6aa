"""The chain from one end to the other: scripts, alerts, service, trades, against the backtest."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import InputInvalid
from live.api_client import JsonObject
from live.chain.alerts import in_order
from live.chain.programs import Inputs, Programs
from live.chain.rehearsal import Ends, Progress, Rehearsal, Trouble
from live.chain.stage import Stage
from live.chain.trades import (
    differences,
    held_in_backtest,
    held_in_service,
    of_backtest,
    of_service,
)
from live.environment import environment
from live.settings import read_object

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ChainResult:
    """How it went. `trades` and `open_layers` are the backtest's; equal without `differences`."""

    trades: int
    open_layers: int
    ends: Ends
    crashes: int
    rolls: int
    differences: tuple[str, ...]


def run_chain(
    inputs: Inputs, trouble: Trouble, folder: Path, say: Say, progress: Progress
) -> ChainResult:
    """Run it in `folder`. Raises InputInvalid where nothing is said, and as its parts do."""
    programs = Programs(inputs, folder)
    charts = programs.write_bars()
    say("running the scripts")
    alerts = in_order(programs.alerts(charts))
    backtest = programs.trades()
    if not alerts:
        raise InputInvalid("bars", "the scripts say nothing over them from the first day on")
    settings = {} if inputs.config is None else read_object(inputs.config)
    stage = Stage(folder / "service", environment(), as_practised(settings), inputs.capital)
    say("starting a service of its own")
    try:
        stage.start(alerts[0].closes_at)
        rehearsal = Rehearsal(stage, trouble)
        say(f"delivering {len(alerts)} alerts")
        rehearsal.play(alerts, progress)
        had = of_service(list(stage.trades()), charts)
        held = held_in_service(stage.ask("/positions")["items"], charts)
    finally:
        stage.stop()
    found = [
        *differences("trade", of_backtest(backtest["trades"], charts), had),
        *differences("open layer", held_in_backtest(backtest["held"], charts), held),
    ]
    return ChainResult(
        trades=int(backtest["trades_count"]),
        open_layers=int(backtest["open_layers"]),
        ends=rehearsal.ends,
        crashes=rehearsal.crashes,
        rolls=rehearsal.rolls,
        differences=tuple(found),
    )


def as_practised(settings: JsonObject) -> JsonObject:
    """Settings under which nothing is traded before a bar closes: a backtest does not do that."""
    return {**settings, "eod": {**settings.get("eod", {}), "enabled": False}}
