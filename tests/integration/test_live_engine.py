"""An alert becomes a position: over HTTP, through the engine, on the exchange, in the books."""

from pathlib import Path

from core.db_state_manager.states import SignalStatus
from tests.fixtures.live_service import BANK, GOLD, open_desk


def test_each_instrument_from_entry_to_exit(database_url: str, open_folder: Path) -> None:
    with open_desk(database_url, open_folder) as desk:
        for instrument in (GOLD, BANK):
            row = desk.alert("BASE_ENTRY", instrument)
            assert row.status is SignalStatus.EXECUTED
            row = desk.alert("EXIT", instrument)
            assert row.status is SignalStatus.EXECUTED
        assert desk.held() == {}
