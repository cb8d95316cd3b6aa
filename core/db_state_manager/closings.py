"""Close-alls that go on: an instrument that is being closed is locked for it until that has ended.

The lock is the request: it is there before anything is sent, so that whoever comes after a crash
knows of it, and no entry opens anything meanwhile.
"""

from dataclasses import dataclass
from datetime import datetime

from core.db_state_manager.connection import Database
from core.db_state_manager.json_values import from_row

CLOSE_ALL = "CLOSE_ALL"

# The last close-all of each instrument, under way or ended.
LAST_CLOSINGS = """
SELECT DISTINCT ON (instrument) instrument, reason, locked_by, locked_at, released_at
FROM instrument_locks WHERE code = %s ORDER BY instrument, id DESC"""

# The layers of an instrument that are held or ended in a time, and what was closed in it.
LAYERS_OF = """
SELECT p.id, coalesce(p.rolled_by, p.intent_id), p.lots,
       coalesce((SELECT sum(t.lots) FROM trades AS t WHERE t.position_key = p.key
                 AND t.exit_time BETWEEN %(since)s AND %(until)s), 0)
FROM portfolio_positions AS p
WHERE p.instrument = %(instrument)s
  AND (p.state <> 'closed' OR p.closed_at BETWEEN %(since)s AND %(until)s)
ORDER BY p.trade_no, p.layer"""

# When the last operator's exit since a moment came to its end, if none is under way.
EXIT_ENDED = """
SELECT max(updated_at) FROM order_intents
WHERE instrument = %s AND source = 'operator' AND action = 'exit' AND created_at >= %s
  AND state IN ('completed', 'cancelled')"""


@dataclass(frozen=True, slots=True)
class Closing:
    """A close-all of one instrument: why, who, since when, and until when it went on."""

    instrument: str
    reason: str
    who: str
    since: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class ClosedLayer:
    """A layer: the lots of it that are held, and those that were closed in a time.

    `intent_id` is what put it into its contracts: its entry, or its last roll.
    """

    position_id: str
    intent_id: int | None
    lots: int
    closed_lots: int


class Closings(Database):
    """What close-alls were asked for, and what came of them in our books."""

    def last_closings(self) -> list[Closing]:
        """The last close-all of each instrument that ever had one."""
        return [from_row(Closing, row) for row in self.rows(LAST_CLOSINGS, (CLOSE_ALL,))]

    def layers_of(self, instrument: str, since: datetime, until: datetime) -> list[ClosedLayer]:
        """The layers that are held, and those that ended between the two."""
        values = {"instrument": instrument, "since": since, "until": until}
        return [from_row(ClosedLayer, row) for row in self.rows(LAYERS_OF, values)]

    def operator_exit_ended(self, instrument: str, since: datetime) -> datetime | None:
        """When an operator's exit that was begun since then came to its end; None if none did."""
        ended: datetime | None = self.rows(EXIT_ENDED, (instrument, since))[0][0]
        return ended
