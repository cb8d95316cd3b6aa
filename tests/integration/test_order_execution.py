"""Intents become exactly the exposure at the exchange that the books then say, or nothing."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.messages import OrderRequest
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.invariants import violations
from core.db_state_manager.records import LegPlan, OrderPlan, OutboxEvent
from core.db_state_manager.states import (
    ControlState,
    IntentSource,
    IntentState,
    LedgerKind,
    LegPurpose,
    LegState,
    OrderState,
    PriceType,
)
from core.errors import Halted, OutcomeUnknown, Rejected, Retryable
from core.models import Trade
from live.carrying_out import CarriedOut
from live.expiry_utils import opposite
from live.order_executor import Outcome
from live.sending import ORDER_UNKNOWN
from tests.fixtures.database import MAKER
from tests.fixtures.order_desk import Desk, nothing, open_desk
from tests.fixtures.rules import BANK, GOLD

CALL, PUT = "BANKNIFTY29DEC2658500CE", "BANKNIFTY29DEC2658500PE"
STRIKE = 58_500


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    with open_desk(database_url, tmp_path / "paper", "--funds", "1e9") as opened:
        yield opened


def only_trade(done: CarriedOut) -> Trade:
    assert done.completion is not None
    (trade,) = done.completion.trades
    return trade


@pytest.mark.parametrize("lotsize", [1, 10, 100])
def test_gold_is_entered_and_left_in_the_brokers_own_quantity(
    database_url: str, tmp_path: Path, lotsize: int
) -> None:
    """Incident 27: Gold was rolled as 300 "lots" on NFO instead of 3 on MCX."""
    options = ("--funds", "1e9", "--lotsize", f"GOLD_MINI={lotsize}")
    with open_desk(database_url, tmp_path / "paper", *options) as desk:
        assert desk.enter(GOLD, 3).outcome is Outcome.FILLED
        (layer,) = desk.layers(GOLD)
        (entry_price,) = desk.fill_prices()
        assert (layer.lots, layer.entry_price) == (3, entry_price)
        assert desk.held() == {layer.symbol: 3 * lotsize}
        assert {row["exchange"] for row in desk.orders()} == {"MCX"}
        desk.move(GOLD, 128_500)
        trade = only_trade(desk.leave(layer))
        exit_price = desk.fill_prices()[1]
        assert trade.gross_pnl == (exit_price - entry_price) * 3 * 10
        assert desk.held() == {}
        assert desk.layers(GOLD) == []
        assert [row["pricetype"] for row in desk.orders()] == ["LIMIT", "LIMIT"]


def test_a_synthetic_future_is_bought_call_first_and_left_put_first(desk: Desk) -> None:
    assert desk.enter(BANK, 2).outcome is Outcome.FILLED
    (layer,) = desk.layers(BANK)
    call, put = desk.fill_prices()
    assert layer.entry_price == STRIKE + call - put
    assert desk.held() == {CALL: 60, PUT: -60}
    desk.leave(layer)
    assert desk.sent() == [
        f"BUY 60 {CALL}",
        f"SELL 60 {PUT}",
        f"BUY 60 {PUT}",
        f"SELL 60 {CALL}",
    ]
    assert (desk.held(), desk.layers(BANK)) == ({}, [])


def test_profit_comes_from_the_fills_of_all_legs(desk: Desk) -> None:
    """Incident 23: an exit without prices fell back to the signal's: +384, true was -1,980."""
    desk.enter(BANK, 2)
    (layer,) = desk.layers(BANK)
    desk.move(BANK, 57_700)
    trade = only_trade(desk.leave(layer))
    call_in, put_in, put_out, call_out = desk.fill_prices()
    assert trade.gross_pnl == (call_out - call_in) * 60 + (put_in - put_out) * 60
    assert trade.gross_pnl < -15_000
    assert trade.net_pnl == trade.gross_pnl - trade.charges
    assert desk.store.load_book().closed_equity == 5_000_000 + trade.net_pnl


def test_layers_are_left_in_the_contracts_they_hold(desk: Desk) -> None:
    desk.enter(BANK, 2)
    desk.move(BANK, 59_600)
    desk.enter(BANK, 1, layer=2)
    assert desk.leave(*desk.layers(BANK)).outcome is Outcome.FILLED
    other_call, other_put = CALL.replace("58500", "60000"), PUT.replace("58500", "60000")
    assert desk.sent()[4:] == [
        f"BUY 60 {PUT}",
        f"SELL 60 {CALL}",
        f"BUY 30 {other_put}",
        f"SELL 30 {other_call}",
    ]
    assert (desk.held(), desk.layers(BANK)) == ({}, [])


