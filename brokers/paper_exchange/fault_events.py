"""What happens at the exchange as a call comes in, before it is carried out; all of it is true.

An event that finds nothing to do says so, and then its fault did not strike.
"""

import time
from collections.abc import Callable, Mapping
from decimal import Decimal

from brokers.paper_exchange.fault_stroke import Stroke
from brokers.paper_exchange.faults import FaultName
from brokers.paper_exchange.fill_script import Piece
from brokers.paper_exchange.funds import ExchangeView
from brokers.paper_exchange.listing import Contract
from brokers.paper_exchange.orders import Action, Mode, OrderStatus
from core.symbols import OptionRight

_MOST_STEPS = 100


def _slow(stroke: Stroke) -> bool:
    time.sleep(stroke.fault.terms.seconds)
    return True


def _switch_mode(stroke: Stroke) -> bool:
    mode = Mode(stroke.fault.terms.mode)
    if stroke.exchange.mode is mode:
        return False
    stroke.exchange.set_mode(mode)
    return True


def _change_lotsize(stroke: Stroke) -> bool:
    fault = stroke.fault
    stroke.exchange.change_lotsize(str(fault.rule.instrument), fault.terms.lotsize)
    return True


def _fill_meanwhile(stroke: Stroke) -> bool:
    terms = stroke.fault.terms
    return stroke.exchange.fill(str(stroke.asked["orderid"]), terms.quantity, terms.price)


def _run_away(stroke: Stroke) -> bool:
    """The price moves against the order that is asked about, else against the newest that rests."""
    rule, asked = stroke.fault.rule, stroke.asked
    with stroke.exchange.view() as view:
        if stroke.endpoint == "placeorder":
            found = [(asked["symbol"], asked["exchange"], Action(asked["action"].upper()))]
        else:
            own = str(asked.get("orderid", ""))
            found = [
                (each.symbol, each.exchange, each.action)
                for each in view.books.resting()
                if own in ("", each.orderid) and stroke.concerns({"orderid": each.orderid})
            ]
        if not found:
            return False
        symbol, exchange, action = found[-1]
        contract = view.market.find(symbol, exchange, view.day)
        if contract is None or rule.instrument not in (None, contract.instrument):
            return False
        price = away_from(view, contract, action, stroke.fault.terms.ticks)
        stroke.exchange.move_price(contract.instrument, price)
        return True


def away_from(view: ExchangeView, contract: Contract, action: Action, ticks: int) -> Decimal:
    """What its underlying must cost for `contract` to be `ticks` worse for an order on it.

    It goes there in steps of as many ticks, because an option moves less than its underlying.
    """
    rises = (action is Action.BUY) != (contract.right is OptionRight.PUT)
    move = ticks * contract.tick
    step = move if rises else -move
    before, price = view.market.last_price(contract, view.day), view.market.underlying(contract)
    for _ in range(_MOST_STEPS):
        price = max(price + step, contract.tick)
        if action.sign * (view.market.value(contract, price, view.day) - before) >= move:
            break
    return price


EVENTS: Mapping[FaultName, Callable[[Stroke], bool]] = {
    FaultName.SLOW_BEFORE: _slow,
    FaultName.MODE_SWITCHED: _switch_mode,
    FaultName.LOTSIZE_CHANGED: _change_lotsize,
    FaultName.FILL_WHILE_CANCELLING: _fill_meanwhile,
    FaultName.PRICE_RUNS_AWAY: _run_away,
}


def _pieces_of_fault(stroke: Stroke) -> tuple[Piece, ...]:
    return stroke.fault.terms.pieces


def _rejection(stroke: Stroke) -> tuple[Piece, ...]:
    terms = stroke.fault.terms
    rejected = OrderStatus.REJECTED
    return (Piece(after_s=terms.after_s, after_looks=terms.after_looks, ends=rejected),)


# How an order that is placed now goes on, once it is accepted.
FATES: Mapping[FaultName, Callable[[Stroke], tuple[Piece, ...]]] = {
    FaultName.PARTIAL_FILL: _pieces_of_fault,
    FaultName.REJECTED_AFTER_ACCEPT: _rejection,
    FaultName.CONTRACT_ABSENT: _rejection,
}
