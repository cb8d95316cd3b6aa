"""The service of `live.wsgi`, in which somebody is killed at a point that a test has named.

The test writes `2 before place_order` into a file: the second such call after that kills its own
process, with SIGKILL, before it has begun. After a colon others may be named, by process or, below
zero, by group: then they are killed instead; or `stop`: then it stops until it is told to go on,
and says in another file who it is. The first file is gone by then, so that it happens once.
"""

import functools
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask

from brokers.openalgo_client import OpenAlgoClient
from core.db_state_manager import DatabaseStateManager, intents
from live.environment import environment
from tests.crash import quick_service

ORDER = "die-at"
STOPPED = "stopped"
_PLACES: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (
        DatabaseStateManager,
        (
            "journal_signal",
            "claim_signals",
            "decide_and_reserve",
            "take_intent",
            "move_intent",
            "record_send_intent",
            "record_order_id",
            "book_fill",
            "move_leg",
            "complete_intent",
            "finish_signal",
        ),
    ),
    (OpenAlgoClient, ("place_order",)),
    # Inside the transactions of a decision and of a booking.
    (intents, ("insert_legs", "append_event")),
)


def create(lease_s: float = quick_service.PACE.lease_s) -> Flask:
    """What gunicorn calls in each worker; nobody takes over from it before `lease_s`."""
    fate = _Fate(Path(environment()["PM_HOME"]) / ORDER)
    for owner, names in _PLACES:
        for name in names:
            setattr(owner, name, fate.around(name, getattr(owner, name)))
    return quick_service.create(lease_s)


class _Fate:
    def __init__(self, order: Path) -> None:
        self._order = order
        self._guard = threading.Lock()

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, with a chance to die before and after it."""

        @functools.wraps(call)
        def either_side(*given: Any, **named: Any) -> Any:
            self._meet(f"before {name}")
            answer = call(*given, **named)
            if name != "claim_signals" or answer:
                self._meet(f"after {name}")
            return answer

        return either_side

    def _meet(self, point: str) -> None:
        with self._guard:
            try:
                order, _, named = self._order.read_text().partition(":")
                count, _, wanted = order.partition(" ")
                if wanted != point:
                    return
                if int(count) > 1:
                    self._order.write_text(f"{int(count) - 1} {wanted}:{named}")
                    return
                taken = self._order.rename(self._order.with_suffix(".taken"))
            except FileNotFoundError:
                return
            if named == "stop":
                self._stop(taken)
                return
            victims = [int(each) for each in named.split()] or [os.getpid()]
            # Others first: the file tells the test that all of it has happened, or happens now.
            for victim in sorted(victims, reverse=True):
                if victim in (os.getpid(), -os.getpgrp()):
                    taken.unlink()
                os.kill(victim, signal.SIGKILL)
            taken.unlink()

    def _stop(self, taken: Path) -> None:
        told = taken.with_name(STOPPED)
        told.write_text(str(os.getpid()))
        taken.unlink()
        # This very thread takes the signal: one for the process would let it run on for a moment,
        # until another thread has been scheduled to take it.
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
