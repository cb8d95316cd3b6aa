"""An alert whose work outlived it is told how that work ended, whichever of the two ends first."""

import pytest

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.records import Outcome
from core.db_state_manager.states import SignalStatus
from tests.fixtures.database import LEASE_S, claimed, database, enter, reserve
from tests.fixtures.rules import base_entry, opened

LEFT = Outcome("LEFT_UNKNOWN", "order 1 may live")


def told(manager: DatabaseStateManager, signal_id: int) -> tuple[SignalStatus, str, int | None]:
    standing = manager.signal_standing(signal_id)
    assert standing is not None
    assert standing.outcome is not None
    return standing.status, standing.outcome.code, standing.outcome.lots


@pytest.mark.parametrize("work_ends_first", [True, False])
@pytest.mark.parametrize("is_filled", [True, False])
def test_an_alert_is_told_the_end_of_its_work(
    database_url: str, work_ends_first: bool, is_filled: bool
) -> None:
    manager = database(database_url)
    work = claimed(manager, base_entry())
    intent = reserve(manager, enter(), work.id).intent
    assert intent is not None

    def end_work() -> None:
        if is_filled:
            manager.complete_intent(intent.id, [opened()])
        else:
            manager.cancel_intent(intent.id, "it never arrived")

    if work_ends_first:
        end_work()
    manager.finish_signal(work.id, "worker", SignalStatus.BLOCKED, LEFT)
    manager.tell_if_ended(work.id)
    if not work_ends_first:
        assert told(manager, work.id) == (SignalStatus.BLOCKED, "LEFT_UNKNOWN", None)
        end_work()
    expected = (
        (SignalStatus.EXECUTED, "ENTER_BASE", 10)
        if is_filled
        else (SignalStatus.BLOCKED, "NOT_FILLED", None)
    )
    assert told(manager, work.id) == expected
    manager.tell_if_ended(work.id)
    ends = [e for e in manager.events_after(0, 100) if e.kind == "SIGNAL_FINISHED"]
    assert [event.payload["status"] for event in ends] == ["blocked", expected[0]]


def test_an_alert_that_was_not_left_keeps_its_own_end(database_url: str) -> None:
    manager = database(database_url)
    work = claimed(manager, base_entry())
    refused = Outcome("GATE_CLOSED", "no")
    manager.finish_signal(work.id, "worker", SignalStatus.BLOCKED, refused)
    manager.tell_if_ended(work.id)
    assert told(manager, work.id) == (SignalStatus.BLOCKED, "GATE_CLOSED", None)
    assert manager.claim_signals("worker", 1, LEASE_S) == []
