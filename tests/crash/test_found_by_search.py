"""What a search through anything that may happen has found, each told once and in plain words."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.inner_exchange import LONGEST_JOURNEY_S, Journey
from tests.fixtures.rules import GOLD
from tests.fixtures.trading_invariants import check
from tests.fixtures.trading_machine import calm_down
from tests.fixtures.trading_process import InterruptedLife
from tests.fixtures.trading_process import TradingProcess as Process
from tests.fixtures.trading_world import TradingWorld, open_world


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[TradingWorld]:
    """An account that trades Gold Mini."""
    with open_world(database_url, tmp_path / "paper", GOLD) as opened:
        yield opened


class LateLife(InterruptedLife):
    """Each order leaves some seconds after it was written down."""

    def __init__(self, world: TradingWorld, late_s: float) -> None:
        super().__init__()
        self._world = world
        self._late_s = late_s

    def step(self, name: str) -> None:
        """One step further."""
        super().step(name)
        if name == "before place_order":
            self._world.clock.wait(self._late_s)


def test_an_order_that_left_late_and_travelled_long_is_not_sent_again(
    world: TradingWorld,
) -> None:
    """It was given up 120 s after it was written down, and arrived 128 s after that."""
    world.process.live(LateLife(world, 9.0))
    world.wire.journey = Journey(LONGEST_JOURNEY_S - 1, sender_dies=True)
    world.journal(world.entry_alert())
    world.do(Process.work)
    for _ in range(5):
        world.clock.wait(22.4)
        world.do(Process.sweep)
        world.do(Process.work)
    check(world)
    calm_down(world)
    assert len(world.exchange.orders()) == 1
