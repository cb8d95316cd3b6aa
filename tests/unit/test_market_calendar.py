"""Sessions and trading days: hours by regime, holidays, half days, and what is not published."""

from datetime import date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import OutsideCoverage, Rejected
from core.ist import IST
from core.market_calendar import MarketCalendar, SessionKind

CALENDAR = MarketCalendar.shipped()
EXCHANGES = st.sampled_from(["NSE", "MCX"])
COVERED_DAYS = st.dates(date(2024, 1, 1), date(2026, 12, 31))

# New York keeps winter time, so MCX closes at 23:55, from the first to the last of these days.
LATE_CLOSE_WINDOWS = [
    (date(2023, 11, 6), date(2024, 3, 8)),
    (date(2024, 11, 4), date(2025, 3, 7)),
    (date(2025, 11, 3), date(2026, 3, 6)),
    (date(2026, 11, 2), date(2027, 3, 12)),
]


def at(day: date, clock: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), IST)


def windows(exchange: str, day: date) -> list[tuple[str, str]]:
    session = CALENDAR.session(exchange, day)
    assert session is not None
    return [(f"{opens:%H:%M}", f"{closes:%H:%M}") for opens, closes in session.windows]


@pytest.mark.parametrize(
    ("day", "closes"),
    [
        (date(2009, 5, 4), "15:30"),
        (date(2024, 1, 2), "15:30"),
        (date(2026, 7, 31), "15:30"),
        (date(2026, 8, 3), "15:40"),
        (date(2026, 12, 4), "15:40"),
        (date(2026, 12, 7), "15:45"),
        (date(2031, 1, 1), "15:45"),
    ],
)
def test_nse_close_follows_its_dated_regime(day: date, closes: str) -> None:
    assert CALENDAR.hours("NSE", day) == (time(9, 15), time.fromisoformat(closes))


@pytest.mark.parametrize(("first", "last"), LATE_CLOSE_WINDOWS)
def test_mcx_closes_late_exactly_while_new_york_keeps_winter_time(first: date, last: date) -> None:
    """Protects: the close moves on the Monday after the US change, twice a year."""
    late, early = (time(9), time(23, 55)), (time(9), time(23, 30))
    monday_after = last + timedelta(days=3)
    friday_before = first - timedelta(days=3)
    assert (first.weekday(), last.weekday(), monday_after.weekday()) == (0, 4, 0)
    assert CALENDAR.hours("MCX", friday_before) == early
    assert CALENDAR.hours("MCX", first) == late
    assert CALENDAR.hours("MCX", last) == late
    assert CALENDAR.hours("MCX", monday_after) == early


@pytest.mark.parametrize("year", range(2008, 2036))
def test_mcx_switches_on_the_monday_after_the_us_rule_in_every_year(year: int) -> None:
    """Since 2007: second Sunday of March, first Sunday of November."""
    march = date(year, 3, 8) + timedelta(days=(6 - date(year, 3, 8).weekday()) % 7)
    november = date(year, 11, 1) + timedelta(days=(6 - date(year, 11, 1).weekday()) % 7)
    closes = [
        CALENDAR.hours("MCX", sunday + timedelta(days=offset))[1]
        for sunday in (march, november)
        for offset in (-2, 1)
    ]
    assert closes == [time(23, 55), time(23, 30), time(23, 30), time(23, 55)]


