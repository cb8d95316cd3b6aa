"""Starts the embedded servers, brings back one that dies, stops them in order: Valkey first.

While it lives it holds the state folder alone, and what it started does not outlive it.
"""

import logging
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self, TypeVar

from live.embedded.account import choose_account
from live.embedded.errors import ServerNotStarted
from live.embedded.folders import Folders, ReadyServers, exclusive, make_open
from live.embedded.postgres import PostgresServer
from live.embedded.valkey import ValkeyServer
from live.embedded.watch import LOOK_S, Watched
from live.environment import environment

_LOG = logging.getLogger(__name__)

Server = TypeVar("Server", PostgresServer, ValkeyServer)


class EmbeddedServers:
    """A context in which the servers run. `fast` gives up durability, for tests.

    Entering raises `ServerNotStarted`, with whatever had been started stopped again. The thread
    that enters must be the last to end: the kernel takes its end for the supervisor's.
    """

    def __init__(
        self,
        state_dir: Path,
        fast: bool = False,
        *,
        with_postgres: bool = True,
        with_valkey: bool = True,
    ) -> None:
        self._folders = Folders(state_dir.resolve())
        self._fast = fast
        self._with_postgres = with_postgres
        self._with_valkey = with_valkey
        self._postgres: PostgresServer | None = None
        self._valkey: ValkeyServer | None = None
        self.watched: tuple[Watched, ...] = ()
        self._running = ExitStack()

    @property
    def database_url(self) -> str:
        """For psycopg2: a database of our own, of which we are superuser."""
        return _started(self._postgres).url

    @property
    def redis_url(self) -> str:
        """For redis-py."""
        return _started(self._valkey).url

    @property
    def database_pid(self) -> int | None:
        """The postmaster's process."""
        return _started(self._postgres).pid

    @property
    def redis_pid(self) -> int | None:
        """Valkey's process."""
        return _started(self._valkey).pid

    def __enter__(self) -> Self:
        if sys.platform != "linux":
            raise ServerNotStarted(
                "the embedded servers run on Linux only: "
                "set DATABASE_URL and REDIS_URL to servers of your own"
            )
        with ExitStack() as starting:
            self._start(starting)
            self._running = starting.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running.close()
        self._postgres = self._valkey = None
        self.watched = ()

    def supervise(self) -> NoReturn:
        """Bring back what dies, at once the first time and then ever later, until interrupted."""
        while True:
            time.sleep(LOOK_S)
            for each in self.watched:
                each.look(time.monotonic())

    def _start(self, starting: ExitStack) -> None:
        folders = self._folders
        make_open(folders.state)
        starting.enter_context(exclusive(folders))
        folders.ready.unlink(missing_ok=True)
        account = choose_account((folders.postgres, folders.valkey))
        folders.prepare(account)
        given = environment()
        if self._with_postgres:
            self._postgres = PostgresServer(folders, account, given, self._fast)
            starting.callback(self._postgres.stop)
            self._postgres.start()
        if self._with_valkey:
            self._valkey = ValkeyServer(folders, account, given, self._fast)
            starting.callback(self._valkey.stop)
            self._valkey.start()
        starting.callback(folders.ready.unlink, missing_ok=True)
        self._write_ready()
        running = (server for server in (self._postgres, self._valkey) if server)
        self.watched = tuple(Watched(server) for server in running)
        for server in (self._postgres, self._valkey):
            if server:
                _LOG.info("%s runs as %s: %s", server.name, account.name, server.url)

    def _write_ready(self) -> None:
        database_url = None if self._postgres is None else self._postgres.url
        redis_url = None if self._valkey is None else self._valkey.url
        ReadyServers(os.getpid(), database_url, redis_url).write(self._folders.ready)


def _started(server: Server | None) -> Server:
    if server is None:
        raise ServerNotStarted("this server was not started: ask for it, and enter the context")
    return server
