"""`orders`: those of which nobody knows what became, the evidence, and a person's word on them."""

import json
from collections.abc import Sequence

import click

from core.db_state_manager.json_values import from_json
from core.ist import as_ist
from core.number_text import grouped
from live.api.orders_resolve import UnknownOrderList
from live.api_client import open_client
from live.environment import environment
from live.unknown_orders import BookedOrder, UnknownOrder

URL = click.option("--url", help="Of the service [the one that runs on PM_HOME].")
JSON = click.option("--json", "as_json", is_flag=True, help="Print what the service answered.")
ROW = click.argument("row", type=click.IntRange(1))


@click.group()
def orders() -> None:
    """Show and settle orders of which nobody knows what became."""


@orders.command("list")
@URL
@JSON
def list_unknown(url: str | None, as_json: bool) -> None:
    """Show all of them."""
    answer = open_client(environment(), url).get("/orders/unknown")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    items = from_json(UnknownOrderList, answer).items
    for item in items:
        click.echo(_headline(item))
    if not items:
        click.echo("What became of every order is known.")


@orders.command()
@ROW
@URL
def show(row: int, url: str | None) -> None:
    """Show one, and the broker's rows that might be it."""
    answer = open_client(environment(), url).get("/orders/unknown")
    for item in from_json(UnknownOrderList, answer).items:
        if item.order.id == row:
            click.echo("\n".join(_evidence(item)))
            return
    raise click.ClickException(f"order {row} is not one of which nobody knows")


@orders.command()
@ROW
@click.option("--as", "order_id", help="It is that order of the broker's.")
@click.option("--never-sent", is_flag=True, help="It never reached the broker.")
@click.option("--reason", required=True, help="How that is known; kept.")
@URL
def resolve(row: int, order_id: str | None, never_sent: bool, reason: str, url: str | None) -> None:
    """Say what became of an order; what it belongs to is then carried on with."""
    if (order_id is None) is not never_sent:
        raise click.UsageError("either --as ORDER_ID or --never-sent")
    client = open_client(environment(), url)
    path = f"/orders/{row}/resolve"
    client.post(path, order_id=order_id, never_sent=never_sent, reason=reason)
    told = "was never sent" if order_id is None else f"is {order_id}"
    click.echo(f"order {row} {told}; the next sweep carries on with it")


def _headline(item: UnknownOrder) -> str:
    order, leg = item.order, item.leg
    sent = f"{as_ist(order.created_at):%d-%b %H:%M:%S}"
    what = f"{leg.side} {order.quantity} {leg.symbol} at {grouped(order.price)}"
    return f"order {order.id} of {item.instrument}, {what}, sent {sent}: {order.reason}"


def _evidence(item: UnknownOrder) -> list[str]:
    known = ", ".join(item.order.known_order_ids) or "none"
    lines = [_headline(item), f"order ids at the broker before it was sent: {known}"]
    if item.unreadable:
        return [*lines, item.unreadable]
    lines += _rows("order book", item.orders) + _rows("trade book", item.trades)
    lines.append(
        f"portfolio_manager.py orders resolve {item.order.id} --as ORDER_ID --reason TEXT, or "
        "--never-sent"
    )
    return lines


def _rows(book: str, rows: Sequence[BookedOrder]) -> list[str]:
    if not rows:
        return [f"{book}: nothing of that contract and side"]
    return [f"{book}: {_row(row)}" for row in rows]


def _row(row: BookedOrder) -> str:
    judged = "it may be this one"
    if row.is_of_ours:
        judged = "another order of ours"
    elif not row.is_new:
        judged = "was there before"
    when = "" if row.timestamp is None else f", {row.timestamp}"
    return f"{row.order_id}, {row.quantity} at {grouped(row.price)}, {row.status}{when}: {judged}"
