"""What runs right now, for those who ask from outside: `PM_HOME/run.json`, without a secret in it.

The file is believed only while the launcher that wrote it holds its lock.
"""

import fcntl
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from live.embedded.folders import Folders, lives
from live.launcher.home import Home


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that answered. `pids` by name; `database`, `redis` and `gateway` in words."""

    started_at: str
    launcher_pid: int
    pids: Mapping[str, int]
    url: str
    database: str
    redis: str
    gateway: str
    mode: str
    is_paper: bool
    is_test: bool
    clock_offset_s: float

    def write(self, path: Path) -> None:
        """Put it at `path` in one step."""
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self), indent=2) + "\n")
        new.replace(path)


def running_service(home: Home) -> RunningService | None:
    """What runs on `home`; None when nothing does or it is still starting."""
    try:
        found = RunningService(**json.loads(home.run_file.read_text()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found if found.launcher_pid == launcher_pid(home) else None


def launcher_pid(home: Home) -> int | None:
    """The process that holds `home`; None when nobody does."""
    try:
        with Folders(home.path).lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                written = file.read().strip()
                # Who has just taken the lock has not yet written over who had it before.
                return int(written) if written and lives(int(written)) else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    return None
