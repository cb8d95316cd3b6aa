"""What is closed is what the broker's book shows, where it can be read; what it hides is closed."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.messages import Action, Contract, OrderRequest
from core.config import ExecutionConfig
from core.db_state_manager.states import ControlState, IntentState
from core.errors import Rejected
from core.market_calendar import MarketCalendar
from live.executors import ExecutorParts
from live.order_executor import Outcome
from live.reconciliation import BROKER_DIFFERS, Reconciler
from live.trading_hours import TradingHours
from tests.fixtures.order_desk import CATALOG, Desk, nothing, open_desk
from tests.fixtures.paper_faults import PaperFaults
from tests.fixtures.rules import BANK, GOLD

CALL, PUT = (Contract(f"BANKNIFTY29DEC2658500{right}", "NFO") for right in ("CE", "PE"))
FUTURE = Contract("GOLDM04DEC26FUT", "MCX")


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    options = ("--funds", "1e9", "--lotsize", "GOLD_MINI=10")
    with open_desk(database_url, tmp_path / "paper", *options) as opened:
        yield opened


def by_hand(desk: Desk, contract: Contract, action: Action, quantity: int) -> Decimal:
    """Somebody trades in the account without us; the price of it."""
    price = Decimal(150_000 if action is Action.BUY else 1)
    desk.client.place_order(OrderRequest(contract, action, quantity, price, "by hand"))
    return desk.fill_prices()[-1]


def locks(desk: Desk) -> list[tuple[str, str]]:
    return [(lock.instrument, lock.code) for lock in desk.store.instrument_locks()]


@pytest.mark.parametrize("passes", [None, 1])
def test_what_was_closed_by_hand_is_not_closed_again(desk: Desk, passes: int | None) -> None:
    desk.enter(GOLD, 2)
    (layer,) = desk.layers(GOLD)
    by_hand(desk, FUTURE, Action.SELL, 20)
    sent, began_s = desk.sent(), desk.clock.elapsed_s
    intent = desk.reserve_exit(layer)
    done = desk.carrier.carry_out(intent, passes)
    assert done.outcome is Outcome.NOT_FILLED
    assert "shows 0 of it" in done.reason
    assert 3 <= desk.clock.elapsed_s - began_s <= 10
    assert (desk.sent(), desk.held()) == (sent, {})
    assert [(held.id, held.lots) for held in desk.layers(GOLD)] == [(layer.id, 2)]
    assert locks(desk) == [(GOLD, BROKER_DIFFERS)]
    assert desk.store.intent(intent.id).state is IntentState.CANCELLED


def test_what_is_left_of_it_is_closed(desk: Desk) -> None:
    desk.enter(GOLD, 3)
    by_hand(desk, FUTURE, Action.SELL, 10)
    assert desk.leave(*desk.layers(GOLD)).outcome is Outcome.PARTLY_FILLED
    assert desk.sent()[-1] == f"SELL 20 {FUTURE.symbol}"
    assert desk.held() == {}
    assert [held.lots for held in desk.layers(GOLD)] == [1]
    assert locks(desk) == [(GOLD, BROKER_DIFFERS)]


def test_a_put_that_was_bought_back_by_hand_leaves_its_call_to_a_person(desk: Desk) -> None:
    desk.enter(BANK, 2)
    by_hand(desk, PUT, Action.BUY, 60)
    assert desk.leave(*desk.layers(BANK)).outcome is Outcome.NOT_FILLED
    assert desk.held() == {CALL.symbol: 60}
    assert locks(desk) == [(BANK, BROKER_DIFFERS)]
    check = Reconciler(desk.store, desk.client, "paper", CATALOG, desk.clock)
    assert check.run().unlocked == ()


def test_a_book_that_lags_is_waited_for(desk: Desk) -> None:
    desk.enter(GOLD, 2)
    by_hand(desk, Contract("GOLDM05FEB27FUT", "MCX"), Action.BUY, 10)
    faults = PaperFaults(desk.paper)
    faults.set("books_empty", endpoint="positionbook", times=1)
    assert desk.leave(*desk.layers(GOLD)).outcome is Outcome.FILLED
    assert "books_empty" in faults.struck()
    assert locks(desk) == []


@pytest.mark.parametrize("fault", ["books_down", "books_empty"])
def test_a_book_that_tells_nothing_never_stops_an_exit(desk: Desk, fault: str) -> None:
    """Incident 46: an empty book while money is in use is not a flat account."""
    desk.enter(GOLD, 2)
    faults = PaperFaults(desk.paper)
    faults.set(fault, endpoint="positionbook")
    assert desk.leave(*desk.layers(GOLD)).outcome is Outcome.FILLED
    assert fault in faults.struck()
    assert (faults.held(), locks(desk)) == ({}, [])


def stopped_at_the_put(desk: Desk) -> None:
    """From now on the put is refused, and nothing is sent any more."""

    def stop(order: OrderRequest) -> None:
        if order.contract == PUT:
            desk.store.set_control(ControlState.HALTED, "for a test", "operator")
            raise Rejected("REFUSED", "no")

    desk.client.before = stop


def told(desk: Desk, kind: str) -> int:
    return sum(event.kind == kind for event in desk.store.events_after(0, 1000))


def test_a_naked_leg_is_alarmed_again_for_as_long_as_it_lasts(desk: Desk) -> None:
    stopped_at_the_put(desk)
    intent = desk.reserve_entry(BANK, 2)
    for minutes, alarms in ((0, 1), (4, 1), (2, 2), (1, 2), (6, 3)):
        desk.clock.wait(minutes * 60)
        assert desk.carrier.carry_out(intent).outcome is Outcome.NAKED
        assert told(desk, "INTENT_NAKED") == alarms
    assert desk.store.intent(intent.id).state is IntentState.NAKED


def test_an_orphan_that_was_closed_by_hand_is_booked_and_not_sold_again(desk: Desk) -> None:
    """Incident 25: what stands alone is booked as what it is."""
    stopped_at_the_put(desk)
    intent = desk.reserve_entry(BANK, 2)
    assert desk.carrier.carry_out(intent).outcome is Outcome.NAKED
    desk.client.before = nothing
    (bought,) = desk.fill_prices()
    desk.move(BANK, 58_300)
    sold = by_hand(desk, CALL, Action.SELL, 60)
    desk.store.set_control(ControlState.ACTIVE, "for a test", "operator")
    sent = desk.sent()
    assert desk.carrier.carry_out(intent).outcome is Outcome.NOT_FILLED
    assert (desk.sent(), desk.held(), desk.layers(BANK)) == (sent, {}, [])
    assert desk.store.intent(intent.id).state is IntentState.COMPLETED
    profits = [line.amount for line in desk.store.ledger(5) if line.kind.value == "PNL"]
    assert profits == [(sold - bought) * 60]
    check = Reconciler(desk.store, desk.client, "paper", CATALOG, desk.clock)
    check.run()
    check.run()
    assert locks(desk) == []


def test_only_trades_since_the_operation_are_taken_for_its_own(desk: Desk) -> None:
    by_hand(desk, CALL, Action.BUY, 60)
    by_hand(desk, CALL, Action.SELL, 60)
    stopped_at_the_put(desk)
    intent = desk.reserve_entry(BANK, 2)
    assert desk.carrier.carry_out(intent).outcome is Outcome.NAKED
    desk.client.before = nothing
    by_hand(desk, CALL, Action.SELL, 90)
    desk.store.set_control(ControlState.ACTIVE, "for a test", "operator")
    sent = desk.sent()
    assert desk.carrier.carry_out(intent).outcome is Outcome.NAKED
    assert (desk.sent(), desk.held()) == (sent, {CALL.symbol: -30})


def test_an_exit_whose_second_leg_was_sold_by_hand_is_booked_with_that_price(desk: Desk) -> None:
    desk.enter(BANK, 2)
    prices: list[Decimal] = []

    def sell_the_call(order: OrderRequest) -> None:
        desk.client.after = nothing
        prices.append(by_hand(desk, CALL, Action.SELL, 60))

    desk.client.after = sell_the_call
    done = desk.leave(*desk.layers(BANK))
    assert done.outcome is Outcome.FILLED
    assert desk.sent()[2:] == [f"BUY 60 {PUT.symbol}", f"SELL 60 {CALL.symbol}"]
    assert (desk.held(), desk.layers(BANK)) == ({}, [])
    call_in, put_in, put_out, call_out = desk.fill_prices()
    assert done.completion is not None
    (trade,) = done.completion.trades
    assert trade.gross_pnl == (call_out - call_in) * 60 + (put_in - put_out) * 60
    assert prices == [call_out]


def test_what_we_traded_before_midnight_is_not_taken_for_made_by_hand_after_it(desk: Desk) -> None:
    """The broker's day, and its trade book, goes on until three in the morning."""
    desk.clock.wait(14 * 3600 + 28 * 60)
    desk.paper.read("control/clock", {"at": desk.clock.now().isoformat()})
    intent = desk.reserve_entry(GOLD, 2)
    assert desk.carrier.carry_out(intent).outcome is Outcome.FILLED
    (leg,) = desk.store.legs(intent.id)
    desk.clock.wait(300)
    hours = TradingHours(MarketCalendar.shipped(), CATALOG)
    parts = ExecutorParts(
        desk.store, desk.sender, desk.client, "paper", desk.clock, desk.clock.wait, hours
    )
    unwinder = parts.of({GOLD: ExecutionConfig()})[GOLD].single.unwinder
    assert unwinder.adopt(leg, 20) is False
    assert [order.quantity for order in desk.store.orders(intent.id)] == [20]
