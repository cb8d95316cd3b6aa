"""An alert that never arrives is noticed: a number was skipped, or the bar of a held layer is late.

Alerts that overtake each other are given some seconds to settle first. Bars are missed only where
layers are held, whose stops would stand still without them.
"""

import logging
from datetime import datetime, timedelta

from core.config import PortfolioConfig
from core.db_state_manager import DatabaseStateManager
from core.errors import OutsideCoverage
from core.instruments import InstrumentCatalog
from core.market_calendar import MarketCalendar
from core.ports import Clock

SETTLES = timedelta(seconds=10)
BAR_GRACE = timedelta(seconds=60)
_EARLY = timedelta(seconds=30)
_LOOKS_BACK = timedelta(days=4)  # Over a long weekend.

_LOG = logging.getLogger(__name__)


class GapAlarm:
    """Looks for what is missing and writes it to the outbox."""

    def __init__(
        self,
        store: DatabaseStateManager,
        config: PortfolioConfig,
        catalog: InstrumentCatalog,
        calendar: MarketCalendar,
        clock: Clock,
    ) -> None:
        self._store = store
        self._config = config
        self._catalog = catalog
        self._calendar = calendar
        self._clock = clock

    def look(self) -> None:
        """Tell what is missing now and was not told before."""
        now = self._clock.now()
        if self._store.tell_skipped(now - _LOOKS_BACK, now - SETTLES):
            _LOG.warning("alerts were skipped: their numbers are in the outbox")
        held: dict[str, datetime] = {}
        for layer in self._store.open_positions():
            first = held.get(layer.instrument, layer.entry_time)
            held[layer.instrument] = min(first, layer.entry_time)
        for instrument, since in held.items():
            closed_at = self.last_bar_closed(instrument, now - BAR_GRACE)
            if closed_at is not None and since < closed_at:
                self._expect_bar(instrument, closed_at)

    def last_bar_closed(self, instrument: str, by: datetime) -> datetime | None:
        """When the last bar of that day's session closed; None before the first one did."""
        exchange = self._catalog[instrument].calendar_exchange
        try:
            session = self._calendar.session(exchange, by.date())
        except OutsideCoverage:
            return None
        if session is None:
            return None
        bar = timedelta(minutes=self._config.instruments[instrument].strategy.timeframe_min)
        closes = []
        for opens, ends in session.windows:
            whole = opens + (min(by, ends) - opens) // bar * bar
            closes += [at for at in (whole, ends) if opens < at <= by]
        return max(closes, default=None)

    def _expect_bar(self, instrument: str, closed_at: datetime) -> None:
        if self._store.tell_missing_bar(instrument, closed_at, closed_at - _EARLY):
            _LOG.warning("%s: no bar came that closed at %s", instrument, closed_at)
