"""The way out passes whatever the switch says, also where it had stopped another exit half-way."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers.messages import GatewayMode, OrderRequest
from core.db_state_manager.closings import CLOSE_ALL
from core.db_state_manager.states import ControlState, IntentState
from live.exits import ExitDesk
from live.order_executor import Outcome
from live.recovery import CrashRecoveryManager
from tests.fixtures.closing import closer
from tests.fixtures.order_desk import CATALOG, Desk, carrier_of, nothing, open_desk
from tests.fixtures.rules import BANK

CALL = "BANKNIFTY29DEC2658500CE"


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    with open_desk(
        database_url, tmp_path / "paper", "--funds", "1e9", mode=GatewayMode.LIVE
    ) as opened:
        yield opened


def exits_of(desk: Desk) -> ExitDesk:
    """Whoever waits in it lets the recovery work meanwhile, and gives up after three minutes."""
    ends_s = desk.clock.monotonic() + 180
    recovery = carrier_of("recovery", desk.store, desk.client, desk.clock)

    def pause(seconds: float) -> bool:
        desk.clock.wait(max(seconds, 1.0))
        CrashRecoveryManager(desk.store, recovery, CATALOG).run()
        return desk.clock.monotonic() > ends_s

    return ExitDesk(desk.store, desk.client, desk.chooser, pause)


def test_an_exit_that_a_stop_left_with_one_leg_is_ended_by_the_close_all(desk: Desk) -> None:
    def stop(order: OrderRequest) -> None:
        desk.store.set_control(ControlState.HALTED, "a look first", "operator")

    desk.enter(BANK, 2)
    desk.client.after = stop
    intent = desk.reserve_exit(*desk.layers(BANK))
    assert desk.carrier.carry_out(intent).outcome is Outcome.NAKED
    desk.client.after = nothing
    assert desk.held() == {CALL: 60}
    (report,) = closer(desk, exits_of(desk)).run("enough", "operator")
    assert report.is_flat is True
    assert (desk.held(), desk.layers(BANK)) == ({}, [])
    assert desk.store.intent(intent.id).state is IntentState.COMPLETED
    closer(desk, exits_of(desk)).go_on("recovery")
    assert CLOSE_ALL not in {lock.code for lock in desk.store.instrument_locks()}
