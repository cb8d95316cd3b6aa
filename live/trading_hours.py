"""When an instrument's market is open, by the calendar; what the calendar does not know is open."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from core.errors import OutsideCoverage
from core.instruments import InstrumentCatalog
from core.market_calendar import MarketCalendar

_MOST_DAYS = 15


@dataclass(frozen=True, slots=True)
class TradingHours:
    """The hours of all instruments."""

    calendar: MarketCalendar
    catalog: InstrumentCatalog

    def opens_at(self, instrument: str, now: datetime) -> datetime | None:
        """When a market that is closed now opens next; None while it is, or may be, open."""
        exchange = self.catalog[instrument].calendar_exchange
        for days in range(_MOST_DAYS):
            try:
                session = self.calendar.session(exchange, now.date() + timedelta(days=days))
            except OutsideCoverage:
                return None
            if session is None:
                continue
            if not session.times_known or session.contains(now):
                return None
            for opens, _ in session.windows:
                if opens > now:
                    return opens
        return None
