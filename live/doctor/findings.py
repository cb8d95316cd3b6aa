"""What a check found: fine, worth a look, or in the way; and unless it is fine, what to do."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from core.errors import PortfolioError


class Level(StrEnum):
    """How much it matters."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `advice` is empty where there is nothing to do."""

    about: str
    level: Level
    found: str
    advice: str = ""


Check = Callable[[], Iterable[Finding]]


def fine(about: str, found: str) -> Finding:
    """Nothing to do."""
    return Finding(about, Level.OK, found)


def warn(about: str, found: str, advice: str) -> Finding:
    """It runs, but not as it should."""
    return Finding(about, Level.WARN, found, advice)


def fail(about: str, found: str, advice: str) -> Finding:
    """It does not work like this."""
    return Finding(about, Level.FAIL, found, advice)


def look(about: str, check: Check, advice: str) -> list[Finding]:
    """What `check` finds; an error that it did not foresee is a failure with that `advice`."""
    try:
        return list(check())
    except (PortfolioError, OSError) as error:
        return [fail(about, str(error), advice)]
