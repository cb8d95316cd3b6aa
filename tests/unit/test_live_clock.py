"""The service's clock: with the machine, ahead of it for practice, or moved while it runs."""

from datetime import timedelta
from pathlib import Path

from live.clock import SystemClock

DAY_S = 86_400.0


def runs_ahead(clock: SystemClock, seconds: float) -> bool:
    """Whether it is so far ahead of the machine's, whatever goes by between two looks."""
    before = SystemClock().now()
    moment = clock.now() - timedelta(seconds=seconds)
    return before <= moment <= SystemClock().now()


def test_a_practice_clock_runs_ahead_by_its_offset() -> None:
    assert runs_ahead(SystemClock(-DAY_S), -DAY_S)


def test_a_clock_that_is_moved_follows_its_file_at_once(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    file.write_text("86400.0")
    clock = SystemClock(offset_file=file)
    assert runs_ahead(clock, DAY_S)
    file.write_text(repr(-7 * DAY_S))
    assert runs_ahead(clock, -7 * DAY_S)
