"""Where orders meet the market: what comes of it goes to disk, then to the books.

Used under the exchange's lock only. An order with a script fills as that says, and what of it is
due has been played before anything else is asked.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from brokers.paper_exchange.books import Books
from brokers.paper_exchange.fill_script import Met, Piece, Script, play, touch, within_limit
from brokers.paper_exchange.listing import Contract
from brokers.paper_exchange.market import Market
from brokers.paper_exchange.matching import Fill, Match, filled, match
from brokers.paper_exchange.orders import Order, OrderStatus, Trade
from brokers.paper_exchange.store import Store
from core.errors import Rejected


class Floor:
    """The account's orders among the prices of a market."""

    def __init__(self, store: Store, market: Market, books: Books, fills: int) -> None:
        """`fills` is how many there ever were."""
        self._store = store
        self._market = market
        self._books = books
        self._fills = fills
        self._scripts = {script.orderid: script for script in store.scripts()}
        self.changed: Callable[[Order, bool], None] = lambda order, is_new: None

    def contract(self, order: Order, now: datetime) -> Contract:
        """What `order` trades. Raises Rejected."""
        contract = self._market.listing.terms(order.symbol, order.exchange, now.date())
        if contract is None:
            raise Rejected("UNKNOWN_SYMBOL", f"Symbol {order.symbol} not found")
        return contract

    def script(self, orderid: str, pieces: Sequence[Piece]) -> None:
        """Let a new order fill as `pieces` say; none leaves it to the market."""
        if pieces:
            self._scripts[orderid] = Script(orderid, tuple(pieces))

    def free(self, orderid: str) -> None:
        """The order was changed: what its pieces left over is the market's again."""
        if orderid in self._scripts:
            self._scripts[orderid] = self._scripts[orderid].freed()

    def looked(self, orderid: str | None) -> None:
        """Count a look at one order, or (None) at all of them."""
        asked = [each.orderid for each in self._books.resting() if orderid in (None, each.orderid)]
        found = [self._scripts[each] for each in asked if each in self._scripts]
        looked = [script.looked() for script in found if script.is_waiting]
        if looked:
            self._store.save(scripts=looked)
            self._scripts.update((script.orderid, script) for script in looked)

    def go_on(self, now: datetime) -> None:
        """Play the pieces that are due by now."""
        for script in list(self._scripts.values()):
            order = self._books.order(script.orderid)
            if script.is_due(now) and order is not None:
                self.meet(order, now, arriving=False)

    def match_resting(self, now: datetime) -> None:
        """Let every resting order meet the market as it is now."""
        for order in self._books.resting():
            self.meet(order, now, arriving=False)

    def meet(self, order: Order, now: datetime, *, arriving: bool) -> Order:
        """Let `order` meet the market; `arriving` if it was placed or changed just now."""
        met = self._met(order, now, arriving)
        is_same = met.match.order == order and met.script == self._scripts.get(order.orderid)
        if arriving or not is_same:
            self.settle(met, now)
        return met.match.order

    def fill(
        self, order: Order, quantity: int | None, price: Decimal | None, now: datetime
    ) -> None:
        """Fill a resting order wherever the market is, at its limit unless a `price` is given."""
        quote = self._market.quote(self.contract(order, now), now.date())
        own = order.price if order.pricetype.needs_price else touch(order, quote)
        wanted = min(quantity or order.pending_quantity, order.pending_quantity)
        fills = (Fill(wanted, within_limit(order, own if price is None else price)),)
        awake = replace(order, status=OrderStatus.OPEN)
        self.settle(Met(Match(filled(awake, fills), fills)), now)

    def settle(self, met: Met, now: datetime) -> Order:
        """To disk, then to the books."""
        order = met.match.order
        is_new = self._books.order(order.orderid) is None
        trades = [self._trade(order, fill, now) for fill in met.match.fills]
        scripts = [] if met.script is None else [met.script]
        self._store.save(orders=[order], trades=trades, scripts=scripts)
        self._books.record([order], trades)
        self._scripts.update((script.orderid, script) for script in scripts)
        if not order.status.is_resting:
            self._scripts.pop(order.orderid, None)
        self.changed(order, is_new)
        return order

    def restate(self, now: datetime) -> None:
        """Count what is held in the units that its contract has now."""
        listing = self._market.listing
        for held in self._books.holdings:
            contract = listing.terms(held.symbol, held.exchange, now.date())
            if contract is not None:
                self._books.restate(held, contract.unit_value)

    def _met(self, order: Order, now: datetime, arriving: bool) -> Met:
        if not order.status.is_resting:
            return Met(Match(order))
        contract = self.contract(order, now)
        quote = self._market.quote(contract, now.date())
        script = self._scripts.get(order.orderid)
        if script is None:
            return Met(match(order, quote, arriving=arriving))
        return play(script, order, quote, contract, now, arriving=arriving)

    def _trade(self, order: Order, fill: Fill, now: datetime) -> Trade:
        self._fills += 1
        tradeid = f"TRADE-{now:%Y%m%d-%H%M%S}-{self._fills:08x}"
        unit_value = self.contract(order, now).unit_value
        return Trade.of(order, fill.quantity, fill.price, tradeid, now, unit_value)
