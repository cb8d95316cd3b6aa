"""What the rules' surroundings must offer them; the running service hands these in."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The present, aware, in IST."""
        ...

    def monotonic(self) -> float:
        """Seconds that only rise, for measuring."""
        ...
