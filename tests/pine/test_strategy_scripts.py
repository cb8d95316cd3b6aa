"""The shipped strategies, run: they see, decide and say what the backtest's strategy does."""

import json
from collections import Counter
from dataclasses import fields, replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from backtest.bars import Bars
from backtest.pine_alerts import DATE_NAMES, INPUT_NAMES, inputs_of
from backtest.pine_emulator import PineEmulator, Tick, script_of
from backtest.strategy import StrategyParams
from core.models import MarketDataSignal, Signal, SignalType, StopMode
from core.webhook_parser import CONDITIONS, INDICATORS, fingerprint
from tests.fixtures.pine_mutants import EASY, SUDDEN, stop_and_add_at_once
from tests.fixtures.pine_parity import (
    CATALOG,
    SCRIPTS,
    TOLERANCE,
    Expected,
    ShippedRun,
    bars_of,
    chart,
    differences,
    long_run_bars,
    minutes_of,
    read,
    sample_bars,
    shipped_params,
)

INSTRUMENTS = sorted(SCRIPTS)
SHORTEST_RUN_BARS = 3000


def every_difference(
    emulator: PineEmulator, instrument: str, params: StrategyParams, bars: Bars
) -> list[str]:
    emulation = emulator.run(
        script_of(SCRIPTS[instrument]), bars, chart(instrument), inputs_of(params)
    )
    return list(differences(emulation, bars, Expected.of(instrument, bars, params)))


# The scripts as they are shipped


@pytest.mark.slow
@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_the_script_sees_and_does_what_the_backtest_does(
    shipped_run: ShippedRun, instrument: str
) -> None:
    """Its own defaults, not told by inputs, are the configuration's."""
    bars = long_run_bars(instrument)
    assert len(bars) > SHORTEST_RUN_BARS
    expected = Expected.of(instrument, bars, shipped_params(instrument))
    assert list(differences(shipped_run(instrument), bars, expected)) == []


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_every_path_of_the_script_ran(shipped_run: ShippedRun, instrument: str) -> None:
    done = Counter(
        (order.type, order.layer)
        for fill in shipped_run(instrument).fills
        if isinstance(order := read(fill.alert_message or ""), Signal)
    )
    adds = [(SignalType.PYRAMID, layer) for layer in range(2, 7)]
    exits = [(SignalType.EXIT, layer) for layer in (None, 2, 3, 4, 5)]
    wanted = [(SignalType.BASE_ENTRY, 1), *adds, *exits]
    assert [path for path in wanted if not done[path]] == []


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_six_layers_fill_and_nothing_is_swallowed(shipped_run: ShippedRun, instrument: str) -> None:
    emulation = shipped_run(instrument)
    assert max(fill.position_after for fill in emulation.fills) == 6
    assert emulation.dropped == []
    assert emulation.warnings == []


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_leaving_altogether_is_one_order_and_one_alert(
    shipped_run: ShippedRun, instrument: str
) -> None:
    exits = [fill for fill in shipped_run(instrument).fills if fill.position_after == 0]
    assert max(fill.quantity for fill in exits) > 1
    assert {read(fill.alert_message or "").layer for fill in exits} == {None}  # type: ignore[union-attr]


# Their alerts


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_every_alert_is_strict_json_with_every_field(
    shipped_run: ShippedRun, instrument: str
) -> None:
    emulation = shipped_run(instrument)
    assert len(emulation.said) > len(emulation.fills) > 0

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    for said in emulation.said:
        body = json.loads(said.message, parse_constant=refuse)
        assert body["instrument"] == instrument
        assert body["bar_time"] == said.time_ms
        assert set(CONDITIONS) == set(body["conditions"])
        assert set(INDICATORS) == set(body["indicators"])
        assert {"in_position", "pyramid_count", "layers"} == set(body["position_status"])
        assert (body["seq"] is None) != said.is_order
        assert len(said.message) < 4096


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_no_two_alerts_are_taken_for_one(shipped_run: ShippedRun, instrument: str) -> None:
    prints = [fingerprint(read(said.message)) for said in shipped_run(instrument).said]
    assert len(set(prints)) == len(prints)


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_orders_are_numbered_without_a_gap(shipped_run: ShippedRun, instrument: str) -> None:
    numbers = [read(fill.alert_message or "").seq for fill in shipped_run(instrument).fills]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_each_closed_bar_is_told_once_from_the_first_with_an_atr(
    shipped_run: ShippedRun, instrument: str
) -> None:
    told = [said for said in shipped_run(instrument).said if not said.is_order]
    first = shipped_params(instrument).atr_length - 1
    assert [said.bar for said in told] == list(range(first, len(long_run_bars(instrument))))
    assert all(isinstance(read(said.message), MarketDataSignal) for said in told)


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_an_alert_tells_what_is_held_once_it_is_done(
    shipped_run: ShippedRun, instrument: str
) -> None:
    """A lost alert can be repaired from the next one."""
    emulation = shipped_run(instrument)
    after = {fill.bar: fill.position_after for fill in emulation.fills}
    held = 0.0
    for said in emulation.said:
        held = after.get(said.bar, held)
        status = json.loads(said.message)["position_status"]
        assert len(status["layers"]) == held
        assert status["in_position"] == (held > 0)
        assert status["pyramid_count"] == max(held - 1, 0)
        assert all(layer["stop"] <= float(read(said.message).price) for layer in status["layers"])


