"""What the Signal column of an export says: the layer of an entry, the reason of an exit.

    ENTRY-15L   EOD-ENTRY-15L   PYR1-7L (the first add, so Long_2)   EXIT - Below ST
    ENTRY-5L|ATR:350|ER:0.82|STOP:51650|ST:51650|POS:Long_1          EXIT|STOP:51650|HI:52400

The lots in the text are what Pine asked for; what was traded stands in the quantity column, so the
text's lots are not read. A value of NaN, or none, counts as not given.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from core.models import MAX_LAYERS, layer_name

_ENTRY = re.compile(r"(?:EOD-)?(?:ENTRY|PYR(?P<add>[1-9]))(?:-\d+L)?", re.IGNORECASE)
_EXIT = re.compile(r"EXIT\s*-\s*(?P<reason>.+)", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d{1,12}(?:\.\d{1,12})?")
_NOT_GIVEN = ("", "NAN", "NA")


@dataclass(frozen=True, slots=True)
class EntryText:
    """An entry's layer (1..6), and the indicator values its text carries. Prices in points."""

    layer: int
    atr: Decimal | None = None
    er: float | None = None
    stop: Decimal | None = None
    supertrend: Decimal | None = None
    roc: float | None = None


def parse_entry_text(text: str) -> EntryText:
    """Read an entry's text; raises ValueError that says what is wrong with it."""
    head, *rest = text.split("|")
    match = _ENTRY.fullmatch(head.strip())
    if match is None:
        raise ValueError(f"signal {text!r} is not an entry such as ENTRY-15L or PYR1-7L")
    layer = 1 + int(match["add"] or 0)
    if layer > MAX_LAYERS:
        raise ValueError(f"signal {text!r} is add {layer - 1}, and there are {MAX_LAYERS - 1}")
    values = _values(text, rest)
    position = values.get("POS", layer_name(layer))
    if position.upper() != layer_name(layer).upper():
        raise ValueError(f"signal {text!r} is {layer_name(layer)}, but says POS:{position}")
    return EntryText(
        layer=layer,
        atr=_number(values, "ATR"),
        er=_ratio(values, "ER"),
        stop=_number(values, "STOP"),
        supertrend=_number(values, "ST"),
        roc=_ratio(values, "ROC"),
    )


def parse_exit_reason(text: str) -> str:
    """Why a trade was closed: `Below ST`; the whole head where it gives no reason. Never raises."""
    head = text.split("|")[0].strip()
    match = _EXIT.fullmatch(head)
    return match["reason"] if match else head or "EXIT"


def _values(text: str, parts: list[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for part in parts:
        key, colon, value = part.partition(":")
        key = key.strip().upper()
        if not colon or key in values:
            raise ValueError(f"signal {text!r} is not a text of KEY:VALUE, each key once")
        values[key] = value.strip()
    return values


def _number(values: dict[str, str], key: str) -> Decimal | None:
    value = values.get(key, "")
    if value.upper() in _NOT_GIVEN:
        return None
    if not _NUMBER.fullmatch(value):
        raise ValueError(f"{key}:{value} in the signal is not a number")
    return Decimal(value)


def _ratio(values: dict[str, str], key: str) -> float | None:
    number = _number(values, key)
    return None if number is None else float(number)
