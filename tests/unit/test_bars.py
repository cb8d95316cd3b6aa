"""A file of bars is read as it is or not at all: every fault is counted, shown, and dealt with."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.bars import Bar, BarFault, Bars, OnBadBars, read_bars
from core.errors import InputInvalid
from core.ist import IST

HEADER = "time,open,high,low,close"
GOOD = (
    "2025-01-06T09:15:00+05:30,100,105,99,104",
    "2025-01-06T09:30:00+05:30,104,106,101,102",
    "2025-01-06T09:45:00+05:30,102,103,98,99",
)


def nse_hours(_: date) -> tuple[time, time]:
    return time(9, 15), time(15, 30)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bars.csv"


def write(file: Path, rows: Sequence[str], header: str = HEADER) -> Path:
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


def test_a_clean_file_gives_its_bars_and_says_nothing(file: Path) -> None:
    bars, quality = read_bars(write(file, GOOD))
    assert list(bars) == [
        Bar(datetime(2025, 1, 6, 9, 15, tzinfo=IST), 100, 105, 99, 104),
        Bar(datetime(2025, 1, 6, 9, 30, tzinfo=IST), 104, 106, 101, 102),
        Bar(datetime(2025, 1, 6, 9, 45, tzinfo=IST), 102, 103, 98, 99),
    ]
    assert quality.faults == {}
    assert quality.notes() == ()
    assert (quality.rows, quality.kept_rows, quality.bad_rows) == (3, 3, 0)


@pytest.mark.parametrize(
    "text",
    [
        "2025-01-06T09:15:00+05:30",
        "2025-01-06 09:15:00+05:30",
        "2025-01-06 09:15:00",
        "2025-01-06 09:15",
        "2025-01-06T09:15",
        "20250106T091500",
        "1736135100",
        "1736135100000",
        " 2025-01-06 09:15 ",
    ],
)
def test_times_are_read_in_every_common_form_and_without_an_offset_are_ist(
    file: Path, text: str
) -> None:
    bars, _ = read_bars(write(file, [f"{text},100,105,99,104"]))
    assert bars[0].time == datetime(2025, 1, 6, 9, 15, tzinfo=IST)


@pytest.mark.parametrize("name", ["time", "Date", "DATETIME", "Timestamp", " time "])
def test_columns_are_found_by_meaning_in_any_case_and_order(file: Path, name: str) -> None:
    write(file, ["9,104,99,105,100,2025-01-06 09:15"], f"Volume,Close,LOW,High,open,{name}")
    bars, _ = read_bars(file)
    assert bars[0] == Bar(datetime(2025, 1, 6, 9, 15, tzinfo=IST), 100, 105, 99, 104)


def test_a_byte_order_mark_and_blank_lines_are_no_faults(file: Path) -> None:
    text = "\n".join([HEADER, GOOD[0], "", GOOD[1], "", ""])
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    bars, quality = read_bars(file)
    assert len(bars) == 2
    assert quality.rows == 2


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("time,open,high,low", "close"),
        ("open,high,low,close", "time column"),
        ("date,time,open,high,low,close", "date and time"),
        ("time,open,open,high,low,close", "open"),
        ("", "time column"),
    ],
)
def test_a_header_without_the_five_columns_is_refused_by_name(
    file: Path, header: str, said: str
) -> None:
    with pytest.raises(InputInvalid, match=said) as refused:
        read_bars(write(file, GOOD, header))
    assert refused.value.line == 1


def test_a_file_that_is_absent_empty_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match="No such file"):
        read_bars(tmp_path / "absent.csv")
    with pytest.raises(InputInvalid, match="no usable bar in 0 rows"):
        read_bars(write(tmp_path / "empty.csv", []))
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputInvalid, match="not a CSV text file"):
        read_bars(tmp_path / "binary.csv")


# What a bad row in the middle of good ones is called, and the close of what REPAIR leaves.
FAULTY = [
    ("2025-01-06T10:00:00+05:30,99,100,97,100.5", BarFault.HIGH_TOO_LOW, 100.5),
    ("2025-01-06T10:00:00+05:30,99,98,97,98", BarFault.HIGH_TOO_LOW, 98.0),
    ("2025-01-06T10:00:00+05:30,99,101,99.05,100", BarFault.LOW_TOO_HIGH, 100.0),
    ("2025-01-06T10:00:00+05:30,99,101,97,nan", BarFault.PRICE_UNUSABLE, None),
    ("2025-01-06T10:00:00+05:30,99,inf,97,98", BarFault.PRICE_UNUSABLE, None),
    ("2025-01-06T10:00:00+05:30,0,101,97,98", BarFault.PRICE_UNUSABLE, None),
    ("2025-01-06T10:00:00+05:30,99,101,-97,98", BarFault.PRICE_UNUSABLE, None),
    ("2025-01-06T10:00:00+05:30,99,,97,98", BarFault.PRICE_UNUSABLE, None),
    ("2025-01-06T10:00:00+05:30,99,101", BarFault.PRICE_UNUSABLE, None),
    ("06/01/2025 10:00,99,101,97,98", BarFault.TIME_UNREADABLE, None),
    ("2025-01-06T09:45:00+05:30,99,101,97,98", BarFault.DUPLICATE, 98.0),
    ("2025-01-06T09:20:00+05:30,99,101,97,98", BarFault.WRONG_ORDER, 98.0),
    ("2025-01-06T04:30:00+00:00,99,101,97,98", BarFault.WRONG_TIME_ZONE, 98.0),
    ("2025-01-06T04:30:00Z,99,101,97,98", BarFault.WRONG_TIME_ZONE, 98.0),
]


@pytest.mark.parametrize(("row", "fault", "_close"), FAULTY)
def test_a_bad_row_is_refused_with_its_kind_count_line_and_the_remedies(
    file: Path, row: str, fault: BarFault, _close: float | None
) -> None:
    with pytest.raises(InputInvalid) as refused:
        read_bars(write(file, [*GOOD, row]))
    said = str(refused.value)
    assert "1 of 4 rows are bad" in said
    assert f"1 {fault.value}" in said
    assert f"line 5: {fault.value}: {row}" in said
    assert "--on-bad-bars repair" in said
    assert "--on-bad-bars drop" in said


@pytest.mark.parametrize(("row", "fault", "_close"), FAULTY)
def test_drop_leaves_out_the_bad_row_alone(
    file: Path, row: str, fault: BarFault, _close: float | None
) -> None:
    bars, quality = read_bars(write(file, [*GOOD, row]), OnBadBars.DROP)
    assert bars.close.tolist() == [104, 102, 99]
    assert quality.faults == {fault: 1}
    assert quality.dropped_rows == 1


@pytest.mark.parametrize(("row", "fault", "close"), FAULTY)
def test_repair_keeps_the_bad_row_unless_it_is_beyond_repair(
    file: Path, row: str, fault: BarFault, close: float | None
) -> None:
    bars, quality = read_bars(write(file, [*GOOD, row]), OnBadBars.REPAIR)
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert quality.faults == {fault: 1}
    if close is None:
        assert quality.dropped_rows == 1
        assert bars.close.tolist() == [104, 102, 99]
    else:
        assert close in bars.close


def test_repair_widens_high_and_low_to_hold_open_and_close(file: Path) -> None:
    row = "2025-01-06T10:00:00+05:30,99,98.5,98.9,98.2"
    bars, quality = read_bars(write(file, [*GOOD, row]), OnBadBars.REPAIR)
    assert bars[3] == Bar(datetime(2025, 1, 6, 10, 0, tzinfo=IST), 99, 99, 98.2, 98.2)
    assert quality.faults == {BarFault.HIGH_TOO_LOW: 1, BarFault.LOW_TOO_HIGH: 1}
    assert quality.bad_rows == 1


def test_of_equal_times_repair_keeps_the_last_and_drop_the_first(file: Path) -> None:
    row = "2025-01-06T09:30:00+05:30,104,111,101,110"
    write(file, [*GOOD, row])
    assert read_bars(file, OnBadBars.REPAIR)[0].close.tolist() == [104, 110, 99]
    bars, quality = read_bars(file, OnBadBars.DROP)
    assert bars.close.tolist() == [104, 102, 99]
    assert quality.faults == {BarFault.DUPLICATE: 1}


def test_an_unusable_row_does_not_take_the_place_of_a_good_one_of_its_time(file: Path) -> None:
    row = "2025-01-06T09:45:00+05:30,102,103,98,nan"
    bars, _ = read_bars(write(file, [*GOOD, row]), OnBadBars.REPAIR)
    assert bars.close.tolist() == [104, 102, 99]


def test_repair_sorts_a_file_that_runs_from_new_to_old(file: Path) -> None:
    bars, quality = read_bars(write(file, GOOD[::-1]), OnBadBars.REPAIR)
    assert bars.close.tolist() == [104, 102, 99]
    assert quality.faults == {BarFault.WRONG_ORDER: 2}


def test_repair_converts_foreign_times_to_ist(file: Path) -> None:
    rows = ["2025-01-06T03:45:00Z,100,105,99,104", "2025-01-06T12:00:00+08:00,104,106,101,102"]
    bars, quality = read_bars(write(file, rows), OnBadBars.REPAIR)
    assert [bar.time.strftime("%H:%M") for bar in bars] == ["09:15", "09:30"]
    assert quality.faults == {BarFault.WRONG_TIME_ZONE: 2}


def test_at_most_ten_bad_rows_are_shown_and_all_are_counted(file: Path) -> None:
    rows = [f"2025-01-06T10:{minute:02}:00+05:30,99,98,97,99" for minute in range(25)]
    with pytest.raises(InputInvalid) as refused:
        read_bars(write(file, rows))
    assert "25 high below open or close" in str(refused.value)
    assert str(refused.value).count("\n  line ") == 10
    _, quality = read_bars(file, OnBadBars.REPAIR)
    assert [row.line for row in quality.examples] == list(range(2, 12))
    assert str(quality).count("\n  line ") == 10


def test_line_numbers_count_blank_lines(file: Path) -> None:
    with pytest.raises(InputInvalid, match="line 4: time not readable"):
        read_bars(write(file, [GOOD[0], "", "bad,1,2,1,2"]))


def test_a_file_without_one_usable_row_is_refused_however_it_is_asked(file: Path) -> None:
    with pytest.raises(InputInvalid, match="no usable bar in 1 rows"):
        read_bars(write(file, ["never,1,2,1,2"]), OnBadBars.DROP)


def session_rows(day: date, minutes: Sequence[int]) -> list[str]:
    opening = datetime.combine(day, time(9, 15), tzinfo=IST)
    times = [opening + timedelta(minutes=minute) for minute in minutes]
    return [f"{moment:%Y-%m-%d %H:%M},100,101,99,100" for moment in times]


MONDAY = date(2025, 1, 6)
FULL_DAY = range(0, 375, 15)


@pytest.mark.parametrize(
    ("left_out", "missing"),
    [
        ((), 0),
        ((15,), 1),
        ((0, 360), 2),
        (tuple(range(120, 240, 15)), 8),
    ],
)
def test_gaps_inside_sessions_are_counted_and_nothing_is_invented(
    file: Path, left_out: tuple[int, ...], missing: int
) -> None:
    rows = session_rows(MONDAY, FULL_DAY)
    rows += session_rows(MONDAY + timedelta(1), [m for m in FULL_DAY if m not in left_out])
    rows += session_rows(MONDAY + timedelta(3), FULL_DAY)
    for on_bad in (OnBadBars.REPAIR, OnBadBars.DROP):
        bars, quality = read_bars(write(file, rows), on_bad, hours=nse_hours)
        assert quality.missing_bars == missing
        assert len(bars) == 75 - len(left_out)
        assert quality.faults == {}


def test_gaps_are_refused_unless_asked_otherwise_and_the_first_ten_days_named(file: Path) -> None:
    days = [MONDAY + timedelta(day) for day in range(20) if day % 7 < 5]
    rows = [row for day in days for row in session_rows(day, FULL_DAY) if " 11:30" not in row]
    with pytest.raises(InputInvalid, match="15 bars are missing inside sessions") as refused:
        read_bars(write(file, rows), hours=nse_hours)
    told = str(refused.value)
    assert "--on-bad-bars repair or drop" in told
    assert told.count(": 1 missing") == 10


def test_times_of_another_zone_are_not_taken_for_special_sessions(file: Path) -> None:
    """New York's clock without an offset would otherwise trade, each day as a special one."""
    rows = [
        row
        for day in range(6, 12)
        for row in session_rows(date(2025, 1, day), range(-600, -225, 15))
    ]
    for on_bad in OnBadBars:
        with pytest.raises(InputInvalid, match="another time zone"):
            read_bars(write(file, rows), on_bad, hours=nse_hours)


