"""`sync`: our books against the broker's, and reality booked on the operator's word.

Nothing in it trades. Exit code 0 says that the books agree, 1 that they differ, 2 that nobody
knows.
"""

import json
from collections.abc import Sequence
from decimal import Decimal

import click
from rich import box
from rich.console import Console
from rich.table import Table

from core.db_state_manager.json_values import from_json
from core.ist import as_ist
from core.number_text import grouped
from live.adopting import Adoptable, BookedStep
from live.adoption_plan import Step
from live.api.broker import SyncReport
from live.api.sync import AdoptionReport, LotSizes
from live.api_client import ServiceClient, open_client
from live.commands.named_numbers import Named, NamedNumber
from live.environment import environment

AGREES, DIFFERS, UNKNOWN = 0, 1, 2

NAMED = NamedNumber("a name and a number such as GOLD_MINI=100")


@click.command()
@click.option("--show", is_flag=True, help="Only show; what it does anyway without --adopt.")
@click.option("--adopt", is_flag=True, help="Book what differs, without an order. Asks first.")
@click.option("--reason", help="Why, for --adopt and --confirm-lotsize; kept.")
@click.option("--price", "prices", type=NAMED, multiple=True, help="SYMBOL=PRICE or INSTRUMENT=.")
@click.option("--stop", "stops", type=NAMED, multiple=True, help="INSTRUMENT=STOP of a new layer.")
@click.option("--position", "positions", multiple=True, help="A layer that loses its lots first.")
@click.option("--instrument", help="Adopt only what differs in this one.")
@click.option("--confirm-lotsize", "lot_size", type=NAMED, help="INSTRUMENT=LOTSIZE.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--url", help="Of the service [the one that runs on PM_HOME].")
@click.option("--json", "as_json", is_flag=True, help="Print what the service answered.")
@click.pass_context
def sync(
    context: click.Context,
    show: bool,
    adopt: bool,
    reason: str | None,
    prices: Sequence[Named],
    stops: Sequence[Named],
    positions: Sequence[str],
    instrument: str | None,
    lot_size: Named | None,
    yes: bool,
    url: str | None,
    as_json: bool,
) -> None:
    """Hold our books against the broker's. Exit code: 0 agree, 1 differ, 2 unknown."""
    if show and adopt:
        raise click.UsageError("either --show or --adopt")
    client = open_client(environment(), url)
    if lot_size is not None:
        _confirm(client, lot_size, reason, as_json)
        return
    answer = client.post("/sync/broker")
    seen = from_json(SyncReport, answer)
    if adopt and seen.agrees is False:
        if not as_json:
            _show(seen)
        wanted = [each for each in seen.adoptable if instrument in (None, each.instrument)]
        terms = _terms(wanted, reason, prices, stops, positions, yes)
        answer = client.post("/sync/adopt", instrument=instrument, **terms)
        done = from_json(AdoptionReport, answer)
        seen = done.since
        if not as_json:
            for step in done.booked:
                click.echo(_booked(step))
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        _show(seen)
    context.exit(UNKNOWN if seen.agrees is None else AGREES if seen.agrees else DIFFERS)


def _confirm(client: ServiceClient, lot_size: Named, reason: str | None, as_json: bool) -> None:
    instrument, size = lot_size
    why = reason or click.prompt("How is that known", err=True)
    if size != int(size):
        raise click.UsageError("a lot is a whole number")
    answer = client.post("/sync/lot-size", instrument=instrument, lot_size=int(size), reason=why)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    for found in from_json(LotSizes, answer).lot_sizes:
        click.echo(f"one lot of {found.instrument} is sent as {found.brokers}: confirmed")


