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


class Leadership(Protocol):
    """Who of all instances does what only one may do."""

    def epoch(self) -> int | None:
        """The epoch that this process leads under now; None while it does not lead."""
        ...
