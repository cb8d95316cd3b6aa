"""What the service counts and times, summed over its worker processes when it is asked.

With PROMETHEUS_MULTIPROC_DIR set before the start (the launcher does), each process keeps its
figures in files of its own there. Their room on the disk is taken at the start of a process: a
page that cannot be written any more would kill it in the middle of an order.
Labels come from fixed sets only (types, answers, stable codes), so there are few series.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from brokers.order_stream import StreamEvent
from core.db_state_manager.states import SignalStatus
from core.errors import PortfolioError
from core.models import SignalType
from live.environment import environment
from live.log_file import lost_lines

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
UNREADABLE = "UNREADABLE"

_ROOM_BYTES = 512 * 1024
_QUICK_S = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_BROKER_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_OWN = CollectorRegistry()

_ALERTS = Counter(
    "pm_alerts", "Alerts answered, by type and answer.", ["type", "answer"], registry=_OWN
)
_WEBHOOK_S = Histogram(
    "pm_webhook_seconds", "From an alert's arrival to its answer.", buckets=_QUICK_S, registry=_OWN
)
_SIGNALS = Counter(
    "pm_signals_finished",
    "Signals that came to an end, by type, status and code.",
    ["type", "status", "code"],
    registry=_OWN,
)
_ORDER_CALLS = Counter(
    "pm_order_calls",
    "Calls to the broker that place, change or cancel, by their result.",
    ["call", "result"],
    registry=_OWN,
)
_ORDER_CALLS_S = Histogram(
    "pm_order_call_seconds",
    "How long those calls took.",
    ["call"],
    buckets=_BROKER_S,
    registry=_OWN,
)
_ALERT_TO_ORDER_S = Histogram(
    "pm_alert_to_order_seconds",
    "From an alert's arrival to the sending of its first order.",
    buckets=_QUICK_S,
    registry=_OWN,
)
_WATCH_LOOKS = Counter(
    "pm_watch_looks",
    "Looks of the stop watch at a held instrument: priced, or doubted.",
    ["instrument", "result"],
    registry=_OWN,
)
_WATCH_EXITS = Counter(
    "pm_watch_exits",
    "Exits that the stop watch began: bar (in place of one), or catastrophe.",
    ["instrument", "why"],
    registry=_OWN,
)
_STREAM_UP = Gauge(
    "pm_order_stream_connected",
    "Worker processes that the gateway's stream of order updates is open to.",
    registry=_OWN,
    multiprocess_mode="livesum",
)
_STREAM = Counter(
    "pm_order_stream_events",
    "Connections made, lost, not made; updates told, doubled, of the other mode, unreadable.",
    ["event"],
    registry=_OWN,
)
_PROCESSES = Gauge(
    "pm_processes", "Worker processes that live.", registry=_OWN, multiprocess_mode="livesum"
)
_LEADS = Gauge(
    "pm_leads",
    "Processes here that lead: 1 in one instance, 0 in the others.",
    registry=_OWN,
    multiprocess_mode="livesum",
)
_SPLIT_BRAINS = Counter(
    "pm_split_brains", "Times that Redis and the database named two leaders.", registry=_OWN
)
_JOB_TURNS = Counter(
    "pm_job_turns",
    "Turns of background jobs, by their result.",
    ["job", "result"],
    registry=_OWN,
)
_JOB_S = Histogram(
    "pm_job_seconds", "How long those turns took.", ["job"], buckets=_BROKER_S, registry=_OWN
)
_LOST_LINES = Gauge(
    "pm_log_lines_lost",
    "Log lines that could not be written, as far as each process has said.",
    registry=_OWN,
    multiprocess_mode="livesum",
)


def alert_answered(kind: SignalType | None, answer: str) -> None:
    """Count an answer of the webhook (executed, accepted, ...); None is an unreadable alert."""
    _ALERTS.labels(kind or UNREADABLE, answer).inc()


def webhook_began() -> Callable[[], None]:
    """Begin to time one call of the webhook; call the answer when it is answered."""
    running = ExitStack()
    running.enter_context(_WEBHOOK_S.time())
    return running.close


def signal_finished(kind: SignalType, status: SignalStatus, code: str) -> None:
    """Count a signal that came to its end."""
    _SIGNALS.labels(kind, status, code).inc()


@contextmanager
def order_call(call: str) -> Iterator[None]:
    """Time a call to the broker (place, modify, cancel) and count its result: ok, or its error."""
    with _ORDER_CALLS_S.labels(call).time():
        try:
            yield
        except PortfolioError as error:
            _ORDER_CALLS.labels(call, type(error).__name__).inc()
            raise
    _ORDER_CALLS.labels(call, "ok").inc()


def order_sent_after(seconds: float) -> None:
    """Time the way from an alert's arrival to the sending of its first order."""
    _ALERT_TO_ORDER_S.observe(seconds)


class JobResult(StrEnum):
    """How a turn of a job ended. Left out: it was late, or the last one was still at work."""

    OK = "ok"
    RETRYABLE = "retryable"
    REFUSED = "refused"
    FAILED = "failed"
    LEFT_OUT = "left_out"


def leads(*, now: bool) -> None:
    """Whether this process leads."""
    _LEADS.set(int(now))


def split_brain() -> None:
    """Count that Redis and the database named two leaders."""
    _SPLIT_BRAINS.inc()


def job_turned(job: str, result: JobResult) -> None:
    """Count a turn of a background job."""
    _JOB_TURNS.labels(job, result).inc()


@contextmanager
def job_turn(job: str) -> Iterator[None]:
    """Time a turn of a background job."""
    with _JOB_S.labels(job).time():
        yield


def watch_looked(instrument: str, *, is_priced: bool) -> None:
    """Count a look of the stop watch at a held instrument."""
    _WATCH_LOOKS.labels(instrument, "priced" if is_priced else "doubted").inc()


def watch_wanted(instrument: str, *, is_catastrophe: bool) -> None:
    """Count an exit that the stop watch began."""
    _WATCH_EXITS.labels(instrument, "catastrophe" if is_catastrophe else "bar").inc()


def stream_event(event: StreamEvent) -> None:
    """Count what happens to the stream of order updates."""
    _STREAM.labels(event).inc()
    if event in (StreamEvent.CONNECTED, StreamEvent.LOST):
        _STREAM_UP.set(event is StreamEvent.CONNECTED)


def process_began() -> None:
    """Call it in each worker, after the fork. Raises OSError where the disk has no room."""
    _PROCESSES.set(1)
    _STREAM_UP.set(0)
    _LOST_LINES.set(lost_lines())
    _ALERTS.labels(UNREADABLE, "rejected").inc(0)
    if folder := _shared_folder():
        for path in Path(folder).glob(f"*_{os.getpid()}.db"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, _ROOM_BYTES)


def exposition(*more: Collector) -> bytes:
    """Everything in Prometheus's text form, and what `more` collectors find now."""
    _LOST_LINES.set(lost_lines())
    asked = CollectorRegistry()
    for collector in more:
        asked.register(collector)
    return generate_latest(_counted()) + generate_latest(asked)


def _counted() -> CollectorRegistry:
    if not _shared_folder():
        return _OWN
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return together


def _shared_folder() -> str | None:
    return environment().get(FOLDER_VARIABLE)
