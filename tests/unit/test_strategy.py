"""Each rule of the strategy in a market of a few bars made for it, and what must hold in any."""

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest import indicators
from backtest.bars import Bars
from backtest.indicators import Floats
from backtest.strategy import (
    Indicators,
    Strategy,
    StrategyParams,
    alert_price,
    alert_ratio,
    compute,
)
from core.config import PortfolioConfig
from core.errors import InputInvalid
from core.ist import IST
from core.models import MarketDataSignal, Signal, SignalType, StopMode

NAME = "BANK_NIFTY"
FIRST_BAR = datetime(2025, 1, 6, 9, 15, tzinfo=IST)
CONDITIONS = (
    "rsi_condition",
    "ema_condition",
    "dc_condition",
    "adx_condition",
    "er_condition",
    "st_condition",
    "not_doji",
)
ATR = 10.0

Said = tuple[str, int | None]


def column(values: float | Sequence[float], length: int) -> Floats:
    return np.broadcast_to(np.array(values, dtype=np.float64), (length,)).copy()


def bars_closing_at(closes: Sequence[float], minutes: int = 75) -> Bars:
    close = column(closes, len(closes))
    start = int(FIRST_BAR.timestamp())
    epochs = start + np.arange(len(closes), dtype=np.int64) * minutes * 60
    return Bars(epochs, close - 1, close + 2, close - 2, close)


def told(
    closes: Sequence[float],
    entries: Sequence[int],
    supertrend: float | Sequence[float],
    roc: float | Sequence[float] = 5.0,
) -> Indicators:
    """Indicators as they are told: ATR 10, all seven conditions on the bars in `entries`."""
    count = len(closes)
    long_entry = np.zeros(count, dtype=np.bool_)
    long_entry[list(entries)] = True
    same = column(0.0, count)
    return Indicators(
        rsi=same,
        ema=same,
        dc_upper=same,
        adx=same,
        er=column(0.9, count),
        supertrend=column(supertrend, count),
        supertrend_direction=same,
        atr=column(ATR, count),
        roc=column(roc, count),
        rsi_condition=long_entry,
        ema_condition=long_entry,
        dc_condition=long_entry,
        adx_condition=long_entry,
        er_condition=long_entry,
        st_condition=long_entry,
        not_doji=long_entry,
        long_entry=long_entry,
    )


def run(
    closes: Sequence[float],
    params: StrategyParams | None = None,
    *,
    entries: Sequence[int] = (0,),
    supertrend: float | Sequence[float] = 980.0,
    roc: float | Sequence[float] = 5.0,
) -> list[list[Signal]]:
    """The alerts of each bar."""
    known = told(closes, entries, supertrend, roc)
    strategy = Strategy(NAME, bars_closing_at(closes), params or StrategyParams(), known)
    return [list(strategy.on_bar(index)) for index in range(len(closes))]


def said(alerts: list[list[Signal]]) -> list[list[Said]]:
    return [[(alert.type.value, alert.layer) for alert in bar] for bar in alerts]


BASE: list[Said] = [("BASE_ENTRY", 1)]
EXIT_ALL: list[Said] = [("EXIT", None)]


def add(layer: int) -> list[Said]:
    return [("PYRAMID", layer)]


# The conditions


