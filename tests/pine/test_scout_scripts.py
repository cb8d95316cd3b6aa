"""The end-of-day Scouts, run live tick by tick: when they report, how often, and what."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from itertools import pairwise

import numpy as np
import pytest

from backtest.bars import Bars
from backtest.pine_alerts import inputs_of
from backtest.pine_emulator import Emulation, Inputs, PineEmulator, Said, Tick, script_of
from backtest.strategy import compute
from core.ist import IST
from core.models import EODMonitorSignal, MarketDataSignal
from core.webhook_parser import CONDITIONS, INDICATORS, fingerprint
from tests.fixtures.pine_parity import (
    SCOUTS,
    Expected,
    chart,
    indicator_differences,
    minutes_of,
    read,
    sample_bars,
    shipped_params,
)

INSTRUMENTS = sorted(SCOUTS)
HISTORY_BARS = 260
LIMIT_ALERTS, LIMIT_SPAN = 15, timedelta(minutes=3)


@dataclass(frozen=True, slots=True)
class Evening:
    """The last bars of a day, live: the day's last bar opens at `last_bar` and ends at `close`."""

    instrument: str
    day: date
    last_bar: time
    close: time

    def at(self, clock: time) -> datetime:
        return datetime.combine(self.day, clock, tzinfo=IST)

    @property
    def end(self) -> datetime:
        return self.at(self.close)


NSE_SUMMER = Evening("BANK_NIFTY", date(2026, 7, 30), time(14, 15), time(15, 30))
NSE_NOW = Evening("BANK_NIFTY", date(2026, 8, 4), time(15, 30), time(15, 40))
NSE_SOON = Evening("BANK_NIFTY", date(2026, 12, 7), time(15, 30), time(15, 45))
MCX_SUMMER = Evening("GOLD_MINI", date(2026, 10, 30), time(23), time(23, 30))
MCX_WINTER = Evening("GOLD_MINI", date(2026, 11, 2), time(23), time(23, 55))
MCX_LAST_WINTER_DAY = Evening("GOLD_MINI", date(2027, 3, 12), time(23), time(23, 55))
MCX_SPRING = Evening("GOLD_MINI", date(2027, 3, 15), time(23), time(23, 30))
EVENINGS = [NSE_NOW, NSE_SOON, MCX_SUMMER, MCX_WINTER]
MORE_EVENINGS = [NSE_SUMMER, MCX_LAST_WINTER_DAY, MCX_SPRING]


def history(instrument: str) -> Bars:
    bars = sample_bars(instrument)
    some = slice(2000, 2000 + HISTORY_BARS)
    return Bars(
        bars.epoch_s[some], bars.open[some], bars.high[some], bars.low[some], bars.close[some]
    )


def with_unfinished(bars: Bars, tick: Tick) -> Bars:
    """The bars, and the one that is not over as if it had closed with `tick`."""
    return Bars(
        np.append(bars.epoch_s, tick.bar_epoch_s),
        np.append(bars.open, tick.open),
        np.append(bars.high, tick.high),
        np.append(bars.low, tick.low),
        np.append(bars.close, tick.close),
    )


def ticks_until_close(evening: Evening, begins: datetime, every_s: int = 5) -> list[Tick]:
    """A rising market from `begins`, which may lie in the bar before the last, to the close."""
    price = float(history(evening.instrument).close[-1])
    ticks = []
    minutes = timedelta(minutes=minutes_of(evening.instrument))
    last_open = evening.at(evening.last_bar)
    for opens, ends in ((last_open - minutes, last_open), (last_open, evening.end)):
        first = max(begins, opens)
        epoch_s, low = int(opens.timestamp()), price
        while first < ends:
            price += 1.0
            seen_ms = int(first.timestamp() * 1000)
            ticks.append(Tick(seen_ms, epoch_s, low, price, low, price))
            first += timedelta(seconds=every_s)
        if begins < ends:
            seen_ms = int(ends.timestamp() * 1000)
            ticks.append(Tick(seen_ms, epoch_s, low, price, low, price, closed=True))
    return ticks


