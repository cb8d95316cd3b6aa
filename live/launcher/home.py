"""The folder of all state: what lies where in it, and that only its owner reads what is secret.

Accounts of the embedded servers may pass through it (0711) and see nothing of it.
"""

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigInvalid
from live.access import TOKENS_FILE
from live.embedded.account import choose_account, closed_folder
from live.embedded.folders import make_open

# Where root puts the servers' data when their account cannot get into PM_HOME.
REACHABLE = Path("/var/lib/portfolio-manager")
LARGEST_LOG_BYTES = 10_000_000
_ROOT = 0


@dataclass(frozen=True, slots=True)
class Home:
    """The layout of PM_HOME."""

    path: Path

    @property
    def logs(self) -> Path:
        """What our own programs print."""
        return self.path / "logs"

    @property
    def launcher_log(self) -> Path:
        """What the launcher prints when it runs detached."""
        return self.logs / "launcher.log"

    @property
    def metrics(self) -> Path:
        """What the workers count, of this run only."""
        return self.path / "metrics"

    @property
    def paper(self) -> Path:
        """The paper exchange's books and key."""
        return self.path / "paper"

    @property
    def servers(self) -> Path:
        """The embedded servers' state, or a link to it."""
        return self.path / "servers"

    @property
    def tokens(self) -> Path:
        """The tokens made at the first start."""
        return self.path / TOKENS_FILE

    @property
    def run_file(self) -> Path:
        """What runs, and how it is reached; there while it does."""
        return self.path / "run.json"

    @property
    def not_ended(self) -> Path:
        """There from a launcher's start to its orderly end; it outlives one that is killed."""
        return self.path / "not_ended"

    def prepare(self) -> None:
        """Make what is missing. Raises ConfigInvalid where nothing can be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if self.path.stat().st_uid == os.geteuid():
                self.path.chmod(0o711)
            self.logs.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            allowed = f"a folder that can be written is expected ({error.strerror})"
            raise ConfigInvalid("PM_HOME", str(self.path), allowed) from error

    def trim_logs(self) -> None:
        """Put the content of a log that grew large aside, while its program goes on writing to it.

        The service's own log is not among them: it does the same by itself.
        """
        own = (self.logs / f"{name}.log" for name in ("launcher", "gunicorn", "paper_exchange"))
        for log in (*own, *(self.servers / "logs").glob("*.log")):
            if log.exists() and log.stat().st_size > LARGEST_LOG_BYTES:
                shutil.copyfile(log, log.with_name(f"{log.name}.1"))
                os.truncate(log, 0)

    def empty_metrics(self) -> None:
        """Counts of an earlier run are not of this one. Raises ConfigInvalid."""
        shutil.rmtree(self.metrics, ignore_errors=True)
        try:
            self.metrics.mkdir(mode=0o700)
        except OSError as error:
            allowed = "a folder that another user has not started this in is expected: chown -R it"
            raise ConfigInvalid("PM_HOME", str(self.path), allowed) from error

    def place_servers(self, reachable: Path = REACHABLE) -> Path:
        """The folder for the embedded servers; chosen once, for it holds all data.

        It is in PM_HOME. Where root runs this and the servers' lesser account cannot get there,
        it is below `reachable`, and PM_HOME has a link to it.
        """
        if self.servers.exists() or os.geteuid() != _ROOT:
            return self.servers
        if closed_folder(self.path, choose_account(())) is not None:
            elsewhere = reachable / secrets.token_hex(8)
            make_open(elsewhere)
            self.servers.symlink_to(elsewhere)
        return self.servers
