"""A worker may be killed at any point: the alert still becomes what it asked for, and only once."""

from typing import Any

import pytest

from core.db_state_manager.states import SignalStatus
from tests.fixtures.account_proof import sent_once
from tests.fixtures.live_service import ATRS, BANK, GOLD, PRICES
from tests.fixtures.living_service import Living

_ONCE = (
    "journal_signal",
    "claim_signals",
    "decide_and_reserve",
    "insert_legs",
    "take_intent",
    "move_intent",
    "complete_intent",
    "append_event",
    "finish_signal",
)
_EACH_LEG = ("record_send_intent", "place_order", "record_order_id", "book_fill", "move_leg")
LEGS = {GOLD: 1, BANK: 2}


def points(instrument: str, often: str) -> list[Any]:
    """Every point of an operation, as it is ordered; all but `often` for the full run."""
    once = [f"1 {when} {name}" for name in _ONCE for when in ("before", "after")]
    each = [
        f"{leg} {when} {name}"
        for leg in range(1, LEGS[instrument] + 1)
        for name in _EACH_LEG
        for when in ("before", "after")
    ]
    return [
        pytest.param(point, marks=() if point == often else pytest.mark.slow)
        for point in (*once, *each)
    ]


def survives(living: Living, point: str, payload: dict[str, Any]) -> None:
    """Send an alert, have a worker killed at `point`, and find the alert done, once."""
    before = len(living.proof.orders())
    living.die_at(point)
    signal_id = living.send(payload)
    living.wait_for_death()
    new = living.done_once(signal_id, payload)[before:]
    assert sent_once(new), new
    instrument = payload["instrument"]
    assert len(new) == LEGS[instrument], new


def check_entry_and_exit(living: Living, instrument: str, point: str) -> None:
    survives(living, point, living.alert("BASE_ENTRY", instrument))
    assert len(living.store.open_positions()) == 1
    survives(living, point, living.alert("EXIT", instrument))
    assert living.proof.held() == {}


def check_stop(living: Living, instrument: str, point: str) -> None:
    assert living.done("BASE_ENTRY", instrument).status is SignalStatus.EXECUTED
    below = PRICES[instrument] - 2 * ATRS[instrument]
    survives(living, point, living.alert("MARKET_DATA", instrument, below))
    assert living.proof.held() == {}


@pytest.mark.slow
@pytest.mark.parametrize("point", points(GOLD, often="1 after decide_and_reserve"))
def test_gold_survives_a_kill_at_every_point(living: Living, point: str) -> None:
    check_entry_and_exit(living, GOLD, point)


@pytest.mark.parametrize("point", points(BANK, often="1 after place_order"))
def test_bank_nifty_survives_a_kill_at_every_point(living: Living, point: str) -> None:
    check_entry_and_exit(living, BANK, point)


@pytest.mark.parametrize("point", points(GOLD, often="1 before append_event"))
def test_a_stop_survives_a_kill_at_every_point(living: Living, point: str) -> None:
    check_stop(living, GOLD, point)
