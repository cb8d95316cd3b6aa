"""Where operators see and settle what the broker has and we do not, and the other way round."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.reconciliation import DifferenceKind
from live.adopting import Adopter
from live.lot_guard import LotGuard
from live.reconciliation import Reconciler
from live.unknown_orders import UnknownOrders

WHAT_TO_DO: Mapping[DifferenceKind, str] = {
    DifferenceKind.MISSING: "closed at the broker? sync --adopt books it as an exit",
    DifferenceKind.QUANTITY: "traded at the broker? sync --adopt books the difference",
    DifferenceKind.EXTRA: "yours? sync --adopt books it as a layer; somebody else's? tag it",
    DifferenceKind.NAKED: "buy back the short leg at the broker now, then look again",
    DifferenceKind.ORPHAN_ORDER: "cancel it at the broker, or tag the contract",
}


@dataclass(frozen=True, slots=True)
class BrokerDesk:
    """The rooms for it."""

    broker_name: str
    reconciler: Reconciler
    adopter: Adopter
    unknown_orders: UnknownOrders
    lot_guard: LotGuard
