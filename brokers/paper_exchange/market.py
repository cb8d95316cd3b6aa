"""One price for each instrument; every contract's quote follows from it and from the day.

The touch is one tick to either side of the last price, as the recorded gateway quotes it, unless
another number of ticks is set.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from brokers.paper_exchange.listing import Contract, Listing
from brokers.paper_exchange.pricing import (
    Quote,
    Rates,
    forward_price,
    intrinsic_value,
    option_price,
    to_tick,
)
from core.instruments import InstrumentKind


@dataclass(frozen=True, slots=True)
class DayPrices:
    """One session of an instrument's price: the index, or the nearest future."""

    instrument: str
    session: date
    open: Decimal
    high: Decimal
    low: Decimal
    last: Decimal
    prev_close: Decimal

    @classmethod
    def started(cls, instrument: str, session: date, price: Decimal) -> "DayPrices":
        """A first session that has seen `price` only."""
        return cls(instrument, session, price, price, price, price, price)

    def moved(self, price: Decimal, session: date) -> "DayPrices":
        """After a move to `price`; a new session keeps the last price as its previous close."""
        if session != self.session:
            return replace(DayPrices.started(self.instrument, session, price), prev_close=self.last)
        high, low = max(self.high, price), min(self.low, price)
        return replace(self, high=high, low=low, last=price)


class Market:
    """Prices now. What has no price yet is not listed."""

    def __init__(
        self, listing: Listing, rates: Rates, prices: Iterable[DayPrices], touch_ticks: int = 1
    ) -> None:
        """`touch_ticks`: how far either side of the touch is from the last price."""
        self.touch_ticks = touch_ticks
        self._listing = listing
        self._rates = rates
        self._prices = {price.instrument: price for price in prices}

    @property
    def listing(self) -> Listing:
        """What can be traded."""
        return self._listing

    def at(self, prices: Iterable[DayPrices]) -> "Market":
        """The same contracts at other prices."""
        return Market(self._listing, self._rates, prices, self.touch_ticks)

    def day_prices(self, instrument: str) -> DayPrices | None:
        """The session of an instrument, None before its first price."""
        return self._prices.get(instrument)

    def record(self, prices: DayPrices) -> None:
        """Take over an instrument's prices."""
        self._prices[prices.instrument] = prices

    def find(self, symbol: str, exchange: str, day: date) -> Contract | None:
        """The listed contract of that name."""
        terms = self._listing.terms(symbol, exchange, day)
        prices = None if terms is None else self._prices.get(terms.instrument)
        return None if prices is None else self._listing.find(symbol, exchange, day, prices.last)

    def quote(self, contract: Contract, day: date) -> Quote:
        """What `contract` shows. Its underlying must have a price."""
        prices = self._prices[contract.instrument]
        at = [prices.open, prices.high, prices.low, prices.last]
        opened, *others, ltp = (self.value(contract, price, day) for price in at)
        apart = self.touch_ticks * contract.tick
        return Quote(
            bid=max(ltp - apart, contract.tick),
            ask=ltp + apart,
            ltp=ltp,
            open=opened,
            high=max(opened, ltp, *others),
            low=min(opened, ltp, *others),
            prev_close=self.value(contract, prices.prev_close, day),
        )

    def underlying(self, contract: Contract) -> Decimal:
        """What the instrument of `contract` costs now."""
        return self._prices[contract.instrument].last

    def last_price(self, contract: Contract, day: date) -> Decimal:
        """What `contract` is worth now."""
        return self.value(contract, self.underlying(contract), day)

    def value(self, contract: Contract, price: Decimal, day: date) -> Decimal:
        """What `contract` is worth while its underlying costs `price`."""
        if contract.expiry is None:
            return to_tick(price, contract.tick)
        days = (contract.expiry - self._priced_from(contract, day)).days
        forward = forward_price(price, days, contract.tick, self._rates)
        if contract.right is None or contract.strike is None:
            return forward
        ahead = (contract.expiry - day).days
        return option_price(
            contract.right, forward, contract.strike, ahead, contract.tick, self._rates
        )

    def settlement(self, contract: Contract) -> Decimal:
        """What a contract that has ended pays: its intrinsic value at the last price."""
        last = to_tick(self.underlying(contract), contract.tick)
        if contract.right is None or contract.strike is None:
            return last
        return intrinsic_value(contract.right, last, contract.strike)

    def _priced_from(self, contract: Contract, day: date) -> date:
        """The day whose price an instrument's price is: today, or the nearest future's expiry."""
        spec = self._listing.spec(contract.instrument)
        if spec.kind is InstrumentKind.SYNTHETIC:
            return day
        return self._listing.listed_expiries(spec, day)[0]
