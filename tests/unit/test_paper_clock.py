"""The exchange's clock: with the machine, ahead of it for practice, or held."""

from datetime import datetime, timedelta

from brokers.paper_exchange.clock import ExchangeClock
from core.ist import IST
from live.clock import SystemClock

DAY_S = 86_400.0
HELD = datetime(2026, 1, 5, 10, 30, tzinfo=IST)


def runs_ahead(clock: ExchangeClock, seconds: float) -> bool:
    """Whether it is so far ahead of the machine's, whatever goes by between two looks."""
    before = SystemClock().now()
    moment = clock.now() - timedelta(seconds=seconds)
    return before <= moment <= SystemClock().now()


def test_a_practice_clock_runs_ahead_by_its_offset() -> None:
    assert runs_ahead(ExchangeClock(offset_s=DAY_S), DAY_S)
    assert runs_ahead(ExchangeClock(), 0)


def test_a_held_moment_is_what_it_is_whatever_the_offset() -> None:
    clock = ExchangeClock(HELD, DAY_S)
    assert clock.now() == HELD
    clock.advance(timedelta(minutes=1))
    assert clock.now() == HELD + timedelta(minutes=1)


def test_a_released_clock_runs_ahead_again() -> None:
    clock = ExchangeClock(HELD, -DAY_S)
    clock.release()
    assert clock.held_at is None
    assert runs_ahead(clock, -DAY_S)