def test_what_lies_before_the_first_bar_and_after_the_last_is_not_missing(file: Path) -> None:
    rows = session_rows(MONDAY, range(150, 375, 15)) + session_rows(
        date(2025, 1, 7), range(0, 90, 15)
    )
    _, quality = read_bars(write(file, rows), hours=nse_hours)
    assert quality.missing_bars == 0


def test_without_hours_only_gaps_between_a_days_bars_are_known(file: Path) -> None:
    rows = session_rows(MONDAY, FULL_DAY)
    rows += session_rows(MONDAY + timedelta(1), [15, 30, 60])
    rows += session_rows(MONDAY + timedelta(2), FULL_DAY)
    _, quality = read_bars(write(file, rows), OnBadBars.REPAIR)
    assert quality.missing_bars == 1


def test_days_of_a_single_bar_each_are_not_taken_for_one_bar(file: Path) -> None:
    rows = [row for day in range(6, 9) for row in session_rows(date(2025, 1, day), [0])]
    _, quality = read_bars(write(file, [*rows, *session_rows(date(2025, 1, 9), FULL_DAY)]))
    assert quality.missing_bars == 0


def test_bars_outside_the_session_are_reported_and_are_no_fault(file: Path) -> None:
    rows = session_rows(MONDAY, [-15, *FULL_DAY, 375])
    bars, quality = read_bars(write(file, rows), hours=nse_hours)
    assert quality.outside_session == 2
    assert len(bars) == 27
    assert "2 bars outside session hours" in quality.notes()[0]


