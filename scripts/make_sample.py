"""Writes the synthetic bars of backtest/sample: the same bytes on every machine, from a seed.

Nothing in them ever traded. Quiet spells, surges and slides follow each other on the days and hours
of the shipped calendar, steered so that prices stay in the range of their years and the strategy
finds trades that pyramid, trail out and fail. Only additions, products and Python's own generator
are used, so no library's version can change a digit. Run: python -m scripts.make_sample
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random

from core.market_calendar import MarketCalendar, SessionKind

FOLDER = Path(__file__).resolve().parent.parent / "backtest" / "sample"
FIRST_DAY = date(2024, 1, 1)
LAST_DAY = date(2026, 9, 30)
_STEPS_A_BAR = 4
_GAP_SHARE = 0.25
_CHANCE_UP = 0.55
_STEERING = 14.0
_HEADER = "time,open,high,low,close"


@dataclass(frozen=True, slots=True)
class Spell:
    """How prices behave for some days: drift and noise in percent a day, pull to where it began."""

    days: tuple[int, int]
    drift_pct: float
    noise_pct: float
    pull: float


@dataclass(frozen=True, slots=True)
class Market:
    """One synthetic instrument; `day_hours` is a usual session, `decimals` are its prices'."""

    file: str
    exchange: str
    bar_minutes: int
    day_hours: float
    first_price: float
    last_price: float
    decimals: int
    seed: int
    quiet: Spell
    surge: Spell
    slide: Spell


MARKETS = (
    Market(
        file="bank_nifty_synthetic.csv",
        exchange="NSE",
        bar_minutes=15,
        day_hours=6.25,
        first_price=48_000,
        last_price=54_000,
        decimals=2,
        seed=20240101,
        quiet=Spell((3, 8), 0.0, 0.9, 0.04),
        surge=Spell((2, 5), 1.0, 0.55, 0.0),
        slide=Spell((2, 4), -1.1, 1.0, 0.0),
    ),
    Market(
        file="gold_mini_synthetic.csv",
        exchange="MCX",
        bar_minutes=60,
        day_hours=14.5,
        first_price=63_000,
        last_price=138_000,
        decimals=0,
        seed=20240102,
        quiet=Spell((7, 12), 0.0, 0.8, 0.04),
        surge=Spell((2, 6), 1.4, 0.7, 0.0),
        slide=Spell((2, 4), -1.0, 1.0, 0.0),
    ),
)


class PricePath:
    """A price that moves step by step through spells, steered along the line to its last price."""

    def __init__(self, market: Market, days: int) -> None:
        self._market = market
        self._random = Random(market.seed)
        self._days = days
        self._day = 0
        self._left = 0
        self._spell = market.slide
        self._anchor = market.first_price
        self.price = market.first_price

    def next_day(self) -> None:
        """Begin a day: another spell when the last is over, and a gap from yesterday's close."""
        if not self._left:
            self._spell = self._next_spell()
            self._left = self._random.randint(*self._spell.days)
            self._anchor = self.price
        self._left -= 1
        self._day += 1
        self._move(self._spell.noise_pct / 100 * _GAP_SHARE)

    def step(self, share_of_day: float) -> float:
        """The price after that share of a trading day."""
        spell = self._spell
        drift = spell.drift_pct / 100 * share_of_day
        pull = spell.pull * (self._anchor / self.price - 1)
        self.price *= 1 + drift + pull
        self._move(spell.noise_pct / 100 * share_of_day**0.5)
        return self.price

    def _next_spell(self) -> Spell:
        market = self._market
        if self._spell is not market.quiet:
            return market.quiet
        target = market.first_price
        target += (market.last_price - market.first_price) * self._day / self._days
        chance_up = _CHANCE_UP + _STEERING * (target / self.price - 1)
        return market.surge if self._random.random() < chance_up else market.slide

    def _move(self, size: float) -> None:
        """A random step of about that size: three uniform draws have variance one."""
        draws = sum(2 * self._random.random() - 1 for _ in range(3))
        self.price *= 1 + draws * size


def make_sample() -> dict[str, str]:
    """The content of each file by its name."""
    calendar = MarketCalendar.shipped()
    return {market.file: "\n".join([_HEADER, *_rows(market, calendar), ""]) for market in MARKETS}


def _rows(market: Market, calendar: MarketCalendar) -> Iterator[str]:
    """Bars as CSV rows, of regular and half sessions; special ones are left out."""
    days = [day for day in _all_days() if _windows(market.exchange, day, calendar)]
    path = PricePath(market, len(days))
    for day in days:
        path.next_day()
        for opens, closes in _windows(market.exchange, day, calendar):
            start = opens
            while start < closes:
                end = min(start + timedelta(minutes=market.bar_minutes), closes)
                share = (end - start) / timedelta(hours=market.day_hours)
                yield _bar_row(path, start, share, market.decimals)
                start = end


def _bar_row(path: PricePath, start: datetime, share_of_day: float, decimals: int) -> str:
    prices = [path.price]
    prices += [path.step(share_of_day / _STEPS_A_BAR) for _ in range(_STEPS_A_BAR)]
    bar = (prices[0], max(prices), min(prices), prices[-1])
    return f"{start:%Y-%m-%d %H:%M}," + ",".join(f"{price:.{decimals}f}" for price in bar)


def _all_days() -> Iterator[date]:
    day = FIRST_DAY
    while day <= LAST_DAY:
        yield day
        day += timedelta(days=1)


def _windows(
    exchange: str, day: date, calendar: MarketCalendar
) -> tuple[tuple[datetime, datetime], ...]:
    session = calendar.session(exchange, day)
    if session is None or session.kind is SessionKind.SPECIAL:
        return ()
    return session.windows


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, content in make_sample().items():
        (FOLDER / name).write_text(content, encoding="ascii", newline="\n")
        print(f"{FOLDER / name}: {content.count(chr(10)) - 1} bars, {len(content)} bytes")


if __name__ == "__main__":
    main()
