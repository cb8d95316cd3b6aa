"""Real servers for tests: one PostgreSQL and one Valkey a test process, started by our supervisor.

A test that stops, kills or slows a server starts one of its own.
"""

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import make_dsn
from redis import Redis

from core.migrations import migrate
from live.embedded import EmbeddedServers

_NUMBERS = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """A gateway to hold against the recorded contract, instead of the paper exchange."""
    parser.addoption("--openalgo-url", help="send the recorded sandbox calls to this gateway")
    parser.addoption("--openalgo-key", default="", help="the API key of that gateway")


@contextmanager
def _open_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pm-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any account may enter (pytest's own are closed), with a short path."""
    with _open_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedServers]:
    """A PostgreSQL for the whole session; its `database_url` is an empty database."""
    with _open_folder() as folder, EmbeddedServers(folder, True, with_valkey=False) as servers:
        yield servers


@pytest.fixture(scope="session")
def valkey() -> Iterator[EmbeddedServers]:
    """A Valkey for the whole session."""
    with _open_folder() as folder, EmbeddedServers(folder, True, with_postgres=False) as servers:
        yield servers


@pytest.fixture(scope="session")
def migrated_template(postgres: EmbeddedServers) -> str:
    """The name of a database with all migrations, to make others from."""
    name = "migrated"
    _execute(postgres, "CREATE DATABASE {}", name)
    migrate(make_dsn(postgres.database_url, dbname=name))
    return name


@pytest.fixture
def database_url(postgres: EmbeddedServers, migrated_template: str) -> Iterator[str]:
    """A database of the test's own, with all migrations and nothing else; for psycopg2."""
    name = f"test_{next(_NUMBERS)}"
    _execute(postgres, "CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", name, migrated_template)
    yield make_dsn(postgres.database_url, dbname=name)
    _execute(postgres, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def valkey_url(valkey: EmbeddedServers) -> str:
    """An emptied Valkey; for redis-py."""
    with Redis.from_url(valkey.redis_url) as client:
        client.flushall()
    return valkey.redis_url


def _execute(postgres: EmbeddedServers, statement: str, *names: str) -> None:
    with closing(psycopg2.connect(postgres.database_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
