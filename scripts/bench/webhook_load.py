"""Callers of the bench, in a process of their own; prints one JSON list of [ms, HTTP status].

`webhook_load.py alerts URL CLOCK_OFFSET_S SECONDS RATE` sends closed bars of two instruments, each
at its time whatever became of the one before; a late one counts from when it was due.
`webhook_load.py pollers URL SECONDS COUNT` looks at three pages in turn, each caller every 0.67 s.
The tokens are the one line of standard input, shared out among the callers, since each may make
only so many calls. Connections are kept.
"""

import http.client
import itertools
import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from core.ist import IST

PAGES = ("/status", "/positions", "/signals")
PRICES = {"BANK_NIFTY": 58_000, "GOLD_MINI": 128_000}
ATRS = {"BANK_NIFTY": 350, "GOLD_MINI": 900}
_SENDERS = 32
_POLL_S = 2.0 / 3
_PATIENCE_S = 30.0

Answered = tuple[float, int]


class Caller:
    """One kept connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=_PATIENCE_S
        )

    def call(
        self, method: str, path: str, headers: Mapping[str, str], body: str | None = None
    ) -> tuple[int, bytes]:
        """The status and the body; once more where a kept connection had just been closed."""
        for again in (True, False):
            try:
                self._connection.request(method, path, body, dict(headers))
                answer = self._connection.getresponse()
                return answer.status, answer.read()
            except (http.client.RemoteDisconnected, ConnectionError):
                self._connection.close()
                if not again:
                    raise
        raise AssertionError


def payload(kind: str, instrument: str, now: datetime, **fields: Any) -> dict[str, Any]:
    """An alert of `now`, its stop one ATR below its price."""
    price, atr = PRICES[instrument], ATRS[instrument]
    common = {"type": kind, "instrument": instrument, "price": price, "atr": atr}
    common |= {"timestamp": now.isoformat(), "supertrend": price - atr}
    return common | fields


def send_alerts(
    url: str, token: str, offset_s: float, seconds: float, rate: float
) -> list[Answered]:
    """Closed bars at a steady rate."""
    local = threading.local()
    headers = {"X-Webhook-Token": token, "Content-Type": "application/json"}

    def send(number: int, due_s: float) -> Answered:
        if not hasattr(local, "caller"):
            local.caller = Caller(url)
        instrument = list(PRICES)[number % 2]
        now = datetime.now(IST) + timedelta(seconds=offset_s)  # noqa: TID251 - a sender's clock
        body = json.dumps(payload("MARKET_DATA", instrument, now))
        status, _ = local.caller.call("POST", "/webhook", headers, body)
        return (time.perf_counter() - due_s) * 1000, status

    begins_s = time.perf_counter() + 0.2
    with ThreadPoolExecutor(_SENDERS) as senders:
        sent = []
        for number in range(round(seconds * rate)):
            due_s = begins_s + number / rate
            time.sleep(max(due_s - time.perf_counter(), 0))
            sent.append(senders.submit(send, number, due_s))
        return [each.result() for each in sent]


def poll(url: str, tokens: Sequence[str], seconds: float, count: int) -> list[Answered]:
    """Dashboards that are open."""
    ends_s = time.perf_counter() + seconds

    def look(number: int) -> list[Answered]:
        caller, answers = Caller(url), []
        headers = {"Authorization": f"Bearer {tokens[number % len(tokens)]}"}
        time.sleep(_POLL_S * number / count)
        for page in itertools.cycle(PAGES):
            began_s = time.perf_counter()
            if began_s >= ends_s:
                break
            status, _ = caller.call("GET", page, headers)
            answers.append(((time.perf_counter() - began_s) * 1000, status))
            time.sleep(max(began_s + _POLL_S - time.perf_counter(), 0))
        return answers

    with ThreadPoolExecutor(count) as pollers:
        return [each for answers in pollers.map(look, range(count)) for each in answers]


def main() -> None:
    """Call, then print."""
    tokens = sys.stdin.readline().split()
    what, url, *numbers = sys.argv[1:]
    given = [float(number) for number in numbers]
    if what == "alerts":
        answers = send_alerts(url, tokens[0], given[0], given[1], given[2])
    else:
        answers = poll(url, tokens, given[0], int(given[1]))
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
