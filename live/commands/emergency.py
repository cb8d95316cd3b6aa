"""`emergency`: stop trading now, see what is stopped, go on."""

import json

import click

from core.db_state_manager.json_values import from_json
from core.db_state_manager.operation import GLOBAL
from core.db_state_manager.records import TradingControl
from core.db_state_manager.states import ControlState
from core.ist import as_ist
from live.api.emergency import Controls
from live.api_client import JsonObject, open_client
from live.environment import environment

URL = click.option("--url", help="Of the service [the one that runs on PM_HOME].")
JSON = click.option("--json", "as_json", is_flag=True, help="Print what the service answered.")
REASON = click.option("--reason", required=True, help="Kept with who did it and when.")
SCOPE = click.option(
    "--scope", default=GLOBAL, show_default=True, help="GLOBAL, or an instrument's name."
)


@click.group()
def emergency() -> None:
    """Stop trading at once, or let it go on."""


@emergency.command()
@REASON
@SCOPE
@click.option("--halt", is_flag=True, help="Send no exits either, those of our own stops included.")
@URL
@JSON
def stop(reason: str, scope: str, halt: bool, url: str | None, as_json: bool) -> None:
    """Open nothing any more; what is held may still be closed, unless --halt."""
    state = ControlState.HALTED if halt else ControlState.REDUCING
    client = open_client(environment(), url)
    answer = client.post("/emergency/stop", reason=reason, scope=scope, state=state.value)
    _tell(answer, as_json)


@emergency.command()
@REASON
@SCOPE
@URL
@JSON
def resume(reason: str, scope: str, url: str | None, as_json: bool) -> None:
    """Go on. What was stopped for one instrument goes on when its scope is named."""
    client = open_client(environment(), url)
    _tell(client.post("/emergency/resume", reason=reason, scope=scope), as_json)


@emergency.command()
@click.argument("instrument")
@click.argument("code")
@REASON
@URL
def unlock(instrument: str, code: str, reason: str, url: str | None) -> None:
    """Release a lock of an instrument, such as BOOKS_DISAGREE, after having looked."""
    client = open_client(environment(), url)
    client.post("/emergency/unlock", instrument=instrument, code=code, reason=reason)
    click.echo(f"{instrument} is not locked for {code} any more")


@emergency.command()
@URL
@JSON
def status(url: str | None, as_json: bool) -> None:
    """Show what is stopped, where and why."""
    account = open_client(environment(), url).get("/status")
    in_force = [
        {"instrument": item["instrument"], "state": item["control"]}
        for item in account["instruments"]
    ]
    _tell({"controls": account["controls"], "in_force": in_force}, as_json)


def _tell(answer: JsonObject, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    found = from_json(Controls, answer)
    for control in found.controls:
        click.echo(_sentence(control))
    for item in found.in_force:
        click.echo(f"{item.instrument}: {item.state}")


def _sentence(control: TradingControl) -> str:
    since = f"{as_ist(control.at):%d-%b-%Y %H:%M:%S}"
    return f"{control.scope} was set {control.state} on {since} by {control.who}: {control.reason}"