@pytest.mark.parametrize(
    ("exchange", "day", "closes"),
    [
        ("NSE", date(2026, 7, 31), "15:30"),
        ("NSE", date(2026, 8, 3), "15:40"),
        ("NSE", date(2026, 12, 7), "15:45"),
        ("NSE", date(2026, 2, 1), "15:30"),
        ("NSE", date(2024, 3, 2), "12:30"),
        ("NSE", date(2025, 10, 21), "14:45"),
        ("MCX", date(2024, 3, 8), "23:55"),
        ("MCX", date(2024, 3, 11), "23:30"),
        ("MCX", date(2024, 11, 1), "19:00"),
        ("MCX", date(2024, 11, 4), "23:55"),
        ("MCX", date(2025, 3, 7), "23:55"),
        ("MCX", date(2025, 3, 10), "23:30"),
        ("MCX", date(2025, 10, 31), "23:30"),
        ("MCX", date(2025, 11, 3), "23:55"),
        ("MCX", date(2026, 3, 6), "23:55"),
        ("MCX", date(2026, 3, 9), "23:30"),
        ("MCX", date(2026, 10, 30), "23:30"),
        ("MCX", date(2026, 11, 2), "23:55"),
        ("MCX", date(2026, 1, 1), "17:00"),
        ("MCX", date(2026, 2, 1), "17:00"),
    ],
)
def test_the_close_is_that_days_own_close(exchange: str, day: date, closes: str) -> None:
    """Protects: end-of-day jobs once fired 15 s after the close, by a constant."""
    session = CALENDAR.session(exchange, day)
    assert session is not None
    assert session.close == at(day, closes)
    assert session.contains(session.close - timedelta(seconds=45))
    assert not session.contains(session.close)


@pytest.mark.parametrize(
    ("exchange", "day", "kind", "expected"),
    [
        ("NSE", date(2024, 1, 20), SessionKind.SPECIAL, [("09:15", "15:30")]),
        ("NSE", date(2024, 3, 2), SessionKind.SPECIAL, [("09:15", "10:00"), ("11:30", "12:30")]),
        ("NSE", date(2024, 5, 18), SessionKind.SPECIAL, [("09:15", "10:00"), ("11:30", "12:30")]),
        ("NSE", date(2024, 11, 1), SessionKind.SPECIAL, [("18:00", "19:00")]),
        ("NSE", date(2025, 2, 1), SessionKind.SPECIAL, [("09:15", "15:30")]),
        ("NSE", date(2025, 10, 21), SessionKind.SPECIAL, [("13:45", "14:45")]),
        ("NSE", date(2026, 2, 1), SessionKind.SPECIAL, [("09:15", "15:30")]),
        ("NSE", date(2026, 11, 23), SessionKind.REGULAR, [("09:15", "15:40")]),
        ("MCX", date(2024, 11, 1), SessionKind.SPECIAL, [("18:00", "19:00")]),
        ("MCX", date(2025, 2, 1), SessionKind.SPECIAL, [("09:00", "17:00")]),
        ("MCX", date(2025, 10, 21), SessionKind.SPECIAL, [("13:45", "14:45")]),
        ("MCX", date(2026, 2, 1), SessionKind.SPECIAL, [("09:00", "17:00")]),
        ("MCX", date(2024, 1, 1), SessionKind.MORNING_ONLY, [("09:00", "17:00")]),
        ("MCX", date(2025, 1, 1), SessionKind.MORNING_ONLY, [("09:00", "17:00")]),
        ("MCX", date(2026, 1, 1), SessionKind.MORNING_ONLY, [("09:00", "17:00")]),
        ("MCX", date(2024, 1, 22), SessionKind.EVENING_ONLY, [("17:00", "23:55")]),
        ("MCX", date(2025, 8, 27), SessionKind.EVENING_ONLY, [("17:00", "23:30")]),
        ("MCX", date(2026, 1, 15), SessionKind.EVENING_ONLY, [("17:00", "23:55")]),
        ("MCX", date(2026, 11, 24), SessionKind.EVENING_ONLY, [("17:00", "23:55")]),
        ("MCX", date(2026, 11, 23), SessionKind.REGULAR, [("09:00", "23:55")]),
    ],
)
def test_special_and_half_days_have_their_own_windows(
    exchange: str, day: date, kind: SessionKind, expected: list[tuple[str, str]]
) -> None:
    session = CALENDAR.session(exchange, day)
    assert session is not None
    assert session.kind is kind
    assert windows(exchange, day) == expected


EVENING_ONLY = {
    2024: "0122 0308 0325 0411 0417 0501 0520 0617 0717 1115 1120",
    2025: "0226 0314 0331 0410 0414 0501 0827 1022 1105",
    2026: "0115 0303 0326 0331 0414 0501 0528 0626 0914 1020 1110 1124",
}
MORNING_ONLY = {2024: "0101", 2025: "0101", 2026: "0101"}
CLOSED = {
    2024: "0126 0329 0815 1002 1101 1225",
    2025: "0418 0815 1002 1021 1225",
    2026: "0126 0403 1002 1225",
}


