"""`emergency`: stop trading now, see what is stopped, go on; or close everything."""

import json
import time

import click
from rich.console import Console

from core.db_state_manager.json_values import from_json
from core.db_state_manager.operation import GLOBAL
from core.db_state_manager.records import TradingControl
from core.db_state_manager.states import ControlState
from core.ist import as_ist
from live.api.close_all import CloseAllReport
from live.api.emergency import Controls
from live.api_client import JsonObject, ServiceClient, open_client
from live.close_all_text import close_all_text, is_working
from live.environment import environment

FLAT, HELD, UNKNOWN = 0, 1, 2
_CLOSE_ALL = "/emergency/close-all"
_LOOK_S = 1.0

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


@emergency.command("close-all")
@click.option("--dry-run", is_flag=True, help="Show what would be sent, and send nothing.")
@click.option("--status", "only_look", is_flag=True, help="Show how far the last one is.")
@click.option("--reason", help="Kept with who did it and when; needed to close.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-wait", is_flag=True, help="Do not look on until it has ended.")
@URL
@JSON
@click.pass_context
def close_all(
    context: click.Context,
    dry_run: bool,
    only_look: bool,
    reason: str | None,
    yes: bool,
    no_wait: bool,
    url: str | None,
    as_json: bool,
) -> None:
    """Close every layer, whatever is stopped. Exit code: 0 flat, 1 something is held, 2 unknown.

    It goes on in the service until nothing is held at the broker, or until it says what keeps it
    from that; a restart does not end it.
    """
    if dry_run and only_look:
        raise click.UsageError("either --dry-run or --status")
    client = open_client(environment(), url)
    if only_look:
        answer = client.get(_CLOSE_ALL)
    elif dry_run or not yes:
        answer = client.post(_CLOSE_ALL, reason=reason or "a rehearsal", dry_run=True)
    if dry_run or only_look:
        _show_closing(answer, as_json)
        context.exit(FLAT if dry_run else _exit_code(answer))
    why = reason or (None if yes else click.prompt("Reason", err=True))
    if why is None:
        raise click.UsageError("--yes needs --reason")
    if not yes:
        Console(highlight=False, stderr=True).print(close_all_text(_closing(answer)))
        click.confirm("Close all of this now?", abort=True, err=True)
    answer = client.post(_CLOSE_ALL, reason=why, dry_run=False)
    if not no_wait:
        answer = _watched(client, answer)
    _show_closing(answer, as_json)
    context.exit(_exit_code(answer))


def _watched(client: ServiceClient, answer: JsonObject) -> JsonObject:
    """How it ended; whoever interrupts ends the looking on and nothing else."""
    try:
        while is_working(_closing(answer)):
            time.sleep(_LOOK_S)
            answer = client.get(_CLOSE_ALL)
    except KeyboardInterrupt:
        click.echo("It goes on: emergency close-all --status shows how far it is.", err=True)
    return answer


def _closing(answer: JsonObject) -> CloseAllReport:
    return from_json(CloseAllReport, answer)


def _show_closing(answer: JsonObject, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        Console(highlight=False, soft_wrap=True).print(close_all_text(_closing(answer)))


def _exit_code(answer: JsonObject) -> int:
    is_flat = answer["is_flat"]
    return UNKNOWN if is_flat is None else FLAT if is_flat else HELD


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
