"""Which contract, until when: an expiry moves back over holidays, and "next" is strictly later.

In years whose holidays are not published the rule alone answers, weekends and the holidays that
are certain by their date respected, and the answer says that it is provisional. The broker's
master has the last word before an order.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from core.errors import ConfigInvalid, Rejected
from core.instruments import InstrumentCatalog, InstrumentKind, InstrumentSpec
from core.ist import IST
from core.market_calendar import MarketCalendar, SessionKind
from core.models import ContractTerms
from core.symbols import FutureSymbol

_PARTIAL = (SessionKind.MORNING_ONLY, SessionKind.EVENING_ONLY)


@dataclass(frozen=True, slots=True)
class Expiry:
    """A contract's last day; provisional while the holidays that could move it are unpublished."""

    day: date
    provisional: bool


@dataclass(frozen=True, slots=True)
class TenderDates:
    """The days that lead to a compulsory delivery.

    `hard_exit` is the moment by which every lot must be gone. `cautious_hard_exit` is a trading
    day earlier where a morning-only or evening-only day lies in the tender window, because
    whether the exchange counts such a day is not settled; elsewhere it is the same moment.
    """

    expiry: date
    no_new_entry_from: date
    roll_at: date
    tender_starts: date
    hard_exit: datetime
    cautious_hard_exit: datetime
    provisional: bool


