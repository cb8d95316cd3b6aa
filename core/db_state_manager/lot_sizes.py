"""What one lot of an instrument is sent as at a broker, confirmed by somebody who looked."""

from dataclasses import dataclass
from datetime import datetime

from core.db_state_manager.connection import Database

# What was confirmed last.
CONFIRMED = """
SELECT broker, instrument, lot_size, who, confirmed_at FROM confirmed_lot_sizes
WHERE broker = %s ORDER BY instrument"""

# A confirmation, or another one.
CONFIRM = """
INSERT INTO confirmed_lot_sizes (broker, instrument, lot_size, who, confirmed_at)
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (broker, instrument) DO UPDATE SET
    lot_size = EXCLUDED.lot_size, who = EXCLUDED.who, confirmed_at = EXCLUDED.confirmed_at"""

# The first value that was seen, unless there is one.
CONFIRM_FIRST = """
INSERT INTO confirmed_lot_sizes (broker, instrument, lot_size, who, confirmed_at)
VALUES (%s, %s, %s, %s, %s) ON CONFLICT (broker, instrument) DO NOTHING"""


@dataclass(frozen=True, slots=True)
class ConfirmedLotSize:
    """The quantity one lot is sent as, and who said so."""

    broker: str
    instrument: str
    lot_size: int
    who: str
    confirmed_at: datetime


class LotSizes(Database):
    """Confirmed lot sizes."""

    def confirmed_lot_sizes(self, broker: str) -> dict[str, ConfirmedLotSize]:
        """By instrument, what was confirmed for a broker."""
        return {row[1]: ConfirmedLotSize(*row) for row in self.rows(CONFIRMED, (broker,))}

    def confirm_lot_size(self, broker: str, instrument: str, lot_size: int, who: str) -> None:
        """Somebody has looked: one lot is sent as `lot_size`."""
        with self.transaction() as cursor:
            cursor.execute(CONFIRM, (broker, instrument, lot_size, who, self._clock.now()))

    def confirm_first_lot_size(self, broker: str, instrument: str, lot_size: int, who: str) -> None:
        """Take the first value as confirmed; one that is there stays."""
        with self.transaction() as cursor:
            cursor.execute(CONFIRM_FIRST, (broker, instrument, lot_size, who, self._clock.now()))