def _terms(
    adoptable: Sequence[Adoptable],
    reason: str | None,
    prices: Sequence[Named],
    stops: Sequence[Named],
    positions: Sequence[str],
    yes: bool,
) -> dict[str, object]:
    """What an adoption needs; asked for where it was not given."""
    refused = [f"{each.instrument}: {each.reason}" for each in adoptable if each.reason]
    if refused:
        raise click.ClickException("nothing can be booked; " + "; ".join(refused))
    steps = [step for each in adoptable for step in each.steps]
    priced, stopped = dict(prices), dict(stops)
    for step in steps:
        click.echo(f"would book: {_planned(step)}", err=True)
        for leg in step.legs:
            if leg.symbol not in priced and step.instrument not in priced:
                priced[leg.symbol] = _ask(f"Price of {leg.symbol}", yes)
        if not step.is_exit and step.instrument not in stopped:
            stopped[step.instrument] = _ask(f"Stop of the new layer of {step.instrument}", yes)
    if reason is None and yes:
        raise click.UsageError("--yes needs --reason")
    why = reason or click.prompt("Reason", err=True)
    if not yes:
        click.confirm("Book this, without sending any order?", abort=True, err=True)
    return {
        "reason": why,
        "prices": {name: f"{price:f}" for name, price in priced.items()},
        "stops": {name: f"{stop:f}" for name, stop in stopped.items()},
        "position_ids": list(positions),
    }


def _ask(what: str, yes: bool) -> Decimal:
    if yes:
        raise click.UsageError(f"{what} is needed: give --price or --stop")
    answer: Named = click.prompt(
        what, err=True, value_proc=lambda text: NAMED.convert(f"price={text}", None, None)
    )
    return answer[1]


def _show(seen: SyncReport) -> None:
    console = Console(highlight=False)
    when = f"{as_ist(seen.at):%d-%b-%Y %H:%M:%S}"
    if seen.unknown:
        console.print(f"Unknown at {when}: {seen.unknown}.", soft_wrap=True, markup=False)
        return
    table = Table(title=f"Ours and the broker's at {when}", title_justify="left")
    table.box = box.SIMPLE_HEAD
    table.add_column("symbol", no_wrap=True)
    for name in ("ours", "broker's", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    kinds = {each.symbol: str(each.kind) for each in seen.differences}
    for leg in seen.positions:
        kind = kinds.get(leg.symbol, "" if leg.owner is None else f"of {leg.owner}")
        numbers = (f"{leg.ours:+d}", f"{leg.brokers:+d}", f"{leg.difference:+d}")
        table.add_row(leg.symbol, *numbers, kind)
    if seen.positions:
        console.print(table)
    for line in _words(seen):
        console.print(line, soft_wrap=True, markup=False)


def _words(seen: SyncReport) -> list[str]:
    lines = [
        f"{each.kind} {each.symbol} {each.order_id}".rstrip() + f": {each.what_to_do}"
        for each in seen.differences
    ]
    lines += [f"{each.instrument} cannot be adopted: {each.reason}" for each in _refused(seen)]
    lines += [f"{name} is being worked on and was left out." for name in seen.busy]
    lines += [f"{name} takes no entries until this is settled." for name in seen.locked]
    lines += [f"{name} takes entries again." for name in seen.unlocked]
    if seen.agrees:
        lines.append("The books agree.")
    return lines


def _refused(seen: SyncReport) -> list[Adoptable]:
    return [each for each in seen.adoptable if each.reason]


def _planned(step: Step) -> str:
    legs = ", ".join(f"{leg.side} {leg.quantity} {leg.symbol}" for leg in step.legs)
    if not step.is_exit:
        return f"a new layer of {step.lots} lots {step.instrument} ({legs})"
    layers = ", ".join(f"{close.lots} of {close.position_id}" for close in step.closes)
    return f"an exit of {step.lots} lots {step.instrument}: {layers} ({legs})"


def _booked(step: BookedStep) -> str:
    what = "exit" if step.is_exit else "new layer"
    legs = ", ".join(
        f"{leg.side} {leg.quantity} {leg.symbol} at {grouped(price)}"
        for leg, price in zip(step.legs, step.prices, strict=True)
    )
    return f"booked: {what} of {step.lots} lots, {', '.join(step.position_ids)} ({legs})"
