"""The book as rows: loaded whole, and changed only together with its ledger, audit and outbox.

Every layer that is not closed is loaded, whatever is being done with it. Bookings run the same
`PortfolioStateManager` that sizing reads, on the book as stored, and write what it came to.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from psycopg2.extensions import cursor as Cursor

from core.book_events import ExposureReserved, LayerOpened, LayerReduced
from core.db_state_manager.capital import MONEY, PAISA, Money, book_lines
from core.db_state_manager.connection import Database, Row, fetch, fetch_one
from core.db_state_manager.json_values import from_row, to_json
from core.db_state_manager.records import LedgerLine, StopRaise
from core.db_state_manager.states import AuditKind, LedgerKind
from core.errors import Rejected
from core.models import Position, Trade
from core.portfolio_state import InstrumentMarks, PortfolioStateManager, StoredBook
from core.ports import Clock
from core.stop_manager import TomBassoStopManager

Stops = Mapping[str, TomBassoStopManager[Decimal]]

# Every layer that still holds lots, in whatever state, with its row's key and version.
HELD_LAYERS = """
SELECT key, version, id, instrument, trade_no, layer, lots, initial_lots, entry_price, entry_time,
       initial_stop, stop, highest_close, atr, point_value, lot_size, margin_per_lot, limiter,
       symbol, entry_charges
FROM portfolio_positions WHERE state <> 'closed' ORDER BY instrument, layer"""

# Where each instrument's trades stand.
MARKS = "SELECT instrument, trade_no, top_layer, price, atr FROM pyramiding_state"

# What entries that are on their way still hold.
RESERVED = """
SELECT id::text, instrument, layer, lots, reserved_risk, reserved_volatility, reserved_margin
FROM order_intents
WHERE state IN ('reserved', 'working', 'naked', 'unknown') AND action = 'entry' ORDER BY id"""

# An instrument's latest bar and trade.
SAVE_MARKS = """
INSERT INTO pyramiding_state (instrument, trade_no, top_layer, price, atr)
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (instrument) DO UPDATE SET
    trade_no = EXCLUDED.trade_no, top_layer = EXCLUDED.top_layer, price = EXCLUDED.price,
    atr = EXCLUDED.atr, version = pyramiding_state.version + 1"""

# A stop that was raised, unless somebody changed the layer meanwhile.
RAISE_STOP = """
UPDATE portfolio_positions SET stop = %s, highest_close = %s, version = version + 1
WHERE id = %s AND version = %s AND state <> 'closed'"""

# A new layer.
OPEN_LAYER = """
INSERT INTO portfolio_positions
    (id, instrument, trade_no, layer, state, is_test, lots, initial_lots, entry_price, entry_time,
     initial_stop, stop, highest_close, atr, point_value, lot_size, margin_per_lot, limiter,
     symbol, entry_charges, intent_id)
