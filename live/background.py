"""Everything that the leader does in the background, in one list.

What must go on without a leader is not here: alerts, the recovery of operations that nobody is at
work on, the renewal of leases, and heartbeats are each process's own, so that no election and no
hanging job can keep an exit from its end.
"""

from dataclasses import dataclass

from core.db_state_manager import DatabaseStateManager
from live.engine_threads import Pace
from live.gap_alarm import GapAlarm
from live.jobs import Job
from live.reconciliation import Reconciler

_GAPS_S = 5.0


@dataclass(frozen=True, slots=True)
class BackgroundParts:
    """What the jobs are made of."""

    store: DatabaseStateManager
    reconciler: Reconciler
    gaps: GapAlarm
    pace: Pace


def background_jobs(parts: BackgroundParts) -> tuple[Job, ...]:
    """All jobs; a name is a label of the metrics, too."""
    pace = parts.pace
    return (
        Job("reconciliation", pace.reconcile_s, lambda _epoch: _reconcile(parts)),
        Job("gap_alarm", _GAPS_S, lambda _epoch: parts.gaps.look()),
        Job("equity", pace.equity_s, lambda _epoch: _keep_equity(parts)),
    )


def _reconcile(parts: BackgroundParts) -> None:
    parts.reconciler.run()


def _keep_equity(parts: BackgroundParts) -> None:
    """One point of the equity curve; a new leader's first is left out where one is fresh."""
    open_pnl = parts.store.load_book().open_pnl()
    parts.store.record_equity(open_pnl, parts.pace.equity_s / 2)
