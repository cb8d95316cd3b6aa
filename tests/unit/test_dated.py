"""Dated rows: the row in force, and a refusal where there is none."""

import json
import re
from collections.abc import Iterator
from datetime import date, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data import shipped
from core.data.fields import Fields, as_clock, as_day, as_decimal, as_integer
from core.dated import Confidence, Dated, Origin, Row
from core.errors import ConfigInvalid, OutsideCoverage

FILES = ("instruments", "calendar_nse", "calendar_mcx", "charges")
ORIGIN = Origin("test", Confidence.HIGH)


def row(value: str, start: date, end: date | None = None) -> Row[str]:
    return Row(value, start, end, ORIGIN)


def read(*rows: dict[str, Any]) -> Dated[int]:
    return Dated.read(
        Fields({"lots": list(rows)}, "x"), "lots", lambda each: each.integer("value", 1)
    )


LAID_OVER = Dated(
    "margin",
    [
        row("usual", date(2025, 1, 1)),
        row("surcharge", date(2026, 2, 5), date(2026, 2, 18)),
        row("new", date(2026, 7, 1), date(2026, 12, 31)),
    ],
)


@pytest.mark.parametrize(
    ("day", "value"),
    [
        (date(2025, 1, 1), "usual"),
        (date(2026, 2, 4), "usual"),
        (date(2026, 2, 5), "surcharge"),
        (date(2026, 2, 18), "surcharge"),
        (date(2026, 2, 19), "usual"),
        (date(2026, 7, 1), "new"),
        (date(2027, 1, 1), "usual"),
    ],
)
def test_the_row_that_started_last_and_has_not_ended_is_in_force(day: date, value: str) -> None:
    assert LAID_OVER.on(day) == value


def test_a_day_before_the_first_row_is_outside_coverage() -> None:
    with pytest.raises(OutsideCoverage, match="margin is not known for 2024-12-31") as refusal:
        LAID_OVER.on(date(2024, 12, 31))
    assert refusal.value.code == "OUTSIDE_COVERAGE"
    assert refusal.value.covered == "from 2025-01-01"


def test_a_day_after_every_row_has_ended_is_outside_coverage() -> None:
    ended = Dated("x", [row("old", date(2025, 1, 1), date(2025, 6, 30))])
    with pytest.raises(OutsideCoverage):
        ended.on(date(2025, 7, 1))
    with pytest.raises(OutsideCoverage):
        Dated[str]("x", []).on(date(2025, 7, 1))


def test_of_two_rows_with_one_start_the_later_given_wins() -> None:
    start = date(2026, 1, 1)
    assert Dated("x", [row("shipped", start), row("operator", start)]).on(start) == "operator"


@given(st.lists(st.tuples(st.dates(), st.integers()), min_size=1), st.dates())
def test_open_rows_answer_with_the_latest_start_not_after_the_day(
    rows: list[tuple[date, int]], day: date
) -> None:
    dated = Dated("x", [Row(value, start, None, ORIGIN) for start, value in rows])
    begun = {start: value for start, value in rows if start <= day}
    if begun:
        assert dated.on(day) == begun[max(begun)]
    else:
        with pytest.raises(OutsideCoverage):
            dated.on(day)


def test_a_row_without_source_is_the_operators() -> None:
    plain = read({"from": "2026-01-01", "value": 30}).row(date(2026, 1, 1))
    assert plain.origin == Origin("operator", Confidence.HIGH)


@pytest.mark.parametrize(
    ("rows", "path"),
    [
        ([], "x.lots"),
        ([{"value": 30}], "x.lots[0].from"),
        ([{"from": "2026-02-30", "value": 30}], "x.lots[0].from"),
        ([{"from": "20260201", "value": 30}], "x.lots[0].from"),
        ([{"from": "2026-01-01", "value": True}], "x.lots[0].value"),
        ([{"from": "2026-01-01", "value": 0}], "x.lots[0].value"),
        ([{"from": "2026-01-01", "value": "30"}], "x.lots[0].value"),
        ([{"from": "2026-01-01", "value": 30, "to": "2025-12-31"}], "x.lots[0].to"),
        ([{"from": "2026-01-01", "value": 30, "until": "2026-12-31"}], "x.lots[0].until"),
        ([{"from": "2026-01-01", "value": 30, "confidence": "sure"}], "x.lots[0].confidence"),
        ([{"from": "2026-01-01", "value": 30, "source": ""}], "x.lots[0].source"),
        (["2026-01-01"], "x.lots[0]"),
    ],
)
def test_a_malformed_row_is_named_by_its_path(rows: list[Any], path: str) -> None:
    with pytest.raises(ConfigInvalid) as refusal:
        read(*rows)
    assert refusal.value.path == path
    assert refusal.value.allowed


