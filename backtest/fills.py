"""At which price a simulated order fills, and what it costs. Slippage is always against us.

A decision made at a bar's close fills at that close (as Pine's process_orders_on_close does) or
at the next bar's open; nothing else of the bar is known to it.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum

from core.config import fraction
from core.errors import ConfigInvalid

MOST_TICKS = 1000
MOST_PERCENT = 10


class FillAt(StrEnum):
    """The moment a decision is filled."""

    CLOSE = "close"
    NEXT_OPEN = "next-open"


@dataclass(frozen=True, slots=True)
class Slippage:
    """Points lost on each fill: a number of ticks, or a percentage of the price, not both."""

    ticks: Decimal = Decimal(0)
    percent: Decimal = Decimal(0)

    @classmethod
    def parse(cls, text: str) -> "Slippage":
        """`2` or `2ticks` is two ticks, `0.02%` a percentage. Raises `ConfigInvalid`."""
        number = text.strip().removesuffix("%").removesuffix("ticks").strip()
        try:
            amount = Decimal(number)
        except ArithmeticError:
            amount = Decimal("NaN")
        is_percent = text.strip().endswith("%")
        if not (amount.is_finite() and 0 <= amount <= (MOST_PERCENT if is_percent else MOST_TICKS)):
            allowed = f"{MOST_TICKS} (ticks), or to {MOST_PERCENT}% (of the price)"
            raise ConfigInvalid("slippage", text, f"a number from 0 to {allowed}")
        return cls(percent=amount) if is_percent else cls(ticks=amount)

    def price(self, price: Decimal, tick: Decimal, *, buying: bool) -> Decimal:
        """The price after slippage, on the tick grid on the losing side; as is without any."""
        lost = self.ticks * tick + fraction(self.percent) * price
        if lost == 0:
            return price
        slipped = price + lost if buying else price - lost
        side = ROUND_CEILING if buying else ROUND_FLOOR
        return (slipped / tick).to_integral_value(side) * tick
