"""A quote without a time is believed once it was seen to change, for as long as that is new."""

from decimal import Decimal
from typing import Any

import pytest

from brokers.messages import Contract, Quote
from live.quote_trust import QuoteFault, QuoteTrust
from tests.fixtures.hand_clock import HandClock

GOLD = Contract("GOLDM05JAN27FUT", "MCX")
PUT = Contract("BANKNIFTY29DEC2658000PE", "NFO")


def quote(ltp: int = 100, contract: Contract = GOLD, **changes: Any) -> Quote:
    shown: dict[str, Any] = {"bid": ltp - 1, "ask": ltp + 1, "high": 200, "low": 50} | changes
    prices = {name: None if value is None else Decimal(value) for name, value in shown.items()}
    return Quote(contract=contract, ltp=Decimal(ltp), **prices)


class Looks:
    """Looks of one leader, 15 s apart."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.trust = QuoteTrust(self.clock, 60.0)

    def see(self, *quotes: Quote, epoch: int = 1, after_s: float = 15) -> dict[Contract, Any]:
        self.clock.wait(after_s)
        found = {each.contract: each for each in quotes}
        return self.trust.judge(epoch, (GOLD, PUT) if PUT in found else (GOLD,), found)


def test_what_was_seen_once_is_unproven_and_what_changed_is_believed() -> None:
    looks = Looks()
    assert looks.see(quote(100)) == {GOLD: QuoteFault.UNPROVEN}
    assert looks.see(quote(100)) == {GOLD: QuoteFault.UNPROVEN}
    assert looks.see(quote(101)) == {GOLD: None}


@pytest.mark.parametrize("change", [{"bid": 98}, {"ask": 102}, {"low": 49}, {"high": 201}])
def test_any_side_that_moves_shows_that_the_market_lives(change: dict[str, Any]) -> None:
    looks = Looks()
    looks.see(quote(100))
    assert looks.see(quote(100, **change)) == {GOLD: None}


def test_what_stands_still_is_believed_for_a_minute_and_then_frozen() -> None:
    looks = Looks()
    looks.see(quote(100))
    assert [looks.see(quote(101))[GOLD] for _ in range(4)] == [None] * 4
    assert looks.see(quote(101)) == {GOLD: QuoteFault.FROZEN}
    assert looks.see(quote(102)) == {GOLD: None}


WRONG = [
    ({"bid": None}, QuoteFault.ONE_SIDED),
    ({"ask": None}, QuoteFault.ONE_SIDED),
    ({"bid": 102, "ask": 101}, QuoteFault.CROSSED),
    ({"high": 99}, QuoteFault.OUT_OF_RANGE),
    ({"low": 102}, QuoteFault.OUT_OF_RANGE),
    ({"low": None}, QuoteFault.UNPROVEN),
]


@pytest.mark.parametrize(("change", "fault"), WRONG)
def test_figures_that_no_market_shows_are_not_believed(
    change: dict[str, Any], fault: QuoteFault
) -> None:
    looks = Looks()
    looks.see(quote(100))
    assert looks.see(quote(101, **change)) == {GOLD: fault}
    assert looks.see(quote(101)) == {GOLD: None}


def test_a_touch_without_a_gap_is_no_crossed_one() -> None:
    looks = Looks()
    looks.see(quote(100))
    assert looks.see(quote(101, bid=101, ask=101)) == {GOLD: None}


def test_a_quote_that_was_gone_has_to_be_proven_again() -> None:
    looks = Looks()
    looks.see(quote(100))
    assert looks.see() == {GOLD: QuoteFault.MISSING}
    assert looks.see(quote(101)) == {GOLD: QuoteFault.UNPROVEN}


@pytest.mark.parametrize("other", [{"epoch": 2}, {"after_s": 61.0}])
def test_what_changed_before_this_leader_looked_may_have_changed_long_ago(
    other: dict[str, Any],
) -> None:
    looks = Looks()
    looks.see(quote(100))
    assert looks.see(quote(101), **other) == {GOLD: QuoteFault.UNPROVEN}


def test_each_contract_is_judged_for_itself() -> None:
    looks = Looks()
    looks.see(quote(100), quote(30, PUT, low=10))
    found = looks.see(quote(101), quote(30, PUT, low=10))
    assert found == {GOLD: None, PUT: QuoteFault.UNPROVEN}
