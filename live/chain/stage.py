"""A whole service of its own, on paper and without charges, that lives at the time it is told.

It is the real thing: launcher, PostgreSQL, Valkey, exchange, workers. Its ports are free ones, its
clock is a file, and the exchange's stands where that was put.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from pathlib import Path

import requests

from core.data import shipped
from core.db_state_manager.left_over import LEFT
from core.errors import InputInvalid, OutcomeUnknown, Retryable
from live.api_client import AlertAnswer, JsonObject, NotRunning, ServiceClient, open_client
from live.clock import SystemClock
from live.embedded.errors import ServerNotStarted
from live.embedded.process import wait_until
from live.launcher.children import LOOPBACK
from live.launcher.home import Home
from live.launcher.ports import free_port
from live.launcher.running import RunningService, launcher_pid, running_service
from live.settings import MARKET_FILE, PORTFOLIO_FILE, PROJECT

_OURS = ("PM_", "DATABASE_", "REDIS_", "OPENALGO_")
_CLOCK_FILE = "clock"
# An order without an answer is watched for 150 s from each start on, and the power may fail twice.
_START_S, _STOP_S, _END_S, _ANSWER_S = 180.0, 60.0, 600.0, 10.0
_PAGE = 200
_BEGUN, _REFUSED = "RESERVED", "REFUSED"
_FINISHED = ("executed", "blocked", "rejected", "failed", "expired")


class Stage:
    """One service, started and ended by whoever holds this."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str], settings: JsonObject, capital: str
    ) -> None:
        """`settings` are a portfolio_config.json; `capital` rupees, the first deposit."""
        self._home = Home(folder)
        self._clock_file = folder / _CLOCK_FILE
        self._capital = capital
        foreign = {name: text for name, text in environment.items() if not name.startswith(_OURS)}
        self._variables = {
            **foreign,
            "PM_HOME": str(folder),
            "PM_PORT": str(free_port(LOOPBACK)),
            "PM_PAPER_PORT": "0",
            "PM_CLOCK_FILE": str(self._clock_file),
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PORTFOLIO_FILE).write_text(json.dumps(settings), "utf-8")
        (folder / MARKET_FILE).write_text(json.dumps({"charges": free_of_charge()}), "utf-8")
        self._child: subprocess.Popen[bytes] | None = None
        self._client: ServiceClient | None = None

    def start(self, moment: datetime) -> None:
        """Start it as of `moment`; returns when it is ready. Raises ServerNotStarted."""
        ahead_s = self._write_clock(moment)
        command = [sys.executable, str(PROJECT / "portfolio_manager.py"), "live"]
        with (self._home.path / "stage.log").open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603 - our own command
                [*command, "--capital", self._capital],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=PROJECT,
                env={**self._variables, "PM_CLOCK_OFFSET_S": repr(ahead_s)},
                start_new_session=True,
            )
        child = self._child
        wait_until(lambda: child.poll() is not None or self._running() is not None, _START_S)
        if self._running() is None:
            words = (self._home.path / "stage.log").read_text("utf-8")[-500:]
            raise ServerNotStarted(f"the service did not start: {words}")
        self._client = open_client(self._variables)
        self.tell_time(moment)
        self._control("touch", ticks=0)

    def stop(self) -> None:
        """End it in order."""
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(_STOP_S)
            self._child.kill()
            self._child.wait()

    def cut_the_power(self) -> None:
        """Kill all of it at once, as a power cut would, and wait until nothing of it is left."""
        running = self._running()
        pids = [] if running is None else [running.launcher_pid, *running.pids.values()]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        if self._child is not None:
            self._child.wait()
        wait_until(lambda: launcher_pid(self._home) is None, _STOP_S)

    def tell_time(self, moment: datetime) -> None:
        """Let the service go on from `moment`, and stand the exchange there."""
        self._write_clock(moment)
        self._control("clock", at=moment.isoformat())

    def deliver(self, body: bytes) -> JsonObject:
        """Send an alert and wait for its end; its row of the journal. Raises as the client does.

        An answer that never came is asked for again by sending the alert again. That its work was
        left over is no end: who finishes the work tells the alert.
        """
        answer = self._sent(body)
        number = answer.body["signal_id"]
        ended: list[JsonObject] = []

        def is_told() -> bool:
            with suppress(Retryable):
                row = self._ask().get(f"/signals/{number}")["signal"]
                if has_ended(row):
                    ended.append(row)
            return bool(ended)

        wait_until(is_told, _END_S)
        if not ended:
            raise Retryable(f"signal {number} did not come to an end in {_END_S:.0f} s")
        return ended[-1]

    def trades(self) -> Iterator[JsonObject]:
        """Every trade, oldest first."""
        cursor = None
        found: list[JsonObject] = []
        while True:
            page = self._ask().get("/trades", limit=_PAGE, cursor=cursor)
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return iter(sorted(found, key=lambda row: int(row["id"])))

    def ask(self, path: str) -> JsonObject:
        """What the service says there."""
        return self._ask().get(path)

    def act(self, path: str, **body: object) -> JsonObject:
        """Have the service do something, as its operator."""
        return self._ask().post(path, **body)

    def roll_what_is_due(self) -> int:
        """Move what has to leave its contract; how many operations that took."""
        asked = self.act("/rollover/execute", reason="a day of the rehearsal begins", dry_run=False)
        begun = [each for each in asked["instruments"] if each["result"] == _BEGUN]
        refused = [each for each in asked["instruments"] if each["result"] == _REFUSED]
        if refused:
            raise InputInvalid("rollover", f"it was refused: {refused[0]['reason']}")
        if not wait_until(lambda: not self.ask("/rollover/status")["working"], _END_S):
            raise Retryable(f"a roll did not come to an end in {_END_S:.0f} s")
        return len(begun)

    def orders_at_the_exchange(self) -> int:
        """How many orders there are in the exchange's own book of the day."""
        url = f"{self._gateway()}/control/truth"
        answer = requests.get(url, headers={"X-Api-Key": self._key()}, timeout=_ANSWER_S)
        answer.raise_for_status()
        return len(answer.json()["data"]["orders"])

    def _sent(self, body: bytes) -> AlertAnswer:
        last: list[AlertAnswer] = []

        def is_told() -> bool:
            with suppress(OutcomeUnknown, Retryable):
                answer = self._ask().send_alert(body)
                # Of the others, a database that the power took first, say, it is sent again.
                if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                    last.append(answer)
            return bool(last)

        wait_until(is_told, _END_S)
        if not last or "signal_id" not in last[-1].body:
            told = last[-1].body if last else "no answer"
            raise InputInvalid("alert", f"it was not taken: {told}: {body.decode()}")
        return last[-1]

    def _ask(self) -> ServiceClient:
        if self._client is None:
            raise NotRunning("it was not started")
        return self._client

    def _running(self) -> RunningService | None:
        return running_service(self._home)

    def _write_clock(self, moment: datetime) -> float:
        """How far the clock is ahead from now on, seconds."""
        ahead_s = (moment - SystemClock().now()).total_seconds()
        new = self._clock_file.with_suffix(".new")
        new.write_text(repr(ahead_s), "ascii")
        new.replace(self._clock_file)
        return ahead_s

    def _gateway(self) -> str:
        running = self._running()
        if running is None:
            raise NotRunning("it was not started")
        return running.gateway

    def _key(self) -> str:
        return (self._home.paper / "apikey").read_text("ascii").strip()

    def _control(self, what: str, **body: object) -> None:
        url, asked = f"{self._gateway()}/control/{what}", {"apikey": self._key(), **body}
        requests.post(url, json=asked, timeout=_ANSWER_S).raise_for_status()


def has_ended(row: JsonObject) -> bool:
    """Whether a row of the journal tells what came of its alert; "left over" does not."""
    is_left = str((row["outcome"] or {}).get("code", "")).startswith(LEFT)
    return row["status"] in _FINISHED and not is_left


def free_of_charge() -> JsonObject:
    """The shipped charges with every rate at nothing, as an operator's file."""
    return {
        segment: {name: [{**row, "value": "0"} for row in rows] for name, rows in rates.items()}
        for segment, rates in shipped("charges").items()
    }
