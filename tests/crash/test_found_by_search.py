"""What a search through anything that may happen has found, each told once and in plain words."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers.messages import GatewayMode
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


@pytest.fixture
def live_world(database_url: str, tmp_path: Path) -> Iterator[TradingWorld]:
    """The same at a live broker, whose orders do not tell how much of them filled."""
    with open_world(database_url, tmp_path / "paper", GOLD, GatewayMode.LIVE) as opened:
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


def test_books_that_have_lost_what_they_held_prove_nothing(world: TradingWorld) -> None:
    """A filled order was taken for one that never arrived, because the book was empty just then."""
    world.journal(world.entry_alert())
    world.do(Process.work)
    world.trend_goes_on()
    world.exchange.go_wrong("reply_lost", endpoint="placeorder", times=1)
    world.journal(world.entry_alert())
    world.do(Process.work)
    world.clock.wait(world.around.window_s + 1)
    world.exchange.go_wrong("books_empty", times=4)
    world.do(Process.sweep)
    check(world)
    calm_down(world)
    assert [layer.layer for layer in world.store.load_book()[GOLD].layers] == [1, 2]


def test_a_trade_by_hand_is_not_ours_because_the_order_book_does_not_show_its_order(
    world: TradingWorld,
) -> None:
    """It was taken for our own order, which arrived later and would have filled beside it."""
    world.journal(world.entry_alert())
    world.do(Process.work)
    world.trend_goes_on()
    world.exchange.go_wrong("request_lost", endpoint="placeorder", times=1)
    world.journal(world.entry_alert())
    world.do(Process.work)
    (ours,) = world.store.unfinished_orders()
    world.trade_by_hand(closing=False, lots=1, legs=1)
    world.exchange.go_wrong("books_empty", endpoint="orderbook", times=1)
    world.do(Process.sweep)
    (looked_for,) = world.store.unfinished_orders()
    assert (looked_for.id, looked_for.order_id) == (ours.id, None)
    check(world)
    calm_down(world)


@pytest.mark.parametrize("ends", ["cancelled", "rejected"])
@pytest.mark.parametrize("lie", ["books_empty", "books_stale"])
def test_what_filled_is_not_forgotten_where_the_trade_book_lags_behind(
    live_world: TradingWorld, lie: str, ends: str
) -> None:
    """Two looks agreed that an order had ended, and on a trade book that did not show it yet."""
    world = live_world
    half = [{"fraction": "0.5"}, {"ends": ends, "after_s": 1}]
    world.exchange.go_wrong("partial_fill", pieces=half, times=1)
    world.exchange.go_wrong(lie, endpoint="tradebook", times=4)
    world.journal(world.entry_alert())
    world.do(Process.work)
    check(world)
    calm_down(world)
    (layer,) = world.store.load_book()[GOLD].layers
    assert {layer.symbol: layer.lots} == world.exchange.net()


def test_a_position_of_somebody_else_holds_no_order_up_for_ever(live_world: TradingWorld) -> None:
    """The position book contradicts our fills for good: that costs looks, and no exit."""
    world = live_world
    world.journal(world.entry_alert())
    world.do(Process.work)
    world.trade_by_hand(closing=False, lots=2, legs=1)
    world.exchange.go_wrong("rejected_after_accept", times=2)
    world.journal(world.exit_alert(None))
    world.do(Process.work)
    world.do(Process.work)
    check(world)
    assert world.store.load_book()[GOLD].layers == []
