"""Where the embedded servers keep what: everything below one state folder.

One supervisor at a time holds it, for as long as that supervisor lives. The ready file is there
from when all servers first answer until they are told to stop.
"""

import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from live.embedded.account import Account, closed_folder
from live.embedded.errors import ServerNotStarted
from live.embedded.process import wait_until

# A unix socket's path has 108 bytes with its closing zero; the longest name we put there:
_LONGEST_SOCKET_PATH = 107
_LONGEST_SOCKET_NAME = ".s.PGSQL.5432.lock"
# For so long whoever asks who holds a folder may itself hold it, on a busy machine.
_INSTANT_S = 2.0
_SHORT_PLACE = Path("/tmp")  # noqa: S108 - a private folder with a checked owner is made there


@dataclass(frozen=True, slots=True)
class Folders:
    """The layout of a state folder, whose path must be resolved."""

    state: Path

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data; exists only when it is complete."""
        return self.state / "postgres"

    @property
    def valkey(self) -> Path:
        """Valkey's append-only file."""
        return self.state / "valkey"

    @property
    def logs(self) -> Path:
        """What the servers print."""
        return self.state / "logs"

    @property
    def binaries(self) -> Path:
        """Copies of programs that the servers' account could not reach."""
        return self.state / "binaries"

    @property
    def run(self) -> Path:
        """The sockets: below the state folder, or where its path is too long, a short place."""
        near = self.state / "run"
        if len(os.fsencode(near / _LONGEST_SOCKET_NAME)) <= _LONGEST_SOCKET_PATH:
            return near
        return _SHORT_PLACE / f"pm-{hashlib.sha256(os.fsencode(self.state)).hexdigest()[:16]}"

    @property
    def lock(self) -> Path:
        """Held while a supervisor lives; its content is that supervisor's pid."""
        return self.state / "supervisor.lock"

    @property
    def ready(self) -> Path:
        """`ReadyServers` as JSON."""
        return self.state / "ready.json"

    def prepare(self, account: Account) -> None:
        """Make what is missing; raises `ServerNotStarted` where `account` cannot get to it."""
        closed = closed_folder(self.state, account)
        if closed is not None:
            raise ServerNotStarted(
                f"{self.state} cannot be used: its servers run as {account.name}, who may not "
                f"enter {closed}; run `chmod o+x {closed}`, or choose another state folder"
            )
        self.logs.mkdir(mode=0o755, exist_ok=True)
        make_private(self.run, account)


@dataclass(frozen=True, slots=True)
class ReadyServers:
    """Servers that answer, and the supervisor they belong to; None for one that was not asked."""

    supervisor_pid: int
    database_url: str | None
    redis_url: str | None

    def write(self, path: Path) -> None:
        """Put it at `path` in one step."""
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self), indent=2) + "\n")
        new.replace(path)


def ready_servers(state_dir: Path) -> ReadyServers | None:
    """What runs on `state_dir`; None when nothing does or it is still starting."""
    try:
        ready = ReadyServers(**json.loads(Folders(state_dir.resolve()).ready.read_text()))
    except FileNotFoundError:
        return None
    return ready if lives(ready.supervisor_pid) else None


def lives(pid: int) -> bool:
    """Whether there is such a process; a zombie, which has no folder any more, does not count."""
    try:
        os.readlink(f"/proc/{pid}/cwd")
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def make_open(folder: Path) -> None:
    """Make `folder` and what is missing above it, open to pass through whatever the umask."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir()
        each.chmod(0o755)


def make_private(folder: Path, account: Account) -> None:
    """Make `folder` for `account` alone; raises `ServerNotStarted` if it is somebody else's."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), account.uid):
            raise ServerNotStarted(
                f"{folder} is not a folder of {account.name}'s own: move it away"
            ) from None
    if not account.is_ours:
        os.chown(folder, account.uid, account.gid)
    folder.chmod(0o700)


@contextmanager
def exclusive(folders: Folders) -> Iterator[None]:
    """Hold the state folder; raises `ServerNotStarted` when another process holds it.

    Whoever only asks who holds it has it for an instant, so it is tried for a moment.
    """
    with folders.lock.open("a+") as file:
        if not wait_until(lambda: _locked(file), _INSTANT_S):
            file.seek(0)
            raise ServerNotStarted(
                f"{folders.state} is already served by process {file.read().strip() or '?'}: "
                "stop that one first, or choose another state folder"
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _locked(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
