"""The one way to a broker: every process gets its own client, with its share of the order calls.

The account's limits of calls hold over all processes together, so each is given a part, or all of
them one limiter that they share.
"""

import time
from collections.abc import Callable

from brokers.messages import GatewayMode
from brokers.openalgo_client import OpenAlgoClient
from brokers.openalgo_http import GatewayAddress
from brokers.rate_limit import DEFAULT_CALLS_PER_S, CallLimiter, TokenBucket
from brokers.read_budget import DEFAULT_READS_PER_S, ReadBudget
from core.ports import Clock


def create_broker(
    address: GatewayAddress,
    mode: GatewayMode,
    clock: Clock,
    order_calls_per_s: int,
    limiter: CallLimiter | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> OpenAlgoClient:
    """A client that makes at most `order_calls_per_s` order calls in any second.

    Of the reads of each endpoint it has the same part as of the order calls. A `limiter` that
    others share decides on the order calls instead. `wait` lets the seconds pass that a call waits.
    """
    reads_per_s = DEFAULT_READS_PER_S * order_calls_per_s // DEFAULT_CALLS_PER_S
    reads = ReadBudget(clock, max(1, reads_per_s))
    limiter = limiter or TokenBucket(clock, order_calls_per_s)
    return OpenAlgoClient(address, mode, clock, limiter, wait, reads)


def order_calls_of_one(processes: int) -> int:
    """How many of the account's order calls a second one of `processes` may make: at least one."""
    return max(1, DEFAULT_CALLS_PER_S // processes)


def bucket_of_one(processes: int, clock: Clock) -> TokenBucket:
    """The part of one of `processes` that know nothing of each other: 5 a second over them all.

    Where there are more of them than calls, each has one in more than a second; if all began at
    the same instant, that first one would be one for each.
    """
    if processes <= DEFAULT_CALLS_PER_S:
        return TokenBucket(clock, order_calls_of_one(processes))
    return TokenBucket(clock, 1, period_s=processes / DEFAULT_CALLS_PER_S)
