"""One server process: a direct child that ends when its supervisor does, however that ends.

Linux tells a child of its parent's death (PR_SET_PDEATHSIG); SIGINT is a clean, quick shutdown to
both servers. Who works in a data folder is asked of /proc, never of a pid file.
"""

import ctypes
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import Signals

from live.embedded.account import Account, acting_as
from live.embedded.errors import ServerNotStarted

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_PAUSE_S = 0.02
_LOG_BYTES = 10_000_000
_LAST_LINES = 5
_FATAL = re.compile(r"\b(FATAL|PANIC):")
# A server that lost its supervisor is already stopping: patience first, force later.
_EVICTION = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
# What a server may know of our environment: no secrets, and none of its own PG* settings.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG")


class ServerProcess:
    """A running program and what it printed since it was started."""

    def __init__(
        self,
        command: Sequence[str],
        account: Account,
        log: Path,
        environment: Mapping[str, str],
        program_folder: Path | None = None,
    ) -> None:
        """In `program_folder` it is a program of ours, and knows the whole environment."""
        known = environment if program_folder else _ENVIRONMENT
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_name(f"{log.name}.1"))
        supervisor = os.getpid()
        switch = not account.is_ours
        with log.open("ab") as output:
            self._log, self._log_start = log, output.tell()
            self._child = subprocess.Popen(  # noqa: S603 - our own command
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=program_folder or "/",
                env={name: environment[name] for name in known if name in environment},
                umask=0o077,
                user=account.uid if switch else None,
                group=account.gid if switch else None,
                extra_groups=[] if switch else None,
                start_new_session=True,
                preexec_fn=lambda: _end_with(supervisor),
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended (negative: by that signal); None while it runs."""
        return self._child.poll()

    def stop(self, ways: Sequence[tuple[Signals, float]]) -> None:
        """Send each signal in turn, with its seconds of patience, until it has ended."""
        for way, patience_s in ways:
            if self.exit_code is not None:
                return
            self._child.send_signal(way)
            wait_until(lambda: self.exit_code is not None, patience_s)

    def wait(self) -> int:
        """Wait for its end; returns its exit code."""
        return self._child.wait()

    def last_words(self) -> str:
        """The last lines it printed, as one; what follows a fatal one says no more of why."""
        size = self._log.stat().st_size
        with self._log.open("rb") as file:
            # A log that is now shorter was put aside since.
            file.seek(self._log_start if self._log_start <= size else 0)
            printed = file.read().decode(errors="replace").splitlines()
        lines = [line.strip() for line in printed if line.strip()]
        fatal = [place for place, line in enumerate(lines, start=1) if _FATAL.search(line)]
        told = lines[: fatal[-1]] if fatal else lines
        return " / ".join(told[-_LAST_LINES:]) or "it said nothing"

    def end_group(self) -> None:
        """End what it started and left behind; its own end must have been seen."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def _end_with(supervisor: int) -> None:
    """In the child, after its account was set: SIGINT when the supervisor is no more."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
    if os.getppid() != supervisor:
        os._exit(1)


def wait_until(holds: Callable[[], bool], patience_s: float) -> bool:
    """Look until `holds`; False when it did not within `patience_s`."""
    deadline = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_S)
    return True


def occupants(folder: Path, program: str, account: Account) -> list[int]:
    """Pids of the processes called `program` that work in `folder`; zombies do not count."""
    found = []
    # Root may not look at others' folders in a container, so it looks as the account does.
    with acting_as(account):
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(process / "cwd") != str(folder):
                    continue
                if (process / "comm").read_text().strip() == program[:15]:
                    found.append(int(process.name))
            except OSError:
                continue
    return found


def evict(folder: Path, program: str, account: Account) -> None:
    """Wait for, and then end, what an earlier supervisor left in `folder`, which we hold."""
    for way, patience_s in _EVICTION:
        left = occupants(folder, program, account)
        for pid in left:
            try:
                os.kill(pid, way)
            except ProcessLookupError:
                continue
        if not left or wait_until(lambda: not occupants(folder, program, account), patience_s):
            return
    left = occupants(folder, program, account)
    raise ServerNotStarted(f"{folder} is still used by {program} {left}, which cannot be ended")