def test_a_day_wholly_outside_its_hours_is_a_special_session_not_a_stray(file: Path) -> None:
    evening = session_rows(MONDAY + timedelta(1), range(525, 585, 15))
    rows = session_rows(MONDAY, FULL_DAY) + evening + session_rows(MONDAY + timedelta(2), FULL_DAY)
    _, quality = read_bars(write(file, rows), hours=nse_hours)
    assert (quality.outside_session, quality.missing_bars) == (0, 0)
    assert "1 days lie wholly outside" in quality.notes()[0]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40),
            *[st.sampled_from(["100", "101.5", "99", "0", "nan", "", "x"])] * 4,
            st.sampled_from(["", "+05:30", "Z", "oops"]),
        ),
        max_size=30,
    )
)
def test_whatever_the_rows_repair_and_drop_leave_whole_rising_bars_or_refuse(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str, str, str, str, str]]
) -> None:
    file = tmp_path_factory.mktemp("bars") / "any.csv"
    write(file, [f"2025-01-06 09:{row[0]:02}{row[5]},{','.join(row[1:5])}" for row in rows])
    for on_bad in (OnBadBars.REPAIR, OnBadBars.DROP):
        try:
            bars, quality = read_bars(file, on_bad)
        except InputInvalid:
            assert not any(_is_clean(row) for row in rows[:1])
            continue
        assert (np.diff(bars.epoch_s) > 0).all()
        assert (bars.low > 0).all()
        assert (bars.low <= np.minimum(bars.open, bars.close)).all()
        assert (bars.high >= np.maximum(bars.open, bars.close)).all()
        assert quality.kept_rows + quality.dropped_rows == len(rows)
        if quality.bad_rows:
            with pytest.raises(InputInvalid, match=f"{quality.bad_rows} of {len(rows)} rows"):
                read_bars(file)


