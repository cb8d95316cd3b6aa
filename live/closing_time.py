"""An operation of the end of the day hurries when the close is near, and an entry ends before it.

Both moments are stored with what the end of the day ordered, so that whoever takes an operation
over keeps to them. No other operation is bound by any.
"""

from dataclasses import dataclass
from datetime import datetime

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.end_of_day import EodOrder
from core.db_state_manager.records import Intent, Leg
from core.db_state_manager.states import IntentSource, LegPurpose
from core.ports import Clock


@dataclass(frozen=True, slots=True)
class ClosingTime:
    """The moments of operations."""

    store: DatabaseStateManager
    clock: Clock

    def binds(self, intent: Intent) -> bool:
        """Whether an operation has a close to keep to."""
        return self._order(intent) is not None

    def is_near(self, intent: Intent) -> bool:
        """Whether it is time to hurry; over again once the market has closed."""
        order = self._order(intent)
        return order is not None and order.chase_at <= self.clock.now() < order.closes_at

    def is_over(self, intent: Intent, leg: Leg) -> bool:
        """Whether an entry takes on nothing more for this leg.

        The first leg of two ends when the hurry begins: the other one needs the time that is left.
        """
        order = self._order(intent)
        if order is None:
            return False
        return self.clock.now() >= self._last(order, intent, leg)

    def _last(self, order: EodOrder, intent: Intent, leg: Leg) -> datetime:
        opening = [
            one.place for one in self.store.legs(intent.id) if one.purpose is LegPurpose.OPEN
        ]
        is_first_of_two = len(opening) > 1 and leg.place == min(opening)
        return order.chase_at if is_first_of_two else order.ends_at

    def _order(self, intent: Intent) -> EodOrder | None:
        if intent.source is not IntentSource.EOD or intent.signal_id is None:
            return None
        return self.store.eod_order(intent.signal_id)
