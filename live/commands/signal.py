"""`signal`: send alerts as TradingView would, and print examples to send."""

import json
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TextIO

import click

from core.models import SignalType
from live.api_client import AlertAnswer, open_client
from live.clock import SystemClock
from live.environment import environment
from live.example_alerts import example_alert, positions
from live.launcher.home import Home
from live.launcher.running import running_service
from live.settings import home_of

_WORDS = {
    "executed": "done",
    "accepted": "stored, and being worked on",
    "duplicate": "a repeat of an alert that came before",
    "blocked": "understood, and not traded",
    "rejected": "refused",
    "error": "not done",
}


class _Price(click.ParamType[Decimal]):
    name = "price"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        """The price that `value` says."""
        try:
            price = Decimal(value)
        except InvalidOperation:
            price = Decimal(0)
        if not (price.is_finite() and price > 0):
            self.fail(f"{value!r}: points above 0 are expected, such as 52000.5", param, ctx)
        return price


@click.group()
def signal() -> None:
    """Send an alert, or print an example of one."""


@signal.command()
@click.argument("source", type=click.File(encoding="utf-8"), metavar="FILE|-")
@click.option("--url", help="Of the service [the one that runs on PM_HOME].")
@click.option("--json", "as_json", is_flag=True, help="Print each answer as it came.")
def send(source: TextIO, url: str | None, as_json: bool) -> None:
    """Send a payload, or several with one on each line, in their order.

    Ends with 0 when each was taken (executed, accepted, duplicate, blocked), with 1 otherwise.
    """
    client = open_client(environment(), url)
    answers = []
    for payload in _payloads(source.read()):
        answer = client.send_alert(payload.encode())
        answers.append(answer)
        click.echo(json.dumps(answer.body) if as_json else _sentence(answer))
    if not answers:
        raise click.ClickException("there is nothing to send: it holds no payload")
    if not all(answer.is_taken for answer in answers):
        click.get_current_context().exit(1)


@signal.command()
@click.argument("kind", type=click.Choice(list(SignalType), case_sensitive=False), metavar="TYPE")
@click.option("--instrument", default="GOLD_MINI", show_default=True)
@click.option("--position", help="Long_1 to Long_6, or ALL [what is usual for the type].")
@click.option("--price", type=_Price(), help="In points [about where the instrument is].")
@click.option("--stop", type=_Price(), help="The SuperTrend, in points [an ATR below the price].")
def example(
    kind: SignalType,
    instrument: str,
    position: str | None,
    price: Decimal | None,
    stop: Decimal | None,
) -> None:
    """Print a valid payload of TYPE with the present time.

    TYPE is BASE_ENTRY, PYRAMID, EXIT, EOD_MONITOR or MARKET_DATA.
    """
    if position is not None and position not in positions(kind):
        allowed = ", ".join(positions(kind)) or "none"
        raise click.BadParameter(f"{kind} takes {allowed}", param_hint="--position")
    payload = example_alert(kind, instrument, _now(), position, price, stop)
    click.echo(json.dumps(payload, indent=2))


def _now() -> datetime:
    """The time where the service lives: on practice, its clock is another."""
    running = running_service(Home(home_of(environment())))
    return SystemClock(running.clock_offset_s if running else 0.0).now()


def _payloads(text: str) -> list[str]:
    """The whole text where it is one payload, or else its lines; the service says what is wrong."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and _is_json(lines[0]) and not _is_json(text):
        return lines
    return [text] if lines else []


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _sentence(answer: AlertAnswer) -> str:
    body = answer.body
    told = _WORDS.get(answer.word, answer.word)
    if answer.word == "duplicate":
        told += f" (which is {body['details']['first_status']})"
    parts = [f"{answer.word}: {told}"]
    if "signal_id" in body:
        parts.append(f"signal {body['signal_id']}")
    parts += _size(body)
    if "code" in body:
        parts.append(f"{body['code']}: {body.get('reason', '')}")
    parts += [f"{name} {', '.join(found)}" for name, found in body.get("errors", {}).items()]
    return "; ".join(parts)


def _size(body: dict[str, Any]) -> list[str]:
    if not body.get("lots"):
        return []
    limiter = f", limited by {body['limiter']}" if "limiter" in body else ""
    return [f"{body['lots']} {'lot' if body['lots'] == 1 else 'lots'}{limiter}"]
