"""Our own programs as children: the paper exchange, and the web server with its workers.

They end when the launcher does, however it ends, and find all they need to know in their
environment, which holds the secrets; their command lines, which others may see, hold none.
"""

import os
import signal
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import requests

from live.embedded.account import Account
from live.embedded.errors import ServerNotStarted
from live.embedded.process import ServerProcess, wait_until
from live.launcher.home import Home
from live.launcher.systemd import without_manager
from live.settings import MARKET_FILE, PROJECT, ProcessSettings

LOOPBACK = "127.0.0.1"
HOOKS = "python:live.launcher.gunicorn_hooks"
_ANSWER_S = 2.0
_EXCHANGE_START_S = 60.0
_EXCHANGE_STOP = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
# A worker may have an order on its way; what it cannot finish is resolved at the next start.
_GRACE_S = 15
_WEB_STOP = ((signal.SIGTERM, _GRACE_S + 5.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))


class _OwnProgram:
    """A Python module of ours, run with the interpreter that runs this."""

    name = "program"
    log_name = "program.log"

    def __init__(self, home: Home, environment: Mapping[str, str]) -> None:
        self._log = home.logs / self.log_name
        self._environment = without_manager(environment)
        self._child: ServerProcess | None = None

    @property
    def pid(self) -> int | None:
        """Its process, if it was started."""
        return None if self._child is None else self._child.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs, or if it never did."""
        return None if self._child is None else self._child.exit_code

    def last_words(self) -> str:
        """What it printed last."""
        return "it never ran" if self._child is None else self._child.last_words()

    def _run(self, *command: str) -> ServerProcess:
        ourselves = Account("", os.geteuid(), os.getegid())
        whole = (sys.executable, "-m", *command)
        self._child = ServerProcess(whole, ourselves, self._log, self._environment, PROJECT)
        return self._child


class PaperExchange(_OwnProgram):
    """The exchange to practise on, on loopback."""

    name = "paper exchange"
    log_name = "paper_exchange.log"

    def __init__(
        self,
        home: Home,
        environment: Mapping[str, str],
        port: int,
        stream_port: int,
        funds: Decimal,
        clock_offset_s: float,
    ) -> None:
        super().__init__(home, environment)
        self._state = home.paper
        self._market_file = home.path / MARKET_FILE
        self._port = port
        self._stream_port = stream_port
        self._funds = funds
        self._clock_offset_s = clock_offset_s

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def ws_url(self) -> str:
        """Where it tells of orders by itself."""
        return f"ws://{LOOPBACK}:{self._stream_port}"

    @property
    def api_key(self) -> str:
        """The key that its callers must know; there from its first start on."""
        return (self._state / "apikey").read_text(encoding="ascii").strip()

    def start(self) -> None:
        """Start it; returns when it answers."""
        options = ["--state", str(self._state), "--port", str(self._port)]
        options += ["--ws-port", str(self._stream_port)]
        options += ["--funds", str(self._funds), "--clock-offset-s", repr(self._clock_offset_s)]
        # Charts are of the future: what an alert names is the price of the contract itself.
        options += ["--carry-pct", "0"]
        if self._market_file.exists():
            options += ["--market-overrides", str(self._market_file)]
        child = self._run("brokers.paper_exchange", *options)
        wait_until(lambda: child.exit_code is not None or self._answers(), _EXCHANGE_START_S)
        if child.exit_code is not None or not self._answers():
            raise ServerNotStarted(f"the paper exchange did not start: {child.last_words()}")

    def stop(self) -> None:
        """End it; an order that was acknowledged is on disk."""
        if self._child is not None:
            self._child.stop(_EXCHANGE_STOP)

    def _answers(self) -> bool:
        return answer_of(f"{self.url}/health") is not None


class WebServer(_OwnProgram):
    """gunicorn and its workers. Nothing is logged of a request: a path may hold the secret."""

    name = "web server"
    log_name = "gunicorn.log"

    def __init__(
        self,
        home: Home,
        environment: Mapping[str, str],
        settings: ProcessSettings,
        application: str,
    ) -> None:
        super().__init__(home, environment)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self._command = ["gunicorn", "--config", HOOKS, "--bind", f"{host}:{settings.port}"]
        self._command += ["--worker-class", "gthread", "--workers", str(settings.workers)]
        self._command += ["--threads", str(settings.threads), "--timeout", "60"]
        self._command += ["--graceful-timeout", str(_GRACE_S), "--no-control-socket"]
        memory = Path("/dev/shm")  # noqa: S108 - gunicorn makes a private file there
        if memory.is_dir():
            self._command += ["--worker-tmp-dir", str(memory)]
        self._command.append(application)

    def start(self) -> None:
        """Start it; whether it is ready is asked at /ready. Workers of a dead one are ended."""
        if self._child is not None:
            self._child.end_group()
        self._run(*self._command)

    def stop(self) -> None:
        """Let requests end, then the workers."""
        if self._child is not None:
            self._child.stop(_WEB_STOP)
            self._child.end_group()


def answer_of(url: str) -> requests.Response | None:
    """What is answered there, None when nobody does."""
    try:
        return requests.get(url, timeout=_ANSWER_S)
    except requests.RequestException:
        return None
