"""What an entry is decided on: its contract, what the broker says of money and price, who forbids.

Everything is read before the decision's transaction, none of it inside. What cannot be read keeps
an entry from being made, except the broker's own margin and funds: without those our figures hold.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from brokers.messages import Action, MarginLeg, Quote
from brokers.port import Broker
from core.config import PortfolioConfig
from core.contracts import Contracts
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.records import ClaimedSignal, LegPlan
from core.db_state_manager.states import ControlState
from core.decision import AtExecution, DecisionMaker, one_lot
from core.decision_record import Decision, DecisionCode
from core.entry_days import entries_refused_on
from core.errors import OutcomeUnknown, Rejected, Retryable
from core.instruments import InstrumentCatalog
from core.market_calendar import MarketCalendar
from core.models import ContractTerms, Signal
from core.portfolio_state import PortfolioStateManager
from core.ports import Clock
from core.position_sizer import NO_QUOTE, BrokerQuote
from core.signal_validator import Refused
from live.expiry_utils import ContractChooser, EntryChoice, FutureChoice, entry_legs
from live.lot_guard import LotGuard

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What an entry may trade, at what price (points), with what money."""

    choice: EntryChoice
    terms: ContractTerms
    price: Decimal
    quote: BrokerQuote


class EntryDesk:
    """Prepares and judges entries."""

    def __init__(
        self,
        store: DatabaseStateManager,
        broker: Broker,
        maker: DecisionMaker,
        catalog: InstrumentCatalog,
        calendar: MarketCalendar,
        clock: Clock,
        lot_guard: LotGuard,
        *,
        is_test: bool = False,
    ) -> None:
        """`is_test`: one lot an order, whatever was calculated."""
        self._store = store
        self._broker = broker
        self._maker = maker
        self._catalog = catalog
        self._calendar = calendar
        self._contracts = Contracts(calendar, catalog)
        self._chooser = ContractChooser(self._contracts, catalog, broker)
        self._clock = clock
        self._lot_guard = lot_guard
        self._is_test = is_test

    @property
    def config(self) -> PortfolioConfig:
        """The configuration entries are judged by."""
        return self._maker.config

    def forbidden(self, instrument: str) -> Refused | None:
        """Why no entry of an instrument is made now: the calendar, the kill switch, a lock."""
        refused = entries_refused_on(
            self._calendar,
            self._catalog[instrument].calendar_exchange,
            self._clock.now().date(),
            special_sessions=self.config.trade_special_sessions,
            attested=False,
        )
        if refused is not None:
            return refused
        exchange = self._catalog[instrument].calendar_exchange
        for holiday in self._store.operator_holidays(exchange):
            if holiday.day == self._clock.now().date():
                why = f"{exchange} is closed by {holiday.who}: {holiday.description}"
                return Refused(DecisionCode.ENTRIES_BLOCKED, why)
        control = self._store.control_of(instrument)
        if control is not ControlState.ACTIVE:
            return Refused(DecisionCode.ENTRIES_BLOCKED, f"{instrument} is {control}")
        for lock in self._store.instrument_locks():
            if lock.instrument == instrument:
                why = f"{instrument} is locked ({lock.code}): {lock.reason}"
                return Refused(DecisionCode.ENTRIES_BLOCKED, why)
        return None

    def prepare(self, instrument: str) -> Prepared:
        """What an entry made now would trade. Raises Rejected, Retryable and Halted."""
        day = self._clock.now().date()
        choice = self._chooser.choose(instrument, day)
        if isinstance(choice, FutureChoice):
            self._lot_guard.check(instrument, choice.future)
        terms = self._contracts.terms(instrument, day)
        price = self._price(choice)
        return Prepared(choice, terms, price, self._money(choice))

    def decide(
        self,
        claimed: ClaimedSignal,
        signal: Signal,
        prepared: Prepared,
        book: PortfolioStateManager,
    ) -> Decision:
        """The decision on an entry, confirmed against the broker's price."""
        self._maker.mark(signal, book, prepared.price)
        decision = self._maker.decide(signal, book, prepared.terms, prepared.quote)
        if not decision.acts:
            return decision
        confirmed = self._maker.confirm(signal, decision, self._at_execution(claimed, prepared))
        return one_lot(confirmed) if self._is_test and confirmed.acts else confirmed

    def refuse(self, signal: Signal, why: Refused, book: PortfolioStateManager) -> Decision:
        """The decision on an entry that is forbidden, or for which nothing could be prepared."""
        return self._maker.decide(signal, book, blocked=why)

    def legs(self, decision: Decision, prepared: Prepared) -> tuple[LegPlan, ...]:
        """What a decided entry trades."""
        return entry_legs(prepared.choice, decision.lots)

    def age_s(self, claimed: ClaimedSignal) -> float:
        """Seconds since the alert was received."""
        return (self._clock.now() - claimed.received_at).total_seconds()

    def bar_length(self, instrument: str) -> timedelta:
        """How long a bar of the instrument's chart is."""
        return timedelta(minutes=self.config.instruments[instrument].strategy.timeframe_min)

    def bar_age_s(self, instrument: str, bar_time: datetime, at: datetime) -> float:
        """Seconds since a bar closed; its time may be its open, so it closes one bar after it."""
        closed_at = bar_time + self.bar_length(instrument)
        return max((at - closed_at).total_seconds(), 0.0)

    def _at_execution(self, claimed: ClaimedSignal, prepared: Prepared) -> AtExecution:
        alert = claimed.alert
        bar_age_s = self.bar_age_s(alert.instrument, alert.bar_time, self._clock.now())
        return AtExecution(prepared.price, self.age_s(claimed), bar_age_s)

    def _price(self, choice: EntryChoice) -> Decimal:
        """The future's price, or the synthetic one's: strike + CE - PE."""
        if isinstance(choice, FutureChoice):
            return _middle(self._broker.quote(choice.future.contract))
        call, put = choice.call.contract, choice.put.contract
        quotes = self._broker.quotes((call, put))
        missing = [str(contract) for contract in (call, put) if contract not in quotes]
        if missing:
            raise Retryable(f"no quote of {', '.join(missing)}")
        return choice.strike + _middle(quotes[call]) - _middle(quotes[put])

    def _money(self, choice: EntryChoice) -> BrokerQuote:
        """The broker's free funds and its margin for one lot."""
        try:
            free = self._broker.funds().available_cash_inr
            margin = self._broker.margin(_margin_legs(choice)).total_inr
        except (Rejected, Retryable, OutcomeUnknown) as error:
            _LOG.warning("the broker does not say what an entry may cost: %s", error)
            return NO_QUOTE
        return BrokerQuote(free, margin or None)


def _margin_legs(choice: EntryChoice) -> tuple[MarginLeg, ...]:
    if isinstance(choice, FutureChoice):
        return (MarginLeg(choice.future.contract, Action.BUY, choice.future.lot_size),)
    return (
        MarginLeg(choice.call.contract, Action.BUY, choice.call.lot_size),
        MarginLeg(choice.put.contract, Action.SELL, choice.put.lot_size),
    )


def _middle(quote: Quote) -> Decimal:
    """Between the two sides; the last price where one is missing."""
    if quote.bid is None or quote.ask is None:
        return quote.ltp
    return (quote.bid + quote.ask) / 2
