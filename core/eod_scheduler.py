"""When an instrument's day ends, the calendar of that day and the held contract say: no constant.

A day whose holidays are not published opens nothing; what is held may still be left, by the hours
of the regime. The moments count back from the close that matters: the market's, or the earlier one
of a contract that is held and expires that day.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from core.config import PortfolioConfig
from core.entry_days import entries_refused_on
from core.errors import OutsideCoverage
from core.instruments import InstrumentCatalog
from core.ist import IST
from core.market_calendar import MarketCalendar, Session
from core.signal_validator import Refused


@dataclass(frozen=True, slots=True)
class EodWindow:
    """The moments of one instrument's end of day, in their order.

    `bar_opens` is when the bar opened that runs at the close, `bar` how long a whole one is.
    `entries_refused` is why nothing may be opened that day.
    """

    instrument: str
    day: date
    bar: timedelta
    bar_opens: datetime
    scout_from: datetime
    judge_at: datetime
    order_at: datetime
    chase_at: datetime
    ends_at: datetime
    closes_at: datetime
    entries_refused: Refused | None = None


@dataclass(frozen=True, slots=True)
class NoWindow:
    """Why an instrument has no end of day on a day."""

    instrument: str
    day: date
    reason: str


class EodScheduler:
    """The windows of all instruments."""

    def __init__(
        self, config: PortfolioConfig, catalog: InstrumentCatalog, calendar: MarketCalendar
    ) -> None:
        self._config = config
        self._catalog = catalog
        self._calendar = calendar

    def window(
        self, instrument: str, day: date, expiries: Collection[date] = ()
    ) -> EodWindow | NoWindow:
        """The window of `day`; `expiries` are those of the contracts that are held."""
        exchange = self._catalog[instrument].calendar_exchange
        try:
            session = self._calendar.session(exchange, day)
        except OutsideCoverage:
            session = self._calendar.session(exchange, day, provisional=True)
        if session is None:
            return NoWindow(instrument, day, f"{exchange} is closed on {day}")
        if not session.times_known:
            why = f"{session.name} of {day} is announced without its times"
            return NoWindow(instrument, day, f"{why}; add an operator override")
        refused = entries_refused_on(
            self._calendar,
            exchange,
            day,
            special_sessions=self._config.trade_special_sessions,
            attested=False,
        )
        return self._window(instrument, session, self._stops(session, expiries), refused)

    def earliest_judging(self, instrument: str, day: date) -> datetime | None:
        """No end of day of `day` is judged before this, whatever contract is held."""
        window = self.window(instrument, day, (day,))
        return window.judge_at if isinstance(window, EodWindow) else None

    def _stops(self, session: Session, expiries: Collection[date]) -> datetime:
        """When trading ends in what is held, or in the market where that goes on to its close."""
        expiring = self._calendar.expiring_close(session.exchange, session.day)
        if expiring is None or session.day not in expiries:
            return session.close
        return min(session.close, datetime.combine(session.day, expiring, IST))

    def _window(
        self, instrument: str, session: Session, closes_at: datetime, refused: Refused | None
    ) -> EodWindow:
        given = self._config.instruments[instrument]
        times = given.eod
        bar = timedelta(minutes=given.strategy.timeframe_min)

        def before(seconds: Decimal) -> datetime:
            return closes_at - timedelta(seconds=float(seconds))

        return EodWindow(
            instrument=instrument,
            day=session.day,
            bar=bar,
            bar_opens=_running_bar(session, closes_at, bar),
            scout_from=before(times.scout_s),
            judge_at=before(times.judge_s),
            order_at=before(times.order_s),
            chase_at=before(times.chase_s),
            ends_at=before(times.end_s),
            closes_at=closes_at,
            entries_refused=refused,
        )


def _running_bar(session: Session, closes_at: datetime, bar: timedelta) -> datetime:
    """When the bar opened that runs just before the close: bars count from their window's open."""
    opens = next(opens for opens, _ in reversed(session.windows) if opens < closes_at)
    whole = (closes_at - opens) // bar
    last = opens + whole * bar
    return last if last < closes_at else last - bar
