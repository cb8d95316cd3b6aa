"""The schema grows forward only: numbered SQL files, each applied once, in order, and never edited.

The runner holds one advisory lock, so that any number of instances may start at once, and applies
each file in a transaction of its own together with its row in schema_migrations. It refuses a gap
in the numbers, a file that was changed after it was applied, and a database that knows more
migrations than the files do.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection as Connection

from core.errors import InputInvalid, Retryable

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"

_FILE_NAME = re.compile(r"(?P<version>[0-9]{3})_(?P<name>[a-z0-9_]+)\.sql")

# Only one runner at a time; the number means nothing but this.
LOCK = "SELECT pg_advisory_lock(7203114509)"

# The runner's own table.
CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""

# Whether any runner was ever here.
TABLE_EXISTS = "SELECT to_regclass('schema_migrations') IS NOT NULL"

# What is applied, oldest first.
APPLIED = "SELECT version, name, sha256, applied_at FROM schema_migrations ORDER BY version"

# Written in the transaction of the migration itself.
RECORD = "INSERT INTO schema_migrations (version, name, sha256) VALUES (%s, %s, %s)"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of SQL."""

    version: int
    name: str
    sha256: str
    sql: str


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """A migration, and when it was applied; None while it is not."""

    version: int
    name: str
    applied_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Applied:
    version: int
    name: str
    sha256: str
    applied_at: datetime


def read_migrations(directory: Path = MIGRATIONS) -> tuple[Migration, ...]:
    """All migrations, in order. Raises InputInvalid for a stray name, a gap or a double."""
    found = []
    for path in sorted(directory.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise InputInvalid(path.name, "a migration is named like 001_signals.sql")
        text = path.read_bytes()
        digest = hashlib.sha256(text).hexdigest()
        found.append(Migration(int(match["version"]), match["name"], digest, text.decode()))
    for expected, migration in enumerate(found, start=1):
        if migration.version != expected:
            raise InputInvalid(
                f"{migration.version:03d}_{migration.name}.sql",
                f"migration {expected:03d} is expected here: numbers have no gaps and no doubles",
            )
    return tuple(found)


def migrate(dsn: str, directory: Path = MIGRATIONS) -> list[Migration]:
    """Apply what is missing, and return it.

    Raises InputInvalid where files and database contradict each other, and Retryable while the
    database cannot be reached.
    """
    migrations = read_migrations(directory)
    with _connected(dsn) as connection:
        with connection.cursor() as cursor:
            cursor.execute(LOCK)
            cursor.execute(CREATE_TABLE)
        connection.commit()
        done = len(_check(migrations, _applied(connection)))
        for migration in migrations[done:]:
            with connection.cursor() as cursor:
                cursor.execute(migration.sql)
                cursor.execute(RECORD, (migration.version, migration.name, migration.sha256))
            connection.commit()
    return list(migrations[done:])


def status(dsn: str, directory: Path = MIGRATIONS) -> tuple[MigrationStatus, ...]:
    """Each migration and when it was applied; changes nothing. Raises as `migrate` does."""
    migrations = read_migrations(directory)
    with _connected(dsn) as connection:
        applied = {row.version: row for row in _check(migrations, _applied(connection))}
    return tuple(
        MigrationStatus(
            migration.version,
            migration.name,
            applied[migration.version].applied_at if migration.version in applied else None,
        )
        for migration in migrations
    )


@contextmanager
def _connected(dsn: str) -> Iterator[Connection]:
    try:
        connection = psycopg2.connect(dsn)
    except psycopg2.OperationalError as error:
        raise Retryable(f"the database cannot be reached: {error}".strip()) from error
    try:
        yield connection
    finally:
        connection.close()


def _applied(connection: Connection) -> list[_Applied]:
    with connection.cursor() as cursor:
        cursor.execute(TABLE_EXISTS)
        if cursor.fetchone() != (True,):
            return []
        cursor.execute(APPLIED)
        return [_Applied(*row) for row in cursor.fetchall()]


def _check(migrations: Sequence[Migration], applied: list[_Applied]) -> list[_Applied]:
    for place, row in enumerate(applied):
        told = f"{row.version:03d}_{row.name}.sql"
        if row.version > len(migrations):
            raise InputInvalid(told, "the database has it and this program does not: upgrade it")
        if row.version != place + 1:
            raise InputInvalid(told, f"the database has no migration {place + 1:03d} before it")
        if row.sha256 != migrations[place].sha256:
            raise InputInvalid(
                told, "the file differs from what was applied; restore it and add a new migration"
            )
    return applied
