"""Our books against a real exchange's: what differs is locked and told once, and clears itself."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.messages import Action, Contract, OrderRequest
from core.db_state_manager.broker_books import PositionTag
from core.reconciliation import DifferenceKind
from live.reconciliation import BROKER_DIFFERS, Reconciler
from tests.fixtures.order_desk import CATALOG, Desk, open_desk
from tests.fixtures.rules import BANK, GOLD

GOLD_FUTURE = Contract("GOLDM04DEC26FUT", "MCX")


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    with open_desk(database_url, tmp_path) as opened:
        yield opened


def reconciler(desk: Desk) -> Reconciler:
    return Reconciler(desk.store, desk.client, "paper", CATALOG, desk.clock)


def by_hand(desk: Desk, action: Action, quantity: int) -> None:
    """Somebody trades in the account without us."""
    price = Decimal(140_000 if action is Action.BUY else 120_000)
    desk.client.place_order(OrderRequest(GOLD_FUTURE, action, quantity, price, "by hand"))


def locks(desk: Desk) -> list[tuple[str, str]]:
    return [(lock.instrument, lock.code) for lock in desk.store.instrument_locks()]


def test_books_that_agree_lock_nothing(desk: Desk) -> None:
    desk.enter(GOLD, 3)
    desk.enter(BANK, 2)
    found = reconciler(desk).run()
    assert found.comparison.agrees is True
    assert sorted(leg.ours for leg in found.comparison.legs) == [-60, 3, 60]
    assert all(leg.ours == leg.brokers for leg in found.comparison.legs)
    assert (found.locked, found.unlocked) == ((), ())


def test_a_sale_by_hand_locks_its_instrument_until_it_is_undone(desk: Desk) -> None:
    desk.enter(GOLD, 3)
    desk.enter(BANK, 2)
    by_hand(desk, Action.SELL, 1)
    check = reconciler(desk)
    found = check.run()
    (difference,) = found.comparison.differences
    assert (difference.kind, difference.ours, difference.brokers) == (
        DifferenceKind.QUANTITY,
        3,
        2,
    )
    assert found.locked == (GOLD,)
    assert locks(desk) == [(GOLD, BROKER_DIFFERS)]
    assert check.run().locked == ()
    told = [event for event in desk.store.events_after(0, 100) if event.kind == "INSTRUMENT_LOCKED"]
    assert len(told) == 1
    by_hand(desk, Action.BUY, 1)
    assert check.run().unlocked == (GOLD,)
    assert locks(desk) == []
    again = check.run()
    assert (again.locked, again.unlocked) == ((), ())


def test_a_position_of_somebody_else_is_extra_until_it_is_tagged(desk: Desk) -> None:
    by_hand(desk, Action.BUY, 5)
    check = reconciler(desk)
    assert check.run().locked == (GOLD,)
    tag = PositionTag("paper", "MCX", GOLD_FUTURE.symbol, "swing", "", "me", desk.clock.now())
    desk.store.tag_position(tag)
    assert check.run().unlocked == (GOLD,)
    assert desk.store.untag_position("paper", "MCX", GOLD_FUTURE.symbol)
    assert check.run().locked == (GOLD,)


def test_an_empty_book_is_believed_late_and_only_when_no_money_is_in_use(desk: Desk) -> None:
    desk.enter(GOLD, 3)
    by_hand(desk, Action.SELL, 3)
    check = reconciler(desk)
    first = check.run()
    assert first.comparison.agrees is None
    assert locks(desk) == []
    assert check.run().locked == (GOLD,)


def test_a_broker_that_cannot_be_asked_changes_nothing(desk: Desk) -> None:
    """Incident 46: a failed read of the broker's book was taken for a flat account."""
    desk.enter(GOLD, 3)
    desk.paper.kill()
    found = reconciler(desk).run()
    assert found.comparison.agrees is None
    assert "cannot be read" in found.comparison.unknown
    assert locks(desk) == []


def test_what_is_being_worked_on_is_left_out(desk: Desk) -> None:
    desk.enter(GOLD, 3)
    by_hand(desk, Action.SELL, 1)
    desk.reserve_exit(*desk.layers(GOLD))
    found = reconciler(desk).run()
    assert found.comparison.busy == (GOLD,)
    assert (found.comparison.differences, found.locked) == ((), ())
