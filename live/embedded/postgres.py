"""The embedded PostgreSQL: reached by a unix socket only, and complete or not there at all.

It counts as ready when its pid file says so *and* names our own child: a file that an earlier
server left behind proves nothing. Nobody but the account that runs it can enter its folders, so
local connections need no password.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import psycopg2
from psycopg2.extensions import make_dsn

from live.embedded.account import Account
from live.embedded.binaries import find_postgres, major_version, reachable
from live.embedded.errors import ServerNotStarted
from live.embedded.folders import Folders, make_private
from live.embedded.process import ServerProcess, evict, wait_until

_PORT = "5432"
_SETTINGS = ("max_connections=200", "shared_buffers=32MB", "timezone=UTC")
# What is committed still outlives a killed server, so that tests may kill it; not a power cut.
_FAST_SETTINGS = ("fsync=off", "full_page_writes=off")
# Recovery after a crash may take minutes; as long as it lives and works, it is waited for.
_START_S = 600.0
_STOP = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))
_PID_LINE, _STATUS_LINE = 0, 7


class PostgresServer:
    """One server on one data folder, with a database `app` of a superuser `app`."""

    name = "PostgreSQL"

    def __init__(
        self, folders: Folders, account: Account, environment: Mapping[str, str], fast: bool
    ) -> None:
        self._folders = folders
        self._account = account
        self._environment = environment
        self._fast = fast
        self._child: ServerProcess | None = None

    @property
    def url(self) -> str:
        """For psycopg2."""
        return self._dsn("app")

    @property
    def pid(self) -> int | None:
        """The postmaster, if it was started."""
        return None if self._child is None else self._child.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs, or if it never did."""
        return None if self._child is None else self._child.exit_code

    def start(self) -> None:
        """Start, with a new data folder where there is none; returns when it takes queries."""
        data = self._folders.postgres
        program = reachable(find_postgres(self._environment), self._account, self._folders.binaries)
        evict(data, "postgres", self._account)
        if data.exists():
            self._check_version(program)
        else:
            self._make_data(program.with_name("initdb"))
        self._remove_stale_locks()
        settings = _SETTINGS + (_FAST_SETTINGS if self._fast else ())
        places = ["-D", str(data), "-k", str(self._folders.run), "-h", "", "-p", _PORT]
        self._child = self._run(program, *places, *(f"--{setting}" for setting in settings))
        self._wait_ready(self._child)
        self._make_database()

    def stop(self) -> None:
        """A fast shutdown: open transactions are rolled back, nothing committed is lost."""
        if self._child is not None:
            self._child.stop(_STOP)

    def _run(self, program: Path, *options: str) -> ServerProcess:
        log = self._folders.logs / "postgres.log"
        return ServerProcess((str(program), *options), self._account, log, self._environment)

    def _check_version(self, program: Path) -> None:
        """A data folder belongs to one major version."""
        data = self._folders.postgres
        written, ours = (data / "PG_VERSION").read_text().strip(), major_version(program)
        if written != ours:
            raise ServerNotStarted(
                f"{data} was written by PostgreSQL {written} and this is {ours}: "
                f"start it with PM_PG_BIN=<folder of {written}'s programs>, save it with "
                f"`pg_dump app`, move the folder away, start again with {ours} and restore "
                "the dump with `psql app`"
            )

    def _make_data(self, initdb: Path) -> None:
        """A folder of that name is a complete one: what `initdb` was killed over is made anew."""
        for left in self._folders.state.glob("postgres.new-*"):
            shutil.rmtree(left, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self._folders.state))
        make_private(unfinished, self._account)
        options = ["-U", "app", "-E", "UTF8", "--locale=C.UTF-8", "--auth=trust"]
        options += ["--no-instructions", *(["--no-sync"] if self._fast else [])]
        made = self._run(initdb, "-D", str(unfinished), *options)
        try:
            code = made.wait()
        finally:
            made.stop(_STOP)
        if code != 0:
            raise ServerNotStarted(f"PostgreSQL's data could not be made: {made.last_words()}")
        unfinished.rename(self._folders.postgres)
        _make_lasting(self._folders.state)

    def _remove_stale_locks(self) -> None:
        """Only while we hold the state folder and nobody works in the data folder.

        PostgreSQL would believe an old pid that is by now a zombie or another program.
        """
        (self._folders.postgres / "postmaster.pid").unlink(missing_ok=True)
        for left in self._folders.run.glob(".s.PGSQL.*"):
            left.unlink()

    def _wait_ready(self, child: ServerProcess) -> None:
        wait_until(lambda: child.exit_code is not None or self._says_ready(child.pid), _START_S)
        if child.exit_code is not None or not self._says_ready(child.pid):
            raise ServerNotStarted(f"PostgreSQL did not start: {child.last_words()}")

    def _says_ready(self, pid: int) -> bool:
        try:
            lines = (self._folders.postgres / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        if len(lines) <= _STATUS_LINE or lines[_PID_LINE].strip() != str(pid):
            return False
        return lines[_STATUS_LINE].strip() == "ready"

    def _make_database(self) -> None:
        try:
            with closing(psycopg2.connect(self._dsn("postgres"))) as connection:
                connection.autocommit = True
                with connection.cursor() as cursor:
                    cursor.execute("SELECT FROM pg_database WHERE datname = 'app'")
                    if cursor.fetchone() is None:
                        cursor.execute("CREATE DATABASE app")
        except psycopg2.Error as error:
            raise ServerNotStarted(f"PostgreSQL runs, but takes no queries: {error}") from error

    def _dsn(self, database: str) -> str:
        return make_dsn(host=str(self._folders.run), port=_PORT, user="app", dbname=database)


def _make_lasting(folder: Path) -> None:
    """A rename survives a loss of power once its folder is written."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