# Other inputs

INPUT_SETS = {
    "entries are easy": EASY,
    "all leave on SuperTrend": replace(EASY, stop_mode=StopMode.SUPERTREND),
    "layers leave below the next": replace(EASY, stop_mode=StopMode.VAN_THARP),
    "adds need momentum": replace(EASY, use_roc_filter=True, roc_threshold=1.0),
    "adds are far apart": replace(EASY, pyramid_atr_spacing=1.5, min_profit_r=2.0),
    "adds are near": replace(EASY, pyramid_atr_spacing=0.0, min_profit_r=0.0),
    "two adds at most": replace(EASY, max_adds=2),
    "no adds": replace(EASY, max_adds=0),
    "stops are near": replace(EASY, initial_atr_mult=0.5, trailing_atr_mult=0.8),
    "stops are far": replace(EASY, initial_atr_mult=6.0, trailing_atr_mult=8.0),
    "some days only": replace(EASY, start=date(2024, 3, 5), end=date(2024, 9, 3)),
    "from a day on": replace(EASY, start=date(2024, 6, 3)),
    "until a day": replace(EASY, end=date(2024, 6, 3)),
    "other lengths": StrategyParams(
        rsi_length=9,
        rsi_threshold=60.0,
        ema_length=34,
        donchian_length=13,
        adx_length=14,
        adx_smoothing=11,
        adx_threshold=40.0,
        er_length=6,
        er_threshold=0.4,
        supertrend_length=7,
        supertrend_factor=2.2,
        atr_length=17,
        doji_body_fraction=0.35,
        roc_length=8,
        use_roc_filter=True,
        roc_threshold=0.5,
    ),
}
QUICK = ("all leave on SuperTrend", "layers leave below the next", "other lengths")
QUICK_BARS = 1500


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_other_inputs_are_the_same_strategy(emulator: PineEmulator, name: str) -> None:
    bars = sample_bars("BANK_NIFTY").first(QUICK_BARS)
    params = INPUT_SETS[name]
    assert Expected.of("BANK_NIFTY", bars, params).orders
    assert every_difference(emulator, "BANK_NIFTY", params, bars) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", INPUT_SETS)
@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_any_inputs_are_the_same_strategy(
    emulator: PineEmulator, instrument: str, name: str
) -> None:
    bars = sample_bars(instrument)
    params = INPUT_SETS[name]
    expected = Expected.of(instrument, bars, params)
    assert len(expected.orders) > 20
    assert every_difference(emulator, instrument, params, bars) == []


def test_a_bar_that_closes_a_layer_opens_none(emulator: PineEmulator) -> None:
    """Where a stop is hit and all that an add needs holds too, the script leaves."""
    bars = stop_and_add_at_once()
    orders = Expected.of("BANK_NIFTY", bars, SUDDEN).orders
    assert [order.type for _, order in orders] == [SignalType.BASE_ENTRY, SignalType.EXIT]
    assert every_difference(emulator, "BANK_NIFTY", SUDDEN, bars) == []


def test_layers_leave_in_every_stop_mode_one_by_one_or_together() -> None:
    """The market of these tests shows what the modes do: else equality would mean little."""
    bars = sample_bars("BANK_NIFTY").first(QUICK_BARS)
    left = {
        params.stop_mode: {
            order.layer
            for _, order in Expected.of("BANK_NIFTY", bars, params).orders
            if order.type is SignalType.EXIT
        }
        for params in (EASY, INPUT_SETS[QUICK[0]], INPUT_SETS[QUICK[1]])
    }
    assert left[StopMode.SUPERTREND] == {None}
    assert left[StopMode.TOM_BASSO] >= {None, 2, 3, 4, 5}
    assert left[StopMode.VAN_THARP] >= {None, 1, 2, 3}


def test_every_number_of_the_strategy_is_an_input() -> None:
    names = {field.name for field in fields(StrategyParams)}
    assert names == set(INPUT_NAMES) | set(DATE_NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["entries are easy", "layers leave below the next"])