def wandering_market(bars: int = 6000, seed: int = 3) -> Bars:
    random = np.random.default_rng(seed)
    drift = np.repeat(random.normal(0, 0.0012, bars // 25 + 1), 25)[:bars]
    close = np.round(50_000 * np.exp(np.cumsum(random.normal(0, 0.0025, bars) + drift)), 2)
    opens = np.concatenate([close[:1], close[:-1]])
    high = np.maximum(opens, close) + np.round(random.random(bars) * 60, 2)
    low = np.minimum(opens, close) - np.round(random.random(bars) * 60, 2)
    epochs = int(FIRST_BAR.timestamp()) + np.arange(bars, dtype=np.int64) * 4500
    return Bars(epochs, opens, high, low, close)


MARKET = wandering_market()
LOOSE = StrategyParams(rsi_threshold=60.0, er_threshold=0.3, doji_body_fraction=0.4)
# One condition made hard, so that some bar of the market fails by it alone.
HARD = {
    "rsi_condition": replace(LOOSE, rsi_threshold=90.0),
    "ema_condition": LOOSE,
    "dc_condition": LOOSE,
    "adx_condition": replace(LOOSE, adx_threshold=15.0),
    "er_condition": replace(LOOSE, er_threshold=0.95),
    "st_condition": replace(LOOSE, supertrend_factor=6.0),
    "not_doji": LOOSE,
}


@pytest.mark.parametrize("alone", CONDITIONS)
def test_each_condition_alone_can_block_an_entry(alone: str) -> None:
    known = compute(MARKET, HARD[alone])
    others = [getattr(known, name) for name in CONDITIONS if name != alone]
    blocked = np.logical_and.reduce(others) & ~getattr(known, alone)
    assert blocked.any(), "the market never shows the case"
    assert not known.long_entry[blocked].any()


def test_an_entry_needs_all_seven_conditions_and_no_more() -> None:
    known = compute(MARKET, LOOSE)
    together = np.logical_and.reduce([getattr(known, name) for name in CONDITIONS])
    assert known.long_entry.tolist() == together.tolist()
    assert known.long_entry.any()


def test_each_column_is_its_indicator_with_its_own_lengths() -> None:
    params = StrategyParams(
        rsi_length=5,
        ema_length=50,
        donchian_length=7,
        adx_length=11,
        adx_smoothing=13,
        er_length=4,
        atr_length=9,
        supertrend_length=8,
        supertrend_factor=2.5,
        roc_length=6,
    )
    high, low, close = MARKET.high, MARKET.low, MARKET.close
    trend = indicators.supertrend(high, low, close, indicators.atr(high, low, close, 8), 2.5)
    expected = {
        "rsi": indicators.rsi(close, 5),
        "ema": indicators.ema(close, 50),
        "dc_upper": indicators.donchian_upper(high, 7),
        "adx": indicators.dmi(high, low, close, 11, 13).adx,
        "er": indicators.efficiency_ratio(close, 4),
        "atr": indicators.atr(high, low, close, 9),
        "supertrend": trend.line,
        "supertrend_direction": trend.direction,
        "roc": indicators.roc(close, 6),
    }
    known = compute(MARKET, params)
    for name, values in expected.items():
        np.testing.assert_array_equal(getattr(known, name), values, err_msg=name)


def test_the_conditions_are_the_rules_on_the_indicators() -> None:
    params = StrategyParams()
    known = compute(MARKET, params)
    close, span = MARKET.close, MARKET.high - MARKET.low
    expected = {
        "rsi_condition": known.rsi > 70,
        "ema_condition": close > known.ema,
        "dc_condition": close > known.dc_upper,
        "adx_condition": known.adx < 25,
        "er_condition": known.er > 0.8,
        "st_condition": close > known.supertrend,
        "not_doji": abs(close - MARKET.open) / span > 0.1,
    }
    for name, flags in expected.items():
        assert getattr(known, name).tolist() == flags.tolist(), name


@pytest.mark.parametrize(
    ("opens", "high", "low", "close", "is_doji"),
    [
        (100.0, 105.0, 95.0, 101.0, True),
        (100.0, 105.0, 95.0, 101.05, False),
        (101.05, 105.0, 95.0, 100.0, False),
        (100.0, 100.0, 100.0, 100.0, True),
        (100.0, 100.05, 100.0, 100.05, False),
        (45000.1, 45000.6, 44999.6, 45000.2, True),
    ],
)
def test_a_body_of_a_tenth_of_the_range_or_no_range_is_a_doji(
    opens: float, high: float, low: float, close: float, is_doji: bool
) -> None:
    columns = [column(price, 2) for price in (opens, high, low, close)]
    bars = Bars(np.array([1, 2]), columns[0], columns[1], columns[2], columns[3])
    assert compute(bars, StrategyParams()).not_doji.tolist() == [not is_doji] * 2


def test_nothing_is_signalled_while_an_indicator_is_warming_up() -> None:
    anything = StrategyParams(
        rsi_threshold=0.0, adx_threshold=101.0, er_threshold=-1.0, doji_body_fraction=0.0
    )
    known = compute(MARKET, anything)
    assert not known.long_entry[:199].any()
    assert known.long_entry[199:].any()
    strategy = Strategy(NAME, MARKET, anything)
    assert [strategy.on_bar(index) for index in range(199)] == [()] * 199


def test_a_supertrend_of_another_length_than_atr_has_its_own_average() -> None:
    known = compute(MARKET, StrategyParams(supertrend_length=20))
    assert np.isnan(known.supertrend[1:19]).all()
    assert not np.isnan(known.supertrend[19])
    assert not np.isnan(known.atr[9])


# Entries and adds


def test_a_trade_begins_when_flat_and_all_conditions_hold_and_only_once() -> None:
    alerts = run([1000, 1001, 1002, 1003], entries=[1, 2, 3])
    assert said(alerts) == [[], BASE, [], []]


def test_an_entry_carries_the_bars_numbers_and_its_open_time() -> None:
    (entry,) = run([999, 1000], entries=[1], supertrend=980.12344)[1]
    assert entry == Signal(
        type=SignalType.BASE_ENTRY,
        instrument=NAME,
        layer=1,
        price=Decimal("1000"),
        stop=Decimal("980.1234"),
        atr=Decimal("10"),
        er=0.9,
        supertrend=Decimal("980.1234"),
        bar_time=FIRST_BAR + timedelta(minutes=75),
        roc=5.0,
        seq=1,
    )


# The base at 1000 starts with its stop at max(980, 1000 - 1.5 x 10) = 985: R is 15 points.
@pytest.mark.parametrize(
    ("close", "params", "adds"),
    [
        (1014.95, StrategyParams(), False),
        (1015.0, StrategyParams(), False),
        (1015.05, StrategyParams(), True),
        (1010.05, StrategyParams(initial_atr_mult=1.0), True),
        (1010.0, StrategyParams(initial_atr_mult=1.0), False),
        (1020.05, StrategyParams(initial_atr_mult=5.0), True),
        (1020.0, StrategyParams(initial_atr_mult=5.0), False),
        (1030.0, StrategyParams(min_profit_r=2.0), False),
        (1030.05, StrategyParams(min_profit_r=2.0), True),
        (1020.05, StrategyParams(stop_mode=StopMode.SUPERTREND), True),
        (1020.0, StrategyParams(stop_mode=StopMode.SUPERTREND), False),
    ],
)
def test_an_add_needs_more_than_1r_from_the_base_entry(
    close: float, params: StrategyParams, adds: bool
) -> None:
    assert said(run([1000, close], params)) == [BASE, add(2) if adds else []]


@pytest.mark.parametrize(
    ("close", "spacing", "adds"),
    [
        (1020.95, 0.5, False),
        (1021.0, 0.5, True),
        (1023.45, 0.75, False),
        (1023.5, 0.75, True),
        (1016.0, 0.0, True),
    ],
)
def test_an_add_needs_its_distance_from_the_last_entry(
    close: float, spacing: float, adds: bool
) -> None:
    params = StrategyParams(pyramid_atr_spacing=spacing)
    assert said(run([1000, 1016, close], params)) == [BASE, add(2), add(3) if adds else []]


def test_spacing_is_measured_from_the_entry_before_when_the_last_layer_is_gone() -> None:
    alerts = run([1000, 1016, 1000.5, 1015.5], entries=[0])
    assert said(alerts) == [BASE, add(2), [("EXIT", 2)], add(3)]


@pytest.mark.parametrize(
    ("use_filter", "roc", "adds"),
    [
        (True, 2.0, False),
        (True, 2.01, True),
        (True, float("nan"), False),
        (False, -5.0, True),
        (False, float("nan"), True),
    ],
)
def test_the_roc_filter_blocks_adds_only_when_it_is_on(
    use_filter: bool, roc: float, adds: bool
) -> None:
    params = StrategyParams(use_roc_filter=use_filter, roc_threshold=2.0)
    alerts = run([1000, 1020], params, roc=[roc, roc])
    assert said(alerts) == [BASE, add(2) if adds else []]
    assert alerts[0][0].roc == (None if np.isnan(roc) else roc)


@pytest.mark.parametrize(
    ("supertrend", "adds"), [(1019.95, True), (1020.0, False), (1030.0, False)]
)
def test_nothing_is_added_below_the_stop_that_it_would_carry(supertrend: float, adds: bool) -> None:
    alerts = run([1000, 1020], supertrend=[980.0, supertrend])
    assert said(alerts) == [BASE, add(2) if adds else []]


@pytest.mark.parametrize("max_adds", [0, 1, 5])
def test_a_trade_has_the_base_and_at_most_max_adds_layers(max_adds: int) -> None:
    alerts = run([1000.0 + 20 * bar for bar in range(10)], StrategyParams(max_adds=max_adds))
    opened = [BASE, *(add(layer) for layer in range(2, max_adds + 2))]
    assert said(alerts) == opened + [[] for _ in range(10 - len(opened))]


# Stops and exits


@pytest.mark.parametrize(
    ("closes", "exits"),
    [
        ([1000, 985.0], False),
        ([1000, 984.95], True),
        ([1000, 1030, 1005.0], False),
        ([1000, 1030, 1004.95], True),
    ],
)
def test_tom_basso_leaves_below_the_initial_stop_or_the_trail(
    closes: list[float], exits: bool
) -> None:
    alerts = run(closes, StrategyParams(max_adds=0))
    assert said(alerts)[-1] == (EXIT_ALL if exits else [])


def test_the_bar_of_an_entry_does_not_move_its_stop() -> None:
    close_trail = StrategyParams(max_adds=0, initial_atr_mult=5.0, trailing_atr_mult=0.5)
    strategy = Strategy(NAME, bars_closing_at([1000, 1001]), close_trail, told([0, 0], [0], 980.0))
    strategy.on_bar(0)
    assert strategy.layers[0].stop == 980.0
    strategy.on_bar(1)
    assert strategy.layers[0].stop == 996.0


@pytest.mark.parametrize(
    ("mode", "closes", "supertrend", "stop"),
    [
        (StopMode.TOM_BASSO, [1000, 984], 980.0, "985"),
        (StopMode.SUPERTREND, [1000, 979], 980.0, "980"),
        (StopMode.SUPERTREND, [1000, 1016, 995], [980.0, 990.0, 996.5], "996.5"),
        (StopMode.VAN_THARP, [1000, 979], 980.0, "980"),
    ],
)
def test_when_every_layer_is_hit_one_exit_says_why_and_at_what_stop(
    mode: StopMode, closes: list[float], supertrend: float | list[float], stop: str
) -> None:
    alerts = run(closes, StrategyParams(stop_mode=mode, max_adds=0), supertrend=supertrend)
    (last,) = alerts[-1]
    assert (last.type, last.layer) == (SignalType.EXIT, None)
    assert last.reason == f"{mode.value}_STOP"
    assert last.stop == Decimal(stop)
    assert last.price == alert_price(closes[-1])


def test_supertrend_takes_every_layer_out_at_once() -> None:
    mode = StrategyParams(stop_mode=StopMode.SUPERTREND)
    alerts = run([1000, 1021, 1042, 1030, 1029.9], mode, supertrend=[980, 990, 1000, 1030, 1030])
    assert said(alerts) == [BASE, add(2), add(3), [], EXIT_ALL]


def test_tom_basso_takes_layers_out_one_by_one() -> None:
    alerts = run([1000, 1016, 1000.5, 990])
    assert said(alerts) == [BASE, add(2), [("EXIT", 2)], EXIT_ALL]
    assert [bar[0].stop for bar in alerts[2:]] == [Decimal("1001"), Decimal("991")]


def test_van_tharp_takes_a_layer_out_below_the_entry_above_it() -> None:
    mode = StrategyParams(stop_mode=StopMode.VAN_THARP)
    alerts = run([1000, 1021, 1042, 1042, 1041, 999], mode, supertrend=[980.0] * 4 + [1000.0] * 2)
    assert said(alerts) == [BASE, add(2), add(3), [], [("EXIT", 2)], EXIT_ALL]
    assert [bar[0].stop for bar in alerts[4:]] == [Decimal("1042"), Decimal("1000")]


def test_nothing_is_added_once_the_base_layer_is_gone() -> None:
    mode = StrategyParams(stop_mode=StopMode.VAN_THARP)
    alerts = run([1000, 1021, 1042, 1020.5, 1080, 1120], mode, supertrend=980.0)
    assert said(alerts) == [BASE, add(2), add(3), [("EXIT", 1), ("EXIT", 2)], [], []]


def test_a_bar_that_closes_something_opens_nothing() -> None:
    alerts = run([1000, 980, 1000], entries=[0, 1, 2], supertrend=970.0)
    assert said(alerts) == [BASE, EXIT_ALL, BASE]


def test_layers_are_numbered_upward_within_a_trade_and_anew_in_the_next() -> None:
    closes = [1000, 1016, 1000.5, 1016, 1022, 900, 1000, 1016]
    alerts = run(closes, entries=[0, 6], supertrend=880.0)
    assert said(alerts) == [
        BASE,
        add(2),
        [("EXIT", 2)],
        add(3),
        add(4),
        EXIT_ALL,
        BASE,
        add(2),
    ]
    assert [alert.seq for bar in alerts for alert in bar] == list(range(1, 9))


def test_layers_that_left_still_count_toward_the_most_a_trade_may_have() -> None:
    alerts = run([1000, 1016, 1000.5, 1016, 1040], StrategyParams(max_adds=2))
    assert said(alerts) == [BASE, add(2), [("EXIT", 2)], add(3), []]


# Dates


@pytest.mark.parametrize(
    ("start", "end", "first"),
    [
        (None, None, 0),
        (date(2025, 1, 6), None, 0),
        (date(2025, 1, 7), None, 1),
        (date(2025, 1, 7), date(2025, 1, 7), 1),
        (None, date(2025, 1, 6), 0),
        (None, date(2025, 1, 5), None),
        (date(2025, 1, 9), None, None),
    ],
)
def test_a_trade_begins_only_on_the_days_asked_for(
    start: date | None, end: date | None, first: int | None
) -> None:
    closes = [1000.0, 1001.0, 1002.0]
    bars = replace(
        bars_closing_at(closes),
        epoch_s=np.array(
            [
                int(datetime.combine(date(2025, 1, day), at, tzinfo=IST).timestamp())
                for day, at in ((6, time(23, 59)), (7, time(0, 0)), (8, time(9, 15)))
            ]
        ),
    )
    strategy = Strategy(
        NAME, bars, StrategyParams(start=start, end=end), told(closes, [0, 1, 2], 980.0)
    )
    entered = [index for index in range(3) if strategy.on_bar(index)]
    assert entered == ([] if first is None else [first])


def test_a_trade_that_has_begun_goes_on_past_the_last_day() -> None:
    closes = [1000.0 + 20 * bar for bar in range(30)] + [900.0, 1000.0]
    alerts = run(closes, StrategyParams(end=FIRST_BAR.date()), entries=range(32))
    opened = [alert for bar in alerts for alert in bar]
    assert [alert.layer for alert in opened] == [1, 2, 3, 4, 5, 6, None]


# What alerts carry


@pytest.mark.parametrize(
    ("points", "carried"),
    [
        (52000.0, "52000.0000"),
        (0.1 + 0.2, "0.3000"),
        (0.03125, "0.0312"),
        (0.09375, "0.0938"),
        (51650.123449, "51650.1234"),
    ],
)
def test_prices_are_carried_with_four_decimals_half_to_even(points: float, carried: str) -> None:
    assert str(alert_price(points)) == carried


def test_ratios_are_carried_with_six_decimals() -> None:
    assert alert_ratio(0.81234567) == 0.812346


def test_market_data_is_the_closed_bar() -> None:
    strategy = Strategy(
        NAME, bars_closing_at([1000, 1001.5]), StrategyParams(), told([0, 0], [], [980.0, 981.25])
    )
    assert strategy.market_data(1) == MarketDataSignal(
        NAME,
        Decimal("1001.5"),
        Decimal("10"),
        Decimal("981.25"),
        FIRST_BAR + timedelta(minutes=75),
    )


def test_market_data_of_a_bar_without_atr_is_refused_not_made_up() -> None:
    strategy = Strategy(NAME, MARKET, StrategyParams())
    with pytest.raises(InputInvalid, match="too few"):
        strategy.market_data(5)


def test_a_bars_values_are_those_its_alert_would_carry_and_none_in_warm_up() -> None:
    closes = [999.0, 1000.0]
    known = told(closes, [1], [float("nan"), 980.5], roc=[1.0, float("nan")])
    strategy = Strategy(NAME, bars_closing_at(closes), StrategyParams(), known)
    assert strategy.values_at(0) is None
    values = strategy.values_at(1)
    (alert,) = strategy.on_bar(1)
    assert values is not None
    assert (values.atr, values.er, values.supertrend, values.roc) == (
        alert.atr,
        alert.er,
        alert.supertrend,
        alert.roc,
    )


def test_every_number_of_the_configuration_reaches_the_strategy() -> None:
    trading = {
        "initial_atr_mult": "1.1",
        "trailing_atr_mult": "2.1",
        "pyramid_atr_spacing": "0.6",
        "use_roc_filter": True,
        "roc_threshold": 3.5,
    }
    strategy: dict[str, Any] = {
        "rsi_length": 7,
        "rsi_threshold": 71.0,
        "ema_length": 201,
        "donchian_length": 21,
        "adx_length": 31,
        "adx_smoothing": 32,
        "adx_threshold": 15.0,
        "er_length": 4,
        "er_threshold": 0.7,
        "supertrend_length": 11,
        "supertrend_factor": 1.6,
        "atr_length": 12,
        "doji_body_fraction": 0.2,
        "roc_length": 16,
    }
    config = PortfolioConfig.from_mapping(
        {"stop_mode": "VAN_THARP", "pyramid": {"max_adds": 4, "min_profit_r": "1.5"}},
        {"GOLD_MINI": {"trading": trading, "strategy": strategy}},
    )
    params = StrategyParams.from_config(config, "GOLD_MINI", date(2025, 1, 1), date(2025, 6, 1))
    assert params == StrategyParams(
        **strategy,
        use_roc_filter=True,
        roc_threshold=3.5,
        max_adds=4,
        min_profit_r=1.5,
        pyramid_atr_spacing=0.6,
        stop_mode=StopMode.VAN_THARP,
        initial_atr_mult=1.1,
        trailing_atr_mult=2.1,
        start=date(2025, 1, 1),
        end=date(2025, 6, 1),
    )
    usual = StrategyParams()
    assert not [f.name for f in fields(usual) if getattr(usual, f.name) == getattr(params, f.name)]


# Whatever the market does


class Book:
    """What somebody who only hears the alerts believes to be open."""

    def __init__(self) -> None:
        self.open: list[int] = []
        self.last_layer = 0

    def hear(self, alert: Signal) -> None:
        if alert.type is SignalType.BASE_ENTRY:
            assert not self.open
            assert alert.layer == 1
            self.open, self.last_layer = [1], 1
        elif alert.type is SignalType.PYRAMID:
            assert 1 in self.open
            assert alert.layer == self.last_layer + 1 <= 6
            self.last_layer = alert.layer
            self.open.append(alert.layer)
        elif alert.layer is None:
            assert self.open
            self.open = []
        else:
            self.open.remove(alert.layer)
            assert self.open, "the last layer leaves with ALL"


moves = st.lists(
    st.tuples(st.integers(-400, 500), st.integers(-400, 400), st.booleans()),
    min_size=1,
    max_size=80,
)


@given(moves, st.sampled_from(list(StopMode)), st.integers(0, 5))
def test_in_any_market_stops_never_fall_layers_rise_and_alerts_fit_the_position(
    moves: list[tuple[int, int, bool]], mode: StopMode, max_adds: int
) -> None:
    closes = (np.cumsum([move for move, _, _ in moves]) * 0.05 + 1000).tolist()
    trends = [close - gap * 0.05 for close, (_, gap, _) in zip(closes, moves, strict=True)]
    entries = [bar for bar, (_, gap, wanted) in enumerate(moves) if wanted and gap > 0]
    strategy = Strategy(
        NAME,
        bars_closing_at(closes),
        StrategyParams(stop_mode=mode, max_adds=max_adds),
        told(closes, entries, trends),
    )
    heard, stops = Book(), dict[int, float]()
    for bar in range(len(closes)):
        alerts = strategy.on_bar(bar)
        for alert in alerts:
            heard.hear(alert)
            assert alert.type is SignalType.EXIT or alert.stop < alert.price
        assert len({alert.type is SignalType.EXIT for alert in alerts}) < 2
        now = {layer.number: layer.stop for layer in strategy.layers}
        assert list(now) == heard.open
        for number in now.keys() & stops.keys():
            if not alerts or alerts[0].type is not SignalType.BASE_ENTRY:
                assert now[number] >= stops[number]
        stops = now
