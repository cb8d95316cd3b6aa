"""Answers that are changed after the call was carried out. None: there was nothing to lie about.

A lie touches the rows that its fault's rule concerns, and keeps the shape of the true answer.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from brokers.paper_exchange import answers, fault_quotes
from brokers.paper_exchange.calls import CLOSED, Answer, Json
from brokers.paper_exchange.fault_answers import internal_error
from brokers.paper_exchange.fault_events import EVENTS
from brokers.paper_exchange.fault_stroke import Stroke
from brokers.paper_exchange.faults import Cancelled, FaultName

_NOT_FOUND = "Order {} not found"


def _closed(_: Stroke, __: Answer) -> Answer:
    return CLOSED


def _internal_error(stroke: Stroke, _: Answer) -> Answer:
    return internal_error(stroke)


def _slow(stroke: Stroke, answer: Answer) -> Answer:
    EVENTS[FaultName.SLOW_BEFORE](stroke)
    return answer


def _cancelled_all_the_same(stroke: Stroke, answer: Answer) -> Answer | None:
    """The order has filled; the answer says that it was changed."""
    if stroke.fault.terms.answer is Cancelled.REFUSAL or answer.is_success:
        return answer
    words = "cancelled" if stroke.endpoint == "cancelorder" else "modified"
    orderid = str(stroke.asked["orderid"])
    text = f"Order {words} successfully"
    return Answer(answers.done_row(orderid, stroke.exchange.mode, text))


def _order_rows(answer: Answer) -> list[Json]:
    """The rows of orders in a book or a status."""
    data = answer.body["data"]
    rows: list[Json] = data.get("orders", [data])
    return rows


def _with_rows(
    stroke: Stroke, answer: Answer, change: Callable[[Stroke, Json], object]
) -> Answer | None:
    """`answer` with `change` made to each row that the rule concerns."""
    if not answer.is_success:
        return None
    changed = Answer(deepcopy(answer.body), answer.status)
    for row in _order_rows(changed):
        if stroke.concerns(row):
            change(stroke, row)
    return None if changed == answer else changed


def _hide_quantities(_: Stroke, row: Json) -> None:
    row.pop("filled_quantity", None)
    row.pop("pending_quantity", None)


def _show_first_fill(stroke: Stroke, row: Json) -> None:
    first = stroke.first_fill(row["orderid"])
    if first is not None and "average_price" in row:
        row["average_price"] = float(first)


def _no_filled_quantity(stroke: Stroke, answer: Answer) -> Answer | None:
    return _with_rows(stroke, answer, _hide_quantities)


def _first_fill_average(stroke: Stroke, answer: Answer) -> Answer | None:
    return _with_rows(stroke, answer, _show_first_fill)


def _transitional(stroke: Stroke, answer: Answer) -> Answer | None:
    """The newest order that came since the fault was set has the status of the order before it."""
    orders = stroke.orders()
    last = stroke.fault.memory["last_orderid"]
    new = [
        place
        for place, each in enumerate(orders)
        if each.orderid > last and stroke.concerns({"orderid": each.orderid})
    ]
    if not new or not answer.is_success:
        return None
    newest, above = orders[new[-1]], orders[max(new[-1] - 1, 0)]
    shown = stroke.fault.terms.status or above.status
    changed = Answer(deepcopy(answer.body), answer.status)
    for row in _order_rows(changed):
        if row["orderid"] == newest.orderid and row["order_status"] != shown.value:
            row["order_status"] = shown.value
            if "average_price" in row:
                row["average_price"] = 0.0
    return None if changed == answer else changed


def _stale(stroke: Stroke, answer: Answer) -> Answer | None:
    """What was answered when the fault was set."""
    before: Any = stroke.fault.memory["bodies"][stroke.endpoint]
    if stroke.endpoint == "orderstatus":
        body = before.get(str(stroke.asked["orderid"]))
        missing = stroke.refusal(_NOT_FOUND.format(stroke.asked["orderid"]), 404)
        old = missing if body is None else Answer(body)
    elif stroke.endpoint == "openposition":
        asked = stroke.asked
        key = f"{asked['exchange']}:{asked['symbol']}:{asked['product']}"
        old = Answer({**answer.body, "quantity": before.get(key, 0)})
    else:
        old = Answer(before)
    return None if old == answer else old


def _empty(stroke: Stroke, answer: Answer) -> Answer | None:
    """A success that leaves out what is there."""
    if not answer.is_success:
        return None
    body = deepcopy(answer.body)
    if stroke.endpoint == "orderstatus":
        return stroke.refusal(_NOT_FOUND.format(stroke.asked["orderid"]), 404)
    if stroke.endpoint == "openposition":
        body["quantity"] = 0
    elif stroke.endpoint == "funds":
        body["data"] = {}
    elif stroke.endpoint == "orderbook":
        rows = _left(stroke, body["data"]["orders"])
        body["data"] = {"orders": rows, "statistics": _counts(rows, body["data"]["statistics"])}
    else:
        body["data"] = _left(stroke, body["data"])
        if not body["data"]:
            body |= {name: 0.0 for name in body if name.startswith("total")}
    emptied = Answer(body)
    return None if emptied == answer else emptied


def _left(stroke: Stroke, rows: list[Json]) -> list[Json]:
    return [row for row in rows if not stroke.concerns(row)]


def _counts(rows: list[Json], names: Mapping[str, int]) -> dict[str, int]:
    """The statistics beside the rows that are shown."""
    words = {"completed": "complete", "trigger_pending": "trigger pending"}
    counts = {}
    for name in names:
        word = name.removeprefix("total_").removesuffix("_orders")
        shown = {words.get(word, word), word.upper()}
        counts[name] = sum(row["order_status"] in shown or row["action"] in shown for row in rows)
    return counts


LIES: Mapping[FaultName, Callable[[Stroke, Answer], Answer | None]] = {
    FaultName.REPLY_LOST: _closed,
    FaultName.ERROR_AFTER: _internal_error,
    FaultName.SLOW_AFTER: _slow,
    FaultName.FILL_WHILE_CANCELLING: _cancelled_all_the_same,
    FaultName.TRANSITIONAL_STATUS: _transitional,
    FaultName.NO_FILLED_QUANTITY: _no_filled_quantity,
    FaultName.FIRST_FILL_AVERAGE: _first_fill_average,
    FaultName.BOOKS_STALE: _stale,
    FaultName.BOOKS_EMPTY: _empty,
    FaultName.QUOTES_FROZEN: fault_quotes.frozen,
    FaultName.QUOTES_CROSSED: fault_quotes.crossed,
    FaultName.CONTRACT_ABSENT: fault_quotes.absent,
}
