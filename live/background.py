"""Everything that the leader does in the background, in one list.

What must go on without a leader is not here: alerts, the recovery of operations that nobody is at
work on, the renewal of leases, and heartbeats are each process's own, so that no election and no
hanging job can keep an exit from its end.

`_kept_up`: whatever the work writes is refused once another leads. Work that begins operations
takes the epoch itself and hands it to the decision; from there on an operation is its owner's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from core.config import BackgroundConfig
from core.db_state_manager import DatabaseStateManager
from core.ports import Clock
from live.config_watch import ConfigWatch
from live.coverage_warning import CoverageWarning
from live.dead_man_ping import DeadManPing
from live.engine_threads import Pace
from live.gap_alarm import GapAlarm
from live.jobs import Job
from live.outbox_relay import OutboxRelay
from live.pre_open import PreOpenCheck
from live.reconciliation import Reconciler

_GAPS_S = 5.0
_RELAY_S = 1.0
_PRE_OPEN_S = 60.0
_CONFIGS_S = 60.0
_PING_S = 60.0
_CLEAN_UP_S = 600.0
_HOUR_S = 3600.0
_ALERTS_AT_ONCE = 1000
_PROCESS_KEPT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class BackgroundParts:
    """What the jobs are made of."""

    store: DatabaseStateManager
    config: BackgroundConfig
    clock: Clock
    pace: Pace
    reconciler: Reconciler
    gaps: GapAlarm
    relay: OutboxRelay
    pre_open: PreOpenCheck
    coverage: CoverageWarning
    configs: ConfigWatch
    ping: DeadManPing | None


def background_jobs(parts: BackgroundParts) -> tuple[Job, ...]:
    """All jobs; a name is a label of the metrics, too."""
    pace, ping = parts.pace, parts.ping
    kept_up = (
        _kept_up("reconciliation", pace.reconcile_s, parts, lambda: _reconcile(parts)),
        _kept_up("gap_alarm", _GAPS_S, parts, parts.gaps.look),
        _kept_up("equity", pace.equity_s, parts, lambda: _keep_equity(parts)),
        _kept_up("outbox_relay", _RELAY_S, parts, parts.relay.run),
        _kept_up("pre_open", _PRE_OPEN_S, parts, lambda: _check_pre_open(parts)),
        _kept_up("calendar_coverage", _HOUR_S, parts, parts.coverage.run),
        _kept_up("config_watch", _CONFIGS_S, parts, parts.configs.run),
        _kept_up("clean_up", _CLEAN_UP_S, parts, lambda: _clean_up(parts)),
    )
    if ping is None:
        return kept_up
    return (*kept_up, Job("dead_man_ping", _PING_S, lambda _epoch: ping.run()))


def _kept_up(name: str, every_s: float, parts: BackgroundParts, work: Callable[[], None]) -> Job:
    def run(epoch: int) -> None:
        with parts.store.led_by(epoch):
            work()

    return Job(name, every_s, run)


def _reconcile(parts: BackgroundParts) -> None:
    parts.reconciler.run()


def _keep_equity(parts: BackgroundParts) -> None:
    """One point of the equity curve; a new leader's first is left out where one is fresh."""
    open_pnl = parts.store.load_book().open_pnl()
    parts.store.record_equity(open_pnl, parts.pace.equity_s / 2)


def _check_pre_open(parts: BackgroundParts) -> None:
    if parts.pace.checks_pre_open:
        parts.pre_open.run()


def _clean_up(parts: BackgroundParts) -> None:
    """A batch of old alerts, and the processes that were not heard of for a week."""
    now = parts.clock.now()
    kept = timedelta(days=parts.config.keep_alerts_days)
    parts.store.forget_alerts(now - kept, _ALERTS_AT_ONCE)
    parts.store.forget_processes(now - _PROCESS_KEPT)
