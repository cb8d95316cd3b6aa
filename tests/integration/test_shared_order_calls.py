"""However many processes send orders, the account's calls stay within one bound together."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from redis import Redis

from brokers.factory import bucket_of_one
from core.errors import Retryable
from live.clock import SystemClock
from live.duplicates import connect_redis
from live.shared_order_calls import KEY, SharedOrderCalls
from tests.fixtures.hand_clock import HandClock

PROCESSES = 6


def of_one(redis: Redis, max_wait_s: float = 600.0) -> SharedOrderCalls:
    clock = SystemClock()
    return SharedOrderCalls(redis, bucket_of_one(PROCESSES, clock), clock, max_wait_s=max_wait_s)


def micros(redis: Redis) -> int:
    """What the server's clock shows."""
    seconds, more = redis.time()
    return int(seconds) * 1_000_000 + int(more)


def test_six_processes_get_turns_of_one_account(valkey_url: str) -> None:
    with ExitStack() as opened:
        clients = [opened.enter_context(Redis.from_url(valkey_url)) for _ in range(PROCESSES)]
        many = [of_one(client) for client in clients]
        began_us = micros(clients[0])
        with ThreadPoolExecutor(PROCESSES) as pool:
            list(pool.map(lambda one: [one.take() for _ in range(10)], many))
        acts = sorted(int(text) for text in clients[0].lrange(KEY, 0, -1))
        # The turns that were handed out last: 60 calls take eleven seconds after the first five.
        assert len(acts) == 5
        assert acts[-1] - began_us >= 11_000_000


def test_turns_of_a_quiet_account_go_at_once_and_the_sixth_waits(valkey_url: str) -> None:
    with Redis.from_url(valkey_url) as redis:
        limiter = of_one(redis)
        began_us = micros(redis)
        assert [limiter.take() for _ in range(5)] == [0.0] * 5
        wait_s = limiter.take()
        assert wait_s <= 1.0
        # It is a second after the first, however long it took to ask six times.
        assert micros(redis) + wait_s * 1_000_000 >= began_us + 1_000_000


def test_a_wait_beyond_the_bound_is_refused_and_takes_no_turn(valkey_url: str) -> None:
    with Redis.from_url(valkey_url) as redis:
        patient = of_one(redis)
        for _ in range(250):
            patient.take()
        before = redis.lrange(KEY, 0, -1)
        with pytest.raises(Retryable, match="too many order calls are waiting"):
            of_one(redis, max_wait_s=1.0).take()
        assert redis.lrange(KEY, 0, -1) == before


def test_without_redis_each_process_keeps_to_its_part() -> None:
    clock = HandClock()
    nowhere = connect_redis("redis://127.0.0.1:1/0")
    limiter = SharedOrderCalls(nowhere, bucket_of_one(PROCESSES, clock), clock)
    assert [limiter.take() for _ in range(3)] == [0.0, 1.2, 2.4]


@pytest.mark.parametrize(
    ("processes", "waits"),
    [(1, [0, 0, 0, 0, 0, 1]), (2, [0, 0, 1, 1, 2, 2]), (5, [0, 1, 2, 3]), (10, [0, 2, 4])],
)
def test_parts_of_all_processes_come_to_five_a_second(processes: int, waits: list[float]) -> None:
    bucket = bucket_of_one(processes, HandClock())
    assert [bucket.take() for _ in waits] == waits
