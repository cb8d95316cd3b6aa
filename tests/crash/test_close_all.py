"""A worker may be killed anywhere in a close-all: it is gone on with until nothing is held."""

from typing import Any

import pytest
import requests

from core.db_state_manager.states import SignalStatus
from tests.fixtures.account_proof import sent_once
from tests.fixtures.live_service import BANK, GOLD, OPERATOR_TOKEN, until
from tests.fixtures.living_service import Living

_ANSWER_S = 60
POINTS = (
    "1 before decide_and_reserve",
    "1 after decide_and_reserve",
    "2 before record_send_intent",
    "1 before place_order",
    "2 after place_order",
    "1 before complete_intent",
    "1 after complete_intent",
)


def call(living: Living, method: str, **body: Any) -> Any:
    """The answer of the way out; None where nobody gave one."""
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    url = f"{living.web.url}/emergency/close-all"
    try:
        answer = requests.request(
            method, url, json=body or None, headers=headers, timeout=_ANSWER_S
        )
    except requests.RequestException:
        return None
    return answer.json() if answer.ok else None


def ended(living: Living) -> Any:
    told = call(living, "GET")
    outcomes = {each["outcome"] for each in told["instruments"]} if told else set()
    return told if outcomes == {"FLAT"} and told["is_flat"] else None


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_close_all_survives_a_kill(living: Living, point: str) -> None:
    for instrument in (GOLD, BANK):
        assert living.done("BASE_ENTRY", instrument).status is SignalStatus.EXECUTED
    before = len(living.proof.orders())
    living.die_at(point)
    call(living, "POST", reason="out", dry_run=False)
    living.wait_for_death()
    told = until(lambda: ended(living))
    assert {each["instrument"] for each in told["instruments"]} == {GOLD, BANK}
    living.settle()
    new = living.proof.orders()[before:]
    assert (living.proof.held(), len(new)) == ({}, 3)
    assert sent_once(new), new
    assert living.store.instrument_locks() == []
