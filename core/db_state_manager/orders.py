"""Legs, orders and fills: written before a send, and never saying more than the broker said.

The row of an order is committed before the order is sent, with the ids that the broker knew then;
so after a crash it is known what to look for. Fills are cumulative per order: booking one twice,
or an older one later, changes nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal

from psycopg2.extensions import cursor as Cursor

from core.db_state_manager.connection import fetch, fetch_one
from core.db_state_manager.json_values import from_row
from core.db_state_manager.ownership import Ownership, check_holder
from core.db_state_manager.records import Fill, Leg, LegPlan, OrderPlan, OrderRow
from core.db_state_manager.states import (
    FINISHED_ORDERS,
    LEG_FROM,
    ORDER_FROM,
    LegState,
    OrderState,
)
from core.errors import Rejected

# The next leg of an intent.
INSERT_LEG = """
INSERT INTO order_legs (intent_id, place, purpose, side, symbol, exchange, lots, quantity)
SELECT %s, coalesce(max(place), 0) + 1, %s, %s, %s, %s, %s, %s
FROM order_legs WHERE intent_id = %s"""

# The legs of an intent in their order, with what their orders filled.
LEGS = """
SELECT l.id, l.intent_id, l.place, l.purpose, l.side, l.symbol, l.exchange, l.lots, l.quantity,
       l.state, coalesce(sum(o.filled_quantity), 0),
       coalesce(sum(o.filled_quantity * o.average_price) / nullif(sum(o.filled_quantity), 0), 0)
FROM order_legs AS l LEFT JOIN broker_orders AS o ON o.leg_id = l.id
WHERE l.intent_id = %s GROUP BY l.id ORDER BY l.place"""

# One leg with what its orders filled.
LEG = """
SELECT l.id, l.intent_id, l.place, l.purpose, l.side, l.symbol, l.exchange, l.lots, l.quantity,
       l.state, coalesce(sum(o.filled_quantity), 0),
       coalesce(sum(o.filled_quantity * o.average_price) / nullif(sum(o.filled_quantity), 0), 0)
FROM order_legs AS l LEFT JOIN broker_orders AS o ON o.leg_id = l.id
WHERE l.id = %s GROUP BY l.id"""

# The legs of the contracts that an open layer holds: those of its entry, or of its last roll.
HELD_LEGS = """
SELECT p.id, l.id, l.intent_id, l.place, l.purpose, l.side, l.symbol, l.exchange, l.lots,
       l.quantity, l.state, coalesce(sum(o.filled_quantity), 0),
       coalesce(sum(o.filled_quantity * o.average_price) / nullif(sum(o.filled_quantity), 0), 0)
