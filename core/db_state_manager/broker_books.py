"""What our orders came to at the broker, by contract; and which contracts there are others'."""

from dataclasses import dataclass
from datetime import date, datetime

from core.db_state_manager.connection import Database
from core.db_state_manager.json_values import from_row
from core.reconciliation import HeldLeg

# By contract, what every fill of ours bought less what it sold.
HELD_BY_FILLS = """
SELECT l.symbol, l.exchange,
       sum(CASE l.side WHEN 'BUY' THEN o.filled_quantity ELSE -o.filled_quantity END)
FROM broker_orders AS o JOIN order_legs AS l ON l.id = o.leg_id
WHERE o.filled_quantity > 0
GROUP BY l.symbol, l.exchange
HAVING sum(CASE l.side WHEN 'BUY' THEN o.filled_quantity ELSE -o.filled_quantity END) <> 0
ORDER BY l.symbol, l.exchange"""

# The same by what one lot was sent as: a part of a lot that was given back counts as its entry did.
FILLED_BY_LOT_SIZE = """
SELECT symbol, exchange, lot_size, sum(filled) FROM (
    SELECT l.symbol, l.exchange,
           coalesce((SELECT min(e.quantity / e.lots) FROM order_legs AS e
                     WHERE e.intent_id = l.intent_id AND e.symbol = l.symbol
                       AND e.purpose <> 'unwind'), l.quantity / l.lots) AS lot_size,
           CASE l.side WHEN 'BUY' THEN o.filled_quantity ELSE -o.filled_quantity END AS filled
    FROM broker_orders AS o JOIN order_legs AS l ON l.id = o.leg_id
    WHERE o.filled_quantity > 0) AS each
GROUP BY symbol, exchange, lot_size ORDER BY symbol, exchange, lot_size"""

# The names the broker gave to our orders since a day.
OUR_ORDERS = """
SELECT order_id FROM broker_orders
WHERE broker = %s AND trading_day >= %s AND order_id IS NOT NULL"""

# Contracts of others in the account.
TAGS = """
SELECT broker, exchange, symbol, owner, notes, who, tagged_at
FROM broker_position_tags WHERE broker = %s ORDER BY symbol, exchange"""

# A contract is somebody else's.
TAG = """
INSERT INTO broker_position_tags (broker, exchange, symbol, owner, notes, who, tagged_at)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (broker, exchange, symbol) DO UPDATE SET
    owner = EXCLUDED.owner, notes = EXCLUDED.notes, who = EXCLUDED.who,
    tagged_at = EXCLUDED.tagged_at"""

# It is nobody else's any more.
UNTAG = "DELETE FROM broker_position_tags WHERE broker = %s AND exchange = %s AND symbol = %s"


@dataclass(frozen=True, slots=True)
class PositionTag:
    """A contract in the account that belongs to somebody else, and who said so."""

    broker: str
    exchange: str
    symbol: str
    owner: str
    notes: str
    who: str
    tagged_at: datetime


@dataclass(frozen=True, slots=True)
class FilledLots:
    """What our fills of a contract came to, signed, of those whose lot was sent as `lot_size`."""

    symbol: str
    exchange: str
    lot_size: int
    quantity: int


class BrokerBooks(Database):
    """Our part of the broker's books, and others'."""

    def filled_by_lot_size(self) -> tuple[FilledLots, ...]:
        """By contract and by what a lot was sent as, what all our fills came to."""
        return tuple(
            FilledLots(row[0], row[1], int(row[2]), int(row[3]))
            for row in self.rows(FILLED_BY_LOT_SIZE)
        )

    def held_by_fills(self) -> tuple[HeldLeg, ...]:
        """By contract, the signed quantity that all our fills came to; flat ones are absent."""
        return tuple(HeldLeg(row[0], row[1], int(row[2])) for row in self.rows(HELD_BY_FILLS))

    def our_order_ids(self, broker: str, since: date) -> frozenset[str]:
        """The broker's names of the orders that we sent since that day."""
        return frozenset(row[0] for row in self.rows(OUR_ORDERS, (broker, since)))

    def position_tags(self, broker: str) -> list[PositionTag]:
        """The contracts that belong to others, by symbol."""
        return [from_row(PositionTag, row) for row in self.rows(TAGS, (broker,))]

    def tag_position(self, tag: PositionTag) -> None:
        """Leave a contract to somebody else; a tag that it has is replaced."""
        values = (
            tag.broker,
            tag.exchange,
            tag.symbol,
            tag.owner,
            tag.notes,
            tag.who,
            tag.tagged_at,
        )
        with self.transaction() as cursor:
            cursor.execute(TAG, values)

    def untag_position(self, broker: str, exchange: str, symbol: str) -> bool:
        """Take a contract for ours again. False when it had no tag."""
        with self.transaction() as cursor:
            cursor.execute(UNTAG, (broker, exchange, symbol))
            return cursor.rowcount > 0