def live(
    emulator: PineEmulator,
    evening: Evening,
    ticks: Sequence[Tick],
    inputs: Inputs | None = None,
    charts_close: time | None = None,
) -> Emulation:
    """The Scout on history and then on `ticks`; TradingView's session ends as the exchange's."""
    seen = replace(chart(evening.instrument), closes=f"{charts_close or evening.close:%H:%M}")
    script = script_of(SCOUTS[evening.instrument])
    return emulator.run(script, history(evening.instrument), seen, inputs, ticks)


def reports(emulation: Emulation) -> list[Said]:
    return [said for said in emulation.said if '"EOD_MONITOR"' in said.message]


def moment(said: Said) -> datetime:
    return datetime.fromtimestamp((said.seen_ms or 0) / 1000, IST)


# On closed bars


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_a_scout_sees_closed_bars_as_the_strategy_does(
    emulator: PineEmulator, instrument: str
) -> None:
    bars = sample_bars(instrument).first(1000)
    emulation = emulator.run(script_of(SCOUTS[instrument]), bars, chart(instrument))
    expected = Expected.of(instrument, bars, shipped_params(instrument))
    assert emulation.warnings == []
    assert list(indicator_differences(emulation, expected.indicators, bars)) == []
    told = [(said.bar, fingerprint(read(said.message))) for said in emulation.said]
    assert told == [(bar, fingerprint(alert)) for bar, alert in expected.closed_bars]


def test_a_scouts_inputs_are_the_strategys(emulator: PineEmulator) -> None:
    bars = sample_bars("BANK_NIFTY").first(400)
    params = replace(
        shipped_params("BANK_NIFTY"), rsi_length=9, ema_length=50, atr_length=14, er_length=5
    )
    inputs = {
        name: value
        for name, value in inputs_of(params).items()
        if name in ("rsiLength", "emaLength", "atrLength", "erLength")
    }
    emulation = emulator.run(script_of(SCOUTS["BANK_NIFTY"]), bars, chart("BANK_NIFTY"), inputs)
    assert list(indicator_differences(emulation, compute(bars, params), bars)) == []


# In the last minutes


@pytest.mark.parametrize(
    "evening",
    [*EVENINGS, *(pytest.param(each, marks=pytest.mark.slow) for each in MORE_EVENINGS)],
    ids=lambda each: f"{each.instrument} {each.day}",
)
def test_a_scout_reports_every_15_seconds_of_the_last_15_minutes(
    emulator: PineEmulator, evening: Evening
) -> None:
    ticks = ticks_until_close(evening, evening.end - timedelta(minutes=17))
    emulation = live(emulator, evening, ticks)
    told = reports(emulation)
    begins = evening.end - timedelta(minutes=15)
    assert [moment(said) for said in told] == [
        begins + timedelta(seconds=15 * turn) for turn in range(60)
    ]
    assert [read(said.message).seq for said in told] == list(range(1, 61))
    assert emulation.warnings == []
    at_the_end = emulation.said[-1]
    assert isinstance(read(at_the_end.message), MarketDataSignal)
    assert moment(at_the_end) == evening.end


def test_no_more_than_15_alerts_come_in_three_minutes(emulator: PineEmulator) -> None:
    """Where a bar closes inside the watch, too."""
    ticks = ticks_until_close(NSE_NOW, NSE_NOW.end - timedelta(minutes=17), every_s=1)
    told = [moment(said) for said in live(emulator, NSE_NOW, ticks).said if said.seen_ms]
    assert len(told) == 62
    for first in told:
        assert sum(first <= other <= first + LIMIT_SPAN for other in told) <= LIMIT_ALERTS


@pytest.mark.parametrize(
    ("evening", "charts_close", "minutes"),
    [(NSE_NOW, time(15, 30), 25), (MCX_WINTER, time(23, 30), 40), (MCX_SUMMER, time(23, 55), 15)],
)
def test_where_the_rule_and_tradingview_differ_both_are_watched(
    emulator: PineEmulator, evening: Evening, charts_close: time, minutes: int
) -> None:
    ticks = ticks_until_close(evening, evening.end - timedelta(minutes=minutes + 1))
    said = reports(live(emulator, evening, ticks, None, charts_close))
    told = [moment(each) for each in said if moment(each) < evening.end]
    assert told[0] == evening.end - timedelta(minutes=minutes)
    assert told[-1] == evening.end - timedelta(seconds=15)
    assert {after - before for before, after in pairwise(told)} == {timedelta(seconds=15)}


