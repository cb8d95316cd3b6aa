"""The account's order calls are bounded over all processes of all instances, not for each.

Redis hands out the turns, by its own clock: whoever trades has all five of a second, however many
others stand by. Without Redis each process keeps to its fixed part, which is slower and never more
in sum.
"""

from redis import Redis
from redis.exceptions import RedisError

from brokers.rate_limit import DEFAULT_CALLS_PER_S, DEFAULT_MAX_WAIT_S, CallLimiter
from core.errors import Retryable
from core.ports import Clock

KEY = "pm:order_calls"
REST_S = 5.0
_MICROSECONDS = 1_000_000

# The list holds when the last calls act; a turn is one period after the one that many calls ago.
# Answers with the microseconds to wait; below zero: how long that would be, and it is not taken.
TAKE = """
local time = redis.call('time')
local now = time[1] * 1000000 + time[2]
local acts = now
local earlier = redis.call('lindex', KEYS[1], -tonumber(ARGV[1]))
if earlier and earlier + ARGV[2] > now then acts = earlier + ARGV[2] end
if acts - now > tonumber(ARGV[3]) then return now - acts end
redis.call('rpush', KEYS[1], string.format('%.0f', acts))
redis.call('ltrim', KEYS[1], -tonumber(ARGV[1]), -1)
redis.call('pexpire', KEYS[1], 60000)
return acts - now"""


class SharedOrderCalls:
    """`calls_per_s` for all who share `redis`, and `own_part` when that is in trouble."""

    def __init__(
        self,
        redis: Redis,
        own_part: CallLimiter,
        clock: Clock,
        calls_per_s: int = DEFAULT_CALLS_PER_S,
        max_wait_s: float = DEFAULT_MAX_WAIT_S,
    ) -> None:
        self._redis = redis
        self._own_part = own_part
        self._clock = clock
        self._calls_per_s = calls_per_s
        self._max_wait_s = max_wait_s
        self._rests_until_s = float("-inf")

    def take(self) -> float:
        """Take a turn; the answer is how many seconds to wait before acting on it.

        Raises Retryable, and takes nothing, when the wait would be longer than `max_wait_s`.
        """
        if self._clock.monotonic() < self._rests_until_s:
            return self._own_part.take()
        longest = int(self._max_wait_s * _MICROSECONDS)
        try:
            told = self._redis.eval(TAKE, 1, KEY, self._calls_per_s, _MICROSECONDS, longest)
        except (RedisError, OSError):
            self._rests_until_s = self._clock.monotonic() + REST_S
            return self._own_part.take()
        wait_s = int(str(told)) / _MICROSECONDS
        if wait_s < 0:
            raise Retryable(f"too many order calls are waiting: the next may go in {-wait_s:.1f} s")
        return wait_s
