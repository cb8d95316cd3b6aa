"""`explain`: what became of one alert, and why."""

import json
from datetime import date

import click

from core.db_state_manager.history import SignalJourney
from core.db_state_manager.json_values import from_json
from live.api_client import JsonObject, open_client
from live.environment import environment
from live.journey_text import journey_lines


@click.command()
@click.argument("signal_id", type=click.IntRange(1))
@click.option("--url", help="Of the service [the one that runs on PM_HOME].")
@click.option("--json", "as_json", is_flag=True, help="Print what the service answered.")
def explain(signal_id: int, url: str | None, as_json: bool) -> None:
    """Tell the journey of one alert: decision, operations, orders, fills, positions, money."""
    answer = open_client(environment(), url).get(f"/signals/{signal_id}")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    for line in journey_lines(read_journey(answer)):
        click.echo(line)


def read_journey(answer: JsonObject) -> SignalJourney:
    """The journey in the service's answer; the two kinds JSON has no word for are made again."""
    intents = [
        intent | {"orders": [_with_day(order) for order in intent["orders"]]}
        for intent in answer["intents"]
    ]
    raw_body = answer["raw_body"].encode()
    return from_json(SignalJourney, answer | {"raw_body": raw_body, "intents": intents})


def _with_day(order: JsonObject) -> JsonObject:
    return order | {"trading_day": date.fromisoformat(order["trading_day"])}
