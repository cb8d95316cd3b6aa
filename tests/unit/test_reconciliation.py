"""Ours against the broker's: every kind of difference, and none where there is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.reconciliation import (
    BrokerView,
    Difference,
    DifferenceKind,
    HeldLeg,
    OurView,
    RestingOrder,
    compare,
)

CALL, PUT = "BANKNIFTY29DEC2658000CE", "BANKNIFTY29DEC2658000PE"
GOLD = "GOLDM05JAN27FUT"
ROOTS = {("NFO", "BANKNIFTY"): "BANK_NIFTY", ("MCX", "GOLDM"): "GOLD_MINI"}
K = DifferenceKind


def leg(symbol: str, quantity: int) -> HeldLeg:
    return HeldLeg(symbol, "MCX" if symbol.startswith("GOLD") else "NFO", quantity)


def ours(*legs: HeldLeg, tagged: str = "", order_ids: str = "") -> OurView:
    tags = {leg(symbol, 0).contract for symbol in tagged.split()}
    return OurView(legs, frozenset(order_ids.split()), frozenset(tags), ROOTS)


def theirs(*legs: HeldLeg, orders: tuple[RestingOrder, ...] = ()) -> BrokerView:
    return BrokerView(legs, orders)


def kinds(own: OurView, broker: BrokerView) -> list[tuple[DifferenceKind, str, int, int]]:
    return [(each.kind, each.symbol, each.ours, each.brokers) for each in compare(own, broker)]


@pytest.mark.parametrize(
    ("own", "broker", "found"),
    [
        ((leg(CALL, 60), leg(PUT, -60)), (leg(CALL, 60), leg(PUT, -60)), []),
        ((leg(GOLD, 3),), (), [(K.MISSING, GOLD, 3, 0)]),
        ((leg(GOLD, 3),), (leg(GOLD, 2),), [(K.QUANTITY, GOLD, 3, 2)]),
        ((leg(GOLD, 3),), (leg(GOLD, -3),), [(K.QUANTITY, GOLD, 3, -3)]),
        ((), (leg(GOLD, 1),), [(K.EXTRA, GOLD, 0, 1)]),
        ((leg(GOLD, 2), leg(GOLD, 1)), (leg(GOLD, 3),), []),
        ((leg(GOLD, 1),), (leg(GOLD, 1), leg(CALL, 0)), []),
        (
            (leg(CALL, 60), leg(PUT, -60)),
            (leg(PUT, -60),),
            [(K.MISSING, CALL, 60, 0), (K.NAKED, PUT, 0, -60)],
        ),
        (
            (leg(CALL, 60), leg(PUT, -60)),
            (leg(CALL, 30), leg(PUT, -60)),
            [(K.QUANTITY, CALL, 60, 30), (K.NAKED, PUT, -30, -60)],
        ),
        ((), (leg(PUT, -30),), [(K.EXTRA, PUT, 0, -30), (K.NAKED, PUT, 0, -30)]),
        ((leg(CALL, 60), leg(PUT, -60)), (leg(CALL, 60),), [(K.MISSING, PUT, -60, 0)]),
    ],
)
def test_what_differs_is_named(
    own: tuple[HeldLeg, ...],
    broker: tuple[HeldLeg, ...],
    found: list[tuple[DifferenceKind, str, int, int]],
) -> None:
    assert kinds(ours(*own), theirs(*broker)) == found


@pytest.mark.parametrize("symbol", ["NIFTY29DEC2624000CE", "GOLD05FEB27FUT", "RELIANCE", "GOLDM"])
def test_what_is_not_of_our_instruments_is_left_alone(symbol: str) -> None:
    assert compare(ours(), theirs(leg(symbol, 5))) == ()


def test_another_exchanges_contract_of_the_same_name_is_not_ours() -> None:
    """Incident 27: the exchange travels with the contract."""
    assert compare(ours(), theirs(HeldLeg(GOLD, "NFO", 300))) == ()


@pytest.mark.parametrize(
    ("own", "broker", "differs"),
    [(0, 5, False), (0, -5, False), (3, 5, False), (3, 3, False), (3, 2, True), (3, -3, True)],
)
def test_a_tagged_symbol_is_somebody_elses_but_for_our_part(
    own: int, broker: int, differs: bool
) -> None:
    found = compare(ours(leg(GOLD, own), tagged=GOLD), theirs(leg(GOLD, broker)))
    assert bool(found) is differs


def test_an_order_that_rests_and_is_not_ours_is_an_orphan() -> None:
    mine = RestingOrder("1", GOLD, "MCX", "BUY", 2)
    other = RestingOrder("2", GOLD, "MCX", "SELL", 2)
    foreign = RestingOrder("3", "RELIANCE", "NSE", "SELL", 2)
    found = compare(ours(order_ids="1"), theirs(orders=(mine, other, foreign)))
    assert found == (Difference(K.ORPHAN_ORDER, "GOLD_MINI", GOLD, "MCX", 0, -2, "2"),)
    assert str(found[0]) == f"order 2 of -2 {GOLD} is not ours"
    assert compare(ours(tagged=GOLD), theirs(orders=(other,))) == ()


LEGS = st.lists(st.builds(leg, st.sampled_from([CALL, PUT, GOLD]), st.integers(-3, 3)), max_size=5)


@given(LEGS)
def test_books_that_agree_never_differ(legs: list[HeldLeg]) -> None:
    assert compare(ours(*legs), theirs(*reversed(legs))) == ()


@given(LEGS, LEGS)
def test_a_difference_there_is_whenever_net_quantities_differ(
    own: list[HeldLeg], broker: list[HeldLeg]
) -> None:
    def net(legs: list[HeldLeg]) -> dict[str, int]:
        sums = {symbol: 0 for symbol in (CALL, PUT, GOLD)}
        for each in legs:
            sums[each.symbol] += each.quantity
        return sums

    told = {
        each.symbol: (each.ours, each.brokers)
        for each in compare(ours(*own), theirs(*broker))
        if each.kind is not K.NAKED
    }
    mine, there = net(own), net(broker)
    assert told == {
        symbol: (mine[symbol], there[symbol]) for symbol in mine if mine[symbol] != there[symbol]
    }


ORDERS = st.lists(
    st.builds(
        RestingOrder,
        st.sampled_from(["1", "2", "3"]),
        st.sampled_from([GOLD, CALL, "RELIANCE"]),
        st.just("MCX"),
        st.sampled_from(["BUY", "SELL"]),
        st.integers(1, 3),
    ),
    max_size=3,
)
TAGS = st.sets(st.sampled_from([CALL, PUT, GOLD]), max_size=2)


@given(LEGS, LEGS, TAGS, ORDERS)
def test_one_pass_converges_and_the_second_finds_nothing(
    own: list[HeldLeg], broker: list[HeldLeg], tagged: set[str], orders: list[RestingOrder]
) -> None:
    """Whoever books each difference, and cancels each order that is not ours, is done."""
    before = ours(*own, tagged=" ".join(tagged), order_ids="1")
    found = compare(before, theirs(*broker, orders=tuple(orders)))
    orphans = {each.order_id for each in found if each.kind is K.ORPHAN_ORDER}
    booked = [
        leg(each.symbol, each.brokers - each.ours)
        for each in found
        if each.kind in (K.MISSING, K.EXTRA, K.QUANTITY)
    ]
    after = ours(*own, *booked, tagged=" ".join(tagged), order_ids="1")
    left = tuple(order for order in orders if order.order_id not in orphans)
    assert compare(after, theirs(*broker, orders=left)) == ()
    assert compare(before, theirs(*broker, orders=tuple(orders))) == found
