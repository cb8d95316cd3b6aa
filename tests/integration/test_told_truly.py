"""What an alert is told is what was done for it, whoever did it and however much it came to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.db_state_manager.states import ControlState, SignalStatus
from tests.fixtures.live_service import BANK, CAPITAL, GOLD, Desk, alert, open_desk, until
from tests.fixtures.paper_faults import PaperFaults

# As a worker leaves an alert that dies after its work's end and before the alert's.
UNFINISH = """
UPDATE signal_log SET status = 'processing', outcome = NULL, finished_at = NULL,
    lease_owner = 'a dead one', lease_until = now() - interval '1 second', received_at = %s
WHERE id = %s"""


@pytest.fixture
def desk(database_url: str, open_folder: Path) -> Iterator[Desk]:
    with open_desk(database_url, open_folder, None, "--funds", "1e9") as found:
        found.store.move_capital(CAPITAL * 4, "for more than one lot", "operator")
        yield found


def told_again(desk: Desk, signal_id: int, age_s: float = 0) -> Any:
    """The end of an alert, by a worker that takes it up from a dead one."""
    with desk.store.transaction() as cursor:
        moment = desk.clock.now().timestamp() - age_s
        cursor.execute("SELECT to_timestamp(%s)", (moment,))
        (received_at,) = cursor.fetchone() or (None,)
        cursor.execute(UNFINISH, (received_at, signal_id))
    desk.service.engine.kick()
    return desk.end_of(signal_id)


def test_an_entry_that_filled_in_part_is_told_by_what_filled(desk: Desk) -> None:
    PaperFaults(desk.paper).set(
        "partial_fill", side="BUY", pieces=[{"fraction": 0.5}, {"ends": "cancelled"}], times=1
    )
    first = desk.alert("BASE_ENTRY", GOLD)
    held = sum(layer.lots for layer in desk.store.load_book().layers())
    assert first.outcome.lots == held > 0
    assert told_again(desk, first.id).outcome.lots == held


def test_an_entry_that_was_given_back_is_not_told_as_executed(desk: Desk) -> None:
    PaperFaults(desk.paper).set("rejected_after_accept", instrument=BANK, side="SELL", times=1)
    first = desk.alert("BASE_ENTRY", BANK)
    assert (first.status, desk.held()) == (SignalStatus.BLOCKED, {})
    again = told_again(desk, first.id)
    assert (again.status, again.outcome.code) == (SignalStatus.BLOCKED, "NOT_FILLED")


def test_an_entry_that_was_made_is_never_told_as_too_old(desk: Desk) -> None:
    first = desk.alert("BASE_ENTRY", GOLD)
    assert first.status is SignalStatus.EXECUTED
    PaperFaults(desk.paper).set("quotes_missing")
    again = told_again(desk, first.id, age_s=600)
    assert (again.status, again.outcome.code) == (SignalStatus.EXECUTED, first.outcome.code)


@pytest.mark.slow
def test_an_exit_that_was_stopped_half_way_may_come_again(desk: Desk) -> None:
    assert desk.alert("BASE_ENTRY", GOLD).status is SignalStatus.EXECUTED
    (layer,) = desk.store.load_book().layers()
    assert layer.lots > 1
    held = sum(desk.held().values())
    PaperFaults(desk.paper).set("partial_fill", side="SELL", pieces=[{"fraction": 0.5}], times=1)
    leaving = alert(desk.clock.now(), "EXIT", GOLD)
    signal_id = desk.send(leaving)["signal_id"]
    until(lambda: sum(desk.held().values()) < held)
    desk.operate("POST", "/emergency/stop", reason="a look", state=ControlState.HALTED.value)
    row = desk.end_of(signal_id)
    left = sum(each.lots for each in desk.store.load_book().layers())
    assert 0 < left < layer.lots
    assert (row.status, row.outcome.code) == (SignalStatus.FAILED, "PARTLY_FILLED")
    assert row.outcome.lots == layer.lots - left
    desk.operate("POST", "/emergency/resume", reason="seen")
    desk.send(leaving)
    until(lambda: not desk.held())
    assert until(lambda: desk.end_of(signal_id)).status is SignalStatus.EXECUTED
