"""Carries decisions out in the simulation: fills them, pays for them, books them.

Between a decision and its fill an entry's exposure is reserved and a closing layer is remembered,
exactly as orders in flight are live, so nothing is decided or closed twice.
"""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from backtest.fills import Slippage
from backtest.market import BacktestMarket
from backtest.result import Refusal
from core.book_events import (
    ExposureReleased,
    ExposureReserved,
    LayerOpened,
    LayerReduced,
    PriceMarked,
)
from core.config import PortfolioConfig
from core.decision import DecisionMaker, decide_stops
from core.decision_record import Decision, LayerClose
from core.models import ContractTerms, Limiter, Position, Signal, SignalType
from core.peel_off import decide_peel_off


@dataclass(frozen=True, slots=True)
class _Order:
    """A decision that waits for its fill."""

    decision: Decision
    reason: str
    signal: Signal | None
    terms: ContractTerms | None


class SimulatedDesk:
    """One account's decisions and their fills."""

    def __init__(
        self,
        config: PortfolioConfig,
        market: BacktestMarket,
        slippage: Slippage,
        *,
        fill_later: bool,
    ) -> None:
        """`fill_later`: decisions wait for `fill_waiting`; else they fill where they are made."""
        self._config = config
        self._market = market
        self._slippage = slippage
        self._fill_later = fill_later
        self._maker = DecisionMaker(config)
        self._closing: set[str] = set()
        self.book = self._maker.new_book()
        self.waiting: dict[str, list[_Order]] = {name: [] for name in config.instruments}
        self.decisions: Counter[str] = Counter()
        self.limiters: Counter[Limiter] = Counter()
        self.refusals: list[Refusal] = []

    def on_alert(self, signal: Signal, export_lots: int | None = None) -> Decision:
        """Decide on an entry or exit alert and carry it out."""
        terms = blocked = None
        if signal.type is not SignalType.EXIT and signal.instrument in self.book:
            day = signal.bar_time.date()
            blocked = self._market.entries_blocked(
                signal.instrument, day, special_sessions=self._config.trade_special_sessions
            )
            terms = self._market.terms(signal.instrument, day)
            self.book.mark(PriceMarked(signal.instrument, signal.price, signal.atr))
        if signal.type is SignalType.EXIT:
            self._cancel_waiting_entries(signal)
        decision = self._maker.decide(signal, self.book, terms, blocked=blocked)
        self._note(decision, signal, export_lots)
        if decision.acts:
            self._send(_Order(decision, signal.reason or "exit", signal, terms), signal.price)
        return decision

    def _cancel_waiting_entries(self, leave: Signal) -> None:
        """An exit that arrives while an entry waits cancels the entry first."""
        waiting = self.waiting.get(leave.instrument, [])
        kept = [
            order
            for order in waiting
            if not order.decision.lots or leave.layer not in (None, order.decision.layer)
        ]
        if len(kept) < len(waiting):
            self.waiting[leave.instrument] = kept
            self.book.release(ExposureReleased(leave.instrument))

    def close_hit(
        self, instrument: str, hit: list[Position], price: Decimal, time: datetime
    ) -> None:
        """Close layers whose stop was hit, those left out that are closed or closing already."""
        due = [layer for layer in hit if layer.lots and layer.id not in self._closing]
        decision = decide_stops(instrument, due)
        if decision is not None:
            self._carry_out(decision, f"{self._config.stop_mode.value}_STOP", price, time)

    def peel_off(self, instrument: str, price: Decimal, time: datetime) -> None:
        """Trim layers over their ongoing limits, where that is switched on."""
        equity = self.book.equity(self._config.equity_basis)
        trading = self._config.instruments[instrument].trading
        decision = decide_peel_off(instrument, self.book[instrument], equity, trading)
        if decision is not None and not self.waiting[instrument]:
            self._carry_out(decision, "PEEL_OFF", price, time)

    def fill_waiting(self, instrument: str, price: Decimal, time: datetime) -> None:
        """Fill what waits for this instrument at `price`, exits first."""
        orders = self.waiting[instrument]
        self.waiting[instrument] = []
        for order in sorted(orders, key=lambda item: item.decision.lots > 0):
            self._fill(order, price, time)

    def _carry_out(self, decision: Decision, reason: str, price: Decimal, time: datetime) -> None:
        self.decisions[decision.code.value] += 1
        self._send(_Order(decision, reason, None, None), price, time)

    def _note(self, decision: Decision, signal: Signal, export_lots: int | None) -> None:
        self.decisions[decision.code.value] += 1
        if signal.type is SignalType.EXIT:
            return
        if decision.lots and decision.limiter is not None:
            self.limiters[decision.limiter] += 1
        differs = export_lots is not None and export_lots != decision.lots
        if not decision.lots or differs:
            self.refusals.append(
                Refusal(
                    time=signal.bar_time,
                    instrument=signal.instrument,
                    type=signal.type,
                    layer=signal.layer,
                    price=signal.price,
                    code=decision.code.value,
                    reason=decision.reason,
                    our_lots=decision.lots,
                    export_lots=export_lots,
                )
            )

    def _send(self, order: _Order, price: Decimal, time: datetime | None = None) -> None:
        instrument = order.decision.instrument
        if not self._fill_later:
            when = time if order.signal is None else order.signal.bar_time
            if when is None:
                raise ValueError("an order without an alert needs its time")
            self._fill(order, price, when)
            return
        due = tuple(
            close for close in order.decision.closes if close.position_id not in self._closing
        )
        self._closing.update(close.position_id for close in due)
        self.waiting[instrument].append(
            replace(order, decision=replace(order.decision, closes=due))
        )
        if order.decision.lots:
            self.book.reserve(self._reservation(order.decision))

    def _reservation(self, decision: Decision) -> ExposureReserved:
        return ExposureReserved(
            intent_id=decision.instrument,
            instrument=decision.instrument,
            layer=decision.layer or 0,
            lots=decision.lots,
            risk=decision.risk,
            volatility=decision.volatility,
            margin=decision.margin,
        )

    def _fill(self, order: _Order, price: Decimal, time: datetime) -> None:
        if order.decision.lots and order.signal is not None and order.terms is not None:
            self._open(order.decision, order.signal, order.terms, price, time)
        closes = order.decision.closes
        for number, close in enumerate(closes, start=1):
            self._close(order, close, price, time, more_follow=number < len(closes))

    def _open(
        self,
        decision: Decision,
        signal: Signal,
        terms: ContractTerms,
        price: Decimal,
        time: datetime,
    ) -> None:
        filled = self._slippage.price(price, terms.tick, buying=True)
        instrument, day = decision.instrument, time.date()
        self.book.open_layer(
            LayerOpened(
                instrument=instrument,
                layer=decision.layer or 1,
                lots=decision.lots,
                price=filled,
                time=time,
                initial_stop=decision.initial_stop or signal.stop,
                close=signal.price,
                atr=signal.atr,
                point_value=terms.point_value,
                lot_size=terms.lot_size,
                margin_per_lot=decision.margin / decision.lots,
                charges=self._market.charges(terms, filled, decision.lots, day, opening=True),
                intent_id=instrument,
                limiter=decision.limiter,
                symbol=terms.symbol,
            )
        )

    def _close(
        self,
        order: _Order,
        close: LayerClose,
        price: Decimal,
        time: datetime,
        *,
        more_follow: bool,
    ) -> None:
        instrument, day = order.decision.instrument, time.date()
        held = self.book[instrument].layer(close.layer)
        if held is None:
            raise LookupError(f"{close.position_id} is not open")
        terms = replace(
            self._market.terms(instrument, day),
            lot_size=held.lot_size,
            point_value=held.point_value,
        )
        filled = self._slippage.price(price, terms.tick, buying=False)
        self._closing.discard(close.position_id)
        self.book.reduce_layer(
            LayerReduced(
                instrument=instrument,
                position_id=close.position_id,
                lots=close.lots,
                price=filled,
                time=time,
                charges=self._market.charges(terms, filled, close.lots, day, opening=False),
                reason=order.reason,
                more_follow=more_follow,
            )
        )
