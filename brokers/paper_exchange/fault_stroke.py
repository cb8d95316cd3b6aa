"""One fault at one call: all that an effect may look at."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from brokers.paper_exchange.calls import Answer, Call, Request, error, subject_of
from brokers.paper_exchange.exchange import PaperExchange
from brokers.paper_exchange.faults import Fault
from brokers.paper_exchange.orders import Mode, Order


@dataclass(frozen=True, slots=True)
class Stroke:
    """`limit` is how the endpoint's rate limit is named, `words_errors` how it words schema errors.

    Both belong to the endpoint that is called.
    """

    fault: Fault
    call: Call
    exchange: PaperExchange
    limit: str
    words_errors: bool

    @property
    def asked(self) -> Request:
        """The request."""
        return self.call.asked

    @property
    def endpoint(self) -> str:
        """The path that was called."""
        return self.call.endpoint

    @property
    def is_sandbox(self) -> bool:
        """Whether the gateway's sandbox answers."""
        return self.exchange.mode is Mode.ANALYZE

    def refusal(self, message: str, status: int) -> Answer:
        """A refusal that carries the mode as the sandbox's do."""
        return error(message, status, {"mode": Mode.ANALYZE.value} if self.is_sandbox else {})

    def concerns(self, row: Mapping[str, Any]) -> bool:
        """Whether the fault's rule is about a row of a book."""
        with self.exchange.view() as view:
            return self.fault.rule.concerns(subject_of(row, view))

    def orders(self) -> list[Order]:
        """The session's orders as they truly are, oldest first."""
        with self.exchange.view() as view:
            return view.books.orders

    def first_fill(self, orderid: str) -> Decimal | None:
        """The price of an order's first fill, None before it."""
        with self.exchange.view() as view:
            own = [trade.price for trade in view.books.trades if trade.orderid == orderid]
        return own[0] if own else None
