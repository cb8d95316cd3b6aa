"""Stops, locks and events outlive the process, with who said so and why."""

from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest

from core.db_state_manager.states import ControlState
from tests.fixtures.database import LEASE_S, close, database, entered, reserved_intent
from tests.fixtures.rules import BANK, GOLD, opened, reduced

ACTIVE, REDUCING, HALTED = ControlState


def test_trading_is_active_until_somebody_says_otherwise(database_url: str) -> None:
    manager = database(database_url)
    assert manager.controls() == []
    assert manager.control_of(BANK) is ACTIVE


@pytest.mark.parametrize(
    ("everywhere", "in_bank", "effective"),
    [
        (ACTIVE, HALTED, HALTED),
        (REDUCING, ACTIVE, REDUCING),
        (HALTED, REDUCING, HALTED),
        (ACTIVE, ACTIVE, ACTIVE),
    ],
)
def test_the_stricter_control_holds_also_after_a_restart(
    database_url: str, everywhere: ControlState, in_bank: ControlState, effective: ControlState
) -> None:
    """Incident 50: a restart lost the paused state."""
    manager = database(database_url)
    manager.set_control(everywhere, "a reason", "operator")
    manager.set_control(in_bank, "another", "operator", BANK)
    again = database(database_url)
    assert again.control_of(BANK) is effective
    assert again.control_of(GOLD) is everywhere


def test_the_newest_control_holds_and_the_older_ones_are_kept(database_url: str) -> None:
    manager = database(database_url)
    manager.set_control(HALTED, "the feed is wrong", "anita")
    manager.set_control(ACTIVE, "the feed is right", "ravi")
    (control,) = manager.controls()
    assert (control.state, control.reason, control.who) == (ACTIVE, "the feed is right", "ravi")
    assert manager.rows("SELECT who FROM trading_controls ORDER BY id") == [("anita",), ("ravi",)]
    told = [event.payload["who"] for event in manager.events_after(0, 9)]
    assert told == ["anita", "ravi"]


@pytest.mark.parametrize(("reason", "who"), [("", "operator"), ("a reason", "")])
def test_a_control_needs_a_reason_and_a_name(database_url: str, reason: str, who: str) -> None:
    manager = database(database_url)
    with pytest.raises(psycopg2.errors.CheckViolation):
        manager.set_control(ACTIVE, reason, who)
    assert manager.events_after(0, 9) == []


def test_a_lock_holds_until_it_is_released_under_its_code(database_url: str) -> None:
    manager = database(database_url)
    assert manager.lock_instrument(BANK, "UNKNOWN_ORDER", "order 7 got no answer", "recovery")
    assert manager.lock_instrument(BANK, "BREAK", "10 CE, 8 PE", "reconciliation")
    assert not manager.lock_instrument(BANK, "BREAK", "10 CE, 8 PE", "reconciliation")
    assert not manager.unlock_instrument(GOLD, "BREAK", "operator")
    assert manager.unlock_instrument(BANK, "BREAK", "operator")
    assert not manager.unlock_instrument(BANK, "BREAK", "operator")
    (lock,) = database(database_url).instrument_locks()
    assert (lock.instrument, lock.code, lock.locked_by) == (BANK, "UNKNOWN_ORDER", "recovery")
    assert manager.lock_instrument(BANK, "BREAK", "again", "reconciliation")
    assert [event.kind for event in manager.events_after(0, 9)] == [
        *["INSTRUMENT_LOCKED"] * 2,
        "INSTRUMENT_UNLOCKED",
        "INSTRUMENT_LOCKED",
    ]


def test_each_event_is_told_once_by_many_tellers(database_url: str) -> None:
    manager = database(database_url, pool_size=4)
    for number in range(40):
        manager.append_outbox("TEST", BANK, {"number": number})

    def tell(owner: str) -> list[int]:
        told = []
        while batch := manager.claim_outbox(owner, 3, LEASE_S):
            told += [event.id for event in batch if manager.mark_delivered(event.id)]
        return told

    with ThreadPoolExecutor(4) as threads:
        told = [number for batch in threads.map(tell, "abcd") for number in batch]
    assert sorted(told) == [event.id for event in manager.events_after(0, 99)]
    assert not manager.mark_delivered(told[0])


def test_an_event_whose_teller_died_is_told_again(database_url: str) -> None:
    manager = database(database_url)
    manager.append_outbox("TEST", None, {})
    (lost,) = manager.claim_outbox("dead", 9, -1)
    (found,) = manager.claim_outbox("alive", 9, LEASE_S)
    assert (found.id, found.attempts) == (lost.id, 2)
    assert manager.claim_outbox("third", 9, LEASE_S) == []


def test_a_booking_is_told_with_the_booking(database_url: str) -> None:
    manager = database(database_url)
    position = entered(manager, opened())
    exit_ = reserved_intent(manager, close(position))
    manager.complete_intent(exit_.id, [reduced(position, 10, "50100.05")])
    first, second = manager.events_after(0, 9)
    assert (first.kind, first.instrument, first.payload["action"]) == (
        *("INTENT_COMPLETED", BANK),
        "entry",
    )
    assert second.payload["events"][0]["price"] == "50100.05"
    assert manager.events_after(first.id, 9) == [second]


def test_each_leadership_has_an_epoch_above_the_last(database_url: str) -> None:
    manager = database(database_url)
    first = manager.begin_leadership("one")
    manager.end_leadership(first, "clean stop")
    assert manager.begin_leadership("two") > first
    rows = manager.rows("SELECT instance_id, reason FROM leadership_history ORDER BY epoch")
    assert rows == [("one", "clean stop"), ("two", "")]


def test_an_instance_has_one_row_however_often_it_reports(database_url: str) -> None:
    manager = database(database_url)
    for _ in range(3):
        manager.heartbeat("one", "host", 4711, "0.1.0")
    assert manager.rows("SELECT instance_id, pid FROM instance_metadata") == [("one", 4711)]
