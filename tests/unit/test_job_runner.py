"""Background jobs run where it is led and under that epoch; one of them never holds up another."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo

import pytest
from apscheduler.triggers.interval import IntervalTrigger
from prometheus_client import generate_latest

from core.errors import Rejected, Retryable
from core.ist import IST
from live import metrics
from live.job_runner import JobRunner
from live.jobs import Job

_PATIENCE_S = 120.0
_OFTEN_S = 0.02


class Led:
    """A leadership that a test gives and takes."""

    def __init__(self, epoch: int | None = 7) -> None:
        self.now = epoch

    def epoch(self) -> int | None:
        return self.now


class SetBack:
    """The machine's clock as the scheduler reads it, and set back by a test."""

    def __init__(self) -> None:
        self.by = timedelta()

    def now(self, zone: tzinfo) -> datetime:
        return datetime.now(zone) - self.by  # noqa: TID251 - the machine's own


class Work:
    """A job's work: which epochs it was given, and how often."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self.epochs: list[int] = []

    def __call__(self, epoch: int) -> None:
        self.epochs.append(epoch)
        if self._error is not None:
            raise self._error

    def has_run(self, times: int = 1) -> Callable[[], bool]:
        return lambda: len(self.epochs) >= times


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.005)


@contextmanager
def running(led: Led, *jobs: Job, stopping: threading.Event | None = None) -> Iterator[JobRunner]:
    runner = JobRunner(jobs, led, stopping or threading.Event())
    runner.start()
    try:
        yield runner
    finally:
        runner.stop(0.1)


def counted(job: str, result: str) -> float:
    line = f'pm_job_turns_total{{job="{job}",result="{result}"}} '
    text = generate_latest(metrics._OWN).decode()
    return next((float(row[len(line) :]) for row in text.splitlines() if row.startswith(line)), 0)


def test_a_job_is_given_the_epoch_that_is_led_under() -> None:
    led, work = Led(7), Work()
    with running(led, Job("epochs", _OFTEN_S, work)):
        until(work.has_run())
        led.now = 9
        until(lambda: work.epochs[-1] == 9)
    assert set(work.epochs) == {7, 9}


def test_nothing_runs_where_it_is_not_led() -> None:
    led, work = Led(None), Work()
    with running(led, Job("idle", _OFTEN_S, work), Job("clock", _OFTEN_S, Work())) as runner:
        runner.begin()
        led.now = 3
        until(work.has_run())
        assert set(work.epochs) == {3}


def test_nothing_begins_once_the_process_is_to_stop() -> None:
    stopping, work, other = threading.Event(), Work(), Work()
    with running(Led(), Job("stops", _OFTEN_S, work), stopping=stopping) as runner:
        until(work.has_run())
        stopping.set()
        until(lambda: not runner.is_busy())
        done = len(work.epochs)
        with running(Led(), Job("lives", _OFTEN_S, other)):
            until(other.has_run(10))
        assert len(work.epochs) <= done + 1


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (Retryable("not now"), "retryable"),
        (Rejected("STALE_EPOCH", "another leads"), "refused"),
        (ZeroDivisionError(), "failed"),
    ],
)
def test_a_job_that_fails_has_its_next_turn_and_the_others_theirs(
    error: Exception, result: str
) -> None:
    failing, sound = Work(error), Work()
    name = f"fails_{result}"
    before = counted(name, result)
    with running(Led(), Job(name, _OFTEN_S, failing), Job("sound", _OFTEN_S, sound)):
        until(failing.has_run(3))
        until(sound.has_run(3))
    assert counted(name, result) - before >= 3 - 1


def test_a_job_that_hangs_keeps_nobody_from_a_turn_nor_the_process_from_its_end() -> None:
    released, entered, sound = threading.Event(), threading.Event(), Work()

    def hang(_epoch: int) -> None:
        entered.set()
        released.wait(_PATIENCE_S)

    with running(Led(), Job("hangs", _OFTEN_S, hang), Job("goes_on", _OFTEN_S, sound)) as runner:
        until(entered.is_set)
        until(sound.has_run(20))
        until(lambda: counted("hangs", "left_out") >= 1)
        assert runner.is_busy()
        hanging = [thread for thread in threading.enumerate() if thread.name == "job hangs"]
        assert len(hanging) == 1
        assert hanging[0].daemon
    released.set()


def test_a_leadership_begins_with_a_turn_of_each_job() -> None:
    work = Work()
    with running(Led(), Job("daily", 86_400, work)) as runner:
        runner.begin()
        until(work.has_run())


def test_each_job_has_its_pace_in_ist() -> None:
    with running(Led(None), Job("paced", 30, Work())) as runner:
        (job,) = runner._scheduler.get_jobs()
        assert isinstance(job.trigger, IntervalTrigger)
        assert (job.trigger.interval.total_seconds(), job.trigger.timezone) == (30, IST)
        assert (job.coalesce, job.max_instances) == (True, 1)
        assert job.misfire_grace_time


def test_no_turn_waits_for_a_clock_that_was_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, often, seldom = SetBack(), Work(), Work()
    for reader in ("schedulers.base", "executors.base"):
        monkeypatch.setattr(f"apscheduler.{reader}.datetime", clock)
    monkeypatch.setattr("live.job_runner.datetime", clock)
    with running(Led(), Job("often", _OFTEN_S, often), Job("seldom", 3600.0, seldom)) as runner:
        runner.begin()
        until(often.has_run())
        until(seldom.has_run())
        clock.by = timedelta(hours=5, minutes=30)
        until(often.has_run(len(often.epochs) + 3))
        until(seldom.has_run(2))
