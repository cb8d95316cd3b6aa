"""What is, in one look: positions at their latest prices, orders, money, alerts, the database.

Pages as in `history`. Reading never waits for trading: no row is locked.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from core.db_state_manager.connection import Database
from core.db_state_manager.json_values import from_row
from core.db_state_manager.records import PositionRow
from core.db_state_manager.states import (
    LedgerKind,
    LegPurpose,
    OrderState,
    PriceType,
    Side,
    SignalStatus,
)
from core.models import SignalType

_MARKED = """
SELECT p.key, p.id, p.instrument, p.trade_no, p.layer, p.state, p.is_test, p.lots,
    p.initial_lots, p.entry_price, p.entry_time, p.initial_stop, p.stop, p.highest_close, p.atr,
    p.point_value, p.lot_size, p.margin_per_lot, p.limiter, p.symbol, p.intent_id, p.closed_at,
    p.version, m.price,
    round((m.price - p.entry_price) * p.lots * p.point_value, 2),
    round(greatest(p.entry_price - p.stop, 0) * p.lots * p.point_value, 2)
FROM portfolio_positions AS p LEFT JOIN pyramiding_state AS m USING (instrument)"""

# A page of positions with what they are worth at the latest bar; all of them, or those held.
POSITIONS = f"""{_MARKED}
WHERE (%(before)s IS NULL OR p.key < %(before)s)
  AND (%(instrument)s IS NULL OR p.instrument = %(instrument)s)
  AND (NOT %(held)s OR p.state <> 'closed')
ORDER BY p.key DESC LIMIT %(limit)s"""

# One position by its human id.
POSITION = f"{_MARKED} WHERE p.id = %s"

# A page of orders, each with what it was for.
ORDERS = """
SELECT o.id, i.id, i.signal_id, i.instrument, l.purpose, l.side, l.symbol, l.exchange, l.lots,
    o.broker, o.trading_day, o.order_id, o.quantity, o.price_type, o.price, o.state,
    o.filled_quantity, o.average_price, o.reason, o.created_at, o.updated_at
FROM broker_orders AS o
JOIN order_legs AS l ON l.id = o.leg_id
JOIN order_intents AS i ON i.id = l.intent_id
WHERE (%(before)s IS NULL OR o.id < %(before)s)
  AND (%(instrument)s IS NULL OR i.instrument = %(instrument)s)
ORDER BY o.id DESC LIMIT %(limit)s"""

# A page of the equity curve, oldest first.
EQUITY = """
SELECT id, at, closed_equity, open_pnl, equity_high FROM equity_snapshots
WHERE id > %(after)s AND at >= %(since)s ORDER BY id LIMIT %(limit)s"""

# The ledger by kind.
LEDGER_SUMS = """
SELECT kind, count(*), sum(amount), max(at) FROM capital_transactions GROUP BY kind ORDER BY kind"""

# Alerts since a moment, by type and status.
ALERT_COUNTS = """
SELECT type, status, count(*) FROM signal_log WHERE received_at >= %s
GROUP BY type, status ORDER BY type, status"""

# Each instrument's newest alert: its script is alive.
LAST_ALERTS = """
SELECT last.instrument, last.id, last.type, last.bar_time, last.received_at
FROM unnest(%s::text[]) AS name CROSS JOIN LATERAL (
    SELECT instrument, id, type, bar_time, received_at FROM signal_log
    WHERE instrument = name ORDER BY id DESC LIMIT 1) AS last
ORDER BY 1"""

# Numbers that were skipped between two alerts of a strategy (the Scout's are slots of its clock).
SEQUENCE_GAPS = """
SELECT instrument, type, previous + 1, seq - 1, bar_time FROM (
    SELECT instrument, type, seq, bar_time,
        lag(seq) OVER (PARTITION BY instrument ORDER BY bar_time, seq) AS previous
    FROM signal_log
    WHERE received_at >= %s AND seq IS NOT NULL AND type <> 'EOD_MONITOR') AS numbered
WHERE seq > previous + 1 ORDER BY bar_time DESC, seq DESC LIMIT 100"""

# The server and the size of this database.
SERVER = """
SELECT current_setting('server_version'), pg_database_size(current_database()),
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()),
    current_setting('max_connections')::int, pg_postmaster_start_time()"""

# The tables: rows as the server estimates them, bytes with indexes.
TABLES = """
SELECT relname, n_live_tup, pg_total_relation_size(relid)
FROM pg_stat_user_tables ORDER BY relname"""

# What the schema was made of.
MIGRATIONS = "SELECT version, name, applied_at FROM schema_migrations ORDER BY version"

# The newest event.
NEWEST_EVENT = "SELECT coalesce(max(id), 0) FROM outbox"


@dataclass(frozen=True, slots=True)
class MarkedPosition(PositionRow):
    """A layer with its instrument's latest price; rupees of open P&L and of risk to its stop."""

    price: Decimal | None
    open_pnl: Decimal | None
    risk: Decimal


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """An order, with the operation and the leg it was for."""

    id: int
    intent_id: int
    signal_id: int | None
    instrument: str
    purpose: LegPurpose
    side: Side
    symbol: str
    exchange: str
    leg_lots: int
    broker: str
    trading_day: date
    order_id: str | None
    quantity: int
    price_type: PriceType
    price: Decimal
    state: OrderState
    filled_quantity: int
    average_price: Decimal
    reason: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """The account's money at a moment, rupees."""

    id: int
    at: datetime
    closed_equity: Decimal
    open_pnl: Decimal
    equity_high: Decimal


