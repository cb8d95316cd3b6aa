"""What operators asked for, kept for ever, and the holidays that they add to the calendar.

The audit is written before the thing is tried, so that nothing is done that is not in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from core.db_state_manager.connection import Database
from core.db_state_manager.json_values import to_json

# What an operator asks for.
AUDIT_OPERATOR = """
INSERT INTO operator_audit (who, action, detail, reason, request_id, at)
VALUES (%s, %s, %s, %s, %s, %s)"""

# What operators asked for last.
ASKED = """
SELECT id, who, action, detail, reason, request_id, at FROM operator_audit
ORDER BY id DESC LIMIT %s"""

# An operator's holiday, or its new description.
SET_HOLIDAY = """
INSERT INTO market_holidays (exchange, day, description, who, set_at) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (exchange, day) DO UPDATE SET
    description = EXCLUDED.description, who = EXCLUDED.who, set_at = EXCLUDED.set_at"""

# No holiday of the operator's any more.
REMOVE_HOLIDAY = "DELETE FROM market_holidays WHERE exchange = %s AND day = %s"

# The operators' holidays of an exchange.
HOLIDAYS = """
SELECT exchange, day, description, who, set_at FROM market_holidays
WHERE exchange = %s ORDER BY day"""


@dataclass(frozen=True, slots=True)
class OperatorAudit:
    """Something that an operator asked for. `who` is the role and the mark of the token."""

    id: int
    who: str
    action: str
    detail: dict[str, object]
    reason: str
    request_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OperatorHoliday:
    """A day that an operator closed an exchange for."""

    exchange: str
    day: date
    description: str
    who: str
    set_at: datetime


class Operators(Database):
    """What operators did."""

    def audit_operator(
        self, who: str, action: str, detail: Mapping[str, object], reason: str, request_id: str
    ) -> None:
        """Write down what is asked for, before it is tried."""
        now = self._clock.now()
        with self.transaction() as cursor:
            kept = (who, action, to_json(detail), reason, request_id, now)
            cursor.execute(AUDIT_OPERATOR, kept)

    def asked_by_operators(self, limit: int) -> list[OperatorAudit]:
        """What was asked for last, newest first."""
        return [OperatorAudit(*row) for row in self.rows(ASKED, (limit,))]

    def set_holiday(self, exchange: str, day: date, description: str, who: str) -> None:
        """Close an exchange for a day, or say anew why it is closed."""
        with self.transaction() as cursor:
            cursor.execute(SET_HOLIDAY, (exchange, day, description, who, self._clock.now()))

    def remove_holiday(self, exchange: str, day: date) -> bool:
        """Take an operator's holiday back. False when there is none."""
        with self.transaction() as cursor:
            cursor.execute(REMOVE_HOLIDAY, (exchange, day))
            return cursor.rowcount > 0

    def operator_holidays(self, exchange: str) -> list[OperatorHoliday]:
        """The operators' holidays of an exchange, in their order."""
        return [OperatorHoliday(*row) for row in self.rows(HOLIDAYS, (exchange,))]
