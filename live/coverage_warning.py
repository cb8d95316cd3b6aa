"""A calendar that is about to end is told of once a day: on its last day entries end with it."""

from datetime import timedelta

from core.config import PortfolioConfig
from core.db_state_manager.outbox import Outbox
from core.market_calendar import MarketCalendar
from core.ports import Clock

CALENDAR_ENDS = "CALENDAR_ENDS"


class CoverageWarning:
    """Looks how long each exchange's days are known."""

    def __init__(
        self, outbox: Outbox, config: PortfolioConfig, calendar: MarketCalendar, clock: Clock
    ) -> None:
        self._outbox = outbox
        self._warns = timedelta(days=config.background.calendar_warning_days)
        self._calendar = calendar
        self._clock = clock

    def run(self) -> None:
        """Tell it, unless that was done today."""
        today = self._clock.now().date()
        for exchange in self._calendar.exchanges:
            last = self._calendar.covered_until(exchange)
            if last - today > self._warns:
                continue
            key = {"exchange": exchange, "day": today.isoformat()}
            told = {"known_until": last.isoformat(), "days_left": (last - today).days}
            self._outbox.tell_once(CALENDAR_ENDS, None, {**key, **told}, key)
