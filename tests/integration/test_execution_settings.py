"""Orders are worked as the settings say: how they improve, what parts become, what waits."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.messages import OrderRequest
from core.config import (
    ExecutionConfig,
    ExecutorKind,
    ImproveBy,
    PartialFill,
    SecondLeg,
)
from core.db_state_manager.invariants import violations
from core.db_state_manager.records import Intent
from core.errors import OutcomeUnknown, Rejected
from live.carrying_out import CarriedOut
from live.order_executor import Outcome
from tests.fixtures.interruption import otherwise
from tests.fixtures.order_desk import DEFAULT_EXECUTION, OWNER, Desk, carrier_of, open_desk
from tests.fixtures.paper_faults import PaperFaults
from tests.fixtures.rules import BANK, GOLD

CALL, PUT = "BANKNIFTY29DEC2658500CE", "BANKNIFTY29DEC2658500PE"
SIMPLE = replace(DEFAULT_EXECUTION, executor=ExecutorKind.SIMPLE)
COMPLETE = replace(DEFAULT_EXECUTION, partial_fill=PartialFill.COMPLETE)
ABANDON = replace(DEFAULT_EXECUTION, partial_fill=PartialFill.ABANDON)


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    options = ("--funds", "1e9", "--lotsize", "GOLD_MINI=10")
    with open_desk(database_url, tmp_path / "paper", *options) as opened:
        yield opened


def carry_out(
    desk: Desk, intent: Intent, config: ExecutionConfig, client: Any = None
) -> CarriedOut:
    carrier = carrier_of(OWNER, desk.store, client or desk.client, desk.clock, config)
    return carrier.carry_out(intent)


def told(desk: Desk, kind: str) -> int:
    return sum(event.kind == kind for event in desk.store.events_after(0, 1000))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "price"),
    [
        (SIMPLE, 128_001),
        (DEFAULT_EXECUTION, 128_257),
        (replace(DEFAULT_EXECUTION, improve_by=ImproveBy.TICKS, improvement=Decimal(3)), 128_016),
        (
            replace(DEFAULT_EXECUTION, improve_by=ImproveBy.PERCENT, improvement=Decimal("0.01")),
            128_065,
        ),
        (replace(DEFAULT_EXECUTION, cap_pct=Decimal("0.1")), 128_129),
        (replace(DEFAULT_EXECUTION, steps=2, cap_pct=Decimal("0.1")), 128_129),
    ],
    ids=["simple", "share", "ticks", "percent", "cap", "steps"],
)
def test_an_order_goes_as_far_as_it_may_and_is_withdrawn(
    desk: Desk, config: ExecutionConfig, price: int
) -> None:
    desk.client.before = lambda order: desk.move(GOLD, 130_000)
    done = carry_out(desk, desk.reserve_entry(GOLD, 1), config)
    assert done.outcome is Outcome.NOT_FILLED
    (row,) = desk.orders()
    assert (row["order_status"], row["price"]) == ("cancelled", price)
    lasts_s = (config.steps + 1) * float(config.interval_s)
    assert lasts_s <= desk.clock.elapsed_s <= lasts_s + 3


def in_part(desk: Desk, instrument: str, symbol: str | None = None, **terms: Any) -> PaperFaults:
    """From now on each order of a symbol fills one lot and rests."""
    faults = PaperFaults(desk.paper)
    pieces = [{"quantity": 30 if instrument == BANK else 10}]
    named = {} if symbol is None else {"symbol": symbol}
    faults.set("partial_fill", pieces=pieces, instrument=instrument, **named, **terms)
    return faults


PARTS = [
    (DEFAULT_EXECUTION, {}, Outcome.PARTLY_FILLED, 1, 1),
    (COMPLETE, {"times": 2}, Outcome.FILLED, 3, 3),
    (COMPLETE, {}, Outcome.FILLED, 3, 3),
    (ABANDON, {"times": 1}, Outcome.FILLED, 3, 2),
]


@pytest.mark.parametrize(("config", "terms", "outcome", "lots", "orders"), PARTS)
def test_a_part_is_kept_or_completed_as_it_is_set(
    desk: Desk,
    config: ExecutionConfig,
    terms: dict[str, Any],
    outcome: Outcome,
    lots: int,
    orders: int,
) -> None:
    """Stops and risk follow the lots that filled."""
    in_part(desk, GOLD, **terms)
    assert carry_out(desk, desk.reserve_entry(GOLD, 3), config).outcome is outcome
    (layer,) = desk.layers(GOLD)
    assert (layer.lots, desk.held()) == (lots, {layer.symbol: 10 * lots})
    assert len(desk.orders()) == orders
    book = desk.store.load_book()
    assert book[GOLD].risk() == (layer.entry_price - layer.stop) * lots * 10
    assert book.reserved(GOLD) == []
    assert violations(desk.store) == []


def test_what_cannot_be_completed_is_kept_within_one_cap_and_the_entrys_time(desk: Desk) -> None:
    in_part(desk, GOLD, times=1)

    def run_away(order: OrderRequest) -> None:
        desk.move(GOLD, 131_000 if desk.orders() else 128_100)

    desk.client.before = run_away
    done = carry_out(desk, desk.reserve_entry(GOLD, 3), COMPLETE)
    assert (done.outcome, [layer.lots for layer in desk.layers(GOLD)]) == (
        Outcome.PARTLY_FILLED,
        [1],
    )
    assert 60 <= desk.clock.elapsed_s <= 80
    assert max(row["price"] for row in desk.orders()) <= 128_257


@pytest.mark.parametrize(("instrument", "symbol"), [(GOLD, None), (BANK, CALL), (BANK, PUT)])
def test_a_part_that_is_to_be_abandoned_is_given_back(
    desk: Desk, instrument: str, symbol: str | None
) -> None:
    in_part(desk, instrument, symbol, times=1)
    far = 131_000 if instrument == GOLD else 59_000

    def run_away(order: OrderRequest) -> None:
        if order.quantity == (60 if instrument == BANK else 20) and desk.orders():
            raise Rejected("REFUSED", f"no, beyond {far}")

    desk.client.before = run_away
    intent = desk.reserve_entry(instrument, 3)
    done = carry_out(desk, intent, ABANDON)
    while done.outcome is Outcome.CHASING:
        done = carry_out(desk, intent, ABANDON)
    assert (done.outcome, desk.held(), desk.layers(instrument)) == (Outcome.NOT_FILLED, {}, [])
    assert violations(desk.store) == []


def test_a_part_of_a_lot_is_naked_until_it_is_whole_or_closed(desk: Desk) -> None:
    faults = PaperFaults(desk.paper)
    faults.set("partial_fill", pieces=[{"quantity": 45}], symbol=CALL, times=1)
    intent = desk.reserve_entry(BANK, 2)
    done = carry_out(desk, intent, DEFAULT_EXECUTION)
    assert done.outcome is Outcome.NAKED
    assert f"BUY 15 {CALL} stands alone" in done.reason
    assert desk.held() == {CALL: 45, PUT: -30}
    assert told(desk, "INTENT_NAKED") == 1


def test_a_part_of_a_lot_is_given_time_to_become_one(desk: Desk) -> None:
    faults = PaperFaults(desk.paper)
    pieces = [{"quantity": 45}, {"quantity": 15, "after_s": 15}]
    faults.set("partial_fill", pieces=pieces, symbol=CALL, times=1)
    paper = desk.paper

    def keep_time(call: Any, *given: Any) -> Any:
        paper.read("control/clock", {"at": desk.clock.now().isoformat()})
        return call(*given)

    client = otherwise(desk.client, "order_status", keep_time)
    done = carry_out(desk, desk.reserve_entry(BANK, 2), DEFAULT_EXECUTION, client)
    assert (done.outcome, desk.held()) == (Outcome.FILLED, {CALL: 60, PUT: -60})


@pytest.mark.parametrize("policy", SecondLeg)
def test_a_second_leg_is_chased_or_the_first_is_given_back(desk: Desk, policy: SecondLeg) -> None:
    refusals = [Rejected("REFUSED", "no")] * 3

    def refuse(order: OrderRequest) -> None:
        if order.contract.symbol == PUT and refusals:
            raise refusals.pop()

    desk.client.before = refuse
    config = replace(DEFAULT_EXECUTION, second_leg=policy)
    done = carry_out(desk, desk.reserve_entry(BANK, 2), config)
    if policy is SecondLeg.COMPLETE:
        assert (done.outcome, desk.held()) == (Outcome.FILLED, {CALL: 60, PUT: -60})
    else:
        assert (done.outcome, desk.held()) == (Outcome.NOT_FILLED, {})


def test_a_second_leg_is_chased_within_its_time(desk: Desk) -> None:
    def refuse(order: OrderRequest) -> None:
        if order.contract.symbol == PUT:
            raise Rejected("REFUSED", "no")

    desk.client.before = refuse
    config = replace(DEFAULT_EXECUTION, second_leg=SecondLeg.COMPLETE)
    done = carry_out(desk, desk.reserve_entry(BANK, 2), config)
    assert (done.outcome, desk.held()) == (Outcome.NOT_FILLED, {})
    assert 20 <= desk.clock.elapsed_s <= 30


@pytest.mark.parametrize("policy", SecondLeg)
def test_a_second_leg_may_cost_more_where_it_is_to_be_completed(
    desk: Desk, policy: SecondLeg
) -> None:
    """The put falls by more than one cap, and by less than the second leg's own."""

    def fall(order: OrderRequest) -> None:
        if order.contract.symbol == PUT:
            desk.move(BANK, 58_012)

    desk.client.before = fall
    config = replace(DEFAULT_EXECUTION, second_leg=policy)
    done = carry_out(desk, desk.reserve_entry(BANK, 2), config)
    is_had = policy is SecondLeg.COMPLETE
    assert done.outcome is (Outcome.FILLED if is_had else Outcome.NOT_FILLED)
    assert desk.held() == ({CALL: 60, PUT: -60} if is_had else {})


