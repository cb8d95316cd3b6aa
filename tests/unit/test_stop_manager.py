"""Stops: where they start, how each mode moves them, and that none of them ever falls."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.models import StopMode
from core.stop_manager import TomBassoStopManager

TOM_BASSO, SUPERTREND, VAN_THARP = StopMode.TOM_BASSO, StopMode.SUPERTREND, StopMode.VAN_THARP
MODES = pytest.mark.parametrize("mode", list(StopMode))
NUMBERS = pytest.mark.parametrize("number", [Decimal, float])
Convert = Callable[[Any], Any]


@dataclass
class Layer:
    """The least that can be stopped out, in either number type."""

    entry_price: Any
    stop: Any
    highest_close: Any


def manager(
    mode: StopMode, number: Convert = Decimal, initial: str = "1.5", trailing: str = "2.5"
) -> TomBassoStopManager[Any]:
    return TomBassoStopManager(mode, number(initial), number(trailing))


def layer(entry: Any, stop: Any, number: Convert = Decimal) -> Layer:
    return Layer(number(entry), number(stop), number(entry))


@NUMBERS
@pytest.mark.parametrize(
    ("mode", "initial", "signal_stop", "atr", "expected"),
    [
        # price 50,000                                       price - mult x ATR     the higher
        (TOM_BASSO, "1.5", "49800", "250", "49800"),  # 50,000 - 375 = 49,625: the alert's
        (TOM_BASSO, "1.5", "49500", "250", "49625"),  # 49,625 is the tighter one
        (TOM_BASSO, "1.5", "49625", "250", "49625"),  # both the same
        (TOM_BASSO, "1.0", "49500", "250", "49750"),  # Gold Mini's multiple: 50,000 - 250
        (TOM_BASSO, "1.5", "49500", "1", "49998.5"),  # 50,000 - 1.5
        (SUPERTREND, "1.5", "49500", "250", "49500"),  # outside TOM_BASSO the alert's own
        (VAN_THARP, "1.5", "49500", "250", "49500"),
        (SUPERTREND, "1.5", "49800", "250", "49800"),
        (VAN_THARP, "1.5", "49800", "250", "49800"),
    ],
)
def test_a_stop_starts_no_wider_than_what_was_sized_on(
    mode: StopMode, initial: str, signal_stop: str, atr: str, expected: str, number: Convert
) -> None:
    stops = manager(mode, number, initial=initial)
    found = stops.initial(number("50000"), number(signal_stop), number(atr))
    assert found == number(expected)


@NUMBERS
def test_tom_basso_follows_the_highest_close_at_its_multiple_of_the_latest_atr(
    number: Convert,
) -> None:
    held = layer("50000", "49800", number)
    stops = manager(TOM_BASSO, number)
    for close, atr, highest, stop, is_hit in [
        # close       ATR    highest    highest - 2.5 x ATR; the stop is the best so far
        ("50100", "250", "50100", "49800", False),  # 50,100 - 625 = 49,475 < 49,800
        ("50600", "250", "50600", "49975", False),  # 50,600 - 625 = 49,975
        ("50400", "100", "50600", "50350", False),  # 50,600 - 250 = 50,350: ATR shrank
        ("50350", "400", "50600", "50350", False),  # 50,600 - 1,000: stays; close = stop: held
        ("50349.95", "400", "50600", "50350", True),  # a tick below
        ("50700", "400", "50700", "50350", False),  # 50,700 - 1,000: stays
    ]:
        hit = stops.advance([held], number(close), number(atr), number("51000"))
        assert (held.highest_close, held.stop) == (number(highest), number(stop))
        assert hit == ([held] if is_hit else [])


def test_each_layer_follows_its_own_highest_close() -> None:
    first = Layer(Decimal(50_000), Decimal(49_800), Decimal(51_000))
    second = Layer(Decimal(50_500), Decimal(50_300), Decimal(50_500))
    hit = manager(TOM_BASSO).advance([first, second], Decimal(50_600), Decimal(100), Decimal(0))
    assert (first.highest_close, first.stop) == (51_000, 50_750)  # 51,000 - 250
    assert (second.highest_close, second.stop) == (50_600, 50_350)  # 50,600 - 250
    assert hit == [first]


def test_gold_mini_trails_at_two_atr() -> None:
    held = layer("78000", "77000")
    stops = manager(TOM_BASSO, initial="1.0", trailing="2.0")
    stops.advance([held], Decimal(79_000), Decimal(450), Decimal(0))
    assert held.stop == 78_100  # 79,000 - 2 x 450


@NUMBERS
def test_on_supertrend_every_layer_leaves_on_a_close_below_it(number: Convert) -> None:
    first, second = layer("50000", "49800", number), layer("50500", "50300", number)
    stops = manager(SUPERTREND, number)
    for close, supertrend, first_stop, second_stop, hit in [
        # close      SuperTrend  stop = the best SuperTrend so far, never below its start
        ("50600", "49900", "49900", "50300", []),
        ("50700", "50400", "50400", "50400", []),
        ("50400", "50350", "50400", "50400", []),  # it does not fall; close = stop: held
        ("50300", "50900", "50900", "50900", [first, second]),  # flipped above the close
    ]:
        found = stops.advance([first, second], number(close), number("250"), number(supertrend))
        assert (first.stop, second.stop) == (number(first_stop), number(second_stop))
        assert found == hit
    assert (first.highest_close, second.highest_close) == (number("50700"), number("50700"))


@NUMBERS
def test_van_tharp_stops_each_layer_at_the_entry_above_it_and_the_top_on_supertrend(
    number: Convert,
) -> None:
    one, two, three = (
        layer("50000", "49800", number),
        layer("50300", "50100", number),
        layer("50700", "50500", number),
    )
    stops = manager(VAN_THARP, number)
    assert stops.advance([one, two, three], number("50900"), number("9"), number("50600")) == []
    assert [held.stop for held in (one, two, three)] == [
        number("50300"),  # Long_2's entry
        number("50700"),  # Long_3's entry
        number("50600"),  # SuperTrend, above its start of 50,500
    ]
    assert stops.advance([one, two, three], number("50700"), number("9"), number("50650")) == []
    hit = stops.advance([one, two, three], number("50640"), number("9"), number("50650"))
    assert hit == [two, three]
    assert [held.highest_close for held in (one, two, three)] == [number("50900")] * 3
    # Long_1 is the top one now and goes over to SuperTrend.
    assert stops.advance([one], number("50400"), number("9"), number("50350")) == []
    assert one.stop == number("50350")


def test_van_tharp_with_one_layer_is_supertrend() -> None:
    only = layer("50000", "49800")
    assert manager(VAN_THARP).advance([only], Decimal(50_100), Decimal(9), Decimal(49_950)) == []
    assert only.stop == 49_950


@MODES
def test_without_layers_nothing_is_hit(mode: StopMode) -> None:
    assert manager(mode).advance([], Decimal(1), Decimal(1), Decimal(2)) == []


@MODES
@NUMBERS
@pytest.mark.parametrize(("below", "is_hit"), [("0", False), ("0.05", True), ("-0.05", False)])
def test_a_stop_is_hit_only_by_a_close_below_it(
    mode: StopMode, number: Convert, below: str, is_hit: bool
) -> None:
    held = Layer(number("50000"), number("49800"), number("50000"))
    close = number("49800") - number(below)
    # ATR and SuperTrend are such that neither mode moves the stop.
    hit = manager(mode, number).advance([held], close, number("1000"), number("49000"))
    assert held.stop == number("49800")
    assert hit == ([held] if is_hit else [])


_paisa = st.integers(4_000_000, 6_000_000)
_bars = st.lists(st.tuples(_paisa, st.integers(100, 100_000), _paisa), min_size=1, max_size=12)


@MODES
@NUMBERS
@given(entries=st.lists(st.tuples(_paisa, _paisa), min_size=1, max_size=6), bars=_bars)
def test_a_stop_never_falls_and_is_the_best_its_mode_has_offered(
    mode: StopMode,
    number: Convert,
    entries: list[tuple[int, int]],
    bars: list[tuple[int, int, int]],
) -> None:
    layers = [Layer(number(entry), number(stop), number(entry)) for entry, stop in entries]
    stops = manager(mode, number)
    offered = [[held.stop] for held in layers]
    highest = [held.entry_price for held in layers]
    for close, atr, supertrend in bars:
        before = [held.stop for held in layers]
        hit = stops.advance(layers, number(close), number(atr), number(supertrend))
        for place, held in enumerate(layers):
            highest[place] = max(highest[place], number(close))
            is_top = place == len(layers) - 1
            if mode is TOM_BASSO:
                offered[place].append(highest[place] - number("2.5") * number(atr))
            elif mode is SUPERTREND or is_top:
                offered[place].append(number(supertrend))
            else:
                offered[place].append(layers[place + 1].entry_price)
            assert held.stop >= before[place]
            assert held.stop == max(offered[place])
            assert held.highest_close == highest[place]
        assert hit == [held for held in layers if number(close) < held.stop]
