"""`python -m brokers.paper_exchange`: serve a paper exchange on loopback until it is killed."""

import json
import os
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from threading import Event, Thread

import click

from brokers.paper_exchange.api import ORDERS_PER_S, READS_PER_S, Limits
from brokers.paper_exchange.orders import Mode
from brokers.paper_exchange.pricing import Rates
from brokers.paper_exchange.replay import Tick, read_ticks, replay
from brokers.paper_exchange.server import FIRST_PRICES, HOST, OPENING_INR, Settings, build
from core.errors import PortfolioError

_HUNDRED = 100
_OWNER_ONLY = 0o077
_LOTSIZES = (1, 10, 100)


class _Named(click.ParamType[tuple[str, object]]):
    """INSTRUMENT=VALUE."""

    name = "instrument=value"

    def __init__(self, read: Callable[[str], object]) -> None:
        self._read = read

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, object]:
        """The pair that `value` says."""
        name, equals, text = value.partition("=")
        if not equals:
            self.fail(f"{value!r}: INSTRUMENT=VALUE is expected", param, ctx)
        try:
            return name, self._read(text)
        except (ValueError, InvalidOperation):
            self.fail(f"{value!r}: {text!r} is not allowed", param, ctx)


def _lotsize(text: str) -> int:
    lotsize = int(text)
    if lotsize not in _LOTSIZES:
        raise ValueError(text)
    return lotsize


def _price(text: str) -> Decimal:
    price = Decimal(text)
    if not price.is_finite() or price <= 0:
        raise ValueError(text)
    return price


@click.command()
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of its books, its key and its port.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes any free port.")
@click.option(
    "--ws-port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Of the stream of order updates; 0 takes any free port.",
)
@click.option(
    "--funds",
    type=click.FloatRange(0, 1e12),
    default=float(OPENING_INR),
    show_default=True,
    help="Opening funds in rupees.",
)
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in Mode]),
    help="At the first start; then the switch.",
)
@click.option(
    "--lotsize",
    "lotsizes",
    type=_Named(_lotsize),
    multiple=True,
    help="GOLD_MINI=1|10|100: what one lot is called.",
)
@click.option(
    "--price",
    "prices",
    type=_Named(_price),
    multiple=True,
    help="INSTRUMENT=PRICE until another price is told.",
)
@click.option(
    "--carry-pct",
    type=click.FloatRange(0, 100),
    default=float(Rates().carry) * _HUNDRED,
    show_default=True,
    help="What the forward costs over the price, % a year.",
)
@click.option(
    "--volatility-pct",
    type=click.FloatRange(0, 500),
    default=float(Rates().volatility) * _HUNDRED,
    show_default=True,
    help="What options are priced on, % a year.",
)
@click.option(
    "--orders-per-second",
    type=click.IntRange(1),
    default=ORDERS_PER_S,
    show_default=True,
    help="Limit of each order endpoint.",
)
@click.option(
    "--reads-per-second",
    type=click.IntRange(1),
    default=READS_PER_S,
    show_default=True,
    help="Limit of each other endpoint.",
)
@click.option(
    "--clock-offset-s",
    type=float,
    default=0.0,
    show_default=True,
    help="How far its clock runs ahead of the machine's, in seconds.",
)
@click.option(
    "--faults",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Scenario file (JSON) of what shall go wrong.",
)
@click.option(
    "--market-overrides",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="An operator's file; its instruments hold here too.",
)
@click.option("--bars", type=_Named(Path), multiple=True, help="INSTRUMENT=FILE of bars to replay.")
@click.option(
    "--speed",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds of bars a second.",
)
def main(
    state: Path,
    port: int,
    ws_port: int,
    funds: float,
    mode: str | None,
    lotsizes: tuple[tuple[str, int], ...],
    prices: tuple[tuple[str, Decimal], ...],
    carry_pct: float,
    volatility_pct: float,
    orders_per_second: int,
    reads_per_second: int,
    clock_offset_s: float,
    faults: Path | None,
    market_overrides: Path | None,
    bars: tuple[tuple[str, Path], ...],
    speed: float,
) -> None:
    """Serve a paper exchange that speaks OpenAlgo's API."""
    settings = Settings(
        state=state,
        port=port,
        stream_port=ws_port,
        opening_inr=Decimal(str(funds)),
        mode=None if mode is None else Mode(mode),
        rates=Rates(_fraction(carry_pct), _fraction(volatility_pct)),
        limits=Limits(orders_per_second, reads_per_second),
        lotsizes=dict(lotsizes),
        first_prices={**FIRST_PRICES, **dict(prices)},
        clock_offset_s=clock_offset_s,
        faults=faults,
        instruments=_instruments(market_overrides),
    )
    try:
        ticks = [tick for name, path in bars for tick in read_ticks(path, name)]
        _serve(settings, sorted(ticks, key=lambda tick: tick.at), speed)
    except (PortfolioError, OSError) as error:
        raise click.ClickException(str(error)) from error


def _serve(settings: Settings, ticks: list[Tick], speed: float) -> None:
    os.umask(_OWNER_ONLY)
    running = build(settings)
    stop = Event()
    if ticks:
        Thread(target=replay, args=(running.exchange, ticks, speed, stop), daemon=True).start()
    click.echo(f"paper exchange: http://{HOST}:{running.server.port}, state in {settings.state}")
    running.stream.start()
    try:
        running.server.serve_forever()
    finally:
        stop.set()
        running.stream.stop()


def _instruments(file: Path | None) -> object:
    return None if file is None else json.loads(file.read_text("utf-8")).get("instruments")


def _fraction(pct: float) -> Decimal:
    return Decimal(str(pct)) / _HUNDRED


if __name__ == "__main__":
    main()
