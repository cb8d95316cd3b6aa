"""./daily_startup.sh as its user knows it: it looks, starts, compares, and never trades."""

import subprocess
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal

import pytest

from brokers.factory import create_broker
from brokers.messages import Action, Contract, GatewayMode, OrderRequest
from brokers.openalgo_http import GatewayAddress
from live.clock import SystemClock
from tests.fixtures.installation import ROOT, Installation, eventually

OPEN_MARKET = "2026-11-20T10:30:00+05:30"
GOLD_FUTURE = Contract("GOLDM04DEC26FUT", "MCX")


@pytest.fixture
def installation() -> Iterator[Installation]:
    with Installation() as found:
        yield found


def begin_the_day(
    installation: Installation, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "daily_startup.sh"), *arguments],
        env={**installation.variables, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def buy_by_hand(installation: Installation) -> int:
    """Somebody buys a lot of gold in the account without us; how many orders there are then."""
    running = installation.running
    key = (installation.home.paper / "apikey").read_text(encoding="ascii").strip()
    clock = SystemClock(running.clock_offset_s)
    address = GatewayAddress(running.gateway, key)
    with closing(create_broker(address, GatewayMode(running.mode), clock, 1)) as broker:
        lot = broker.symbol(GOLD_FUTURE).lot_size
        price = broker.quote(GOLD_FUTURE).ltp + Decimal(500)
        broker.place_order(OrderRequest(GOLD_FUTURE, Action.BUY, lot, price, "by hand"))
        eventually(lambda: any(row.quantity for row in broker.positionbook()))
        return len(broker.orderbook())


def orders(installation: Installation) -> int:
    running = installation.running
    key = (installation.home.paper / "apikey").read_text(encoding="ascii").strip()
    address = GatewayAddress(running.gateway, key)
    clock = SystemClock(running.clock_offset_s)
    with closing(create_broker(address, GatewayMode(running.mode), clock, 1)) as broker:
        return len(broker.orderbook())


def test_help_says_how_it_is_used(installation: Installation) -> None:
    helped = begin_the_day(installation, "--help")
    assert (helped.returncode, helped.stdout[:26]) == (0, "Usage: ./daily_startup.sh ")


def test_what_is_in_the_way_starts_nothing(installation: Installation) -> None:
    refused = begin_the_day(installation, PM_PORT="no port")
    assert refused.returncode == 1
    assert "something is in the way: nothing was started" in refused.stdout
    assert installation.run("status").returncode == 1


@pytest.mark.slow
def test_a_day_begins_agrees_and_says_what_differs_without_trading(
    installation: Installation,
) -> None:
    """Incident 44: the books were compared before they were loaded, and all was called extra."""
    begun = begin_the_day(installation, "--at", OPEN_MARKET)
    assert begun.returncode == 0, begun.stdout
    assert "The books agree." in begun.stdout
    sent = buy_by_hand(installation)
    again = begin_the_day(installation)
    assert again.returncode == 1
    assert "EXTRA" in again.stdout
    assert "daily_startup.sh --sync" in again.stdout
    assert "lot of GOLD_MINI" in again.stdout
    alone = begin_the_day(installation, "--sync")
    assert alone.returncode == 1
    assert "nobody is there to be asked" in alone.stdout
    assert orders(installation) == sent
