"""The one place where (alert, book, configuration) becomes a decision, live and in the backtest.

Exits close what is held, always: nothing about age, price, calendar or gates is asked of them.
Entries pass validation, sizing, caps and, for adds, the gate; the record holds every number.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from core.book_events import PriceMarked
from core.config import PortfolioConfig
from core.decision_record import Decision, DecisionCode, DecisionInputs, GateVerdict, LayerClose
from core.models import ContractTerms, Position, Signal, SignalType, layer_name
from core.portfolio_state import InstrumentBook, PortfolioStateManager
from core.position_sizer import NO_QUOTE, BrokerQuote, Size, TomBassoPositionSizer
from core.pyramid_gate import PyramidGateController
from core.signal_validator import ProposedEntry, Refused, SignalValidator
from core.stop_manager import TomBassoStopManager


@dataclass(frozen=True, slots=True)
class AtExecution:
    """How an entry alert meets the market: the broker's price and the alert's two ages.

    `age_s` runs from when it was received, `bar_age_s` from when its bar closed.
    """

    broker_price: Decimal
    age_s: float
    bar_age_s: float


class DecisionMaker:
    """`decide()` bound to one configuration; holds the sizers, gates and stop managers."""

    def __init__(self, config: PortfolioConfig) -> None:
        self.config = config
        self._validator = SignalValidator(config.validation, 1 + config.pyramid.max_adds)
        self.stops: dict[str, TomBassoStopManager[Decimal]] = {}
        self._sizers: dict[str, TomBassoPositionSizer] = {}
        self._gates: dict[str, PyramidGateController] = {}
        for name, instrument in config.instruments.items():
            trading = instrument.trading
            manager = TomBassoStopManager(
                config.stop_mode, trading.initial_atr_mult, trading.trailing_atr_mult
            )
            self.stops[name] = manager
            self._sizers[name] = TomBassoPositionSizer(config, trading, manager)
            self._gates[name] = PyramidGateController(config, trading)

    def new_book(self) -> PortfolioStateManager:
        """An empty book that moves stops by this configuration."""
        return PortfolioStateManager(self.stops)

    def decide(
        self,
        signal: Signal,
        book: PortfolioStateManager,
        terms: ContractTerms | None = None,
        broker: BrokerQuote = NO_QUOTE,
        blocked: Refused | None = None,
    ) -> Decision:
        """Decide on an entry or an exit.

        `terms` and `blocked` concern entries only: without terms, or with a block (calendar,
        lock, kill switch), an entry is refused for that reason. Never raises for an alert's
        content.
        """
        if signal.instrument not in book:
            return _refusal(
                signal,
                Refused(
                    DecisionCode.INSTRUMENT_UNKNOWN,
                    f"{signal.instrument} is not configured",
                ),
            )
        if signal.type is SignalType.EXIT:
            return _decide_exit(signal, book[signal.instrument])
        refused = self._entry_refused(signal, book, terms, blocked)
        if refused is not None or terms is None:
            no_terms = Refused(DecisionCode.ENTRIES_BLOCKED, "no contract terms are known")
            return _refusal(signal, refused or no_terms)
        held = book[signal.instrument]
        sizer = self._sizers[signal.instrument]
        account = book.account(self.config.equity_basis)
        given = sizer.inputs(signal, account, terms, broker, held)
        if signal.type is SignalType.BASE_ENTRY:
            return _entry(signal, DecisionCode.ENTER_BASE, sizer.base(given), given, ())
        size = sizer.pyramid(given)
        gates = self._gates[signal.instrument].judge(signal, given, size, held)
        if not all(gate.passed for gate in gates):
            return _gate_closed(signal, size, given, gates)
        return _entry(signal, DecisionCode.ENTER_PYRAMID, size, given, gates)

    def mark(self, signal: Signal, book: PortfolioStateManager, broker_price: Decimal) -> None:
        """Take the broker's price and the alert's ATR as the latest, if both can be right.

        A price far from the alert's is a wrong quote or a wrong alert: nothing is marked by it.
        """
        wrong = self._validator.check_alert(signal, book)
        if wrong is None and self._validator.check_divergence(signal, broker_price) is None:
            book.mark(PriceMarked(signal.instrument, broker_price, signal.atr))

    def confirm(self, signal: Signal, decision: Decision, at: AtExecution) -> Decision:
        """A decided entry as it may be executed: unchanged, with fewer lots, or refused."""
        check = self._validator.check_execution(
            ProposedEntry.of(signal, decision),
            at.broker_price,
            at.age_s,
            at.bar_age_s,
        )
        if check.refused is not None:
            return replace(
                _with_lots(decision, 0), code=check.refused.code, reason=check.refused.reason
            )
        if check.lots == decision.lots:
            return decision
        reason = (
            f"{check.lots} lots: {decision.lots} would risk more at the broker's "
            f"{at.broker_price} than they were sized for"
        )
        return replace(_with_lots(decision, check.lots), reason=reason)

    def _entry_refused(
        self,
        signal: Signal,
        book: PortfolioStateManager,
        terms: ContractTerms | None,
        blocked: Refused | None,
    ) -> Refused | None:
        """The first reason, if any, for which an entry is not even sized."""
        if not self.config.instruments[signal.instrument].enabled:
            return Refused(
                DecisionCode.INSTRUMENT_DISABLED, f"{signal.instrument} is disabled for entries"
            )
        if blocked is not None:
            return blocked
        refused = self._validator.check_alert(signal, book)
        if refused is None and book.reserved(signal.instrument):
            return Refused(
                DecisionCode.ENTRY_IN_FLIGHT,
                f"an entry of {signal.instrument} is already on its way",
            )
        return refused


def decide(
    signal: Signal,
    book: PortfolioStateManager,
    config: PortfolioConfig,
    terms: ContractTerms | None = None,
    broker: BrokerQuote = NO_QUOTE,
    blocked: Refused | None = None,
) -> Decision:
    """One decision on its own; whoever decides often keeps a `DecisionMaker`."""
    return DecisionMaker(config).decide(signal, book, terms, broker, blocked)


def decide_stops(instrument: str, hit: list[Position]) -> Decision | None:
    """Close the layers whose stops were hit at a closed bar; None when none was."""
    if not hit:
        return None
    names = ", ".join(f"{layer.id} below {layer.stop}" for layer in hit)
    return Decision(
        code=DecisionCode.STOP_HIT,
        reason=f"closed {names}",
        instrument=instrument,
        type=SignalType.MARKET_DATA,
        closes=tuple(map(_close, hit)),
    )


def one_lot(decision: Decision) -> Decision:
    """The same entry with a single lot; its reason keeps what was calculated."""
    if decision.lots <= 1:
        return decision
    reason = f"1 lot in test mode; calculated: {decision.reason}"
    return replace(_with_lots(decision, 1), reason=reason)


def _with_lots(decision: Decision, lots: int) -> Decision:
    """An entry's decision for fewer lots, with what those add to the account."""
    share = Decimal(lots) / decision.lots
    return replace(
        decision,
        lots=lots,
        risk=decision.risk * share,
        volatility=decision.volatility * share,
        margin=decision.margin * share,
    )


