"""The embedded servers keep what they were given, whatever dies, and never run twice on one folder.

Real processes throughout. As root they also run as another account, which `nobody` stands for.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psycopg2
import pytest
from redis import Redis
from redis.exceptions import RedisError

from live.embedded import EmbeddedServers, ReadyServers, ServerNotStarted, ready_servers
from live.embedded.account import Account, choose_account
from live.embedded.binaries import find_postgres, find_valkey
from live.embedded.process import ServerProcess, occupants

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = Path(psycopg2.__file__).parents[1]
PATIENCE_S = 120.0
ENVIRONMENT = {
    # Some Pythons before 3.11.3 need async_timeout for what is not used here.
    "PYTHONPATH": f"{ROOT}:{PACKAGES}:{ROOT / 'tests/fixtures/older_python'}",
    # Settings of some other PostgreSQL must not reach ours.
    "PGPORT": "1",
    "PGDATA": "/nowhere",
}

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")


def eventually(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.01)


def query(database_url: str, statement: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def keep_rows(database_url: str) -> None:
    query(
        database_url,
        "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n",
    )


def keep(database_url: str, redis_url: str) -> str:
    """Write rows and a key; returns the key's value, which is another each time."""
    keep_rows(database_url)
    value = secrets.token_hex(4)
    with Redis.from_url(redis_url, decode_responses=True) as client:
        client.set("kept", value)
    return value


def rows_kept(database_url: str) -> int:
    (row,) = query(database_url, "SELECT sum(n) FROM kept")
    return int(str(row[0]))


def key_kept(redis_url: str) -> str:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        return str(client.get("kept"))


ALL_ROWS = 1000 * 1001 // 2


