"""An order whose fate is unknown is found, or proven not to exist, or left to a person: never sent
again, and never forgotten.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.messages import GatewayMode, OrderRequest
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.ownership import Fenced
from core.db_state_manager.records import OrderPlan
from core.db_state_manager.states import IntentState, OrderState
from core.errors import OutcomeUnknown, Rejected, Retryable
from live.order_executor import Outcome
from live.sending import ORDER_UNKNOWN
from tests.fixtures.interruption import Died, otherwise
from tests.fixtures.order_desk import WINDOW_S, Desk, carrier_of, nothing, open_desk
from tests.fixtures.rules import BANK, GOLD

MODES = [GatewayMode.ANALYZE, GatewayMode.LIVE]


@pytest.fixture(params=MODES, ids=["analyze", "live"])
def desk(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    options = ("--funds", "1e9")
    with open_desk(database_url, tmp_path / "paper", *options, mode=request.param) as opened:
        yield opened


def lose_the_reply(order: OrderRequest) -> None:
    raise OutcomeUnknown("the connection broke after the order was sent")


def locks(desk: Desk) -> list[str]:
    return [lock.code for lock in desk.store.instrument_locks()]


def told(desk: Desk, kind: str) -> int:
    return sum(event.kind == kind for event in desk.store.events_after(0, 1000))


def carry_out_with(
    desk: Desk,
    intent: Any,
    store: DatabaseStateManager | None = None,
    client: Any = None,
    owner: str = "another process",
) -> Outcome:
    carrier = carrier_of(owner, store or desk.store, client or desk.client, desk.clock)
    return carrier.carry_out(intent).outcome


@pytest.mark.parametrize("instrument", [GOLD, BANK])
def test_an_order_that_the_database_could_not_name_is_found_again(
    desk: Desk, instrument: str
) -> None:
    """Incident 4: a handler failed after the order had filled, and the next one bought again."""

    def fail(call: object, *given: object) -> None:
        raise Retryable("the database was gone")

    intent = desk.reserve_entry(instrument, 2)
    forgetful = otherwise(desk.store, "record_order_id", fail)
    assert carry_out_with(desk, intent, store=forgetful) is Outcome.UNKNOWN
    (row,) = desk.store.orders(intent.id)
    assert (row.state, row.order_id) == (OrderState.INTENDED, None)
    assert carry_out_with(desk, intent) is Outcome.FILLED
    assert len(desk.orders()) == len(desk.held())
    assert locks(desk) == []


def test_what_may_be_one_of_several_orders_is_left_to_a_person(desk: Desk) -> None:
    def send_it_again(order: OrderRequest) -> None:
        desk.client.after = nothing
        desk.client.place_order(order)
        raise OutcomeUnknown("no reply")

    desk.client.after = send_it_again
    intent = desk.reserve_entry(GOLD, 1)
    assert desk.carrier.carry_out(intent).outcome is Outcome.UNKNOWN
    desk.clock.wait(WINDOW_S * 100)
    for _ in range(3):
        done = desk.carrier.carry_out(intent)
        assert done.outcome is Outcome.UNKNOWN
        assert "say which" in done.reason
    assert locks(desk) == [ORDER_UNKNOWN]
    assert told(desk, "INSTRUMENT_LOCKED") == 1
    assert len(desk.orders()) == 2


def test_an_equal_order_from_before_the_send_is_not_ours(desk: Desk) -> None:
    intent = desk.reserve_entry(GOLD, 1)
    ours: list[OrderRequest] = []

    def refuse(order: OrderRequest) -> None:
        ours.append(order)
        raise Rejected("REFUSED", "no")

    desk.client.before = refuse
    desk.carrier.carry_out(intent)
    desk.client.before = nothing
    desk.client.place_order(ours[0])

    def lose(order: OrderRequest) -> None:
        raise OutcomeUnknown("the connection broke before the order was sent")

    desk.client.before = lose
    intent = desk.reserve_entry(GOLD, 1)
    assert desk.carrier.carry_out(intent).outcome is Outcome.UNKNOWN
    desk.client.before = nothing
    assert desk.carrier.carry_out(intent).outcome is Outcome.UNKNOWN
    desk.clock.wait(WINDOW_S)
    assert desk.carrier.carry_out(intent).outcome is Outcome.FILLED
    assert len(desk.orders()) == 2


def test_one_order_at_the_broker_is_one_order_of_ours(desk: Desk) -> None:
    """Two rows that would both fit it: the one that is named already has it."""

    def fail(call: object, *given: object) -> None:
        raise Retryable("the database was gone")

    intent = desk.reserve_entry(GOLD, 1)
    forgetful = otherwise(desk.store, "record_order_id", fail)
    carry_out_with(desk, intent, store=forgetful)
    (row,) = desk.store.orders(intent.id)
    plan = OrderPlan(
        row.leg_id, row.broker, row.trading_day, row.quantity, row.price_type, row.price, ()
    )
    desk.store.record_send_intent(plan)
    assert desk.carrier.carry_out(intent).outcome is Outcome.UNKNOWN
    desk.clock.wait(WINDOW_S)
    assert desk.carrier.carry_out(intent).outcome is Outcome.FILLED
    states = [order.state for order in desk.store.orders(intent.id)]
    assert states == [OrderState.FILLED, OrderState.CANCELLED]
    assert len(desk.orders()) == 1


def test_an_order_of_somebody_else_is_not_adopted(desk: Desk) -> None:
    """Another lot count, price or side: only one that equals ours in everything is ours."""

    def lose(order: OrderRequest) -> None:
        for quantity, price in ((2, order.price), (1, order.price + 7)):
            other = OrderRequest(
                order.contract, order.action, quantity * order.quantity, price, "manual"
            )
            desk.client.before = nothing
            desk.client.place_order(other)
        raise OutcomeUnknown("the connection broke before the order was sent")

    desk.client.before = lose
    intent = desk.reserve_entry(GOLD, 1)
    assert desk.carrier.carry_out(intent).outcome is Outcome.UNKNOWN
    assert desk.carrier.carry_out(intent).outcome is Outcome.UNKNOWN
    desk.clock.wait(WINDOW_S)
    assert desk.carrier.carry_out(intent).outcome is Outcome.FILLED
    assert len(desk.orders()) == 3
    assert [layer.lots for layer in desk.layers(GOLD)] == [1]


@pytest.mark.parametrize("instrument", [GOLD, BANK])
def test_an_order_that_never_arrived_is_given_up_after_its_window_and_not_before(
    desk: Desk, instrument: str
) -> None:
    """Incident 17: a 500 both for "executed, reply lost" and for "never reached the broker"."""
    desk.client.before = lose_the_reply
    intent = desk.reserve_entry(instrument, 1)
    assert desk.carrier.carry_out(intent).outcome is Outcome.UNKNOWN
    desk.client.before = nothing
    for seconds in (0, WINDOW_S / 4, WINDOW_S / 4):
        desk.clock.wait(seconds)
        assert desk.carrier.carry_out(intent).outcome is Outcome.UNKNOWN
    assert (desk.orders(), locks(desk)) == ([], [ORDER_UNKNOWN])
    assert told(desk, "INSTRUMENT_LOCKED") == 1
    desk.clock.wait(WINDOW_S / 2)
    assert desk.carrier.carry_out(intent).outcome is Outcome.FILLED
    lost = desk.store.orders(intent.id)[0]
    assert lost.state is OrderState.CANCELLED
    assert "never arrived" in lost.reason
    assert len(desk.orders()) == len(desk.held())
    assert locks(desk) == []


def test_time_that_nobody_watched_proves_nothing(desk: Desk) -> None:
    """The machine slept, or its clock was set, with the order on its way through the gateway."""
    late: list[OrderRequest] = []

    def hold(order: OrderRequest) -> None:
        late.append(order)
        raise OutcomeUnknown("no reply yet")

    desk.client.before = hold
    intent = desk.reserve_entry(GOLD, 1)
    assert desk.carrier.carry_out(intent).outcome is Outcome.UNKNOWN
    desk.client.before = nothing
    desk.clock.moment += timedelta(minutes=30)
    for _ in range(2):
        assert desk.carrier.carry_out(intent).outcome is Outcome.UNKNOWN
    assert carry_out_with(desk, intent) is Outcome.UNKNOWN
    desk.client.place_order(late[0])
    assert desk.carrier.carry_out(intent).outcome is Outcome.FILLED
    assert len(desk.orders()) == 1


@pytest.mark.parametrize("book", ["orderbook", "tradebook"])
def test_a_book_that_cannot_be_read_is_not_an_answer(desk: Desk, book: str) -> None:
    """Incident 46: a failed read of the broker's book was taken for a flat account."""

    def fail(call: object) -> None:
        raise Retryable("the broker does not answer")

    desk.client.before = lose_the_reply
    intent = desk.reserve_entry(GOLD, 1)
    desk.carrier.carry_out(intent)
    desk.clock.wait(WINDOW_S * 10)
    blind = otherwise(desk.client, book, fail)
    assert carry_out_with(desk, intent, client=blind) is Outcome.UNKNOWN
    assert desk.store.orders(intent.id)[0].state is OrderState.UNKNOWN
    assert locks(desk) == [ORDER_UNKNOWN]