def _decide_exit(signal: Signal, held: InstrumentBook) -> Decision:
    chosen = [layer for layer in held.layers if signal.layer in (None, layer.layer)]
    if not chosen:
        return _refusal(
            signal,
            Refused(
                DecisionCode.NOTHING_HELD,
                f"{signal.instrument} {layer_name(signal.layer)} is not open",
            ),
        )
    return Decision(
        code=DecisionCode.EXIT,
        reason=signal.reason or "exit",
        instrument=signal.instrument,
        type=signal.type,
        layer=signal.layer,
        closes=tuple(map(_close, chosen)),
    )


def _close(layer: Position) -> LayerClose:
    return LayerClose(layer.id, layer.layer, layer.lots)


def _refusal(signal: Signal, refused: Refused) -> Decision:
    return Decision(
        code=refused.code,
        reason=refused.reason,
        instrument=signal.instrument,
        type=signal.type,
        layer=signal.layer,
    )


def _gate_closed(
    signal: Signal, size: Size, given: DecisionInputs, gates: tuple[GateVerdict, ...]
) -> Decision:
    failed = ", ".join(
        gate.name
        if gate.measured is None
        else f"{gate.name} ({gate.measured:.2f} against {gate.threshold:.2f})"
        for gate in gates
        if not gate.passed
    )
    return Decision(
        code=DecisionCode.GATE_CLOSED,
        reason=f"gate closed: {failed}",
        instrument=signal.instrument,
        type=signal.type,
        layer=signal.layer,
        limiter=size.limiter,
        inputs=given,
        constraints=size.constraints,
        gates=gates,
    )


def _entry(
    signal: Signal,
    code: DecisionCode,
    size: Size,
    given: DecisionInputs,
    gates: tuple[GateVerdict, ...],
) -> Decision:
    if size.lots == 0:
        code = DecisionCode.ZERO_LOTS
        reason = f"{size.limiter.value} allows less than one lot"
    else:
        reason = f"{size.lots} lots, limited by {size.limiter.value}"
    return Decision(
        code=code,
        reason=reason,
        instrument=signal.instrument,
        type=signal.type,
        layer=signal.layer,
        lots=size.lots,
        initial_stop=size.initial_stop,
        risk=size.risk_per_lot * size.lots,
        volatility=size.volatility_per_lot * size.lots,
        margin=given.margin_per_lot * size.lots,
        limiter=size.limiter,
        inputs=given,
        constraints=size.constraints,
        gates=gates,
    )
