"""Brings back a child that died: at once the first time, then after pauses that grow.

A child that ran calmly for a while has its first time again.
"""

import logging
from dataclasses import dataclass
from typing import Protocol

from core.errors import PortfolioError

LOOK_S = 0.1
_LONGEST_PAUSE_S = 30.0
_CALM_S = 60.0
_LOG = logging.getLogger(__name__)


class Child(Protocol):
    """A program that is started, ends, and can be started again."""

    @property
    def name(self) -> str:
        """What it is called in the log."""
        ...

    @property
    def pid(self) -> int | None:
        """Its process, if it was started."""
        ...

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs, or if it never did."""
        ...

    def start(self) -> None:
        """Start it, again if need be."""
        ...

    def stop(self) -> None:
        """End it in order."""
        ...


@dataclass(slots=True)
class Watched:
    """A child, and how it fared: starts since it was last calm, and when to look again."""

    child: Child
    restarts: int = 0
    due_s: float = 0.0

    def look(self, now_s: float) -> None:
        """Start it again if it died and its pause is over. `now_s` only rises."""
        code = self.child.exit_code
        if code is None:
            if now_s > self.due_s + _CALM_S:
                self.restarts = 0
            return
        if now_s < self.due_s:
            return
        self.restarts += 1
        self.due_s = now_s + min(_LONGEST_PAUSE_S, 2.0**self.restarts)
        _LOG.warning("%s ended with code %d, starting it again", self.child.name, code)
        try:
            self.child.start()
        except (PortfolioError, OSError) as error:
            self.child.stop()
            _LOG.error("%s, next try in %.0f s", error, self.due_s - now_s)
        else:
            _LOG.info("%s runs again", self.child.name)
