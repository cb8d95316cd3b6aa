"""Whether a layer may be added. The gate names every condition that fails, never just the first.

Risk and volatility are those of the whole account after the add, with the lots that would really
be added.
"""

from decimal import Decimal

from core.config import PortfolioConfig, TradingConfig, fraction
from core.decision_record import DecisionInputs, GateVerdict
from core.models import Position, Signal
from core.portfolio_state import InstrumentBook
from core.position_sizer import Size

ZERO = Decimal(0)


class PyramidGateController:
    """Judges adds of one instrument."""

    def __init__(self, config: PortfolioConfig, trading: TradingConfig) -> None:
        self._rules = config.pyramid
        self._trading = trading

    def judge(
        self,
        signal: Signal,
        given: DecisionInputs,
        size: Size,
        held: InstrumentBook,
    ) -> tuple[GateVerdict, ...]:
        """A verdict for each condition, in a fixed order; `size` is what would be added.

        Without a base layer or any layer, what is measured from it fails unmeasured.
        """
        open_pnl = given.open_pnl or ZERO
        verdicts = [
            *self._chart(signal, held),
            GateVerdict("open_pnl_positive", open_pnl > ZERO, open_pnl, ZERO),
            *self._account(given, size),
        ]
        if self._trading.use_roc_filter:
            verdicts.append(self._momentum(signal))
        return tuple(verdicts)

    def judge_chart(self, signal: Signal, held: InstrumentBook) -> tuple[GateVerdict, ...]:
        """What the chart and the layers alone say of an add, before it has a size."""
        verdicts = self._chart(signal, held)
        if self._trading.use_roc_filter:
            return (*verdicts, self._momentum(signal))
        return verdicts

    def _chart(self, signal: Signal, held: InstrumentBook) -> tuple[GateVerdict, ...]:
        base = held.layer(1)
        last = held.layers[-1] if held.layers else None
        return (
            GateVerdict("base_layer_open", base is not None, None, None),
            self._profit(signal, base),
            self._spacing(signal, last),
        )

    def _profit(self, signal: Signal, base: Position | None) -> GateVerdict:
        """Points gained since the base entry, beyond `min_profit_r` x R in points."""
        if base is None:
            return GateVerdict("profit_beyond_r", False, None, None)
        needed = self._rules.min_profit_r * base.r_points
        gained = signal.price - base.entry_price
        return GateVerdict("profit_beyond_r", gained > needed, gained, needed)

    def _spacing(self, signal: Signal, last: Position | None) -> GateVerdict:
        """Points since the last entry, at least the spacing in ATR."""
        if last is None:
            return GateVerdict("atr_spacing", False, None, None)
        needed = self._trading.pyramid_atr_spacing * signal.atr
        moved = signal.price - last.entry_price
        return GateVerdict("atr_spacing", moved >= needed, moved, needed)

    def _account(self, given: DecisionInputs, size: Size) -> tuple[GateVerdict, ...]:
        """Risk and volatility of the account after the add, against their caps, in rupees."""
        risk = given.risk + size.risk_per_lot * size.lots
        volatility = given.volatility + size.volatility_per_lot * size.lots
        risk_cap = fraction(self._rules.max_risk_pct) * given.equity
        volatility_cap = fraction(self._rules.max_volatility_pct) * given.equity
        return (
            GateVerdict("portfolio_risk", risk <= risk_cap, risk, risk_cap),
            GateVerdict(
                "portfolio_volatility", volatility <= volatility_cap, volatility, volatility_cap
            ),
        )

    def _momentum(self, signal: Signal) -> GateVerdict:
        """ROC in percent, above its threshold; an alert without ROC fails."""
        threshold = Decimal(repr(self._trading.roc_threshold))
        if signal.roc is None:
            return GateVerdict("roc", False, None, threshold)
        measured = Decimal(repr(signal.roc))
        return GateVerdict("roc", measured > threshold, measured, threshold)
