"""An alert that never arrives is noticed: a number was skipped, or the bar of a held layer is late.

Alerts that overtake each other are given some seconds to settle first. Bars are missed only where
layers are held, whose stops would stand still without them.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from core.bar_heartbeat import BarHeartbeat
from core.config import PortfolioConfig
from core.db_state_manager import DatabaseStateManager
from core.instruments import InstrumentCatalog
from core.market_calendar import MarketCalendar
from core.ports import Clock

SETTLES = timedelta(seconds=10)
BAR_GRACE = timedelta(seconds=60)
_EARLY = timedelta(seconds=30)
_LOOKS_BACK = timedelta(days=4)  # Over a long weekend.

_LOG = logging.getLogger(__name__)


def bars_of(
    config: PortfolioConfig, catalog: InstrumentCatalog, calendar: MarketCalendar
) -> Mapping[str, BarHeartbeat]:
    """The bars of each instrument's chart."""
    return {
        name: BarHeartbeat(
            calendar,
            catalog[name].calendar_exchange,
            timedelta(minutes=each.strategy.timeframe_min),
            special_sessions=config.trade_special_sessions,
        )
        for name, each in config.instruments.items()
    }


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
        self._bars = bars_of(config, catalog, calendar)
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
        return self._bars[instrument].last_close(by)

    def _expect_bar(self, instrument: str, closed_at: datetime) -> None:
        if self._store.tell_missing_bar(instrument, closed_at, closed_at - _EARLY):
            _LOG.warning("%s: no bar came that closed at %s", instrument, closed_at)
