"""`rollover`: what has to leave its contract and by when, what was rolled, and begin it now."""

import json
from collections.abc import Iterable

import click

from core.db_state_manager.json_values import from_json
from core.ist import as_ist
from core.number_text import grouped, rupees
from live.api.rollover import RolloverReport, RolloverScan, RolloverStatus
from live.api_client import open_client
from live.environment import environment
from live.roll_planning import RollPlan
from live.rollover_executor import RollTried
from live.rollover_scanner import Expiring

URL = click.option("--url", help="Of the service [the one that runs on PM_HOME].")
JSON = click.option("--json", "as_json", is_flag=True, help="Print what the service answered.")


@click.group()
def rollover() -> None:
    """Move positions to the next contract, or see what is due."""


@rollover.command()
@URL
@JSON
def scan(url: str | None, as_json: bool) -> None:
    """Show what is held in which contract, and until when."""
    answer = open_client(environment(), url).get("/rollover/scan")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    found = from_json(RolloverScan, answer)
    if not found.enabled:
        click.echo("rollover.enabled is false: nothing is rolled, and what is due is closed")
    for each in found.expiring:
        click.echo(_line(each))
    if not found.expiring:
        click.echo("Nothing is held.")


@rollover.command()
@URL
@JSON
def status(url: str | None, as_json: bool) -> None:
    """Show what is being carried out, and what was rolled last."""
    answer = open_client(environment(), url).get("/rollover/status")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    found = from_json(RolloverStatus, answer)
    for each in found.working:
        what = f"{each.action} of {each.lots} lots of {each.instrument}"
        click.echo(f"operation {each.intent_id}: {what}, {each.state} ({each.reason})")
    for roll in found.rolls:
        click.echo(
            f"{as_ist(roll.at):%d-%b %H:%M} {roll.position_id}: {roll.near} at "
            f"{grouped(roll.near_close)} to {roll.far} at {grouped(roll.far_open)}, basis "
            f"{grouped(roll.basis)}, charges {rupees(roll.charges)}"
        )
    if not (found.working or found.rolls):
        click.echo("Nothing is being rolled, and nothing was.")


@rollover.command()
@click.option("--dry-run", is_flag=True, help="Show legs, quotes, basis and cost; send nothing.")
@click.option("--instrument", help="Only this one.")
@click.option("--reason", help="Why; kept. Needed unless it is a dry run.")
@URL
@JSON
def execute(
    dry_run: bool, instrument: str | None, reason: str | None, url: str | None, as_json: bool
) -> None:
    """Begin what is due now: its roll, or its end where it is too late for one."""
    if not (dry_run or reason):
        raise click.UsageError("--reason TEXT, or --dry-run")
    client = open_client(environment(), url)
    asked = {"reason": reason or "a dry run", "dry_run": dry_run, "instrument": instrument}
    answer = client.post("/rollover/execute", **asked)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    found = from_json(RolloverReport, answer)
    for tried in found.instruments:
        click.echo("\n".join(_tried(tried)))
    if not found.instruments:
        click.echo("Nothing is due.")


def _line(each: Expiring) -> str:
    lots = sum(layer.lots for layer in each.layers)
    told = {
        "KEEP": f"rolled from {each.opens:%d-%b}",
        "ROLL": "to be rolled",
        "EXIT": "to be closed",
    }
    by_rule = " (by the rule alone: its holidays are not published)" if each.provisional else ""
    return (
        f"{each.instrument} {each.expiry:%d-%b-%Y}: {len(each.layers)} layers, {lots} lots, "
        f"{told[each.step.value]}; closed from {as_ist(each.exit_from):%d-%b %H:%M}, gone by "
        f"{as_ist(each.gone_by):%d-%b %H:%M}{by_rule}"
    )


def _tried(tried: RollTried) -> Iterable[str]:
    code = f" {tried.code}" if tried.code else ""
    yield f"{tried.instrument}: {tried.step} {tried.result}{code}: {tried.reason}"
    if tried.plan is not None:
        yield from _plan(tried.plan)


def _plan(plan: RollPlan) -> Iterable[str]:
    yield f"  from {plan.near_expiry:%d-%b-%Y} to {plan.far_expiry:%d-%b-%Y}"
    for leg in (*plan.closes, *plan.opens):
        yield f"  {leg.purpose} {leg.side} {leg.quantity} {leg.symbol} ({leg.lots} lots)"
    for quote in plan.quotes:
        yield f"  {quote.symbol} {quote.bid} / {quote.ask}, open interest {quote.open_interest}"
    yield f"  basis {grouped(plan.basis)} points, half of the spreads {rupees(plan.spread_inr)}"
    yield from (f"  {note}" for note in plan.notes)
