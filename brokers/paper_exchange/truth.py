"""What truly is, whatever callers were told: numbers are text, exact to the last digit.

`received` are the calls that may move an order, and all that a fault struck: what was asked,
whether the exchange accepted it and as which order, and what the caller was told (status 0: the
connection was closed without an answer).
"""

from dataclasses import fields
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from brokers.paper_exchange.books import Holding
from brokers.paper_exchange.calls import Json
from brokers.paper_exchange.exchange import PaperExchange
from brokers.paper_exchange.fault_store import FaultStore
from brokers.paper_exchange.orders import Order, Trade


def truth(exchange: PaperExchange, store: FaultStore) -> Json:
    """The session's orders and fills, all positions, and what was done to callers."""
    with exchange.view() as view:
        books, funds = view.books, view.funds
        return {
            "mode": view.mode.value,
            "now": exchange.now().isoformat(),
            "session": books.session.isoformat(),
            "orders": [_row(each) for each in books.orders],
            "fills": [_row(each) for each in books.trades],
            "positions": [_row(each) for each in books.holdings],
            "lotsizes": view.market.listing.lotsizes,
            "funds": {name: str(getattr(funds, name)) for name in type(funds).__slots__},
            "received": store.calls(),
            "struck": store.strikes(),
            "faults": faults_set(store),
        }


def faults_set(store: FaultStore) -> list[Json]:
    """Every fault that was ever set, how many calls fitted it and how often it struck."""
    return [
        {
            "number": each.number,
            "fault": each.told["fault"],
            "told": dict(each.told),
            "calls": each.calls,
            "strikes": each.strikes,
            "cleared": each.is_cleared,
        }
        for each in store.faults()
    ]


def _row(value: Order | Trade | Holding) -> Json:
    return {field.name: _column(getattr(value, field.name)) for field in fields(value)}


def _column(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, date) else value
