"""What the bench of the service runs on: real servers, an exchange, and gunicorn as it is launched.

Everything is below one folder, and ends with the context.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
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
from live.launcher.children import WebServer, answer_of
from live.launcher.database import PAPER_CAPITAL, fund
from live.launcher.home import Home
from live.launcher.ports import free_port
from live.settings import (
    Gateway,
    ServiceSettings,
    operator_settings,
    service_settings,
    service_variables,
)

ROOT = Path(__file__).resolve().parents[2]
# A Monday on which both markets trade.
BEGINS = datetime(2026, 11, 30, 10, 30, tzinfo=IST)
WEBHOOK_TOKEN, VIEWER_TOKEN, OPERATOR_TOKEN = "w" * 40, "v" * 40, "o" * 40
WAITED, UNWAITED = "create", "create_unwaited"
_PATIENCE_S = 60.0
_LOOK_S = 0.005
_UNBOUNDED = "100000"
_OURS = ("PM_", "DATABASE_", "REDIS_", "OPENALGO_", "PROMETHEUS_")


@dataclass(frozen=True, slots=True)
class Stage:
    """The servers run; gunicorn runs within `serving`."""

    settings: ServiceSettings
    variables: dict[str, str]

    @property
    def url(self) -> str:
        """Where gunicorn listens."""
        return f"http://{self.settings.host}:{self.settings.port}"

    @contextmanager
    def serving(self, application: str = WAITED) -> Iterator[float]:
        """gunicorn, for the block; the seconds from its start until it was ready."""
        home = Home(self.settings.home)
        home.empty_metrics()
        named = f"scripts.bench.webhook_app:{application}()"
        web = WebServer(home, self.variables, self.settings, named)
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
    with (
        EmbeddedServers(folder / "servers") as servers,
        _exchange(folder / "paper", offset_s) as url,
    ):
        named = {
            "PM_HOME": str(home.path),
            "PM_PORT": str(free_port("127.0.0.1")),
            "PM_CLOCK_OFFSET_S": repr(offset_s),
            "PM_WEBHOOK_SECRET": WEBHOOK_TOKEN,
            "PM_VIEWER_TOKEN": VIEWER_TOKEN,
            "PM_OPERATOR_TOKEN": OPERATOR_TOKEN,
            "DATABASE_URL": servers.database_url,
            "REDIS_URL": servers.redis_url,
        }
        key = (folder / "paper" / "apikey").read_text(encoding="ascii").strip()
        gateway = Gateway(url, key, GatewayMode.ANALYZE, is_paper=True)
        operator = operator_settings(
            {"PM_HOME": str(home.path), "PM_CLOCK_OFFSET_S": repr(offset_s)}
        )
        migrate(servers.database_url)
        fund(servers.database_url, operator, PAPER_CAPITAL)
        named |= {
            "OPENALGO_URL": gateway.url,
            "OPENALGO_API_KEY": gateway.api_key,
            "OPENALGO_MODE": gateway.mode.value,
            "PM_PAPER": "1",
        }
        settings = service_settings(named)
        counts = {"PROMETHEUS_MULTIPROC_DIR": str(home.metrics)}
        yield Stage(settings, {**foreign, **named, **service_variables(settings), **counts})


@contextmanager
def _exchange(state: Path, offset_s: float) -> Iterator[str]:
    command = [sys.executable, "-m", "brokers.paper_exchange", "--state", str(state)]
    command += ["--orders-per-second", _UNBOUNDED, "--reads-per-second", _UNBOUNDED]
    command += ["--carry-pct", "0", "--clock-offset-s", repr(offset_s)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        if child.stdout is None or not child.stdout.readline():
            raise RuntimeError("the paper exchange did not start")
        yield f"http://127.0.0.1:{(state / 'port').read_text().strip()}"
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
