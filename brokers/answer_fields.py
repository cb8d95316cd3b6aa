"""A value from an answer is exactly what was expected, or the answer told nothing.

Numbers may come as JSON numbers or as plain decimal text; nothing is assumed for what is missing.
Prices finer than the four decimals we keep are rounded to them: that is binary dust.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from brokers.messages import Contract
from brokers.openalgo_errors import AnswerUnknown
from core.ist import IST

Choice = TypeVar("Choice", bound=StrEnum)

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?")
_DAY = re.compile(r"(?P<day>[0-9]{2})-(?P<month>[A-Z]{3})-(?P<year>[0-9]{2})")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_LARGEST_POWER_OF_TEN = 15
_LONGEST_TEXT = 100
_LONGEST_NOTE = 300
_FINEST = Decimal("0.0001")
_EPOCH = datetime(1970, 1, 1, tzinfo=IST) + timedelta(hours=5, minutes=30)
_LAST_MS = 4_102_444_800_000


class AnswerFields:
    """One JSON object of an answer, read key by key. Every method raises AnswerUnknown.

    A key that is absent, null or empty text counts as missing.
    """

    def __init__(self, raw: object, what: str) -> None:
        if not isinstance(raw, Mapping):
            raise AnswerUnknown(what, "an object was expected")
        self._raw: Mapping[str, object] = raw
        self._what = what

    def has(self, key: str) -> bool:
        """Whether there is a value."""
        return self._raw.get(key) not in (None, "")

    def mentions(self, key: str) -> bool:
        """Whether the key is there, even without a value."""
        return key in self._raw

    def value(self, key: str) -> object:
        """The value as it came."""
        if not self.has(key):
            raise AnswerUnknown(self._what, f"{key} is missing")
        return self._raw[key]

    def text(self, key: str) -> str:
        """Printable text with something in it, of a length that a name or an id has."""
        return self._as_text(key, self.value(key))

    def note(self, key: str) -> str | None:
        """What is said for people only, in one line; None where nothing is. Raises nothing."""
        value = self._raw.get(key)
        text = value if isinstance(value, str) else ""
        return " ".join(text.encode("utf-8", "replace").decode().split())[:_LONGEST_NOTE] or None

    def identity(self, key: str) -> str:
        """An id: opaque text, which some brokers write as a whole number."""
        value = self.value(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.text(key)

    def number(self, key: str) -> Decimal:
        """A finite number."""
        number = as_number(self.value(key))
        if number is None:
            raise self._unreadable(key, "a number")
        return number

    def told_number(self, key: str) -> Decimal | None:
        """A number from zero that is a hint only; None where there is none. Raises nothing."""
        number = as_number(self._raw.get(key))
        return None if number is None or number < 0 else number

    def price(self, key: str) -> Decimal:
        """A number that is not negative."""
        number = self.number(key)
        if number < 0:
            raise self._unreadable(key, "a price")
        return number

    def positive(self, key: str) -> Decimal:
        """A number above zero."""
        number = self.number(key)
        if number <= 0:
            raise self._unreadable(key, "a number above zero")
        return number

    def whole(self, key: str) -> int:
        """A whole number of either sign."""
        number = self.number(key)
        if number != int(number):
            raise self._unreadable(key, "a whole number")
        return int(number)

    def count(self, key: str, at_least: int = 0) -> int:
        """A whole number from `at_least`."""
        number = self.whole(key)
        if number < at_least:
            raise self._unreadable(key, f"a whole number of at least {at_least}")
        return number

    def choice(self, key: str, kind: type[Choice]) -> Choice:
        """One of the words of `kind`, in any case."""
        word = known_word(self.text(key), kind)
        if word is None:
            raise self._unreadable(key, f"one of {', '.join(kind)}")
        return word

    def known_choice(self, key: str, kind: type[Choice]) -> Choice | None:
        """The same; None for a word that is not ours."""
        return known_word(self.text(key), kind)

    def contract(self) -> Contract:
        """The keys `symbol` and `exchange`."""
        return Contract(self.text("symbol"), self.text("exchange"))

    def moment(self, key: str) -> datetime:
        """Milliseconds since 1970, in IST."""
        milliseconds = self.count(key)
        if milliseconds >= _LAST_MS:
            raise self._unreadable(key, "milliseconds since 1970")
        return _EPOCH + timedelta(milliseconds=milliseconds)

    def rows(self, key: str) -> list["AnswerFields"]:
        """The objects of a list, which may be empty."""
        return [AnswerFields(row, self._what) for row in self.values(key)]

    def values(self, key: str) -> list[object]:
        """The values of a list, which may be empty."""
        found = self.value(key)
        if not isinstance(found, list):
            raise self._unreadable(key, "a list")
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        """The words of a list, which may be empty."""
        return tuple(self._as_text(key, value) for value in self.values(key))

    def block(self, key: str) -> "AnswerFields":
        """The object under `key`, with something in it."""
        found = AnswerFields(self.value(key), self._what)
        if not found._raw:
            raise AnswerUnknown(self._what, f"{key} is empty")
        return found

    def _as_text(self, key: str, value: object) -> str:
        text = value.strip() if isinstance(value, str) else ""
        if not text or not text.isprintable() or len(text) > _LONGEST_TEXT:
            raise self._unreadable(key, "text")
        return text

    def _unreadable(self, key: str, expected: str) -> AnswerUnknown:
        return AnswerUnknown(self._what, f"{key} is not {expected}")


def as_number(value: object) -> Decimal | None:
    """The number in a JSON value; None for what is not a sane one."""
    if isinstance(value, str):
        text = value.strip()
        if not _NUMBER.fullmatch(text):
            return None
        number = Decimal(text)
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
    else:
        return None
    if number == 0:
        return Decimal(0)
    if not number.is_finite() or number.adjusted() >= _LARGEST_POWER_OF_TEN:
        return None
    exponent = number.as_tuple().exponent
    is_finer = isinstance(exponent, int) and exponent < -4
    return number.quantize(_FINEST) if is_finer else number


def as_expiry(what: str, value: object) -> date:
    """A day written 29-DEC-26."""
    match = _DAY.fullmatch(value.upper()) if isinstance(value, str) else None
    if match is None or match["month"] not in _MONTHS:
        raise AnswerUnknown(what, "an expiry is not written DD-MMM-YY")
    try:
        month = _MONTHS.index(match["month"]) + 1
        return date(2000 + int(match["year"]), month, int(match["day"]))
    except ValueError:
        raise AnswerUnknown(what, "an expiry is not a day of the calendar") from None


def as_day(what: str, value: object) -> date:
    """A day written 2026-12-29."""
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise AnswerUnknown(what, "a date is not written YYYY-MM-DD") from None


def known_word(word: str, kind: type[Choice]) -> Choice | None:
    """The member of `kind` that `word` names in any case, or None."""
    wanted = word.strip().casefold()
    return next((member for member in kind if member.value.casefold() == wanted), None)
