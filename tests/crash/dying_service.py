"""The service of `live.wsgi`, one process of which is killed at a point that a test has named.

The test writes `2 before place_order` into a file: the second such call after that kills its own
process, with SIGKILL, before it has begun. The file is gone by then, so that nobody dies twice.
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


def create() -> Flask:
    """What gunicorn calls in each worker."""
    fate = _Fate(Path(environment()["PM_HOME"]) / ORDER)
    for owner, names in _PLACES:
        for name in names:
            setattr(owner, name, fate.around(name, getattr(owner, name)))
    return quick_service.create()


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
                count, _, wanted = self._order.read_text().partition(" ")
                if wanted != point:
                    return
                if int(count) > 1:
                    self._order.write_text(f"{int(count) - 1} {wanted}")
                    return
                self._order.unlink()
            except FileNotFoundError:
                return
            os.kill(os.getpid(), signal.SIGKILL)
