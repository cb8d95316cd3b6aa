"""What has happened to systems like this one, against the whole service: each must not happen here.

Most incidents are held by tests of the rooms they are of; docs/incidents.md has the list.
"""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from core.db_state_manager.states import SignalStatus
from core.migrations import migrate
from live.clock import SystemClock
from live.embedded import EmbeddedServers
from live.engine_threads import EngineThreads, Pace
from live.service import build
from tests.fixtures.database import database
from tests.fixtures.live_service import (
    BANK,
    GOLD,
    OPERATOR_TOKEN,
    PRICES,
    QUICK,
    SECRET,
    Desk,
    alert,
    offset_s,
    open_desk,
    settings_of,
    until,
)
from tests.fixtures.paper_process import PaperProcess

GOLDM = "GOLDM05JAN27FUT"
EXECUTED, BLOCKED = SignalStatus.EXECUTED, SignalStatus.BLOCKED
_CONDITIONS = (
    "rsi_condition", "ema_condition", "dc_condition", "adx_condition", "er_condition",
    "st_condition", "not_doji", "long_entry",
)  # fmt: skip
PAGES = ("status", "positions", "signals", "trades", "orders", "equity", "capital/summary")


def post_alone(desk: Desk, payload: dict[str, Any]) -> Any:
    """The answer to an alert, by a client of the calling thread's own."""
    client = desk.service.app.test_client()
    return client.post("/webhook", json=payload, headers={"X-Webhook-Token": SECRET}).get_json()


@pytest.fixture
def desk(database_url: str, open_folder: Path) -> Iterator[Desk]:
    with open_desk(database_url, open_folder) as found:
        yield found


def test_the_position_is_the_databases_and_never_pines(desk: Desk) -> None:
    """Incident 9: end-of-day alerts without position_status crashed the monitor."""
    scout: dict[str, Any] = {
        "conditions": dict.fromkeys(_CONDITIONS, True) | {"long_exit": False},
        "er": 0.8,
    }
    for seq, status in enumerate((None, {"in_position": True, "pyramid_count": 3})):
        row = desk.alert("EOD_MONITOR", GOLD, **scout, position_status=status, seq=seq)
        assert (row.status, row.outcome.code) == (EXECUTED, "RECORDED")
    row = desk.alert("BASE_ENTRY", GOLD, position_status={"in_position": True})
    assert row.status is EXECUTED
    row = desk.alert("BASE_ENTRY", GOLD, position_status={"in_position": False})
    assert (row.status, row.outcome.code) == (BLOCKED, "ALREADY_IN_POSITION")
    assert desk.held() == {GOLDM: 1}


def test_who_tells_people_can_hang_and_a_stop_goes_out(desk: Desk) -> None:
    """Incident 32: a voice announcement delayed a stop order by 12 s."""
    assert desk.alert("BASE_ENTRY", GOLD).status is EXECUTED
    with desk.store.transaction() as teller:
        teller.execute("SELECT id FROM outbox FOR UPDATE")
        assert teller.rowcount > 0
        row = desk.alert("MARKET_DATA", GOLD, PRICES[GOLD] - 1000)
        assert (row.status, row.outcome.code) == (EXECUTED, "STOP_HIT")
        assert desk.held() == {}
    (trade,) = desk.store.trades(10)
    told = [event for event in desk.store.events_after(0, 100) if event.kind == "INTENT_COMPLETED"]
    assert len(told) == 2
    assert told[-1].created_at >= trade.exit_time


@pytest.mark.slow
@pytest.mark.parametrize("instrument", [BANK, GOLD])
def test_our_stop_and_an_exit_at_once_are_one_exit_at_the_broker(
    desk: Desk, instrument: str
) -> None:
    """Incident 33: the same second exit arrived from TradingView, before or after our own."""
    price = PRICES[instrument]
    for turn in range(4):
        assert desk.alert("BASE_ENTRY", instrument, price).status is EXECUTED
        before = desk.sent()
        bar = desk.clock.now()
        both = [
            alert(bar, kind, instrument, price - 1000, timestamp=bar.isoformat())
            for kind in ("MARKET_DATA", "EXIT")
        ]
        with ThreadPoolExecutor(2) as threads:
            answers = list(
                threads.map(lambda each: post_alone(desk, each), both if turn % 2 else both[::-1])
            )
        ends = {row.type: row for row in (desk.end_of(each["signal_id"]) for each in answers)}
        closed_by = [row for row in ends.values() if row.outcome.code in ("EXIT", "STOP_HIT")]
        assert len(closed_by) == 1
        if closed_by[0].type == "MARKET_DATA":
            assert ends["EXIT"].outcome.code == "ALREADY_CLOSED"
        assert len(desk.sent()) - len(before) == {BANK: 2, GOLD: 1}[instrument]
        assert (desk.held(), desk.store.open_positions()) == ({}, [])


@pytest.mark.parametrize("instrument", [BANK, GOLD])
def test_margin_is_one_figure_from_the_decision_to_the_book(desk: Desk, instrument: str) -> None:
    """Incident 40: margin per lot was 10 x wrong in one of two places."""
    row = desk.alert("BASE_ENTRY", instrument)
    journey = desk.store.journey(row.id)
    assert journey is not None
    decision = journey.intents[0].intent.decision
    assert decision.inputs is not None
    a_lot = decision.inputs.margin_per_lot
    assert decision.margin == a_lot * decision.lots
    (layer,) = desk.store.open_positions()
    assert layer.margin_per_lot == a_lot
    assert desk.store.load_book()[instrument].margin == a_lot * layer.lots
    shown = desk.operate("GET", "/positions")["items"][0]
    assert float(shown["margin_per_lot"]) == float(a_lot)


