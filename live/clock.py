"""The machine's clock. Nothing else reads it; whoever needs the time is given a `Clock`."""

import time
from datetime import datetime, timedelta
from pathlib import Path

from core.ist import IST


class SystemClock:
    """Time as the machine tells it, or for practice so many seconds ahead of that (or behind)."""

    def __init__(self, offset_s: float = 0.0, offset_file: Path | None = None) -> None:
        """`offset_file`, where there is one, holds the seconds instead, and may be changed."""
        self._offset = timedelta(seconds=offset_s)
        self._offset_file = offset_file

    def now(self) -> datetime:
        """The present, aware, in IST."""
        return datetime.now(IST) + self._ahead()  # noqa: TID251 - the one place

    def _ahead(self) -> timedelta:
        if self._offset_file is None:
            return self._offset
        return timedelta(seconds=float(self._offset_file.read_text("ascii")))

    def monotonic(self) -> float:
        """Seconds that only rise, for measuring."""
        return time.monotonic()
