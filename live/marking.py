"""What an instrument costs now, from quotes of the contracts that are held, or why that is open.

A future costs the middle of its touch; a synthetic future strike + CE - PE of the middles. The
middle, because a chart's bar closes between the two sides: at the executable side a wide moment
would stop out what no bar would have, and an equity marked so would step by the spread at each
fill. What a wide spread hides is bounded instead: beyond `max_spread_pct` of the price nothing is
marked and nothing is acted on. All held contracts are asked for in one call.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from brokers.messages import Contract, Quote
from brokers.port import Broker
from core.config import StopWatchConfig, fraction
from core.db_state_manager.records import Leg
from core.errors import Halted, Rejected, Retryable
from core.models import Position
from core.ports import Clock
from core.symbols import OptionRight, OptionSymbol, parse
from live.quote_trust import QuoteFault, QuoteTrust


@dataclass(frozen=True, slots=True)
class Holding:
    """An instrument's layers, and by their ids the legs they hold."""

    layers: tuple[Position, ...]
    legs: Mapping[str, Sequence[Leg]]

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """Every contract that is held, once."""
        held = (leg for legs in self.legs.values() for leg in legs)
        return tuple(dict.fromkeys(Contract(leg.symbol, leg.exchange) for leg in held))


@dataclass(frozen=True, slots=True)
class Priced:
    """A price in points, or None and what is wrong with it; `is_news` when somebody should know."""

    price: Decimal | None
    wrong: str = ""
    is_news: bool = False


class Pricing:
    """Looks at the market for one leader at a time."""

    def __init__(
        self, broker: Broker, clock: Clock, config: StopWatchConfig, *, moves_by_itself: bool = True
    ) -> None:
        """In a market that does not move by itself a quote that stands still is nobody's news."""
        self._broker = broker
        self._trust = QuoteTrust(clock, float(config.fresh_s))
        self._widest = fraction(config.max_spread_pct)
        self._moves_by_itself = moves_by_itself

    def look(self, epoch: int, held: Mapping[str, Holding]) -> dict[str, Priced]:
        """The price of each instrument, all from one call; without one where nothing is held."""
        contracts = tuple(
            dict.fromkeys(each for holding in held.values() for each in holding.contracts)
        )
        if not contracts:
            return {}
        try:
            quotes = self._broker.quotes(contracts)
        except (Retryable, Rejected, Halted) as error:
            self._trust.judge(epoch, contracts, {})
            return dict.fromkeys(held, Priced(None, f"no quotes: {error}", is_news=True))
        faults = self._trust.judge(epoch, contracts, quotes)
        return {name: self._priced(holding, quotes, faults) for name, holding in held.items()}

    def _priced(
        self,
        holding: Holding,
        quotes: Mapping[Contract, Quote],
        faults: Mapping[Contract, QuoteFault | None],
    ) -> Priced:
        wrong = {each: fault for each in holding.contracts if (fault := faults[each])}
        if wrong:
            quiet = {QuoteFault.UNPROVEN}
            if not self._moves_by_itself:
                quiet.add(QuoteFault.FROZEN)
            told = ", ".join(f"{each.symbol} {fault.value}" for each, fault in wrong.items())
            return Priced(None, told, is_news=not quiet.issuperset(wrong.values()))
        worth = weight = Decimal(0)
        for layer in holding.layers:
            legs = holding.legs.get(layer.id, ())
            if not legs:
                return Priced(None, f"the contracts of {layer.id} are not known", is_news=True)
            middle, wide = _cost(legs, quotes)
            if wide > self._widest * middle:
                return Priced(None, f"{layer.id}: a spread of {wide} at {middle}", is_news=True)
            points = layer.lots * layer.point_value
            worth, weight = worth + middle * points, weight + points
        return Priced(worth / weight)


def _cost(legs: Sequence[Leg], quotes: Mapping[Contract, Quote]) -> tuple[Decimal, Decimal]:
    """The middle price of what the legs are together, and how far its two sides lie apart."""
    price = spread = Decimal(0)
    for leg in legs:
        quote = quotes[Contract(leg.symbol, leg.exchange)]
        middle, wide = _middle(quote)
        symbol = parse(leg.symbol)
        spread += wide
        if not isinstance(symbol, OptionSymbol):
            return middle, wide
        price += symbol.strike + middle if symbol.right is OptionRight.CALL else -middle
    return price, spread


def _middle(quote: Quote) -> tuple[Decimal, Decimal]:
    bid, ask = quote.bid or quote.ltp, quote.ask or quote.ltp
    return (bid + ask) / 2, ask - bid
