"""Jobs run at their pace in the process that leads, and in no other; none can hold up another.

Every process has the turns; a turn begins only under an epoch, which the job hands on with what it
writes. Each turn has a thread of its own, and one job has one turn at a time: one that hangs takes
neither the others' turns nor keeps the process from ending. A job that is to find an hour of the
day looks often and asks its own clock: turns follow the machine's, and where that is set back they
do not wait until it is as late again.
"""

import logging
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    JobEvent,
    JobExecutionEvent,
)
from apscheduler.executors.base import BaseExecutor, run_job
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from core.errors import OutcomeUnknown, Rejected, Retryable
from core.ist import IST
from core.ports import Leadership
from live.jobs import Job
from live.logs import correlated
from live.metrics import JobResult, job_turn, job_turned

# A turn that comes later than this is left out: the next one is due anyway.
_GRACE_S = 30
_LOOK_S = 0.02
_LONGEST_SLEEP_S = 1.0
# A clock that is only being corrected brings nothing forward.
_SLACK = timedelta(seconds=1)
_LOG = logging.getLogger(__name__)


class JobRunner:
    """The jobs of one process; start it after the fork."""

    def __init__(
        self, jobs: Sequence[Job], leadership: Leadership, stopping: threading.Event
    ) -> None:
        """No turn begins once `stopping` is set."""
        self._leadership = leadership
        self._stopping = stopping
        self._running: Counter[str] = Counter()
        self._guard = threading.Lock()
        self._scheduler = _SteadyScheduler(
            timezone=IST,
            executors={"default": _ThreadEach()},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": _GRACE_S},
        )
        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
        for job in jobs:
            # A trigger does not take the scheduler's zone by itself.
            trigger = IntervalTrigger(seconds=job.every_s, timezone=IST)
            self._scheduler.add_job(self._turn, trigger, [job], id=job.name)
        self._scheduler.add_listener(_left_out, EVENT_JOB_MAX_INSTANCES | EVENT_JOB_MISSED)
        self._scheduler.add_listener(_broken, EVENT_JOB_ERROR)

    def is_busy(self) -> bool:
        """Whether some job is at work."""
        return self._running.total() > 0

    def begin(self) -> None:
        """A leadership began: each job has its first turn at once."""
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=datetime.now(IST))  # noqa: TID251 - the scheduler's own clock

    def start(self) -> None:
        """Let turns come."""
        self._scheduler.start()

    def stop(self, patience_s: float) -> None:
        """No more turns; wait for those at work, but not for ever."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        ended = threading.Event()
        for _ in range(int(patience_s / _LOOK_S)):
            if not self.is_busy():
                return
            ended.wait(_LOOK_S)
        _LOG.warning("still at work at the end: %s", ", ".join(+self._running))

    def _turn(self, job: Job) -> None:
        if self._stopping.is_set():
            return
        epoch = self._leadership.epoch()
        if epoch is None:
            return
        self._count(job, 1)
        try:
            with correlated(job=job.name, epoch=epoch), job_turn(job.name):
                job_turned(job.name, self._result(job, epoch))
        finally:
            self._count(job, -1)

    def _result(self, job: Job, epoch: int) -> JobResult:
        try:
            job.run(epoch)
        except (Retryable, OutcomeUnknown) as error:
            _LOG.warning("%s: at its next turn again: %s", job.name, error)
            return JobResult.RETRYABLE
        except Rejected as error:
            _LOG.warning("%s: refused: %s", job.name, error)
            return JobResult.REFUSED
        except Exception:
            _LOG.exception("%s failed", job.name)
            return JobResult.FAILED
        return JobResult.OK

    def _count(self, job: Job, step: int) -> None:
        with self._guard:
            self._running[job.name] += step


class _SteadyScheduler(BackgroundScheduler):  # type: ignore[misc]
    """Looks often, and sees by a turn that is further off than its pace that the clock went back.

    A machine that took its hardware clock for UTC goes back by 5:30 hours when it asks the network.
    """

    def _process_jobs(self) -> float | None:
        now = datetime.now(IST)  # noqa: TID251 - the scheduler's own clock
        for job in self.get_jobs():
            due = job.next_run_time
            if due is not None and due - now > job.trigger.interval + _SLACK:
                _LOG.warning("the clock was set back: %s has its turn now", job.id)
                job.modify(next_run_time=now)
        sleep_s: float | None = super()._process_jobs()
        return None if sleep_s is None else min(sleep_s, _LONGEST_SLEEP_S)


class _ThreadEach(BaseExecutor):  # type: ignore[misc]
    """A thread for each turn, which ends with the process at the latest."""

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        threading.Thread(
            target=self._run, args=(job, run_times), name=f"job {job.id}", daemon=True
        ).start()

    def _run(self, job: Any, run_times: list[datetime]) -> None:
        events = run_job(job, job._jobstore_alias, run_times, self._logger.name)
        self._run_job_success(job.id, events)


def _left_out(event: JobEvent) -> None:
    job_turned(event.job_id, JobResult.LEFT_OUT)


def _broken(event: JobExecutionEvent) -> None:
    """What a turn did not foresee outside its job."""
    _LOG.error("a turn of %s broke: %r", event.job_id, event.exception)
    job_turned(event.job_id, JobResult.FAILED)
