"""systemd hears that the service is ready, is well, and ends; nobody speaks for the launcher."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from live.launcher.systemd import Systemd, without_manager

WATCHDOG = {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}


class Manager:
    """The receiving end."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    found = Manager(str(tmp_path / "notify"))
    yield found
    found.close()


def test_it_is_told_of_readiness_and_of_the_end(manager: Manager, tmp_path: Path) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    systemd.ready()
    systemd.alive(0.0, lambda: True)
    systemd.stopping()
    first, last = manager.heard()
    assert (first.splitlines()[0], last.splitlines()[0]) == ("READY=1", "STOPPING=1")


def test_the_watchdog_hears_three_times_a_period_while_all_is_well(
    manager: Manager, tmp_path: Path
) -> None:
    """Incident 62: the process died and nobody knew for hours."""
    systemd = Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify"), **WATCHDOG})
    for now_s in range(60):
        systemd.alive(float(now_s), lambda: True)
    assert manager.heard() == ["WATCHDOG=1"] * 3
    systemd.alive(80.0, lambda: False)
    assert manager.heard() == []
    systemd.alive(100.0, lambda: True)
    assert manager.heard() == ["WATCHDOG=1"]


def test_an_abstract_socket_is_reached(tmp_path: Path) -> None:
    name = f"pm-{tmp_path.name}-{id(tmp_path)}"
    found = Manager(f"\0{name}")
    Systemd({"NOTIFY_SOCKET": f"@{name}"}).ready()
    assert len(found.heard()) == 1
    found.close()


def test_without_a_manager_or_with_a_deaf_one_the_service_goes_on(tmp_path: Path) -> None:
    asked = []

    def is_well() -> bool:
        asked.append("is it well")
        return True

    Systemd({}).alive(0.0, is_well)
    assert asked == []
    deaf = Systemd({"NOTIFY_SOCKET": str(tmp_path / "nobody"), **WATCHDOG})
    deaf.ready()
    deaf.alive(0.0, is_well)
    assert asked == ["is it well"]


def test_the_programs_below_do_not_speak_for_the_launcher() -> None:
    assert without_manager({"NOTIFY_SOCKET": "/x", "PM_PORT": "1", **WATCHDOG}) == {"PM_PORT": "1"}
