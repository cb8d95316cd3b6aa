"""A call as the exchange received it, before anything was done about it, and what was answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from brokers.paper_exchange.funds import ExchangeView
from brokers.paper_exchange.orders import Action

Json = dict[str, Any]
Request = Mapping[str, Any]

NO_ANSWER = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A body and its HTTP status; status NO_ANSWER closes the connection instead."""

    body: Json
    status: int = 200

    @property
    def is_success(self) -> bool:
        """Whether it says that what was asked was done."""
        return self.status == 200 and self.body.get("status") == "success"


CLOSED = Answer({}, NO_ANSWER)


def error(message: object, status: int, more: Json | None = None) -> Answer:
    """A refusal in the gateway's usual shape."""
    return Answer({"status": "error", "message": message, **(more or {})}, status)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a call is about, as far as it says so."""

    symbols: frozenset[str] = frozenset()
    instruments: frozenset[str] = frozenset()
    side: Action | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A request that passed its schema and its key."""

    number: int
    at: datetime
    endpoint: str
    asked: Request
    subject: Subject


def subject_of(asked: Request, view: ExchangeView) -> Subject:
    """What a request, or a row of an answer, is about; an order id stands for its order."""
    order = view.books.order(str(asked.get("orderid", "")))
    if order is not None:
        named = ((order.symbol, order.exchange),)
        return Subject(*_contracts(named, view), order.action)
    rows = [asked, *asked.get("symbols", ()), *asked.get("positions", ())]
    found = tuple((row["symbol"], row["exchange"]) for row in rows if "symbol" in row)
    action = asked.get("action")
    return Subject(*_contracts(found, view), None if action is None else Action(action.upper()))


def _contracts(
    named: tuple[tuple[str, str], ...], view: ExchangeView
) -> tuple[frozenset[str], frozenset[str]]:
    """The symbols, and the instruments that they or their roots belong to."""
    listing = view.market.listing
    instruments = set()
    for symbol, exchange in named:
        terms = listing.terms(symbol, exchange, view.day)
        instruments.add(
            listing.instrument_of_root(symbol, exchange) if terms is None else terms.instrument
        )
    return frozenset(symbol for symbol, _ in named), frozenset(instruments - {""})
