"""The launcher as a process of its own, seen from outside: started, waited for, ended.

Only the lock on PM_HOME says whether it runs; it is asked for, and never guessed from a pid.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from core.errors import PortfolioError
from live.embedded.process import wait_until
from live.launcher.home import Home
from live.launcher.running import RunningService, launcher_pid, running_service
from live.settings import PROJECT

# A database may take its time to recover, a real one may be away: it goes on after that.
START_WAIT_S = 180.0
_STOP_WAIT_S = 120.0
_LOOK_S = 0.05
_STAMP = re.compile(r"^\S+ \S+ (INFO|WARNING|ERROR) ")

Say = Callable[[str], None]


class NotReady(PortfolioError):
    """It does not run, or not yet, or not any more; the sentence says what to do."""


def start(home: Home, options: Sequence[str], say: Say) -> RunningService:
    """Start a launcher with `options` and wait until all is ready; `say` is told how it goes.

    One that is on its way already is waited for. Raises NotReady.
    """
    home.prepare()
    child = None if launcher_pid(home) is not None else _spawn(home, options)
    lines = _new_lines(home.launcher_log, 0 if child is None else child[1])
    deadline = time.monotonic() + START_WAIT_S
    while True:
        ended = launcher_pid(home) is None if child is None else child[0].poll() is not None
        found = running_service(home)
        for line in lines:
            if line is None:
                break
            if child is not None:
                say(_STAMP.sub("", line))
        if found is not None:
            return found
        if ended and child is not None and launcher_pid(home) is not None:
            child = None  # Another start was quicker: that one is waited for.
            continue
        if ended:
            raise NotReady(f"it did not start: the last line above says why, {home.logs} has more")
        if time.monotonic() > deadline:
            raise NotReady(
                f"not ready after {START_WAIT_S:.0f} s and still trying: see ./start_all.sh logs; "
                "./start_all.sh stop ends it"
            )
        time.sleep(_LOOK_S)


def stop(home: Home) -> bool:
    """End what runs on `home` and wait for it; False when nothing did. Raises NotReady."""
    pid = launcher_pid(home)
    if pid is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not wait_until(lambda: launcher_pid(home) is None, _STOP_WAIT_S):
        raise NotReady(f"process {pid} has not ended in {_STOP_WAIT_S:.0f} s: kill -9 {pid}")
    return True


def _spawn(home: Home, options: Sequence[str]) -> tuple[subprocess.Popen[bytes], int]:
    """The process, and where in the log its first line will be."""
    log = home.launcher_log
    command = [sys.executable, str(PROJECT / "portfolio_manager.py"), "live", *options]
    with log.open("ab") as output:
        begins = output.tell()
        child = subprocess.Popen(  # noqa: S603 - our own command
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=PROJECT,
            start_new_session=True,
        )
    return child, begins


def _new_lines(path: Path, begins: int) -> Iterator[str | None]:
    """Whole lines as they come; None where there is no further one yet."""
    with path.open("rb") as file:
        file.seek(begins)
        while True:
            place = file.tell()
            line = file.readline()
            if line.endswith(b"\n"):
                yield line.decode(errors="replace").rstrip()
            else:
                file.seek(place)
                yield None
