"""`broker`: what the account holds there beside ours, and which of it is somebody else's."""

import json

import click
from rich import box
from rich.console import Console
from rich.table import Table

from core.db_state_manager.json_values import from_json
from core.errors import Rejected
from core.instruments import InstrumentCatalog
from core.symbols import parse
from live.api.broker import BrokerPositions
from live.api_client import JsonObject, open_client
from live.environment import environment
from live.reconciliation import roots_of

UNKNOWN = 2

URL = click.option("--url", help="Of the service [the one that runs on PM_HOME].")
JSON = click.option("--json", "as_json", is_flag=True, help="Print what the service answered.")
SYMBOL = click.argument("symbol")
EXCHANGE = click.option("--exchange", help="Such as NFO [that of our instrument of that name].")


@click.group()
def broker() -> None:
    """Show what the broker holds, and leave contracts to somebody else."""


@broker.command()
@URL
@JSON
@click.pass_context
def positions(context: click.Context, url: str | None, as_json: bool) -> None:
    """Show ours, the broker's, and whose it is. Exit code 2: the broker cannot be asked."""
    answer = open_client(environment(), url).get("/broker/positions")
    _show(answer, as_json)
    context.exit(UNKNOWN if answer["unknown"] else 0)


@broker.command()
@SYMBOL
@click.option("--owner", required=True, help="Whose it is: a strategy, or a person.")
@click.option("--notes", default="", help="Kept with it.")
@EXCHANGE
@URL
@JSON
def tag(
    symbol: str, owner: str, notes: str, exchange: str | None, url: str | None, as_json: bool
) -> None:
    """Leave a contract to somebody else: what is held of it beside ours is no difference then."""
    where = _exchange(symbol, exchange)
    told = {"symbol": symbol, "exchange": where, "owner": owner, "notes": notes}
    _show(open_client(environment(), url).post("/broker/positions/tag", **told), as_json)


@broker.command()
@SYMBOL
@click.option("--reason", required=True, help="Kept with who did it and when.")
@EXCHANGE
@URL
@JSON
def untag(symbol: str, reason: str, exchange: str | None, url: str | None, as_json: bool) -> None:
    """Take a contract for ours again."""
    told = {"symbol": symbol, "exchange": _exchange(symbol, exchange), "reason": reason}
    _show(open_client(environment(), url).post("/broker/positions/untag", **told), as_json)


def _exchange(symbol: str, given: str | None) -> str:
    """Where a contract of that name is traded. Raises BadParameter."""
    if given is not None:
        return given
    try:
        root = parse(symbol).root
    except Rejected as error:
        raise click.BadParameter(f"{error}; give --exchange", param_hint="SYMBOL") from error
    found = [where for where, name in roots_of(InstrumentCatalog.shipped()) if name == root]
    if len(found) != 1:
        raise click.BadParameter(
            f"{root} is no instrument of ours: give --exchange", param_hint="SYMBOL"
        )
    return found[0]


def _show(answer: JsonObject, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    seen = from_json(BrokerPositions, answer)
    console = Console(highlight=False, soft_wrap=True)
    if seen.unknown:
        console.print(f"Unknown: {seen.unknown}.", markup=False)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("symbol", no_wrap=True)
    for name in ("ours", "broker's", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("owner")
    for leg in seen.positions:
        numbers = (f"{leg.ours:+d}", f"{leg.brokers:+d}", f"{leg.difference:+d}")
        table.add_row(leg.symbol, *numbers, leg.owner or "")
    if seen.positions:
        console.print(table)
    elif not seen.unknown:
        console.print("Nothing is held in our instruments.")
    for tagged in seen.tags:
        notes = f" ({tagged.notes})" if tagged.notes else ""
        told = f"{tagged.symbol} on {tagged.exchange} is left to {tagged.owner}{notes}."
        console.print(told, markup=False)