def test_the_first_leg_is_durable_before_the_second_is_sent(desk: Desk, database_url: str) -> None:
    """Incident 19: PE sold, CE pending, process died; nothing had been saved."""

    def die_at_the_put(order: OrderRequest) -> None:
        if order.contract.symbol == PUT:
            raise KeyboardInterrupt

    desk.client.before = die_at_the_put
    intent = desk.reserve_entry(BANK, 2)
    with pytest.raises(KeyboardInterrupt):
        desk.carrier.carry_out(intent)
    again = DatabaseStateManager(database_url, 1, desk.clock, MAKER.stops)
    call, put = again.legs(intent.id)
    assert (call.state, call.filled_quantity) == (LegState.FILLED, 60)
    assert (put.state, put.filled_quantity) == (LegState.WORKING, 0)
    first, second = again.orders(intent.id)
    assert (second.state, second.order_id) == (OrderState.INTENDED, None)
    assert second.known_order_ids == (first.order_id,)
    again.close()


def test_a_refused_second_leg_unwinds_the_first(database_url: str, tmp_path: Path) -> None:
    """The exchange has funds for the call and not for the margin of the put."""
    with open_desk(database_url, tmp_path / "paper", "--funds", "60000") as desk:
        intent = desk.reserve_entry(BANK, 1)
        done = desk.carrier.carry_out(intent)
        assert done.outcome is Outcome.NOT_FILLED
        assert "Insufficient funds" in done.reason
        assert desk.sent()[:1] + desk.sent()[-1:] == [f"BUY 30 {CALL}", f"SELL 30 {CALL}"]
        assert (desk.held(), desk.layers(BANK)) == ({}, [])
        bought, sold = desk.fill_prices()
        lines = {line.kind: line.amount for line in desk.store.ledger(2)}
        assert lines[LedgerKind.PNL] == (sold - bought) * 30
        assert lines[LedgerKind.CHARGES] < 0
        assert desk.store.intent(intent.id).state is IntentState.COMPLETED


def test_a_leg_that_can_neither_be_matched_nor_given_back_is_naked(
    desk: Desk, database_url: str
) -> None:
    def stop_at_the_put(order: OrderRequest) -> None:
        if order.contract.symbol == PUT:
            desk.store.set_control(ControlState.HALTED, "for a test", "operator")
            raise Rejected("REFUSED", "no")

    desk.client.before = stop_at_the_put
    intent = desk.reserve_entry(BANK, 2)
    assert desk.carrier.carry_out(intent).outcome is Outcome.NAKED
    assert desk.held() == {CALL: 60}
    again = DatabaseStateManager(database_url, 1, desk.clock, MAKER.stops)
    (found,) = again.active_intents()
    assert found.state is IntentState.NAKED
    assert f"BUY 60 {CALL} stands alone" in found.reason
    again.close()


@pytest.mark.parametrize("instrument", [BANK, GOLD])
@pytest.mark.parametrize("scope", ["GLOBAL", "own"])
def test_the_kill_switch_stops_entries_and_lets_exits_through(
    desk: Desk, instrument: str, scope: str
) -> None:
    """Incident 49: the kill switch blocked exits; other paths ignored it."""
    desk.enter(instrument, 1)
    (layer,) = desk.layers(instrument)
    before = desk.sent()
    scope = instrument if scope == "own" else scope
    for state in (ControlState.REDUCING, ControlState.HALTED):
        desk.store.set_control(state, "for a test", "operator", scope)
        intent = desk.reserve_entry(instrument, 1, layer=2)
        assert desk.carrier.carry_out(intent).outcome is Outcome.NOT_FILLED
        assert desk.store.intent(intent.id).state is IntentState.CANCELLED
    assert desk.leave(layer).outcome is Outcome.NOT_FILLED
    assert desk.sent() == before
    assert [held.id for held in desk.layers(instrument)] == [layer.id]
    desk.store.set_control(ControlState.REDUCING, "for a test", "operator", scope)
    assert desk.leave(layer).outcome is Outcome.FILLED
    assert desk.held() == {}


def test_the_operator_closes_all_while_everything_is_halted(desk: Desk) -> None:
    desk.enter(GOLD, 1)
    desk.store.set_control(ControlState.HALTED, "for a test", "operator")
    intent = desk.reserve_exit(*desk.layers(GOLD), source=IntentSource.OPERATOR)
    assert desk.carrier.carry_out(intent).outcome is Outcome.FILLED
    assert desk.held() == {}


