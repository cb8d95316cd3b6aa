"""Trimming layers that outgrew their ongoing limits: whole lots are closed, none is ever re-added.

Ongoing risk of a layer is what it would give back from the latest price to its current stop, and
its ongoing volatility is the latest ATR, each x lots x point value; a layer may hold as many lots
as keep both under their share of equity (Basso's ongoing limits, which are apart from the initial
ones).
"""

from decimal import Decimal

from core.config import TradingConfig, fraction
from core.decision_record import Decision, DecisionCode, LayerClose
from core.models import Position, SignalType
from core.portfolio_state import InstrumentBook


def decide_peel_off(
    instrument: str, held: InstrumentBook, equity: Decimal, trading: TradingConfig
) -> Decision | None:
    """The lots to close at the latest bar, or None when every layer is within its limits."""
    closes = []
    for layer in held.layers:
        surplus = layer.lots - _lots_allowed(layer, held, equity, trading)
        if surplus > 0:
            closes.append(LayerClose(layer.id, layer.layer, surplus))
    if not closes:
        return None
    trimmed = ", ".join(f"{close.lots} of {close.position_id}" for close in closes)
    return Decision(
        code=DecisionCode.PEEL_OFF,
        reason=f"over the ongoing limits: {trimmed}",
        instrument=instrument,
        type=SignalType.MARKET_DATA,
        closes=tuple(closes),
    )


def _lots_allowed(
    layer: Position, held: InstrumentBook, equity: Decimal, trading: TradingConfig
) -> int:
    price, atr = held.price, held.atr
    if price is None or atr is None:
        return layer.lots
    allowed = layer.lots
    for share_pct, points in (
        (trading.ongoing_risk_pct, price - layer.stop),
        (trading.ongoing_volatility_pct, atr),
    ):
        if points > 0:
            most = fraction(share_pct) * equity // (points * layer.point_value)
            allowed = min(allowed, max(0, int(most)))
    return allowed