def days_of(table: dict[int, str]) -> set[date]:
    return {
        date(year, int(day[:2]), int(day[2:]))
        for year, days in table.items()
        for day in days.split()
    }


def test_mcx_half_days_and_closures_are_exactly_the_published_ones() -> None:
    found: dict[object, set[date]] = {}
    day = date(2024, 1, 1)
    while day <= date(2026, 12, 31):
        session = CALENDAR.session("MCX", day)
        kind = session.kind if session else None
        if day.weekday() < 5:
            found.setdefault(kind, set()).add(day)
        day += timedelta(days=1)
    muhurat = {date(2024, 11, 1), date(2025, 10, 21)}
    assert found[SessionKind.EVENING_ONLY] == days_of(EVENING_ONLY)
    assert found[SessionKind.MORNING_ONLY] == days_of(MORNING_ONLY)
    assert found[SessionKind.SPECIAL] == muhurat
    assert found[None] == days_of(CLOSED) - muhurat


def test_an_evening_only_day_is_open_in_the_evening_alone() -> None:
    """Protects: on 24-Nov-2026 the NSE is closed and MCX opens at 17:00 after a 17-hour gap."""
    day = date(2026, 11, 24)
    session = CALENDAR.session("MCX", day)
    assert CALENDAR.session("NSE", day) is None
    assert session is not None
    assert not session.contains(at(day, "16:59"))
    assert session.contains(at(day, "17:00"))
    assert CALENDAR.is_trading_day("MCX", day)


def test_the_break_between_two_windows_is_closed() -> None:
    day = date(2024, 3, 2)
    session = CALENDAR.session("NSE", day)
    assert session is not None
    assert [session.contains(at(day, clock)) for clock in ("09:14", "09:15", "10:00", "11:30")] == [
        False,
        True,
        False,
        True,
    ]
    assert (session.open, session.close) == (at(day, "09:15"), at(day, "12:30"))


@pytest.mark.parametrize("exchange", ["NSE", "MCX"])
def test_a_special_session_without_times_is_known_but_never_guessed(exchange: str) -> None:
    """The Muhurat of 8-Nov-2026 was announced without its hours."""
    session = CALENDAR.session(exchange, date(2026, 11, 8))
    assert session is not None
    assert session.kind is SessionKind.SPECIAL
    assert not session.times_known
    for ask in (
        lambda: session.open,
        lambda: session.close,
        lambda: session.contains(at(session.day, "18:30")),
    ):
        with pytest.raises(OutsideCoverage, match=r"session times \(Muhurat \(Sun\)\)"):
            ask()


def test_naive_times_are_indian_and_others_are_converted() -> None:
    session = CALENDAR.session("NSE", date(2026, 11, 23))
    assert session is not None
    assert session.contains(datetime.fromisoformat("2026-11-23T09:15"))
    assert session.contains(datetime.fromisoformat("2026-11-23T03:45+00:00"))
    assert not session.contains(
        datetime.fromisoformat("2026-11-23T09:15+00:00") + timedelta(hours=1)
    )


@pytest.mark.parametrize("day", [date(2023, 12, 29), date(2027, 1, 1), date(2027, 6, 12)])
def test_an_unpublished_year_is_refused_not_assumed_open(day: date) -> None:
    """Protects: next year's holidays come back as an empty list with status success."""
    for ask in (CALENDAR.session, CALENDAR.is_trading_day, CALENDAR.next_trading_day):
        with pytest.raises(OutsideCoverage, match="covered: 2024, 2025, 2026"):
            ask("NSE", day)
    assert not CALENDAR.is_published("NSE", day)


def test_counting_past_the_covered_years_is_refused() -> None:
    with pytest.raises(OutsideCoverage):
        CALENDAR.next_trading_day("NSE", date(2026, 12, 31))
    assert CALENDAR.next_trading_day("NSE", date(2026, 12, 30)) == date(2026, 12, 31)
    assert CALENDAR.covered_until("NSE") == CALENDAR.covered_until("MCX") == date(2026, 12, 31)