def test_real_bars_are_no_other_matter(emulator: PineEmulator, shared: Path, name: str) -> None:
    bars = bars_of(shared / "data" / "banknifty_15m_2018_2020.csv", "BANK_NIFTY")
    assert len(bars) > SHORTEST_RUN_BARS
    params = INPUT_SETS[name]
    assert len(Expected.of("BANK_NIFTY", bars, params).orders) > 100
    assert every_difference(emulator, "BANK_NIFTY", params, bars) == []


@pytest.mark.slow
def test_real_bars_with_the_shipped_numbers(emulator: PineEmulator, shared: Path) -> None:
    bars = bars_of(shared / "data" / "banknifty_15m_2018_2020.csv", "BANK_NIFTY")
    params = shipped_params("BANK_NIFTY")
    assert Expected.of("BANK_NIFTY", bars, params).orders
    assert every_difference(emulator, "BANK_NIFTY", params, bars) == []


# What was said stays said


@pytest.mark.parametrize(
    "instrument", ["BANK_NIFTY", pytest.param("GOLD_MINI", marks=pytest.mark.slow)]
)
def test_a_bar_is_judged_without_knowing_those_after_it(
    emulator: PineEmulator, shipped_run: ShippedRun, instrument: str
) -> None:
    whole = shipped_run(instrument)
    for count in (701, 1201):
        bars = sample_bars(instrument).first(count)
        begun = emulator.run(script_of(SCRIPTS[instrument]), bars, chart(instrument))
        assert list(begun.said) == [said for said in whole.said if said.bar < count]
        assert list(begun.fills) == [fill for fill in whole.fills if fill.bar < count]
        for name, shown in begun.plots.items():
            np.testing.assert_array_equal(shown, whole.plots[name][:count], err_msg=name)


def test_an_unfinished_bar_orders_nothing_though_it_is_asked_on_every_tick(
    emulator: PineEmulator, tmp_path: Path
) -> None:
    """Somebody sets it in the Properties: what the script says stays what it says at the close."""
    bars = sample_bars("BANK_NIFTY")
    begins = Expected.of("BANK_NIFTY", bars.first(400), EASY).orders[3][0] - 2
    text = script_of(SCRIPTS["BANK_NIFTY"]).read_text(encoding="utf-8")
    on_ticks = text.replace("calc_on_every_tick=false", "calc_on_every_tick=true")
    unguarded = on_ticks.replace("if barstate.isconfirmed\n", "if true\n")
    ordered = []
    for number, script in enumerate((text, on_ticks, unguarded)):
        path = tmp_path / f"{number}.pine"
        path.write_text(script, encoding="utf-8")
        said = emulator.run(
            path,
            bars.first(begins),
            chart("BANK_NIFTY"),
            inputs_of(EASY),
            live_ticks(bars, range(begins, begins + 12)),
        )
        ordered.append([fill.alert_message for fill in said.fills])
    assert len({text, on_ticks, unguarded}) == 3
    assert ordered[0] == ordered[1] != []
    assert ordered[2] != ordered[0]


def live_ticks(bars: Bars, places: range) -> list[Tick]:
    """Each bar as it came about: its open, high, low and close, and then its end."""
    ticks = []
    for place in places:
        opens_s = int(bars.epoch_s[place])
        way = [float(prices[place]) for prices in (bars.open, bars.high, bars.low, bars.close)]
        for step, price in enumerate(way, start=1):
            seen = way[:step]
            moment_ms = (opens_s + 60 * step) * 1000
            ticks.append(Tick(moment_ms, opens_s, way[0], max(seen), min(seen), price))
        ends_ms = (opens_s + 60 * minutes_of("BANK_NIFTY")) * 1000
        ticks.append(Tick(ends_ms, opens_s, way[0], max(way), min(way), way[-1], closed=True))
    return ticks


# The chart it is on


@pytest.mark.parametrize("instrument", INSTRUMENTS)
@pytest.mark.parametrize("other", [{"ticker": "NIFTY1!"}, {"minutes": 15}])
def test_a_script_on_another_chart_refuses_to_run(
    emulator: PineEmulator, instrument: str, other: dict[str, str | int]
) -> None:
    wrong = replace(chart(instrument), **other)  # type: ignore[arg-type]
    bars = sample_bars(instrument).first(50)
    with pytest.raises(Exception, match="This script is for"):
        emulator.run(script_of(SCRIPTS[instrument]), bars, wrong)


def test_the_tolerance_is_finer_than_what_an_alert_tells() -> None:
    assert TOLERANCE <= 1e-6
    assert set(CATALOG) == set(SCRIPTS)
