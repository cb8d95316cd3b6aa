"""Option prices agree with their underlying: parity to the tick, and no free lunch by strike."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.paper_exchange.market import DayPrices, Market
from brokers.paper_exchange.pricing import Rates, forward_price, option_price, to_tick
from core.symbols import FutureSymbol, OptionRight, OptionSymbol
from tests.fixtures.paper_account import CALL, GOLD, SUNDAY, listing

TICK = Decimal("0.05")
LISTING = listing()
TODAY = SUNDAY.date()
EXPIRIES = LISTING.expiries("BANKNIFTY", "NFO", True, TODAY)

prices = st.decimals(10_000, 99_999, places=2)
strikes = st.integers(100, 1_000).map(lambda hundreds: Decimal(hundreds * 100))
days_ahead = st.integers(-1, 130)
rates = st.builds(
    Rates,
    carry=st.decimals(0, Decimal("0.12"), places=3),
    volatility=st.decimals(0, Decimal("0.6"), places=2),
)


def market(bank: object = 58_000, gold: object = 128_000) -> Market:
    known = {"BANK_NIFTY": Decimal(str(bank)), "GOLD_MINI": Decimal(str(gold))}
    return Market(LISTING, Rates(), [DayPrices.started(*each) for each in rows(known)])


def rows(known: dict[str, Decimal]) -> list[tuple[str, date, Decimal]]:
    return [(name, TODAY, price) for name, price in known.items()]


@given(prices, strikes, days_ahead, rates)
def test_call_less_put_is_forward_less_strike(
    price: Decimal, strike: Decimal, days: int, held: Rates
) -> None:
    forward = forward_price(price, days, TICK, held)
    call = option_price(OptionRight.CALL, forward, strike, days, TICK, held)
    put = option_price(OptionRight.PUT, forward, strike, days, TICK, held)
    assert call - put == forward - strike
    assert call % TICK == put % TICK == 0
    assert min(call, put) >= 2 * TICK


@given(st.decimals(30_000, 90_000, places=2), st.sampled_from(EXPIRIES), st.data())
def test_parity_holds_in_every_listed_contract(
    price: Decimal, expiry: date, data: st.DataObject
) -> None:
    strike = Decimal(100 * data.draw(st.integers(int(price) // 200 + 1, int(price) // 50)))
    at = market(price)
    quotes = []
    for right in OptionRight:
        contract = at.find(str(OptionSymbol("BANKNIFTY", expiry, strike, right)), "NFO", TODAY)
        assert contract is not None
        quotes.append(at.quote(contract, TODAY))
    forward = forward_price(price, (expiry - TODAY).days, TICK, Rates())
    call, put = quotes
    assert call.ltp - put.ltp == forward - strike
    assert call.bid < call.ltp < call.ask


@given(prices, strikes, st.integers(1, 130), rates)
def test_a_higher_strike_never_makes_a_call_dearer_nor_a_put_cheaper(
    price: Decimal, strike: Decimal, days: int, held: Rates
) -> None:
    forward = forward_price(price, days, TICK, held)
    step = Decimal(100)
    at = [strike, strike + step]
    calls = [option_price(OptionRight.CALL, forward, each, days, TICK, held) for each in at]
    puts = [option_price(OptionRight.PUT, forward, each, days, TICK, held) for each in at]
    assert 0 <= calls[0] - calls[1] <= step
    assert 0 <= puts[1] - puts[0] <= step


def test_the_forward_of_december_is_what_the_gateway_computed() -> None:
    # Its own synthetic future was 58,383.4 over 58,000, 37 days ahead.
    forward = forward_price(Decimal(58_000), 37, TICK, Rates())
    assert forward == pytest.approx(Decimal("58383.4"), abs=2)


@pytest.mark.parametrize(
    ("symbol", "exchange", "tick"),
    [("BANKNIFTY", "NSE_INDEX", "0.05"), (CALL, "NFO", "0.05"), (GOLD, "MCX", "1")],
)
def test_the_touch_is_a_tick_to_either_side(symbol: str, exchange: str, tick: str) -> None:
    at = market()
    contract = at.find(symbol, exchange, TODAY)
    assert contract is not None
    quote = at.quote(contract, TODAY)
    assert (quote.ltp - quote.bid, quote.ask - quote.ltp) == (Decimal(tick), Decimal(tick))


def test_the_nearest_gold_future_costs_what_gold_mini_costs() -> None:
    at = market(gold=128_000)
    near, far = (at.find(name, "MCX", TODAY) for name in (GOLD, "GOLDM05JAN27FUT"))
    assert near is not None
    assert far is not None
    assert at.last_price(near, TODAY) == 128_000
    assert at.last_price(far, TODAY) > 128_000


def test_day_range_holds_every_price_of_the_day_for_calls_and_puts() -> None:
    at = market()
    day = DayPrices.started("BANK_NIFTY", TODAY, Decimal(58_000))
    for price in (58_400, 57_500, 58_100):
        day = day.moved(Decimal(price), TODAY)
    at.record(day)
    for right in OptionRight:
        symbol = str(OptionSymbol("BANKNIFTY", EXPIRIES[1], Decimal(58_000), right))
        contract = at.find(symbol, "NFO", TODAY)
        assert contract is not None
        quote = at.quote(contract, TODAY)
        assert quote.low < min(quote.open, quote.ltp) < max(quote.open, quote.ltp) < quote.high


@pytest.mark.parametrize(
    "symbol",
    [
        "BANKNIFTY29DEC2699999CE",
        "BANKNIFTY29DEC2658050CE",
        "BANKNIFTY27OCT2658000CE",
        "BANKNIFTY29DEC26400000CE",
        "banknifty29dec2658000ce",
        "GOLDM27NOV26128000CE",
        "NOPE",
    ],
)
def test_what_no_master_has_is_not_listed(symbol: str) -> None:
    assert market().find(symbol, "NFO", TODAY) is None
    assert market().find(symbol, "MCX", TODAY) is None


def test_expiries_are_three_months_and_the_next_quarter() -> None:
    days = ["2026-11-23", "2026-12-29", "2027-01-25", "2027-03-30"]
    assert [day.isoformat() for day in EXPIRIES] == days
    gold = [day.isoformat() for day in LISTING.expiries("GOLDM", "MCX", False, TODAY)]
    assert gold == ["2026-12-04", "2027-01-05", "2027-02-05"]


def test_a_contract_is_listed_on_its_last_day_and_not_after_it() -> None:
    last = EXPIRIES[0]
    symbol = str(FutureSymbol("BANKNIFTY", last))
    assert market().find(symbol, "NFO", last) is not None
    assert market().find(symbol, "NFO", last + timedelta(days=1)) is None


def test_a_price_is_rounded_to_the_nearest_tick() -> None:
    assert to_tick(Decimal("58000.08"), Decimal("0.20")) == Decimal("58000.00")
    assert to_tick(Decimal("58000.13"), Decimal("0.05")) == Decimal("58000.15")
