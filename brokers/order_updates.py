"""What the gateway's stream says of orders is a hint to look, and never a fact.

An update may be lost, doubled, late, early, out of order, of somebody else's order, or wrong. So
nothing is kept of it but which orders were spoken of and how far they were said to be; whoever
watches an order waits here, is woken, and reads the books. Nothing waits longer than it asked to.
"""

import json
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from decimal import Decimal

from brokers.answer_fields import AnswerFields
from brokers.messages import GatewayMode, OrderStatus
from brokers.openalgo_errors import AnswerUnknown

# Longer than an order call may last: an update may come before the reply that names its order.
_KEPT_S = 600.0
_MOST_ORDERS = 1024
# An order has a handful of states. What says more of one than this is noise and wakes nobody.
_MOST_WORDS = 256
_UPDATE = "order_update"

Mark = tuple[int, int]


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """One order as the stream shows it. A word that we do not know is UNRECOGNISED."""

    order_id: str
    mode: GatewayMode
    quantity: int
    filled_quantity: int
    status: OrderStatus


@dataclass(frozen=True, slots=True)
class Said:
    """How far the stream has said an order to be."""

    filled_quantity: int
    is_final: bool


@dataclass(slots=True)
class _Told:
    """`words` are the different updates there were; what they say only ever grows."""

    at_s: float
    words: set[tuple[OrderStatus, int]] = field(default_factory=set)
    filled_quantity: int = 0
    is_final: bool = False


def read_frame(frame: str | bytes) -> AnswerFields:
    """A message of the gateway. Raises AnswerUnknown for what is no JSON object."""
    try:
        return AnswerFields(json.loads(frame, parse_float=Decimal), "order stream")
    except (ValueError, ArithmeticError, RecursionError):
        raise AnswerUnknown("order stream", "a frame is not JSON") from None


def read_update(fields: AnswerFields) -> OrderUpdate | None:
    """The update in a message, None where it is about something else. Raises AnswerUnknown."""
    if fields.note("type") != _UPDATE:
        return None
    quantity = fields.count("quantity", at_least=1)
    filled = fields.count("filled_quantity")
    if filled > quantity:
        raise AnswerUnknown("order stream", f"{filled} of {quantity} filled")
    return OrderUpdate(
        order_id=fields.identity("orderid"),
        mode=fields.choice("mode", GatewayMode),
        quantity=quantity,
        filled_quantity=filled,
        status=fields.known_choice("order_status", OrderStatus) or OrderStatus.UNRECOGNISED,
    )


class OrderNews:
    """What was told lately, by order, over one connection. Safe to share between threads.

    Without a stream behind it, it is a board that nobody ever writes on.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._told: OrderedDict[str, _Told] = OrderedDict()
        self._connections = 0
        self._is_up = False

    @property
    def is_up(self) -> bool:
        """Whether updates are being listened to."""
        return self._is_up

    def begin(self) -> None:
        """Updates come from now on; what was told before may have gaps, so everybody looks."""
        self._turn(is_up=True)

    def end(self) -> None:
        """No updates come any more; who waits for one looks instead."""
        if self._is_up:
            self._turn(is_up=False)

    def tell(self, update: OrderUpdate) -> bool:
        """Wake who watches that order; False for what was told before."""
        word = (update.status, update.filled_quantity)
        with self._changed:
            self._forget_old()
            told = self._told.setdefault(update.order_id, _Told(time.monotonic()))
            if word in told.words or len(told.words) >= _MOST_WORDS:
                return False
            told.words.add(word)
            told.at_s = time.monotonic()
            told.filled_quantity = max(told.filled_quantity, update.filled_quantity)
            told.is_final = told.is_final or update.status.is_final
            self._told.move_to_end(update.order_id)
            self._changed.notify_all()
        return True

    def mark(self, order_id: str) -> Mark:
        """What there is by now, to be taken before a look and handed to `wait` after it."""
        with self._changed:
            return self._mark(order_id)

    def wait(self, order_id: str, mark: Mark, seconds: float) -> bool:
        """Wait until there is more than at `mark`: an update, or the stream came or went."""
        with self._changed:
            return self._changed.wait_for(lambda: self._mark(order_id) != mark, seconds)

    def said_of(self, order_id: str) -> Said | None:
        """How far an order is said to be; None without a stream that has spoken of it."""
        with self._changed:
            told = self._told.get(order_id)
            if told is None or not self._is_up:
                return None
            return Said(told.filled_quantity, told.is_final)

    def _mark(self, order_id: str) -> Mark:
        told = self._told.get(order_id)
        return self._connections, 0 if told is None else len(told.words)

    def _turn(self, *, is_up: bool) -> None:
        with self._changed:
            self._is_up = is_up
            self._connections += 1
            self._told.clear()
            self._changed.notify_all()

    def _forget_old(self) -> None:
        oldest_s = time.monotonic() - _KEPT_S
        while self._told:
            first = next(iter(self._told.values()))
            if len(self._told) < _MOST_ORDERS and first.at_s >= oldest_s:
                return
            self._told.popitem(last=False)
