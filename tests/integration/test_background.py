"""What the leader keeps up: events told, old alerts gone, markets looked at before they open."""

import re
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from brokers.factory import create_broker
from brokers.messages import GatewayMode
from brokers.openalgo_http import GatewayAddress
from core.config import PortfolioConfig
from core.contracts import Contracts
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.records import OutboxEvent
from core.errors import Rejected, Retryable
from core.instruments import InstrumentCatalog
from core.ist import IST
from core.market_calendar import MarketCalendar
from core.models import MarketDataSignal
from core.webhook_parser import Alert
from live import metrics
from live.clock import SystemClock
from live.coverage_warning import CALENDAR_ENDS, CoverageWarning
from live.dead_man_ping import DeadManPing
from live.expiry_utils import ContractChooser
from live.lot_guard import LotGuard
from live.outbox_relay import OutboxRelay
from live.pre_open import PASSED, PRE_OPEN_FAILED, PreOpenCheck
from tests.fixtures.database import database, journal, later, reserve
from tests.fixtures.hand_clock import HandClock
from tests.fixtures.live_service import BANK, BEGINS, GOLD, Desk, default_config, open_desk, until
from tests.fixtures.paper_faults import PaperFaults
from tests.fixtures.rules import base_entry, leave

CATALOG, CALENDAR = InstrumentCatalog.shipped(), MarketCalendar.shipped()


@pytest.fixture
def store(database_url: str) -> Iterator[DatabaseStateManager]:
    manager = database(database_url)
    yield manager
    manager.close()


def told(store: DatabaseStateManager, kind: str) -> list[dict[str, Any]]:
    return [dict(event.payload) for event in store.events_after(0, 500) if event.kind == kind]


def test_what_a_leader_keeps_up_is_refused_once_another_leads(store: DatabaseStateManager) -> None:
    """Incident 47: a leader paused for a minute woke and traded beside the new one."""
    epoch = store.begin_leadership("one")
    with store.led_by(epoch):
        assert store.lock_instrument(BANK, "TEST", "while it leads", "one")
    newer = store.begin_leadership("two")
    with (
        store.led_by(epoch),
        pytest.raises(Rejected, match=f"epoch {epoch} does not lead any more") as refused,
    ):
        store.unlock_instrument(BANK, "TEST", "one")
    assert refused.value.code == "STALE_EPOCH"
    assert [lock.code for lock in store.instrument_locks()] == ["TEST"]
    with store.led_by(newer):
        assert store.unlock_instrument(BANK, "TEST", "two")
    assert store.instrument_locks() == []


def test_every_job_has_a_turn_that_goes_well_in_the_service_that_leads(
    database_url: str, open_folder: Path
) -> None:
    before = turns("ok")
    with open_desk(database_url, open_folder) as desk:
        names = {job.id for job in desk.service.jobs._scheduler.get_jobs()}
        assert names >= {"reconciliation", "pre_open", "outbox_relay", "clean_up"}
        until(lambda: all(turns("ok").get(name, 0) > before.get(name, 0) for name in names))


def turns(result: str) -> dict[str, float]:
    """How many turns of each job of this process ended so."""
    line = re.compile(rf'pm_job_turns_total{{job="(\w+)",result="{result}"}} (\S+)')
    text = generate_latest(metrics._OWN).decode()
    return {name: float(count) for name, count in line.findall(text)}


class Teller:
    """Tells a list; kinds that it cannot tell are refused."""

    def __init__(self, *untold: str) -> None:
        self.untold = untold
        self.told: list[str] = []

    def tell(self, event: OutboxEvent) -> None:
        if event.kind in self.untold:
            raise Retryable(f"{event.kind} cannot be told now")
        self.told.append(event.kind)


