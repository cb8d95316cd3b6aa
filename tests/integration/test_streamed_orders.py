"""Orders are worked with the stream as without it: it says when to look, and decides nothing.

Whatever it says, at whatever time, what is booked is what the exchange truly filled, one order a
leg, and nothing rests. Where it is silent, orders are looked at as if there were none.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.messages import GatewayMode, OrderRow
from brokers.order_stream import StreamEvent
from brokers.order_updates import OrderNews
from core.config import ExecutionConfig, ExecutorKind
from core.db_state_manager.invariants import violations
from core.db_state_manager.records import Intent
from core.db_state_manager.states import OrderState
from live.order_executor import Outcome
from tests.fixtures.hand_clock import RunningClock
from tests.fixtures.interruption import otherwise
from tests.fixtures.order_desk import DEFAULT_EXECUTION, OWNER, Desk, carrier_of, open_desk
from tests.fixtures.order_stream import QUICK, Listening, listening
from tests.fixtures.paper_faults import PaperFaults
from tests.fixtures.rules import BANK, GOLD

MODES = [GatewayMode.ANALYZE, GatewayMode.LIVE]
# Looks are a minute apart: what ends sooner was woken.
PATIENT = replace(
    DEFAULT_EXECUTION, interval_s=Decimal(60), poll_s=Decimal(60), announced_poll_s=Decimal(60)
)
BRISK = replace(
    DEFAULT_EXECUTION,
    executor=ExecutorKind.SIMPLE,
    steps=3,
    interval_s=Decimal("0.5"),
    poll_s=Decimal("0.05"),
    announced_poll_s=Decimal("0.3"),
)
LIES: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "all lost": [{"fault": "updates_lost"}],
    "the end lost": [{"fault": "updates_lost", "from_call": 2}],
    "twice": [{"fault": "updates_twice"}],
    "late": [{"fault": "updates_late", "seconds": 1}],
    "out of order": [{"fault": "updates_late", "seconds": 0.3, "call": 1}],
    "said to be complete": [{"fault": "updates_false"}],
    "said to be rejected": [{"fault": "updates_false", "status": "rejected"}],
    "said to be cancelled": [{"fault": "updates_false", "status": "cancelled"}],
    "said to be open": [{"fault": "updates_false", "status": "open"}],
    "of nobody": [{"fault": "updates_misnamed"}],
    "down": [{"fault": "stream_down"}],
    "down in between": [{"fault": "stream_down", "from_call": 2, "times": 1}],
    "mute": [{"fault": "stream_mute"}],
}
PARTS = {"pieces": [{"fraction": "0.5"}, {"after_looks": 2}]}


@pytest.fixture(params=MODES, ids=["analyze", "live"])
def desk(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    options = ("--funds", "1e9")
    with open_desk(database_url, tmp_path / "paper", *options, mode=request.param) as opened:
        yield opened


@pytest.fixture
def heard(desk: Desk) -> Iterator[Listening]:
    with listening(desk.paper, desk.client.analyzer_mode(), pace=QUICK) as found:
        found.wait_for(StreamEvent.CONNECTED)
        yield found


@pytest.fixture
def calm(desk: Desk) -> Iterator[Listening]:
    with listening(desk.paper, desk.client.analyzer_mode()) as found:
        found.wait_for(StreamEvent.CONNECTED)
        yield found


def agrees_with_the_exchange(desk: Desk, *intents: Intent) -> None:
    """What is booked is what filled, and every order has come to its end."""
    truth = PaperFaults(desk.paper).truth()["orders"]
    orders = [order for intent in intents for order in desk.store.orders(intent.id)]
    booked = {order.order_id: order.filled_quantity for order in orders}
    assert booked == {row["orderid"]: row["filled_quantity"] for row in truth}
    assert {row["status"] for row in truth} == {"complete"}
    assert {order.state for order in orders} == {OrderState.FILLED}
    assert desk.store.instrument_locks() == []
    assert violations(desk.store) == []


@pytest.mark.slow
@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("instrument", [GOLD, BANK])
def test_nothing_is_lost_and_nothing_invented_when_the_stream_lies(
    desk: Desk, heard: Listening, instrument: str, lie: str
) -> None:
    faults = PaperFaults(desk.paper)
    carrier = carrier_of(OWNER, desk.store, desk.client, RunningClock(), BRISK, heard.news)
    faults.set("partial_fill", **PARTS)
    for fault in LIES[lie]:
        faults.set(**fault)
    entry = desk.reserve_entry(instrument, 2)
    assert carrier.carry_out(entry).outcome is Outcome.FILLED
    assert [layer.lots for layer in desk.layers(instrument)] == [2]
    leaving = desk.reserve_exit(*desk.layers(instrument))
    assert carrier.carry_out(leaving).outcome is Outcome.FILLED
    assert (desk.held(), desk.layers(instrument)) == ({}, [])
    assert len(desk.orders()) == len(desk.store.legs(entry.id)) * 2
    agrees_with_the_exchange(desk, entry, leaving)


class Work:
    """An entry that is carried out in the background, in an order that rests as it comes."""

    def __init__(self, desk: Desk, news: OrderNews, config: ExecutionConfig) -> None:
        self.intent = desk.reserve_entry(GOLD, 1)
        self.clock = RunningClock()
        self.is_waiting = threading.Event()
        self.looks = 0
        self._outcomes: list[Outcome] = []
        # The market leaves before the order comes.
        PaperFaults(desk.paper).set("price_runs_away", endpoint="placeorder", ticks=10, times=1)
        client = otherwise(desk.client, "order_status", self._look)
        watched = otherwise(news, "wait", self._wait)
        carrier = carrier_of(OWNER, desk.store, client, self.clock, config, watched)
        self._worker = threading.Thread(
            target=lambda: self._outcomes.append(carrier.carry_out(self.intent).outcome)
        )
        self._worker.start()
        assert self.is_waiting.wait(120)

    def ended(self) -> Outcome:
        """What it came to."""
        self._worker.join(120)
        (outcome,) = self._outcomes
        return outcome

    def _look(self, call: Callable[[str], OrderRow], order_id: str) -> OrderRow:
        self.looks += 1
        return call(order_id)

    def _wait(self, call: Callable[..., bool], *given: Any) -> bool:
        self.is_waiting.set()
        return call(*given)


def test_a_fill_is_booked_when_the_stream_tells_of_it(desk: Desk, calm: Listening) -> None:
    work = Work(desk, calm.news, PATIENT)
    desk.move(GOLD, 127_000)
    assert work.ended() is Outcome.FILLED
    # Each pause was ended by a word: none lasted until the next poll.
    assert set(work.clock.waited) == {0.02}
    assert work.looks <= 3
    agrees_with_the_exchange(desk, work.intent)


def test_a_line_that_falls_wakes_who_waits_for_it(desk: Desk, calm: Listening) -> None:
    """The fill itself breaks the line: nobody is told of it, and it is seen all the same."""
    faults = PaperFaults(desk.paper)
    work = Work(desk, calm.news, PATIENT)
    calm.wait_for(StreamEvent.TOLD)
    faults.set("stream_down", times=1)
    desk.move(GOLD, 127_000)
    assert work.ended() is Outcome.FILLED
    assert "stream_down" in faults.struck()
    assert calm.happened[StreamEvent.TOLD] == 1
    assert set(work.clock.waited) == {0.02}
    agrees_with_the_exchange(desk, work.intent)


def test_an_entry_is_called_off_while_the_stream_is_waited_for(desk: Desk, calm: Listening) -> None:
    work = Work(desk, calm.news, replace(PATIENT, poll_s=Decimal("0.05")))
    desk.store.request_cancel(work.intent.id)
    assert work.ended() is Outcome.NOT_FILLED
    assert [row["order_status"] for row in desk.orders()] == ["cancelled"]
    assert desk.layers(GOLD) == []


@pytest.mark.slow
def test_looks_are_fewer_while_the_stream_speaks_and_as_many_as_ever_while_not(
    desk: Desk, calm: Listening
) -> None:
    unhurried = replace(BRISK, interval_s=Decimal(2), announced_poll_s=Decimal(10))
    polled = Work(desk, listened_to_in_vain(), unhurried)
    assert polled.ended() is Outcome.NOT_FILLED
    announced = Work(desk, calm.news, unhurried)
    assert announced.ended() is Outcome.NOT_FILLED
    # Counted in pauses, of which a slow machine has fewer.
    assert polled.looks >= len(polled.clock.waited)
    assert announced.looks < len(announced.clock.waited) / 2
    assert {row["order_status"] for row in desk.orders()} == {"cancelled"}


def listened_to_in_vain() -> OrderNews:
    """A stream that is open and never says anything."""
    news = OrderNews()
    news.begin()
    return news
