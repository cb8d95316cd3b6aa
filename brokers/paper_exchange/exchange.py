"""One lock around all state, and the disk before memory: what is acknowledged is stored.

Every call first sees whether the broker's day has turned. Then resting orders are gone, positions
in contracts that ended are settled at their intrinsic value, and the books begin empty.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from threading import RLock

from brokers.paper_exchange import acceptance
from brokers.paper_exchange.books import Books, Holding
from brokers.paper_exchange.clock import ExchangeClock, session_of
from brokers.paper_exchange.funds import Account, ExchangeView
from brokers.paper_exchange.listing import Contract
from brokers.paper_exchange.market import DayPrices, Market
from brokers.paper_exchange.matching import Fill, Match, filled, first_status, match
from brokers.paper_exchange.orders import (
    Action,
    Mode,
    Order,
    OrderChange,
    OrderRequest,
    OrderStatus,
    PriceType,
    Trade,
)
from brokers.paper_exchange.store import Store
from core.errors import Rejected

_SETTLEMENT = "EXPIRY_SETTLEMENT"
_NOTHING = Decimal(0)
_DATE_DIGITS = 6


class PaperExchange:
    """The account and its market. Every method may be called from any thread."""

    def __init__(
        self, store: Store, market: Market, clock: ExchangeClock, opening_inr: Decimal
    ) -> None:
        self._lock = RLock()
        self._store = store
        self._market = market
        self._clock = clock
        self._mode = Mode(store.setting("mode") or Mode.ANALYZE)
        orders, trades = store.orders(), store.trades()
        self._arrived = max((int(each.orderid[_DATE_DIGITS:]) for each in orders), default=0)
        self._filled = len(trades)
        self._books = Books(orders, trades, self._stored_session())
        self._account = Account(market, self._books, opening_inr)
        with self._turned() as now:
            self._settle_ended(now)
            self._match_resting(now)

    @property
    def mode(self) -> Mode:
        """Which face answers."""
        return self._mode

    def set_mode(self, mode: Mode) -> None:
        """Turn the global switch."""
        with self._lock:
            self._store.save(settings=[("mode", mode.value)])
            self._mode = mode

    def now(self) -> datetime:
        """The exchange's time."""
        return self._clock.now()

    def place(self, request: OrderRequest) -> Order:
        """Take an order and let it meet the market. Raises Rejected with the gateway's text.

        As a live broker it accepts what it will refuse, and lists that as rejected.
        """
        with self._turned() as now:
            order = self._new_order(request, now)
            try:
                order = self._accepted(order, request, now)
            except Rejected as refusal:
                if self._mode is Mode.ANALYZE or refusal.code == acceptance.INSUFFICIENT_FUNDS:
                    raise
                rejected = OrderStatus.REJECTED
                order = replace(order, status=rejected, rejection_reason=str(refusal))
            return self._settle(self._meet(order, now, arriving=True), now)

    def modify(self, change: OrderChange) -> Order:
        """Change a resting order and let it meet the market anew. Raises Rejected."""
        with self._turned() as now:
            found = self._books.order(change.orderid)
            order = acceptance.check_resting(found, change.orderid, "modify")
            changed = replace(
                order,
                quantity=change.quantity,
                price=change.price,
                trigger_price=change.trigger_price,
            )
            acceptance.check_prices(changed.pricetype, changed.price, changed.trigger_price)
            acceptance.check_quantity(changed.quantity, self._contract(changed, now))
            more = self._needs(changed, now) - self._needs(order, now)
            self._check_funds(more, now)
            return self._settle(self._meet(changed, now, arriving=True), now)

    def cancel(self, orderid: str) -> Order:
        """Withdraw a resting order. Raises Rejected."""
        with self._turned() as now:
            found = self._books.order(orderid)
            order = acceptance.check_resting(found, orderid, "cancel")
            return self._settle(Match(replace(order, status=OrderStatus.CANCELLED)), now)

    def move_price(self, instrument: str, price: Decimal) -> None:
        """Set what an instrument costs; orders that rest may fill. Raises Rejected."""
        self._market.listing.spec(instrument)
        with self._turned() as now:
            prices = self._market.day_prices(instrument)
            session = self._books.session
            started = DayPrices.started(instrument, session, price)
            moved = started if prices is None else prices.moved(price, session)
            self._store.save(prices=[moved])
            self._market.record(moved)
            self._match_resting(now)

    def hold_clock(self, moment: datetime) -> None:
        """Stand the exchange's time still at `moment`."""
        with self._lock:
            self._clock.hold(moment)
            self._store_clock()

    def advance_clock(self, by: timedelta) -> None:
        """Stand the exchange's time still `by` later."""
        with self._lock:
            self._clock.advance(by)
            self._store_clock()

    def release_clock(self) -> None:
        """Let the exchange's time run with the machine's."""
        with self._lock:
            self._clock.release()
            self._store_clock()

    @contextmanager
    def view(self) -> Iterator[ExchangeView]:
        """Everything as it is at one moment; nothing changes while it is open."""
        with self._turned() as now:
            funds = self._account.funds(now.date())
            yield ExchangeView(self._mode, now.date(), self._market, self._books, funds)

    def close(self) -> None:
        """Let go of the file; nothing may be asked afterwards."""
        with self._lock:
            self._store.close()

    @contextmanager
    def _turned(self) -> Iterator[datetime]:
        with self._lock:
            now = self._clock.now()
            if session_of(now) != self._books.session:
                self._turn(now)
            yield now

    def _turn(self, now: datetime) -> None:
        session = session_of(now)
        gone = [replace(each, status=OrderStatus.CANCELLED) for each in self._books.resting()]
        known = map(self._market.day_prices, self._market.listing.instruments)
        prices = [each.moved(each.last, session) for each in known if each is not None]
        self._store.save(orders=gone, prices=prices, settings=[("session", session.isoformat())])
        for each in prices:
            self._market.record(each)
        self._books.turn(session)
        self._settle_ended(now)

    def _settle_ended(self, now: datetime) -> None:
        for held in self._books.holdings:
            contract = self._market.listing.terms(held.symbol, held.exchange, now.date())
            if held.quantity and contract is not None and contract.has_ended(now.date()):
                self._close_out(held, contract, now)

    def _close_out(self, held: Holding, contract: Contract, now: datetime) -> None:
        action = Action.SELL if held.quantity > 0 else Action.BUY
        request = OrderRequest(
            strategy=_SETTLEMENT,
            exchange=held.exchange,
            symbol=held.symbol,
            action=action,
            quantity=abs(held.quantity),
            pricetype=PriceType.MARKET,
            product=held.product,
            price=_NOTHING,
            trigger_price=_NOTHING,
        )
        fills = (Fill(abs(held.quantity), self._market.settlement(contract)),)
        order = self._new_order(request, now)
        self._settle(Match(filled(order, fills), fills), now)

    def _new_order(self, request: OrderRequest, now: datetime) -> Order:
        self._arrived += 1
        return Order(
            orderid=f"{now:%y%m%d}{self._arrived:08d}",
            session=self._books.session,
            placed_at=now,
            strategy=request.strategy,
            exchange=request.exchange,
            symbol=request.symbol,
            action=request.action,
            quantity=request.quantity,
            pricetype=request.pricetype,
            product=request.product,
            price=request.price,
            trigger_price=request.trigger_price,
            status=first_status(request.pricetype),
            reference_price=_NOTHING,
        )

    def _accepted(self, order: Order, request: OrderRequest, now: datetime) -> Order:
        found = self._market.find(order.symbol, order.exchange, now.date())
        contract = acceptance.check_request(request, found)
        quote = self._market.quote(contract, now.date())
        self._check_funds(self._needs(order, now), now)
        return replace(order, reference_price=quote.ltp)

    def _meet(self, order: Order, now: datetime, *, arriving: bool) -> Match:
        if not order.status.is_resting:
            return Match(order)
        quote = self._market.quote(self._contract(order, now), now.date())
        return match(order, quote, arriving=arriving)

    def _match_resting(self, now: datetime) -> None:
        for order in self._books.resting():
            met = self._meet(order, now, arriving=False)
            if met.order != order:
                self._settle(met, now)

    def _settle(self, met: Match, now: datetime) -> Order:
        """To disk, then to the books."""
        trades = [self._trade(met.order, fill, now) for fill in met.fills]
        self._store.save(orders=[met.order], trades=trades)
        self._books.record([met.order], trades)
        return met.order

    def _trade(self, order: Order, fill: Fill, now: datetime) -> Trade:
        self._filled += 1
        return Trade(
            tradeid=f"TRADE-{now:%Y%m%d-%H%M%S}-{self._filled:08x}",
            orderid=order.orderid,
            session=self._books.session,
            at=now,
            strategy=order.strategy,
            exchange=order.exchange,
            symbol=order.symbol,
            action=order.action,
            quantity=fill.quantity,
            product=order.product,
            price=fill.price,
            unit_value=self._contract(order, now).unit_value,
        )

    def _needs(self, order: Order, now: datetime) -> Decimal:
        return self._account.order_needs(order, self._contract(order, now), now.date())

    def _check_funds(self, needs: Decimal, now: datetime) -> None:
        available = self._account.funds(now.date()).available
        acceptance.check_funds(needs, available, self._mode)

    def _stored_session(self) -> date:
        stored = self._store.setting("session")
        return session_of(self._clock.now()) if stored is None else date.fromisoformat(stored)

    def _store_clock(self) -> None:
        held = self._clock.held_at
        self._store.save(settings=[("clock", "" if held is None else held.isoformat())])

    def _contract(self, order: Order, now: datetime) -> Contract:
        contract = self._market.listing.terms(order.symbol, order.exchange, now.date())
        if contract is None:
            raise Rejected("UNKNOWN_SYMBOL", f"Symbol {order.symbol} not found")
        return contract
