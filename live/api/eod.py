"""The end of each instrument's day, as the calendar has it and as far as it has come."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from core.db_state_manager.end_of_day import EodAction, EodRun
from core.db_state_manager.records import Outcome
from core.db_state_manager.states import EodPhase, SignalStatus
from core.eod_executor import held_expiries
from core.eod_monitor import ScoutAlert
from core.eod_scheduler import EodScheduler, EodWindow, NoWindow
from core.ist import as_ist
from core.models import SignalType, layer_name
from live.api.rest import Room
from live.api.schemas import schema_of
from live.web_parts import WebParts


@dataclass(frozen=True, slots=True)
class EodTimes:
    """The moments of a day's end; `entries_refused` is why nothing is opened then."""

    bar_opens: datetime
    scout_from: datetime
    judge_at: datetime
    order_at: datetime
    chase_at: datetime
    ends_at: datetime
    closes_at: datetime
    entries_refused: str | None


@dataclass(frozen=True, slots=True)
class LastScoutAlert:
    """What the Scout said last; `sent_at` is null where it does not say."""

    signal_id: int
    received_at: datetime
    sent_at: datetime | None
    price: Decimal


@dataclass(frozen=True, slots=True)
class EodSignal:
    """A signal that a day's end asked for; without an id, not ordered (yet)."""

    type: SignalType
    position: str
    signal_id: int | None
    status: SignalStatus | None
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class EodProgress:
    """How far a day's end has come, and what it came to."""

    phase: EodPhase
    verdict: str
    reason: str
    judged_signal_id: int | None
    judged_at: datetime
    ordered_at: datetime | None
    ended_at: datetime | None
    epoch: int
    signals: tuple[EodSignal, ...]


@dataclass(frozen=True, slots=True)
class InstrumentEod:
    """One instrument's. `times` are null on a day without an end, for the reason in `no_times`.

    `progress` is null until it is judged, which is at `judge_at`.
    """

    instrument: str
    enabled: bool
    day: date
    times: EodTimes | None
    no_times: str | None
    last_alert: LastScoutAlert | None
    progress: EodProgress | None


@dataclass(frozen=True, slots=True)
class EodStatus:
    """Today's ends of day."""

    at: datetime
    instruments: tuple[InstrumentEod, ...]


def eod_room(parts: WebParts) -> Room:
    """GET /eod/status."""
    room = Room("eod", __name__, description="The end of the day")
    reads = parts.reads
    scheduler = EodScheduler(parts.config, parts.catalog, parts.calendar)

    @room.get_from("/eod/status", schema_of(EodStatus))
    def status() -> EodStatus:
        """Each instrument's end of day: when it is, how far it has come, what came of it."""
        now = as_ist(parts.clock.now())
        return EodStatus(now, tuple(instrument(name, now.date()) for name in parts.instruments))

    def instrument(name: str, day: date) -> InstrumentEod:
        window = scheduler.window(name, day, held_expiries(reads, name))
        run = reads.eod_run(name, day)
        return InstrumentEod(
            name,
            parts.config.instruments[name].eod.enabled,
            day,
            _times(window) if isinstance(window, EodWindow) else None,
            window.reason if isinstance(window, NoWindow) else None,
            _last(reads.last_scout_alert(name)),
            None if run is None else _progress(run, reads.eod_actions(name, day)),
        )

    return room


def _times(window: EodWindow) -> EodTimes:
    refused = window.entries_refused
    return EodTimes(
        window.bar_opens,
        window.scout_from,
        window.judge_at,
        window.order_at,
        window.chase_at,
        window.ends_at,
        window.closes_at,
        None if refused is None else refused.reason,
    )


def _last(found: ScoutAlert | None) -> LastScoutAlert | None:
    if found is None:
        return None
    return LastScoutAlert(
        found.signal_id, found.received_at, found.alert.sent_at, found.alert.price
    )


def _progress(run: EodRun, actions: tuple[EodAction, ...]) -> EodProgress:
    return EodProgress(
        run.phase,
        run.verdict,
        run.reason,
        run.judged_signal_id,
        run.judged_at,
        run.ordered_at,
        run.ended_at,
        run.epoch,
        tuple(_signal(action) for action in actions),
    )


def _signal(action: EodAction) -> EodSignal:
    signal = action.signal
    position = layer_name(signal.layer)
    return EodSignal(signal.type, position, action.signal_id, action.status, action.outcome)
