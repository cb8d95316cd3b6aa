"""The embedded Valkey: a unix socket only, and an append-only file that is written each second.

It holds nothing that the database does not know better: its folder may be deleted at any time.
"""

import signal
from collections.abc import Mapping
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from live.embedded.account import Account
from live.embedded.binaries import find_valkey, reachable
from live.embedded.errors import ServerNotStarted
from live.embedded.folders import Folders, make_private
from live.embedded.process import ServerProcess, evict, wait_until

_START_S = 60.0
_ONCE = Retry(NoBackoff(), 0)
_STOP = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))


class ValkeyServer:
    """One server on one folder."""

    name = "Valkey"

    def __init__(
        self, folders: Folders, account: Account, environment: Mapping[str, str], fast: bool
    ) -> None:
        self._folders = folders
        self._account = account
        self._environment = environment
        self._fast = fast
        self._socket = folders.run / "valkey.sock"
        self._child: ServerProcess | None = None

    @property
    def url(self) -> str:
        """For redis-py."""
        return f"unix://{quote(str(self._socket))}"

    @property
    def pid(self) -> int | None:
        """Its process, if it was started."""
        return None if self._child is None else self._child.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs, or if it never did."""
        return None if self._child is None else self._child.exit_code

    def start(self) -> None:
        """Start; returns when what was kept is loaded and commands are taken."""
        data = self._folders.valkey
        program = reachable(find_valkey(self._environment), self._account, self._folders.binaries)
        evict(data, program.name, self._account)
        make_private(data, self._account)
        self._socket.unlink(missing_ok=True)
        command = [str(program), "--port", "0", "--unixsocket", str(self._socket)]
        command += ["--unixsocketperm", "700", "--dir", str(data), "--save", ""]
        command += ["--appendonly", "yes", "--appendfsync", "no" if self._fast else "everysec"]
        log = self._folders.logs / "valkey.log"
        child = ServerProcess(command, self._account, log, self._environment)
        self._child = child
        wait_until(lambda: child.exit_code is not None or self._answers(child.pid), _START_S)
        if child.exit_code is not None or not self._answers(child.pid):
            raise ServerNotStarted(f"Valkey did not start: {child.last_words()}")

    def stop(self) -> None:
        """Write what is kept and end."""
        if self._child is not None:
            self._child.stop(_STOP)

    def _answers(self, pid: int) -> bool:
        try:
            with Redis(unix_socket_path=str(self._socket), retry=_ONCE) as client:
                about = client.info("server", "persistence")
        except (RedisError, OSError):
            return False
        return about["process_id"] == pid and not about["loading"]
