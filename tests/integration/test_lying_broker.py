"""A broker that says what is not so: what was traded is booked as it is, and nothing is doubled."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.messages import GatewayMode, OrderRequest
from core.db_state_manager.invariants import violations
from core.db_state_manager.states import IntentState
from core.errors import Rejected
from live.order_executor import Outcome
from live.sending import ORDER_UNKNOWN
from tests.fixtures.order_desk import WINDOW_S, Desk, nothing, open_desk
from tests.fixtures.paper_faults import PaperFaults
from tests.fixtures.rules import BANK, GOLD

CALL, PUT = "BANKNIFTY29DEC2658500CE", "BANKNIFTY29DEC2658500PE"
OPTIONS = ("--funds", "1e9", "--lotsize", "GOLD_MINI=10")
LEGS = {GOLD: 1, BANK: 2}

LOST = ["reply_lost", "error_after", "error_before", "request_lost"]


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize("instrument", [GOLD, BANK])
def test_a_send_without_an_answer_is_looked_for_and_never_repeated(
    database_url: str, tmp_path: Path, fault: str, instrument: str
) -> None:
    """Incidents 16 and 17: it filled and was called rejected; one text for done and not done."""
    with open_desk(database_url, tmp_path / "paper", *OPTIONS, mode=GatewayMode.LIVE) as desk:
        faults = PaperFaults(desk.paper)
        faults.set(fault, endpoint="placeorder", times=1)
        intent = desk.reserve_entry(instrument, 2)
        done = desk.carrier.carry_out(intent)
        for _ in range(3):
            if done.outcome is not Outcome.UNKNOWN:
                break
            assert [lock.code for lock in desk.store.instrument_locks()] == [ORDER_UNKNOWN]
            desk.clock.wait(WINDOW_S)
            done = desk.carrier.carry_out(intent)
        assert (done.outcome, faults.struck()) == (Outcome.FILLED, [fault])
        assert len(desk.orders()) == LEGS[instrument]
        assert desk.held() == faults.held()
        assert [layer.lots for layer in desk.layers(instrument)] == [2]
        assert desk.store.instrument_locks() == []


@pytest.mark.parametrize("mode", GatewayMode, ids=lambda mode: mode.value)
def test_a_price_is_the_trade_books_whatever_the_order_says(
    database_url: str, tmp_path: Path, mode: GatewayMode
) -> None:
    """Incident 20: the limit price was booked, and the average of the first fill."""
    with open_desk(database_url, tmp_path / "paper", *OPTIONS, mode=mode) as desk:
        faults = PaperFaults(desk.paper)
        pieces = [{"quantity": 10}, {"quantity": 10, "ticks": 30}, {"ticks": 60}]
        faults.set("partial_fill", pieces=pieces, times=1)
        faults.set("first_fill_average")
        assert desk.enter(GOLD, 3).outcome is Outcome.FILLED
        (layer,) = desk.layers(GOLD)
        prices = desk.fill_prices()
        assert len(set(prices)) == 3
        assert layer.entry_price == sum(prices, Decimal(0)) / 3


@pytest.mark.parametrize("instrument", [GOLD, BANK])
def test_a_rejection_that_is_none_is_not_believed(
    database_url: str, tmp_path: Path, instrument: str
) -> None:
    """Incident 21: a pending order was listed as rejected for one poll."""
    with open_desk(database_url, tmp_path / "paper", *OPTIONS, mode=GatewayMode.LIVE) as desk:
        faults = PaperFaults(desk.paper)
        pieces: list[dict[str, Any]] = [{"after_looks": 3}]
        faults.set("partial_fill", pieces=pieces, times=1)
        faults.set("transitional_status", times=1)
        assert desk.enter(instrument, 1).outcome is Outcome.FILLED
        assert "transitional_status" in faults.struck()
        assert (desk.held(), len(desk.orders())) == (faults.held(), LEGS[instrument])


@pytest.mark.parametrize("mode", GatewayMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize(("instrument", "symbol"), [(GOLD, None), (BANK, CALL), (BANK, PUT)])
def test_an_order_that_was_accepted_and_then_rejected_is_no_position(
    database_url: str, tmp_path: Path, mode: GatewayMode, instrument: str, symbol: str | None
) -> None:
    """Incident 22: acknowledged, rejected by the broker's risk system, and nobody was told."""
    with open_desk(database_url, tmp_path / "paper", *OPTIONS, mode=mode) as desk:
        faults = PaperFaults(desk.paper)
        faults.set(
            "rejected_after_accept", times=1, **({} if symbol is None else {"symbol": symbol})
        )
        intent = desk.reserve_entry(instrument, 1)
        done = desk.carrier.carry_out(intent)
        assert done.outcome is Outcome.NOT_FILLED
        assert done.reason
        assert (desk.held(), desk.layers(instrument)) == ({}, [])
        assert desk.store.intent(intent.id).state is not IntentState.WORKING
        events = desk.store.events_after(0, 1000)
        ends = ("INTENT_CANCELLED", "INTENT_COMPLETED")
        told = [event.payload for event in events if event.kind in ends]
        assert [(row["intent_id"], row["reason"]) for row in told] == [(intent.id, done.reason)]


def test_an_order_that_is_rejected_after_a_part_of_it_filled_comes_to_its_end(
    database_url: str, tmp_path: Path
) -> None:
    with open_desk(database_url, tmp_path / "paper", *OPTIONS) as desk:
        pieces = [{"fraction": "0.5"}, {"ends": "rejected", "after_looks": 2}]
        PaperFaults(desk.paper).set("partial_fill", pieces=pieces, times=1)
        assert desk.enter(GOLD, 2).outcome is Outcome.PARTLY_FILLED
        assert [layer.lots for layer in desk.layers(GOLD)] == [1]
        assert desk.store.active_intents() == []


def test_ten_calls_and_eight_puts_are_eight_and_two(database_url: str, tmp_path: Path) -> None:
    """Incident 25: they were counted as 18."""
    with open_desk(database_url, tmp_path / "paper", *OPTIONS) as desk:
        faults = PaperFaults(desk.paper)
        faults.set("partial_fill", pieces=[{"quantity": 240}], symbol=PUT, times=1)
        _refuse_to_take_back(desk)
        intent = desk.reserve_entry(BANK, 10)
        done = desk.carrier.carry_out(intent)
        assert (done.outcome, desk.held()) == (Outcome.NAKED, {CALL: 300, PUT: -240})
        assert f"BUY 60 {CALL} stands alone" in desk.store.intent(intent.id).reason
        assert [found.state for found in desk.store.active_intents()] == [IntentState.NAKED]
        desk.client.before = nothing
        assert desk.carrier.carry_out(intent).outcome is Outcome.PARTLY_FILLED
        (layer,) = desk.layers(BANK)
        assert (layer.lots, desk.held()) == (8, {CALL: 240, PUT: -240})
        assert violations(desk.store) == []


def _refuse_to_take_back(desk: Desk) -> None:
    def refuse(order: OrderRequest) -> None:
        if order.contract.symbol == CALL and order.action.value == "SELL":
            raise Rejected("REFUSED", "no")

    desk.client.before = refuse