VALUES (%s, %s, %s, %s, 'open', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
RETURNING key"""

# What is left of a layer; one without lots is closed for ever.
REDUCE_LAYER = """
UPDATE portfolio_positions SET
    lots = %(lots)s, entry_charges = %(entry_charges)s, version = version + 1,
    state = CASE WHEN %(lots)s = 0 THEN 'closed' ELSE 'open' END,
    closed_at = CASE WHEN %(lots)s = 0 THEN %(time)s ELSE NULL END
WHERE id = %(id)s AND state <> 'closed'
RETURNING key, strategy_id"""

# A closing of lots, for the history.
RECORD_TRADE = """
INSERT INTO trades
    (position_key, intent_id, strategy_id, instrument, trade_no, layer, lots, entry_time,
     entry_price, exit_time, exit_price, point_value, gross_pnl, charges, net_pnl, initial_risk,
     reason, limiter)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"""

# Layers of an instrument (or one number of them) that were closed after a moment.
CLOSED_SINCE = """
SELECT id FROM portfolio_positions
WHERE instrument = %(instrument)s AND state = 'closed' AND closed_at > %(since)s
  AND (%(layer)s IS NULL OR layer = %(layer)s)
ORDER BY key"""

# What was decided or booked.
AUDIT = """
INSERT INTO signal_audit (signal_id, intent_id, instrument, kind, code, detail, at)
VALUES (%s, %s, %s, %s, %s, %s, %s)"""

AVERAGE = Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class LoadedBook:
    """The book, and the version at which each of its layers was read."""

    book: PortfolioStateManager
    versions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Booking:
    """For whom something is booked, and when."""

    signal_id: int | None
    intent_id: int | None
    is_test: bool
    at: datetime


class BookStore(Database):
    """The book."""

    def __init__(self, dsn: str, pool_size: int, clock: Clock, stops: Stops, wait_s: float = 5.0):
        """`stops` holds, by configured instrument, the manager that moves its layers' stops."""
        super().__init__(dsn, pool_size, clock, wait_s)
        self._stops = dict(stops)

    def load_book(self) -> PortfolioStateManager:
        """The whole book with everything in flight. Raises Rejected for what is not configured."""
        return self.read(lambda cursor: self._load(cursor).book)

    def closed_since(self, instrument: str, layer: int | None, since: datetime) -> tuple[str, ...]:
        """The ids of an instrument's layers, or of its layers of one number, closed after then."""
        asked = {"instrument": instrument, "layer": layer, "since": since}
        return tuple(row[0] for row in self.rows(CLOSED_SINCE, asked))

    def raise_stops(self, raises: Sequence[StopRaise]) -> tuple[str, ...]:
        """Raise stops; the ids of those layers that somebody else changed first, left alone."""
        with self.transaction() as cursor:
            return save_stops(cursor, raises)

    def _load(self, cursor: Cursor, money: Money | None = None) -> LoadedBook:
        """Raises Rejected; a caller that holds the account's lock hands its `money` in."""
        if money is None:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            money = Money(*(fetch_one(cursor, MONEY) or ()))
        layers = fetch(cursor, HELD_LAYERS)
        marks = fetch(cursor, MARKS)
        reserved = fetch(cursor, RESERVED)
        stored = StoredBook(
            closed_equity=money.closed_equity,
            equity_high=money.equity_high,
            charges=money.charges,
            marks=tuple(InstrumentMarks(*row) for row in marks),
            layers=tuple(_position(row) for row in layers),
            reservations=tuple(ExposureReserved(*row) for row in reserved),
        )
        book = PortfolioStateManager.restore(self._stops, stored)
        return LoadedBook(book, {row[2]: row[1] for row in layers})


def save_stops(cursor: Cursor, raises: Iterable[StopRaise]) -> tuple[str, ...]:
    """Write stops; the ids of the layers that had moved on."""
    missed = []
    for item in raises:
        cursor.execute(RAISE_STOP, (item.stop, item.highest_close, item.position_id, item.version))
        if cursor.rowcount == 0:
            missed.append(item.position_id)
    return tuple(missed)


def save_marks(cursor: Cursor, book: PortfolioStateManager, instrument: str) -> None:
    """Write an instrument's latest bar and trade."""
    held = book[instrument]
    cursor.execute(SAVE_MARKS, (instrument, held.trade_no, held.top_layer, held.price, held.atr))


def book_opening(
    cursor: Cursor, book: PortfolioStateManager, event: LayerOpened, booking: Booking
) -> Position:
    """Open a layer in the book and in its rows. Raises Rejected for one out of order."""
    event = replace(
        event,
        price=event.price.quantize(AVERAGE),
        margin_per_lot=event.margin_per_lot.quantize(PAISA),
        charges=event.charges.quantize(PAISA),
        intent_id="" if booking.intent_id is None else str(booking.intent_id),
    )
    layer = book.open_layer(event)
    key = _key(cursor, OPEN_LAYER, _layer_values(layer, booking))
    charges = LedgerLine(LedgerKind.CHARGES, -event.charges, "entry")
    book_lines(cursor, [charges], event.time, position_key=key[0], intent_id=booking.intent_id)
    save_marks(cursor, book, event.instrument)
    _audit_booking(cursor, AuditKind.OPENED, layer.id, event, booking)
    return layer


def book_reduction(
    cursor: Cursor, book: PortfolioStateManager, event: LayerReduced, booking: Booking
) -> Trade:
    """Close lots of a layer in the book and in its rows. Raises Rejected for too many.

    The profit is rounded to the paisa, as money is.
    """
    event = replace(
        event, price=event.price.quantize(AVERAGE), charges=event.charges.quantize(PAISA)
    )
    trade = book.reduce_layer(event)
    left = next((lay for lay in book[event.instrument].layers if lay.id == event.position_id), None)
    changed = {
        "id": event.position_id,
        "lots": 0 if left is None else left.lots,
        "entry_charges": 0 if left is None else left.entry_charges,
        "time": event.time,
    }
    cursor.execute(REDUCE_LAYER, changed)
    row = cursor.fetchone()
    if row is None:
        raise Rejected("NOT_HELD", f"{event.position_id} is not held")
    gross = trade.gross_pnl.quantize(PAISA)
    cursor.execute(RECORD_TRADE, _trade_values(trade, gross, row, booking))
    lines = [
        LedgerLine(LedgerKind.CHARGES, -event.charges, "exit"),
        LedgerLine(LedgerKind.PNL, gross, event.reason),
    ]
    book_lines(cursor, lines, event.time, position_key=row[0], intent_id=booking.intent_id)
    _audit_booking(cursor, AuditKind.REDUCED, event.reason, event, booking)
    return replace(trade, gross_pnl=gross, net_pnl=gross - trade.charges)


def audit(
    cursor: Cursor,
    kind: AuditKind,
    instrument: str,
    code: str,
    detail: object,
    booking: Booking,
) -> None:
    """Append to the audit."""
    kept = (booking.signal_id, booking.intent_id, instrument, kind, code, to_json(detail))
    cursor.execute(AUDIT, (*kept, booking.at))


def _audit_booking(
    cursor: Cursor,
    kind: AuditKind,
    code: str,
    event: LayerOpened | LayerReduced,
    booking: Booking,
) -> None:
    audit(cursor, kind, event.instrument, code, event, booking)


def _key(cursor: Cursor, query: str, values: tuple[object, ...]) -> Row:
    return fetch_one(cursor, query, values) or ()


def _layer_values(layer: Position, booking: Booking) -> tuple[object, ...]:
    return (
        layer.id,
        layer.instrument,
        layer.trade_no,
        layer.layer,
        booking.is_test,
        layer.lots,
        layer.initial_lots,
        layer.entry_price,
        layer.entry_time,
        layer.initial_stop,
        layer.stop,
        layer.highest_close,
        layer.atr,
        layer.point_value,
        layer.lot_size,
        layer.margin_per_lot,
        layer.limiter,
        layer.symbol,
        layer.entry_charges,
        booking.intent_id,
    )


def _trade_values(
    trade: Trade, gross: Decimal, position: Row, booking: Booking
) -> tuple[object, ...]:
    return (
        position[0],
        booking.intent_id,
        position[1],
        trade.instrument,
        trade.trade_no,
        trade.layer,
        trade.lots,
        trade.entry_time,
        trade.entry_price,
        trade.exit_time,
        trade.exit_price,
        trade.point_value,
        gross,
        trade.charges,
        gross - trade.charges,
        trade.initial_risk,
        trade.reason,
        trade.limiter,
    )


def _position(row: Row) -> Position:
    return from_row(Position, row[2:])
