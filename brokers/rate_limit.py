"""No more than so many order calls in any second, whatever they ask for.

A bucket of tokens, each of which comes back exactly one period after it was spent. So the bound
holds in every window of that length, which a bucket refilled at a steady rate does not give.
"""

import threading
from collections import deque
from typing import Protocol

from core.errors import Retryable
from core.ports import Clock

DEFAULT_CALLS_PER_S = 5
DEFAULT_MAX_WAIT_S = 5.0


class CallLimiter(Protocol):
    """Hands out turns to call."""

    def take(self) -> float:
        """Seconds to wait before acting. Raises Retryable when that would be too long."""
        ...


class TokenBucket:
    """`tokens` calls in any `period_s` seconds, shared by the threads of one process."""

    def __init__(
        self,
        clock: Clock,
        tokens: int = DEFAULT_CALLS_PER_S,
        period_s: float = 1.0,
        max_wait_s: float = DEFAULT_MAX_WAIT_S,
    ) -> None:
        self._clock = clock
        self._period_s = period_s
        self._max_wait_s = max_wait_s
        self._spent: deque[float] = deque([float("-inf")] * tokens, maxlen=tokens)
        self._lock = threading.Lock()

    def take(self) -> float:
        """Spend a token; the answer is how many seconds to wait before acting on it.

        Raises Retryable, and spends nothing, when the wait would be longer than `max_wait_s`.
        """
        with self._lock:
            now = self._clock.monotonic()
            acts_at = max(now, self._spent[0] + self._period_s)
            wait_s = acts_at - now
            if wait_s > self._max_wait_s:
                raise Retryable(
                    f"too many order calls are waiting: the next may go in {wait_s:.1f} s"
                )
            self._spent.append(acts_at)
            return wait_s
