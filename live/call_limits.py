"""No caller crowds out the others: so many calls a second for each, in this process.

Callers are told apart by their token or session, never by their address, which a tunnel shares.
"""

import threading
from collections import OrderedDict

from brokers.rate_limit import TokenBucket
from core.errors import Retryable
from core.ports import Clock

_REMEMBERED = 1000


class CallLimits:
    """A bucket for each caller; the callers that were quiet longest are forgotten."""

    def __init__(self, clock: Clock, calls_per_s: int) -> None:
        self._clock = clock
        self._calls_per_s = calls_per_s
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self._guard = threading.Lock()

    def admits(self, identity: str) -> bool:
        """Whether this caller may call once more now."""
        with self._guard:
            bucket = self._buckets.get(identity)
            if bucket is None:
                bucket = TokenBucket(self._clock, self._calls_per_s, max_wait_s=0.0)
                self._buckets[identity] = bucket
            self._buckets.move_to_end(identity)
            if len(self._buckets) > _REMEMBERED:
                self._buckets.popitem(last=False)
        try:
            bucket.take()
        except Retryable:
            return False
        return True
