"""What the service stands on may be killed in the middle of an order: nothing is lost or doubled.

The database, Valkey, the exchange, or all of it together with every worker, is killed around a
send, and comes back.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from enum import StrEnum
from functools import partial
from typing import Any

import pytest
from psycopg2.extensions import make_dsn

from core.migrations import migrate
from live.embedded import EmbeddedServers
from live.embedded.watch import Child
from tests.fixtures.account_proof import sent_once
from tests.fixtures.live_service import BANK, GOLD, until
from tests.fixtures.living_service import Living, open_service
from tests.fixtures.servers import folder_for_all

_DYING = "tests.crash.dying_service:create()"


class Victim(StrEnum):
    """What is killed."""

    DATABASE = "database"
    VALKEY = "valkey"
    EXCHANGE = "exchange"
    MACHINE = "machine"


def _has_ended(child: Child) -> bool:
    return child.exit_code is not None


class Site:
    """A service with servers of its own."""

    def __init__(self, servers: EmbeddedServers, living: Living) -> None:
        self._servers = servers
        self.living = living

    def pids(self, victim: Victim) -> list[int]:
        """Whom to kill; the worker that does it comes last."""
        database, valkey = self._servers.database_pid, self._servers.redis_pid
        assert database is not None
        assert valkey is not None
        pids = {
            Victim.DATABASE: [database],
            Victim.VALKEY: [valkey],
            Victim.EXCHANGE: [self.living.paper.pid],
        }
        everything = [pid for found in pids.values() for pid in found]
        return pids.get(victim, [*everything, -self.living.web.group])

    def bring_back(self, victim: Victim) -> None:
        """Start again what is dead."""
        victims = self.pids(victim)
        if victim is Victim.MACHINE:
            self.living.web.kill()
        for watched in self._servers.watched:
            if watched.child.pid in victims:
                until(partial(_has_ended, watched.child))
                watched.child.start()
        if victim in (Victim.EXCHANGE, Victim.MACHINE):
            self.living.start_exchange()
        if victim is Victim.MACHINE:
            self.living.web.start()

    def check_done_in_spite_of(self, victim: Victim, point: str, payload: dict[str, Any]) -> None:
        """Send an alert, kill the victim at `point`, bring it back: the alert is done, once."""
        living = self.living
        before = len(living.proof.orders())
        living.die_at(point, *self.pids(victim))
        with ThreadPoolExecutor(1) as sender:
            sent = sender.submit(living.send, payload)
            living.wait_for_death()
            self.bring_back(victim)
            signal_id = sent.result()
        new = living.done_once(signal_id, payload)[before:]
        assert sent_once(new), new


class Ground:
    """A site that is used for many tests, and made anew after one that went wrong."""

    def __init__(self) -> None:
        self._opened = ExitStack()
        self._site: Site | None = None

    def site(self) -> Site:
        """One that runs, with nothing held and nothing in flight."""
        if self._site is None:
            folder = self._opened.enter_context(folder_for_all())
            servers = self._opened.enter_context(EmbeddedServers(folder / "servers", True))
            dsn = make_dsn(servers.database_url, connect_timeout=2)
            migrate(dsn)
            opening = open_service(dsn, folder, servers.redis_url, application=_DYING)
            self._site = Site(servers, self._opened.enter_context(opening))
        return self._site

    def close(self) -> None:
        """End it."""
        self._opened.close()
        self._site = None


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    made = Ground()
    yield made
    made.close()


@pytest.fixture
def site(ground: Ground, request: pytest.FixtureRequest) -> Iterator[Site]:
    opened = ground.site()
    failed = request.session.testsfailed
    yield opened
    living, went_wrong = opened.living, request.session.testsfailed > failed
    if went_wrong or living.store.open_positions() or not living.proof.is_settled():
        ground.close()


_POINTS = [
    (GOLD, "1 before place_order"),
    (GOLD, "1 after place_order"),
    (BANK, "1 after place_order"),
    (BANK, "2 before place_order"),
]
_OFTEN = (Victim.MACHINE, BANK, "1 after place_order")


def _cases() -> list[Any]:
    cases = [(victim, *point) for victim in Victim for point in _POINTS]
    return [pytest.param(*case, marks=() if case == _OFTEN else pytest.mark.slow) for case in cases]


@pytest.mark.slow
@pytest.mark.parametrize(("victim", "instrument", "point"), _cases())
def test_an_entry_and_an_exit_outlive_it(
    site: Site, victim: Victim, instrument: str, point: str
) -> None:
    living = site.living
    site.check_done_in_spite_of(victim, point, living.alert("BASE_ENTRY", instrument))
    assert len(living.store.open_positions()) == 1
    site.check_done_in_spite_of(victim, point, living.alert("EXIT", instrument))
    assert living.proof.held() == {}
