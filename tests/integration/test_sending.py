"""What happens while an order waits for its turn is heeded: it leaves only if it still may."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.messages import Action, Contract, GatewayMode, OrderRequest
from brokers.openalgo_http import GatewayAddress
from brokers.rate_limit import TokenBucket
from core.db_state_manager.ownership import Fenced
from core.db_state_manager.records import Intent, OrderPlan
from core.db_state_manager.states import ControlState, IntentState, LegPurpose, OrderState
from core.errors import Halted, OutcomeUnknown, Rejected
from live.close_all import CloseAll
from live.close_all_report import Standings
from live.exits import ExitDesk
from live.order_executor import Outcome
from live.reconciliation import Reconciler
from live.sending import ORDER_UNKNOWN, OrderSender
from tests.fixtures.interruption import otherwise
from tests.fixtures.order_desk import (
    CATALOG,
    OWNER,
    Desk,
    InterruptedClient,
    carrier_of,
    open_desk,
)
from tests.fixtures.rules import BANK, GOLD

CALL = Contract("BANKNIFTY29DEC2658500CE", "NFO")
PUT = Contract("BANKNIFTY29DEC2658500PE", "NFO")

Happens = Callable[[Desk, int], None]


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    with open_desk(database_url, tmp_path / "paper", "--funds", "1e9") as opened:
        yield opened


def waiting(desk: Desk, happens: Callable[[], None]) -> Desk:
    """The desk with a limiter that makes the next order wait; that happens meanwhile, once."""
    todo = [happens]

    def wait(seconds: float) -> None:
        desk.clock.wait(seconds)
        while todo:
            todo.pop()()

    limiter = TokenBucket(desk.clock, tokens=1, period_s=4)
    address = GatewayAddress(desk.paper.url, desk.paper.apikey, 10, 10, 10)
    client = InterruptedClient(address, GatewayMode.ANALYZE, desk.clock, limiter, wait)
    limiter.take()
    carrier = carrier_of(OWNER, desk.store, client, desk.clock)
    return replace(desk, client=client, carrier=carrier)


def halt(desk: Desk, intent_id: int) -> None:
    desk.store.set_control(ControlState.HALTED, "for a test", "operator")


def lock(desk: Desk, intent_id: int) -> None:
    desk.store.lock_instrument(GOLD, ORDER_UNKNOWN, "for a test", "a test")


def pause(desk: Desk, intent_id: int) -> None:
    desk.clock.wait(121)


@pytest.mark.parametrize("happens", [halt, lock, pause])
def test_an_entry_that_waits_for_its_turn_leaves_only_if_it_still_may(
    desk: Desk, happens: Happens
) -> None:
    intent = desk.reserve_entry(GOLD, 1)
    slow = waiting(desk, lambda: happens(desk, intent.id))
    assert slow.carrier.carry_out(intent).outcome is Outcome.NOT_FILLED
    assert desk.orders() == []
    assert [order.state for order in desk.store.orders(intent.id)] == [OrderState.CANCELLED]
    assert desk.store.intent(intent.id).state is IntentState.CANCELLED
    slow.client.close()


def test_an_entry_that_was_taken_over_while_it_waited_does_not_leave(desk: Desk) -> None:
    intent = desk.reserve_entry(GOLD, 1)
    slow = waiting(desk, lambda: take_over(desk, intent.id))
    with pytest.raises(Fenced):
        slow.carrier.carry_out(intent)
    assert desk.orders() == []
    assert [order.state for order in desk.store.orders(intent.id)] == [OrderState.CANCELLED]
    slow.client.close()


def take_over(desk: Desk, intent_id: int) -> None:
    assert desk.store.take_intent(intent_id, "another", 30)


def test_an_exit_that_was_held_up_is_sent_anew(desk: Desk) -> None:
    desk.enter(GOLD, 1)
    intent = desk.reserve_exit(*desk.layers(GOLD))
    slow = waiting(desk, lambda: pause(desk, intent.id))
    assert slow.carrier.carry_out(intent).outcome is Outcome.FILLED
    assert [order.state for order in desk.store.orders(intent.id)] == [
        OrderState.CANCELLED,
        OrderState.FILLED,
    ]
    assert desk.held() == {}
    slow.client.close()


def test_a_working_entry_is_not_improved_after_the_kill_switch(desk: Desk) -> None:
    price = Decimal(120_000)
    intent = desk.reserve_entry(GOLD, 1)
    (leg,) = desk.store.legs(intent.id)
    assert desk.store.take_intent(intent.id, OWNER, 30)
    sent = desk.sender.send(intent, leg, leg.quantity, price)
    slow = waiting(desk, lambda: halt(desk, intent.id))
    sender = OrderSender(desk.store, slow.client, "paper", desk.clock, OWNER)
    with pytest.raises(Halted):
        sender.reprice(intent, leg, sent, price + 100)
    assert desk.client.order_status(sent.order_id).price == price
    slow.client.close()


@pytest.mark.parametrize("is_written", [True, False])
def test_an_order_whose_writing_got_no_answer_is_not_sent_and_locks_nothing(
    desk: Desk, is_written: bool
) -> None:
    losing = [True]

    def lose(real: Callable[..., int], plan: OrderPlan, owner: str) -> int:
        if not losing:
            return real(plan, owner)
        losing.pop()
        if is_written:
            real(plan, owner)
        raise OutcomeUnknown("the commit got no answer")

    store = otherwise(desk.store, "record_send_intent", lose)
    intent = desk.reserve_entry(GOLD, 1)
    done = carrier_of(OWNER, store, desk.client, desk.clock).carry_out(intent)
    assert done.outcome is Outcome.FILLED
    never_sent = [OrderState.CANCELLED] if is_written else []
    states = [order.state for order in desk.store.orders(intent.id)]
    assert states == [*never_sent, OrderState.FILLED]
    assert (len(desk.sent()), desk.store.instrument_locks()) == (1, [])


def naked_entry(desk: Desk) -> Intent:
    """An entry whose call was bought and whose put was refused, when everything was stopped."""

    def stop(order: OrderRequest) -> None:
        if order.contract == PUT:
            desk.store.set_control(ControlState.HALTED, "for a test", "operator")
            raise Rejected("REFUSED", "no")

    desk.client.before = stop
    intent = desk.reserve_entry(BANK, 2)
    assert desk.carrier.carry_out(intent).outcome is Outcome.NAKED
    return intent


def test_close_all_has_a_naked_leg_given_back_while_everything_is_halted(desk: Desk) -> None:
    intent = naked_entry(desk)

    def sweep(seconds: float) -> bool:
        desk.carrier.carry_out(intent)
        return False

    exits = ExitDesk(desk.store, desk.client, desk.chooser, sweep)
    looks = Reconciler(desk.store, desk.client, "paper", CATALOG, desk.clock)
    closer = CloseAll(
        desk.store,
        Standings(desk.store, looks, desk.clock),
        desk.chooser,
        exits,
        lambda owner: carrier_of(owner, desk.store, desk.client, desk.clock),
        desk.clock,
        lambda: nullcontext("the operator"),
        lease_s=30,
    )
    (closing,) = closer.run("out", "operator")
    assert closing.is_flat is True
    assert desk.sent() == [f"BUY 60 {CALL.symbol}", f"SELL 60 {CALL.symbol}"]
    assert (desk.held(), desk.layers(BANK)) == ({}, [])
    assert desk.store.intent(intent.id).state is IntentState.COMPLETED


def test_what_another_exit_called_off_is_not_given_back_while_halted(desk: Desk) -> None:
    intent = naked_entry(desk)
    assert desk.store.request_cancel(intent.id)
    assert desk.carrier.carry_out(intent).outcome is Outcome.NAKED
    assert desk.held() == {CALL.symbol: 60}


def test_a_strangers_trade_is_not_taken_for_ours_because_we_may_not_send(desk: Desk) -> None:
    intent = naked_entry(desk)
    for action in (Action.BUY, Action.SELL):
        quote = desk.client.quote(CALL)
        price = quote.ask if action is Action.BUY else quote.bid
        assert price is not None
        desk.client.place_order(OrderRequest(CALL, action, 60, price, "by hand"))
    assert desk.carrier.carry_out(intent).outcome is Outcome.NAKED
    backs = [leg for leg in desk.store.legs(intent.id) if leg.purpose is LegPurpose.UNWIND]
    assert [leg.filled_quantity for leg in backs] == [0]
    desk.store.set_control(ControlState.ACTIVE, "for a test", "operator")
    assert desk.carrier.carry_out(intent).outcome is Outcome.NOT_FILLED
    assert desk.held() == {}
