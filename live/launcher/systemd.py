"""systemd is told when everything answers, and then again and again that it still does.

The messages are lines in a datagram to the socket that NOTIFY_SOCKET names (sd_notify(3)). A unit
with WatchdogSec ends and starts a launcher again that says nothing for so long, which is what one
does that hangs, or whose web server answers nobody. Elsewhere than below systemd nothing is said.
"""

import logging
import socket
from collections.abc import Callable, Mapping

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_MICROSECONDS = 1_000_000
_LOG = logging.getLogger(__name__)


class Systemd:
    """The service manager that started this process, if one did."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        address = variables.get("NOTIFY_SOCKET", "")
        # An abstract socket is written with an @ for its leading zero.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        watchdog_us = variables.get("WATCHDOG_USEC", "")
        self._every_s = int(watchdog_us) / _MICROSECONDS / 3 if watchdog_us.isdigit() else None
        self._due_s = float("-inf")

    def ready(self) -> None:
        """Everything answers."""
        self._say("READY=1\nSTATUS=trading")

    def alive(self, now_s: float, is_well: Callable[[], bool]) -> None:
        """Three times in each period of the watchdog: say so, if it is well."""
        if self._every_s is None or now_s < self._due_s:
            return
        self._due_s = now_s + self._every_s
        if is_well():
            self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """It ends as it was told to."""
        self._say("STOPPING=1\nSTATUS=ending what is in hand")

    def _say(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to_manager:
                to_manager.connect(self._address)
                to_manager.sendall(text.encode())
        except OSError as error:
            _LOG.warning("systemd could not be told: %s", error)


def without_manager(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program that is not to speak for the launcher."""
    return {name: text for name, text in variables.items() if name not in _VARIABLES}