def test_what_is_not_a_list_is_refused_where_a_list_is_expected() -> None:
    with pytest.raises(ConfigInvalid, match="a list is expected"):
        Fields({"lots": {"from": "2026-01-01"}}, "x").rows("lots")


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "abc", True, None, [1]])
def test_a_number_is_finite_and_not_negative(value: object) -> None:
    with pytest.raises(ConfigInvalid):
        as_decimal("x", value)


def test_numbers_keep_the_digits_they_are_written_with() -> None:
    assert as_decimal("x", 0.1) == Decimal("0.1")
    assert as_decimal("x", "0") == 0
    with pytest.raises(ConfigInvalid, match="above 0"):
        as_decimal("x", "0", above="0")


@pytest.mark.parametrize("value", ["9:15", "09:15:30", "24:00", "0915", 915, None])
def test_a_clock_is_written_with_four_digits(value: object) -> None:
    with pytest.raises(ConfigInvalid):
        as_clock("x", value)


def test_well_written_values_are_read() -> None:
    assert as_clock("x", "09:15") == time(9, 15)
    assert as_day("x", "2026-11-23") == date(2026, 11, 23)
    assert as_integer("x", 7, 7) == 7


def test_an_upper_layer_wins_value_by_value_and_adds_its_rows() -> None:
    lower = Fields({"a": 1, "b": 2, "rows": [{"n": 1}], "block": {"c": 3, "d": 4}}, "lower")
    upper = Fields({"b": 5, "rows": [{"n": 2}], "block": {"d": 6}}, "upper", lower)
    assert (upper.integer("a", 0), upper.integer("b", 0)) == (1, 5)
    assert [each.integer("n", 0) for each in upper.rows("rows")] == [1, 2]
    assert upper.plain("block") == {"c": 3, "d": 6}
    assert upper.names() == ["a", "b", "rows", "block"]
    upper.finish()


def test_a_wrong_value_is_blamed_on_the_layer_that_holds_it() -> None:
    upper = Fields({"b": -1}, "upper", Fields({"a": -1, "z": 1}, "lower"))
    for key, path in (("a", "lower.a"), ("b", "upper.b")):
        with pytest.raises(ConfigInvalid) as refusal:
            upper.integer(key, 0)
        assert refusal.value.path == path
    with pytest.raises(ConfigInvalid) as unread:
        upper.finish()
    assert unread.value.path == "lower.z"


def objects(value: object, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        yield path, value
        for key, element in value.items():
            yield from objects(element, f"{path}.{key}")
    elif isinstance(value, list):
        for place, element in enumerate(value):
            yield from objects(element, f"{path}[{place}]")


@pytest.mark.parametrize("name", FILES)
def test_every_shipped_row_has_a_date_a_source_and_a_confidence(name: str) -> None:
    rows = [(path, each) for path, each in objects(shipped(name), name) if path.endswith("]")]
    assert rows
    for path, each in rows:
        assert {"source", "confidence"} <= each.keys(), path
        assert ("from" in each) != ("date" in each), path
        assert each["source"].strip(), path
        assert each["confidence"] in set(Confidence), path


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_afresh_so_that_no_caller_changes_anothers_data(name: str) -> None:
    first = shipped(name)
    before = json.dumps(first)
    first.clear()
    assert json.dumps(shipped(name)) == before


@pytest.mark.parametrize("name", FILES)
def test_shipped_dates_are_real_dates(name: str) -> None:
    text = json.dumps(shipped(name))
    dates = re.findall(r'"(?:from|to|date)": "([^"]*)"', text)
    assert dates
    for written in dates:
        assert as_day(name, written).isoformat() == written
