"""An order goes out in the lots of today, or not at all: yesterday's quantity may be others now.

What one lot is sent as can change over night. An entry that was planned in other lots is not sent.
An exit of an option or an index future keeps the quantity it holds. An exit of what is counted in
the broker's own lots (1, 10 or 100 of the same gold) ends, its instrument is locked, and what asks
for it again plans it anew.
"""

from dataclasses import dataclass

from brokers.messages import SymbolInfo
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.records import Intent, Leg
from core.db_state_manager.states import LegPurpose
from core.errors import Halted
from core.instruments import InstrumentCatalog, InstrumentSpec
from live.lot_guard import LOTSIZE_CHANGED

_WHO = "lot units"


@dataclass(frozen=True, slots=True)
class LotUnits:
    """Holds legs against the master of today."""

    store: DatabaseStateManager
    catalog: InstrumentCatalog

    def check(self, intent: Intent, leg: Leg, info: SymbolInfo) -> None:
        """Raise Halted, having locked, for a leg in other lots than today's."""
        planned = leg.quantity // leg.lots
        if leg.purpose is LegPurpose.UNWIND or planned == info.lot_size:
            return
        if leg.purpose is LegPurpose.CLOSE and not is_restated(self.catalog[intent.instrument]):
            return
        reason = (
            f"one lot of {leg.symbol} is {info.lot_size} at the broker and was {planned} when "
            f"{leg.side} {leg.quantity} was planned: it is not sent"
        )
        self.store.lock_instrument(intent.instrument, LOTSIZE_CHANGED, reason, _WHO)
        raise Halted(reason)


def is_restated(spec: InstrumentSpec) -> bool:
    """Whether what is held is counted anew when the broker calls a lot something else."""
    return spec.fixed_point_value is not None
