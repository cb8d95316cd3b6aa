"""Background work that one instance at a time does: how often, and under which epoch.

A job is asked at its pace for as long as this process leads. It gets the epoch that it leads under
and hands it on with all that it writes; what was begun under an older one is refused there.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Job:
    """Work of the leader. `run` looks whether something is due, does it, and returns soon."""

    name: str
    every_s: float
    run: Callable[[int], None]