def test_a_locked_instrument_takes_no_entry_and_is_left_all_the_same(desk: Desk) -> None:
    desk.enter(GOLD, 1)
    desk.store.lock_instrument(GOLD, "MISMATCH", "for a test", "reconciliation")
    assert desk.enter(GOLD, 1, layer=2).outcome is Outcome.NOT_FILLED
    assert desk.enter(BANK, 1).outcome is Outcome.FILLED
    assert desk.leave(*desk.layers(GOLD)).outcome is Outcome.FILLED


@pytest.mark.parametrize("instrument", [GOLD, BANK])
def test_an_order_whose_reply_is_lost_is_never_sent_again(desk: Desk, instrument: str) -> None:
    def lose_the_reply(order: OrderRequest) -> None:
        raise OutcomeUnknown("the connection broke after the order was sent")

    desk.client.after = lose_the_reply
    intent = desk.reserve_entry(instrument, 1)
    assert desk.carrier.carry_out(intent).outcome is Outcome.UNKNOWN
    (order,) = desk.store.orders(intent.id)
    assert (order.state, order.order_id) == (OrderState.UNKNOWN, None)
    assert desk.store.intent(intent.id).state is IntentState.UNKNOWN
    (lock,) = desk.store.instrument_locks()
    assert (lock.instrument, lock.code) == (instrument, ORDER_UNKNOWN)
    leg = desk.store.legs(intent.id)[0]
    with pytest.raises(Halted, match=ORDER_UNKNOWN):
        desk.sender.send(intent, leg, leg.quantity, Decimal(100))
    assert len(desk.orders()) == 1
    desk.client.after = nothing
    assert desk.carrier.carry_out(intent).outcome is Outcome.FILLED
    assert desk.store.instrument_locks() == []
    symbols = [row["symbol"] for row in desk.orders()]
    assert len(symbols) == len(set(symbols)) == len(desk.held())


def test_what_surely_did_not_arrive_is_sent_anew(desk: Desk) -> None:
    refusals = [Retryable("10 per 1 second"), Retryable("connection refused")]

    def refuse_twice(order: OrderRequest) -> None:
        if refusals:
            raise refusals.pop()

    desk.client.before = refuse_twice
    intent = desk.reserve_entry(GOLD, 1)
    assert desk.carrier.carry_out(intent).outcome is Outcome.FILLED
    states = [order.state for order in desk.store.orders(intent.id)]
    assert states == [OrderState.CANCELLED, OrderState.CANCELLED, OrderState.FILLED]
    assert len(desk.orders()) == 1


def test_an_order_that_the_market_left_behind_is_followed(desk: Desk) -> None:
    """Incident 30: a protected market order rested unfilled in a fast move."""
    desk.client.before = lambda order: desk.move(GOLD, 128_150)
    intent = desk.reserve_entry(GOLD, 1)
    assert desk.carrier.carry_out(intent).outcome is Outcome.FILLED
    (row,) = desk.orders()
    (order,) = desk.store.orders(intent.id)
    assert order.price == Decimal(str(row["price"])) == desk.fill_prices()[0]
    assert order.price % 1 == 0
    assert 2 <= desk.clock.elapsed_s < 10


def test_an_order_beyond_its_cap_is_cancelled_and_nothing_is_held(desk: Desk) -> None:
    """Incident 30: a resting order is exposure, so it does not stay."""
    desk.client.before = lambda order: desk.move(GOLD, 130_000)
    intent = desk.reserve_entry(GOLD, 1)
    done = desk.carrier.carry_out(intent)
    assert (done.outcome, done.completion) == (Outcome.NOT_FILLED, None)
    (row,) = desk.orders()
    assert row["order_status"] == "cancelled"
    (order,) = desk.store.orders(intent.id)
    assert order.state is OrderState.CANCELLED
    assert desk.store.intent(intent.id).state is IntentState.CANCELLED
    assert 12 <= desk.clock.elapsed_s < 15


def test_a_stop_in_the_middle_withdraws_what_rests(desk: Desk) -> None:
    """Incident 49: one function sends, and a better price is sent through it too."""

    def rise(order: OrderRequest) -> None:
        desk.move(GOLD, 128_150)

    def stop(order: OrderRequest) -> None:
        desk.store.set_control(ControlState.REDUCING, "for a test", "operator")

    desk.client.before, desk.client.after = rise, stop
    assert desk.enter(GOLD, 1).outcome is Outcome.NOT_FILLED
    assert [row["order_status"] for row in desk.orders()] == ["cancelled"]
    assert desk.held() == {}


