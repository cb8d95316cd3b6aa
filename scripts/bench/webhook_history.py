"""Years of alerts and trades for the bench, written by SQL into a database that may hold some.

What is written is as the service would have left it: the books balance, and every layer has the
intent, legs, orders and fills it came from.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
from psycopg2.extensions import cursor as Cursor

_FIRST_ID = 10_000_000
_BATCH = 500
_TABLES = {
    "signal_log": "id",
    "order_intents": "id",
    "order_legs": "id",
    "broker_orders": "id",
    "portfolio_positions": "key",
}

# Handled alerts: nearly all closed bars, some entries, exits and ends of the day.
SIGNALS = """
INSERT INTO signal_log
    (fingerprint, type, instrument, layer, bar_time, seq, raw_body, alert, status, outcome,
     received_at, finished_at)
SELECT name || '/' || kind || '/' || n || '/' || bar, kind, name, layer, bar, n, said::text::bytea,
    said, status, jsonb_build_object('code', code, 'reason', 'written for the bench', 'lots', NULL),
    bar, bar + interval '30 ms'
FROM (
    SELECT n, CASE WHEN n %% 2 = 0 THEN 'BANK_NIFTY' ELSE 'GOLD_MINI' END AS name,
        CASE n %% 20 WHEN 3 THEN 'BASE_ENTRY' WHEN 8 THEN 'PYRAMID' WHEN 13 THEN 'EXIT'
            WHEN 18 THEN 'EOD_MONITOR' ELSE 'MARKET_DATA' END AS kind,
        CASE n %% 20 WHEN 3 THEN 1 WHEN 8 THEN 2 END AS layer,
        CASE n %% 20 WHEN 3 THEN 'blocked' ELSE 'executed' END AS status,
        CASE n %% 20 WHEN 3 THEN 'VALIDATION' ELSE 'BAR_CLOSED' END AS code,
        timestamptz '2026-11-27 15:00+05:30' - n * interval '97 s' AS bar
    FROM generate_series(1, %s) AS n) AS made,
    LATERAL (SELECT jsonb_build_object(
        'instrument', name, 'type', kind, 'price', '58000.50', 'atr', '350.25', 'supertrend',
        '57650.25', 'bar_time', bar, 'seq', n, 'rsi', 61.5, 'adx', 24.1, 'er', 0.81)) AS a (said)"""

# The first number of a layer of which neither it nor twice it is the key of anything.
FREE = """
SELECT greatest(%s, (SELECT max(key) FROM portfolio_positions) + 1,
    (SELECT max(id) FROM order_intents) / 2 + 1, (SELECT max(id) FROM order_legs) / 2 + 1,
    (SELECT max(id) FROM broker_orders) / 2 + 1)"""

# Operations: the entry of each layer, and of closed ones the exit.
INTENTS = """
INSERT INTO order_intents
    (id, instrument, source, action, state, layer, lots, decision, created_at, updated_at)
OVERRIDING SYSTEM VALUE
SELECT 2 * n + exits, CASE WHEN n %% 2 = 0 THEN 'BANK_NIFTY' ELSE 'GOLD_MINI' END, 'signal',
    CASE exits WHEN 0 THEN 'entry' ELSE 'exit' END, 'completed', 1, 1,
    jsonb_build_object('code', 'ENTER_BASE', 'reason', 'written for the bench'),
    timestamptz '2026-11-27 15:00+05:30', timestamptz '2026-11-27 15:00+05:30'
FROM generate_series(%(first)s, %(last)s) AS n, generate_series(0, %(exits)s) AS exits"""

LEGS = """
INSERT INTO order_legs
    (id, intent_id, place, purpose, side, symbol, exchange, lots, quantity, state)
OVERRIDING SYSTEM VALUE
SELECT id, id, 1, CASE action WHEN 'entry' THEN 'open' ELSE 'close' END,
    CASE action WHEN 'entry' THEN 'BUY' ELSE 'SELL' END, 'GOLDM04DEC26FUT', 'MCX', 1, 10, 'filled'
FROM order_intents WHERE id BETWEEN 2 * %(first)s AND 2 * %(last)s + 1"""

ORDERS = """
INSERT INTO broker_orders
    (id, leg_id, broker, trading_day, order_id, quantity, price_type, price, known_order_ids,
     state, filled_quantity, average_price, created_at, updated_at)
