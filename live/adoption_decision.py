"""The decision that stands for what was done at the broker: its numbers are those of the moment.

Both are asked inside the booking's transaction, on the book as it is then: a layer that changed
meanwhile makes them refuse.
"""

from decimal import Decimal

from core.config import EquityBasis
from core.db_state_manager.intents import Decide
from core.decision_record import Decision, DecisionCode, DecisionInputs
from core.errors import Rejected
from core.models import MAX_LAYERS, ContractTerms, SignalType
from core.portfolio_state import InstrumentBook, PortfolioStateManager
from live.adoption_plan import Step


def closing(step: Step, reason: str) -> Decide:
    """Decides on what a step closes."""

    def decide(book: PortfolioStateManager) -> Decision:
        held = {layer.id: layer.lots for layer in book[step.instrument].layers}
        for close in step.closes:
            if held.get(close.position_id, 0) < close.lots:
                raise Rejected("BOOKS_MOVED", f"{close.position_id} changed meanwhile: look again")
        return Decision(
            code=DecisionCode.EXIT,
            reason=f"done at the broker: {reason}",
            instrument=step.instrument,
            type=SignalType.EXIT,
            closes=step.closes,
        )

    return decide


def opening(step: Step, reason: str, price: Decimal, stop: Decimal, terms: ContractTerms) -> Decide:
    """Decides on the layer that a step opens, at its price and stop in points."""

    def decide(book: PortfolioStateManager) -> Decision:
        held = book[step.instrument]
        layer = held.top_layer + 1 if held.layers else 1
        if layer > MAX_LAYERS:
            raise Rejected("LAYERS_FULL", f"{step.instrument} holds {MAX_LAYERS} layers already")
        if not 0 < stop < price:
            raise Rejected("STOP_NOT_BELOW_PRICE", f"a stop of {stop} is not below {price}")
        inputs = _inputs(book, held, price, stop, terms)
        point_value = terms.point_value
        is_base = layer == 1
        return Decision(
            code=DecisionCode.ENTER_BASE if is_base else DecisionCode.ENTER_PYRAMID,
            reason=f"done at the broker: {reason}",
            instrument=step.instrument,
            type=SignalType.BASE_ENTRY if is_base else SignalType.PYRAMID,
            layer=layer,
            lots=step.lots,
            initial_stop=stop,
            risk=(price - stop) * step.lots * point_value,
            volatility=inputs.atr * step.lots * point_value,
            margin=inputs.margin_per_lot * step.lots,
            inputs=inputs,
        )

    return decide


def _inputs(
    book: PortfolioStateManager,
    held: InstrumentBook,
    price: Decimal,
    stop: Decimal,
    terms: ContractTerms,
) -> DecisionInputs:
    if held.atr is None:
        raise Rejected("NO_ATR", "no bar of it is known yet: its ATR is needed for a layer")
    account = book.account(EquityBasis.CLOSED)
    return DecisionInputs(
        equity=account.equity,
        equity_high=account.equity_high,
        risk=account.risk,
        volatility=account.volatility,
        margin_in_use=account.margin_in_use,
        margin_reserved=account.margin_reserved,
        margin_available=account.equity - account.margin_in_use - account.margin_reserved,
        broker_free_funds=None,
        price=price,
        stop=stop,
        stop_distance=price - stop,
        atr=held.atr,
        er=0.0,
        point_value=terms.point_value,
        lot_size=terms.lot_size,
        margin_per_lot=terms.margin_per_lot(price),
    )
