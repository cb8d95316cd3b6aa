"""An alert becomes a position: over HTTP, through the engine, on the exchange, in the books."""

import json
import os
from datetime import timedelta
from pathlib import Path

from core.db_state_manager.states import SignalStatus
from core.decision_record import DecisionCode
from core.webhook_parser import fingerprint, parse_alert_text
from tests.fixtures.live_service import BANK, BEGINS, CAPITAL, GOLD, alert, open_desk, until


def test_each_instrument_from_entry_to_exit(database_url: str, open_folder: Path) -> None:
    with open_desk(database_url, open_folder) as desk:
        for instrument in (GOLD, BANK):
            row = desk.alert("BASE_ENTRY", instrument)
            assert row.status is SignalStatus.EXECUTED
            row = desk.alert("EXIT", instrument)
            assert row.status is SignalStatus.EXECUTED
        assert desk.held() == {}


def test_an_operators_holiday_keeps_entries_out_and_lets_exits_through(
    database_url: str, open_folder: Path
) -> None:
    with open_desk(database_url, open_folder) as desk:
        desk.alert("BASE_ENTRY", GOLD)
        day = desk.clock.now().date()
        desk.store.set_holiday("MCX", day, "elections", "operator")
        refused = desk.alert("PYRAMID", GOLD)
        assert (refused.status, refused.outcome.code) == (
            SignalStatus.BLOCKED,
            DecisionCode.ENTRIES_BLOCKED,
        )
        assert "elections" in refused.outcome.reason
        assert desk.alert("EXIT", GOLD).status is SignalStatus.EXECUTED


def test_an_exit_that_comes_just_after_our_own_stop_is_already_done(
    database_url: str, open_folder: Path
) -> None:
    with open_desk(database_url, open_folder) as desk:
        desk.alert("BASE_ENTRY", GOLD)
        stopped = desk.alert("MARKET_DATA", GOLD, 126_000)
        assert stopped.outcome.code == "STOP_HIT"
        late = desk.alert("EXIT", GOLD, 126_000)
        assert (late.status, late.outcome.code) == (SignalStatus.BLOCKED, "ALREADY_CLOSED")


def test_a_bar_that_came_in_time_still_closes_though_handled_late(
    database_url: str, open_folder: Path
) -> None:
    with open_desk(database_url, open_folder) as desk:
        desk.alert("BASE_ENTRY", GOLD)
        came = desk.clock.now() - timedelta(minutes=90)
        payload = alert(came, "MARKET_DATA", GOLD, 126_000)
        text = json.dumps(payload)
        read = parse_alert_text(text, [GOLD])
        kept = desk.store.journal_signal(text.encode(), read, fingerprint(read), came)
        assert desk.end_of(kept.id).outcome.code == "STOP_HIT"
        assert desk.held() == {}


def test_the_account_is_kept_for_its_curve_and_the_process_shows_that_it_lives(
    database_url: str, open_folder: Path
) -> None:
    with open_desk(database_url, open_folder) as desk:
        points = until(lambda: desk.store.equity_page(9, BEGINS - timedelta(days=1)))
        assert [point.closed_equity for point in points] == [CAPITAL]
        assert until(lambda: desk.store.rows("SELECT pid FROM instance_metadata")) == [
            (os.getpid(),)
        ]
        until(lambda: desk.client.get("/ready").status_code == 200)
