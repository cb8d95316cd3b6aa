"""An intent is one owner's at a time, and whoever lost it can write nothing more for it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal

import pytest

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.intents import ORDER_UNKNOWN, DecisionRequest
from core.db_state_manager.ownership import Fenced
from core.db_state_manager.records import Intent, LegPlan, OrderPlan
from core.db_state_manager.states import (
    IntentSource,
    IntentState,
    LegPurpose,
    OrderState,
    PriceType,
    Side,
)
from tests.fixtures.database import close, database, enter, entered, one_leg, reserved_intent
from tests.fixtures.rules import BANK, GOLD, opened

FIRST, SECOND = "first process", "second process"


def owned_intent(manager: DatabaseStateManager, lease_s: float) -> Intent:
    decision = enter()
    request = DecisionRequest(BANK, IntentSource.SIGNAL, owner=FIRST, lease_s=lease_s)
    intent = manager.decide_and_reserve(request, lambda _: decision, one_leg).intent
    assert intent is not None
    return intent


def plan(manager: DatabaseStateManager, intent: Intent) -> OrderPlan:
    leg = manager.legs(intent.id)[0]
    day, price = date(2026, 1, 5), Decimal(50_000)
    return OrderPlan(leg.id, "paper", day, leg.quantity, PriceType.LIMIT, price, ())


def test_an_intent_is_its_owners_from_the_moment_it_is_reserved(database_url: str) -> None:
    manager = database(database_url)
    intent = owned_intent(manager, lease_s=60)
    assert manager.abandoned_intents() == []
    assert not manager.take_intent(intent.id, SECOND, 60)
    assert manager.take_intent(intent.id, FIRST, 60)


def test_an_intent_without_a_living_lease_is_anybodys(database_url: str) -> None:
    manager = database(database_url)
    intent = owned_intent(manager, lease_s=0)
    assert [found.id for found in manager.abandoned_intents()] == [intent.id]
    assert manager.take_intent(intent.id, SECOND, 60)
    assert not manager.take_intent(intent.id, FIRST, 60)
    assert not manager.release_intent(intent.id, FIRST)
    assert manager.release_intent(intent.id, SECOND)
    assert [found.id for found in manager.abandoned_intents()] == [intent.id]


def test_of_many_that_want_an_abandoned_intent_one_gets_it(database_url: str) -> None:
    manager = database(database_url, pool_size=8)
    intent = owned_intent(manager, lease_s=0)
    with ThreadPoolExecutor(8) as threads:
        took = threads.map(lambda n: manager.take_intent(intent.id, f"process {n}", 60), range(8))
    assert sorted(took) == [False] * 7 + [True]


def test_an_intent_that_has_ended_is_nobodys_to_take(database_url: str) -> None:
    manager = database(database_url)
    intent = reserved_intent(manager, enter())
    manager.cancel_intent(intent.id, "for a test")
    assert not manager.take_intent(intent.id, FIRST, 60)
    assert manager.abandoned_intents() == []


def test_only_what_was_begun_is_renewed(database_url: str) -> None:
    manager = database(database_url)
    begun = owned_intent(manager, lease_s=0)
    manager.move_intent(begun.id, IntentState.WORKING, owner=FIRST)
    reserved = reserved_intent(manager, enter(instrument=GOLD))
    manager.take_intent(reserved.id, FIRST, 0)
    assert manager.renew_intents(FIRST, 60) == 1
    assert [found.id for found in manager.abandoned_intents()] == [reserved.id]


Write = Callable[[DatabaseStateManager, Intent, int], object]
UNWIND = LegPlan(LegPurpose.UNWIND, Side.SELL, "BANKNIFTY27JAN26FUT", "NFO", 1, 30)
WRITES: dict[str, Write] = {
    "send": lambda db, intent, order: db.record_send_intent(plan(db, intent), FIRST),
    "price": lambda db, intent, order: db.record_price(order, Decimal(50_010), FIRST),
    "legs": lambda db, intent, order: db.add_legs(intent.id, [UNWIND], FIRST),
    "move": lambda db, intent, order: db.move_intent(intent.id, IntentState.NAKED, "", FIRST),
    "unknown": lambda db, intent, order: db.leave_unknown(intent.id, [order], "late", FIRST),
    "settle": lambda db, intent, order: db.settle_unknown(intent.id, FIRST),
    "complete": lambda db, intent, order: db.complete_intent(intent.id, [], (), FIRST),
    "cancel": lambda db, intent, order: db.cancel_intent(intent.id, "late", FIRST),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_process_that_wakes_after_it_lost_the_intent_writes_nothing(
    database_url: str, write: Write
) -> None:
    """Incident 47: a leader that was paused for a minute woke and traded beside the new one."""
    manager = database(database_url)
    intent = owned_intent(manager, lease_s=0)
    manager.move_intent(intent.id, IntentState.WORKING, owner=FIRST)
    order = manager.record_send_intent(plan(manager, intent), FIRST)
    assert manager.take_intent(intent.id, SECOND, 60)
    tables = ("order_intents", "order_legs", "broker_orders", "instrument_locks", "outbox")
    before = [manager.rows(f"SELECT * FROM {table} ORDER BY id") for table in tables]  # noqa: S608
    with pytest.raises(Fenced, match=f"held by {SECOND} and not by {FIRST}"):
        write(manager, intent, order)
    assert before == [
        manager.rows(f"SELECT * FROM {table} ORDER BY id")  # noqa: S608
        for table in tables
    ]


def test_what_the_broker_did_is_written_down_by_whoever_knows_it(database_url: str) -> None:
    manager = database(database_url)
    intent = owned_intent(manager, lease_s=0)
    order = manager.record_send_intent(plan(manager, intent), FIRST)
    assert manager.take_intent(intent.id, SECOND, 60)
    assert manager.record_order_id(order, "A1")
    assert manager.book_fill(order, 300, Decimal(50_001))


def test_an_entry_can_be_asked_to_stop_and_an_exit_cannot(database_url: str) -> None:
    manager = database(database_url)
    layer = entered(manager, opened(instrument=GOLD))
    entry, leaving = reserved_intent(manager, enter()), reserved_intent(manager, close(layer))
    assert not manager.cancel_requested(entry.id)
    assert manager.request_cancel(entry.id)
    assert manager.cancel_requested(entry.id)
    assert not manager.request_cancel(leaving.id)
    assert not manager.cancel_requested(leaving.id)
    manager.cancel_intent(entry.id, "as asked")
    assert not manager.request_cancel(entry.id)


def test_an_unknown_order_locks_its_instrument_and_is_told_once(database_url: str) -> None:
    manager = database(database_url)
    intent = owned_intent(manager, lease_s=60)
    order = manager.record_send_intent(plan(manager, intent), FIRST)
    for _ in range(3):
        manager.leave_unknown(intent.id, [order], "no answer", FIRST)
    told = [event.kind for event in manager.events_after(0, 99)]
    assert told.count("INSTRUMENT_LOCKED") == 1
    assert [lock.code for lock in manager.instrument_locks()] == [ORDER_UNKNOWN]
    assert manager.orders(intent.id)[0].state is OrderState.UNKNOWN
    assert manager.intent(intent.id).state is IntentState.UNKNOWN
    manager.settle_unknown(intent.id, FIRST)
    assert manager.instrument_locks() == []
    assert manager.intent(intent.id).state is IntentState.WORKING