def told(desk: Desk, kind: str) -> list[OutboxEvent]:
    return [event for event in desk.store.events_after(0, 1000) if event.kind == kind]


@pytest.mark.slow
@pytest.mark.parametrize("passes", [None, 1])
def test_an_exit_is_chased_in_stages_until_it_is_filled(desk: Desk, passes: int | None) -> None:
    """Incident 29: a stop exit was refused by a hard 2 % slippage cap in a crash."""
    desk.enter(GOLD, 1)
    prices = [126_000, 124_000, 122_000]

    def fall(order: OrderRequest) -> None:
        if prices:
            desk.move(GOLD, prices.pop(0))

    desk.client.before = fall
    intent = desk.reserve_exit(*desk.layers(GOLD))
    done = desk.carrier.carry_out(intent, passes)
    while done.outcome is Outcome.CHASING:
        done = desk.carrier.carry_out(intent, passes)
    assert done.outcome is Outcome.FILLED
    statuses = [row["order_status"] for row in desk.orders()]
    assert statuses == ["complete", "cancelled", "cancelled", "cancelled", "complete"]
    assert (desk.held(), desk.layers(GOLD)) == ({}, [])
    stages = [event.payload["cap_fraction"] for event in told(desk, "EXIT_STAGE")]
    assert stages == ["0.005", "0.01", "0.02"]


def test_an_exit_that_the_broker_refuses_is_tried_again_without_haste(desk: Desk) -> None:
    desk.enter(GOLD, 1)
    refusals = [Rejected("REFUSED", "no")] * 7

    def refuse(order: OrderRequest) -> None:
        if refusals:
            raise refusals.pop()

    desk.client.before = refuse
    began_s = desk.clock.elapsed_s
    assert desk.leave(*desk.layers(GOLD)).outcome is Outcome.FILLED
    assert desk.clock.elapsed_s - began_s >= 60
    assert (desk.held(), len(told(desk, "EXIT_STAGE"))) == ({}, 4)


def test_an_entry_that_is_called_off_ends_within_a_second(desk: Desk) -> None:
    """Incident 14: an exit for an instrument whose entry is still working."""
    intent = desk.reserve_entry(GOLD, 1)

    def call_off(order: OrderRequest) -> None:
        desk.move(GOLD, 130_000)
        assert desk.store.request_cancel(intent.id)

    desk.client.before = call_off
    done = desk.carrier.carry_out(intent)
    assert (done.outcome, desk.held()) == (Outcome.NOT_FILLED, {})
    assert "called off" in done.reason
    assert [row["order_status"] for row in desk.orders()] == ["cancelled"]
    assert desk.clock.elapsed_s <= 1


def test_an_entry_that_is_called_off_between_its_legs_gives_the_first_back(desk: Desk) -> None:
    intent = desk.reserve_entry(BANK, 2)

    def call_off(order: OrderRequest) -> None:
        desk.store.request_cancel(intent.id)

    desk.client.after = call_off
    assert desk.carrier.carry_out(intent).outcome is Outcome.NOT_FILLED
    assert desk.sent() == [f"BUY 60 {CALL}", f"SELL 60 {CALL}"]
    assert (desk.held(), desk.layers(BANK)) == ({}, [])
    assert desk.store.intent(intent.id).state is IntentState.COMPLETED
    assert desk.clock.elapsed_s <= 1


def test_what_filled_before_an_entry_was_called_off_is_kept(desk: Desk) -> None:
    intent = desk.reserve_entry(GOLD, 1)

    def call_off(order: OrderRequest) -> None:
        desk.store.request_cancel(intent.id)

    desk.client.after = call_off
    assert desk.carrier.carry_out(intent).outcome is Outcome.FILLED
    assert [layer.lots for layer in desk.layers(GOLD)] == [1]


def test_a_naked_entry_is_given_back_as_soon_as_that_is_allowed(desk: Desk) -> None:
    def stop_at_the_put(order: OrderRequest) -> None:
        if order.contract.symbol == PUT:
            desk.store.set_control(ControlState.HALTED, "for a test", "operator")
            raise Rejected("REFUSED", "no")

    desk.client.before = stop_at_the_put
    intent = desk.reserve_entry(BANK, 2)
    for _ in range(3):
        assert desk.carrier.carry_out(intent).outcome is Outcome.NAKED
    assert len(told(desk, "INTENT_NAKED")) == 1
    desk.store.set_control(ControlState.REDUCING, "for a test", "operator")
    assert desk.carrier.carry_out(intent).outcome is Outcome.NOT_FILLED
    assert (desk.held(), desk.layers(BANK)) == ({}, [])
    assert desk.sent() == [f"BUY 60 {CALL}", f"SELL 60 {CALL}"]
    assert desk.store.intent(intent.id).state is IntentState.COMPLETED


