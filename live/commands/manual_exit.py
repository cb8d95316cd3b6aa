"""`manual-exit`: an exit that somebody did at the broker is booked, and nothing is sent."""

import json
from collections.abc import Sequence

import click

from core.db_state_manager.json_values import from_json
from core.number_text import grouped
from live.api.sync import AdoptionReport
from live.api_client import open_client
from live.commands.named_numbers import Named, NamedNumber
from live.environment import environment

AGREES, DIFFERS, UNKNOWN = 0, 1, 2

_PRICE = NamedNumber("a price such as 128100, or SYMBOL=128100", name_needed=False)


@click.command("manual-exit")
@click.argument("instrument")
@click.option(
    "--price", "prices", type=_PRICE, multiple=True, required=True, help="At what it was closed."
)
@click.option("--position", "positions", multiple=True, help="Only this layer; may be repeated.")
@click.option("--reason", required=True, help="Kept with who did it and when.")
@click.option("--force", is_flag=True, help="Although the broker still holds more than is left.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--url", help="Of the service [the one that runs on PM_HOME].")
@click.option("--json", "as_json", is_flag=True, help="Print what the service answered.")
@click.pass_context
def manual_exit(
    context: click.Context,
    instrument: str,
    prices: Sequence[Named],
    positions: Sequence[str],
    reason: str,
    force: bool,
    yes: bool,
    url: str | None,
    as_json: bool,
) -> None:
    """Book layers of INSTRUMENT as closed at the broker. Sends nothing.

    PRICE is that of the future or of the whole synthetic one, or SYMBOL=PRICE for each contract.
    Exit code: 0 the books agree then, 1 they differ, 2 unknown.
    """
    client = open_client(environment(), url)
    what = ", ".join(positions) or f"every layer of {instrument}"
    if not yes:
        click.confirm(f"Book {what} as closed, without sending any order?", abort=True, err=True)
    whole = [price for name, price in prices if not name]
    if len(whole) > 1:
        raise click.UsageError("one price of the whole; others as SYMBOL=PRICE")
    answer = client.post(
        "/manual-exit",
        instrument=instrument,
        exit_price=f"{whole[0]:f}" if whole else None,
        prices={name: f"{price:f}" for name, price in prices if name},
        position_ids=list(positions),
        reason=reason,
        force=force,
    )
    done = from_json(AdoptionReport, answer)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        click.echo("\n".join(_told(done)))
    agrees = done.since.agrees
    context.exit(UNKNOWN if agrees is None else AGREES if agrees else DIFFERS)


def _told(done: AdoptionReport) -> list[str]:
    lines = []
    for step in done.booked:
        legs = ", ".join(
            f"{leg.side} {leg.quantity} {leg.symbol} at {grouped(price)}"
            for leg, price in zip(step.legs, step.prices, strict=True)
        )
        lines.append(f"booked: exit of {step.lots} lots, {', '.join(step.position_ids)} ({legs})")
    since = done.since
    if since.unknown:
        lines.append(f"Whether the books agree is unknown: {since.unknown}.")
    lines += [f"{each.kind} {each.symbol}: {each.what_to_do}" for each in since.differences]
    if since.agrees:
        lines.append("The books agree.")
    return lines