def test_events_are_told_in_their_order_and_once(store: DatabaseStateManager) -> None:
    for kind in ("FIRST", "SECOND", "THIRD"):
        store.append_outbox(kind, None, {})
    teller = Teller()
    relay = OutboxRelay(store, teller, "one")
    relay.run()
    relay.run()
    assert [kind for kind in teller.told if kind != "CAPITAL_MOVED"] == ["FIRST", "SECOND", "THIRD"]
    assert store.claim_outbox("another", 9, 1.0) == []


def test_an_event_that_cannot_be_told_keeps_no_other_from_it_and_comes_again(
    store: DatabaseStateManager,
) -> None:
    store.append_outbox("BAD", None, {})
    store.append_outbox("GOOD", None, {})
    teller = Teller("BAD")
    with pytest.raises(Retryable, match="BAD cannot be told now"):
        OutboxRelay(store, teller, "one").run()
    assert "GOOD" in teller.told
    # The lease of the first try ends, here at once.
    with store.transaction() as cursor:
        cursor.execute("UPDATE outbox SET lease_until = now() WHERE delivered_at IS NULL")
    mended = Teller()
    OutboxRelay(store, mended, "two").run()
    assert mended.told == ["BAD"]


def bar(instrument: str, minutes: int) -> Alert:
    price = base_entry().price
    return MarketDataSignal(instrument, price, price / 100, price - 1, later(minutes), minutes)


def finished(store: DatabaseStateManager, alert: Alert) -> int:
    number = journal(store, alert).id
    with store.transaction() as cursor:
        cursor.execute("UPDATE signal_log SET status = 'executed' WHERE id = %s", (number,))
    return number


def kept(store: DatabaseStateManager) -> list[int]:
    return [number for (number,) in store.rows("SELECT id FROM signal_log ORDER BY id")]


def test_old_bars_that_led_to_nothing_go_and_all_else_stays(store: DatabaseStateManager) -> None:
    plain = [finished(store, bar(BANK, minutes)) for minutes in (1, 2, 3)]
    decided = finished(store, bar(BANK, 4))
    reserve(store, None, decided)
    with store.transaction() as cursor:
        cursor.execute(
            "INSERT INTO signal_audit (signal_id, instrument, kind, code, detail, at)"
            " VALUES (%s, %s, 'decision', 'HOLD', '{}', now())",
            (decided, BANK),
        )
    waiting = journal(store, bar(BANK, 5)).id
    stay = [finished(store, base_entry()), finished(store, leave()), decided, waiting]
    soon = later(1) + timedelta(days=1)
    assert store.forget_alerts(later(-1), 10) == 0
    assert store.forget_alerts(soon, 2) == 2
    assert kept(store) == sorted([plain[2], *stay])
    assert store.forget_alerts(soon, 2) == 1
    assert store.forget_alerts(soon, 2) == 0
    assert kept(store) == sorted(stay)


def test_processes_that_have_long_ended_go(store: DatabaseStateManager) -> None:
    store.heartbeat("one", "host", 1, "0.1.0")
    assert store.forget_processes(later(-1)) == 0
    assert store.forget_processes(later(1)) == 1


def test_a_calendar_that_is_about_to_end_is_told_of_once_a_day(
    store: DatabaseStateManager,
) -> None:
    last = CALENDAR.covered_until("NSE")
    clock = HandClock(datetime(last.year, last.month, last.day, 9, tzinfo=IST))
    warning = CoverageWarning(store, default_config(), CALENDAR, clock)
    clock.moment -= timedelta(days=31)
    warning.run()
    assert told(store, CALENDAR_ENDS) == []
    clock.moment += timedelta(days=1)
    for _ in range(3):
        warning.run()
    first = [row for row in told(store, CALENDAR_ENDS) if row["exchange"] == "NSE"]
    assert [row["days_left"] for row in first] == [30]
    clock.moment += timedelta(days=1)
    warning.run()
    first = [row for row in told(store, CALENDAR_ENDS) if row["exchange"] == "NSE"]
    assert [row["days_left"] for row in first] == [30, 29]


