"""available + utilised == opening + realised, always: money is moved between the two, never made.

Utilised is what open positions and resting orders need: the premium paid for options less the
premium received, at cost, and the margin of every short option lot and every future's lot (the
instrument's own figures, at the underlying's price). So a bought call with a sold put needs the
margin of one future and the difference of the premiums.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from brokers.paper_exchange.books import Books, Holding
from brokers.paper_exchange.listing import Contract
from brokers.paper_exchange.market import Market
from brokers.paper_exchange.orders import Action, Mode, Order

_PAISA = Decimal("0.01")
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Funds:
    """The account's money in rupees."""

    available: Decimal
    utilised: Decimal
    realised: Decimal
    realised_today: Decimal
    open_pnl: Decimal


@dataclass(frozen=True, slots=True)
class Leg:
    """An order as far as its money goes."""

    contract: Contract
    product: str
    action: Action
    quantity: int
    price: Decimal


class Account:
    """What the books leave of the opening funds."""

    def __init__(self, market: Market, books: Books, opening_inr: Decimal) -> None:
        self._market = market
        self._books = books
        self._opening_inr = opening_inr

    def funds(self, day: date) -> Funds:
        """The account's money now."""
        held = self._books.holdings
        utilised = sum((required_inr(self._market, each, day) for each in held), _NOTHING)
        for order in self._books.resting():
            contract = self._market.listing.terms(order.symbol, order.exchange, day)
            if contract is not None:
                utilised += max(self.order_needs(order, contract, day), _NOTHING)
        return Funds(
            available=self._opening_inr + self._books.realised - utilised,
            utilised=utilised,
            realised=self._books.realised,
            realised_today=self._books.realised_today,
            open_pnl=sum((open_pnl(self._market, each, day) for each in held), _NOTHING),
        )

    def order_needs(self, order: Order, contract: Contract, day: date) -> Decimal:
        """How much more would be utilised if all that is pending filled; below 0 for an exit."""
        price = order.price or self._market.last_price(contract, day)
        leg = Leg(contract, order.product, order.action, order.pending_quantity, price)
        held = self._books.holding(order.exchange, order.symbol, order.product)
        return leg_needs(self._market, held, leg, day)


@dataclass(frozen=True, slots=True)
class ExchangeView:
    """The exchange at one moment, for reading."""

    mode: Mode
    day: date
    market: Market
    books: Books
    account: Account

    @property
    def funds(self) -> Funds:
        """The account's money, reckoned anew each time."""
        return self.account.funds(self.day)

    def ltp(self, held: Holding) -> Decimal:
        """The last price of what is held."""
        contract = self.market.listing.terms(held.symbol, held.exchange, self.day)
        return _NOTHING if contract is None else self.market.last_price(contract, self.day)

    def margin(self, legs: Iterable[Leg]) -> Decimal:
        """What `legs` would need in an empty account, never below 0."""
        needs = (leg_needs(self.market, None, leg, self.day) for leg in legs)
        return max(sum(needs, _NOTHING), _NOTHING)


def leg_needs(market: Market, held: Holding | None, leg: Leg, day: date) -> Decimal:
    """How much more is utilised once `leg` is added to `held`."""
    contract = leg.contract
    before = held or Holding(contract.symbol, contract.exchange, leg.product, contract.unit_value)
    after = before.after(leg.action.sign * leg.quantity, leg.price)
    return required_inr(market, after, day) - required_inr(market, before, day)


def required_inr(market: Market, held: Holding, day: date) -> Decimal:
    """What one position needs. Below 0 where premium received is more than the margin."""
    contract = market.listing.terms(held.symbol, held.exchange, day)
    if contract is None or held.quantity == 0:
        return _NOTHING
    option = contract.right is not None
    premium = held.cost if option else _NOTHING
    if option and held.quantity > 0:
        return premium
    return premium + abs(contract.lots(held.quantity)) * margin_per_lot(market, contract, day)


def margin_per_lot(market: Market, contract: Contract, day: date) -> Decimal:
    """Rupees that a short option or a future of one lot blocks."""
    margin = market.listing.spec(contract.instrument).margins.on(day)
    notional = market.underlying(contract) * contract.lotsize * contract.unit_value
    return max(margin.floor_inr, margin.fraction * notional).quantize(_PAISA)


def open_pnl(market: Market, held: Holding, day: date) -> Decimal:
    """Rupees gained on what is held."""
    contract = market.listing.terms(held.symbol, held.exchange, day)
    if contract is None or held.quantity == 0:
        return _NOTHING
    return held.open_pnl(market.last_price(contract, day))
