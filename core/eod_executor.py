"""The leader's work at the end of each instrument's day: judge, order, and see it to its end.

Each look does what is due at that moment and returns; what is ordered goes through the journal to
the engine, as every signal does, bound to the leader's epoch. Whoever leads next goes on from the
stored phase, so that a day is judged once and ordered once whatever happens between.
It talks to the database alone, and so it is in core; the executors of orders are in live.
"""

import logging
from collections.abc import Callable
from datetime import date, datetime, timedelta

from core.config import PortfolioConfig
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.end_of_day import EodAction, EodRun
from core.db_state_manager.states import FINISHED_SIGNALS, EodPhase
from core.eod_monitor import EodMonitor, EodVerdict, Judgement, latest_fresh
from core.eod_scheduler import EodScheduler, EodWindow, NoWindow
from core.errors import PortfolioError
from core.instruments import InstrumentCatalog
from core.ist import as_ist
from core.market_calendar import MarketCalendar
from core.ports import Clock
from core.symbols import parse

# A Scout that has spoken within these days is expected to speak.
EXPECTED_FOR = timedelta(days=14)
# Who leads again so soon after a close says what was missed at it.
MISSED_FOR = timedelta(minutes=10)

_LOG = logging.getLogger(__name__)


class EodExecutor:
    """Ends the days of all instruments. `kick` is called when something was journalled."""

    def __init__(
        self,
        store: DatabaseStateManager,
        config: PortfolioConfig,
        catalog: InstrumentCatalog,
        calendar: MarketCalendar,
        clock: Clock,
        kick: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._config = config
        self._catalog = catalog
        self._scheduler = EodScheduler(config, catalog, calendar)
        self._monitor = EodMonitor(config)
        self._clock = clock
        self._kick = kick

    def run(self, epoch: int) -> None:
        """Do what is due now, for each instrument whatever becomes of the others.

        Raises Rejected (STALE_EPOCH) and what the database raises, the first of it.
        """
        errors: list[PortfolioError] = []
        for name, instrument in self._config.instruments.items():
            if instrument.eod.enabled:
                try:
                    self._look(name, epoch)
                except PortfolioError as error:
                    _LOG.warning("%s: %s", name, error)
                    errors.append(error)
        if errors:
            raise errors[0]

    def window(self, instrument: str, day: date) -> EodWindow | NoWindow:
        """The window of `day` by the contracts that are held now."""
        return self._scheduler.window(instrument, day, held_expiries(self._store, instrument))

    def _look(self, instrument: str, epoch: int) -> None:
        now = as_ist(self._clock.now())
        earliest = self._scheduler.earliest_judging(instrument, now.date())
        if earliest is None or now < earliest:
            return
        run = self._store.eod_run(instrument, now.date())
        if run is not None and run.phase is EodPhase.ENDED:
            return
        window = self.window(instrument, now.date())
        if isinstance(window, NoWindow):
            return
        if run is None:
            run = self._judge(window, epoch, now)
        if run is not None and run.phase is EodPhase.JUDGED:
            self._order(run, window, epoch, now)
        elif run is not None and run.phase is EodPhase.ORDERED:
            self._follow(run, window, epoch, now)

    def _judge(self, window: EodWindow, epoch: int, now: datetime) -> EodRun | None:
        """The day's judgement; None while there is nothing to judge yet, or nobody expects one."""
        name = window.instrument
        if now < window.judge_at:
            return None
        if now >= window.ends_at:
            return self._missed(window, epoch, now)
        fresh = timedelta(seconds=float(self._config.instruments[name].eod.fresh_s))
        alerts = self._store.scout_alerts(name, now - fresh)
        found = latest_fresh(alerts, window, now, fresh)
        if found is None:
            return self._silent(window, epoch) if now >= window.order_at else None
        judgement = self._monitor.judge(found.alert, window, self._store.load_book())
        _LOG.info("%s: %s (%s)", name, judgement.verdict, judgement.reason)
        return self._store.judge_eod(epoch, window, judgement, found.signal_id)

    def _order(self, run: EodRun, window: EodWindow, epoch: int, now: datetime) -> None:
        if now < window.order_at:
            return
        if now >= _last_moment(run, window):
            reason = f"{run.verdict} was judged and nobody led when it was to be ordered"
            _LOG.error("%s: %s", run.instrument, reason)
            self._store.end_eod(epoch, run.instrument, run.day, EodVerdict.MISSED, reason)
        elif self._store.order_eod(epoch, run.instrument, run.day):
            self._kick()

    def _follow(self, run: EodRun, window: EodWindow, epoch: int, now: datetime) -> None:
        """Order again what an older epoch kept from being done; note the end of what has ended."""
        is_time = now < _last_moment(run, window)
        if is_time and self._store.order_again(epoch, run.instrument, run.day):
            self._kick()
            return
        actions = self._store.eod_actions(run.instrument, run.day)
        if all(action.status in (None, *FINISHED_SIGNALS) for action in actions):
            told = "; ".join(_told(action) for action in actions)
            verdict = EodVerdict(run.verdict)
            self._store.end_eod(epoch, run.instrument, run.day, verdict, told)

    def _silent(self, window: EodWindow, epoch: int) -> EodRun | None:
        """Nothing fresh came: nothing happens, and that is told where something was expected."""
        name, since = window.instrument, self._clock.now() - EXPECTED_FOR
        is_held = bool(self._store.load_book()[name].layers)
        is_expected = window.entries_refused is None and self._store.scout_spoke(name, since)
        if not (is_held or is_expected) or self._is_closed(window):
            return None
        reason = "the Scout sent nothing fresh before the order's time"
        _LOG.error("%s: %s", name, reason)
        return self._store.judge_eod(epoch, window, Judgement(EodVerdict.SILENT, reason), None)

    def _missed(self, window: EodWindow, epoch: int, now: datetime) -> EodRun | None:
        """Nobody judged although the Scout had spoken: told by who leads soon after."""
        name = window.instrument
        if now >= window.closes_at + MISSED_FOR:
            return None
        if not self._store.scout_alerts(name, window.scout_from):
            return None
        reason = "nobody led when the Scout's alerts were to be judged"
        _LOG.error("%s: %s", name, reason)
        return self._store.judge_eod(epoch, window, Judgement(EodVerdict.MISSED, reason), None)

    def _is_closed(self, window: EodWindow) -> bool:
        """Whether an operator has closed the exchange for the day."""
        exchange = self._catalog[window.instrument].calendar_exchange
        return any(row.day == window.day for row in self._store.operator_holidays(exchange))


def held_expiries(store: DatabaseStateManager, instrument: str) -> frozenset[date]:
    """The expiries of the contracts that are held."""
    held = store.held_legs(instrument)
    return frozenset(parse(leg.symbol).expiry for legs in held.values() for leg in legs)


def _last_moment(run: EodRun, window: EodWindow) -> datetime:
    """Until when it may be ordered: an exit until the close, an entry while it can still end."""
    return window.closes_at if run.verdict == EodVerdict.EXIT else window.ends_at


def _told(action: EodAction) -> str:
    if action.signal_id is None:
        return "the bar's own alert had come first"
    outcome = action.outcome
    said = "" if outcome is None else f" {outcome.code}: {outcome.reason}"
    return f"signal {action.signal_id} {action.status}{said}"