@dataclass(frozen=True, slots=True)
class LedgerSum:
    """All lines of a kind: how many, what they come to, and the last one's time."""

    kind: LedgerKind
    lines: int
    amount: Decimal
    last_at: datetime


@dataclass(frozen=True, slots=True)
class AlertCount:
    """How many alerts of a type stand so."""

    type: SignalType
    status: SignalStatus
    count: int


@dataclass(frozen=True, slots=True)
class LastAlert:
    """The newest alert of an instrument."""

    instrument: str
    signal_id: int
    type: SignalType
    bar_time: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class SequenceGap:
    """Alerts that never arrived: their numbers, and the bar of the next one that did."""

    instrument: str
    next_type: SignalType
    first_missing: int
    last_missing: int
    next_bar_time: datetime


@dataclass(frozen=True, slots=True)
class AlertStatistics:
    """What came in since a moment."""

    counts: tuple[AlertCount, ...]
    last: tuple[LastAlert, ...]
    gaps: tuple[SequenceGap, ...]


@dataclass(frozen=True, slots=True)
class TableSize:
    """A table: `rows` is the server's estimate."""

    name: str
    rows: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """A migration that the schema was made of."""

    version: int
    name: str
    applied_at: datetime


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """The server and what it holds."""

    server_version: str
    size_bytes: int
    connections: int
    max_connections: int
    started_at: datetime
    tables: tuple[TableSize, ...]
    migrations: tuple[AppliedMigration, ...]


class Overview(Database):
    """Looking."""

    def marked_positions(
        self,
        limit: int,
        before: int | None = None,
        instrument: str | None = None,
        *,
        held: bool = False,
    ) -> list[MarkedPosition]:
        """A page of positions, newest first; `before` is a key. `held` leaves out closed ones."""
        asked = {"before": before, "limit": limit, "instrument": instrument, "held": held}
        return [from_row(MarkedPosition, row) for row in self.rows(POSITIONS, asked)]

    def marked_position(self, position_id: str) -> MarkedPosition | None:
        """One position by its id (INSTRUMENT/trade/Long_n)."""
        rows = self.rows(POSITION, (position_id,))
        return from_row(MarkedPosition, rows[0]) if rows else None

    def placed_orders(
        self, limit: int, before: int | None = None, instrument: str | None = None
    ) -> list[PlacedOrder]:
        """A page of all orders, newest first."""
        asked = {"before": before, "limit": limit, "instrument": instrument}
        return [from_row(PlacedOrder, row) for row in self.rows(ORDERS, asked)]

    def equity_page(self, limit: int, since: datetime, after: int = 0) -> list[EquityPoint]:
        """A page of the equity curve from `since` on, oldest first."""
        asked = {"after": after, "since": since, "limit": limit}
        return [EquityPoint(*row) for row in self.rows(EQUITY, asked)]

    def ledger_sums(self) -> list[LedgerSum]:
        """The ledger by kind."""
        return [from_row(LedgerSum, row) for row in self.rows(LEDGER_SUMS)]

    def alert_statistics(self, since: datetime, instruments: Collection[str]) -> AlertStatistics:
        """What came in since a moment, and each instrument's newest alert whenever it came."""
        return AlertStatistics(
            tuple(from_row(AlertCount, row) for row in self.rows(ALERT_COUNTS, (since,))),
            tuple(from_row(LastAlert, row) for row in self.rows(LAST_ALERTS, (list(instruments),))),
            tuple(from_row(SequenceGap, row) for row in self.rows(SEQUENCE_GAPS, (since,))),
        )

    def database_status(self) -> DatabaseStatus:
        """The server and what it holds."""
        version, size_bytes, connections, most, started_at = self.rows(SERVER)[0]
        tables = tuple(TableSize(*row) for row in self.rows(TABLES))
        migrations = tuple(AppliedMigration(*row) for row in self.rows(MIGRATIONS))
        return DatabaseStatus(
            version, size_bytes, connections, most, started_at, tables, migrations
        )

    def newest_event(self) -> int:
        """The id of the newest event, 0 before the first."""
        return int(self.rows(NEWEST_EVENT)[0][0])
