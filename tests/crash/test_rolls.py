"""A worker may be killed at any leg of a roll: another one goes on from there, and only once."""

from contextlib import suppress

import pytest
import requests

from core.db_state_manager.intents import DecisionRequest
from core.db_state_manager.records import LegPlan
from core.db_state_manager.states import IntentAction, IntentSource, LegPurpose, Side
from tests.fixtures.account_proof import sent_once
from tests.fixtures.live_service import GOLD, OPERATOR_TOKEN, until
from tests.fixtures.living_service import Living
from tests.fixtures.order_desk import entry_decision

NEAR, FAR = "GOLDM04DEC26FUT", "GOLDM05JAN27FUT"
_EACH_LEG = ("record_send_intent", "place_order", "record_order_id", "book_fill", "move_leg")
_ONCE = ("take_intent", "complete_intent")
OFTEN = "3 before place_order"
LOTS = 3


def points() -> list[object]:
    once = [f"2 {when} {name}" for name in _ONCE for when in ("before", "after")]
    each = [
        f"{leg} {when} {name}"
        for leg in (2, 3)
        for name in _EACH_LEG
        for when in ("before", "after")
    ]
    return [
        pytest.param(point, marks=() if point == OFTEN else pytest.mark.slow)
        for point in (*once, *each)
    ]


def enter_near(living: Living) -> None:
    """A layer in the contract that is to be left, which no alert of that day would enter."""
    leg = LegPlan(LegPurpose.OPEN, Side.BUY, NEAR, "MCX", LOTS, LOTS)
    decision = entry_decision(GOLD, LOTS, 1)
    request = DecisionRequest(GOLD, IntentSource.SIGNAL)
    living.store.decide_and_reserve(request, lambda _: decision, lambda _: (leg,))
    until(living.store.open_positions)


def ask_to_roll(living: Living) -> None:
    """The leader's own job may be first, and whoever answers may be the one that is killed."""
    asked = {"reason": "a test", "dry_run": False}
    header = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    with suppress(requests.RequestException):
        url = f"{living.web.url}/rollover/execute"
        requests.post(url, json=asked, headers=header, timeout=30)


@pytest.mark.parametrize("point", points())
def test_a_roll_survives_a_kill_at_every_leg(living: Living, point: str) -> None:
    """The entry comes to each point once, and the roll's first leg after it."""
    before = len(living.proof.orders())
    living.die_at(point)
    enter_near(living)
    ask_to_roll(living)
    living.wait_for_death()
    living.settle()
    new = living.proof.orders()[before:]
    assert sent_once(new), new
    assert [(row["action"], row["symbol"], int(row["quantity"])) for row in new] == [
        ("BUY", NEAR, LOTS),
        ("SELL", NEAR, LOTS),
        ("BUY", FAR, LOTS),
    ]
    (intent_id,) = {row.intent_id for row in living.store.rolls(1)}
    assert living.store.intent(intent_id).action is IntentAction.ROLL
    living.done("EXIT", GOLD)
    living.settle()
    assert living.proof.held() == {}
