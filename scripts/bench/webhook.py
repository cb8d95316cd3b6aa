"""The running service under load: `webhook.py [--short]`. Real HTTP, real PostgreSQL with fsync.

gunicorn with two workers of eight threads as the launcher runs it, the embedded servers, the paper
exchange. Nothing here fails a build: it prints what was measured next to what is wanted. On a busy
machine a figure says little, so the load average stands beside it.
"""

import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from core.db_state_manager.states import FINISHED_SIGNALS, SignalStatus
from live.clock import SystemClock
from scripts.bench.run import Line
from scripts.bench.webhook_app import CALLS_FILE
from scripts.bench.webhook_history import write_positions, write_signals
from scripts.bench.webhook_load import PRICES, Caller, payload
from scripts.bench.webhook_stage import (
    OPERATOR_TOKEN,
    UNWAITED,
    VIEWER_TOKEN,
    WEBHOOK_TOKEN,
    Stage,
    answers_of,
    gateway_calls,
    run_load,
    stage,
)

RATE = 20
POLLERS = 50
# Dashboards look on for so long before the first alert.
_BEFORE_S = 2
_PATIENCE_S = 30.0
_LOOK_S = 0.01
_OK = (200, 202)


@dataclass(frozen=True, slots=True)
class Spread:
    """How long it took, milliseconds."""

    p50: float
    p99: float
    count: int

    def __str__(self) -> str:
        return f"{self.p50:.1f} / {self.p99:.1f} ms"


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything."""

    seconds: int
    warm_up_s: int
    entries: int
    signals: int
    positions: int
    layers: int


FULL = Size(30, 3, 40, 1_000_000, 10_000, 1_000)
SHORT = Size(3, 1, 3, 20_000, 500, 1_000)


def spread(times_ms: Sequence[float]) -> Spread:
    """The middle, and what one in a hundred exceeds."""
    ranked = sorted(times_ms)
    return Spread(
        ranked[len(ranked) // 2],
        ranked[max(0, -(-len(ranked) * 99 // 100) - 1)],
        len(ranked),
    )


def alerts(on: Stage, seconds: float, pollers: int = 0) -> Spread:
    """Answers to closed bars at a steady rate, while so many dashboards look on."""
    offset_s = on.settings.clock_offset_s
    looking, lookers = None, f"{VIEWER_TOKEN} {OPERATOR_TOKEN}"
    if pollers:
        looking = run_load(lookers, "pollers", on.url, seconds + 2 * _BEFORE_S, pollers)
        time.sleep(_BEFORE_S)
    sending = run_load(WEBHOOK_TOKEN, "alerts", on.url, offset_s, seconds, RATE)
    answers = answers_of(sending)
    told = Counter(status for _, status in answers)
    if any(status not in _OK for status in told):
        raise RuntimeError(f"alerts were answered with {dict(told)}")
    found = spread([took_ms for took_ms, _ in answers])
    seen = f"  load {os.getloadavg()[0]:.1f}, {found}"
    if looking is not None:
        pages = answers_of(looking)
        seen += f"; pages {dict(Counter(status for _, status in pages))} in "
        seen += str(spread([took_ms for took_ms, _ in pages]))
    click.echo(seen)
    return found


def first_orders(on: Stage, cycles: int) -> tuple[Spread, Spread]:
    """From an alert's arrival to its first order: in all, and without the gateway's answers.

    Each cycle is an entry and an exit of each instrument, one after the other.
    """
    caller, clock = Caller(on.url), SystemClock(on.settings.clock_offset_s)
    headers = {"X-Webhook-Token": WEBHOOK_TOKEN, "Content-Type": "application/json"}
    ended: Counter[str] = Counter()
    ids = []
    for _ in range(cycles):
        for instrument, price in PRICES.items():
            entry = {"position": "Long_1", "stop": price * 0.994, "er": 0.8, "roc": 3.0}
            leave = {"position": "ALL", "reason": "TOM_BASSO_STOP"}
            for kind, fields in (("BASE_ENTRY", entry), ("EXIT", leave)):
                body = json.dumps(payload(kind, instrument, clock.now(), **fields))
                _, answer = caller.call("POST", "/webhook", headers, body)
                ids.append(json.loads(answer)["signal_id"])
                ended[f"{kind} {_ended(on, ids[-1])}"] += 1
    whole, own = _until_sent(on, ids)
    click.echo(f"  load {os.getloadavg()[0]:.1f}, {dict(ended)}, {whole}, our own {own}")
    return whole, own


def _ended(on: Stage, signal_id: int) -> str:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        ((status, code),) = on.rows(
            "SELECT status, outcome ->> 'code' FROM signal_log WHERE id = %s", signal_id
        )
        if SignalStatus(status) in FINISHED_SIGNALS:
            return f"{status} {code}"
        time.sleep(_LOOK_S)
    raise RuntimeError(f"signal {signal_id} came to no end")


def _until_sent(on: Stage, ids: Sequence[int]) -> tuple[Spread, Spread]:
    arrived = on.rows("SELECT id, received_at FROM signal_log WHERE id = ANY (%s)", list(ids))
    calls = gateway_calls(on, CALLS_FILE)
    whole, own = [], []
    for signal_id, received_at in arrived:
        made = calls.get(signal_id, [])
        sent_s = min((began for url, began, _ in made if url.endswith("/placeorder")), default=None)
        if sent_s is None:
            continue
        took_s = sent_s - received_at.timestamp()
        theirs_s = sum(took for _, began, took in made if began < sent_s)
        whole.append(took_s * 1000)
        own.append((took_s - theirs_s) * 1000)
    return spread(whole), spread(own)


def measure(on: Stage, size: Size) -> list[Line]:
    """Everything, from an empty database to a large one."""
    click.echo("an empty history: answers when stored")
    with on.serving(UNWAITED):
        alerts(on, size.warm_up_s)
        stored = alerts(on, size.seconds)
    click.echo("an empty history: answers with the outcome; with pollers; orders")
    with on.serving() as empty_start_s:
        alerts(on, size.warm_up_s)
        small = alerts(on, size.seconds)
        polled = alerts(on, size.seconds, POLLERS)
        first_orders(on, 1)
        sent, sent_own = first_orders(on, size.entries)
    click.echo(f"writing {size.signals:,} signals and {size.positions:,} positions")
    write_signals(on.settings.database_url, size.signals)
    write_positions(on.settings.database_url, size.positions)
    click.echo("a long history: answers when stored")
    with on.serving(UNWAITED):
        alerts(on, size.warm_up_s)
        large_stored = alerts(on, size.seconds)
    click.echo("a long history: answers with the outcome; orders")
    with on.serving():
        alerts(on, size.warm_up_s)
        large = alerts(on, size.seconds)
        first_orders(on, 1)
        _, large_own = first_orders(on, size.entries)
    write_positions(on.settings.database_url, 0, size.layers)
    with on.serving() as start_s:
        pass
    history = f"{size.signals:,} signals, {size.positions:,} positions"
    return [
        _limits(f"alert stored and answered, {RATE} a second", stored),
        _limits("the same with its outcome in the answer", small),
        Line("the same, alert to order, in all", str(sent), "-", True),
        Line("alert to order, our own time", str(sent_own), "- / 100 ms", sent_own.p99 < 100),
        _change(f"with outcome, {POLLERS} pollers at once", small, polled, 2.0),
        _change(f"stored, {history}", stored, large_stored, 1.2),
        _change("with outcome, the same", small, large, 1.2),
        _change("alert to order, our own time, the same", sent_own, large_own, 1.2),
        Line("start to ready, nothing held", f"{empty_start_s:.1f} s", "-", True),
        Line(f"start to ready, {size.layers:,} layers", f"{start_s:.1f} s", "3 s", start_s < 3),
    ]


def _limits(what: str, found: Spread) -> Line:
    return Line(what, str(found), "15 / 50 ms", found.p50 < 15 and found.p99 < 50)


def _change(what: str, before: Spread, after: Spread, allowed: float) -> Line:
    ratio = after.p99 / before.p99
    shown = f"{after}: {after.p50 / before.p50:.2f}, {ratio:.2f} x"
    return Line(what, shown, f"p99 {allowed:g} x", ratio < allowed)


@click.command()
@click.option("--short", is_flag=True, help="Under a minute, with a short history.")
@click.option("--keep", is_flag=True, help="Leave the databases where they are, and say where.")
def main(short: bool, keep: bool) -> None:
    """Measure and print the table."""
    folder = Path(tempfile.mkdtemp(prefix="pm-bench-"))
    folder.chmod(0o755)
    try:
        with stage(folder) as on:
            lines = measure(on, SHORT if short else FULL)
    finally:
        if keep:
            click.echo(f"kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    width = max(len(line.what) for line in lines)
    click.echo(f"{'p50 / p99':{width}}  {'measured':>32}  {'wanted':>10}")
    for line in lines:
        verdict = "" if line.met else "  NOT MET"
        click.echo(f"{line.what:{width}}  {line.measured:>32}  {line.wanted:>10}{verdict}")


if __name__ == "__main__":
    main()
