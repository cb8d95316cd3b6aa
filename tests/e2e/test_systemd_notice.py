"""The launcher below systemd says that it is ready, that it lives, and that it ends."""

import socket
from pathlib import Path

import pytest

from tests.fixtures.installation import Installation, eventually

pytestmark = pytest.mark.slow


def test_a_launcher_tells_its_manager_how_it_is(open_folder: Path) -> None:
    """Incident 62: the process died and nobody knew for hours."""
    address = open_folder / "notify"
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.setblocking(False)

        def hears(word: str) -> bool:
            try:
                while True:
                    heard.append(manager.recv(4096).decode())
            except BlockingIOError:
                return any(word in text for text in heard)

        told = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "3000000", "REDIS_URL": "none"}
        with Installation(**told) as installation:
            installation.start()
            assert eventually(lambda: hears("READY=1"))
            assert eventually(lambda: hears("WATCHDOG=1"))
            assert not hears("STOPPING=1")
            installation.run("stop")
            assert eventually(lambda: hears("STOPPING=1"))
    assert heard[0].startswith("READY=1")
