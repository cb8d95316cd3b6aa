"""The machine's clock. Nothing else reads it; whoever needs the time is given a `Clock`."""

import time
from datetime import datetime

from core.ist import IST


class SystemClock:
    """Time as the machine tells it."""

    def now(self) -> datetime:
        """The present, aware, in IST."""
        return datetime.now(IST)  # noqa: TID251 - the one place

    def monotonic(self) -> float:
        """Seconds that only rise, for measuring."""
        return time.monotonic()
