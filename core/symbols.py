"""One codec for contract symbols: DDMMMYY is cut at its fixed width, so a strike never eats a year.

    BANKNIFTY29DEC2656000CE   option: root, expiry, strike, CE or PE
    GOLDM04DEC26FUT           future: root, expiry

`str(parse(symbol)) == symbol` for everything that parses. A root is matched whole: GOLD, GOLDTEN
and GOLDPETAL are not GOLDM.
"""

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from core.errors import Rejected

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_ROOT = re.compile(r"[A-Z]+")
_SYMBOL = re.compile(
    r"(?P<root>[A-Z]+)(?P<day>[0-9]{2})(?P<month>[A-Z]{3})(?P<year>[0-9]{2})"
    r"(?:FUT|(?P<strike>[0-9]+(?:\.[0-9]+)?)(?P<right>CE|PE))"
)


class OptionRight(StrEnum):
    """Call or put."""

    CALL = "CE"
    PUT = "PE"


@dataclass(frozen=True, slots=True)
class FutureSymbol:
    """A future. Raises Rejected (BAD_SYMBOL) for what no symbol can say."""

    root: str
    expiry: date

    def __post_init__(self) -> None:
        _check(self.root, self.expiry)

    def __str__(self) -> str:
        return f"{self.root}{_ddmmmyy(self.expiry)}FUT"


@dataclass(frozen=True, slots=True)
class OptionSymbol:
    """An option. Raises Rejected (BAD_SYMBOL) for what no symbol can say."""

    root: str
    expiry: date
    strike: Decimal
    right: OptionRight

    def __post_init__(self) -> None:
        _check(self.root, self.expiry)
        if not self.strike.is_finite() or self.strike <= 0:
            raise _bad(f"{self.root} strike {self.strike}", "a strike is above zero")

    def __str__(self) -> str:
        strike = f"{self.strike:f}"
        if "." in strike:
            strike = strike.rstrip("0").rstrip(".")
        return f"{self.root}{_ddmmmyy(self.expiry)}{strike}{self.right.value}"


def parse(symbol: str) -> OptionSymbol | FutureSymbol:
    """Read a symbol as the broker's master writes it. Raises Rejected (BAD_SYMBOL)."""
    match = _SYMBOL.fullmatch(symbol)
    if match is None:
        raise _bad(symbol, "expected ROOT DDMMMYY FUT, or ROOT DDMMMYY STRIKE CE|PE, upper case")
    root, strike = match["root"], match["strike"]
    expiry = _expiry(symbol, match["day"], match["month"], match["year"])
    if strike is None:
        return FutureSymbol(root, expiry)
    option = OptionSymbol(root, expiry, Decimal(strike), OptionRight(match["right"]))
    if str(option) != symbol:
        raise _bad(symbol, f"a strike has no needless zeros; expected {option}")
    return option


def _expiry(symbol: str, day: str, month: str, year: str) -> date:
    try:
        return date(2000 + int(year), _MONTHS.index(month) + 1, int(day))
    except ValueError:
        raise _bad(symbol, f"{day}{month}{year} is not a date written DDMMMYY") from None


def _ddmmmyy(day: date) -> str:
    return f"{day.day:02d}{_MONTHS[day.month - 1]}{day.year % 100:02d}"


def _check(root: str, expiry: date) -> None:
    if not _ROOT.fullmatch(root):
        raise _bad(root, "a root is upper-case letters")
    if not 2000 <= expiry.year <= 2099:
        raise _bad(f"{root} {expiry.isoformat()}", "a symbol can say the years 2000 to 2099")


def _bad(symbol: str, why: str) -> Rejected:
    return Rejected("BAD_SYMBOL", f"{symbol!r} is not a contract symbol: {why}")
