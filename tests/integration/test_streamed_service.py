"""The service and the gateway's stream: it listens, says how that goes, and trades without it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from brokers.messages import GatewayMode
from core.db_state_manager.states import SignalStatus
from live.clock import SystemClock
from live.metrics import exposition
from live.service import build
from live.settings import Gateway
from tests.fixtures.live_service import (
    CAPITAL,
    GOLD,
    QUICK,
    Desk,
    offset_s,
    open_desk,
    settings_of,
    until,
)
from tests.fixtures.paper_process import PaperProcess


def health_of(desk: Desk) -> Any:
    return desk.client.get("/health").get_json()


@contextmanager
def desk_with_stream(dsn: str, folder: Path, ws_url: str | None) -> Iterator[Desk]:
    """A service whose gateway's stream is somewhere else, or nowhere."""
    ahead_s = offset_s()
    started = ("--carry-pct", "0", "--clock-offset-s", str(ahead_s))
    with PaperProcess(folder / "paper", *started) as paper:
        gateway = Gateway(paper.url, paper.apikey, GatewayMode.ANALYZE, True, ws_url)
        settings = settings_of(dsn, folder, paper, clock_offset_s=ahead_s, gateway=gateway)
        service = build(settings, QUICK)
        service.store.open_ledger(CAPITAL, "operator")
        service.start()
        client = service.app.test_client()
        try:
            yield Desk(service, paper, service.store, SystemClock(ahead_s), client)
        finally:
            service.stop()


def test_the_service_listens_and_says_so(database_url: str, open_folder: Path) -> None:
    with open_desk(database_url, open_folder) as desk:
        until(lambda: health_of(desk).get("order_stream") == "open")
        assert desk.alert("BASE_ENTRY", GOLD).status is SignalStatus.EXECUTED
        assert desk.alert("EXIT", GOLD).status is SignalStatus.EXECUTED
        assert desk.held() == {}
        text = until(lambda: told_in(exposition().decode()))
        assert 'pm_order_stream_events_total{event="connected"}' in text
        assert "pm_order_stream_connected 1.0" in text


def told_in(text: str) -> str | None:
    """The metrics, once four updates were told: two orders came and filled."""
    name = 'pm_order_stream_events_total{event="told"} '
    counts = [float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name)]
    return text if counts and counts[0] >= 4 else None


@pytest.mark.parametrize(
    ("ws_url", "said"), [(None, None), ("ws://127.0.0.1:1", "closed: orders are polled")]
)
def test_the_service_trades_without_a_stream(
    database_url: str, open_folder: Path, ws_url: str | None, said: str | None
) -> None:
    with desk_with_stream(database_url, open_folder, ws_url) as desk:
        assert desk.alert("BASE_ENTRY", GOLD).status is SignalStatus.EXECUTED
        assert desk.alert("EXIT", GOLD).status is SignalStatus.EXECUTED
        assert desk.held() == {}
        told = health_of(desk)
        assert told.get("order_stream") == said
        # Without Redis it is degraded, and for no other reason.
        assert "Redis" in told["reason"]
