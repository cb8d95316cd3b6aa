"""All that an operation came to is booked at once, and raises `equity_high` once, at its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from psycopg2.extensions import cursor as Cursor

from core.book_events import LayerOpened, LayerReduced, LayerRolled
from core.db_state_manager.book import Booking, book_opening, book_reduction
from core.db_state_manager.capital import book_lines
from core.db_state_manager.records import LedgerLine
from core.db_state_manager.rolls import book_roll, move_stand_ins
from core.models import Position, Trade
from core.portfolio_state import PortfolioStateManager

# The ratchet, at an operation's end: no line of the ledger moves it on its way there.
RAISE_HIGH = """
UPDATE portfolio_state SET equity_high = closed_equity, version = version + 1
WHERE closed_equity > equity_high"""

BookedEvent: TypeAlias = LayerOpened | LayerReduced | LayerRolled


@dataclass(frozen=True, slots=True)
class Booked:
    """The layers that were opened, closed in part or whole, and moved."""

    opened: tuple[Position, ...]
    trades: tuple[Trade, ...]
    rolled: tuple[Position, ...]

    @property
    def lots(self) -> int:
        """The lots of all of them."""
        layers = (*self.opened, *self.rolled)
        return sum(each.lots for each in layers) + sum(trade.lots for trade in self.trades)


def book_operation(
    cursor: Cursor,
    book: PortfolioStateManager,
    events: Sequence[BookedEvent],
    beside: Sequence[LedgerLine],
    booking: Booking,
) -> Booked:
    """Book the events in their order, then raise `equity_high` to where that left equity.

    `beside` is what the operation earned or cost outside any layer. Raises Rejected as its
    bookings do.
    """
    opened: list[Position] = []
    trades: list[Trade] = []
    rolled: list[Position] = []
    for event in events:
        match event:
            case LayerOpened():
                opened.append(book_opening(cursor, book, event, booking))
            case LayerReduced():
                trades.append(book_reduction(cursor, book, event, booking))
            case LayerRolled():
                rolled.append(book_roll(cursor, book, event, booking))
    move_stand_ins(cursor, book, [event for event in events if isinstance(event, LayerRolled)])
    book_lines(cursor, beside, booking.at, intent_id=booking.intent_id)
    cursor.execute(RAISE_HIGH)
    return Booked(tuple(opened), tuple(trades), tuple(rolled))
