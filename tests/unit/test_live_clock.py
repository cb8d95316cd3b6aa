"""The service's clock: with the machine, ahead of it for practice, or moved while it runs."""

from pathlib import Path

from live.clock import SystemClock

DAY_S = 86_400.0


def ahead_s(clock: SystemClock) -> float:
    return (clock.now() - SystemClock().now()).total_seconds()


def test_a_practice_clock_runs_ahead_by_its_offset() -> None:
    assert abs(ahead_s(SystemClock(-DAY_S)) + DAY_S) < 1


def test_a_clock_that_is_moved_follows_its_file_at_once(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    file.write_text("86400.0")
    clock = SystemClock(offset_file=file)
    assert abs(ahead_s(clock) - DAY_S) < 1
    file.write_text(repr(-7 * DAY_S))
    assert abs(ahead_s(clock) + 7 * DAY_S) < 1