def _is_clean(row: tuple[int, str, str, str, str, str]) -> bool:
    return set(row[1:5]) == {"100"} and row[5] in ("", "+05:30")


def test_a_real_file_is_judged_row_by_row(shared: Path) -> None:
    real = shared / "data" / "banknifty_15m_2018_2020.csv"
    with pytest.raises(InputInvalid, match="377 of 18325 rows are bad"):
        read_bars(real)
    bars, quality = read_bars(real, OnBadBars.REPAIR, nse_hours)
    assert quality.faults == {BarFault.HIGH_TOO_LOW: 165, BarFault.LOW_TOO_HIGH: 213}
    assert (len(bars), quality.missing_bars, quality.outside_session) == (18_325, 0, 0)
    dropped, quality = read_bars(real, OnBadBars.DROP, nse_hours)
    assert (len(dropped), quality.missing_bars) == (17_948, 377)


def test_the_first_bars_are_bars_of_their_own(file: Path) -> None:
    bars, _ = read_bars(write(file, GOOD))
    assert list(bars.first(2)) == list(bars)[:2]
    assert len(bars.first(9)) == 3


def test_columns_of_bars_must_be_of_one_length_and_times_must_rise() -> None:
    prices = np.array([1.0, 2.0])
    with pytest.raises(ValueError, match="one length"):
        Bars(np.array([1, 2, 3]), prices, prices, prices, prices)
    with pytest.raises(ValueError, match="rise"):
        Bars(np.array([2, 2]), prices, prices, prices, prices)