class Contracts:
    """The contracts of every instrument. Answers are remembered."""

    def __init__(self, calendar: MarketCalendar, catalog: InstrumentCatalog) -> None:
        """Raises ConfigInvalid for an instrument of an exchange that has no calendar."""
        for spec in catalog.values():
            if spec.calendar_exchange not in calendar.exchanges:
                path = f"instruments.{spec.name}.calendar_exchange"
                allowed = f"one of {', '.join(calendar.exchanges)} is expected"
                raise ConfigInvalid(path, spec.calendar_exchange, allowed)
        self._calendar = calendar
        self._catalog = catalog
        self._expiries: dict[tuple[str, int, int], Expiry] = {}
        self._ends: dict[tuple[str, date], date] = {}
        self._terms: dict[tuple[str, date], ContractTerms] = {}

    def expiry(self, instrument: str, year: int, month: int) -> Expiry:
        """The expiry of a contract month. Raises Rejected (NO_SUCH_CONTRACT) if unlisted."""
        key = (instrument, year, month)
        known = self._expiries.get(key)
        if known is None:
            spec = self._catalog[instrument]
            if month not in spec.months:
                listed = ", ".join(str(listed) for listed in spec.months)
                message = f"{instrument} has no contract of month {month}; listed: {listed}"
                raise Rejected("NO_SUCH_CONTRACT", message)
            known = self._expiries[key] = self._find_expiry(spec, year, month)
        return known

    def next_expiry(self, instrument: str, after: date) -> Expiry:
        """The first expiry strictly later than `after`."""
        return next(
            expiry for expiry in self._expiries_from(instrument, after) if expiry.day > after
        )

    def entry_contract(self, instrument: str, on: date) -> Expiry:
        """The nearest contract that `on` may still enter: not yet in its roll window.

        The window opens `roll_days` calendar days before the expiry or, where there is a tender,
        on the day from which new entries are barred if that is earlier.
        """
        return next(
            expiry
            for expiry in self._expiries_from(instrument, on)
            if on < self._entries_end(instrument, expiry.day)
        )

    def roll_from(self, instrument: str, expiry_day: date) -> date:
        """The first day on which a position in that contract is to be rolled."""
        by_calendar = expiry_day - timedelta(days=self._catalog[instrument].roll_days)
        tender = self.tender_dates(instrument, expiry_day)
        return by_calendar if tender is None else min(by_calendar, tender.roll_at)

    def tender_dates(self, instrument: str, expiry_day: date) -> TenderDates | None:
        """The tender of the contract that ends on `expiry_day`; None where cash is settled."""
        spec = self._catalog[instrument]
        if spec.tender is None:
            return None
        rule, exchange = spec.tender.on(expiry_day), spec.calendar_exchange

        def back(day: date, count: int) -> date:
            return self._calendar.shift_trading_days(exchange, day, -count, provisional=True)

        starts = back(expiry_day, rule.window_days - 1)
        exit_day = back(expiry_day, rule.hard_exit_days)
        doubtful = self._has_partial_session(exchange, starts, expiry_day)
        cautious_day = back(exit_day, 1) if doubtful else exit_day
        first = back(expiry_day, rule.no_new_entry_days)
        return TenderDates(
            expiry=expiry_day,
            no_new_entry_from=first,
            roll_at=back(expiry_day, rule.roll_days),
            tender_starts=starts,
            hard_exit=self._by(exchange, exit_day, rule.hard_exit_time),
            cautious_hard_exit=self._by(exchange, cautious_day, rule.hard_exit_time),
            provisional=not self._published(exchange, first, expiry_day),
        )

    def last_trading_moment(self, instrument: str, expiry_day: date, day: date) -> datetime | None:
        """When the contract stops trading on `day`; None where it does not trade that day.

        Raises OutsideCoverage where the day's session is not known.
        """
        exchange = self._catalog[instrument].calendar_exchange
        session = self._calendar.session(exchange, day)
        if session is None or day > expiry_day:
            return None
        stop = self._calendar.expiring_close(exchange, day) if day == expiry_day else None
        return (
            session.close if stop is None else min(session.close, datetime.combine(day, stop, IST))
        )

    def terms(self, instrument: str, on: date) -> ContractTerms:
        """The terms of the contract to be entered on that day."""
        key = (instrument, on)
        known = self._terms.get(key)
        if known is None:
            known = self._terms[key] = self._find_terms(self._catalog[instrument], on)
        return known

    def _find_terms(self, spec: InstrumentSpec, on: date) -> ContractTerms:
        expiry = self.entry_contract(spec.name, on)
        lot_size, margin = spec.lots.on(expiry.day), spec.margins.on(on)
        future = spec.kind is InstrumentKind.FUTURE
        return ContractTerms(
            instrument=spec.name,
            expiry=expiry.day,
            lot_size=lot_size,
            point_value=spec.point_value(lot_size),
            tick=spec.ticks.on(on),
            margin_floor_inr=margin.floor_inr,
            margin_fraction=margin.fraction,
            freeze_quantity=spec.freeze_quantities.on(on),
            symbol=str(FutureSymbol(spec.root, expiry.day)) if future else None,
            provisional=expiry.provisional,
        )

    def _find_expiry(self, spec: InstrumentSpec, year: int, month: int) -> Expiry:
        exchange = spec.calendar_exchange
        nominal = spec.expiry_rules.on(date(year, month, 1)).nominal(year, month)
        day = nominal
        if not self._calendar.is_trading_day(exchange, day, provisional=True):
            day = self._calendar.previous_trading_day(exchange, day, provisional=True)
        return Expiry(day, provisional=not self._published(exchange, day, nominal))

    def _expiries_from(self, instrument: str, day: date) -> Iterator[Expiry]:
        """Every contract from the month of `day` on; none of an earlier month can end later."""
        months = self._catalog[instrument].months
        year, first_month = day.year, day.month
        while True:
            for month in months:
                if month >= first_month:
                    yield self.expiry(instrument, year, month)
            year, first_month = year + 1, 1

    def _entries_end(self, instrument: str, expiry_day: date) -> date:
        """The first day on which that contract is no longer entered."""
        key = (instrument, expiry_day)
        known = self._ends.get(key)
        if known is None:
            by_calendar = expiry_day - timedelta(days=self._catalog[instrument].roll_days)
            tender = self.tender_dates(instrument, expiry_day)
            known = by_calendar if tender is None else min(by_calendar, tender.no_new_entry_from)
            self._ends[key] = known
        return known

    def _published(self, exchange: str, *days: date) -> bool:
        return all(self._calendar.is_published(exchange, day) for day in days)

    def _has_partial_session(self, exchange: str, first: date, last: date) -> bool:
        days = (first + timedelta(days=offset) for offset in range((last - first).days + 1))
        sessions = (self._calendar.session(exchange, day, provisional=True) for day in days)
        return any(session is not None and session.kind in _PARTIAL for session in sessions)

    def _by(self, exchange: str, day: date, limit: time) -> datetime:
        """`limit` on `day`, or that day's close where it comes first."""
        session = self._calendar.session(exchange, day, provisional=True)
        moment = datetime.combine(day, limit, IST)
        return min(moment, session.close) if session and session.times_known else moment
