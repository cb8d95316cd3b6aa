"""A roll that broke off at any instruction goes on at exactly the leg it had come to."""

from contextlib import suppress
from pathlib import Path

import pytest

from brokers.messages import GatewayMode
from core.db_state_manager.invariants import violations
from core.db_state_manager.records import Intent
from core.db_state_manager.states import IntentState
from core.errors import OutcomeUnknown, Retryable
from live.recovery import CrashRecoveryManager
from tests.fixtures.interruption import Died, Failure, Life
from tests.fixtures.order_desk import CATALOG, WINDOW_S, Desk, carrier_of, open_desk
from tests.fixtures.rolling import (
    FAR,
    IN_WINDOW,
    enter_near,
    go_to,
    money_in_fills,
    profit_booked,
    reserve_roll,
)
from tests.fixtures.rules import BANK, GOLD
from tests.integration.test_recovery import exposure

LEGS = {GOLD: 2, BANK: 4}
RUPEES = {GOLD: 10, BANK: 1}
RICH = ("--funds", "1e9", "--lotsize", "GOLD_MINI=1")


def recovery(desk: Desk) -> CrashRecoveryManager:
    carrier = carrier_of("the next process", desk.store, desk.client, desk.clock)
    return CrashRecoveryManager(desk.store, carrier, CATALOG)


def recovered(desk: Desk) -> None:
    process = recovery(desk)
    for _ in range(6):
        if not process.run().unresolved:
            return
        desk.clock.wait(WINDOW_S)
    raise AssertionError(f"still not recovered: {process.run()}")


def begin(desk: Desk, instrument: str) -> Intent:
    """Two layers that are due, and the roll of them reserved; nothing else is held."""
    desk.store.instrument_locks()
    leave_all(desk, instrument)
    enter_near(desk, instrument, 2)
    enter_near(desk, instrument, 1, layer=2)
    return reserve_roll(desk, instrument)


def leave_all(desk: Desk, instrument: str) -> None:
    if layers := desk.layers(instrument):
        desk.leave(*layers)


def hold_to_the_exchange(desk: Desk, intent: Intent, orders: int, at: str) -> None:
    """It is rolled whole, with one order a leg, and the books say so."""
    assert desk.store.intent(intent.id).state is IntentState.COMPLETED, at
    assert len(desk.orders()) - orders == LEGS[intent.instrument], at
    assert desk.held() == exposure(desk), at
    assert all(FAR[intent.instrument] in symbol for symbol in desk.held()), at
    assert [layer.lots for layer in desk.layers(intent.instrument)] == [2, 1], at
    assert violations(desk.store) == [], at
    assert desk.store.instrument_locks() == [], at
    assert recovery(desk).run().resumed == (), at


def money_is_that_of_the_fills(desk: Desk, instrument: str) -> None:
    leave_all(desk, instrument)
    assert desk.held() == {}
    assert profit_booked(desk) == money_in_fills(desk, RUPEES[instrument])


RUNS = [
    pytest.param(GOLD, GatewayMode.ANALYZE, 7, id="gold"),
    pytest.param(BANK, GatewayMode.ANALYZE, 11, id="bank"),
    pytest.param(GOLD, GatewayMode.LIVE, 2, id="gold-live", marks=pytest.mark.slow),
    pytest.param(BANK, GatewayMode.ANALYZE, 4, id="bank-more", marks=pytest.mark.slow),
    pytest.param(BANK, GatewayMode.LIVE, 5, id="bank-live", marks=pytest.mark.slow),
]


@pytest.mark.slow
@pytest.mark.parametrize(("instrument", "mode", "stride"), RUNS)
def test_a_roll_survives_the_death_of_its_process_at_any_step(
    database_url: str, tmp_path: Path, instrument: str, mode: GatewayMode, stride: int
) -> None:
    """Each call to the store or the broker is a step, so each leg is died at before and after."""
    with open_desk(database_url, tmp_path / "paper", *RICH, mode=mode) as desk:
        go_to(desk, IN_WINDOW[instrument])
        step = 1
        while True:
            intent, orders = begin(desk, instrument), len(desk.orders())
            life = Life(dies_at=step)
            store, client = life.store(desk.store), life.client(desk.client)
            try:
                carrier_of("the first process", store, client, desk.clock).carry_out(intent)
            except Died:
                recovered(desk)
            at = f"died {life.last} (step {step})"
            hold_to_the_exchange(desk, intent, orders, at)
            if not life.last:
                break
            step += stride
        assert life.steps > 40
        money_is_that_of_the_fills(desk, instrument)


FAILURES: list[object] = [
    pytest.param(GOLD, True, 9, id="gold-done"),
    pytest.param(BANK, False, 13, id="bank-not-done"),
    pytest.param(GOLD, False, 3, id="gold-not-done", marks=pytest.mark.slow),
    pytest.param(BANK, True, 4, id="bank-done", marks=pytest.mark.slow),
    pytest.param(BANK, False, 5, id="bank-not-done-more", marks=pytest.mark.slow),
]


@pytest.mark.slow
@pytest.mark.parametrize(("instrument", "is_done", "stride"), FAILURES)
def test_a_database_that_fails_once_at_any_call_of_a_roll_changes_nothing_in_the_end(
    database_url: str, tmp_path: Path, instrument: str, is_done: bool, stride: int
) -> None:
    with open_desk(database_url, tmp_path / "paper", *RICH) as desk:
        go_to(desk, IN_WINDOW[instrument])
        call, reached = 1, True
        while reached:
            intent, orders = begin(desk, instrument), len(desk.orders())
            failure = Failure(call, is_done=is_done)
            with suppress(Retryable, OutcomeUnknown):
                store = failure.store(desk.store)
                carrier_of("the first process", store, desk.client, desk.clock).carry_out(intent)
            recovered(desk)
            hold_to_the_exchange(desk, intent, orders, f"{failure.where} failed (call {call})")
            reached = bool(failure.where)
            call += stride
        assert call > 40
        money_is_that_of_the_fills(desk, instrument)


@pytest.mark.parametrize("instrument", [GOLD, BANK])
def test_any_number_of_deaths_on_a_rolls_way_come_to_the_same_end(
    database_url: str, tmp_path: Path, instrument: str
) -> None:
    with open_desk(database_url, tmp_path / "paper", *RICH) as desk:
        go_to(desk, IN_WINDOW[instrument])
        intent, orders, deaths = begin(desk, instrument), len(desk.orders()), 0
        memory: dict[int, float] = {}
        for steps in range(2, 200):
            if desk.store.intent(intent.id).state is IntentState.COMPLETED:
                break
            life = Life(dies_at=steps)
            store, client = life.store(desk.store), life.client(desk.client)
            carrier = carrier_of("the first", store, client, desk.clock, missing_since_s=memory)
            with suppress(Died):
                carrier.carry_out(intent)
            deaths += bool(life.last)
            desk.clock.wait(WINDOW_S)
        assert deaths > 20
        hold_to_the_exchange(desk, intent, orders, "the end")
        money_is_that_of_the_fills(desk, instrument)