def test_a_naked_exit_goes_on_with_its_second_leg(desk: Desk) -> None:
    desk.enter(BANK, 2)
    intent = desk.reserve_exit(*desk.layers(BANK))

    def stop(order: OrderRequest) -> None:
        desk.store.set_control(ControlState.HALTED, "for a test", "operator")

    desk.client.after = stop
    assert desk.carrier.carry_out(intent).outcome is Outcome.NAKED
    assert desk.held() == {CALL: 60}
    assert desk.carrier.carry_out(intent).outcome is Outcome.NAKED
    desk.client.after = nothing
    desk.store.set_control(ControlState.ACTIVE, "for a test", "operator")
    assert desk.carrier.carry_out(intent).outcome is Outcome.FILLED
    assert (desk.held(), desk.layers(BANK)) == ({}, [])
    assert desk.sent()[2:] == [f"BUY 60 {PUT}", f"SELL 60 {CALL}"]


def test_more_than_one_order_may_carry_goes_out_in_slices_of_whole_lots(desk: Desk) -> None:
    assert desk.enter(BANK, 25).outcome is Outcome.FILLED
    (layer,) = desk.layers(BANK)
    assert (layer.lots, desk.held()) == (25, {CALL: 750, PUT: -750})
    assert desk.leave(layer).outcome is Outcome.FILLED
    assert (desk.held(), desk.layers(BANK)) == ({}, [])
    assert desk.sent() == [
        f"{side} {quantity} {symbol}"
        for side, symbol in (("BUY", CALL), ("SELL", PUT), ("BUY", PUT), ("SELL", CALL))
        for quantity in (600, 150)
    ]


@pytest.mark.parametrize(
    ("symbol", "sent"),
    [
        (CALL, [f"BUY 600 {CALL}", f"SELL 600 {PUT}"]),
        (PUT, [f"BUY 600 {CALL}", f"BUY 150 {CALL}", f"SELL 600 {PUT}", f"SELL 150 {CALL}"]),
    ],
    ids=["call", "put"],
)
def test_an_entry_that_is_had_in_part_is_held_in_pairs(
    desk: Desk, symbol: str, sent: list[str]
) -> None:
    """Incident 25: 10 calls and 8 puts were counted as 18."""

    def refuse_the_rest(order: OrderRequest) -> None:
        if (order.contract.symbol, order.quantity) == (symbol, 150):
            raise Rejected("REFUSED", "no")

    desk.client.before = refuse_the_rest
    assert desk.enter(BANK, 25).outcome is Outcome.PARTLY_FILLED
    (layer,) = desk.layers(BANK)
    assert (layer.lots, desk.held()) == (20, {CALL: 600, PUT: -600})
    assert desk.sent() == sent
    assert violations(desk.store) == []
    desk.client.before = nothing
    assert desk.leave(layer).outcome is Outcome.FILLED
    assert (desk.held(), desk.layers(BANK)) == ({}, [])


def test_what_was_given_back_is_no_layer_even_after_a_late_fill(desk: Desk) -> None:
    """The put filled after it was believed cancelled and the call had been sold again."""
    intent = desk.reserve_entry(BANK, 1)
    call, put = desk.store.legs(intent.id)
    backs = [
        LegPlan(LegPurpose.UNWIND, opposite(leg.side), leg.symbol, leg.exchange, 1, leg.quantity)
        for leg in (call, put)
    ]
    day, price = desk.clock.now().date(), Decimal(1_000)
    desk.store.move_intent(intent.id, IntentState.WORKING)
    for leg in desk.store.add_legs(intent.id, backs):
        plan = OrderPlan(leg.id, "paper", day, leg.quantity, PriceType.LIMIT, price, ())
        order = desk.store.record_send_intent(plan)
        desk.store.record_order_id(order, f"A{leg.place}")
        desk.store.book_fill(order, leg.quantity, price)
    assert desk.carrier.carry_out(intent).outcome is Outcome.NOT_FILLED
    assert desk.layers(BANK) == []
    assert desk.store.intent(intent.id).state is IntentState.COMPLETED
    assert {line.amount for line in desk.store.ledger(4) if line.kind is LedgerKind.PNL} == {0}
