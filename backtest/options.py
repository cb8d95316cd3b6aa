"""What a backtest is asked to do, as one checked value; the command line's options make it."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from backtest.fills import FillAt, Slippage
from backtest.signal_loader import SignalSource
from core.errors import ConfigInvalid

Command = TypeVar("Command", bound=Callable[..., Any])
HIGHEST_AMOUNT = Decimal(10**15)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """One run's inputs and assumptions.

    `signals` holds files with their instruments; by instrument, `bars` holds files and
    `timeframes` minutes. Entries are taken from `start` to `end` (dates, both included), where
    given.
    """

    signals: tuple[SignalSource, ...]
    bars: Mapping[str, Path]
    timeframes: Mapping[str, int]
    sample: bool
    capital: Decimal
    config: Path | None
    market_overrides: Path | None
    fill_at: FillAt
    slippage: Slippage
    charges: bool
    own_stops: bool
    on_bad_bars: str
    skip_bad_rows: bool
    start: date | None
    end: date | None


def read_options(given: Mapping[str, Any]) -> RunOptions:
    """Check what click parsed. Raises `click.UsageError` and `ConfigInvalid`."""
    signals = tuple(_signal_source(text) for text in given["signals"])
    bars = _once("--bars", given["bars"])
    if not (signals or bars or given["sample"]):
        replay = "--replay FILE, " if "replay" in given else ""
        raise click.UsageError(
            "nothing to test: give --bars INSTRUMENT=FILE, --signals FILE:INSTRUMENT, "
            f"{replay}or --sample for the built-in synthetic data"
        )
    if given["sample"] and (signals or bars):
        raise click.UsageError("--sample brings its own bars: leave --bars and --signals out")
    start, end = _day(given["start"]), _day(given["end"])
    if start is not None and end is not None and start > end:
        raise click.UsageError(f"--from {start} is after --to {end}")
    return RunOptions(
        signals=signals,
        bars={name: _existing("--bars", Path(file)) for name, file in bars.items()},
        timeframes={
            name: _minutes(text) for name, text in _once("--timeframe", given["timeframe"]).items()
        },
        sample=given["sample"],
        capital=amount("--capital", given["capital"]),
        config=given["config"],
        market_overrides=given["market_overrides"],
        fill_at=FillAt(given["fill"]),
        slippage=Slippage.parse(given["slippage"]),
        charges=given["charges"],
        own_stops=given["own_stops"],
        on_bad_bars=given["on_bad_bars"],
        skip_bad_rows=given["skip_bad_rows"],
        start=start,
        end=end,
    )


def options_given(ctx: click.Context) -> dict[str, str]:
    """What stands on the command line: each parameter's name with the option as it is written."""
    return {
        parameter.name: parameter.opts[0]
        for parameter in ctx.command.params
        if parameter.name is not None
        and ctx.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    }


def amount(option: str, text: str, least: Decimal | None = None) -> Decimal:
    """A number above 0, or from `least`, to 10^15; thousands separators pass.

    Raises `ConfigInvalid`.
    """
    try:
        read = Decimal(text.replace(",", "").replace("_", ""))
    except InvalidOperation:
        read = Decimal("NaN")
    low_enough = read.is_finite() and read <= HIGHEST_AMOUNT
    if not low_enough or (read <= 0 if least is None else read < least):
        lowest = "above 0" if least is None else f"from {least}"
        raise ConfigInvalid(option, text, f"a number {lowest}, at most 10^15")
    return read


def read_grid(texts: Iterable[str]) -> dict[str, tuple[object, ...]]:
    """`PATH=V1,V2` as the values of each setting; values are JSON, or else text."""
    return {
        path: tuple(_value(text) for text in values.split(","))
        for path, values in _once("--grid", texts, upper=False).items()
    }


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def input_options(command: Command) -> Command:
    """The options that say what is tested and how it is filled; shared by all backtest commands."""
    for option in reversed(_INPUT_OPTIONS):
        command = option(command)
    return command


def _pair(option: str, text: str, *, upper: bool = True) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise click.UsageError(f"{option} {text}: write NAME=VALUE")
    return (name.strip().upper() if upper else name.strip()), value.strip()


def _once(option: str, texts: Iterable[str], *, upper: bool = True) -> dict[str, str]:
    """NAME=VALUE texts by name, each name once."""
    found: dict[str, str] = {}
    for text in texts:
        name, value = _pair(option, text, upper=upper)
        if name in found:
            raise click.UsageError(f"{option}: {name} is given twice")
        found[name] = value
    return found


def _signal_source(text: str) -> SignalSource:
    source = SignalSource.parse(text)
    return SignalSource(_existing("--signals", source.path), source.instrument.upper())


def _existing(option: str, path: Path) -> Path:
    if not path.is_file():
        raise click.UsageError(f"{option}: there is no file {path}")
    return path


def _minutes(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 1440):
        raise ConfigInvalid("--timeframe", text, "minutes from 1 to 1440")
    return int(text)


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()


_DAY = click.DateTime(formats=["%Y-%m-%d"])
_INPUT_OPTIONS = (
    click.option(
        "--signals",
        multiple=True,
        metavar="FILE:INSTRUMENT",
        help="A TradingView export (.csv) or alert payloads (.jsonl), taken as signals.",
    ),
    click.option(
        "--bars",
        multiple=True,
        metavar="INSTRUMENT=FILE",
        help="Price bars (.csv: time,open,high,low,close), traded by the strategy itself; "
        "with --signals they only supply indicators and trail the stops.",
    ),
    click.option(
        "--timeframe",
        multiple=True,
        metavar="INSTRUMENT=MINUTES",
        help="Bars are resampled to this by session [75 for BANK_NIFTY, 60 for GOLD_MINI].",
    ),
    click.option("--sample", is_flag=True, help="Use the built-in synthetic bars."),
    click.option("--capital", default="5000000", show_default=True, help="Rupees to begin with."),
    click.option("--config", type=FILE, help="A portfolio_config.json."),
    click.option(
        "--market-overrides", type=FILE, help="A JSON file laid over the shipped market data."
    ),
    click.option(
        "--fill",
        type=click.Choice([moment.value for moment in FillAt]),
        default=FillAt.CLOSE.value,
        show_default=True,
        help="Fill at the deciding bar's close or at the next bar's open.",
    ),
    click.option(
        "--slippage", default="0", show_default=True, help="Each fill: 2 (ticks) or 0.02%."
    ),
    click.option(
        "--charges/--no-charges", default=True, help="Pay brokerage, taxes and fees [on]."
    ),
    click.option(
        "--own-stops/--no-own-stops",
        default=True,
        help="With --signals and --bars: let the system's stops close layers [on].",
    ),
    click.option(
        "--on-bad-bars",
        type=click.Choice(["refuse", "repair", "drop"]),
        default="refuse",
        show_default=True,
        help="What to do with bars that cannot be right.",
    ),
    click.option(
        "--skip-bad-rows", is_flag=True, help="Leave out unreadable rows, counted and listed."
    ),
    click.option("--from", "start", type=_DAY, help="Take entries from this day on."),
    click.option("--to", "end", type=_DAY, help="Take entries up to this day."),
)