@pytest.mark.parametrize(
    ("typed_day", "reported"), [("2026-08-04", True), ("2026-08-03", False), ("", False)]
)
def test_another_close_holds_on_the_typed_day_and_on_no_other(
    emulator: PineEmulator, typed_day: str, reported: bool
) -> None:
    ticks = ticks_until_close(NSE_NOW, NSE_NOW.at(time(15, 2)))
    before_the_rule = [tick for tick in ticks if tick.seen_ms < NSE_NOW.end.timestamp() * 1000]
    inputs = {"otherDay": typed_day, "otherClose": "15:10"}
    told = reports(live(emulator, NSE_NOW, before_the_rule, inputs))
    assert (moment(told[0]) == NSE_NOW.at(time(15, 2))) is reported
    assert (moment(told[-1]) < NSE_NOW.at(time(15, 10))) is reported


def test_a_scout_that_is_begun_anew_gives_the_same_moments_the_same_numbers(
    emulator: PineEmulator,
) -> None:
    ticks = ticks_until_close(NSE_SUMMER, NSE_SUMMER.end - timedelta(minutes=16))
    later = [
        tick for tick in ticks if tick.seen_ms >= NSE_SUMMER.at(time(15, 24)).timestamp() * 1000
    ]
    whole = {fingerprint(read(said.message)) for said in reports(live(emulator, NSE_SUMMER, ticks))}
    again = [fingerprint(read(said.message)) for said in reports(live(emulator, NSE_SUMMER, later))]
    assert len(whole) == 60
    assert len(again) == len(set(again)) == 24
    assert set(again) < whole


def test_a_quiet_feed_skips_reports_and_keeps_the_numbers(emulator: PineEmulator) -> None:
    ticks = ticks_until_close(NSE_SUMMER, NSE_SUMMER.end - timedelta(minutes=15), every_s=40)
    told = reports(live(emulator, NSE_SUMMER, ticks))
    begins = NSE_SUMMER.end - timedelta(minutes=15)
    for said in told:
        assert read(said.message).seq == (moment(said) - begins) // timedelta(seconds=15) + 1


def test_a_report_is_of_the_bar_as_it_stands(emulator: PineEmulator) -> None:
    """Its conditions are those of the backtest, had the bar closed at that moment."""
    ticks = ticks_until_close(NSE_SUMMER, NSE_SUMMER.end - timedelta(minutes=16), every_s=15)
    bars, params = history("BANK_NIFTY"), shipped_params("BANK_NIFTY")
    told = reports(live(emulator, NSE_SUMMER, ticks))
    for said in told[::12]:
        [tick] = [tick for tick in ticks if tick.seen_ms == said.seen_ms and not tick.closed]
        known = compute(with_unfinished(bars, tick), params)
        alert = read(said.message)
        assert isinstance(alert, EODMonitorSignal)
        assert float(alert.price) == tick.close
        assert alert.sent_at == moment(said)
        assert alert.bar_time == datetime.fromtimestamp(tick.bar_epoch_s, IST)
        for name in CONDITIONS[:-1]:
            assert alert.conditions[name] == getattr(known, name)[-1], name
        assert alert.conditions["long_exit"] == (tick.close < known.supertrend[-1])
        for name in INDICATORS:
            assert alert.indicators[name] == pytest.approx(getattr(known, name)[-1], abs=1e-4)


@pytest.mark.parametrize("evening", [NSE_NOW, MCX_WINTER], ids=INSTRUMENTS)
def test_every_report_is_strict_json_and_itself_alone(
    emulator: PineEmulator, evening: Evening
) -> None:
    ticks = ticks_until_close(evening, evening.end - timedelta(minutes=16))
    said = [alert for alert in live(emulator, evening, ticks).said if alert.seen_ms]

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    for alert in said:
        body = json.loads(alert.message, parse_constant=refuse)
        assert body["bar_time"] == alert.time_ms
        assert body["position_status"] == {"in_position": None, "pyramid_count": None}
        assert len(alert.message) < 4096
    prints = [fingerprint(read(alert.message)) for alert in said]
    assert len(set(prints)) == len(prints) > 60
