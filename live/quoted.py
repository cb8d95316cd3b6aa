"""What contracts cost by their quotes: between the two sides, and of two legs together."""

from collections.abc import Sequence
from decimal import Decimal

from brokers.messages import Quote
from core.symbols import OptionRight, OptionSymbol, parse


def price_of(quotes: Sequence[Quote]) -> Decimal:
    """What contracts cost together between the sides: a future, or strike + CE - PE."""
    price = Decimal(0)
    for quote in quotes:
        symbol = parse(quote.contract.symbol)
        if not isinstance(symbol, OptionSymbol):
            return between(quote)
        is_call = symbol.right is OptionRight.CALL
        price += symbol.strike + between(quote) if is_call else -between(quote)
    return price


def between(quote: Quote) -> Decimal:
    """Between the two sides; the last price where one is missing."""
    if quote.bid is None or quote.ask is None:
        return quote.ltp
    return (quote.bid + quote.ask) / 2
