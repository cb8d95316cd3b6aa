"""Every indicator against the slow reference, on friendly and unfriendly markets."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest import indicators
from backtest.indicators import Floats
from tests.fixtures import reference_indicators as reference

TICK = 0.05


class Market(NamedTuple):
    high: Floats
    low: Floats
    close: Floats


def market_of(moves: Sequence[tuple[int, int, int]], start_ticks: int = 900_000) -> Market:
    """Bars from (change of the close, room above, room below), in ticks."""
    close, high, low = [], [], []
    last = start_ticks
    for change, room_above, room_below in moves:
        now = max(last + change, 100)
        close.append(now * TICK)
        high.append((max(last, now) + room_above) * TICK)
        low.append((min(last, now) - room_below) * TICK)
        last = now
    return Market(*(np.array(column) for column in (high, low, close)))


def random_market(seed: int, bars: int) -> Market:
    random = np.random.default_rng(seed)
    moves = zip(
        random.integers(-900, 901, bars).tolist(),
        random.integers(0, 300, bars).tolist(),
        random.integers(0, 300, bars).tolist(),
        strict=True,
    )
    return market_of(list(moves))


def assert_agrees(ours: Floats, theirs: Sequence[float | None]) -> None:
    expected = np.array([np.nan if value is None else value for value in theirs], dtype=np.float64)
    assert np.array_equal(np.isnan(ours), np.isnan(expected)), "known on other bars"
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-9)


steady = st.one_of(
    st.tuples(st.integers(-400, 400), st.integers(0, 200), st.integers(0, 200)),
    st.tuples(st.integers(-3, 3), st.integers(0, 1), st.integers(0, 1)),
    st.tuples(st.integers(0, 60), st.integers(0, 20), st.sampled_from([0, 0, 0, 4000])),
)
markets = st.one_of(
    st.lists(steady, min_size=1, max_size=90),
    st.lists(st.just((0, 0, 0)), min_size=1, max_size=90),
    st.lists(st.just((0, 7, 7)), min_size=1, max_size=60),
    st.lists(st.tuples(st.integers(1, 90), st.integers(0, 9), st.just(0)), max_size=90, min_size=1),
    st.lists(st.tuples(st.integers(-90, -1), st.just(0), st.just(0)), max_size=90, min_size=1),
    st.tuples(
        st.lists(st.just((0, 0, 0)), max_size=40), st.lists(steady, min_size=1, max_size=50)
    ).map(lambda parts: parts[0] + parts[1]),
).map(market_of)
lengths = st.integers(1, 12)


@given(markets, lengths)
def test_averages_agree_with_their_written_out_sums(market: Market, length: int) -> None:
    assert_agrees(
        indicators.rma(market.close, length), reference.rma(market.close.tolist(), length)
    )
    assert_agrees(
        indicators.ema(market.close, length), reference.ema(market.close.tolist(), length)
    )


@given(markets, lengths)
def test_rsi_agrees_with_the_reference(market: Market, length: int) -> None:
    assert_agrees(
        indicators.rsi(market.close, length), reference.rsi(market.close.tolist(), length)
    )


@given(markets, lengths)
def test_atr_agrees_with_the_reference(market: Market, length: int) -> None:
    high, low, close = (column.tolist() for column in market)
    assert_agrees(indicators.atr(*market, length), reference.atr(high, low, close, length))


@given(markets, lengths, lengths)
def test_directional_movement_agrees_with_the_reference(
    market: Market, length: int, smoothing: int
) -> None:
    columns = [column.tolist() for column in market]
    expected = reference.dmi(columns[0], columns[1], columns[2], length, smoothing)
    for ours, theirs in zip(indicators.dmi(*market, length, smoothing), expected, strict=True):
        assert_agrees(ours, theirs)


@given(markets, lengths, st.sampled_from([0.5, 1.5, 3.0]))
def test_supertrend_agrees_with_the_reference(market: Market, length: int, factor: float) -> None:
    average_range = indicators.atr(*market, length)
    ours = indicators.supertrend(*market, average_range, factor)
    known = [None if np.isnan(value) else value for value in average_range.tolist()]
    high, low, close = (column.tolist() for column in market)
    line, direction = reference.supertrend(high, low, close, known, factor)
    assert_agrees(ours.line, line)
    assert ours.direction.tolist() == direction


@given(markets, st.integers(1, 40))
def test_highest_and_donchian_agree_with_the_reference(market: Market, length: int) -> None:
    assert_agrees(
        indicators.donchian_upper(market.high, length),
        reference.donchian_upper(market.high.tolist(), length),
    )
    plain = [
        None if bar < length - 1 else max(market.high[bar - length + 1 : bar + 1].tolist())
        for bar in range(len(market.high))
    ]
    assert_agrees(indicators.highest(market.high, length), plain)


@given(markets, lengths)
def test_efficiency_ratio_and_roc_agree_with_the_reference(market: Market, length: int) -> None:
    close = market.close.tolist()
    assert_agrees(
        indicators.efficiency_ratio(market.close, length), reference.efficiency_ratio(close, length)
    )
    assert_agrees(indicators.roc(market.close, length), reference.roc(close, length))


def test_the_strategys_own_lengths_agree_over_a_long_series() -> None:
    market = random_market(seed=5, bars=500)
    high, low, close = (column.tolist() for column in market)
    assert_agrees(indicators.rsi(market.close, 6), reference.rsi(close, 6))
    assert_agrees(indicators.ema(market.close, 200), reference.ema(close, 200))
    for ours, theirs in zip(
        indicators.dmi(*market, 30, 30), reference.dmi(high, low, close, 30, 30), strict=True
    ):
        assert_agrees(ours, theirs)
    average_range = reference.atr(high, low, close, 10)
    line, direction = reference.supertrend(high, low, close, average_range, 1.5)
    ours_line, ours_direction = indicators.supertrend(*market, indicators.atr(*market, 10), 1.5)
    assert_agrees(ours_line, line)
    assert ours_direction.tolist() == direction
    assert {-1, 1} == set(direction), "the series must turn both ways to prove anything"


@pytest.mark.parametrize(
    ("name", "first_bar"),
    [
        ("rsi", 6),
        ("ema", 199),
        ("donchian", 19),
        ("plus", 30),
        ("adx", 59),
        ("er", 3),
        ("atr", 9),
        ("roc", 15),
    ],
)
def test_each_indicator_is_first_known_on_pines_bar(name: str, first_bar: int) -> None:
    market = random_market(seed=1, bars=260)
    movement = indicators.dmi(*market, 30, 30)
    column = {
        "rsi": indicators.rsi(market.close, 6),
        "ema": indicators.ema(market.close, 200),
        "donchian": indicators.donchian_upper(market.high, 20),
        "plus": movement.plus,
        "adx": movement.adx,
        "er": indicators.efficiency_ratio(market.close, 3),
        "atr": indicators.atr(*market, 10),
        "roc": indicators.roc(market.close, 15),
    }[name]
    assert int(np.flatnonzero(~np.isnan(column))[0]) == first_bar
    assert not np.isnan(column[first_bar:]).any()


def test_supertrend_prints_zero_on_bar_0_then_nothing_until_atr_is_known() -> None:
    market = random_market(seed=1, bars=30)
    line, direction = indicators.supertrend(*market, indicators.atr(*market, 10), 1.5)
    assert line[0] == 0.0
    assert np.isnan(line[1:9]).all()
    assert not np.isnan(line[9:]).any()
    assert direction[:10].tolist() == [1.0] * 10


def test_supertrend_direction_is_minus_one_in_an_up_trend() -> None:
    rising = market_of([(50, 5, 5)] * 60)
    line, direction = indicators.supertrend(*rising, indicators.atr(*rising, 10), 1.5)
    assert direction[-1] == -1.0
    assert line[-1] < rising.close[-1]


def test_rsi_of_a_flat_market_is_100_and_of_a_falling_one_0() -> None:
    assert indicators.rsi(market_of([(0, 0, 0)] * 20).close, 6)[-1] == 100.0
    assert indicators.rsi(market_of([(-5, 0, 0)] * 20).close, 6)[-1] == 0.0


def test_rsi_is_exactly_100_once_the_last_loss_has_faded_into_dust() -> None:
    market = market_of([(0, 0, 0), (-1, 0, 0), *[(10, 0, 0)] * 120])
    assert indicators.rsi(market.close, 6)[-1] == 100.0
    market = market_of([(0, 0, 0), (1, 0, 0), *[(-10, 0, 0)] * 120])
    assert indicators.rsi(market.close, 6)[-1] == 0.0


def test_a_wick_through_the_rising_band_does_not_turn_supertrend() -> None:
    rise, wick, after = [(60, 5, 5)] * 20, (10, 5, 4000), (20, 5, 5)
    market = market_of([*rise, wick, after])
    line, direction = indicators.supertrend(*market, indicators.atr(*market, 10), 1.5)
    middle = (market.high[-2] + market.low[-2]) / 2
    assert middle + 1.5 * indicators.atr(*market, 10)[-2] < line[-2], "the bands must cross"
    assert direction[-2:].tolist() == [-1.0, -1.0]


def test_equal_moves_up_and_down_are_no_directional_movement_despite_float_dust() -> None:
    high = np.array([45000.05, 45000.35, 45000.65])
    low = np.array([44999.9, 44999.6, 44999.3])
    movement = indicators.dmi(high, low, np.full(3, 45000.0), 1, 1)
    assert movement.plus[1:].tolist() == [0.0, 0.0]
    assert movement.minus[1:].tolist() == [0.0, 0.0]
    assert high[1] - high[0] != low[0] - low[1], "the dust must be there to be ignored"


def test_above_needs_more_than_dust_and_is_false_beside_nan() -> None:
    left = np.array([1.0, 1.0 + 5e-11, 1.0 + 2e-10, np.nan])
    assert indicators.above(left, 1.0).tolist() == [False, False, True, False]


@pytest.mark.parametrize("bars", [1, 2, 5])
def test_a_series_shorter_than_any_length_is_unknown_not_an_error(bars: int) -> None:
    market = random_market(seed=2, bars=bars)
    assert np.isnan(indicators.ema(market.close, 200)).all()
    assert np.isnan(indicators.dmi(*market, 30, 30).adx).all()
    assert np.isnan(indicators.donchian_upper(market.high, 20)).all()
    assert np.isnan(indicators.supertrend(*market, indicators.atr(*market, 10), 1.5).line[1:]).all()
