"""Prices follow one underlying, so that at every strike CE - PE == forward - strike.

    forward     = price x (1 + carry x days / 365)
    time value  = A x exp(-|forward - strike| / 2A), A = 0.4 x volatility x forward x sqrt(years)
    CE, PE      = intrinsic value at the forward + time value

A is the usual estimate of an option at the money. The time value is the same for call and put,
which gives parity to the tick, and its decay makes prices fall and bend with the strike as they
must. Forward and time value are rounded to the tick each, so parity survives the rounding.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from core.symbols import OptionRight

_DAYS_A_YEAR = 365
_AT_THE_MONEY = Decimal("0.4")
_LEAST_TICKS = 2


@dataclass(frozen=True, slots=True)
class Rates:
    """Fractions a year: what carrying the underlying costs, and how much it moves."""

    carry: Decimal = Decimal("0.065")
    volatility: Decimal = Decimal("0.15")


@dataclass(frozen=True, slots=True)
class Quote:
    """What a market shows: the touch, the last price and the day so far."""

    bid: Decimal
    ask: Decimal
    ltp: Decimal
    open: Decimal
    high: Decimal
    low: Decimal
    prev_close: Decimal


def to_tick(price: Decimal, tick: Decimal) -> Decimal:
    """The nearest multiple of `tick`."""
    return (price / tick).quantize(Decimal(1), ROUND_HALF_EVEN) * tick


def forward_price(price: Decimal, days: int, tick: Decimal, rates: Rates) -> Decimal:
    """What the underlying costs `days` ahead; at `price` itself once the day is reached."""
    return to_tick(price * (1 + rates.carry * max(days, 0) / _DAYS_A_YEAR), tick)


def time_value(
    forward: Decimal, strike: Decimal, days: int, tick: Decimal, rates: Rates
) -> Decimal:
    """What an option costs beyond its intrinsic value: at least two ticks, so that it has a bid."""
    least = _LEAST_TICKS * tick
    years = Decimal(max(days, 0)) / _DAYS_A_YEAR
    at_the_money = _AT_THE_MONEY * rates.volatility * forward * years.sqrt()
    if at_the_money <= least:
        return least
    decay = (-abs(forward - strike) / (2 * at_the_money)).exp()
    return max(to_tick(at_the_money * decay, tick), least)


def intrinsic_value(right: OptionRight, forward: Decimal, strike: Decimal) -> Decimal:
    """What exercising would bring, and never less than nothing."""
    gain = forward - strike if right is OptionRight.CALL else strike - forward
    return max(gain, Decimal(0))


def option_price(
    right: OptionRight, forward: Decimal, strike: Decimal, days: int, tick: Decimal, rates: Rates
) -> Decimal:
    """The last price of an option whose underlying's forward is `forward`."""
    extra = time_value(forward, strike, days, tick, rates)
    return intrinsic_value(right, forward, strike) + extra
