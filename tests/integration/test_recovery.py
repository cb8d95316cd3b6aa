"""A process may die at any instruction: the next one carries on to the exposure intended."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from core.db_state_manager.invariants import violations
from core.db_state_manager.records import Intent
from core.db_state_manager.states import IntentState
from live.recovery import CrashRecoveryManager
from tests.fixtures.interruption import Died, Life
from tests.fixtures.order_desk import CATALOG, WINDOW_S, Desk, carrier_of, open_desk
from tests.fixtures.rules import BANK, CAPITAL, GOLD

LEGS = {GOLD: 1, BANK: 2}


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    with open_desk(database_url, tmp_path / "paper", "--funds", "1e9") as opened:
        yield opened


def recovery(desk: Desk, owner: str = "the next process") -> CrashRecoveryManager:
    carrier = carrier_of(owner, desk.store, desk.client, desk.clock)
    return CrashRecoveryManager(desk.store, carrier, CATALOG)


def live_and_die(desk: Desk, intent: Intent, life: Life) -> None:
    """Carry out an intent as a process that ends when its life does."""
    store, client = life.store(desk.store), life.client(desk.client)
    carrier_of("the first process", store, client, desk.clock).carry_out(intent)


def recovered(desk: Desk) -> None:
    """Pass after pass, until nothing is left: what never arrived needs its window to pass."""
    for _ in range(3):
        if not recovery(desk).run().unresolved:
            return
        desk.clock.wait(WINDOW_S)
    raise AssertionError(f"still not recovered: {recovery(desk).run()}")


def exposure(desk: Desk) -> dict[str, int]:
    """What the stored book says is held, by symbol, in the broker's quantity."""
    held: dict[str, int] = {}
    for instrument in (BANK, GOLD):
        lots = {layer.id: layer.lots for layer in desk.layers(instrument)}
        for position, legs in desk.store.held_legs(instrument).items():
            for leg in legs:
                sign = 1 if leg.side.value == "BUY" else -1
                quantity = sign * lots[position] * leg.quantity // leg.lots
                held[leg.symbol] = held.get(leg.symbol, 0) + quantity
    return held


def cash(desk: Desk, point_value: int) -> Decimal:
    """What the exchange's own fills paid in all, in rupees."""
    rows = desk.paper.read("api/v1/tradebook")["data"]
    return sum(
        (
            Decimal(str(row["average_price"])) * row["quantity"] * point_value
            * (1 if row["action"] == "SELL" else -1)
            for row in rows
        ),
        Decimal(0),
    )  # fmt: skip


def trading_profit(desk: Desk) -> Decimal:
    lines = desk.store.ledger(100_000)
    return sum((line.amount for line in lines if line.kind.value == "PNL"), Decimal(0))


Reserve = Callable[[], Intent]


def dies_at_every_step(desk: Desk, reserve: Reserve, before: Callable[[], object]) -> int:
    """Die at each step of what `reserve` begins, recover, and hold the books to the exchange."""
    step = 1
    while True:
        before()
        orders, intent, life = len(desk.orders()), reserve(), Life(dies_at=step)
        try:
            live_and_die(desk, intent, life)
        except Died:
            recovered(desk)
        else:
            return step
        at = f"died {life.last} (step {step})"
        assert desk.store.intent(intent.id).state is IntentState.COMPLETED, at
        assert len(desk.orders()) - orders == LEGS[intent.instrument], at
        assert desk.held() == exposure(desk), at
        assert violations(desk.store) == [], at
        assert desk.store.instrument_locks() == [], at
        again = recovery(desk).run()
        assert again.resumed == (), at
        step += 1


@pytest.mark.parametrize(("instrument", "point_value"), [(GOLD, 10), (BANK, 1)])
def test_an_entry_survives_the_death_of_its_process_at_any_step(
    database_url: str, tmp_path: Path, instrument: str, point_value: int
) -> None:
    """Incidents 4, 16, 19: bought twice; filled and forgotten; half of it never saved."""
    options = ("--funds", "1e9", "--lotsize", "GOLD_MINI=1")
    with open_desk(database_url, tmp_path / "paper", *options) as desk:

        def leave_all() -> None:
            for layer in desk.layers(instrument):
                desk.leave(layer)

        steps = dies_at_every_step(desk, lambda: desk.reserve_entry(instrument, 2), leave_all)
        assert steps > 30
        leave_all()
        assert (desk.held(), desk.layers(instrument)) == ({}, [])
        assert trading_profit(desk) == cash(desk, point_value)


@pytest.mark.parametrize(("instrument", "point_value"), [(GOLD, 10), (BANK, 1)])
def test_an_exit_survives_the_death_of_its_process_at_any_step(
    database_url: str, tmp_path: Path, instrument: str, point_value: int
) -> None:
    options = ("--funds", "1e9", "--lotsize", "GOLD_MINI=1")
    with open_desk(database_url, tmp_path / "paper", *options) as desk:
        steps = dies_at_every_step(
            desk,
            lambda: desk.reserve_exit(*desk.layers(instrument)),
            lambda: desk.enter(instrument, 2),
        )
        assert steps > 30
        assert (desk.held(), desk.layers(instrument)) == ({}, [])
        assert trading_profit(desk) == cash(desk, point_value)
        assert desk.store.load_book().closed_equity < CAPITAL + trading_profit(desk)
