"""The synthetic bars: the same from the same seed, good bars, and enough trades to look at."""

from collections import Counter
from datetime import date, time
from pathlib import Path

import pytest

from backtest.bars import Bars, read_bars
from backtest.resample import resample
from backtest.strategy import Strategy, StrategyParams
from core.market_calendar import MarketCalendar
from core.models import StopMode
from scripts.make_sample import FOLDER, MARKETS, Market, make_sample

GOLD = StrategyParams(adx_threshold=15.0, initial_atr_mult=1.0, trailing_atr_mult=2.0)
# Market, its timeframe, the strategy's numbers, and the range its prices stay in.
CASES = [
    (MARKETS[0], 75, StrategyParams(), (45_000, 57_000)),
    (MARKETS[1], 60, GOLD, (62_000, 150_000)),
]
CALENDAR = MarketCalendar.shipped()


def committed_bars(market: Market) -> Bars:
    def hours(day: date) -> tuple[time, time]:
        session = CALENDAR.session(market.exchange, day)
        assert session is not None
        return session.open.time(), session.close.time()

    bars, quality = read_bars(FOLDER / market.file, hours=hours)
    assert quality.outside_session == 0
    return bars


def test_the_committed_files_are_what_the_script_makes_to_the_byte() -> None:
    made = make_sample()
    assert {path.name for path in FOLDER.glob("*.csv")} == set(made)
    for name, content in made.items():
        assert (FOLDER / name).read_bytes() == content.encode("ascii"), name


def test_the_files_are_small_and_say_that_they_are_synthetic() -> None:
    files = list(FOLDER.glob("*.csv"))
    assert sum(file.stat().st_size for file in files) < 2_000_000
    assert all("synthetic" in file.name for file in files)
    assert "never traded" in Path(FOLDER / "README.md").read_text()


@pytest.mark.parametrize(("market", "_minutes", "_params", "price_range"), CASES)
def test_bars_lie_on_trading_days_in_the_range_of_their_years(
    market: Market, _minutes: int, _params: StrategyParams, price_range: tuple[int, int]
) -> None:
    bars = committed_bars(market)
    assert price_range[0] < bars.low.min()
    assert bars.high.max() < price_range[1]
    days = {bar.time.date() for bar in bars}
    assert all(CALENDAR.is_trading_day(market.exchange, day) for day in days)


@pytest.mark.parametrize(("market", "minutes", "params", "_range"), CASES)
def test_the_strategy_finds_entries_adds_and_every_kind_of_exit(
    market: Market, minutes: int, params: StrategyParams, _range: tuple[int, int]
) -> None:
    def hours(day: date) -> tuple[time, time]:
        return CALENDAR.hours(market.exchange, day)

    bars = resample(committed_bars(market), minutes, hours)
    strategy = Strategy("SAMPLE", bars, params)
    alerts = [alert for bar in range(len(bars)) for alert in strategy.on_bar(bar)]
    said = Counter((alert.type.value, alert.layer) for alert in alerts)
    assert said["BASE_ENTRY", 1] >= 30
    assert all(said["PYRAMID", layer] >= 10 for layer in range(2, 7))
    assert said["EXIT", None] >= 30
    assert sum(said["EXIT", layer] for layer in range(1, 7)) >= 10
    assert {alert.reason for alert in alerts} == {"", f"{StopMode.TOM_BASSO.value}_STOP"}