@pytest.mark.parametrize("is_done", [True, False])
def test_a_change_of_price_without_an_answer_is_looked_at(desk: Desk, is_done: bool) -> None:
    """Incident 18: on modify failures orders were sent at the market."""
    desk.client.before = lambda order: desk.move(GOLD, 128_150)

    def no_answer(call: Any, *given: Any) -> None:
        if is_done:
            call(*given)
        raise OutcomeUnknown("no reply")

    deaf = otherwise(desk.client, "modify_order", no_answer)
    done = carry_out(desk, desk.reserve_entry(GOLD, 1), DEFAULT_EXECUTION, deaf)
    (row,) = desk.orders()
    assert done.outcome is (Outcome.FILLED if is_done else Outcome.NOT_FILLED)
    assert row["order_status"] == ("complete" if is_done else "cancelled")
    assert desk.store.instrument_locks() == []


def test_an_exit_that_the_closed_market_does_not_take_waits_for_its_open(desk: Desk) -> None:
    """Gold closes at 23:55; the holiday of 24 November 2026 leaves the evening session."""
    desk.enter(GOLD, 1)
    desk.clock.wait(15 * 3600)
    intent = desk.reserve_exit(*desk.layers(GOLD))
    tries: list[OrderRequest] = []

    def closed(order: OrderRequest) -> None:
        tries.append(order)
        if desk.clock.now().hour < 17:
            raise Rejected("REFUSED", "the market is closed")

    desk.client.before = closed
    stages = len(DEFAULT_EXECUTION.exit_caps_pct)
    for again in range(5):
        for _ in range(3):
            done = carry_out(desk, intent, DEFAULT_EXECUTION)
            assert done.outcome is Outcome.CHASING
            assert "until the market opens at 24 Nov 17:00" in done.reason
            assert len(tries) == stages + again
            desk.clock.wait(100)
    assert told(desk, "EXIT_HELD") == 1
    desk.clock.wait(17 * 3600)
    assert carry_out(desk, intent, DEFAULT_EXECUTION).outcome is Outcome.FILLED
    assert (desk.held(), desk.layers(GOLD)) == ({}, [])


def test_the_calendar_alone_keeps_no_exit_back(desk: Desk) -> None:
    desk.enter(GOLD, 1)
    desk.clock.wait(15 * 3600)
    assert desk.leave(*desk.layers(GOLD)).outcome is Outcome.FILLED
    assert told(desk, "EXIT_HELD") == 0


@pytest.mark.parametrize("fault", ["limited_by_gateway", "limited_by_broker"])
def test_reads_back_off_from_a_limit_and_the_order_is_followed_all_the_same(
    desk: Desk, fault: str
) -> None:
    faults = PaperFaults(desk.paper)
    faults.set(fault, endpoint="orderstatus", times=3)
    done = carry_out(desk, desk.reserve_entry(GOLD, 1), DEFAULT_EXECUTION)
    assert (done.outcome, len(desk.orders())) == (Outcome.FILLED, 1)
    assert faults.struck() == [fault] * 3
    assert desk.clock.elapsed_s >= 0.5 + 1 + 2
