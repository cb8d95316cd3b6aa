"""`capital`: what the ledger says, and money put in or taken out by the operator."""

import json
from decimal import Decimal, InvalidOperation

import click
from rich import box
from rich.console import Console
from rich.table import Table

from core.db_state_manager.json_values import from_json
from core.db_state_manager.records import LedgerRow
from core.ist import as_ist
from core.number_text import rupees
from live.api.capital import CapitalMove, CapitalSummary
from live.api_client import open_client
from live.environment import environment

URL = click.option("--url", help="Of the service [the one that runs on PM_HOME].")
JSON = click.option("--json", "as_json", is_flag=True, help="Print what the service answered.")
REASON = click.option("--reason", required=True, help="Kept in the ledger.")


class _Rupees(click.ParamType[Decimal]):
    name = "rupees"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        """The amount that `value` says."""
        try:
            amount = Decimal(value.replace(",", ""))
        except InvalidOperation:
            amount = Decimal(0)
        if not (amount.is_finite() and amount > 0 and amount == round(amount, 2)):
            self.fail(f"{value!r}: rupees such as 250000 or 2,50,000.50 are expected", param, ctx)
        return amount


AMOUNT = click.argument("amount", type=_Rupees())


@click.group()
def capital() -> None:
    """Show the account's capital, or move some in or out."""


@capital.command()
@click.option("--last", type=click.IntRange(1, 500), default=10, show_default=True)
@URL
@JSON
def show(last: int, url: str | None, as_json: bool) -> None:
    """Show realised equity, what it is made of, and the ledger's last lines."""
    client = open_client(environment(), url)
    summary = client.get("/capital/summary")
    lines = client.get("/capital/transactions", limit=last)["items"]
    if as_json:
        click.echo(json.dumps({"summary": summary, "transactions": lines}, indent=2))
        return
    console = Console(highlight=False)
    console.print(
        _summary(from_json(CapitalSummary, summary)),
        _ledger([from_json(LedgerRow, line) for line in lines]),
    )


@capital.command()
@AMOUNT
@REASON
@URL
@JSON
def deposit(amount: Decimal, reason: str, url: str | None, as_json: bool) -> None:
    """Put AMOUNT rupees in; equity_high moves with it."""
    _move("DEPOSIT", amount, reason, url, as_json)


@capital.command()
@AMOUNT
@REASON
@URL
@JSON
def withdraw(amount: Decimal, reason: str, url: str | None, as_json: bool) -> None:
    """Take AMOUNT rupees out; equity_high moves with it."""
    _move("WITHDRAW", amount, reason, url, as_json)


def _move(kind: str, amount: Decimal, reason: str, url: str | None, as_json: bool) -> None:
    client = open_client(environment(), url)
    answer = client.post("/capital/inject", type=kind, amount=f"{amount:f}", notes=reason)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    moved = from_json(CapitalMove, answer)
    click.echo(
        f"{kind.lower()} of {rupees(moved.amount)} booked; realised equity is now "
        f"{rupees(moved.closed_equity)}, highest {rupees(moved.equity_high)}"
    )


def _summary(money: CapitalSummary) -> Table:
    table = Table(title="Capital", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    table.add_column("lines", justify="right")
    table.add_column("rupees", justify="right")
    for kind in money.by_kind:
        table.add_row(kind.kind, str(kind.lines), rupees(kind.amount))
    table.add_row("realised equity", "", rupees(money.closed_equity))
    table.add_row("highest realised", "", rupees(money.equity_high))
    return table


def _ledger(lines: list[LedgerRow]) -> Table:
    table = Table(title="Last lines", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("time", "kind"):
        table.add_column(name, no_wrap=True)
    for name in ("rupees", "equity after"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what for")
    for line in lines:
        told = line.notes or line.position_id or ""
        when = f"{as_ist(line.at):%d-%b-%Y %H:%M}"
        table.add_row(when, line.kind, rupees(line.amount), rupees(line.equity_after), told)
    return table
