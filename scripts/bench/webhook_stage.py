"""What the bench of the service runs on: real servers, an exchange, and gunicorn as it is launched.

Everything is below one folder, and ends with the context.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg2

from brokers.messages import GatewayMode
from core.ist import IST
from core.migrations import migrate
from live.clock import SystemClock
from live.embedded import EmbeddedServers
from live.environment import environment
from live.launcher.children import LOOPBACK, WebServer, answer_of
from live.launcher.database import PAPER_CAPITAL, fund
from live.launcher.home import Home
from live.launcher.ports import free_port
from live.settings import (
    ServiceSettings,
    operator_settings,
    service_settings,
    service_variables,
)

ROOT = Path(__file__).resolve().parents[2]
# A Monday; on none of the days of that week is a market closed.
BEGINS = datetime(2026, 11, 30, 10, 30, tzinfo=IST)
WEBHOOK_TOKEN, VIEWER_TOKEN, OPERATOR_TOKEN = "w" * 40, "v" * 40, "o" * 40
WAITED, UNWAITED = "create", "create_unwaited"
_PATIENCE_S = 60.0
_LOOK_S = 0.005
_DAY_S = 24 * 60 * 60
_UNBOUNDED = "100000"
_EXCHANGE_KEY = "k" * 64
_OURS = ("PM_", "DATABASE_", "REDIS_", "OPENALGO_", "PROMETHEUS_")


@dataclass(slots=True)
class Stage:
    """The servers run; the exchange and gunicorn run within `serving`."""

    folder: Path
    settings: ServiceSettings
    foreign: dict[str, str]

    @property
    def url(self) -> str:
        """Where gunicorn listens."""
        return f"http://{self.settings.host}:{self.settings.port}"

    @contextmanager
    def serving(self, application: str = WAITED) -> Iterator[float]:
        """gunicorn, for the block; the seconds from its start until it was ready.

        Each time is a day later than the one before, since all orders of a day are read before
        each order.
        """
        with _exchange(self.folder, self.settings):
            yield from self._served(application)
        later_s = self.settings.clock_offset_s + _DAY_S
        self.settings = replace(self.settings, clock_offset_s=later_s)

    def _served(self, application: str) -> Iterator[float]:
        home = Home(self.settings.home)
        home.empty_metrics()
        named = f"scripts.bench.webhook_app:{application}()"
        web = WebServer(home, self._variables(), self.settings, named)
        began_s = time.perf_counter()
        web.start()
        try:
            while (answer := answer_of(f"{self.url}/ready")) is None or not answer.ok:
                if time.perf_counter() > began_s + _PATIENCE_S or web.exit_code is not None:
                    raise RuntimeError(f"the service did not start: {web.last_words()}")
                time.sleep(_LOOK_S)
            yield time.perf_counter() - began_s
        finally:
            web.stop()

    def _variables(self) -> dict[str, str]:
        tokens = {
            "PM_WEBHOOK_SECRET": WEBHOOK_TOKEN,
            "PM_VIEWER_TOKEN": VIEWER_TOKEN,
            "PM_OPERATOR_TOKEN": OPERATOR_TOKEN,
        }
        counts = {"PROMETHEUS_MULTIPROC_DIR": str(Home(self.settings.home).metrics)}
        return {**self.foreign, **service_variables(self.settings), **tokens, **counts}

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with closing(psycopg2.connect(self.settings.database_url)) as connection:
            cursor = connection.cursor()
            cursor.execute(query, values)
            return cursor.fetchall()


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """The servers on `folder`, with all migrations and a first deposit."""
    home = Home(folder / "state")
    home.prepare()
    foreign = {name: text for name, text in environment().items() if not name.startswith(_OURS)}
    offset_s = (BEGINS - SystemClock().now()).total_seconds()
    with EmbeddedServers(folder / "servers") as servers:
        named = {
            "PM_HOME": str(home.path),
            "PM_PORT": str(free_port(LOOPBACK)),
            "PM_CLOCK_OFFSET_S": repr(offset_s),
        }
        operator = operator_settings(named)
        migrate(servers.database_url)
        fund(servers.database_url, operator, PAPER_CAPITAL)
        named |= {
            "DATABASE_URL": servers.database_url,
            "REDIS_URL": servers.redis_url,
            "OPENALGO_URL": f"http://{LOOPBACK}:{free_port(LOOPBACK)}",
            "OPENALGO_API_KEY": _EXCHANGE_KEY,
            "OPENALGO_MODE": GatewayMode.ANALYZE.value,
            "PM_PAPER": "1",
        }
        yield Stage(folder, service_settings(named), foreign)


@contextmanager
def _exchange(folder: Path, settings: ServiceSettings) -> Iterator[None]:
    state = folder / "paper"
    state.mkdir(mode=0o700, exist_ok=True)
    key = state / "apikey"
    key.touch(mode=0o600)
    key.write_text(settings.gateway.api_key, encoding="ascii")
    port = settings.gateway.url.rpartition(":")[2]
    command = [sys.executable, "-m", "brokers.paper_exchange", "--state", str(state)]
    command += ["--port", port, "--clock-offset-s", repr(settings.clock_offset_s)]
    command += ["--orders-per-second", _UNBOUNDED, "--reads-per-second", _UNBOUNDED]
    command += ["--carry-pct", "0"]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        if child.stdout is None or not child.stdout.readline():
            raise RuntimeError("the paper exchange did not start")
        yield
    finally:
        child.terminate()
        child.wait(_PATIENCE_S)


def gateway_calls(stage: Stage, calls_file: str) -> dict[int, list[tuple[str, float, float]]]:
    """The calls of each alert: address, when it began, how long it took; seconds."""
    calls: dict[int, list[tuple[str, float, float]]] = {}
    for line in (stage.settings.home / calls_file).read_text().splitlines():
        whose, url, began_s, took_s = json.loads(line)
        if whose is not None:
            calls.setdefault(whose, []).append((url, began_s, took_s))
    return calls


def run_load(tokens: str, *arguments: object) -> subprocess.Popen[str]:
    """A process of callers that has begun."""
    command: Sequence[str] = (sys.executable, "-m", "scripts.bench.webhook_load")
    child = subprocess.Popen(
        [*command, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if child.stdin is not None:
        child.stdin.write(tokens + "\n")
        child.stdin.flush()
    return child


def answers_of(child: subprocess.Popen[str]) -> list[tuple[float, int]]:
    """What those callers were answered. Raises RuntimeError where they broke off."""
    printed, _ = child.communicate()
    if child.returncode:
        raise RuntimeError("the callers broke off")
    return [(took_ms, status) for took_ms, status in json.loads(printed)]
