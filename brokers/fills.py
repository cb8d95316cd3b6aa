"""What an order has filled is the sum of its rows in the trade book, and nothing else.

The order's own status tells the first fill's price at best, and no filled quantity at all in live
mode.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from brokers.messages import TradeRow


@dataclass(frozen=True, slots=True)
class Fills:
    """All fills of one order so far; `turnover` is the sum of price x quantity, exact."""

    quantity: int
    turnover: Decimal

    @property
    def average_price(self) -> Decimal | None:
        """The fills' volume-weighted price; None while nothing has filled."""
        return self.turnover / self.quantity if self.quantity else None


def fills_of(order_id: str, trades: Iterable[TradeRow]) -> Fills:
    """The fills of `order_id` among the rows of a trade book."""
    own = [trade for trade in trades if trade.order_id == order_id]
    return Fills(
        quantity=sum(trade.quantity for trade in own),
        turnover=sum((trade.price * trade.quantity for trade in own), Decimal(0)),
    )