@dataclass(frozen=True, slots=True)
class Supervised:
    """A supervisor in a process of its own."""

    process: subprocess.Popen[str]
    state: Path
    database_url: str
    redis_url: str

    def postmaster(self) -> int:
        return int((self.state / "postgres/postmaster.pid").read_text().splitlines()[0])

    def valkey(self) -> int:
        with Redis.from_url(self.redis_url) as client:
            return int(client.info("server")["process_id"])

    def kill(self) -> None:
        """As the kernel does when memory runs out, or an operator who lost patience."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE_S)


def account_of(state: Path) -> Account:
    return choose_account((state / "postgres", state / "valkey"))


def servers_left(state: Path) -> list[int]:
    account = account_of(state)
    return occupants(state / "postgres", "postgres", account) + occupants(
        state / "valkey", "valkey-server", account
    )


@cache
def python_for(user: str | None) -> str:
    """A Python that `user` may run, and that can use what is installed for ours."""
    if user is None:
        return sys.executable
    for candidate in (sys.executable, "/usr/bin/python3"):
        try:
            subprocess.run(
                [candidate, "-c", "import live.embedded"], env=ENVIRONMENT, user=user, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate
    pytest.skip(f"{user} may run no Python of this version")


@contextmanager
def spawned(state: Path, *options: str, user: str | None = None) -> Iterator[subprocess.Popen[str]]:
    """A supervisor that is started as a script's background job is: with SIGINT ignored."""
    process = subprocess.Popen(
        [python_for(user), "-m", "live.embedded", str(state), *options],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        user=user,
        group=None if user is None else pwd.getpwnam(user).pw_gid,
        extra_groups=None if user is None else [],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
    eventually(lambda: not servers_left(state), "nothing is left behind")


def ready(process: subprocess.Popen[str], state: Path) -> ReadyServers:
    def answers() -> bool:
        if process.poll() is not None:
            assert process.stdout is not None
            pytest.fail(f"the supervisor ended: {process.stdout.read()}")
        found = ready_servers(state)
        return found is not None and found.supervisor_pid == process.pid

    eventually(answers, "the servers are ready")
    found = ready_servers(state)
    assert found is not None
    return found


@contextmanager
def supervised(state: Path, *options: str, user: str | None = None) -> Iterator[Supervised]:
    with spawned(state, *options, user=user) as process:
        found = ready(process, state)
        assert found.database_url
        assert found.redis_url
        yield Supervised(process, state, found.database_url, found.redis_url)


@pytest.fixture(scope="module")
def used_folder() -> Iterator[Path]:
    """Made once, because making PostgreSQL's data is what takes time."""
    with tempfile.TemporaryDirectory(prefix="pm-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def state(used_folder: Path) -> Iterator[Path]:
    """A state folder that tests use in turn: each leaves it stopped and able to start."""
    yield used_folder
    eventually(lambda: not servers_left(used_folder), "nothing is left running")


USERS = [
    pytest.param(None, id="as-we-are"),
    pytest.param("nobody", id="as-nobody", marks=as_root),
]


def home_of(user: str | None, folder: Path) -> Path:
    """A state folder of `user`'s, not yet made where it is ours."""
    state = folder / "state"
    if user is not None:
        state.mkdir()
        shutil.chown(state, user)
    return state


@pytest.mark.parametrize("user", USERS)
def test_rows_and_keys_outlive_a_clean_restart(user: str | None, open_folder: Path) -> None:
    state = home_of(user, open_folder)
    with supervised(state, "--fast", user=user) as first:
        value = keep(first.database_url, first.redis_url)
        with closing(psycopg2.connect(first.database_url)):
            assert first.stop() == 0
        assert not servers_left(state)
        assert not (state / "ready.json").exists()
    with supervised(state, "--fast", user=user) as second:
        assert rows_kept(second.database_url) == ALL_ROWS
        assert key_kept(second.redis_url) == value
        assert (second.database_url, second.redis_url) == (first.database_url, first.redis_url)


@pytest.mark.parametrize("user", USERS)
def test_servers_shut_down_cleanly_when_the_supervisor_is_killed(
    user: str | None, open_folder: Path
) -> None:
    state = home_of(user, open_folder)
    with supervised(state, "--fast", user=user) as first:
        value = keep(first.database_url, first.redis_url)
        first.kill()
        eventually(lambda: not servers_left(state), "its servers end with it")
        assert ready_servers(state) is None
        assert not (state / "postgres/postmaster.pid").exists(), "a crash would leave it"
    with supervised(state, "--fast", user=user) as second:
        assert rows_kept(second.database_url) == ALL_ROWS
        assert key_kept(second.redis_url) == value


def test_a_start_right_after_everything_was_killed_recovers(state: Path) -> None:
    with supervised(state, "--fast") as first:
        value = keep(first.database_url, first.redis_url)
        for pid in (first.postmaster(), first.valkey()):
            os.kill(pid, signal.SIGKILL)
        first.kill()
        with supervised(state, "--fast") as second:
            assert rows_kept(second.database_url) == ALL_ROWS
            assert key_kept(second.redis_url) == value


def test_a_supervisor_brings_back_a_server_that_was_killed(state: Path) -> None:
    with supervised(state, "--fast") as running:
        value = keep(running.database_url, running.redis_url)
        postmaster, valkey = running.postmaster(), running.valkey()
        os.kill(postmaster, signal.SIGKILL)
        eventually(lambda: answers_anew(running, postmaster), "PostgreSQL is back")
        assert rows_kept(running.database_url) == ALL_ROWS

        os.kill(valkey, signal.SIGKILL)
        eventually(lambda: valkey_pid(running) not in (None, valkey), "Valkey is back")
        assert key_kept(running.redis_url) == value


def answers_anew(running: Supervised, old: int) -> bool:
    try:
        query(running.database_url, "SELECT 1")
        return running.postmaster() != old
    except (psycopg2.Error, OSError):
        return False


def valkey_pid(running: Supervised) -> int | None:
    try:
        return running.valkey()
    except RedisError:
        return None


@pytest.mark.parametrize("old_pid", ["living", "zombie"])
def test_a_pid_file_left_behind_is_not_believed(old_pid: str, state: Path) -> None:
    with EmbeddedServers(state, fast=True, with_valkey=False):
        left = (state / "postgres/postmaster.pid").read_text().splitlines()
    account = account_of(state)
    other = subprocess.Popen(
        ["sleep", "600"],
        user=None if account.is_ours else account.uid,
        group=None if account.is_ours else account.gid,
    )
    try:
        if old_pid == "zombie":
            other.send_signal(signal.SIGKILL)
            os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        text = "\n".join([str(other.pid), *left[1:]]) + "\n"
        (state / "postgres/postmaster.pid").write_text(text)
        (state / "run/.s.PGSQL.5432.lock").write_text(text)
        with EmbeddedServers(state, fast=True, with_valkey=False) as servers:
            assert query(servers.database_url, "SELECT 1") == [(1,)]
            assert servers.database_pid != other.pid
    finally:
        other.kill()
        other.wait()


def test_a_server_that_outlived_its_supervisor_is_ended_first(state: Path) -> None:
    with EmbeddedServers(state, fast=True, with_valkey=False) as servers:
        keep_rows(servers.database_url)
    account = account_of(state)
    program = find_postgres({}).path
    orphan = subprocess.Popen(
        [program, "-D", state / "postgres", "-h", "", "-k", state / "run"],
        user=None if account.is_ours else account.uid,
        group=None if account.is_ours else account.gid,
        stderr=subprocess.DEVNULL,
    )
    try:
        pid_file = state / "postgres/postmaster.pid"
        eventually(lambda: pid_file.exists() and "ready" in pid_file.read_text(), "it is up")
        with EmbeddedServers(state, fast=True, with_valkey=False) as servers:
            assert rows_kept(servers.database_url) == ALL_ROWS
            assert orphan.poll() == 0
    finally:
        orphan.kill()
        orphan.wait()


def test_a_second_supervisor_is_refused_and_harms_nothing(state: Path) -> None:
    with EmbeddedServers(state, fast=True, with_valkey=False) as first:
        refused = subprocess.run(
            [sys.executable, "-m", "live.embedded", state],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert refused.returncode == 1
        output = refused.stderr
        assert f"already served by process {os.getpid()}" in output
        assert query(first.database_url, "SELECT 1") == [(1,)]
        assert ready_servers(state) is not None


@pytest.mark.parametrize(
    ("fast", "durable"),
    [
        pytest.param(False, "on", id="durable"),
        pytest.param(True, "off", id="fast"),
    ],
)
def test_only_fast_servers_give_up_durability(fast: bool, durable: str, state: Path) -> None:
    with EmbeddedServers(state, fast) as servers:
        for setting in ("fsync", "full_page_writes"):
            assert query(servers.database_url, f"SHOW {setting}") == [(durable,)]
        assert query(servers.database_url, "SHOW synchronous_commit") == [("on",)]
        with Redis.from_url(servers.redis_url) as client:
            written = {"appendonly": "yes", "appendfsync": "no" if fast else "everysec"}
            assert client.config_get("append*") | written == client.config_get("append*")


def test_servers_are_told_nothing_of_our_environment(tmp_path: Path) -> None:
    ours = {"PATH": "/usr/bin:/bin", "PM_TOKEN": "secret", "PGDATA": "/nowhere"}
    log = tmp_path / "env.log"
    process = ServerProcess(["env"], choose_account(()), log, ours)
    assert process.wait() == 0
    assert log.read_text().splitlines() == [f"PATH={ours['PATH']}"]


def test_nothing_listens_to_the_network_and_sockets_are_private(state: Path) -> None:
    with EmbeddedServers(state, fast=True) as servers:
        assert query(servers.database_url, "SHOW listen_addresses") == [("",)]
        with Redis.from_url(servers.redis_url) as client:
            assert client.config_get("port") == {"port": "0"}
        for folder in ("run", "postgres", "valkey"):
            assert (state / folder).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGINT])
def test_a_background_job_stops_at_either_signal(way: signal.Signals, state: Path) -> None:
    with spawned(state, "--no-postgres", "--fast") as process:
        assert ready(process, state).database_url is None
        process.send_signal(way)
        assert process.wait(PATIENCE_S) == 0
        assert not servers_left(state)


def test_a_long_path_gets_sockets_in_a_short_place(open_folder: Path) -> None:
    state = open_folder / ("long" * 30)
    urls = []
    for _ in range(2):
        with EmbeddedServers(state, fast=True) as servers:
            assert query(servers.database_url, "SELECT 1") == [(1,)]
            urls.append((servers.database_url, servers.redis_url))
    assert urls[0] == urls[1]
    shutil.rmtree(Path(urls[0][1].removeprefix("unix://")).parent)


def test_data_of_another_major_version_is_refused_with_the_way_out(state: Path) -> None:
    with EmbeddedServers(state, fast=True, with_valkey=False):
        pass
    written = (state / "postgres/PG_VERSION").read_text()
    try:
        (state / "postgres/PG_VERSION").write_text("9\n")
        with (
            pytest.raises(ServerNotStarted, match=r"written by PostgreSQL 9 .*pg_dump"),
            EmbeddedServers(state, fast=True),
        ):
            pass
    finally:
        (state / "postgres/PG_VERSION").write_text(written)


def test_a_server_that_cannot_start_says_why_and_stops_the_other(state: Path) -> None:
    kept = state / "valkey/appendonlydir"
    with EmbeddedServers(state, fast=True):
        pass
    (manifest,) = kept.glob("*.manifest")
    try:
        manifest.write_text("not a manifest\n")
        with (
            pytest.raises(ServerNotStarted, match=r"Valkey did not start: .*manifest"),
            EmbeddedServers(state, fast=True),
        ):
            pass
        assert not servers_left(state)
        assert ready_servers(state) is None
    finally:
        shutil.rmtree(kept)


def test_the_last_words_of_a_server_end_with_what_was_fatal(tmp_path: Path) -> None:
    printed = ["HINT: none"] * 6 + ["PANIC: No space left on device"] + ["LOG: shut down"] * 6
    command = ["printf", r"%s\n", *printed]
    process = ServerProcess(
        command, choose_account(()), tmp_path / "log", {"PATH": "/usr/bin:/bin"}
    )
    process.wait()
    assert process.last_words().endswith("HINT: none / PANIC: No space left on device")


def test_data_whose_making_was_killed_is_made_anew(open_folder: Path) -> None:
    half = open_folder / "postgres.new-killed"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedServers(open_folder, fast=True, with_valkey=False) as servers:
        assert query(servers.database_url, "SELECT 1") == [(1,)]
    assert not half.exists()


@as_root
def test_root_is_told_which_folder_is_closed_and_opens_none(open_folder: Path) -> None:
    closed = open_folder / "home"
    closed.mkdir(mode=0o700)
    with (
        pytest.raises(ServerNotStarted, match=f"may not enter {closed}; run `chmod o"),
        EmbeddedServers(closed / "state", fast=True),
    ):
        pass
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_programs_that_the_account_cannot_reach_are_copied_once(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = find_postgres({})
    assert wheel.base is not None
    closed = open_folder / "home"
    closed.mkdir(mode=0o700)
    for part in wheel.parts:
        (closed / part).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", wheel.base / part, closed / part], check=True)
    (closed / wheel.parts[0].parts[0] / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(closed))
    state = open_folder / "state"
    copies = []
    for _ in range(2):
        with EmbeddedServers(state, fast=True, with_valkey=False) as servers:
            assert query(servers.database_url, "SELECT 1") == [(1,)]
        copies.append([(copy, copy.stat().st_ino) for copy in (state / "binaries").iterdir()])
    assert len(copies[0]) == 1
    assert copies[0] == copies[1]
    assert closed.stat().st_mode & 0o777 == 0o700


def test_programs_that_the_operator_names_are_used_or_refused(tmp_path: Path) -> None:
    folder = find_postgres({}).path.parent
    assert find_postgres({"PM_PG_BIN": str(folder)}).path == folder / "postgres"
    program = find_valkey({}).path
    assert find_valkey({"PM_REDIS_BIN": str(program)}).path == program
    with pytest.raises(ServerNotStarted, match="PM_PG_BIN is set, but"):
        find_postgres({"PM_PG_BIN": str(tmp_path)})
    with pytest.raises(ServerNotStarted, match="PM_REDIS_BIN is set, but"):
        find_valkey({"PM_REDIS_BIN": str(tmp_path / "absent")})
