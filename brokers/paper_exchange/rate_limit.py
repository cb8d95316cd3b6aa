"""So many calls a second to each endpoint; what is refused does not count."""

from collections import deque
from threading import Lock

_WINDOW_S = 1.0


class RateLimit:
    """A moving window of one second."""

    def __init__(self, calls_per_s: int) -> None:
        self._calls_per_s = calls_per_s
        self._calls: deque[float] = deque()
        self._lock = Lock()

    @property
    def text(self) -> str:
        """How the gateway names the limit."""
        return f"{self._calls_per_s} per 1 second"

    def admits(self, at_s: float) -> bool:
        """Whether one more call at `at_s` (monotonic seconds) is within the limit; counts it."""
        with self._lock:
            while self._calls and self._calls[0] <= at_s - _WINDOW_S:
                self._calls.popleft()
            if len(self._calls) >= self._calls_per_s:
                return False
            self._calls.append(at_s)
            return True
