"""Positions are the sum of fills, and so is every rupee; nothing here is set, only added up.

A position has an average price; what it realises is the difference to that. Positions are of a
symbol and a product over the whole account, as a broker nets them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from brokers.paper_exchange.orders import Order, Trade

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Holding:
    """What is held of one symbol and product; `quantity` is below 0 when short.

    `realised` is in rupees since it was first traded, `realised_before` what of it belongs to
    earlier sessions.
    """

    symbol: str
    exchange: str
    product: str
    unit_value: Decimal
    quantity: int = 0
    average_price: Decimal = Decimal(0)
    realised: Decimal = Decimal(0)
    realised_before: Decimal = Decimal(0)

    @property
    def realised_today(self) -> Decimal:
        """Rupees realised in this session."""
        return self.realised - self.realised_before

    @property
    def cost(self) -> Decimal:
        """Rupees paid for what is held at its average price; below 0 when short."""
        return self.average_price * self.quantity * self.unit_value

    def open_pnl(self, ltp: Decimal) -> Decimal:
        """Rupees gained at `ltp` on what is held."""
        return (ltp - self.average_price) * self.quantity * self.unit_value

    def restated(self, unit_value: Decimal) -> "Holding":
        """The same position where one unit of quantity is worth something else a point."""
        if unit_value == self.unit_value:
            return self
        quantity = round(self.quantity * self.unit_value / unit_value)
        return replace(self, quantity=quantity, unit_value=unit_value)

    def after(self, change: int, price: Decimal) -> "Holding":
        """With `change` units more (less, below 0): added to the average, or closed against it."""
        total = self.quantity + change
        if self.quantity * change >= 0:
            worth = self.average_price * self.quantity + price * change
            return replace(self, quantity=total, average_price=worth / total)
        closed = min(abs(change), abs(self.quantity))
        side = 1 if self.quantity > 0 else -1
        gain = (price - self.average_price) * closed * side * self.unit_value
        turned = self.quantity * total < 0
        average = price if turned else self.average_price if total else Decimal(0)
        return replace(self, quantity=total, average_price=average, realised=self.realised + gain)


class Books:
    """The account: orders and trades of the session, and positions from all trades there were."""

    def __init__(self, orders: Iterable[Order], trades: Iterable[Trade], session: date) -> None:
        self._orders = {order.orderid: order for order in orders if order.session == session}
        self._trades: list[Trade] = []
        self._holdings: dict[Key, Holding] = {}
        self._realised = Decimal(0)
        self._session = session
        past = None
        for trade in trades:
            if past not in (None, trade.session):
                self._close_session()
            past = trade.session
            self._book(trade)
        if past not in (None, session):
            self._close_session()
        self._trades = [trade for trade in self._trades if trade.session == session]

    @property
    def session(self) -> date:
        """The day these books are of."""
        return self._session

    @property
    def orders(self) -> list[Order]:
        """The session's orders, oldest first."""
        return list(self._orders.values())

    @property
    def trades(self) -> list[Trade]:
        """The session's fills, oldest first."""
        return list(self._trades)

    @property
    def holdings(self) -> list[Holding]:
        """What is held, and what was held in this session."""
        return list(self._holdings.values())

    @property
    def realised(self) -> Decimal:
        """Rupees realised since the account was opened."""
        return self._realised

    @property
    def realised_today(self) -> Decimal:
        """Rupees realised in this session."""
        return sum((held.realised_today for held in self._holdings.values()), Decimal(0))

    def order(self, orderid: str) -> Order | None:
        """An order of the session."""
        return self._orders.get(orderid)

    def resting(self) -> list[Order]:
        """Orders that may still fill, oldest first."""
        return [order for order in self._orders.values() if order.status.is_resting]

    def holding(self, exchange: str, symbol: str, product: str) -> Holding | None:
        """What is held of one symbol and product."""
        return self._holdings.get((exchange, symbol, product))

    def record(self, orders: Iterable[Order], trades: Iterable[Trade]) -> None:
        """Take over orders as they are now, and add up new fills."""
        self._orders.update((order.orderid, order) for order in orders)
        for trade in trades:
            self._book(trade)

    def restate(self, held: Holding, unit_value: Decimal) -> None:
        """Count a position in other units: the lotsize of its contract has changed."""
        key = (held.exchange, held.symbol, held.product)
        self._holdings[key] = held.restated(unit_value)

    def turn(self, session: date) -> None:
        """Begin a session: empty order and trade books, positions carried."""
        self._orders.clear()
        self._trades.clear()
        self._close_session()
        self._session = session

    def _book(self, trade: Trade) -> None:
        key = (trade.exchange, trade.symbol, trade.product)
        held = self._holdings.get(key)
        blank = Holding(trade.symbol, trade.exchange, trade.product, trade.unit_value)
        before = blank if held is None else held.restated(trade.unit_value)
        after = before.after(trade.action.sign * trade.quantity, trade.price)
        self._holdings[key] = after
        self._realised += after.realised - before.realised
        self._trades.append(trade)

    def _close_session(self) -> None:
        """What is flat leaves the position book; what was realised becomes history."""
        self._holdings = {
            key: replace(held, realised_before=held.realised)
            for key, held in self._holdings.items()
            if held.quantity
        }