def test_books_of_another_session_prove_nothing(desk: Desk) -> None:
    desk.client.before = lose_the_reply
    intent = desk.reserve_entry(GOLD, 1)
    desk.carrier.carry_out(intent)
    desk.clock.wait(18 * 3600)
    done = desk.carrier.carry_out(intent)
    assert done.outcome is Outcome.UNKNOWN
    assert "the books of its session are gone" in done.reason


def test_an_order_that_comes_to_no_end_is_asked_again_and_replaced_only_then(desk: Desk) -> None:
    desk.enter(GOLD, 1)
    intent = desk.reserve_exit(*desk.layers(GOLD))
    desk.client.before = lambda order: desk.move(GOLD, 120_000)

    def fail(call: object, order_id: str) -> None:
        raise OutcomeUnknown("no reply")

    deaf = otherwise(desk.client, "cancel_order", fail)
    assert carry_out_with(desk, intent, client=deaf) is Outcome.UNKNOWN
    assert carry_out_with(desk, intent, client=deaf) is Outcome.UNKNOWN
    assert [row["order_status"] for row in desk.orders()] == ["complete", "open"]
    assert told(desk, "INSTRUMENT_LOCKED") == 1
    desk.client.before = nothing
    assert carry_out_with(desk, intent) is Outcome.FILLED
    assert [row["order_status"] for row in desk.orders()] == ["complete", "cancelled", "complete"]
    assert (desk.held(), desk.layers(GOLD), locks(desk)) == ({}, [], [])