OVERRIDING SYSTEM VALUE
SELECT id, id, 'paper', '2026-11-27', 'H' || id, 10, 'LIMIT', 58000, '{}', 'filled', 10, 58000,
    timestamptz '2026-11-27 15:00+05:30', timestamptz '2026-11-27 15:00+05:30'
FROM order_legs WHERE id BETWEEN 2 * %(first)s AND 2 * %(last)s + 1"""

FILLS = """
INSERT INTO fills (broker_order_id, cumulative_quantity, average_price, at)
SELECT id, 10, 58000, created_at FROM broker_orders
WHERE id BETWEEN 2 * %(first)s AND 2 * %(last)s + 1"""

LAYERS = """
INSERT INTO portfolio_positions
    (key, id, instrument, trade_no, layer, state, lots, initial_lots, entry_price, entry_time,
     initial_stop, stop, highest_close, atr, point_value, lot_size, margin_per_lot, limiter,
     symbol, entry_charges, intent_id, closed_at)
OVERRIDING SYSTEM VALUE
SELECT n, instrument || '/' || n || '/Long_1', instrument, n, 1,
    CASE %(exits)s WHEN 1 THEN 'closed' ELSE 'open' END, 1 - %(exits)s, 1, 58000, created_at,
    30000, 30000, 58000, 350, 10, 10, 100, 'risk', 'GOLDM04DEC26FUT', 0, id,
    CASE %(exits)s WHEN 1 THEN created_at END
FROM order_intents, LATERAL (SELECT (id / 2)::integer) AS a (n)
WHERE id BETWEEN 2 * %(first)s AND 2 * %(last)s AND id %% 2 = 0"""

TRADES = """
INSERT INTO trades
    (position_key, intent_id, strategy_id, instrument, trade_no, layer, lots, entry_time,
     entry_price, exit_time, exit_price, point_value, gross_pnl, charges, net_pnl, initial_risk,
     reason, limiter)
SELECT key, 2 * key + 1, strategy_id, instrument, trade_no, layer, 1, entry_time, entry_price,
    closed_at, entry_price, point_value, 10, 2, 8, 300, 'TOM_BASSO_STOP', limiter
FROM portfolio_positions WHERE key BETWEEN %(first)s AND %(last)s AND state = 'closed'"""

LEDGER = """
INSERT INTO capital_transactions (kind, amount, equity_after, position_key, intent_id, notes, at)
SELECT kind, amount, 0, position_key, intent_id, 'written for the bench', exit_time
FROM trades, (VALUES ('CHARGES', -1), ('CHARGES', -1), ('PNL', 10)) AS line (kind, amount)
WHERE position_key BETWEEN %(first)s AND %(last)s"""

AUDIT = """
INSERT INTO signal_audit (intent_id, instrument, kind, code, detail, at)
SELECT id, instrument, kind, 'ENTER_BASE', decision, created_at
FROM order_intents, (VALUES ('decision'), ('opened')) AS each (kind)
WHERE id BETWEEN 2 * %(first)s AND 2 * %(last)s + 1"""


def write_signals(database_url: str, count: int) -> None:
    """Put `count` handled alerts into the log."""
    with _cursor(database_url) as cursor:
        cursor.execute(SIGNALS, (count,))
    _settle(database_url)


def write_positions(database_url: str, closed: int, held: int = 0) -> None:
    """Put `closed` finished positions into the history, and `held` layers into the book."""
    with _cursor(database_url) as cursor:
        cursor.execute(FREE, (_FIRST_ID,))
        first = (cursor.fetchone() or (_FIRST_ID,))[0]
    for low, count, exits in ((first, closed, 1), (first + closed, held, 0)):
        for begin in range(low, low + count, _BATCH):
            end = min(begin + _BATCH, low + count) - 1
            with _cursor(database_url) as cursor:
                for statement in (
                    INTENTS, LEGS, ORDERS, FILLS, LAYERS, TRADES, LEDGER, AUDIT
                ):  # fmt: skip
                    cursor.execute(statement, {"first": begin, "last": end, "exits": exits})
    _settle(database_url)


def _settle(database_url: str) -> None:
    """New ids above the written ones, and figures for the planner as autovacuum makes them."""
    with _cursor(database_url) as cursor:
        for table, key in _TABLES.items():
            cursor.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', '{key}'),"  # noqa: S608
                f" greatest((SELECT max({key}) FROM {table}), 1))"
            )
    with closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
            cursor.execute("CHECKPOINT")


@contextmanager
def _cursor(database_url: str) -> Iterator[Cursor]:
    with (
        closing(psycopg2.connect(database_url)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        yield cursor
