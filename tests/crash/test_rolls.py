"""A worker may be killed at any leg of a roll: another one goes on from there, and only once."""

from contextlib import suppress

import pytest
import requests

from core.db_state_manager.intents import DecisionRequest
from core.db_state_manager.records import LegPlan
from core.db_state_manager.states import IntentAction, IntentSource, LegPurpose, Side
from tests.fixtures.account_proof import sent_once
from tests.fixtures.live_service import GOLD, OPERATOR_TOKEN
from tests.fixtures.living_service import Living
from tests.fixtures.order_desk import entry_decision

NEAR, FAR = "GOLDM04DEC26FUT", "GOLDM05JAN27FUT"
_EACH_LEG = ("record_send_intent", "place_order", "record_order_id", "book_fill", "move_leg")
_ONCE = ("take_intent", "complete_intent")
OFTEN = "2 before place_order"


def points() -> list[object]:
    once = [f"1 {when} {name}" for name in _ONCE for when in ("before", "after")]
    each = [
        f"{leg} {when} {name}"
        for leg in (1, 2)
        for name in _EACH_LEG
        for when in ("before", "after")
    ]
    return [
        pytest.param(point, marks=() if point == OFTEN else pytest.mark.slow)
        for point in (*once, *each)
    ]


def enter_near(living: Living, lots: int, layer: int) -> None:
    """A layer in the contract that is to be left, which no alert of that day would enter."""
    leg = LegPlan(LegPurpose.OPEN, Side.BUY, NEAR, "MCX", lots, lots)
    decision = entry_decision(GOLD, lots, layer)
    request = DecisionRequest(GOLD, IntentSource.SIGNAL)
    living.store.decide_and_reserve(request, lambda _: decision, lambda _: (leg,))
    living.settle()


def ask_to_roll(living: Living) -> None:
    """Whoever answers may be the one that is killed: then nobody says that it was begun."""
    asked = {"reason": "a test", "dry_run": False}
    header = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    with suppress(requests.RequestException):
        url = f"{living.web.url}/rollover/execute"
        answer = requests.post(url, json=asked, headers=header, timeout=30)
        (tried,) = answer.json()["instruments"]
        assert tried["result"] == "RESERVED", tried


@pytest.mark.parametrize("point", points())
def test_a_roll_survives_a_kill_at_every_leg(living: Living, point: str) -> None:
    enter_near(living, 2, 1)
    enter_near(living, 1, 2)
    before = len(living.proof.orders())
    living.die_at(point)
    ask_to_roll(living)
    living.wait_for_death()
    living.settle()
    new = living.proof.orders()[before:]
    assert sent_once(new), new
    assert [(row["action"], row["symbol"], int(row["quantity"])) for row in new] == [
        ("SELL", NEAR, 3),
        ("BUY", FAR, 3),
    ]
    (intent_id,) = {row.intent_id for row in living.store.rolls(2)}
    assert living.store.intent(intent_id).action is IntentAction.ROLL
    living.done("EXIT", GOLD)
    living.settle()
    assert living.proof.held() == {}
