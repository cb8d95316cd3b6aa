"""Strategies: to whom positions and trades belong, and what each has earned by day."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from psycopg2.errors import ForeignKeyViolation, UniqueViolation

from core.db_state_manager.connection import Database, Row, fetch_one
from core.errors import Rejected

_COLUMNS = "id, name, description, is_active, created_at, version"

# All of them.
STRATEGIES = f"SELECT {_COLUMNS} FROM strategies ORDER BY id"  # noqa: S608 - a constant

# One of them.
STRATEGY = f"SELECT {_COLUMNS} FROM strategies WHERE id = %s"  # noqa: S608

# A new one.
ADD = f"""
INSERT INTO strategies (name, description, created_at) VALUES (%s, %s, %s)
RETURNING {_COLUMNS}"""  # noqa: S608

# Change one, unless somebody else did since it was read.
CHANGE = f"""
UPDATE strategies SET name = %s, description = %s, is_active = %s, version = version + 1
WHERE id = %s AND version = %s RETURNING {_COLUMNS}"""  # noqa: S608

# Remove one that nothing belongs to.
REMOVE = "DELETE FROM strategies WHERE id = %s"

# What one earned, by day.
PNL = """
SELECT day, trades, gross_pnl, charges, net_pnl FROM strategy_pnl
WHERE strategy_id = %s ORDER BY day"""

# New positions belong to this one.
FIRST_STRATEGY = 1


@dataclass(frozen=True, slots=True)
class Strategy:
    """A strategy."""

    id: int
    name: str
    description: str
    is_active: bool
    created_at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class DayPnl:
    """What a strategy's closed lots came to on a day, rupees."""

    day: date
    trades: int
    gross_pnl: Decimal
    charges: Decimal
    net_pnl: Decimal


class Strategies(Database):
    """The strategies."""

    def strategies(self) -> list[Strategy]:
        """All of them, in the order they were added."""
        return [Strategy(*row) for row in self.rows(STRATEGIES)]

    def strategy(self, strategy_id: int) -> Strategy | None:
        """One of them."""
        return next((Strategy(*row) for row in self.rows(STRATEGY, (strategy_id,))), None)

    def add_strategy(self, name: str, description: str) -> Strategy:
        """A new one. Raises Rejected (NAME_TAKEN)."""
        row = self._write(ADD, (name, description, self._clock.now()), name)
        return Strategy(*(row or ()))

    def change_strategy(self, changed: Strategy) -> Strategy:
        """Give one this name, description and activity, if it is still at `changed.version`.

        Raises Rejected (VERSION_CHANGED, NAME_TAKEN).
        """
        kept = (changed.name, changed.description, changed.is_active, changed.id, changed.version)
        row = self._write(CHANGE, kept, changed.name)
        if row is None:
            raise Rejected("VERSION_CHANGED", "somebody changed it meanwhile: read it again")
        return Strategy(*row)

    def remove_strategy(self, strategy_id: int) -> bool:
        """Remove one. False when there is none; raises Rejected when something belongs to it."""
        if strategy_id == FIRST_STRATEGY:
            raise Rejected("STRATEGY_IN_USE", "new positions belong to it: it cannot be removed")
        try:
            with self.transaction() as cursor:
                cursor.execute(REMOVE, (strategy_id,))
                return cursor.rowcount > 0
        except ForeignKeyViolation as error:
            raise Rejected(
                "STRATEGY_IN_USE", "positions or trades belong to it: set is_active to false"
            ) from error

    def strategy_pnl(self, strategy_id: int) -> list[DayPnl]:
        """What one earned by day, oldest first."""
        return [DayPnl(*row) for row in self.rows(PNL, (strategy_id,))]

    def _write(self, query: str, values: tuple[object, ...], name: str) -> Row | None:
        try:
            with self.transaction() as cursor:
                return fetch_one(cursor, query, values)
        except UniqueViolation as error:
            raise Rejected("NAME_TAKEN", f"there is a strategy {name} already") from error
