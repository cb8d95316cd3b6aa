"""Coarser bars start at the session's open, end with it, and say the same as the finer ones."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.bars import Bars
from backtest.resample import close_times, resample
from backtest.sessions import SessionHours
from core.errors import InputInvalid
from core.ist import IST

MONDAY = date(2025, 1, 6)


def between(opening: str, closing: str) -> SessionHours:
    hours = (time.fromisoformat(opening), time.fromisoformat(closing))
    return lambda _: hours


def bars_at(times: Sequence[datetime]) -> Bars:
    """A rising market: bar k opens at 100 + k, closes one higher, with 2 points around."""
    opens = np.arange(100, 100 + len(times), dtype=np.float64)
    epochs = np.array([int(moment.timestamp()) for moment in times], dtype=np.int64)
    return Bars(epochs, opens, opens + 3, opens - 2, opens + 1)


def day_of(minutes: int, opening: str, closing: str, day: date = MONDAY) -> list[datetime]:
    moment = datetime.combine(day, time.fromisoformat(opening), tzinfo=IST)
    end = datetime.combine(day, time.fromisoformat(closing), tzinfo=IST)
    count = -(-int((end - moment).total_seconds()) // (minutes * 60))
    return [moment + timedelta(minutes=minutes * place) for place in range(count)]


def clocks(bars: Bars) -> list[str]:
    return [bar.time.strftime("%H:%M") for bar in bars]


NSE_GRID = ["09:15", "10:30", "11:45", "13:00", "14:15"]


@pytest.mark.parametrize(
    ("fine", "minutes", "opening", "closing", "expected"),
    [
        (15, 75, "09:15", "15:30", NSE_GRID),
        (1, 75, "09:15", "15:30", NSE_GRID),
        (5, 75, "09:15", "15:40", [*NSE_GRID, "15:30"]),
        (15, 75, "09:15", "15:45", [*NSE_GRID, "15:30"]),
        (15, 60, "09:00", "23:30", [f"{hour:02}:00" for hour in range(9, 24)]),
        (5, 60, "09:00", "23:55", [f"{hour:02}:00" for hour in range(9, 24)]),
        (15, 60, "17:00", "23:30", [f"{hour:02}:00" for hour in range(17, 24)]),
    ],
)
def test_bars_are_counted_from_the_sessions_open(
    fine: int, minutes: int, opening: str, closing: str, expected: list[str]
) -> None:
    hours = between(opening, closing)
    coarse = resample(bars_at(day_of(fine, opening, closing)), minutes, hours)
    assert clocks(coarse) == expected
    last = datetime.fromtimestamp(int(close_times(coarse, minutes, hours)[-1]), IST)
    assert last.strftime("%H:%M") == closing


def test_a_bar_is_first_open_highest_high_lowest_low_last_close() -> None:
    coarse = resample(bars_at(day_of(15, "09:15", "15:30")), 75, between("09:15", "15:30"))
    assert len(coarse) == 5
    assert coarse[1].open == 105
    assert coarse[1].high == 112
    assert coarse[1].low == 103
    assert coarse[1].close == 110


def test_days_are_never_mixed_though_a_bar_is_short() -> None:
    times = day_of(30, "09:00", "10:30") + day_of(30, "09:00", "10:30", date(2025, 1, 7))
    coarse = resample(bars_at(times), 60, between("09:00", "10:30"))
    assert clocks(coarse) == ["09:00", "10:00"] * 2
    assert coarse.open.tolist() == [100, 102, 103, 105]
    assert coarse.close.tolist() == [102, 103, 105, 106]


def test_each_day_has_its_own_hours() -> None:
    evening = date(2025, 1, 7)
    times = day_of(15, "09:00", "11:00") + day_of(15, "17:00", "18:00", evening)
    coarse = resample(
        bars_at(times),
        60,
        lambda day: (time(17), time(23, 30)) if day == evening else (time(9), time(23, 30)),
    )
    assert clocks(coarse) == ["09:00", "10:00", "17:00"]


def test_a_missing_first_bar_does_not_shift_the_grid() -> None:
    times = day_of(15, "09:15", "15:30")[2:]
    coarse = resample(bars_at(times), 75, between("09:15", "15:30"))
    assert clocks(coarse) == NSE_GRID
    assert coarse.open[0] == 100


def test_bars_outside_the_hours_are_left_out_with_a_note() -> None:
    times = day_of(15, "09:00", "15:45")
    coarse = resample(bars_at(times), 75, between("09:15", "15:30"))
    assert clocks(coarse) == NSE_GRID
    assert coarse.open[0] == 101
    assert coarse.notes == ("2 bars outside session hours left out",)


def test_a_day_wholly_outside_its_hours_is_counted_from_its_first_bar() -> None:
    times = day_of(15, "09:15", "15:30") + day_of(15, "18:15", "19:15", date(2025, 1, 7))
    hours = between("09:15", "15:30")
    coarse = resample(bars_at(times), 75, hours)
    assert clocks(coarse) == [*NSE_GRID, "18:15"]
    assert coarse.notes == ()
    assert close_times(coarse, 75, hours)[-1] - coarse.epoch_s[-1] == 75 * 60


@pytest.mark.parametrize("minutes", [15, 75])
def test_bars_of_the_timeframe_are_returned_as_they_are(minutes: int) -> None:
    bars = bars_at(day_of(minutes, "09:15", "15:30"))
    assert resample(bars, minutes, between("09:15", "15:30")) is bars


@pytest.mark.parametrize(("source", "target"), [(75, 60), (60, 15), (30, 75), (25, 60)])
def test_only_finer_bars_that_divide_the_timeframe_can_be_used(source: int, target: int) -> None:
    bars = bars_at(day_of(source, "09:15", "15:30"))
    with pytest.raises(InputInvalid, match=f"bars of {source} minutes: .* {target} minutes"):
        resample(bars, target, between("09:15", "15:30"))


def test_daily_bars_are_too_coarse() -> None:
    days = [datetime(2025, 1, day, tzinfo=IST) for day in (6, 7, 8)]
    with pytest.raises(InputInvalid, match="1440 minutes"):
        resample(bars_at(days), 75, between("09:15", "15:30"))


@given(st.sets(st.integers(0, 749), max_size=300), st.sampled_from([5, 15, 25, 75]))
def test_coarse_bars_hold_exactly_what_the_fine_ones_of_their_span_hold(
    left_out: set[int], minutes: int
) -> None:
    times = day_of(1, "09:15", "15:30") + day_of(1, "09:15", "15:30", date(2025, 1, 7))
    random = np.random.default_rng(len(left_out))
    fine = bars_at([moment for place, moment in enumerate(times) if place not in left_out])
    fine = replace(fine, high=fine.high + random.random(len(fine)) * 40)
    hours = between("09:15", "15:30")
    coarse = resample(fine, minutes, hours)
    covered = 0
    for bar, end in zip(coarse, close_times(coarse, minutes, hours), strict=True):
        span = (fine.epoch_s >= int(bar.time.timestamp())) & (fine.epoch_s < end)
        covered += int(span.sum())
        assert bar.open == fine.open[span][0]
        assert bar.close == fine.close[span][-1]
        assert bar.high == fine.high[span].max()
        assert bar.low == fine.low[span].min()
    assert covered == len(fine)
