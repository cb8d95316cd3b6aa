"""The machine's clock. Nothing else reads it; whoever needs the time is given a `Clock`."""

import time
from datetime import datetime, timedelta

from core.ist import IST


class SystemClock:
    """Time as the machine tells it, or for practice so many seconds ahead of that (or behind)."""

    def __init__(self, offset_s: float = 0.0) -> None:
        self._offset = timedelta(seconds=offset_s)

    def now(self) -> datetime:
        """The present, aware, in IST."""
        return datetime.now(IST) + self._offset  # noqa: TID251 - the one place

    def monotonic(self) -> float:
        """Seconds that only rise, for measuring."""
        return time.monotonic()
