"""The market of a backtest: each day's contract, its charges, and whether entries are let through.

A recorded bar or alert proves that its day was traded, so years without a published calendar can
be tested; their expiries follow the rule alone.
"""

from datetime import date, time
from decimal import Decimal

from core.charges import ChargeSchedule
from core.contracts import Contracts
from core.entry_days import entries_refused_on
from core.instruments import InstrumentCatalog
from core.market_calendar import MarketCalendar
from core.market_data import MarketData
from core.models import ContractTerms
from core.signal_validator import Refused

ZERO = Decimal(0)


class BacktestMarket:
    """Contracts, charges and days, looked up once a day."""

    def __init__(
        self,
        calendar: MarketCalendar,
        catalog: InstrumentCatalog,
        charges: ChargeSchedule | None,
    ) -> None:
        """`charges` is None for a run that pays none."""
        self.calendar = calendar
        self.catalog = catalog
        self._contracts = Contracts(calendar, catalog)
        self._charges = charges
        self._blocked: dict[tuple[str, date, bool], Refused | None] = {}

    @classmethod
    def shipped(
        cls,
        overrides: object = None,
        *,
        with_charges: bool = True,
    ) -> "BacktestMarket":
        """The shipped data under the operator's overrides. Raises `ConfigInvalid` as MarketData."""
        data = MarketData.shipped(overrides)
        return cls(data.calendar, data.catalog, data.charges if with_charges else None)

    def hours(self, instrument: str, day: date) -> tuple[time, time]:
        """Open and close of that day's session; the regular ones where no session is published."""
        exchange = self.catalog[instrument].calendar_exchange
        if self.calendar.is_published(exchange, day):
            session = self.calendar.session(exchange, day)
            if session is not None and session.times_known:
                return session.open.time(), session.close.time()
        return self.calendar.hours(exchange, day)

    def terms(self, instrument: str, day: date) -> ContractTerms:
        """The contract that entries of that day trade."""
        return self._contracts.terms(instrument, day)

    def entries_blocked(
        self, instrument: str, day: date, *, special_sessions: bool
    ) -> Refused | None:
        """Why the calendar refuses entries on that day, or None."""
        key = (instrument, day, special_sessions)
        if key not in self._blocked:
            self._blocked[key] = entries_refused_on(
                self.calendar,
                self.catalog[instrument].calendar_exchange,
                day,
                special_sessions=special_sessions,
                attested=True,
            )
        return self._blocked[key]

    def charges(
        self, terms: ContractTerms, price: Decimal, lots: int, day: date, *, opening: bool
    ) -> Decimal:
        """Rupees that a fill of `lots` of that contract costs, to the paisa."""
        if self._charges is None:
            return ZERO
        spec = self.catalog[terms.instrument]
        return self._charges.exposure(spec, terms, price, lots, day, opening).rounded().total
