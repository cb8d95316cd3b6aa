"""What was seen before is told quickly; whether it is a duplicate, the database alone decides.

Two memories in front of the journal, this process's own and one in Redis that all instances
share, say which signal a fingerprint was last stored as. Both are written after the journal is
committed and believed only when the database confirms the signal, so that one that is empty,
wrong or unreachable costs time and nothing else. After a failure Redis is left alone for a while.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from redis import Redis
from redis.exceptions import RedisError

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.records import Journalled
from core.db_state_manager.states import SignalStatus
from core.ports import Clock

Answer = TypeVar("Answer")

# Whether a remembered signal is that fingerprint's.
IS_OF = "SELECT EXISTS (SELECT FROM signal_log WHERE id = %s AND fingerprint = %s)"

REMEMBERED = 10_000
REST_S = 5.0
_KEPT_S = 24 * 60 * 60
_PATIENCE_S = 0.1
_LONGEST_ID = 18


def connect_redis(url: str) -> Redis:
    """A client that would rather fail than let an alert wait."""
    return Redis.from_url(url, socket_timeout=_PATIENCE_S, socket_connect_timeout=_PATIENCE_S)


class DuplicateDetector:
    """The two memories and their judge."""

    def __init__(self, store: DatabaseStateManager, redis: Redis | None, clock: Clock) -> None:
        self._store = store
        self._redis = redis
        self._clock = clock
        self._rests_until_s = float("-inf")
        self._seen: OrderedDict[str, int] = OrderedDict()
        self._guard = threading.Lock()

    def first_of(self, fingerprint: str) -> Journalled | None:
        """The signal that this fingerprint repeats; None where only the journal can tell.

        A failed one may be sent again, so it repeats nothing. Raises as the database does.
        """
        with self._guard:
            known = self._seen.get(fingerprint)
        if known is None:
            known = self._known_to_redis(fingerprint)
        if known is None:
            return None
        if not self._store.rows(IS_OF, (known, fingerprint))[0][0]:
            return None
        standing = self._store.signal_standing(known)
        if standing is None or standing.status is SignalStatus.FAILED:
            return None
        return Journalled(known, known, standing.status, standing.outcome)

    def remember(self, fingerprint: str, signal_id: int) -> None:
        """Keep what the journal has committed, over whatever was believed before."""
        with self._guard:
            self._seen[fingerprint] = signal_id
            self._seen.move_to_end(fingerprint)
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        self._ask(lambda redis: redis.set(_key(fingerprint), signal_id, ex=_KEPT_S))

    def _known_to_redis(self, fingerprint: str) -> int | None:
        found = self._ask(lambda redis: redis.get(_key(fingerprint)))
        if not isinstance(found, bytes) or len(found) > _LONGEST_ID:
            return None
        return int(found) if found.isdigit() else None

    def _ask(self, question: Callable[[Redis], Answer]) -> Answer | None:
        """What Redis says; nothing when it is absent, resting or in trouble."""
        if self._redis is None or self._clock.monotonic() < self._rests_until_s:
            return None
        try:
            return question(self._redis)
        except (RedisError, OSError):
            self._rests_until_s = self._clock.monotonic() + REST_S
            return None


def _key(fingerprint: str) -> str:
    return f"pm:signal:{fingerprint}"
