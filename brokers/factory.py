"""The one way to a broker: every process gets its own client, with its share of the order calls.

The account's limits of calls hold over all processes together, so each is given a part.
"""

from brokers.messages import GatewayMode
from brokers.openalgo_client import OpenAlgoClient
from brokers.openalgo_http import GatewayAddress
from brokers.rate_limit import DEFAULT_CALLS_PER_S, TokenBucket
from brokers.read_budget import DEFAULT_READS_PER_S, ReadBudget
from core.ports import Clock


def create_broker(
    address: GatewayAddress, mode: GatewayMode, clock: Clock, order_calls_per_s: int
) -> OpenAlgoClient:
    """A client that makes at most `order_calls_per_s` order calls in any second.

    Of the reads of each endpoint it has the same part as of the order calls.
    """
    reads_per_s = DEFAULT_READS_PER_S * order_calls_per_s // DEFAULT_CALLS_PER_S
    reads = ReadBudget(clock, max(1, reads_per_s))
    limiter = TokenBucket(clock, order_calls_per_s)
    return OpenAlgoClient(address, mode, clock, limiter, reads=reads)


def order_calls_of_one(processes: int) -> int:
    """How many of the account's order calls a second one of `processes` may make: at least one."""
    return max(1, DEFAULT_CALLS_PER_S // processes)
