"""Before a market opens the leader looks whether it could trade; until it could, no entries.

For each instrument on each day on which its exchange trades: the mode and the session at the
broker (by its funds), the contracts of the day and a real quote, the lots. What is in the way
locks the instrument for entries (`PRE_OPEN_FAILED`) and is told; the check is made again every
minute, and the first that passes releases the lock. Exits are never kept back.
"""

import logging
from collections.abc import Iterable
from datetime import date, datetime, timedelta

from brokers.port import Broker
from core.config import PortfolioConfig
from core.db_state_manager import DatabaseStateManager
from core.errors import OutsideCoverage
from core.instruments import InstrumentCatalog
from core.market_calendar import MarketCalendar, Session
from core.ports import Clock
from live.doctor.findings import Finding, Level, look
from live.doctor.market import check_contract, check_lots
from live.doctor.services import check_session
from live.expiry_utils import ContractChooser
from live.lot_guard import LotGuard

PRE_OPEN_FAILED = "PRE_OPEN_FAILED"
PASSED = "PRE_OPEN_PASSED"
_WHO = "pre-open check"
_LOG = logging.getLogger(__name__)


class PreOpenCheck:
    """Checks for one account at one broker."""

    def __init__(
        self,
        store: DatabaseStateManager,
        broker: Broker,
        chooser: ContractChooser,
        guard: LotGuard,
        config: PortfolioConfig,
        catalog: InstrumentCatalog,
        calendar: MarketCalendar,
        clock: Clock,
    ) -> None:
        self._store = store
        self._broker = broker
        self._chooser = chooser
        self._guard = guard
        self._config = config
        self._catalog = catalog
        self._calendar = calendar
        self._clock = clock
        self._passed: set[tuple[str, date]] = set()

    def run(self) -> None:
        """Check what is about to trade, or trades, and has not passed today."""
        now = self._clock.now()
        due = [name for name in self._enabled() if self._is_due(name, now)]
        if not due:
            return
        of_all = look("broker session", lambda: check_session(self._broker), "log in there")
        of_all += look("lot sizes", lambda: check_lots(self._guard, now.date()), "see the gateway")
        for instrument in due:
            self._judge(instrument, now.date(), [*of_all, *self._own(instrument, now.date())])

    def _enabled(self) -> Iterable[str]:
        return (name for name, each in self._config.instruments.items() if each.enabled)

    def _is_due(self, instrument: str, now: datetime) -> bool:
        session = self._session(instrument, now.date())
        if session is None or not session.times_known:
            return False
        begins = session.open - timedelta(minutes=self._config.background.pre_open_min)
        return begins <= now < session.close and not self._has_passed(instrument, now.date())

    def _has_passed(self, instrument: str, day: date) -> bool:
        """Whether some leader's check has passed that day."""
        if (instrument, day) not in self._passed:
            if not self._store.was_told(PASSED, _key(instrument, day)):
                return False
            self._passed.add((instrument, day))
        return True

    def _session(self, instrument: str, day: date) -> Session | None:
        try:
            return self._calendar.session(self._catalog[instrument].calendar_exchange, day)
        except OutsideCoverage:
            return None  # Entries are refused on a day that is not known.

    def _own(self, instrument: str, day: date) -> list[Finding]:
        return list(check_contract(self._broker, self._chooser, instrument, day))

    def _judge(self, instrument: str, day: date, found: list[Finding]) -> None:
        failed = [each for each in found if each.level is Level.FAIL]
        if failed:
            reason = "; ".join(f"{each.about}: {each.found}" for each in failed)
            if self._store.lock_instrument(instrument, PRE_OPEN_FAILED, reason, _WHO):
                _LOG.error("%s takes no entries: %s", instrument, reason)
            return
        self._store.unlock_instrument(instrument, PRE_OPEN_FAILED, _WHO)
        key = _key(instrument, day)
        warned = [f"{each.about}: {each.found}" for each in found if each.level is Level.WARN]
        self._store.tell_once(PASSED, instrument, {**key, "warnings": warned}, key)


def _key(instrument: str, day: date) -> dict[str, object]:
    return {"checked": instrument, "day": day.isoformat()}
