"""Trades that were made without us are booked whole or not at all, and nothing is ever sent.

Decision, legs, orders, fills and layers are one transaction. So no half of it is left behind that
a recovery would carry on with at the broker, and our fills and layers move together.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal

from psycopg2.extensions import cursor as Cursor

from core.db_state_manager.broker_books import HELD_BY_FILLS
from core.db_state_manager.capital import lock_money
from core.db_state_manager.connection import fetch
from core.db_state_manager.intents import (
    Completion,
    Decide,
    DecisionRequest,
    InstrumentBusy,
    Intents,
    PlanLegs,
)
from core.db_state_manager.json_values import from_row
from core.db_state_manager.operation_booking import BookedEvent
from core.db_state_manager.orders import (
    HELD_LEGS,
    LEGS,
    book_fill,
    intend_order,
    move_leg,
    name_order,
)
from core.db_state_manager.records import Intent, Leg, OrderPlan
from core.db_state_manager.states import LegState, PriceType
from core.errors import Rejected

OUTSIDE = "outside"

Held = Mapping[tuple[str, str], int]
MakeBooking = Callable[[Intent, Sequence[Leg], Mapping[str, Sequence[Leg]]], Sequence[BookedEvent]]


class OutsideTrades(Intents):
    """Books what others did with our positions."""

    def book_outside(
        self,
        request: DecisionRequest,
        expected: Held,
        decide: Decide,
        plan_legs: PlanLegs,
        prices: Mapping[str, Decimal],
        make_booking: MakeBooking,
    ) -> Completion:
        """Book a decision as traded at `prices`, by symbol, in orders of no broker.

        `expected` is what our fills held when it was thought of, by contract. Raises Rejected:
        BOOKS_MOVED when they hold something else, INSTRUMENT_BUSY while an operation works on the
        instrument, NOTHING_TO_BOOK, and what the book refuses.
        """
        try:
            with self.transaction() as cursor:
                money = lock_money(cursor)
                _check_unmoved(cursor, expected)
                intent = self._reserve(cursor, request, decide, plan_legs).intent
                if intent is None:
                    raise Rejected("NOTHING_TO_BOOK", "it has been booked, or is not held any more")
                held = _held_legs(cursor, request.instrument)
                legs = self._trade(cursor, intent, prices)
                events = make_booking(intent, legs, held)
                return self._complete(cursor, money, intent.id, events, (), request.owner)
        except InstrumentBusy as error:
            raise Rejected(
                "INSTRUMENT_BUSY", f"{request.instrument} is being worked on: ask again"
            ) from error

    def _trade(self, cursor: Cursor, intent: Intent, prices: Mapping[str, Decimal]) -> list[Leg]:
        now = self._clock.now()
        for leg in _legs(cursor, intent.id):
            price = prices[leg.symbol]
            plan = _order(leg, price, now.date())
            order = intend_order(cursor, plan, now)
            name_order(cursor, order, f"{OUTSIDE}-{intent.id}-{leg.place}", now)
            book_fill(cursor, order, leg.quantity, price, now)
            move_leg(cursor, leg.id, LegState.FILLED)
        return _legs(cursor, intent.id)


def _order(leg: Leg, price: Decimal, day: date) -> OrderPlan:
    return OrderPlan(leg.id, OUTSIDE, day, leg.quantity, PriceType.LIMIT, price, ())


def _check_unmoved(cursor: Cursor, expected: Held) -> None:
    """Raise Rejected unless our fills hold what they held; the account's row is locked."""
    found = {(row[0], row[1]): int(row[2]) for row in fetch(cursor, HELD_BY_FILLS)}
    moved = [each[0] for each, quantity in expected.items() if found.get(each, 0) != quantity]
    if moved:
        raise Rejected("BOOKS_MOVED", f"{', '.join(moved)} changed meanwhile: look again")


def _legs(cursor: Cursor, intent_id: int) -> list[Leg]:
    return [from_row(Leg, row) for row in fetch(cursor, LEGS, (intent_id,))]


def _held_legs(cursor: Cursor, instrument: str) -> dict[str, list[Leg]]:
    held: dict[str, list[Leg]] = {}
    for row in fetch(cursor, HELD_LEGS, (instrument,)):
        held.setdefault(row[0], []).append(from_row(Leg, row[1:]))
    return held
