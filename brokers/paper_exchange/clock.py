"""The exchange's time: the machine's (for practice so far ahead of it), or a moment that is held.

The exchange is a process of its own, and this is the one place of it that reads the machine.
"""

import time
from datetime import date, datetime, timedelta

from core.ist import IST, as_ist

_SESSION_STARTS = timedelta(hours=3)


class ExchangeClock:
    """`held_at` is the moment at which the clock stands; None while it runs, `offset_s` ahead."""

    def __init__(self, held_at: datetime | None = None, offset_s: float = 0.0) -> None:
        self._held_at = held_at
        self._offset = timedelta(seconds=offset_s)

    @property
    def held_at(self) -> datetime | None:
        """The moment at which the clock stands, None while it runs."""
        return self._held_at

    def now(self) -> datetime:
        """The present, aware, in IST."""
        if self._held_at is not None:
            return self._held_at
        return datetime.now(IST) + self._offset  # noqa: TID251 - the one place

    def monotonic(self) -> float:
        """Seconds that only rise, for measuring; they run on while the clock stands."""
        return time.monotonic()

    def hold(self, moment: datetime) -> None:
        """Stand still at `moment`."""
        self._held_at = as_ist(moment)

    def advance(self, by: timedelta) -> None:
        """Stand still `by` later than now."""
        self._held_at = self.now() + by

    def release(self) -> None:
        """Run again, as far ahead of the machine as at the start."""
        self._held_at = None


def session_of(moment: datetime) -> date:
    """The broker's day: books are of one session, which ends at 03:00 IST."""
    return (as_ist(moment) - _SESSION_STARTS).date()
