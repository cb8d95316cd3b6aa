"""Reads stay below the gateway's limit of each endpoint, and back off from one that says 429.

The limit is the account's, so each process is given a part of it. Polling is slowed down by this
and never broken off: a read that is too early waits for its turn.
"""

import threading
from dataclasses import dataclass, field

from brokers.rate_limit import TokenBucket
from core.ports import Clock

DEFAULT_READS_PER_S = 40
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 4.0
_LONGEST_WAIT_S = 10.0


@dataclass(slots=True)
class _Endpoint:
    """`pause_s` is 0 while the last answer was none of too many; no read before `from_s`."""

    bucket: TokenBucket
    pause_s: float = 0.0
    from_s: float = field(default=float("-inf"))


class ReadBudget:
    """`reads_per_s` of each endpoint in any second, shared by the threads of one process."""

    def __init__(self, clock: Clock, reads_per_s: int = DEFAULT_READS_PER_S) -> None:
        self._clock = clock
        self._reads_per_s = reads_per_s
        self._endpoints: dict[str, _Endpoint] = {}
        self._lock = threading.Lock()

    def take(self, endpoint: str) -> float:
        """How many seconds to wait before a read. Raises Retryable where that would be too long."""
        one = self._endpoint(endpoint)
        return max(one.bucket.take(), one.from_s - self._clock.monotonic())

    def told(self, endpoint: str, *, too_many: bool) -> None:
        """What the read was answered: one of too many doubles the pause before the next."""
        one = self._endpoint(endpoint)
        with self._lock:
            if not too_many:
                one.pause_s = 0.0
                return
            one.pause_s = min(max(one.pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
            one.from_s = self._clock.monotonic() + one.pause_s

    def _endpoint(self, endpoint: str) -> _Endpoint:
        with self._lock:
            if endpoint not in self._endpoints:
                bucket = TokenBucket(self._clock, self._reads_per_s, max_wait_s=_LONGEST_WAIT_S)
                self._endpoints[endpoint] = _Endpoint(bucket)
            return self._endpoints[endpoint]
