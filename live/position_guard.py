"""Nothing is closed that is not there: the broker's book is looked at before an order reduces.

A book that shows less than is to be closed is looked at again for some seconds. Then at most what
it shows is sent; where it shows nothing, nothing is sent and the instrument is locked, because
somebody has closed by hand what our books still hold. A book that cannot be read, or that is empty
while money is in use, stops nothing: an exit matters more than the doubt. Of a contract that also
belongs to somebody else the book tells nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from brokers.messages import PositionRow, Product
from brokers.port import Broker
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.records import Intent, Leg
from core.db_state_manager.states import Side
from core.errors import PortfolioError, Rejected
from live.reconciliation import BROKER_DIFFERS

_LOOKS = 4
_PAUSE_S = 1.5
_WHO = "position guard"


class NothingThere(Rejected):
    """The broker holds nothing of what was to be closed; its instrument is locked."""

    def __init__(self, message: str) -> None:
        super().__init__(BROKER_DIFFERS, message)


@dataclass(frozen=True, slots=True)
class PositionGuard:
    """Looks for one account at one broker; `wait` lets so many seconds pass."""

    store: DatabaseStateManager
    broker: Broker
    broker_name: str
    wait: Callable[[float], None]

    def most(self, intent: Intent, leg: Leg, quantity: int, lot_size: int) -> int:
        """How much of `quantity` may be sent, in whole lots. Raises NothingThere, having locked."""
        there = self._there(leg)
        for _ in range(_LOOKS - 1):
            if there is None or there >= quantity:
                return quantity
            self.wait(_PAUSE_S)
            there = self._there(leg)
        if there is None or there >= quantity:
            return quantity
        lots = there // lot_size * lot_size
        if lots:
            return lots
        reason = (
            f"{leg.side} {quantity} {leg.symbol} is not sent: "
            f"the broker's book shows {there} of it to close"
        )
        self.store.lock_instrument(intent.instrument, BROKER_DIFFERS, reason, _WHO)
        raise NothingThere(reason)

    def _there(self, leg: Leg) -> int | None:
        """What the book shows on the side that the leg closes; None where it tells nothing."""
        contract = (leg.symbol, leg.exchange)
        if contract in {
            (tag.symbol, tag.exchange) for tag in self.store.position_tags(self.broker_name)
        }:
            return None
        try:
            rows = self.broker.positionbook()
            if self._is_doubtful(rows):
                return None
        except PortfolioError:
            return None
        net = sum(
            row.quantity
            for row in rows
            if (row.contract.symbol, row.contract.exchange) == contract
            and row.product in (None, Product.NRML)
        )
        return max(net if leg.side is Side.SELL else -net, 0)

    def _is_doubtful(self, rows: Sequence[PositionRow]) -> bool:
        """Whether the book is empty although money is in use."""
        if any(row.quantity for row in rows):
            return False
        return self.broker.funds().utilised_inr != 0
