"""What the whole service does not do, and says why: stopped, locked, closed, late, void, diverged.

What closes is never among it, unless everything was halted; then it is done afterwards.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from brokers.messages import GatewayMode
from core.db_state_manager.states import ControlState, SignalStatus
from core.ist import IST
from core.webhook_parser import fingerprint, parse_alert
from live.clock import SystemClock
from live.service import build
from live.settings import Gateway
from tests.fixtures.live_service import (
    BANK,
    BEGINS,
    CAPITAL,
    GOLD,
    PRICES,
    QUICK,
    Desk,
    alert,
    later,
    open_desk,
    settings_of,
    until,
)
from tests.fixtures.paper_faults import PaperFaults
from tests.fixtures.paper_process import PaperProcess

GOLDM = "GOLDM05JAN27FUT"
EXECUTED, BLOCKED, FAILED = SignalStatus.EXECUTED, SignalStatus.BLOCKED, SignalStatus.FAILED
EXPIRED = SignalStatus.EXPIRED


@pytest.fixture
def desk(database_url: str, open_folder: Path) -> Iterator[Desk]:
    with open_desk(database_url, open_folder) as found:
        yield found


@contextmanager
def elsewhere(dsn: str, folder: Path, moment: datetime, *, is_paper: bool = True) -> Iterator[Desk]:
    """The service at another moment; not `is_paper`: its market does not follow the alerts."""
    ahead_s = (moment - SystemClock().now()).total_seconds()
    with PaperProcess(folder / "paper", "--carry-pct", "0", "--clock-offset-s", str(ahead_s)) as it:
        gateway = Gateway(it.url, it.apikey, GatewayMode.ANALYZE, is_paper=is_paper)
        settings = settings_of(dsn, folder, it, clock_offset_s=ahead_s, gateway=gateway)
        service = build(settings, QUICK)
        service.store.open_ledger(CAPITAL, "operator")
        service.start()
        try:
            yield Desk(service, it, service.store, SystemClock(ahead_s), service.app.test_client())
        finally:
            service.stop()


def received_before(desk: Desk, age_s: float, kind: str, instrument: str, **fields: Any) -> Any:
    """What becomes of an alert that came in so long ago and was not handled until now."""
    now = desk.clock.now()
    parsed = parse_alert(alert(now, kind, instrument, **fields), {BANK, GOLD})
    received_at = now - timedelta(seconds=age_s)
    kept = desk.store.journal_signal(b"{}", parsed, fingerprint(parsed), received_at)
    desk.service.engine.kick()
    return desk.end_of(kept.id)


def switch(desk: Desk, state: ControlState) -> None:
    if state is ControlState.ACTIVE:
        desk.operate("POST", "/emergency/resume", reason="for a test")
    else:
        desk.operate("POST", "/emergency/stop", reason="for a test", state=state.value)


@pytest.mark.parametrize("state", ControlState)
def test_the_switch_and_an_entry(desk: Desk, state: ControlState) -> None:
    switch(desk, state)
    row = desk.alert("BASE_ENTRY", GOLD)
    assert (row.status is EXECUTED) is (state is ControlState.ACTIVE)
    if state is not ControlState.ACTIVE:
        assert (row.status, row.outcome.code) == (BLOCKED, "ENTRIES_BLOCKED")
        assert state in row.outcome.reason
        assert (desk.sent(), desk.held()) == ([], {})


@pytest.mark.slow
@pytest.mark.parametrize("instrument", [BANK, GOLD])
@pytest.mark.parametrize("state", [ControlState.ACTIVE, ControlState.REDUCING])
def test_the_switch_lets_exits_and_stops_through(
    desk: Desk, state: ControlState, instrument: str
) -> None:
    """Incident 49: the kill switch blocked exits; other paths ignored it."""
    for closing in (("EXIT", PRICES[instrument]), ("MARKET_DATA", PRICES[instrument] - 1000)):
        switch(desk, ControlState.ACTIVE)
        assert desk.alert("BASE_ENTRY", instrument).status is EXECUTED
        switch(desk, state)
        kind, price = closing
        assert desk.alert(kind, instrument, price).status is EXECUTED
        assert (desk.held(), desk.store.open_positions()) == ({}, [])


@pytest.mark.parametrize("instrument", [BANK, GOLD])
def test_halted_sends_nothing_and_a_closing_alert_may_come_again(
    desk: Desk, instrument: str
) -> None:
    """Incident 49: one function sends, it alone asks the switch, and no path goes round it."""
    assert desk.alert("BASE_ENTRY", instrument).status is EXECUTED
    switch(desk, ControlState.HALTED)
    held, sent = desk.held(), desk.sent()
    leaving = alert(desk.clock.now(), "EXIT", instrument)
    row = desk.end_of(desk.send(leaving)["signal_id"])
    assert row.status is FAILED
    assert "HALTED" in row.outcome.reason
    assert desk.alert("MARKET_DATA", instrument, PRICES[instrument] - 1000).status is FAILED
    assert (desk.held(), desk.sent()) == (held, sent)
    switch(desk, ControlState.ACTIVE)
    desk.send(leaving)
    assert until(lambda: executed(desk, row.id)).attempts == 2
    assert (desk.held(), desk.store.open_positions()) == ({}, [])


def test_the_switch_outlives_the_process(database_url: str, open_folder: Path) -> None:
    """Incident 50: a restart lost the paused state."""
    for life in range(2):
        with open_desk(database_url, open_folder / str(life)) as desk:
            if life == 0:
                switch(desk, ControlState.HALTED)
            row = desk.alert("BASE_ENTRY", GOLD)
            assert (row.status, row.outcome.code) == (BLOCKED, "ENTRIES_BLOCKED")
            assert desk.sent() == []


def test_a_locked_instrument_is_closed_to_entries_alone(desk: Desk) -> None:
    assert desk.alert("BASE_ENTRY", GOLD).status is EXECUTED
    for instrument in (BANK, GOLD):
        desk.store.lock_instrument(instrument, "LOT_CHANGED", "1 became 100", "pre-open check")
    for kind, instrument, position in (("BASE_ENTRY", BANK, "Long_1"), ("PYRAMID", GOLD, "Long_2")):
        row = desk.alert(kind, instrument, position=position)
        assert (row.status, row.outcome.code) == (BLOCKED, "ENTRIES_BLOCKED")
        assert "LOT_CHANGED" in row.outcome.reason
    assert desk.alert("EXIT", GOLD).status is EXECUTED
    assert desk.held() == {}


@pytest.mark.parametrize(("age_s", "is_bought"), [(5, True), (45, True), (61, False)])
def test_an_entry_grows_too_old(desk: Desk, age_s: float, is_bought: bool) -> None:
    row = received_before(desk, age_s, "BASE_ENTRY", GOLD)
    assert (row.status is EXECUTED) is is_bought
    assert bool(desk.held()) is is_bought
    if not is_bought:
        assert (row.status, row.outcome.code) == (EXPIRED, "SIGNAL_TOO_OLD")
        told = re.search(r"(\d+) s", row.outcome.reason)
        assert told is not None
        # It goes on to grow old until it is judged.
        assert int(told[1]) >= age_s


def test_an_entry_of_an_old_bar_is_refused_however_fresh_its_delivery(desk: Desk) -> None:
    """Incident 6: old alerts were replayed days later by a relay."""
    for days in (1, 3, 30):
        bar = (BEGINS - timedelta(days=days)).isoformat()
        row = desk.alert("BASE_ENTRY", GOLD, timestamp=bar)
        assert (row.status, row.outcome.code) == (EXPIRED, "SIGNAL_TOO_OLD")
        row = desk.alert("MARKET_DATA", GOLD, timestamp=bar)
        assert (row.status, row.outcome.code) == (BLOCKED, "SIGNAL_TOO_OLD")
    assert desk.sent() == []


@pytest.mark.parametrize("age_s", [61, 3600, 86_400])
def test_an_exit_is_never_too_old(desk: Desk, age_s: float) -> None:
    assert desk.alert("BASE_ENTRY", GOLD).status is EXECUTED
    row = received_before(desk, age_s, "EXIT", GOLD)
    assert (row.status, desk.held()) == (EXECUTED, {})


# Seconds that the bar of an exit seems to lie ahead of the server, in three ways to write it.
CLOCKS: dict[str, Callable[[datetime], datetime]] = {
    "server time is UTC": lambda now: (now + timedelta(hours=5, minutes=30)).replace(tzinfo=None),
    "16,186 s ahead": lambda now: now + timedelta(seconds=16_186),
    "16,186 s behind": lambda now: now - timedelta(seconds=16_186),
    "the same moment in New York": lambda now: datetime.fromisoformat(
        now.strftime("%Y-%m-%dT") + "00:05:00-05:00"
    ),
    "naive, so IST": lambda now: now.replace(tzinfo=None),
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_an_exit_is_never_refused_for_a_clock(desk: Desk, clock: str) -> None:
    """Incident 1: an EXIT was refused as 16,186 s in the future; chart, UTC and server mixed."""
    assert desk.alert("BASE_ENTRY", GOLD).status is EXECUTED
    moment = CLOCKS[clock](desk.clock.now())
    row = desk.alert("EXIT", GOLD, timestamp=moment.isoformat())
    assert (row.status, desk.held()) == (EXECUTED, {})


def test_times_are_read_as_what_they_are(desk: Desk) -> None:
    """Incident 1: a time without an offset is IST, one with an offset is converted."""
    now = desk.clock.now().replace(microsecond=0)
    naive, utc = now.replace(tzinfo=None).isoformat(), now.astimezone(tz=None).isoformat()
    first = desk.send(alert(now, "MARKET_DATA", GOLD, timestamp=naive))
    again = desk.send(alert(now, "MARKET_DATA", GOLD, timestamp=utc))
    assert again["status"] == "duplicate"
    assert again["signal_id"] == first["signal_id"]
    assert desk.end_of(first["signal_id"]).bar_time == now


def test_an_entry_of_the_future_waits_for_nobody(desk: Desk) -> None:
    row = desk.alert("BASE_ENTRY", GOLD, timestamp=later(desk.clock.now(), 270))
    assert (row.status, row.outcome.code) == (BLOCKED, "BAR_IN_FUTURE")
    assert desk.sent() == []


def test_an_exit_of_a_later_bar_makes_an_entry_void(desk: Desk) -> None:
    """Incident 3: the exit was executed first, and the entry of before it must not follow."""
    now = desk.clock.now()
    desk.alert("EXIT", GOLD, timestamp=now.isoformat())
    row = desk.alert("BASE_ENTRY", GOLD, timestamp=later(now, -1))
    assert (row.status, row.outcome.code) == (EXPIRED, "SUPERSEDED")
    assert desk.sent() == []


def test_an_exit_of_what_is_not_held_fails_and_may_come_again(desk: Desk) -> None:
    """Incident 2: an exit failed ("no position"), and its retry was blocked as a duplicate."""
    leaving = alert(desk.clock.now(), "EXIT", GOLD)
    first = desk.end_of(desk.send(leaving)["signal_id"])
    assert (first.status, first.outcome.code) == (FAILED, "NOTHING_HELD")
    assert desk.alert("BASE_ENTRY", GOLD).status is EXECUTED
    assert desk.held() == {GOLDM: 1}
    desk.send(leaving)
    again = until(lambda: executed(desk, first.id))
    assert (again.attempts, desk.held()) == (2, {})
    third = desk.send(leaving)
    assert (third["status"], third["signal_id"]) == ("duplicate", first.id)
    assert desk.sent() == [f"BUY 1 {GOLDM}", f"SELL 1 {GOLDM}"]


def executed(desk: Desk, signal_id: int) -> Any:
    row = desk.end_of(signal_id)
    return row if row.status is EXECUTED else None


def test_an_exit_after_our_own_stop_is_told_that_it_is_closed(desk: Desk) -> None:
    """Incident 33: the second exit arrived from TradingView; one broker exit."""
    assert desk.alert("BASE_ENTRY", GOLD).status is EXECUTED
    bar = desk.clock.now().isoformat()
    row = desk.alert("MARKET_DATA", GOLD, PRICES[GOLD] - 1000, timestamp=bar)
    assert (row.status, row.outcome.code) == (EXECUTED, "STOP_HIT")
    leaving = alert(desk.clock.now(), "EXIT", GOLD, timestamp=bar)
    row = desk.end_of(desk.send(leaving)["signal_id"])
    assert (row.status, row.outcome.code) == (BLOCKED, "ALREADY_CLOSED")
    assert "GOLD_MINI/1/Long_1" in row.outcome.reason
    assert desk.send(leaving)["status"] == "duplicate"
    assert desk.sent() == [f"BUY 1 {GOLDM}", f"SELL 1 {GOLDM}"]


# NSE and MCX are closed on Christmas; of the second the year is not published yet.
DAYS = [
    (datetime(2026, 12, 25, 10, 30, tzinfo=IST), "ENTRIES_BLOCKED", "closed on 2026-12-25"),
    (datetime(2026, 11, 29, 11, 30, tzinfo=IST), "ENTRIES_BLOCKED", "closed on 2026-11-29"),
    (datetime(2028, 6, 1, 11, 30, tzinfo=IST), "OUTSIDE_COVERAGE", "2028"),
]


@pytest.mark.parametrize(("moment", "code", "told"), DAYS, ids=["holiday", "Sunday", "unknown"])
def test_no_entry_on_a_day_without_a_session(
    database_url: str, open_folder: Path, moment: datetime, code: str, told: str
) -> None:
    with elsewhere(database_url, open_folder, moment) as desk:
        for instrument in (BANK, GOLD):
            row = desk.alert("BASE_ENTRY", instrument)
            assert (row.status, row.outcome.code) == (BLOCKED, code)
            assert told in row.outcome.reason
        assert desk.sent() == []


def test_a_gap_in_the_market_stops_entries_and_no_exit(
    database_url: str, open_folder: Path
) -> None:
    """Incident 15: a price check refused everything after a gap of 5 %, exits included."""
    with elsewhere(database_url, open_folder, BEGINS, is_paper=False) as desk:

        def move(price: int) -> None:
            desk.paper.read("control/price", {"instrument": GOLD, "price": price})

        asked = {"instrument": GOLD, "lot_size": 1, "reason": "a test"}
        desk.operate("POST", "/sync/lot-size", **asked)
        move(128_000)
        assert desk.alert("BASE_ENTRY", GOLD, 128_000).status is EXECUTED
        move(121_600)  # 5 % down, and an alert of the new price passes.
        row = desk.alert("EXIT", GOLD, 121_600)
        assert (row.status, desk.held()) == (EXECUTED, {})
        row = desk.alert("BASE_ENTRY", GOLD, 128_000)
        assert (row.status, row.outcome.code) == (BLOCKED, "PRICE_DIVERGED")
        assert "2560" in row.outcome.reason
        assert desk.alert("BASE_ENTRY", GOLD, 121_600).status is EXECUTED
        move(128_000)  # 5 % up, and an exit of the old price passes.
        row = desk.alert("EXIT", GOLD, 121_600)
        assert (row.status, desk.held()) == (EXECUTED, {})


def test_without_the_brokers_margin_our_own_figure_holds(desk: Desk) -> None:
    """`margin_refused`: what the broker does not say is neither nothing nor too much."""
    PaperFaults(desk.paper).set("margin_refused")
    entered = desk.alert("BASE_ENTRY", GOLD)
    assert entered.status is EXECUTED
    assert "margin_refused" in PaperFaults(desk.paper).struck()
    (layer,) = desk.store.open_positions()
    assert layer.margin_per_lot == desk.store.load_book()[GOLD].margin / layer.lots > 0
    assert desk.alert("EXIT", GOLD).status is EXECUTED