def test_without_redis_at_the_start_alerts_are_handled(
    database_url: str, open_folder: Path
) -> None:
    """Incident 42: Redis was down at start and every signal was answered "not leader"."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        nobody = f"redis://127.0.0.1:{taken.getsockname()[1]}"
    with open_desk(database_url, open_folder, nobody) as desk:
        entry = alert(desk.clock.now(), "BASE_ENTRY", GOLD)
        first = desk.send(entry)
        assert desk.end_of(first["signal_id"]).status is EXECUTED
        assert desk.send(entry)["status"] == "duplicate"
        assert desk.alert("EXIT", GOLD).status is EXECUTED
        assert desk.sent() == [f"BUY 1 {GOLDM}", f"SELL 1 {GOLDM}"]


def test_without_its_database_the_service_waits_and_trades_nothing(open_folder: Path) -> None:
    """Incident 43: the database was down at start and the system traded from an empty book."""
    ahead_s = offset_s()
    clock = SystemClock(ahead_s)
    servers = open_folder / "servers"
    with EmbeddedServers(servers, True, with_valkey=False) as there:
        dsn = there.database_url
        migrate(dsn)
        database(dsn).close()
    options = ("--carry-pct", "0", "--clock-offset-s", str(ahead_s))
    with PaperProcess(open_folder / "paper", *options) as paper:
        service = build(settings_of(dsn, open_folder, paper, clock_offset_s=ahead_s), QUICK)
        service.start()
        client = service.app.test_client()
        desk = Desk(service, paper, service.store, clock, client)
        entry = alert(clock.now(), "BASE_ENTRY", GOLD)
        try:
            assert client.get("/ready").status_code == 503
            answer = client.post("/webhook", json=entry, headers={"X-Webhook-Token": SECRET})
            assert (answer.status_code, answer.get_json()["status"]) == (503, "error")
            assert desk.sent() == []
            with EmbeddedServers(servers, True, with_valkey=False) as there:
                assert there.database_url == dsn
                until(lambda: client.get("/ready").status_code == 200)
                assert desk.end_of(desk.send(entry)["signal_id"]).status is EXECUTED
                assert desk.sent() == [f"BUY 1 {GOLDM}"]
                service.stop()
        finally:
            service.stop()


def test_no_alert_is_claimed_before_what_was_left_behind_is_looked_at(
    database_url: str, open_folder: Path
) -> None:
    """Incident 44: reconciliation ran before the book was loaded: recovery, then signals."""
    slow = Pace(lease_s=15.0, poll_s=0.02, sweep_s=0.1, first_recovery_s=30.0, last_work_s=5.0)
    seen: list[SignalStatus] = []
    stopping = threading.Event()
    with open_desk(database_url, open_folder) as desk:
        assert desk.alert("BASE_ENTRY", GOLD).status is EXECUTED
        engine = desk.service.engine._engine
        desk.service.engine.stop()

        def recover(_: str) -> None:
            if not seen:
                threads.kick()
                threading.Event().wait(10 * slow.poll_s)
                seen.append(desk.store.signals(1)[0].status)

        threads = EngineThreads(desk.store, engine, recover, "next life", 2, stopping, slow)
        waiting = desk.send(alert(desk.clock.now(), "EXIT", GOLD))
        assert waiting["status"] == "accepted"
        threads.start()
        try:
            assert not threads.is_ready
            row = until(lambda: desk._finished(waiting["signal_id"]))
            assert seen == [SignalStatus.RECEIVED]
        finally:
            threads.stop()
        assert (row.status, desk.held()) == (EXECUTED, {})


def test_a_restart_changes_nothing_of_the_money_or_the_book(
    database_url: str, open_folder: Path
) -> None:
    """Incidents 34, 35, 39: what a start wrote over, lost, or took from the command line."""
    found = []
    for life in range(3):
        with open_desk(database_url, open_folder / str(life)) as desk:
            if life == 0:
                for instrument in (GOLD, BANK):
                    assert desk.alert("BASE_ENTRY", instrument).status is EXECUTED
                assert desk.alert("EXIT", GOLD, PRICES[GOLD] - 500).status is EXECUTED
            until(lambda: desk.service.engine.is_ready)
            found.append(
                (desk.store.money(), desk.store.open_positions(), desk.store.load_book().snapshot())
            )
    assert found[0][0].closed_equity < found[0][0].equity_high == 5_000_000
    assert found == [found[0]] * 3


def test_those_who_look_keep_no_alert_waiting(desk: Desk) -> None:
    """Incident 61: the dashboard's polling slowed webhooks down."""
    with ExitStack() as pollers:
        for _ in range(4):  # All the connections there are for reading.
            pollers.enter_context(desk.service.reads.transaction()).execute(
                "SELECT count(*) FROM signal_log, order_intents, portfolio_positions, outbox"
            )
        assert desk.alert("BASE_ENTRY", BANK).status is EXECUTED
        assert desk.alert("EXIT", BANK).status is EXECUTED


def test_those_who_look_wait_for_no_decision(desk: Desk) -> None:
    """Incident 61: reads never wait for, or block, the trading path."""
    assert desk.alert("BASE_ENTRY", GOLD).status is EXECUTED
    with desk.store.transaction() as deciding:
        for table in ("portfolio_state", "portfolio_positions", "signal_log", "order_intents"):
            deciding.execute(f"SELECT * FROM {table} FOR UPDATE")  # noqa: S608 - constants
        for page in PAGES:
            answer = desk.client.get(
                f"/{page}", headers={"Authorization": f"Bearer {OPERATOR_TOKEN}"}
            )
            assert answer.status_code == 200, page