def test_a_process_that_lost_the_intent_sends_nothing_more(desk: Desk) -> None:
    """Incident 47: it was paused after the call was bought, woke, and would have sold the put."""
    intent = desk.reserve_entry(BANK, 1)

    def pause(order: OrderRequest) -> None:
        desk.client.after = nothing
        assert desk.store.take_intent(intent.id, "the next process", 0)

    desk.client.after = pause
    with pytest.raises(Fenced):
        desk.carrier.carry_out(intent)
    assert len(desk.orders()) == 1
    assert carry_out_with(desk, intent, owner="the next process") is Outcome.FILLED
    assert len(desk.orders()) == len(desk.held()) == 2


def test_a_process_that_lost_the_intent_moves_no_price_and_books_nothing(desk: Desk) -> None:
    intent = desk.reserve_entry(GOLD, 1)

    def rise(order: OrderRequest) -> None:
        desk.move(GOLD, 128_150)

    def pause(order: OrderRequest) -> None:
        assert desk.store.take_intent(intent.id, "the next process", 0)

    desk.client.before, desk.client.after = rise, pause
    with pytest.raises(Fenced):
        desk.carrier.carry_out(intent)
    (row,) = desk.orders()
    assert Decimal(str(row["price"])) == desk.store.orders(intent.id)[0].price
    assert row["order_status"] == "open"
    assert desk.store.intent(intent.id).state is IntentState.WORKING


def test_an_order_is_not_sent_by_a_process_that_was_held_up_before_it(desk: Desk) -> None:
    held_up = [30.0]

    def slow(call: Callable[..., int], *given: object) -> int:
        row = call(*given)
        desk.clock.wait(held_up.pop() if held_up else 0)
        return row

    intent = desk.reserve_entry(GOLD, 1)
    store = otherwise(desk.store, "record_send_intent", slow)
    carry_out_with(desk, intent, store=store)
    first = desk.store.orders(intent.id)[0]
    assert (first.state, first.order_id) == (OrderState.CANCELLED, None)
    assert "held up" in first.reason


def test_an_intent_that_somebody_works_is_left_to_them(desk: Desk) -> None:
    intent = desk.reserve_entry(GOLD, 1)
    desk.store.take_intent(intent.id, "the first process", 60)
    with pytest.raises(Rejected, match="worked by another owner") as held:
        desk.carrier.carry_out(intent)
    assert held.value.code == "INTENT_HELD"
    assert carry_out_with(desk, intent, owner="the first process") is Outcome.FILLED
    with pytest.raises(Rejected, match="has ended: completed"):
        desk.carrier.carry_out(intent)
    assert len(desk.orders()) == 1


@pytest.mark.parametrize("instrument", [GOLD, BANK])
def test_a_process_that_wakes_after_its_exit_was_booked_says_that_it_has_lost_it(
    desk: Desk, instrument: str
) -> None:
    desk.enter(instrument, 1)
    intent = desk.reserve_exit(*desk.layers(instrument))

    def meanwhile(read: Callable[..., Any], *given: Any) -> Any:
        with desk.store.transaction() as cursor:
            cursor.execute("UPDATE order_intents SET lease_until = now() WHERE state = 'working'")
        assert carry_out_with(desk, intent, owner="the next one") is Outcome.FILLED
        return read(*given)

    slept = otherwise(desk.store, "held_legs", meanwhile)
    with pytest.raises(Fenced, match="held by nobody and not by the one that slept"):
        carry_out_with(desk, intent, slept, owner="the one that slept")
    assert desk.held() == {}


def test_who_takes_an_entry_over_pays_no_second_cap(desk: Desk) -> None:
    """One cap for all orders of a leg, from where its first one began and not from where it got."""
    desk.client.before = lambda order: desk.move(GOLD, 128_450)
    improved: list[object] = []

    def die_at_the_cap(call: Callable[..., None], *given: Any) -> None:
        call(*given)
        improved.append(given)
        if len(improved) == 5:
            raise Died("at the cap")

    intent = desk.reserve_entry(GOLD, 1)
    with pytest.raises(Died):
        carry_out_with(desk, intent, client=otherwise(desk.client, "modify_order", die_at_the_cap))
    assert carry_out_with(desk, intent, owner="the next process") is Outcome.NOT_FILLED
    (row,) = desk.orders()
    assert row["order_status"] == "cancelled"
    assert desk.held() == {}
