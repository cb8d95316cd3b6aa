"""What can go wrong with the stream of order updates: with its connections, and with each update.

Frames of a subscriber and updates are calls of an endpoint of their own, `orderstream`, so faults
pick them by the rules that hold for every call. Whatever an update says, the books stay true.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from brokers.paper_exchange.calls import Call, Json, Request, Subject
from brokers.paper_exchange.fault_plan import FaultPlan
from brokers.paper_exchange.faults import STREAM, Fault, FaultName
from brokers.paper_exchange.orders import OrderStatus


@dataclass(frozen=True, slots=True)
class Sending:
    """Something to tell, `after_s` from now."""

    update: Json
    after_s: float = 0.0


Effect = Callable[[Fault, list[Sending]], list[Sending]]


def _lose(_: Fault, __: list[Sending]) -> list[Sending]:
    return []


def _twice(_: Fault, told: list[Sending]) -> list[Sending]:
    return told * 2


def _late(fault: Fault, told: list[Sending]) -> list[Sending]:
    return [Sending(each.update, each.after_s + fault.terms.seconds) for each in told]


def _false(fault: Fault, told: list[Sending]) -> list[Sending]:
    """Another end than the true one; an order that is said to be complete is said to be filled."""
    status = fault.terms.status or OrderStatus.COMPLETE
    claimed: Json = {"order_status": status.value}
    lied = []
    for each in told:
        if status is OrderStatus.COMPLETE:
            whole = {"filled_quantity": each.update["quantity"], "pending_quantity": 0}
            claimed |= {**whole, "average_price": each.update["price"]}
        lied.append(Sending({**each.update, **claimed}, each.after_s))
    return lied


def _misnamed(_: Fault, told: list[Sending]) -> list[Sending]:
    """As if it were of an order that nobody has: the id is one that the exchange never gives."""
    return [
        Sending({**each.update, "orderid": f"9{each.update['orderid']}"}, each.after_s)
        for each in told
    ]


# What becomes of an update.
UPDATES: Mapping[FaultName, Effect] = {
    FaultName.UPDATES_LOST: _lose,
    FaultName.UPDATES_TWICE: _twice,
    FaultName.UPDATES_LATE: _late,
    FaultName.UPDATES_FALSE: _false,
    FaultName.UPDATES_MISNAMED: _misnamed,
}
# What becomes of a connection over which something would be said.
CONNECTIONS = (FaultName.STREAM_DOWN, FaultName.STREAM_MUTE)


class StreamFaults:
    """The faults of one exchange, where the stream meets them."""

    def __init__(self, plan: FaultPlan) -> None:
        self._plan = plan

    def connection(self) -> FaultName | None:
        """How the connection fails whose subscriber has just said something."""
        if self._plan.is_empty:
            return None
        call = self._plan.receive(STREAM, {}, Subject())
        return self._connection(call, self._plan.picks(call))

    def of_update(self, update: Json, subject: Subject) -> tuple[FaultName | None, list[Sending]]:
        """How all connections fail over an update, and what is told in its place."""
        told = [Sending(update)]
        if self._plan.is_empty:
            return None, told
        asked: Request = {"orderid": update["orderid"], "order_status": update["order_status"]}
        call = self._plan.receive(STREAM, asked, subject)
        picked = self._plan.picks(call)
        broken = self._connection(call, picked)
        for fault in picked if broken is None else ():
            if fault.name in UPDATES and self._plan.claim(fault):
                told = UPDATES[fault.name](fault, told)
                self._plan.struck(fault, call, "changed an update")
        return broken, told

    def _connection(self, call: Call, picked: list[Fault]) -> FaultName | None:
        for fault in picked:
            if fault.name in CONNECTIONS and self._plan.claim(fault):
                self._plan.struck(fault, call, "struck a connection")
                return fault.name
        return None
