"""The launcher below systemd says that it is ready, that it lives, and that it ends."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fixtures.installation import Installation, eventually

pytestmark = pytest.mark.slow


@contextmanager
def listening(address: Path) -> Iterator[list[str]]:
    """What is said there, as it comes: the kernel keeps only ten messages that nobody takes."""
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))

        def listen() -> None:
            while text := manager.recv(4096).decode():
                heard.append(text)

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            yield heard
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
                last.sendto(b"", str(address))
            listener.join()


def test_a_launcher_tells_its_manager_how_it_is(open_folder: Path) -> None:
    """Incident 62: the process died and nobody knew for hours."""
    address = open_folder / "notify"
    told = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "3000000", "REDIS_URL": "none"}
    with listening(address) as heard, Installation(**told) as installation:

        def hears(word: str) -> bool:
            return any(word in text for text in list(heard))

        installation.start()
        assert eventually(lambda: hears("READY=1"))
        assert eventually(lambda: hears("WATCHDOG=1"))
        assert not hears("STOPPING=1")
        installation.run("stop")
        assert eventually(lambda: hears("STOPPING=1"))
        assert heard[0].startswith("READY=1")
