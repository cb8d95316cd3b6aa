"""A layer's moves from contract to contract: booked with the money they cost, and kept.

The row moves by the basis and is not written over: a stop that was raised meanwhile stays raised.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from psycopg2.extensions import cursor as Cursor

from core.book_events import LayerRolled
from core.db_state_manager.book import AVERAGE, Booking, audit, save_marks
from core.db_state_manager.capital import PAISA, book_lines
from core.db_state_manager.connection import Database, fetch_one
from core.db_state_manager.json_values import from_row
from core.db_state_manager.records import LedgerLine
from core.db_state_manager.states import AuditKind, LedgerKind
from core.errors import Rejected
from core.models import Position
from core.portfolio_state import PortfolioStateManager

# The layers that a roll is about to move.
MARK_ROLLING = """
UPDATE portfolio_positions SET state = 'rolling', version = version + 1
WHERE id = ANY (%s) AND state = 'open'"""

# The layers that were not moved after all, or have been.
MARK_ROLLED = """
UPDATE portfolio_positions SET state = 'open', version = version + 1
WHERE id = ANY (%s) AND state = 'rolling'"""

# A layer in its next contract.
MOVE_LAYER = """
UPDATE portfolio_positions SET
    entry_price = entry_price + %(basis)s, initial_stop = initial_stop + %(basis)s,
    stop = stop + %(basis)s, highest_close = highest_close + %(basis)s, lots = %(lots)s,
    initial_lots = %(initial_lots)s, point_value = %(point_value)s, lot_size = %(lot_size)s,
    margin_per_lot = %(margin_per_lot)s, symbol = %(symbol)s, entry_charges = %(entry_charges)s,
    rolled_by = %(intent)s, version = version + 1
WHERE id = %(id)s AND state <> 'closed'
RETURNING key"""

# The move, for the history.
KEEP_ROLL = """
INSERT INTO position_rolls
    (position_key, intent_id, near, far, near_close, far_open, basis, slippage, lots_before,
     lots_after, realised, charges, at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"""

# What stood in for bars that may still move the stops goes where the layers have gone.
MOVE_STAND_INS = """
UPDATE stand_ins SET price = price + %s WHERE instrument = %s AND trailed_at IS NULL"""

_ROLL = """r.id, p.id, p.instrument, r.intent_id, r.near, r.far, r.near_close, r.far_open, r.basis,
       r.slippage, r.lots_before, r.lots_after, r.realised, r.charges, r.at
FROM position_rolls AS r JOIN portfolio_positions AS p ON p.key = r.position_key"""

# The latest moves, or those of one layer.
ROLLS = f"""
SELECT {_ROLL} WHERE %(position)s IS NULL OR p.id = %(position)s
ORDER BY r.id DESC LIMIT %(limit)s"""

# By how much the moves since then have moved an instrument's levels, by lots.
MOVED_SINCE = """
SELECT coalesce(sum(r.basis * r.lots_after) / sum(r.lots_after), 0)
FROM position_rolls AS r JOIN portfolio_positions AS p ON p.key = r.position_key
WHERE p.instrument = %s AND r.at > %s"""

# All moves of some layers.
ROLLS_OF = f"SELECT {_ROLL} WHERE p.id = ANY (%s) ORDER BY r.id"


@dataclass(frozen=True, slots=True)
class RollRow:
    """One move of one layer; prices in points, `realised` and `charges` in rupees."""

    id: int
    position_id: str
    instrument: str
    intent_id: int
    near: str
    far: str
    near_close: Decimal
    far_open: Decimal
    basis: Decimal
    slippage: Decimal
    lots_before: int
    lots_after: int
    realised: Decimal
    charges: Decimal
    at: datetime


class Rolls(Database):
    """Reads them."""

    def rolls(self, limit: int, position_id: str | None = None) -> list[RollRow]:
        """The latest moves, newest first; of all layers, or of one."""
        asked = {"limit": limit, "position": position_id}
        return [from_row(RollRow, row) for row in self.rows(ROLLS, asked)]

    def moved_since(self, instrument: str, since: datetime) -> Decimal:
        """How much dearer, in points, what is held became by rolls since then; mostly 0."""
        moved: Decimal = self.rows(MOVED_SINCE, (instrument, since))[0][0]
        return moved.quantize(AVERAGE)

    def rolls_of(self, position_ids: Sequence[str]) -> list[RollRow]:
        """All moves of those layers, oldest first."""
        return [from_row(RollRow, row) for row in self.rows(ROLLS_OF, (list(position_ids),))]


def book_roll(
    cursor: Cursor, book: PortfolioStateManager, event: LayerRolled, booking: Booking
) -> Position:
    """Move a layer in the book and in its rows. Raises Rejected for what cannot be moved."""
    event = replace(
        event,
        near_close=event.near_close.quantize(AVERAGE),
        far_open=event.far_open.quantize(AVERAGE),
        margin_per_lot=event.margin_per_lot.quantize(PAISA),
        charges=event.charges.quantize(PAISA),
    )
    before = next(
        (lay for lay in book[event.instrument].layers if lay.id == event.position_id), None
    )
    lots_before = 0 if before is None else before.lots
    realised = book.roll_layer(event).quantize(PAISA)
    layer = next(lay for lay in book[event.instrument].layers if lay.id == event.position_id)
    key = fetch_one(cursor, MOVE_LAYER, _moved(layer, event, booking))
    if key is None:
        raise Rejected("NOT_HELD", f"{event.position_id} is not held")
    kept = (
        key[0],
        booking.intent_id,
        event.near,
        event.far,
        event.near_close,
        event.far_open,
        event.basis,
        event.slippage.quantize(AVERAGE),
        lots_before,
        event.lots,
        realised,
        event.charges,
        event.time,
    )
    cursor.execute(KEEP_ROLL, kept)
    lines = [LedgerLine(LedgerKind.CHARGES, -event.charges, "roll")]
    if realised:
        note = f"roll: {lots_before} lots became {event.lots}"
        lines.append(LedgerLine(LedgerKind.PNL, realised, note))
    book_lines(cursor, lines, event.time, position_key=key[0], intent_id=booking.intent_id)
    save_marks(cursor, book, event.instrument)
    audit(cursor, AuditKind.ROLLED, event.instrument, "ROLL", event, booking)
    return layer


def move_stand_ins(
    cursor: Cursor, book: PortfolioStateManager, events: Sequence[LayerRolled]
) -> None:
    """Let quotes that were taken for bars before these moves speak of the contracts after them.

    Such a quote is what all layers of the instrument cost together, so it moves by their mean.
    """
    for instrument in {event.instrument for event in events}:
        worth = sum(
            (
                event.basis * event.lots * event.point_value
                for event in events
                if event.instrument == instrument
            ),
            Decimal(0),
        )
        moved = (worth / book[instrument].exposure).quantize(AVERAGE)
        cursor.execute(MOVE_STAND_INS, (moved, instrument))


def _moved(layer: Position, event: LayerRolled, booking: Booking) -> dict[str, object]:
    return {
        "id": layer.id,
        "basis": event.basis,
        "lots": layer.lots,
        "initial_lots": layer.initial_lots,
        "point_value": layer.point_value,
        "lot_size": layer.lot_size,
        "margin_per_lot": layer.margin_per_lot,
        "symbol": layer.symbol,
        "entry_charges": layer.entry_charges,
        "intent": booking.intent_id,
    }
