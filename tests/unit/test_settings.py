"""The strict reader: nothing is converted on trust, and a refusal says path, value and range."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigInvalid
from core.settings import choice, flag, number, optional_whole, ratio, read_settings, whole


class Tempo(StrEnum):
    SLOW = "slow"
    FAST = "fast"


@dataclass(frozen=True, slots=True)
class Inner:
    """One of each kind."""

    share: Decimal = number("0.5", above="0", high="1", unit="of it")
    offset: Decimal = number("0", low="-5", high="5")
    level: float = ratio(0.25, low=-1.0, high=1.0)
    bars: int = whole(3, low=1, high=9, unit="bars")
    most: int | None = optional_whole(low=2, high=8, unit="lots")
    active: bool = flag(True)
    tempo: Tempo = choice(Tempo.SLOW)


@dataclass(frozen=True, slots=True)
class Outer:
    """A block, and blocks by name."""

    switch: bool = flag(False)
    inner: Inner = field(default_factory=Inner)
    named: Mapping[str, Inner] = field(default_factory=dict)


NAMES: Mapping[str, Any] = {"named": {"one": {}, "two": {"bars": 7}}}


def read(**inner: Any) -> Inner:
    return read_settings(Inner, inner, {})


def refusal(settings: object, defaults: Mapping[str, Any] = NAMES) -> ConfigInvalid:
    with pytest.raises(ConfigInvalid) as error:
        read_settings(Outer, settings, defaults)
    return error.value


def test_what_is_not_given_has_its_default() -> None:
    assert read_settings(Outer, {}, NAMES) == Outer(
        switch=False, inner=Inner(), named={"one": Inner(), "two": Inner(bars=7)}
    )
    assert Inner() == Inner(Decimal("0.5"), Decimal(0), 0.25, 3, None, True, Tempo.SLOW)


def test_what_is_given_wins_over_the_defaults_of_its_name() -> None:
    found = read_settings(Outer, {"named": {"two": {"share": 1}}}, NAMES)
    assert found.named["two"] == Inner(share=Decimal(1), bars=7)
    assert found.named["one"] == Inner()
    found = read_settings(Outer, {"named": {"two": {"bars": 2}}}, NAMES)
    assert found.named["two"].bars == 2


def test_a_block_may_have_defaults_of_its_own() -> None:
    found = read_settings(Outer, {"inner": {"bars": 4}}, {"inner": {"bars": 5, "level": 1}})
    assert found.inner == Inner(bars=4, level=1.0)
    assert found.named == {}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"share": 0.1}, Inner(share=Decimal("0.1"))),  # as written, not as a binary fraction
        ({"share": "0.1"}, Inner(share=Decimal("0.1"))),
        ({"share": 1}, Inner(share=Decimal(1))),
        ({"share": Decimal("0.30")}, Inner(share=Decimal("0.30"))),
        ({"share": "1e-3"}, Inner(share=Decimal("0.001"))),
        ({"offset": -5}, Inner(offset=Decimal(-5))),
        ({"level": 1}, Inner(level=1.0)),
        ({"level": Decimal("-0.5")}, Inner(level=-0.5)),
        ({"bars": 9}, Inner(bars=9)),
        ({"most": 2}, Inner(most=2)),
        ({"most": None}, Inner(most=None)),
        ({"active": False}, Inner(active=False)),
        ({"tempo": "fast"}, Inner(tempo=Tempo.FAST)),
    ],
)
def test_a_value_is_read_as_its_kind(settings: dict[str, Any], expected: Inner) -> None:
    found = read(**settings)
    assert found == expected
    (name,) = settings
    assert type(getattr(found, name)) is type(getattr(expected, name))


SHARE = "allowed: a number above 0 to 1 of it"
OFFSET = "allowed: a number from -5 to 5"
LEVEL = "allowed: a number from -1 to 1"
BARS = "allowed: a whole number 1 to 9 bars"
MOST = "allowed: null, or a whole number 2 to 8 lots"
ACTIVE = "allowed: true or false"
TEMPO = "allowed: one of slow, fast"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        # a number is neither a switch, nor words, nor endless, nor out of range
        *(("share", value, SHARE) for value in (True, False, None, "", "half", [1], {"of": 1})),
        *(("share", value, SHARE) for value in ("NaN", "sNaN", "Infinity", float("nan"))),
        *(("share", value, SHARE) for value in (float("inf"), float("-inf"), Decimal("NaN"))),
        *(("share", value, SHARE) for value in (0, "0", -0.1, 1.0000001, "1.1", 2)),
        *(("offset", value, OFFSET) for value in (-5.01, 5.01, "-Infinity", True)),
        # a ratio is a JSON number
        *(("level", value, LEVEL) for value in (True, None, "0.5", [0.5])),
        *(("level", value, LEVEL) for value in (float("nan"), float("inf"), Decimal("NaN"))),
        *(("level", value, LEVEL) for value in (-1.01, 1.01)),
        # a whole number has no point in it, be it .0
        *(("bars", value, BARS) for value in (True, None, "3", 3.0, 3.5, Decimal(3), [3])),
        *(("bars", value, BARS) for value in (0, 10, -1)),
        *(("most", value, MOST) for value in (True, False, "3", 3.0, 1, 9)),
        # a switch is neither text nor a number
        *(("active", value, ACTIVE) for value in ("true", "false", 1, 0, None, [True])),
        *(("tempo", value, TEMPO) for value in ("FAST", "quick", "", None, True, 1, ["fast"])),
    ],
)
def test_a_value_of_another_kind_or_range_is_refused(
    name: str, value: object, allowed: str
) -> None:
    for settings, path in (
        ({"inner": {name: value}}, f"inner.{name}"),
        ({"named": {"two": {name: value}}}, f"named.two.{name}"),
    ):
        error = refusal(settings)
        assert (error.path, error.allowed) == (path, allowed)
        assert error.value is value
        assert str(error) == f"{path}: {value!r} is not allowed; {allowed}"


KNOWN = "known here: share, offset, level, bars, most, active, tempo"


@pytest.mark.parametrize(
    ("settings", "path", "value", "allowed"),
    [
        ({"swich": True}, "swich", True, "known here: switch, inner, named"),
        ({"inner": {"shares": 1}}, "inner.shares", 1, KNOWN),
        ({"named": {"one": {"shares": 1}}}, "named.one.shares", 1, KNOWN),
        ({"named": {"three": {}}}, "named.three", {}, "known: one, two"),
        ({"named": []}, "named", [], "an object by name"),
        ({"named": None}, "named", None, "an object by name"),
        ({"named": {"one": None}}, "named.one", None, "an object with named settings"),
        ({"inner": None}, "inner", None, "an object with named settings"),
        ({"inner": [1]}, "inner", [1], "an object with named settings"),
        ([], "(top level)", [], "an object with named settings"),
        (None, "(top level)", None, "an object with named settings"),
        ("{}", "(top level)", "{}", "an object with named settings"),
    ],
)
def test_an_unknown_key_or_shape_is_refused_by_its_path(
    settings: object, path: str, value: object, allowed: str
) -> None:
    error = refusal(settings)
    assert (error.path, error.value, error.allowed) == (path, value, allowed)


def test_shipped_defaults_are_read_as_strictly() -> None:
    error = refusal({}, {"named": {"one": {"bars": 0}}})
    assert (error.path, error.value) == ("named.one.bars", 0)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals(),
        lambda below: (
            st.lists(below, max_size=3)
            | st.dictionaries(
                st.sampled_from(["switch", "inner", "named", "one", "share", "bars", "tempo"]),
                below,
                max_size=4,
            )
        ),
        max_leaves=8,
    )
)
def test_whatever_is_given_is_read_whole_or_refused(settings: object) -> None:
    try:
        found = read_settings(Outer, settings, NAMES)
    except ConfigInvalid:
        return
    for block in (found.inner, *found.named.values()):
        assert 0 < block.share <= 1
        assert type(block.bars) is int
        assert 1 <= block.bars <= 9
        assert type(block.active) is bool
        assert block.tempo in Tempo