class Morning:
    """A check over the desk's exchange and store, at a time that a test sets."""

    def __init__(self, desk: Desk, config: PortfolioConfig | None = None) -> None:
        self.desk = desk
        self.clock = HandClock(BEGINS)
        self.faults = PaperFaults(desk.paper)
        address = GatewayAddress(desk.paper.url, desk.paper.apikey)
        self.broker = create_broker(address, GatewayMode.ANALYZE, SystemClock(), 5)
        contracts = Contracts(CALENDAR, CATALOG)
        self.check = PreOpenCheck(
            desk.store,
            self.broker,
            ContractChooser(contracts, CATALOG, self.broker),
            LotGuard(desk.store, self.broker, "paper", CATALOG, contracts, True),
            config or default_config(),
            CATALOG,
            CALENDAR,
            self.clock,
        )

    def at(self, text: str) -> "Morning":
        """Check at that time of Monday 30 November 2026."""
        self.clock.moment = datetime.fromisoformat(f"2026-11-30T{text}").replace(tzinfo=IST)
        self.check.run()
        return self

    def passed(self) -> list[str]:
        return [row["checked"] for row in told(self.desk.store, PASSED)]

    def locked(self) -> list[str]:
        locks = self.desk.store.instrument_locks()
        return [lock.instrument for lock in locks if lock.code == PRE_OPEN_FAILED]


@pytest.fixture
def morning(database_url: str, open_folder: Path) -> Iterator[Morning]:
    with open_desk(database_url, open_folder) as desk:
        found = Morning(desk)
        with closing(found.broker):
            yield found


def test_each_market_is_looked_at_shortly_before_it_opens_and_once(morning: Morning) -> None:
    assert morning.at("08:44").passed() == []
    assert morning.at("08:45").passed() == [GOLD]
    assert morning.at("08:59").passed() == [GOLD]
    assert morning.at("09:00").passed() == [GOLD, BANK]
    morning.desk.paper.kill()
    assert morning.at("10:00").locked() == []


def test_a_dead_session_takes_no_entries_until_it_lives_again(morning: Morning) -> None:
    dead = morning.faults.set("session_dead")
    assert morning.at("09:05").locked() == [BANK, GOLD]
    assert morning.passed() == []
    blocked = morning.desk.alert("BASE_ENTRY", GOLD)
    assert (blocked.status, blocked.outcome.code) == ("blocked", "ENTRIES_BLOCKED")
    morning.at("09:06")
    locks = told(morning.desk.store, "INSTRUMENT_LOCKED")
    assert len(locks) == 2
    morning.faults.clear(dead)
    assert morning.at("09:07").locked() == []
    assert sorted(morning.passed()) == [BANK, GOLD]


def test_a_market_that_is_closed_or_unknown_is_not_looked_at(morning: Morning) -> None:
    morning.faults.set("session_dead")
    morning.clock.moment = datetime(2026, 11, 29, 10, tzinfo=IST)
    morning.check.run()
    last = CALENDAR.covered_until("MCX")
    morning.clock.moment = datetime(last.year + 1, 1, 4, 10, tzinfo=IST)
    morning.check.run()
    assert morning.locked() == []


def test_somebody_outside_hears_that_a_leader_lives(database_url: str, open_folder: Path) -> None:
    """Incident 62: the process died and nobody knew for hours."""
    heard: list[str] = []

    class Outside(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.path)
            self.send_response(200 if self.path == "/alive" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Outside) as outside:
        thread = threading.Thread(target=outside.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{outside.server_port}"
        try:
            with open_desk(database_url, open_folder, heartbeat_url=f"{url}/alive"):
                until(lambda: "/alive" in heard)
            with pytest.raises(Retryable, match="answer 404"):
                DeadManPing(f"{url}/unknown").run()
        finally:
            outside.shutdown()
            thread.join()
    with pytest.raises(Retryable, match="nobody was told that this lives: ConnectionError"):
        DeadManPing(f"{url}/alive").run()
