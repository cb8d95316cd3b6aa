"""What was acknowledged is on disk: one SQLite file, one transaction for what belongs together.

Rows hold the fields of the values as text, in their order; a session's rows are never deleted.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import astuple, fields
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from brokers.paper_exchange.fill_script import Script
from brokers.paper_exchange.market import DayPrices
from brokers.paper_exchange.orders import Order, Trade

_Row = TypeVar("_Row", Order, Trade, DayPrices)
_FILE = "exchange.sqlite"
_BUSY_S = 10

_CREATE = """
CREATE TABLE IF NOT EXISTS orders (
    orderid TEXT PRIMARY KEY, session TEXT, placed_at TEXT, strategy TEXT, exchange TEXT,
    symbol TEXT, action TEXT, quantity INTEGER, pricetype TEXT, product TEXT, price TEXT,
    trigger_price TEXT, status TEXT, reference_price TEXT, filled_quantity INTEGER,
    average_price TEXT, rejection_reason TEXT
);
CREATE TABLE IF NOT EXISTS trades (
    tradeid TEXT PRIMARY KEY, orderid TEXT, session TEXT, at TEXT, strategy TEXT, exchange TEXT,
    symbol TEXT, action TEXT, quantity INTEGER, product TEXT, price TEXT, unit_value TEXT
);
CREATE TABLE IF NOT EXISTS prices (
    instrument TEXT PRIMARY KEY, session TEXT, open TEXT, high TEXT, low TEXT, last TEXT,
    prev_close TEXT
);
CREATE TABLE IF NOT EXISTS scripts (orderid TEXT PRIMARY KEY, script TEXT);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT);
"""

# A changed order keeps its place, so that the book stays in the order of arrival.
_SAVE_ORDER = """
INSERT INTO orders VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (orderid) DO UPDATE SET
    quantity = excluded.quantity, price = excluded.price, trigger_price = excluded.trigger_price,
    status = excluded.status, filled_quantity = excluded.filled_quantity,
    average_price = excluded.average_price, rejection_reason = excluded.rejection_reason
"""
_SAVE_TRADE = "INSERT INTO trades VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
_SAVE_PRICES = "INSERT OR REPLACE INTO prices VALUES (?,?,?,?,?,?,?)"
_SAVE_SCRIPT = "INSERT OR REPLACE INTO scripts VALUES (?,?)"
_SAVE_SETTING = "INSERT OR REPLACE INTO settings VALUES (?,?)"


class Store:
    """The exchange's file. Used under the exchange's lock only."""

    def __init__(self, folder: Path) -> None:
        path = folder / _FILE
        self._connection = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(_CREATE)
        path.chmod(0o600)

    def orders(self) -> list[Order]:
        """All orders there ever were, in the order of arrival."""
        return self._load(Order, "SELECT * FROM orders ORDER BY rowid")

    def trades(self) -> list[Trade]:
        """All fills there ever were, in the order they happened."""
        return self._load(Trade, "SELECT * FROM trades ORDER BY rowid")

    def prices(self) -> list[DayPrices]:
        """The last known session of every instrument."""
        return self._load(DayPrices, "SELECT * FROM prices")

    def scripts(self) -> list[Script]:
        """How orders that do not fill whole go on."""
        rows = self._connection.execute("SELECT script FROM scripts")
        return [Script.from_text(text) for (text,) in rows]

    def setting(self, name: str) -> str | None:
        """A setting by name."""
        found = self._connection.execute("SELECT value FROM settings WHERE name = ?", (name,))
        row = found.fetchone()
        return None if row is None else str(row[0])

    def save(
        self,
        orders: Iterable[Order] = (),
        trades: Iterable[Trade] = (),
        prices: Iterable[DayPrices] = (),
        settings: Iterable[tuple[str, str]] = (),
        scripts: Iterable[Script] = (),
    ) -> None:
        """Write all of it, or nothing; it is on disk when this returns."""
        with self._connection as connection:
            connection.executemany(_SAVE_ORDER, map(_as_row, orders))
            connection.executemany(_SAVE_TRADE, map(_as_row, trades))
            connection.executemany(_SAVE_PRICES, map(_as_row, prices))
            connection.executemany(_SAVE_SETTING, settings)
            rows = [(script.orderid, script.to_text()) for script in scripts]
            connection.executemany(_SAVE_SCRIPT, rows)

    def settings_of(self, prefix: str) -> dict[str, str]:
        """The settings whose names begin with `prefix`, by the rest of their names."""
        query = "SELECT substr(name, length(?) + 1), value FROM settings WHERE name GLOB ? || '*'"
        return dict(self._connection.execute(query, (prefix, prefix)))

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _load(self, kind: type[_Row], query: str) -> list[_Row]:
        types = get_type_hints(kind)
        readers = [_READERS.get(types[field.name], types[field.name]) for field in fields(kind)]
        rows = self._connection.execute(query)
        return [
            kind(*(read(value) for read, value in zip(readers, row, strict=True))) for row in rows
        ]


_READERS: dict[Any, Any] = {
    date: date.fromisoformat,
    datetime: datetime.fromisoformat,
    Decimal: Decimal,
}


def _as_row(value: Order | Trade | DayPrices) -> tuple[str | int, ...]:
    return tuple(_as_column(column) for column in astuple(value))


def _as_column(value: object) -> str | int:
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, int) else str(value)
