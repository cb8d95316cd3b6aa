"""The symbol codec: fixed-width dates, whole roots, nothing that does not round-trip."""

import string
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import PortfolioError, Rejected
from core.symbols import FutureSymbol, OptionRight, OptionSymbol, parse

ROOTS = st.text(string.ascii_uppercase, min_size=1, max_size=12)
EXPIRIES = st.dates(date(2000, 1, 1), date(2099, 12, 31))
STRIKES = st.decimals(Decimal("0.05"), Decimal("999999"), places=2)


@pytest.mark.parametrize(
    ("symbol", "read"),
    [
        (
            "BANKNIFTY29DEC2656000CE",
            OptionSymbol("BANKNIFTY", date(2026, 12, 29), Decimal(56000), OptionRight.CALL),
        ),
        (
            "BANKNIFTY23NOV2655500CE",
            OptionSymbol("BANKNIFTY", date(2026, 11, 23), Decimal(55500), OptionRight.CALL),
        ),
        (
            "BANKNIFTY25JAN2756000PE",
            OptionSymbol("BANKNIFTY", date(2027, 1, 25), Decimal(56000), OptionRight.PUT),
        ),
        (
            "BANKNIFTY29DEC2660000.5PE",
            OptionSymbol("BANKNIFTY", date(2026, 12, 29), Decimal("60000.5"), OptionRight.PUT),
        ),
        ("BANKNIFTY29DEC26FUT", FutureSymbol("BANKNIFTY", date(2026, 12, 29))),
        ("GOLDM04DEC26FUT", FutureSymbol("GOLDM", date(2026, 12, 4))),
        ("GOLDM05JAN27FUT", FutureSymbol("GOLDM", date(2027, 1, 5))),
    ],
)
def test_symbols_of_the_brokers_master_are_read_and_built(
    symbol: str, read: OptionSymbol | FutureSymbol
) -> None:
    assert parse(symbol) == read
    assert str(read) == symbol


def test_the_year_is_cut_at_its_width_and_never_eaten_by_the_strike() -> None:
    """Incident 24: 60000 expiring on 27 January 2026 was once read as strike 660000."""
    option = parse("BANKNIFTY27JAN2660000CE")
    assert isinstance(option, OptionSymbol)
    assert (option.strike, option.expiry) == (Decimal(60000), date(2026, 1, 27))


def test_the_day_comes_first_and_the_year_last() -> None:
    """Incident 53: 30DEC25 was once written DDMMMYY and read YYMMMDD, as the year 2030."""
    assert parse("BANKNIFTY30DEC25FUT").expiry == date(2025, 12, 30)


@pytest.mark.parametrize("root", ["GOLD", "GOLDTEN", "GOLDPETAL", "GOLDGUINEA", "GOLDMINI"])
def test_neighbours_of_gold_mini_keep_their_own_root(root: str) -> None:
    assert parse(f"{root}04DEC26FUT").root == root != "GOLDM"


@pytest.mark.parametrize(
    "symbol",
    [
        "",
        "BANKNIFTY",
        "29DEC26FUT",
        "banknifty29DEC26FUT",
        "BANKNIFTY29dec26FUT",
        "BANKNIFTY29DEC26fut",
        "BANKNIFTY29DEC26",
        "BANKNIFTY29DEC2656000",
        "BANKNIFTY29DEC26CE",
        "BANKNIFTY29DEC2656000XE",
        "BANKNIFTY29DEC2656000CE ",
        " BANKNIFTY29DEC2656000CE",
        "BANKNIFTY29DEC2656000CE\n",
        "BANKNIFTY 29DEC26 56000 CE",
        "BANKNIFTY-29DEC26-FUT",
        "BANKNIFTY29DEC2656000.0CE",
        "BANKNIFTY29DEC2656000.50CE",
        "BANKNIFTY29DEC2656000.CE",
        "BANKNIFTY29DEC26056000CE",
        "BANKNIFTY29DEC260CE",
        "BANKNIFTY29DEC26-56000CE",
        "BANKNIFTY31NOV26FUT",
        "BANKNIFTY29FEB27FUT",
        "BANKNIFTY00DEC26FUT",
        "BANKNIFTY29DES26FUT",
        "BANKNIFTY9DEC26FUT",
        "BANKNIFTY29DEC2026FUT",
        "BANKNIFTY26DECFUT",
        "BANKNIFTY٢٩DEC26FUT",
    ],
)
def test_what_is_not_exactly_a_symbol_is_refused_with_a_code(symbol: str) -> None:
    with pytest.raises(PortfolioError) as refusal:
        parse(symbol)
    assert isinstance(refusal.value, Rejected)
    assert refusal.value.code == "BAD_SYMBOL"


@pytest.mark.parametrize(
    ("root", "expiry", "strike"),
    [
        ("goldm", date(2026, 12, 4), "1"),
        ("", date(2026, 12, 4), "1"),
        ("GOLDM", date(1999, 12, 4), "1"),
        ("GOLDM", date(2100, 12, 4), "1"),
        ("GOLDM", date(2026, 12, 4), "0"),
        ("GOLDM", date(2026, 12, 4), "-5"),
        ("GOLDM", date(2026, 12, 4), "NaN"),
        ("GOLDM", date(2026, 12, 4), "Infinity"),
    ],
)
def test_what_no_symbol_can_say_cannot_be_made(root: str, expiry: date, strike: str) -> None:
    with pytest.raises(Rejected):
        OptionSymbol(root, expiry, Decimal(strike), OptionRight.CALL)


@given(ROOTS, EXPIRIES)
def test_futures_round_trip(root: str, expiry: date) -> None:
    future = FutureSymbol(root, expiry)
    assert parse(str(future)) == future


@given(ROOTS, EXPIRIES, STRIKES, st.sampled_from(OptionRight))
def test_options_round_trip(root: str, expiry: date, strike: Decimal, right: OptionRight) -> None:
    option = OptionSymbol(root, expiry, strike, right)
    assert parse(str(option)) == option


@given(st.from_regex(r"[A-Z]{1,6}[0-9]{2}[A-Z]{3}[0-9]{2}(FUT|[0-9.]{1,7}(CE|PE))", fullmatch=True))
def test_whatever_parses_is_written_back_as_it_was(symbol: str) -> None:
    try:
        read = parse(symbol)
    except Rejected:
        return
    assert str(read) == symbol


def test_a_strike_in_scientific_notation_is_written_in_digits() -> None:
    option = OptionSymbol("BANKNIFTY", date(2026, 12, 29), Decimal("5.6E+4"), OptionRight.CALL)
    assert str(option) == "BANKNIFTY29DEC2656000CE"
