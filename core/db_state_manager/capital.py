"""Money: the ledger is the only source, equity is its sum, and a start reads it and writes nothing.

Only the very first start, with an empty ledger, books a deposit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from psycopg2.extensions import cursor as Cursor

from core.db_state_manager.connection import Database, Row, fetch_one
from core.db_state_manager.records import LedgerLine
from core.db_state_manager.states import LedgerKind
from core.errors import Rejected

# The account's realised money; its row is the lock of everything that decides or books.
MONEY = "SELECT closed_equity, equity_high, charges FROM portfolio_state"
LOCK_MONEY = f"{MONEY} FOR UPDATE"

# One line of the ledger; its trigger moves the equity.
BOOK = """
INSERT INTO capital_transactions
    (kind, amount, equity_after, position_key, intent_id, notes, who, at)
VALUES (%s, %s, 0, %s, %s, %s, %s, %s)"""

# Whether anything was ever booked.
EVER_BOOKED = "SELECT EXISTS (SELECT FROM capital_transactions)"

# Keep the account's money as it is now, unless that was done a moment ago.
SNAPSHOT = """
INSERT INTO equity_snapshots (at, closed_equity, open_pnl, equity_high)
SELECT %(now)s, closed_equity, %(open_pnl)s, equity_high FROM portfolio_state
WHERE NOT EXISTS (SELECT FROM equity_snapshots WHERE at > %(now)s - make_interval(secs => %(s)s))"""

ZERO = Decimal(0)
PAISA = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Money:
    """The account's realised money, rupees. `charges` are those paid so far."""

    closed_equity: Decimal
    equity_high: Decimal
    charges: Decimal


class Capital(Database):
    """The ledger."""

    def money(self) -> Money:
        """The account's realised money."""
        return _money(self.rows(MONEY)[0])

    def open_ledger(self, capital: Decimal, who: str) -> bool:
        """Book `capital` as the first deposit of an empty ledger. False when it is not empty."""
        with self.transaction() as cursor:
            cursor.execute(LOCK_MONEY)
            if fetch_one(cursor, EVER_BOOKED) == (True,):
                return False
            line = LedgerLine(LedgerKind.DEPOSIT, capital, "first deposit")
            book_lines(cursor, [line], self._clock.now(), who=who)
        return True

    def move_capital(self, amount: Decimal, notes: str, who: str) -> Money:
        """Deposit (above 0) or withdraw (below 0) rupees. Raises Rejected for more than there is.

        equity_high moves with it.
        """
        kind = LedgerKind.WITHDRAW if amount < 0 else LedgerKind.DEPOSIT
        with self.transaction() as cursor:
            money = lock_money(cursor)
            if money.closed_equity + amount < 0:
                raise Rejected(
                    "NOT_ENOUGH_CAPITAL", f"{-amount} asked, {money.closed_equity} realised"
                )
            book_lines(cursor, [LedgerLine(kind, amount, notes)], self._clock.now(), who=who)
            return lock_money(cursor)

    def record_equity(self, open_pnl: Decimal, apart_s: float = 0.0) -> None:
        """Keep the account's money for the equity curve, if the last time is `apart_s` ago."""
        kept = {"now": self._clock.now(), "open_pnl": open_pnl, "s": apart_s}
        with self.transaction() as cursor:
            cursor.execute(SNAPSHOT, kept)


def lock_money(cursor: Cursor) -> Money:
    """The account's money; nobody else decides or books until this transaction ends."""
    cursor.execute(LOCK_MONEY)
    row = cursor.fetchone()
    if row is None:
        raise Rejected("NO_ACCOUNT", "portfolio_state has no row: the schema was tampered with")
    return _money(row)


def book_lines(
    cursor: Cursor,
    lines: Sequence[LedgerLine],
    at: datetime,
    *,
    position_key: int | None = None,
    intent_id: int | None = None,
    who: str = "",
) -> None:
    """Append to the ledger, rounded to the paisa. Charges go before the profit they belong to."""
    for line in lines:
        amount = line.amount.quantize(PAISA)
        cursor.execute(BOOK, (line.kind, amount, position_key, intent_id, line.notes, who, at))


def _money(row: Row) -> Money:
    return Money(*row)