@pytest.mark.parametrize(
    ("day", "nse", "mcx"),
    [
        (date(2027, 1, 1), SessionKind.REGULAR, SessionKind.MORNING_ONLY),
        (date(2027, 1, 26), None, None),
        (date(2027, 3, 26), None, None),
        (date(2027, 4, 14), None, SessionKind.EVENING_ONLY),
        (date(2027, 1, 2), None, None),
    ],
)
def test_a_provisional_answer_knows_weekends_and_holidays_certain_by_date(
    day: date, nse: SessionKind | None, mcx: SessionKind | None
) -> None:
    kinds = []
    for exchange in ("NSE", "MCX"):
        session = CALENDAR.session(exchange, day, provisional=True)
        kinds.append(session.kind if session else None)
    assert kinds == [nse, mcx]


def test_special_sessions_outside_weekday_trading_do_not_count_as_trading_days() -> None:
    for day in (date(2024, 1, 20), date(2024, 11, 1), date(2025, 10, 21), date(2026, 2, 1)):
        assert CALENDAR.session("NSE", day) is not None
        assert not CALENDAR.is_trading_day("NSE", day)
    assert CALENDAR.next_trading_day("MCX", date(2026, 1, 30)) == date(2026, 2, 2)


def test_half_days_count_as_trading_days() -> None:
    assert CALENDAR.is_trading_day("MCX", date(2026, 1, 1))
    assert CALENDAR.is_trading_day("MCX", date(2026, 3, 3))
    assert not CALENDAR.is_trading_day("MCX", date(2026, 4, 3))


def test_trading_days_are_counted_over_weekends_and_holidays() -> None:
    thursday = date(2026, 4, 2)
    assert CALENDAR.next_trading_day("NSE", thursday) == date(2026, 4, 6)
    assert CALENDAR.previous_trading_day("NSE", date(2026, 4, 6)) == thursday
    assert CALENDAR.shift_trading_days("NSE", date(2026, 4, 3), 1) == date(2026, 4, 6)
    assert CALENDAR.shift_trading_days("NSE", date(2026, 4, 3), -1) == thursday
    assert CALENDAR.shift_trading_days("NSE", thursday, 0) == thursday
    assert CALENDAR.shift_trading_days("NSE", date(2026, 3, 30), 3) == date(2026, 4, 6)


def test_an_unknown_exchange_is_refused_by_name() -> None:
    with pytest.raises(Rejected, match="known: NSE, MCX") as refusal:
        CALENDAR.session("BSE", date(2026, 11, 23))
    assert refusal.value.code == "UNKNOWN_EXCHANGE"


@given(EXCHANGES, COVERED_DAYS)
def test_windows_are_ordered_aware_and_on_their_own_day(exchange: str, day: date) -> None:
    session = CALENDAR.session(exchange, day)
    if session is None or not session.times_known:
        return
    edges = [edge for window in session.windows for edge in window]
    assert edges == sorted(set(edges))
    assert all(edge.tzinfo is IST and edge.date() == day for edge in edges)
    assert session.contains(session.open)
    assert not session.contains(session.close)


@given(EXCHANGES, COVERED_DAYS)
def test_a_trading_day_always_has_a_session(exchange: str, day: date) -> None:
    if CALENDAR.is_trading_day(exchange, day):
        assert day.weekday() < 5
        assert CALENDAR.session(exchange, day) is not None


@given(EXCHANGES, st.dates(date(2024, 3, 1), date(2026, 10, 1)), st.integers(-30, 30).filter(bool))
def test_shifting_there_and_back_returns_to_a_trading_day(
    exchange: str, day: date, count: int
) -> None:
    start = CALENDAR.next_trading_day(exchange, day)
    there = CALENDAR.shift_trading_days(exchange, start, count)
    assert (there > start) == (count > 0)
    assert CALENDAR.is_trading_day(exchange, there)
    assert CALENDAR.shift_trading_days(exchange, there, -count) == start


@given(EXCHANGES, st.dates(date(1990, 1, 1), date(2050, 12, 31)))
def test_hours_answer_for_any_day_of_the_past(exchange: str, day: date) -> None:
    opens, closes = CALENDAR.hours(exchange, day)
    assert opens < closes
