"""One lock around all state, and the disk before memory: what is acknowledged is stored.

Every call first sees whether the broker's day has turned. Then resting orders are gone, positions
in contracts that ended are settled at their intrinsic value, and the books begin empty.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from threading import RLock
from typing import Protocol

from brokers.paper_exchange import acceptance
from brokers.paper_exchange.books import Books, Holding
from brokers.paper_exchange.clock import ExchangeClock, session_of
from brokers.paper_exchange.fill_script import Met, Piece
from brokers.paper_exchange.floor import Floor
from brokers.paper_exchange.funds import Account, ExchangeView
from brokers.paper_exchange.listing import Contract
from brokers.paper_exchange.market import DayPrices, Market
from brokers.paper_exchange.matching import Fill, Match, filled, first_status
from brokers.paper_exchange.orders import (
    Action,
    Mode,
    Order,
    OrderChange,
    OrderRequest,
    OrderStatus,
    PriceType,
)
from brokers.paper_exchange.store import Store
from core.errors import Rejected

_SETTLEMENT = "EXPIRY_SETTLEMENT"
_NOTHING = Decimal(0)
_DATE_DIGITS = 6
_CLOCK = "clock"
TOUCH = "touch"
_LOTSIZE = "lotsize:"


class Changed(Protocol):
    """Who wants to know of orders, and in which mode they were told."""

    def __call__(self, order: Order, mode: Mode, *, is_new: bool) -> None:
        """An order has arrived (`is_new`), or is not as it was."""
        ...


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
        for instrument, lotsize in store.settings_of(_LOTSIZE).items():
            market.listing.call_lot(instrument, int(lotsize))
        orders, trades = store.orders(), store.trades()
        self._arrived = max((int(each.orderid[_DATE_DIGITS:]) for each in orders), default=0)
        self._books = Books(orders, trades, self._stored_session())
        self._account = Account(market, self._books, opening_inr)
        self._floor = Floor(store, market, self._books, len(trades))
        with self._turned() as now:
            self._floor.restate(now)
            self._settle_ended(now)
            self._floor.match_resting(now)

    @property
    def mode(self) -> Mode:
        """Which face answers."""
        return self._mode

    def set_mode(self, mode: Mode) -> None:
        """Turn the global switch."""
        with self._lock:
            self._store.save(settings=[("mode", mode.value)])
            self._mode = mode

    def tell(self, changed: "Changed") -> None:
        """Call `changed` with every order that arrives or changes; it must not keep us waiting."""
        with self._lock:
            self._changed = changed
            self._floor.changed = self._tell

    def now(self) -> datetime:
        """The exchange's time."""
        return self._clock.now()

    def place(self, request: OrderRequest, pieces: Sequence[Piece] = ()) -> Order:
        """Take an order and let it meet the market. Raises Rejected with the gateway's text.

        As a live broker it accepts what it will refuse, and lists that as rejected. With `pieces`
        the order fills as they say.
        """
        with self._turned() as now:
            order = self._new_order(request, now)
            try:
                order = self._accepted(order, request, now)
                self._floor.script(order.orderid, pieces)
            except Rejected as refusal:
                if self._mode is Mode.ANALYZE or refusal.code == acceptance.INSUFFICIENT_FUNDS:
                    raise
                rejected = OrderStatus.REJECTED
                order = replace(order, status=rejected, rejection_reason=str(refusal))
            return self._floor.meet(order, now, arriving=True)

    def modify(self, change: OrderChange) -> Order:
        """Change a resting order and let it meet the market anew. Raises Rejected."""
        with self._turned() as now:
            found = self._books.order(change.orderid)
            order = acceptance.check_change(found, change)
            changed = replace(
                order,
                quantity=change.quantity,
                price=change.price,
                trigger_price=change.trigger_price,
            )
            acceptance.check_prices(changed.pricetype, changed.price, changed.trigger_price)
            acceptance.check_quantity(changed.quantity, self._floor.contract(changed, now))
            more = self._needs(changed, now) - self._needs(order, now)
            self._check_funds(more, now)
            self._floor.free(order.orderid)
            return self._floor.meet(changed, now, arriving=True)

    def cancel(self, orderid: str) -> Order:
        """Withdraw a resting order. Raises Rejected."""
        with self._turned() as now:
            found = self._books.order(orderid)
            order = acceptance.check_resting(found, orderid, "cancel")
            cancelled = Match(replace(order, status=OrderStatus.CANCELLED))
            return self._floor.settle(Met(cancelled), now)

    def fill(self, orderid: str, quantity: int | None = None, price: Decimal | None = None) -> bool:
        """Fill a resting order now, wherever the market is; False where it does not rest.

        All of it unless a `quantity` is given, at its limit (or the touch) unless a `price` is.
        """
        with self._turned() as now:
            order = self._books.order(orderid)
            if order is None or not order.status.is_resting:
                return False
            self._floor.fill(order, quantity, price, now)
            return True

    def looked(self, orderid: str | None) -> None:
        """Somebody has looked at an order, or (None) at all of them; what waited for it follows."""
        with self._turned() as now:
            self._floor.looked(orderid)
            self._floor.go_on(now)

    def change_lotsize(self, instrument: str, lotsize: int) -> None:
        """Call a lot of `instrument` something else, as a new master does overnight.

        What is held is worth what it was, in other units; what rests is gone. Raises Rejected.
        """
        with self._turned() as now:
            self._market.listing.spec(instrument)
            for order in self._books.resting():
                if self._floor.contract(order, now).instrument == instrument:
                    self.cancel(order.orderid)
            self._store.save(settings=[(f"{_LOTSIZE}{instrument}", str(lotsize))])
            self._market.listing.call_lot(instrument, lotsize)
            self._floor.restate(now)

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
            self._floor.match_resting(now)

    def set_touch(self, ticks: int) -> None:
        """Set how many ticks either side of the touch is from the last price."""
        with self._turned() as now:
            self._store.save(settings=[(TOUCH, str(ticks))])
            self._market.touch_ticks = ticks
            self._floor.match_resting(now)

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
            yield ExchangeView(self._mode, now.date(), self._market, self._books, self._account)

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
            self._floor.go_on(now)
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
        for order in gone:
            self._floor.changed(order, False)
        self._settle_ended(now)

    def _tell(self, order: Order, is_new: bool) -> None:
        self._changed(order, self._mode, is_new=is_new)

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
        self._floor.settle(Met(Match(filled(order, fills), fills)), now)

    def _new_order(self, request: OrderRequest, now: datetime) -> Order:
        self._arrived += 1
        orderid = f"{now:%y%m%d}{self._arrived:08d}"
        status = first_status(request.pricetype)
        return Order.of(request, orderid, self._books.session, now, status)

    def _accepted(self, order: Order, request: OrderRequest, now: datetime) -> Order:
        found = self._market.find(order.symbol, order.exchange, now.date())
        contract = acceptance.check_request(request, found)
        quote = self._market.quote(contract, now.date())
        self._check_funds(self._needs(order, now), now)
        return replace(order, reference_price=quote.ltp)

    def _needs(self, order: Order, now: datetime) -> Decimal:
        return self._account.order_needs(order, self._floor.contract(order, now), now.date())

    def _check_funds(self, needs: Decimal, now: datetime) -> None:
        available = self._account.funds(now.date()).available
        acceptance.check_funds(needs, available, self._mode)

    def _stored_session(self) -> date:
        stored = self._store.setting("session")
        return session_of(self._clock.now()) if stored is None else date.fromisoformat(stored)

    def _store_clock(self) -> None:
        held = self._clock.held_at
        self._store.save(settings=[(_CLOCK, "" if held is None else held.isoformat())])
