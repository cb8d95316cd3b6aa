"""The folder an exchange lives in: one process at a time, and a key that only its owner reads."""

import fcntl
import os
import secrets
from pathlib import Path

from core.errors import ConfigInvalid

_LOCK = "lock"
_APIKEY = "apikey"
_PORT = "port"
_STREAM_PORT = "ws_port"
_APIKEY_BYTES = 32


class StateFolder:
    """Locked from when it is opened until it is closed or the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigInvalid while another process has it."""
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        self._lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            allowed = "a folder that no other paper exchange uses is expected"
            raise ConfigInvalid("state", str(path), allowed) from None

    def close(self) -> None:
        """Leave it to others."""
        os.close(self._lock)

    def apikey(self) -> str:
        """The key callers must know; made at the first start, readable by the owner alone."""
        path = self.path / _APIKEY
        if not path.exists():
            self._write(_APIKEY, secrets.token_hex(_APIKEY_BYTES))
        return path.read_text(encoding="ascii").strip()

    def announce(self, port: int, stream_port: int) -> None:
        """Write the ports, for those who start the exchange on any free ones."""
        self._write(_STREAM_PORT, str(stream_port))
        self._write(_PORT, str(port))

    def _write(self, name: str, text: str) -> None:
        """Whole or not at all, also if the process dies in between."""
        unfinished = self.path / f"{name}.new"
        opened = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(opened, "w", encoding="ascii") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self.path / name)
