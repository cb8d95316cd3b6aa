"""The bound on order calls holds in every window, however the calls come."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.rate_limit import TokenBucket
from core.errors import OutcomeUnknown, Retryable
from tests.fixtures.hand_clock import HandClock

PAUSES = st.lists(st.floats(0, 2, allow_nan=False), min_size=1, max_size=60)


def test_five_calls_go_at_once_and_the_sixth_waits_for_the_first_to_be_a_second_old() -> None:
    clock = HandClock()
    bucket = TokenBucket(clock)
    assert [bucket.take() for _ in range(5)] == [0.0] * 5
    clock.wait(0.25)
    assert bucket.take() == pytest.approx(0.75)


def test_a_token_comes_back_one_second_after_it_was_spent() -> None:
    clock = HandClock()
    bucket = TokenBucket(clock, tokens=1)
    assert bucket.take() == 0
    clock.wait(1.0)
    assert bucket.take() == 0


def test_callers_that_wait_together_are_given_different_turns() -> None:
    bucket = TokenBucket(HandClock(), tokens=2)
    assert [bucket.take() for _ in range(6)] == [0, 0, 1, 1, 2, 2]


def test_a_wait_beyond_the_bound_is_refused_and_spends_nothing() -> None:
    clock = HandClock()
    bucket = TokenBucket(clock, tokens=1, max_wait_s=1.0)
    bucket.take()
    bucket.take()
    with pytest.raises(Retryable) as refused:
        bucket.take()
    assert not isinstance(refused.value, OutcomeUnknown)
    clock.wait(1.0)
    assert bucket.take() == 1.0


@given(pauses=PAUSES, tokens=st.integers(1, 7))
def test_no_second_ever_sees_more_calls_than_there_are_tokens(
    pauses: list[float], tokens: int
) -> None:
    clock = HandClock()
    bucket = TokenBucket(clock, tokens=tokens, max_wait_s=1e9)
    acted_at = []
    for pause_s in pauses:
        clock.wait(pause_s)
        acted_at.append(clock.monotonic() + bucket.take())
    assert all(earlier <= later for earlier, later in pairwise(acted_at))
    apart = zip(acted_at, acted_at[tokens:], strict=False)
    assert all(later - earlier >= 1 - 1e-9 for earlier, later in apart)


@given(pauses=PAUSES)
def test_a_call_never_waits_longer_than_the_bound_needs(pauses: list[float]) -> None:
    clock = HandClock()
    bucket = TokenBucket(clock, max_wait_s=1e9)
    acted_at: list[float] = []
    for pause_s in pauses:
        clock.wait(pause_s)
        now = clock.monotonic()
        acted_at.append(now + bucket.take())
        is_late = acted_at[-1] > now
        assert not is_late or acted_at[-1] - acted_at[-6] == pytest.approx(1)
