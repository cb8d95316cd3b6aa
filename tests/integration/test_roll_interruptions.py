"""What comes while a roll works: entries wait, exits interrupt it, a close-all always gets out."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from brokers.messages import OrderRequest
from core.db_state_manager.intents import DecisionRequest, Reservation, ReserveResult
from core.db_state_manager.invariants import violations
from core.db_state_manager.records import Intent
from core.db_state_manager.states import ControlState, IntentSource, IntentState
from core.decision_record import Decision, DecisionCode
from core.errors import Rejected
from core.portfolio_state import PortfolioStateManager
from live.exits import ExitDesk
from live.order_executor import Outcome
from live.recovery import CrashRecoveryManager
from tests.fixtures.closing import closer
from tests.fixtures.database import close
from tests.fixtures.interruption import Died, otherwise
from tests.fixtures.order_desk import CATALOG, Desk, carrier_of, nothing, open_desk
from tests.fixtures.rolling import (
    FAR,
    IN_WINDOW,
    enter_near,
    go_to,
    money_in_fills,
    profit_booked,
    reserve_roll,
    rollover_of,
)
from tests.fixtures.rules import BANK, GOLD
from tests.integration.test_rolling import EACH_LEG, LEGS, RUPEES

BOTH = pytest.mark.parametrize("instrument", [GOLD, BANK])


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    options = ("--funds", "1e9", "--lotsize", "GOLD_MINI=1")
    with open_desk(database_url, tmp_path / "paper", *options) as opened:
        yield opened


def due(desk: Desk, instrument: str) -> Intent:
    """Two layers, and their roll reserved."""
    go_to(desk, IN_WINDOW[instrument])
    enter_near(desk, instrument, 3)
    enter_near(desk, instrument, 2, layer=2)
    return reserve_roll(desk, instrument)


def sweep(desk: Desk, seconds: float = 0.0) -> bool:
    """A pass of the recovery, as another thread makes one every two seconds; False: go on."""
    carrier = carrier_of("the sweeper", desk.store, desk.client, desk.clock)
    CrashRecoveryManager(desk.store, carrier, CATALOG).run()
    desk.clock.wait(max(seconds, 2.0))
    return False


def exits_of(desk: Desk) -> ExitDesk:
    """Whoever waits here lets the recovery work meanwhile."""
    return ExitDesk(desk.store, desk.client, desk.chooser, lambda seconds: sweep(desk, seconds))


def dies_after(desk: Desk, intent: Intent, symbol: str) -> None:
    """A process that dies when an order of `symbol` has just been sent."""

    def die(order: OrderRequest) -> None:
        if order.contract.symbol == symbol:
            raise Died(symbol)

    desk.client.after = die
    with pytest.raises(Died):
        desk.carrier.carry_out(intent)
    desk.client.after = nothing


def leave(desk: Desk, instrument: str, *numbers: int) -> Reservation:
    """An exit of those layers, that waits for its turn and is carried out."""

    def decide(book: PortfolioStateManager) -> Decision | None:
        layers = [layer for layer in book[instrument].layers if layer.layer in numbers]
        return close(*layers) if layers else None

    reservation = exits_of(desk).reserve(DecisionRequest(instrument, IntentSource.SIGNAL), decide)
    if reservation.intent is not None:
        assert desk.carrier.carry_out(reservation.intent).outcome is Outcome.FILLED
    return reservation


def money_is_that_of_the_fills(desk: Desk, instrument: str) -> None:
    assert violations(desk.store) == []
    assert profit_booked(desk) == money_in_fills(desk, RUPEES[instrument])


@BOTH
def test_an_entry_waits_for_the_roll(desk: Desk, instrument: str) -> None:
    roll = due(desk, instrument)
    request = DecisionRequest(instrument, IntentSource.SIGNAL)
    decision = Decision("ENTER_PYRAMID", "a test", instrument, "PYRAMID", layer=3, lots=1)  # type: ignore[arg-type]
    waiting = desk.store.decide_and_reserve(request, lambda _: decision, lambda _: ())
    assert (waiting.result, waiting.intent) == (ReserveResult.BUSY, roll)
    sweep(desk)
    assert desk.store.intent(roll.id).state is IntentState.COMPLETED
    assert desk.enter(instrument, 1, layer=3).outcome is Outcome.FILLED
    assert all(FAR[instrument] in symbol for symbol in desk.held())


@BOTH
def test_an_exit_of_everything_calls_off_a_roll_that_has_not_begun(
    desk: Desk, instrument: str
) -> None:
    roll, sent = due(desk, instrument), len(desk.sent())
    leave(desk, instrument, 1, 2)
    assert desk.store.intent(roll.id).state is IntentState.CANCELLED
    assert (desk.held(), desk.layers(instrument)) == ({}, [])
    assert not any(FAR[instrument] in text for text in desk.sent()[sent:])
    money_is_that_of_the_fills(desk, instrument)


@pytest.mark.slow
@pytest.mark.parametrize(("instrument", "place"), EACH_LEG)
def test_an_exit_of_everything_interrupts_a_roll_at_any_leg(
    desk: Desk, instrument: str, place: int
) -> None:
    """Near is closed and far not held; whatever was had of it is given back or sold."""
    roll = due(desk, instrument)
    dies_after(desk, roll, LEGS[instrument][place])
    leave(desk, instrument, 1, 2)
    assert desk.store.intent(roll.id).state is IntentState.COMPLETED
    assert (desk.held(), desk.layers(instrument)) == ({}, [])
    assert desk.store.active_intents() == []
    money_is_that_of_the_fills(desk, instrument)


@pytest.mark.parametrize(("instrument", "place"), [(GOLD, 0), (BANK, 0), (BANK, 2)])
def test_an_exit_of_one_layer_lets_the_roll_end_and_sells_what_is_held_then(
    desk: Desk, instrument: str, place: int
) -> None:
    roll = due(desk, instrument)
    dies_after(desk, roll, LEGS[instrument][place])
    sent = len(desk.sent())
    leave(desk, instrument, 2)
    assert not desk.store.cancel_requested(roll.id)
    assert [layer.lots for layer in desk.layers(instrument)] == [3]
    quantity = 3 * (1 if instrument == GOLD else 30)
    assert {abs(held) for held in desk.held().values()} == {quantity}
    assert all(FAR[instrument] in text for text in desk.sent()[sent:][-len(desk.held()) :])
    assert violations(desk.store) == []


def test_a_stop_that_was_hit_before_a_roll_is_not_judged_on_the_next_contracts_levels(
    desk: Desk,
) -> None:
    """Its bar is of the contract that was left; all stops have moved by the basis since."""
    roll = due(desk, BANK)
    dies_after(desk, roll, LEGS[BANK][0])
    second = desk.layers(BANK)[1]

    def stopped(book: PortfolioStateManager) -> Decision | None:
        layers = book[BANK].layers
        hit = [layer for layer in layers if layer.id == second.id or layer.stop > second.stop]
        return replace(close(*hit), code=DecisionCode.STOP_HIT)

    request = DecisionRequest(BANK, IntentSource.STOP)
    intent = exits_of(desk).reserve(request, stopped).intent
    assert intent is not None
    assert [each.position_id for each in intent.decision.closes] == [second.id]
    assert {leg.symbol for leg in desk.store.legs(intent.id)} == set(LEGS[BANK][2:])


def test_an_exit_that_read_the_contracts_before_a_roll_reads_them_again(desk: Desk) -> None:
    """Incident 26: else it would sell the contract that was left."""
    roll = due(desk, GOLD)
    stale = [desk.store.held_legs(GOLD)]
    desk.carrier.carry_out(roll)

    def late(read: Callable[[str], object], instrument: str) -> object:
        return stale.pop() if stale else read(instrument)

    store = otherwise(desk.store, "held_legs", late)
    exits = ExitDesk(store, desk.client, desk.chooser, lambda seconds: sweep(desk, seconds))
    request = DecisionRequest(GOLD, IntentSource.SIGNAL)
    intent = exits.reserve(request, lambda book: close(*book[GOLD].layers)).intent
    assert intent is not None
    assert [leg.symbol for leg in desk.store.legs(intent.id)] == LEGS[GOLD][1:]


def test_a_roll_that_was_planned_before_another_one_is_not_begun(desk: Desk) -> None:
    first = due(desk, GOLD)
    rollover = rollover_of(desk)
    expiring = rollover.scanner.scan()
    plan = rollover.planner.plan(GOLD, expiring)
    desk.carrier.carry_out(first)
    with pytest.raises(Rejected, match="rolled meanwhile"):
        rollover.reserve(plan, None, "a test")
    assert desk.store.active_intents() == []


@pytest.mark.slow
@pytest.mark.parametrize("state", [ControlState.ACTIVE, ControlState.HALTED])
@pytest.mark.parametrize(("instrument", "place"), EACH_LEG)
def test_close_all_gets_out_of_a_roll_whatever_the_switch_says(
    desk: Desk, instrument: str, place: int, state: ControlState
) -> None:
    roll = due(desk, instrument)
    dies_after(desk, roll, LEGS[instrument][place])
    desk.store.set_control(state, "enough", "operator")
    (report,) = closer(desk, exits_of(desk)).run("out", "operator")
    assert report.is_flat is True
    assert (desk.held(), desk.layers(instrument)) == ({}, [])
    assert desk.store.active_intents() == []
    money_is_that_of_the_fills(desk, instrument)


@BOTH
def test_close_all_names_the_contracts_that_a_roll_has_come_to(desk: Desk, instrument: str) -> None:
    desk.carrier.carry_out(due(desk, instrument))
    held = desk.held()
    (report,) = closer(desk, exits_of(desk)).run("out", "operator")
    assert {leg.symbol for layer in report.layers for leg in layer.legs} == held.keys()
