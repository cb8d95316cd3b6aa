"""An exit that a closed market refuses is held, and found by a session nobody had listed."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from brokers.messages import OrderRequest
from core.errors import Rejected
from core.ist import IST
from live.ladder import Chase
from live.order_executor import Outcome
from tests.fixtures.order_desk import Desk, open_desk
from tests.fixtures.rules import GOLD

SESSION = datetime(2026, 11, 24, 3, 2, tzinfo=IST)
OPEN = datetime(2026, 11, 24, 17, 0, tzinfo=IST)


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    with open_desk(database_url, tmp_path / "paper", "--funds", "1e9") as opened:
        yield opened


def refused_until(desk: Desk, moment: datetime) -> list[datetime]:
    """When orders were tried; before `moment` each is refused."""
    tries: list[datetime] = []

    def refuse(order: OrderRequest) -> None:
        tries.append(desk.clock.now())
        if desk.clock.now() < moment:
            raise Rejected("REFUSED", "the market is closed")

    desk.client.before = refuse
    return tries


@pytest.mark.slow
def test_a_session_that_the_calendar_does_not_know_fills_a_held_exit(desk: Desk) -> None:
    """Sweep after sweep of one pass each, from half past midnight on."""
    desk.enter(GOLD, 1)
    desk.clock.wait(15 * 3600)
    intent = desk.reserve_exit(*desk.layers(GOLD))
    tries = refused_until(desk, SESSION)
    began = desk.clock.now()
    while desk.carrier.carry_out(intent, most_passes=1).outcome is Outcome.CHASING:
        desk.clock.wait(15)
    filled = desk.clock.now()
    assert 0 <= (filled - SESSION).total_seconds() <= 330
    stages, held_s = len(Chase().caps), (SESSION - began).total_seconds()
    assert len(tries) <= stages + held_s / 300 + 1
    assert (desk.held(), desk.layers(GOLD)) == ({}, [])


def test_the_open_begins_with_the_first_stage_again(desk: Desk) -> None:
    desk.enter(GOLD, 1)
    desk.clock.wait(15 * 3600)
    intent = desk.reserve_exit(*desk.layers(GOLD))
    refused_until(desk, OPEN)
    assert desk.carrier.carry_out(intent).outcome is Outcome.CHASING
    desk.clock.wait((OPEN - desk.clock.now()).total_seconds())
    before = stages(desk)
    refused_until(desk, OPEN.replace(second=1))
    assert desk.carrier.carry_out(intent).outcome is Outcome.FILLED
    assert stages(desk)[len(before) :] == [2]


def stages(desk: Desk) -> list[object]:
    events = desk.store.events_after(0, 1000)
    return [event.payload["stage"] for event in events if event.kind == "EXIT_STAGE"]
