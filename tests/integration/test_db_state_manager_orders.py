"""Orders move only as allowed, fills count once, and a journey shows all of it."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from itertools import product
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.json_values import from_json
from core.db_state_manager.records import LegPlan, OrderPlan, OrderRow
from core.db_state_manager.states import (
    ACTIVE_INTENTS,
    FINISHED_ORDERS,
    INTENT_FROM,
    LEG_FROM,
    ORDER_FROM,
    IntentState,
    LegPurpose,
    LegState,
    OrderState,
    PriceType,
    Side,
)
from core.decision_record import Decision
from core.errors import Rejected
from tests.fixtures.database import (
    claimed,
    close,
    database,
    enter,
    entered,
    reserve,
    reserved_intent,
    sent_order,
)
from tests.fixtures.rules import BANK, GOLD, base_entry, opened, reduced

PRICE = Decimal("50000.05")


def set_state(manager: DatabaseStateManager, table: str, key: int, state: StrEnum) -> None:
    with manager.transaction() as cursor:
        cursor.execute(f"UPDATE {table} SET state = %s WHERE id = %s", (state, key))  # noqa: S608


def state_of(manager: DatabaseStateManager, table: str, key: int) -> Any:
    return manager.rows(f"SELECT state FROM {table} WHERE id = %s", (key,))[0][0]  # noqa: S608


def order_of(manager: DatabaseStateManager, order: int) -> OrderRow:
    (intent,) = manager.active_intents()
    return next(row for row in manager.orders(intent.id) if row.id == order)


@pytest.mark.parametrize(
    "table", [INTENT_FROM, LEG_FROM, ORDER_FROM], ids=["intent", "leg", "order"]
)
def test_every_state_says_where_it_may_be_reached_from(table: dict[StrEnum, Any]) -> None:
    kind = type(next(iter(table)))
    assert set(table) == set(kind)
    assert all(state not in origins for state, origins in table.items())


def test_orders_move_as_the_table_allows_and_no_other_way(database_url: str) -> None:
    manager = database(database_url)
    order = sent_order(manager, reserved_intent(manager, enter()))
    for origin, goal in product(OrderState, OrderState):
        set_state(manager, "broker_orders", order, origin)
        assert manager.move_order(order, goal, "looked") is (origin in ORDER_FROM[goal])
        moved = origin in ORDER_FROM[goal]
        assert state_of(manager, "broker_orders", order) == (goal if moved else origin)


def test_legs_move_as_the_table_allows_and_no_other_way(database_url: str) -> None:
    manager = database(database_url)
    (leg,) = manager.legs(reserved_intent(manager, enter()).id)
    for origin, goal in product(LegState, LegState):
        set_state(manager, "order_legs", leg.id, origin)
        assert manager.move_leg(leg.id, goal) is (origin in LEG_FROM[goal])


def test_intents_move_as_the_table_allows_and_no_other_way(database_url: str) -> None:
    manager = database(database_url)
    intent = reserved_intent(manager, enter()).id
    for origin, goal in product(IntentState, ACTIVE_INTENTS):
        set_state(manager, "order_intents", intent, origin)
        assert manager.move_intent(intent, goal) is (origin in INTENT_FROM[goal])
    with pytest.raises(ValueError, match="completed is an end"):
        manager.move_intent(intent, IntentState.COMPLETED)


def test_an_order_is_written_down_before_it_is_sent(database_url: str) -> None:
    manager = database(database_url)
    intent = reserved_intent(manager, enter())
    (leg,) = manager.legs(intent.id)
    known = ("26010500000017", "26010500000018")
    plan = OrderPlan(leg.id, "paper", date(2026, 1, 5), 300, PriceType.LIMIT, PRICE, known)
    order = manager.record_send_intent(plan)
    (row,) = database(database_url).unfinished_orders()
    assert (row.id, row.state, row.order_id) == (order, OrderState.INTENDED, None)
    assert (row.quantity, row.price, row.known_order_ids) == (300, PRICE, known)
    assert manager.legs(intent.id)[0].state is LegState.WORKING


def test_an_order_without_an_answer_is_unknown_until_it_is_found(database_url: str) -> None:
    manager = database(database_url)
    intent = reserved_intent(manager, enter())
    (leg,) = manager.legs(intent.id)
    plan = OrderPlan(leg.id, "paper", date(2026, 1, 5), 300, PriceType.LIMIT, PRICE, ())
    order = manager.record_send_intent(plan)
    assert manager.mark_unknown(order, "timed out after 10 s")
    row = order_of(manager, order)
    assert (row.state, row.reason) == (OrderState.UNKNOWN, "timed out after 10 s")
    assert manager.record_order_id(order, "A1")
    assert not manager.record_order_id(order, "A1")
    with pytest.raises(Rejected, match="is not B2 but"):
        manager.record_order_id(order, "B2")
    assert order_of(manager, order).state is OrderState.SENT


def test_no_two_orders_of_a_day_have_one_id(database_url: str) -> None:
    manager = database(database_url)
    sent_order(manager, reserved_intent(manager, enter()), "A1")
    other = reserved_intent(manager, enter(instrument=GOLD))
    with pytest.raises(psycopg2.errors.UniqueViolation):
        sent_order(manager, other, "A1")


def test_a_fill_counts_once_however_often_it_is_told(database_url: str) -> None:
    manager = database(database_url)
    intent = reserved_intent(manager, enter())
    order = sent_order(manager, intent)
    told = [(90, "1164.6"), (90, "1164.6"), (300, "1151.53"), (90, "1164.6"), (300, "1151.53")]
    new = [manager.book_fill(order, quantity, Decimal(price)) for quantity, price in told]
    assert new == [True, False, True, False, False]
    row = order_of(manager, order)
    assert (row.filled_quantity, row.average_price) == (300, Decimal("1151.53"))
    assert row.state is OrderState.FILLED
    assert [fill.cumulative_quantity for fill in manager.fills(intent.id)] == [90, 300]
    with pytest.raises(Rejected, match="330 filled of"):
        manager.book_fill(order, 330, PRICE)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(told=st.lists(st.integers(1, 300), min_size=1, max_size=12))
def test_fills_come_to_the_most_that_was_told_in_any_order(
    database_url: str, told: list[int]
) -> None:
    manager = database(database_url, pool_size=1)
    for intent in manager.active_intents():
        for row in manager.orders(intent.id):
            manager.move_order(row.id, OrderState.CANCELLED)
        manager.complete_intent(intent.id, [])
    intent = reserved_intent(manager, enter())
    order = sent_order(manager, intent, f"order of intent {intent.id}")
    for quantity in told:
        manager.book_fill(order, quantity, PRICE + quantity)
    (row,) = manager.orders(intent.id)
    assert (row.filled_quantity, row.average_price) == (max(told), PRICE + max(told))
    assert (row.state is OrderState.FILLED) == (max(told) == 300)
    manager.close()


@pytest.mark.parametrize("state", FINISHED_ORDERS)
@pytest.mark.parametrize(("quantity", "whole"), [(90, False), (300, True)])
def test_a_late_fill_is_still_a_fill(
    database_url: str, state: OrderState, quantity: int, whole: bool
) -> None:
    manager = database(database_url)
    order = sent_order(manager, reserved_intent(manager, enter()))
    set_state(manager, "broker_orders", order, state)
    assert manager.book_fill(order, quantity, PRICE)
    row = order_of(manager, order)
    assert (row.filled_quantity, row.state) == (quantity, OrderState.FILLED if whole else state)


def test_a_leg_sums_its_orders(database_url: str) -> None:
    manager = database(database_url)
    intent = reserved_intent(manager, enter())
    first = sent_order(manager, intent, "A1")
    manager.book_fill(first, 90, Decimal("1164.60"))
    manager.move_order(first, OrderState.CANCELLED)
    second = sent_order(manager, intent, "A2")
    manager.book_fill(second, 210, Decimal("1150.10"))
    manager.record_price(second, Decimal("1150.15"))
    (leg,) = manager.legs(intent.id)
    assert leg.filled_quantity == 300
    assert leg.average_price == (90 * Decimal("1164.60") + 210 * Decimal("1150.10")) / 300
    assert order_of(manager, second).price == Decimal("1150.15")


def test_a_filled_first_leg_is_known_after_a_restart(database_url: str) -> None:
    """Incident 19: PE sold, CE pending, the process died, nothing had been saved."""
    manager = database(database_url)
    intent = reserved_intent(manager, enter())
    order = sent_order(manager, intent)
    manager.move_intent(intent.id, IntentState.WORKING)
    manager.book_fill(order, 300, PRICE)
    (leg,) = manager.legs(intent.id)
    manager.move_leg(leg.id, LegState.FILLED)
    manager.move_intent(intent.id, IntentState.NAKED, "the put cannot be had")
    again = database(database_url)
    (found,) = again.active_intents()
    assert (found.state, found.reason) == (IntentState.NAKED, "the put cannot be had")
    unwind = LegPlan(LegPurpose.UNWIND, Side.SELL, leg.symbol, leg.exchange, 10, 300)
    legs = again.add_legs(found.id, [unwind])
    assert [(item.place, item.purpose, item.filled_quantity) for item in legs] == [
        (1, LegPurpose.OPEN, 300),
        (2, LegPurpose.UNWIND, 0),
    ]


def test_an_exit_finds_the_contract_that_is_held(database_url: str) -> None:
    """Incident 26: exits sold the contract that the calendar named that day."""
    manager = database(database_url)
    intent = reserved_intent(manager, enter())
    manager.book_fill(sent_order(manager, intent), 300, PRICE)
    (position,) = manager.complete_intent(intent.id, [opened(price=PRICE)]).opened
    held = manager.held_legs(BANK)
    assert list(held) == [position.id]
    (leg,) = held[position.id]
    assert (leg.symbol, leg.exchange, leg.filled_quantity) == ("BANKNIFTY27JAN26FUT", "NFO", 300)
    exit_ = reserved_intent(manager, close(position))
    manager.complete_intent(exit_.id, [reduced(position, 10, 50_100)])
    assert manager.held_legs(BANK) == {}


def test_a_journey_tells_everything_that_became_of_an_alert(database_url: str) -> None:
    manager = database(database_url)
    work = claimed(manager, base_entry())
    found = reserve(manager, enter(), work.id)
    assert found.intent is not None
    order = sent_order(manager, found.intent)
    manager.book_fill(order, 300, PRICE)
    manager.complete_intent(found.intent.id, [opened(price=PRICE, charges="205.50")])
    journey = manager.journey(work.id)
    assert journey is not None
    assert (journey.signal.id, journey.raw_body) == (work.id, b'{"as": "it came"}')
    assert [row.kind for row in journey.audit] == ["decision", "opened"]
    assert from_json(Decision, journey.audit[0].detail) == found.decision
    (trip,) = journey.intents
    assert trip.intent == replace(
        found.intent, state=IntentState.COMPLETED, updated_at=trip.intent.updated_at
    )
    assert [leg.filled_quantity for leg in trip.legs] == [300]
    assert [row.order_id for row in trip.orders] == ["A1"]
    assert [fill.average_price for fill in trip.fills] == [PRICE]
    assert [row.id for row in trip.positions] == ["BANK_NIFTY/1/Long_1"]
    assert [row.amount for row in trip.ledger] == [Decimal("-205.50")]
    assert trip.ledger[0].position_id == "BANK_NIFTY/1/Long_1"
    assert manager.journey(work.id + 1) is None


def test_history_pages_follow_each_other(database_url: str) -> None:
    manager = database(database_url)
    for _ in range(3):
        position = entered(manager, opened(charges=1))
        exit_ = reserved_intent(manager, close(position))
        manager.complete_intent(exit_.id, [reduced(position, 10, 50_100, charges=2)])
    entered(manager, opened(instrument=GOLD))
    first = manager.positions(2, instrument=BANK)
    rest = manager.positions(9, before=first[-1].key, instrument=BANK)
    assert [row.trade_no for row in (*first, *rest)] == [3, 2, 1]
    trades = manager.trades(2)
    assert [row.position_id for row in manager.trades(9, before=trades[-1].id)] == [
        "BANK_NIFTY/1/Long_1"
    ]
    lines = manager.ledger(4)
    assert len(manager.ledger(99, before=lines[-1].id)) == len(manager.ledger(99)) - 4
    assert manager.position("GOLD_MINI/1/Long_1") == manager.positions(1)[0]
    assert manager.position("GOLD_MINI/2/Long_1") is None
    (pnl,) = manager.rows("SELECT trades, gross_pnl, charges, net_pnl FROM strategy_pnl")
    assert pnl == (3, 90_000, 9, 89_991)
