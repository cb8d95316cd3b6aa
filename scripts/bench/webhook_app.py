"""What gunicorn serves in the bench: the service as it is, with its calls to the gateway timed.

Each call is a line of `gateway_calls.jsonl` in PM_HOME: whose alert, when it began, how long it
took. How many orders go out in a second is not bounded here, so that no figure is a wait for that.
"""

import json
import time
from typing import Any

import requests
from flask import Flask
from structlog.contextvars import get_contextvars

from brokers.rate_limit import TokenBucket
from live import service, wsgi
from live.api.webhook import Waiter, polling
from live.clock import SystemClock
from live.environment import environment
from live.settings import service_settings

CALLS_FILE = "gateway_calls.jsonl"
_UNBOUNDED = 100_000


def create() -> Flask:
    """The application of a worker."""
    settings = service_settings(environment())
    clock = SystemClock(settings.clock_offset_s)
    calls = (settings.home / CALLS_FILE).open("a", buffering=1)
    ask = requests.Session.request

    def timed(session: requests.Session, method: str, url: str, **options: Any) -> Any:
        began, began_s = clock.now(), time.perf_counter()
        try:
            return ask(session, method, url, **options)
        finally:
            took_s = time.perf_counter() - began_s
            whose = get_contextvars().get("signal_id")
            calls.write(json.dumps([whose, url, began.timestamp(), took_s]) + "\n")

    requests.Session.request = timed  # type: ignore[assignment]
    service.order_calls_of_one = lambda processes: _UNBOUNDED  # type: ignore[attr-defined]
    service._order_calls = lambda *_: TokenBucket(clock, _UNBOUNDED)
    return wsgi.create()


def create_unwaited() -> Flask:
    """The same, but an alert is answered as soon as it is stored."""
    service.polling = _unwaited  # type: ignore[attr-defined, assignment]
    return create()


def _unwaited(store: Any, clock: Any, *_: object) -> Waiter:
    return polling(store, clock, 0.0)
