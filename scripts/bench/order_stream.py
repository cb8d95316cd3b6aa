"""What the stream of order updates is worth: `python -m scripts.bench.order_stream`.

Orders rest at a paper exchange until the market is moved to them. Measured is the time from the
fill to its booking, and how many calls an order took, with the stream and without it.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from brokers.openalgo_client import OpenAlgoClient
from brokers.order_updates import OrderNews
from core.migrations import migrate
from live.embedded import EmbeddedServers
from tests.fixtures.hand_clock import RunningClock
from tests.fixtures.order_desk import OWNER, Desk, carrier_of, open_desk
from tests.fixtures.order_stream import CALM, listening
from tests.fixtures.paper_faults import PaperFaults

GOLD = "GOLD_MINI"
_AWAY, _BACK, _START = 999, 127_000, 128_000
_READS = ("order_status", "tradebook", "orderbook", "quote", "symbol")
_ORDERS = ("place_order", "modify_order", "cancel_order")


class _Counting:
    """A broker whose calls are counted."""

    def __init__(self, inner: object, calls: "Counter[str]") -> None:
        self._inner = inner
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in (*_READS, *_ORDERS):
            return found

        def counted(*given: Any, **named: Any) -> Any:
            self._calls[name] += 1
            return found(*given, **named)

        return counted


def _measure(desk: Desk, news: OrderNews, rests_s: float) -> tuple[float, Counter[str]]:
    """Seconds from fill to booked, and the calls, of one order that rests for a while."""
    calls: Counter[str] = Counter()
    intent = desk.reserve_entry(GOLD, 1, 1)
    client = cast(OpenAlgoClient, _Counting(desk.client, calls))
    carrier = carrier_of(OWNER, desk.store, client, RunningClock(), news=news)
    PaperFaults(desk.paper).set("price_runs_away", endpoint="placeorder", ticks=_AWAY, times=1)
    worker = threading.Thread(target=carrier.carry_out, args=(intent,))
    worker.start()
    time.sleep(rests_s)
    filled_s = time.monotonic()
    desk.move(GOLD, _BACK)
    while not any(order.filled_quantity for order in desk.store.orders(intent.id)):
        time.sleep(0.002)
    booked_s = time.monotonic() - filled_s
    worker.join()
    desk.move(GOLD, _START)
    desk.leave(*desk.layers(GOLD))
    return booked_s, calls


@contextmanager
def _desk() -> Iterator[Desk]:
    with tempfile.TemporaryDirectory(prefix="pm-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the database has an account of its own
        with EmbeddedServers(folder, with_postgres=True, with_valkey=False) as servers:
            migrate(servers.database_url)
            with open_desk(servers.database_url, folder / "paper", "--funds", "1e9") as desk:
                yield desk


def _told(name: str, found: list[tuple[float, Counter[str]]]) -> None:
    waits_ms = sorted(wait * 1000 for wait, _ in found)
    reads = statistics.mean(sum(calls[each] for each in _READS) for _, calls in found)
    orders = statistics.mean(sum(calls[each] for each in _ORDERS) for _, calls in found)
    print(
        f"{name}: fill to booked, median {statistics.median(waits_ms):.0f} ms, "
        f"longest {waits_ms[-1]:.0f} ms; {reads:.1f} reads and {orders:.1f} order calls an order"
    )


def main() -> None:
    """Measure both and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--orders", type=int, default=20)
    options.add_argument("--rests-s", type=float, default=5.0)
    asked = options.parse_args()
    with _desk() as desk, listening(desk.paper, pace=CALM) as heard:
        for name, news in (("polled", OrderNews()), ("with the stream", heard.news)):
            # Each fill comes at another moment between two looks.
            rests = [asked.rests_s + 0.05 * number for number in range(asked.orders)]
            _told(name, [_measure(desk, news, rests_s) for rests_s in rests])


if __name__ == "__main__":
    main()