FROM portfolio_positions AS p
JOIN order_legs AS l ON l.intent_id = coalesce(p.rolled_by, p.intent_id) AND l.purpose = 'open'
LEFT JOIN broker_orders AS o ON o.leg_id = l.id
WHERE p.instrument = %s AND p.state <> 'closed'
GROUP BY p.id, p.layer, l.id ORDER BY p.layer, l.place"""

# A leg's move from one of the states it may come from.
MOVE_LEG = "UPDATE order_legs SET state = %s WHERE id = %s AND state = ANY (%s)"

# An order that is about to be sent.
INTEND = """
INSERT INTO broker_orders
    (leg_id, broker, trading_day, quantity, price_type, price, first_price, known_order_ids,
     created_at, updated_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id"""

# Where a leg began: its first order's price before it was improved.
BEGAN_AT = """
SELECT coalesce(first_price, price) FROM broker_orders WHERE leg_id = %s ORDER BY id LIMIT 1"""

# The broker's answer to a send, or what a search for it found.
NAME_ORDER = """
UPDATE broker_orders SET state = 'sent', order_id = %s, updated_at = %s
WHERE id = %s AND order_id IS NULL AND state = ANY (%s)"""

# The id an order has already.
ORDER_ID = "SELECT order_id FROM broker_orders WHERE id = %s"

# An order's move from one of the states it may come from.
MOVE_ORDER = """
UPDATE broker_orders SET state = %s, reason = %s, updated_at = %s
WHERE id = %s AND state = ANY (%s)"""

# A change of price at the broker.
REPRICE = "UPDATE broker_orders SET price = %s, updated_at = %s WHERE id = %s"

# The intent that a leg, or an order, is for.
INTENT_OF_LEG = "SELECT intent_id FROM order_legs WHERE id = %s"
INTENT_OF_ORDER = """
SELECT l.intent_id FROM broker_orders AS o JOIN order_legs AS l ON l.id = o.leg_id
WHERE o.id = %s"""

# Which of these ids our own orders have.
NAMED = """
SELECT order_id FROM broker_orders
WHERE broker = %s AND trading_day >= %s AND order_id = ANY (%s)"""

# An order, held while its fill is booked.
LOCK_ORDER = """
SELECT quantity, filled_quantity, state FROM broker_orders WHERE id = %s FOR UPDATE"""

# A fill that is new.
INSERT_FILL = """
INSERT INTO fills (broker_order_id, cumulative_quantity, average_price, at)
VALUES (%s, %s, %s, %s)"""

# What an order has filled in all.
FILL_ORDER = """
UPDATE broker_orders SET filled_quantity = %s, average_price = %s, state = %s, updated_at = %s
WHERE id = %s"""

_ORDER_COLUMNS = """o.id, o.leg_id, o.broker, o.trading_day, o.order_id, o.quantity,
    o.price_type, o.price, o.known_order_ids, o.state, o.filled_quantity, o.average_price,
    o.reason, o.created_at, o.updated_at"""

# The orders of an intent, oldest first.
ORDERS = f"""
SELECT {_ORDER_COLUMNS} FROM broker_orders AS o JOIN order_legs AS l ON l.id = o.leg_id
WHERE l.intent_id = %s ORDER BY o.id"""  # noqa: S608 - a constant

# Every order that may still fill.
UNFINISHED_ORDERS = f"""
SELECT {_ORDER_COLUMNS} FROM broker_orders AS o
WHERE o.state NOT IN ('filled', 'cancelled', 'rejected') ORDER BY o.id"""  # noqa: S608

# The fills of an intent, oldest first.
FILLS = """
SELECT f.broker_order_id, f.cumulative_quantity, f.average_price, f.at
FROM fills AS f
JOIN broker_orders AS o ON o.id = f.broker_order_id
JOIN order_legs AS l ON l.id = o.leg_id
WHERE l.intent_id = %s ORDER BY f.id"""


class Orders(Ownership):
    """What is traded for an intent."""

    def add_legs(
        self, intent_id: int, legs: Sequence[LegPlan], owner: str | None = None
    ) -> list[Leg]:
        """Plan further legs (an unwind); all legs of the intent, in their order. Raises Fenced."""
        with self.transaction() as cursor:
            check_holder(cursor, intent_id, owner)
            insert_legs(cursor, intent_id, legs)
            return [from_row(Leg, row) for row in fetch(cursor, LEGS, (intent_id,))]

    def legs(self, intent_id: int) -> list[Leg]:
        """The legs of an intent in their order, with what they filled."""
        return [from_row(Leg, row) for row in self.rows(LEGS, (intent_id,))]

    def leg(self, leg_id: int) -> Leg:
        """One leg, with what it filled. Raises Rejected where there is none of that id."""
        found = self.rows(LEG, (leg_id,))
        if not found:
            raise Rejected("UNKNOWN_LEG", f"there is no leg {leg_id}")
        return from_row(Leg, found[0])

    def held_legs(self, instrument: str) -> dict[str, list[Leg]]:
        """By open position's id, the legs that opened what it holds: the contracts an exit trades.

        Layers that were rolled together share them.
        """
        held: dict[str, list[Leg]] = {}
        for row in self.rows(HELD_LEGS, (instrument,)):
            held.setdefault(row[0], []).append(from_row(Leg, row[1:]))
        return held

    def move_leg(self, leg_id: int, state: LegState) -> bool:
        """Move a leg. False when it may not go there from where it is."""
        with self.transaction() as cursor:
            return move_leg(cursor, leg_id, state)

    def record_send_intent(self, order: OrderPlan, owner: str | None = None) -> int:
        """Write down an order before it is sent; its row's id. Raises Fenced."""
        with self.transaction() as cursor:
            _check_owner(cursor, INTENT_OF_LEG, order.leg_id, owner)
            return intend_order(cursor, order, self._clock.now())

    def record_order_id(self, order: int, order_id: str) -> bool:
        """The broker named the order. False when it had that name; Rejected for another one."""
        with self.transaction() as cursor:
            return name_order(cursor, order, order_id, self._clock.now())

    def mark_unknown(self, order: int, reason: str) -> bool:
        """The order got no answer that settles it. False when its end is known."""
        return self.move_order(order, OrderState.UNKNOWN, reason)

    def move_order(self, order: int, state: OrderState, reason: str = "") -> bool:
        """Move an order. False when it may not go there from where it is.

        Fills move it too, by `book_fill`.
        """
        with self.transaction() as cursor:
            return move_order(cursor, order, state, reason, self._clock.now())

    def named_order_ids(self, broker: str, since: date, order_ids: Iterable[str]) -> set[str]:
        """Those of `order_ids` that are orders of ours, from the trading day `since` on."""
        return {row[0] for row in self.rows(NAMED, (broker, since, list(order_ids)))}

    def began_at(self, leg_id: int) -> Decimal | None:
        """The price of a leg's first order before it was improved; None where it had none."""
        found = self.rows(BEGAN_AT, (leg_id,))
        return found[0][0] if found else None

    def record_price(self, order: int, price: Decimal, owner: str | None = None) -> None:
        """The order is to stand at another price: written before that is asked. Raises Fenced."""
        with self.transaction() as cursor:
            _check_owner(cursor, INTENT_OF_ORDER, order, owner)
            cursor.execute(REPRICE, (price, self._clock.now(), order))

    def book_fill(self, order: int, cumulative_quantity: int, average_price: Decimal) -> bool:
        """What an order has filled in all, and its average. False when that was known before.

        Raises Rejected for more than was ordered.
        """
        with self.transaction() as cursor:
            return book_fill(cursor, order, cumulative_quantity, average_price, self._clock.now())

    def orders(self, intent_id: int) -> list[OrderRow]:
        """The orders of an intent, oldest first."""
        return [from_row(OrderRow, row) for row in self.rows(ORDERS, (intent_id,))]

    def unfinished_orders(self) -> list[OrderRow]:
        """Every order that may still fill, oldest first."""
        return [from_row(OrderRow, row) for row in self.rows(UNFINISHED_ORDERS)]

    def fills(self, intent_id: int) -> list[Fill]:
        """What the orders of an intent filled, oldest first."""
        return [Fill(*row) for row in self.rows(FILLS, (intent_id,))]


def insert_legs(cursor: Cursor, intent_id: int, legs: Sequence[LegPlan]) -> None:
    """Plan legs after those the intent has."""
    for leg in legs:
        cursor.execute(
            INSERT_LEG,
            (
                intent_id,
                leg.purpose,
                leg.side,
                leg.symbol,
                leg.exchange,
                leg.lots,
                leg.quantity,
                intent_id,
            ),
        )


def intend_order(cursor: Cursor, order: OrderPlan, at: datetime) -> int:
    """Write down an order that is about to be sent; its row's id."""
    move_leg(cursor, order.leg_id, LegState.WORKING)
    values = (
        order.leg_id,
        order.broker,
        order.trading_day,
        order.quantity,
        order.price_type,
        order.price,
        order.price,
        list(order.known_order_ids),
        at,
        at,
    )
    return int((fetch_one(cursor, INTEND, values) or (0,))[0])


def name_order(cursor: Cursor, order: int, order_id: str, at: datetime) -> bool:
    """Give an order its name. False when it had that one; raises Rejected for another."""
    origins = [*ORDER_FROM[OrderState.SENT]]
    cursor.execute(NAME_ORDER, (order_id, at, order, origins))
    if cursor.rowcount:
        return True
    named = fetch_one(cursor, ORDER_ID, (order,))
    if named != (order_id,):
        raise Rejected("ORDER_NAMED", f"order {order} is not {order_id} but {named}")
    return False


def book_fill(
    cursor: Cursor, order: int, cumulative_quantity: int, average_price: Decimal, at: datetime
) -> bool:
    """What an order has filled in all. False for nothing new; raises Rejected for too much."""
    known = fetch_one(cursor, LOCK_ORDER, (order,))
    if known is None or cumulative_quantity > known[0]:
        raise Rejected("FILL_IMPOSSIBLE", f"order {order}: {cumulative_quantity} filled of {known}")
    if cumulative_quantity <= known[1]:
        return False
    state = _state_after(OrderState(known[2]), cumulative_quantity == known[0])
    cursor.execute(INSERT_FILL, (order, cumulative_quantity, average_price, at))
    cursor.execute(FILL_ORDER, (cumulative_quantity, average_price, state, at, order))
    return True


def move_leg(cursor: Cursor, leg_id: int, state: LegState) -> bool:
    """Move a leg if it may go there."""
    cursor.execute(MOVE_LEG, (state, leg_id, [*LEG_FROM[state]]))
    return cursor.rowcount > 0


def move_order(cursor: Cursor, order: int, state: OrderState, reason: str, at: datetime) -> bool:
    """Move an order if it may go there."""
    cursor.execute(MOVE_ORDER, (state, reason, at, order, [*ORDER_FROM[state]]))
    return cursor.rowcount > 0


def _check_owner(cursor: Cursor, intent_of: str, key: int, owner: str | None) -> None:
    found = fetch_one(cursor, intent_of, (key,))
    if found is None:
        raise Rejected("UNKNOWN_INTENT", "there is no such leg or order")
    check_holder(cursor, found[0], owner)


def _state_after(state: OrderState, whole: bool) -> OrderState:
    """An ended order that filled in part stays ended; whatever filled whole is filled."""
    if whole:
        return OrderState.FILLED
    return state if state in FINISHED_ORDERS else OrderState.PARTIALLY_FILLED
