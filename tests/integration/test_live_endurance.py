"""What must not be lost: an exit while the gateway refuses us, and the threads that claim."""

from contextlib import closing
from pathlib import Path

import psycopg2
from psycopg2.extensions import parse_dsn
from psycopg2.sql import SQL, Identifier

from core.db_state_manager.states import SignalStatus
from tests.fixtures.live_service import CAPITAL, GOLD, alert, flat, open_desk, until
from tests.fixtures.paper_faults import PaperFaults

_ENDS_ALL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""


def make_read_only(dsn: str, value: str) -> None:
    """What everybody finds after a switch to a standby, and after one back."""
    name = Identifier(parse_dsn(dsn)["dbname"])
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
            query = "ALTER DATABASE {} SET default_transaction_read_only = {}"
            cursor.execute(SQL(query).format(name, Identifier(value)))
            cursor.execute(_ENDS_ALL)


def test_alerts_are_claimed_again_after_a_database_that_could_only_be_read(
    database_url: str, open_folder: Path
) -> None:
    with open_desk(database_url, open_folder) as desk:
        assert desk.alert("BASE_ENTRY", GOLD).status is SignalStatus.EXECUTED
        make_read_only(database_url, "on")
        try:
            refused = alert(desk.clock.now(), "EXIT", GOLD)
            until(lambda: desk.send(refused).get("signal_id") is None)
            desk.service.engine.kick()
            until(lambda: not desk.service.stopping.wait(1.0))
        finally:
            make_read_only(database_url, "off")
        until(lambda: desk.send(refused).get("signal_id"))
        until(lambda: not desk.held())


def test_an_exit_waits_for_a_gateway_that_nobody_has_logged_in_at(
    database_url: str, open_folder: Path
) -> None:
    with open_desk(database_url, open_folder) as desk:
        assert desk.alert("BASE_ENTRY", GOLD).status is SignalStatus.EXECUTED
    with open_desk(database_url, open_folder) as desk:
        faults = PaperFaults(desk.paper)
        faults.set("session_dead")
        leaving = desk.send(alert(desk.clock.now(), "EXIT", GOLD))
        assert leaving["status"] == "accepted", leaving
        faults.clear()
        assert desk.end_of(leaving["signal_id"]).status is SignalStatus.EXECUTED
        assert desk.held() == {}


def test_close_all_calls_off_an_entry_and_closes_what_it_has(
    database_url: str, open_folder: Path
) -> None:
    with open_desk(database_url, open_folder, None, "--funds", "1e9") as desk:
        desk.store.move_capital(CAPITAL * 4, "for more than one lot", "operator")
        halves = [{"fraction": 0.5}, {"fraction": 0.5, "after_s": 120}]
        PaperFaults(desk.paper).set("partial_fill", side="BUY", pieces=halves, times=1)
        entry = desk.send(alert(desk.clock.now(), "BASE_ENTRY", GOLD))
        until(desk.held)
        desk.operate("POST", "/emergency/close-all", reason="out", dry_run=False)
        done = until(lambda: flat(desk))
        assert desk.held() == {}
        assert [each["instrument"] for each in done["instruments"]] == [GOLD]
        assert "called off" in desk.end_of(entry["signal_id"]).outcome.reason
        assert not list(desk.store.load_book().layers())
