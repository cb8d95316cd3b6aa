"""Writes the Pine scripts of pine/ from their one source in pine/src, with the shipped defaults.

Every number of a script is read from where the rest of the program reads it: the defaults of
`StrategyConfig`, the instruments' `trading` and `strategy` blocks, the exchanges' hours. A change
there makes the committed scripts stale, which a test notices. Run: python -m scripts.make_pine
"""

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from backtest.strategy_params import StrategyParams
from core.config import PortfolioConfig
from core.data import shipped
from core.instruments import InstrumentCatalog, InstrumentSpec
from core.models import MAX_LAYERS, StopMode

FOLDER = Path(__file__).resolve().parent.parent / "pine"
SOURCE = FOLDER / "src"

_INCLUDE = re.compile(r"^<<include (\w+)>>$", re.MULTILINE)
_VALUE = re.compile(r"<<(\w+)>>")
_CALENDARS = {"NSE": "calendar_nse", "MCX": "calendar_mcx"}
_FIRST_YEAR_OF_RULES = 2020
_WINTER = "close_outside_us_dst"
# Midnight of the day in New York is 04:00 in UTC while its summer time lasts, else 05:00.
_NEW_YORK = (
    "int onYear = year(moment, INDIA)",
    "int onMonth = month(moment, INDIA)",
    "int onDay = dayofmonth(moment, INDIA)",
    'int newYork = timestamp("America/New_York", onYear, onMonth, onDay, 0, 0, 0)',
    'int behind = newYork - timestamp("UTC", onYear, onMonth, onDay, 0, 0, 0)',
    "bool summer = behind == 4 * 3600000",
)


def make_scripts() -> dict[str, str]:
    """The content of each script by its name."""
    catalog = InstrumentCatalog.shipped()
    config = PortfolioConfig.from_mapping({}, catalog.config_defaults())
    scripts = {}
    for name, settings in config.instruments.items():
        title = "".join(word.title() for word in name.split("_"))
        params = StrategyParams.from_config(config, name)
        values = _values(title, catalog[name], settings.strategy.timeframe_min, params)
        scripts[f"{title}_TF_V8.0.pine"] = filled("strategy", values)
        scripts[f"{title}_EOD_Scout.pine"] = filled("scout", values)
    return scripts


def filled(source: str, values: Mapping[str, str]) -> str:
    """The text of `source` with its parts included and its values put in."""
    text = _part(source)
    text = _INCLUDE.sub(lambda found: _part(found[1]).rstrip("\n"), text)
    return _VALUE.sub(lambda found: values[found[1]], text)


def _part(name: str) -> str:
    return (SOURCE / f"{name}.pine").read_text(encoding="utf-8")


def _values(
    title: str, spec: InstrumentSpec, minutes: int, params: StrategyParams
) -> dict[str, str]:
    """What stands in the double angle brackets of the sources."""
    numbers = {field.name: _literal(getattr(params, field.name)) for field in fields(params)}
    hours = shipped(_CALENDARS[spec.calendar_exchange])["hours"]
    return numbers | {
        "title": title,
        "instrument": spec.name,
        "root": spec.root,
        "chart_symbol": f"{spec.calendar_exchange}:{spec.root}1!",
        "minutes": str(minutes),
        "stop_plots": "\n".join(_stop_plot(layer) for layer in range(1, MAX_LAYERS + 1)),
        "close_comment": _close_comment(spec.calendar_exchange, hours),
        "close_rule": "\n".join(_close_rule(hours)),
    }


def _literal(value: object) -> str:
    """A Python value as Pine writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.value if isinstance(value, StopMode) else str(value)


def _stop_plot(layer: int) -> str:
    shade = f"showStops ? color.new(color.red, {10 * layer}) : na"
    return f'plot(stopOf({layer}), "stop_{layer}", color={shade}, style=plot.style_linebr)'


def _recent(hours: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The regime that a chart of today begins with, and the later ones."""
    old = [row for row in hours if int(row["from"][:4]) < _FIRST_YEAR_OF_RULES]
    return old[-1:] + [row for row in hours if row not in old]


def _close_comment(exchange: str, hours: list[dict[str, Any]]) -> str:
    last = hours[-1]
    winter = last.get(_WINTER)
    known = f"{exchange}: {last['close']} since {last['from']}"
    if winter is None:
        return f"{known}, earlier times before; from core/data, by day."
    return f"{known}, {winter} while New York keeps winter time; from core/data."


def _close_rule(hours: list[dict[str, Any]]) -> list[str]:
    """The body of a Pine function that gives the close of `moment`'s day in India."""
    first, *later = _recent(hours)
    lines = list(_NEW_YORK) if any(_WINTER in row for row in (first, *later)) else []
    lines.append(f"int found = {_close_of(first)}")
    for row in later:
        year, month, day = (int(part) for part in row["from"].split("-"))
        lines.append(f"if moment >= timestamp(INDIA, {year}, {month}, {day}, 0, 0, 0)")
        lines.append(f"    found := {_close_of(row)}")
    return [f"    {line}" for line in (*lines, "found")]


def _close_of(row: Mapping[str, Any]) -> str:
    summer = _clock(row["close"])
    return f"summer ? {summer} : {_clock(row[_WINTER])}" if _WINTER in row else summer


def _clock(text: str) -> str:
    hour, minute = text.split(":")
    return f"clockOn(moment, {int(hour)}, {int(minute)})"


def main() -> None:
    """Write the scripts."""
    for name, content in make_scripts().items():
        (FOLDER / name).write_text(content, encoding="utf-8", newline="\n")
        print(f"{FOLDER / name}: {content.count(chr(10))} lines, {len(content)} characters")


if __name__ == "__main__":
    main()
