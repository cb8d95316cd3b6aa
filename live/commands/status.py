"""`status`: the account in one look, as the running service has it."""

import json
from collections.abc import Iterable
from decimal import Decimal

import click
from rich import box
from rich.console import Console
from rich.table import Table

from core.db_state_manager.json_values import from_json
from core.db_state_manager.overview import MarkedPosition
from core.db_state_manager.states import ControlState, IntentState, PositionState
from core.ist import as_ist
from core.models import layer_name
from core.number_text import ABSENT, grouped, rupees
from live.api.eod import EodStatus, InstrumentEod
from live.api.instances import Instances
from live.api.portfolio import AccountStatus, InstrumentStatus, Load
from live.api_client import JsonObject, ServiceClient, open_client
from live.environment import environment

_MOST_POSITIONS = 500


@click.command()
@click.option("--url", help="Of the service [the one that runs on PM_HOME].")
@click.option("--json", "as_json", is_flag=True, help="Print what the service answered.")
def status(url: str | None, as_json: bool) -> None:
    """Show equity, risk against its limits, what is held, what is stopped and what is in work."""
    client = open_client(environment(), url)
    account, positions = client.get("/status"), _positions(client)
    instances = client.get("/instances")
    if as_json:
        told = {"account": account, "positions": positions, "instances": instances}
        click.echo(json.dumps(told, indent=2))
        return
    read, ends = from_json(AccountStatus, account), from_json(EodStatus, client.get("/eod/status"))
    held = [from_json(MarkedPosition, row) for row in positions]
    console = Console(highlight=False)
    console.print(_money(read), _loads(read))
    for item in read.instruments:
        layers = [row for row in held if row.instrument == item.instrument]
        if layers:
            console.print(_layers(item, layers))
    if not held:
        console.print("Nothing is held.")
    running = _running(from_json(Instances, instances))
    for line in (*_ends_of_day(ends), *_warnings(read), *running):
        console.print(line, markup=False, soft_wrap=True)


def _positions(client: ServiceClient) -> list[JsonObject]:
    """Every layer that is held, all pages."""
    found: list[JsonObject] = []
    cursor: str | None = None
    while True:
        page = client.get("/positions", limit=_MOST_POSITIONS, cursor=cursor)
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def _money(account: AccountStatus) -> Table:
    kind = ", paper" if account.is_paper else ""
    test = ", test mode" if account.is_test else ""
    table = _table(f"Account at {as_ist(account.at):%d-%b-%Y %H:%M:%S}{kind}{test}", "", "rupees")
    for name, amount in (
        ("closed equity", account.closed_equity),
        ("open P&L", account.open_pnl),
        ("open equity", account.open_equity),
        ("highest closed equity", account.equity_high),
        ("charges paid", account.charges),
    ):
        table.add_row(name, rupees(amount))
    return table


def _loads(account: AccountStatus) -> Table:
    table = _table("Against the limits", "", "rupees", "% of equity", "limit %", "used %")
    for name, load in (
        ("risk", account.risk),
        ("volatility", account.volatility),
        ("margin", account.margin),
    ):
        table.add_row(
            name, rupees(load.amount), _percent(load.pct), _percent(load.cap_pct), _used(load)
        )
    return table


def _layers(item: InstrumentStatus, held: Iterable[MarkedPosition]) -> Table:
    """Whole rupees, and the price in the title: it has to fit into 80 columns."""
    price = ABSENT if item.price is None else grouped(item.price)
    columns = ("lots", "entry", "stop", "open P&L", "R", "risk")
    table = _table(f"{item.instrument} at {price}", "layer", *columns)
    for row in sorted(held, key=lambda row: row.layer):
        table.add_row(
            _layer(row),
            str(row.lots),
            grouped(row.entry_price),
            grouped(row.stop),
            ABSENT if row.open_pnl is None else rupees(row.open_pnl, 0),
            _r_multiple(row),
            rupees(row.risk, 0),
        )
    return table


def _layer(row: MarkedPosition) -> str:
    """`3/Long_1` of trade 3, and what is unusual about it."""
    state = "" if row.state is PositionState.OPEN else f" {row.state}"
    test = " test" if row.is_test else ""
    return f"{row.trade_no}/{layer_name(row.layer)}{state}{test}"


def _ends_of_day(ends: EodStatus) -> list[str]:
    """When each instrument's day ends, and what came of it or will be done."""
    return [f"end of day, {item.instrument}: {_end_of_day(item)}" for item in ends.instruments]


def _end_of_day(item: InstrumentEod) -> str:
    if not item.enabled:
        return "off"
    if item.progress is not None:
        return f"{item.progress.phase}, {item.progress.verdict}: {item.progress.reason}"
    if item.times is None:
        return f"none today: {item.no_times}"
    refused = item.times.entries_refused
    only = "" if refused is None else f", exits only: {refused}"
    judged, closes = as_ist(item.times.judge_at), as_ist(item.times.closes_at)
    return f"judged at {judged:%H:%M:%S} for the close at {closes:%H:%M}{only}"


def _warnings(account: AccountStatus) -> list[str]:
    """What keeps trading from going its way, and what is being done now."""
    lines = [
        f"{control.scope} is {control.state} since {as_ist(control.at):%d-%b %H:%M:%S} by "
        f"{control.who}: {control.reason}"
        for control in account.controls
        if control.state is not ControlState.ACTIVE
    ]
    for item in account.instruments:
        if not item.enabled:
            lines.append(f"{item.instrument} takes no entries: it is disabled")
        for lock in item.locks:
            since = f"{as_ist(lock.locked_at):%d-%b %H:%M:%S}"
            lines.append(f"{item.instrument} is locked ({lock.code}) since {since}: {lock.reason}")
    for intent in account.intents:
        alarm = "LOOK AT IT: " if intent.state in (IntentState.NAKED, IntentState.UNKNOWN) else ""
        of = "" if intent.signal_id is None else f" for signal {intent.signal_id}"
        lines.append(
            f"{alarm}in work: {intent.action} of {intent.lots} lots {intent.instrument} "
            f"{layer_name(intent.layer)}, {intent.state}{of} {intent.reason}".rstrip()
        )
    return lines or ["Nothing is stopped, locked or in work."]


def _running(found: Instances) -> list[str]:
    """Who runs, who leads, and what is odd about that."""
    alive = [each for each in found.processes if each.is_alive]
    lines = []
    if found.leader is None or not any(each.leads for each in alive):
        lines.append("NOBODY LEADS: end of day, rollover and the other background work wait")
    for each in alive:
        leads = f", leads under epoch {found.epoch}" if each.leads else ""
        heard_s = max(0.0, (found.at - each.heartbeat_at).total_seconds())
        lines.append(f"worker {each.pid} of {each.host}, heard of {heard_s:.0f} s ago{leads}")
    if not found.configs_agree:
        lines.append("THE INSTANCES GO BY DIFFERENT RULES: make their portfolio_config.json equal")
    return lines


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(first, no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _percent(value: Decimal | None) -> str:
    return ABSENT if value is None else grouped(value)


def _used(load: Load) -> str:
    used = None if load.pct is None or not load.cap_pct else load.pct / load.cap_pct * 100
    return ABSENT if used is None else grouped(used, 0)


def _r_multiple(row: MarkedPosition) -> str:
    """How far the price is from the entry, in units of what was risked at first."""
    distance = row.entry_price - row.initial_stop
    if row.price is None or distance <= 0:
        return ABSENT
    return grouped((row.price - row.entry_price) / distance)
