"""Every error this project raises on purpose, named by what the caller must do.

    PortfolioError
    ├── Rejected              it did not happen and will not: do not try the same again
    │   └── OutsideCoverage   dated data does not reach that day: no entries, exits go on
    ├── Retryable             it did not happen: the same call may be made again
    ├── OutcomeUnknown        it may have happened: look before acting
    ├── Halted                trading is stopped by the operator: wait for a resume
    ├── ConfigInvalid         a setting is wrong: name it to the operator and stop
    └── InputInvalid          a file or a row cannot be read: name it to the operator and stop

Each error prints as one sentence that says what is wrong, and where it can, what to do.
"""

from datetime import date
from reprlib import Repr

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 80


class PortfolioError(Exception):
    """Base of all errors that are raised on purpose."""


class Rejected(PortfolioError):
    """It did not happen and will not. `code` is stable and meant for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class OutsideCoverage(Rejected):
    """Dated data (holidays, lots, charges) has no row for `day`."""

    def __init__(self, what: str, day: date, covered: str) -> None:
        super().__init__(
            "OUTSIDE_COVERAGE",
            f"{what} is not known for {day.isoformat()} (covered: {covered}); "
            "add the dated rows or an operator override",
        )
        self.what = what
        self.day = day
        self.covered = covered


class Retryable(PortfolioError):
    """It did not happen; the same call may be made again."""


class OutcomeUnknown(PortfolioError):
    """It may have happened; look before acting."""


class Halted(PortfolioError):
    """Trading is stopped by the operator."""


class ConfigInvalid(PortfolioError):
    """A setting is wrong. `path` is dotted, `allowed` says what would be accepted.

    The sentence shows the beginning of a value that is long or deeply nested.
    """

    def __init__(self, path: str, value: object, allowed: str) -> None:
        super().__init__(f"{path}: {_SHORT.repr(value)} is not allowed; {allowed}")
        self.path = path
        self.value = value
        self.allowed = allowed


class InputInvalid(PortfolioError):
    """An input file, or a row of it, cannot be read as asked. `line` counts from 1."""

    def __init__(self, source: str, message: str, line: int | None = None) -> None:
        where = source if line is None else f"{source}, line {line}"
        super().__init__(f"{where}: {message}")
        self.source = source
        self.line = line
