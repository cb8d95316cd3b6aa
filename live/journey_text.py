"""The journey of one alert as a trader reads it: from its arrival to the money, in order.

Every number a decision was made from is shown, so that it can be worked out again by hand.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal

from core.db_state_manager.history import IntentJourney, SignalJourney
from core.db_state_manager.json_values import from_json
from core.db_state_manager.records import AuditRow, Fill, Leg, OrderRow
from core.db_state_manager.states import AuditKind
from core.decision_record import Constraint, Decision, DecisionInputs, GateVerdict
from core.ist import as_ist
from core.models import layer_name
from core.number_text import grouped, rupees

_STEP = "  "
# At one moment: decided, then (1) worked, then booked.
_ORDER = {
    AuditKind.DECISION: 0,
    AuditKind.OPENED: 2,
    AuditKind.REDUCED: 2,
    AuditKind.ROLLED: 2,
}


def journey_lines(journey: SignalJourney) -> Iterator[str]:
    """The journey, line by line."""
    signal = journey.signal
    what = f"{signal.type} {signal.instrument} {layer_name(signal.layer)}"
    yield f"Signal {signal.id}: {what}"
    yield f"{_STEP}bar        {_time(signal.bar_time)}"
    yield f"{_STEP}received   {_time(signal.received_at)}" + _repeats(signal.attempts)
    yield f"{_STEP}finished   {_time(signal.finished_at)}"
    yield f"{_STEP}status     {signal.status}"
    if signal.outcome is not None:
        yield f"{_STEP}outcome    {signal.outcome.code}: {signal.outcome.reason}"
    steps = [(row.at, _ORDER[row.kind], _audit(row)) for row in journey.audit]
    steps += [(item.intent.created_at, 1, _intent(item)) for item in journey.intents]
    for _, _, lines in sorted(steps, key=lambda step: step[:2]):
        yield from lines
    if not journey.audit and not journey.intents:
        yield "Nothing was decided on it" + (" yet." if signal.finished_at is None else ".")


def decision_lines(decision: Decision) -> Iterator[str]:
    """What was decided, from what, and what bound it."""
    yield f"{decision.code}: {decision.reason}"
    if decision.inputs is not None:
        yield from _indented(_inputs(decision.inputs))
    if decision.constraints:
        yield from _indented(_constraints(decision.constraints, decision))
    yield from _indented(_gate(gate) for gate in decision.gates)
    if decision.lots:
        stop = _points(decision.initial_stop)
        yield f"{_STEP}result     {decision.lots} lots, initial stop {stop}"
        yield (
            f"{_STEP}adds       risk {rupees(decision.risk)}, volatility "
            f"{rupees(decision.volatility)}, margin {rupees(decision.margin)}"
        )
    for close in decision.closes:
        yield f"{_STEP}closes     {close.lots} lots of {close.position_id}"
    for roll in decision.rolls:
        yield f"{_STEP}rolls      {roll.lots} lots of {roll.position_id} into {roll.lots_after}"


def _inputs(given: DecisionInputs) -> Iterator[str]:
    yield f"equity     {rupees(given.equity)}, highest {rupees(given.equity_high)}"
    yield f"at risk    {rupees(given.risk)}, volatility {rupees(given.volatility)}"
    funds = given.broker_free_funds
    yield (
        f"margin     in use {rupees(given.margin_in_use)}, reserved "
        f"{rupees(given.margin_reserved)}, available {rupees(given.margin_available)}"
        + ("" if funds is None else f", free at the broker {rupees(funds)}")
    )
    yield (
        f"alert      price {_points(given.price)}, stop {_points(given.stop)}, sized on "
        f"{_points(given.stop_distance)} points, ATR {_points(given.atr)}, ER {given.er:g}"
    )
    yield (
        f"contract   {rupees(given.point_value)} a point a lot, {given.lot_size} units a lot, "
        f"margin {rupees(given.margin_per_lot)} a lot"
    )
    if given.open_pnl is not None and given.base_risk is not None:
        yield (
            f"to add to  open P&L {rupees(given.open_pnl)}, base risk {rupees(given.base_risk)}, "
            f"last layer {given.previous_lots} lots"
        )


def _constraints(constraints: Iterable[Constraint], decision: Decision) -> Iterator[str]:
    yield f"{'limit':<21}{'share':>8}{'budget':>18}{'a lot':>16}{'lots':>6}"
    for item in constraints:
        bound = "  <- binds" if item.limiter is decision.limiter else ""
        noted = "" if item.enforced else "  (recorded only)"
        yield (
            f"{item.limiter:<21}{item.share.normalize():>8f}{grouped(item.budget):>18}"
            f"{grouped(item.per_lot):>16}{item.lots:>6}{bound}{noted}"
        )


def _gate(gate: GateVerdict) -> str:
    verdict = "passed" if gate.passed else "FAILED"
    return (
        f"gate       {verdict} {gate.name}: {_points(gate.measured)} to {_points(gate.threshold)}"
    )


def _audit(row: AuditRow) -> Iterator[str]:
    if row.kind is AuditKind.DECISION:
        first, *others = decision_lines(from_json(Decision, row.detail))
        yield f"{_time(row.at)}  decided: {first}"
        yield from others
        return
    detail = row.detail
    place = detail.get("position_id") or layer_name(detail.get("layer"))
    price = _points(Decimal(str(detail.get("price") or detail["far_open"])))
    yield f"{_time(row.at)}  booked: {row.kind} {detail['lots']} lots of {place} at {price}"


def _intent(journey: IntentJourney) -> Iterator[str]:
    intent = journey.intent
    yield (
        f"{_time(intent.created_at)}  operation {intent.id}: {intent.action} of {intent.lots} lots "
        f"for {intent.source}, {intent.state}" + (f" ({intent.reason})" if intent.reason else "")
    )
    for leg in journey.legs:
        yield from _indented(_leg(leg, journey.orders, journey.fills))
    for position in journey.positions:
        yield (
            f"{_STEP}position   {position.id} {position.state}: {position.lots} of "
            f"{position.initial_lots} lots from {_points(position.entry_price)}, stop "
            f"{_points(position.stop)}"
        )
    for roll in journey.rolls:
        yield (
            f"{_STEP}rolled     {_time(roll.at)} {roll.position_id} from {roll.near} at "
            f"{_points(roll.near_close)} to {roll.far} at {_points(roll.far_open)}, basis "
            f"{_points(roll.basis)}, {roll.lots_before} lots into {roll.lots_after}, charges "
            f"{rupees(roll.charges)}, operation {roll.intent_id}"
        )
    for line in journey.ledger:
        note = f" ({line.notes})" if line.notes else ""
        yield (
            f"{_STEP}ledger     {line.kind} {rupees(line.amount)}, equity then "
            f"{rupees(line.equity_after)}{note}"
        )


def _leg(leg: Leg, orders: Iterable[OrderRow], fills: Iterable[Fill]) -> Iterator[str]:
    yield (
        f"leg {leg.place}      {leg.purpose} {leg.side} {leg.lots} lots ({leg.quantity}) "
        f"{leg.symbol} {leg.exchange}, {leg.state}{_filled(leg.filled_quantity, leg.average_price)}"
    )
    done = tuple(fills)
    for order in orders:
        if order.leg_id == leg.id:
            yield from _indented(_order(order, done))


def _order(order: OrderRow, fills: Iterable[Fill]) -> Iterator[str]:
    name = order.order_id or "without an id"
    told = f" ({order.reason})" if order.reason else ""
    yield (
        f"{_time(order.created_at)}  order {name} at {order.broker}: {order.price_type} "
        f"{order.quantity} at {_points(order.price)}, {order.state}{told}"
    )
    for fill in fills:
        if fill.order == order.id:
            filled = _filled(fill.cumulative_quantity, fill.average_price)
            yield f"{_STEP}{_time(fill.at)}  in all{filled}"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (_STEP + line for line in lines)


def _filled(quantity: int, average: Decimal) -> str:
    return f", {quantity} filled at {_points(average)}" if quantity else ", nothing filled"


def _repeats(attempts: int) -> str:
    return f", for the {attempts}. time" if attempts > 1 else ""


def _points(value: Decimal | None) -> str:
    return "none" if value is None else grouped(value)


def _time(moment: datetime | None) -> str:
    return "not yet" if moment is None else f"{as_ist(moment):%d-%b-%Y %H:%M:%S.%f}"[:-3]
