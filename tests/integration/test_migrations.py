"""The schema is what the migrations say, the documents say, and the enums say."""

import itertools
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from core.db_state_manager import states
from core.errors import InputInvalid, Retryable
from core.migrations import MIGRATIONS, migrate, status
from core.models import Limiter, SignalType
from live.embedded import EmbeddedServers

ROOT = Path(__file__).resolve().parents[2]
_NUMBERS = itertools.count(1)

COLUMNS = """
SELECT table_name, column_name, data_type, numeric_precision, numeric_scale, is_nullable,
       column_default, generation_expression
FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, ordinal_position"""
CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"""
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
TRIGGERS = "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"

ENUMS = {
    "signal_log_type_check": SignalType,
    "signal_log_status_check": states.SignalStatus,
    "signal_audit_kind_check": states.AuditKind,
    "order_intents_source_check": states.IntentSource,
    "order_intents_action_check": states.IntentAction,
    "order_intents_state_check": states.IntentState,
    "order_legs_purpose_check": states.LegPurpose,
    "order_legs_side_check": states.Side,
    "order_legs_state_check": states.LegState,
    "broker_orders_price_type_check": states.PriceType,
    "broker_orders_state_check": states.OrderState,
    "portfolio_positions_state_check": states.PositionState,
    "portfolio_positions_limiter_check": Limiter,
    "trades_limiter_check": Limiter,
    "capital_transactions_kind_check": states.LedgerKind,
    "trading_controls_state_check": states.ControlState,
    "watch_alarms_code_check": states.WatchAlarm,
    "eod_runs_phase_check": states.EodPhase,
}


def ask(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def execute(dsn: str, statement: str) -> None:
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


def schema(dsn: str) -> list[list[tuple[Any, ...]]]:
    return [ask(dsn, query) for query in (COLUMNS, CONSTRAINTS, INDEXES, TRIGGERS)]


@pytest.fixture
def empty_url(postgres: EmbeddedServers) -> Iterator[str]:
    """A database with nothing in it."""
    name = f"empty_{next(_NUMBERS)}"
    execute(postgres.database_url, f"CREATE DATABASE {name} TEMPLATE template0")
    yield make_dsn(postgres.database_url, dbname=name)
    execute(postgres.database_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A copy of the migrations, to spoil."""
    return Path(shutil.copytree(MIGRATIONS, tmp_path / "migrations"))


def test_a_second_run_applies_nothing(empty_url: str) -> None:
    applied = [migration.version for migration in migrate(empty_url)]
    assert applied == list(range(1, len(list(MIGRATIONS.glob("*.sql"))) + 1))
    assert migrate(empty_url) == []
    assert all(row.applied_at for row in status(empty_url))


def test_migrating_file_by_file_gives_the_schema_of_a_fresh_database(
    empty_url: str, database_url: str, files: Path
) -> None:
    held = sorted(files.glob("*.sql"))
    for path in held:
        path.rename(path.with_suffix(".later"))
    for path in held:
        path.with_suffix(".later").rename(path)
        assert [found.sql for found in migrate(empty_url, files)] == [path.read_text()]
    assert schema(empty_url) == schema(database_url)


def test_status_changes_nothing(empty_url: str) -> None:
    assert {row.applied_at for row in status(empty_url)} == {None}
    assert ask(empty_url, COLUMNS) == []


@pytest.mark.parametrize("constraint", ENUMS)
def test_enum_and_check_name_the_same_states(database_url: str, constraint: str) -> None:
    """Incident 36: a CHECK lacked `closing`, and stop exits failed for days."""
    query = f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = '{constraint}'"  # noqa: S608
    ((definition,),) = ask(database_url, query)
    assert sorted(re.findall(r"'(\w+)'::text", definition)) == sorted(ENUMS[constraint])


def test_every_checked_text_has_its_enum(database_url: str) -> None:
    listing = {name for _, name, told in ask(database_url, CONSTRAINTS) if "ANY (ARRAY[" in told}
    assert listing == set(ENUMS)


def test_the_queries_name_the_active_states_that_the_enum_does(database_url: str) -> None:
    found = dict(ask(database_url, INDEXES))
    told = set(re.findall(r"'(\w+)'::text", found["order_intents_one_active"]))
    assert told == set(states.ACTIVE_INTENTS)
    ended = set(re.findall(r"'(\w+)'::text", found["broker_orders_unfinished"]))
    assert ended == set(states.FINISHED_ORDERS)


def test_an_edited_file_is_refused(empty_url: str, files: Path) -> None:
    migrate(empty_url, files)
    with (files / "001_signals.sql").open("a") as file:
        file.write("-- one more word\n")
    before = schema(empty_url)
    with pytest.raises(InputInvalid, match=r"001_signals\.sql: the file differs"):
        migrate(empty_url, files)
    assert schema(empty_url) == before


def test_a_gap_is_refused(empty_url: str, files: Path) -> None:
    (files / "002_orders.sql").unlink()
    with pytest.raises(InputInvalid, match="migration 002 is expected here"):
        migrate(empty_url, files)
    assert ask(empty_url, COLUMNS) == []


def test_a_stray_name_is_refused(empty_url: str, files: Path) -> None:
    (files / "1_quick_fix.sql").write_text("SELECT 1")
    with pytest.raises(InputInvalid, match=r"1_quick_fix\.sql: a migration is named like"):
        migrate(empty_url, files)


def test_a_gap_in_the_database_is_refused(empty_url: str) -> None:
    migrate(empty_url)
    execute(empty_url, "DELETE FROM schema_migrations WHERE version = 2")
    with pytest.raises(InputInvalid, match="no migration 002 before it"):
        migrate(empty_url)


def test_a_newer_database_is_refused(empty_url: str, files: Path) -> None:
    (files / "099_future.sql").unlink(missing_ok=True)
    count = len(list(files.glob("*.sql")))
    newer = files / f"{count + 1:03d}_newer.sql"
    newer.write_text("CREATE TABLE newer (id integer)")
    migrate(empty_url, files)
    newer.unlink()
    with pytest.raises(InputInvalid, match=r"newer\.sql: the database has it"):
        migrate(empty_url, files)


def test_a_failing_migration_leaves_nothing_of_itself(empty_url: str, files: Path) -> None:
    count = len(list(files.glob("*.sql")))
    (files / f"{count + 1:03d}_broken.sql").write_text(
        "CREATE TABLE half_made (id integer); SELECT 1 / 0"
    )
    with pytest.raises(psycopg2.errors.DivisionByZero):
        migrate(empty_url, files)
    assert len([row for row in status(empty_url, files) if row.applied_at]) == count
    assert ask(empty_url, "SELECT to_regclass('half_made')") == [(None,)]


def test_four_runners_at_once_apply_each_migration_once(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        applied = list(threads.map(lambda _: migrate(empty_url), range(4)))
    assert sorted(map(len, applied)) == [0, 0, 0, len(list(MIGRATIONS.glob("*.sql")))]


def test_a_database_that_is_not_there_can_be_tried_again(empty_url: str) -> None:
    with pytest.raises(Retryable, match="cannot be reached"):
        migrate(make_dsn(empty_url, dbname="nowhere"))


def test_the_document_names_every_column(database_url: str) -> None:
    told = dict(
        re.findall(r"^\| `(\w+)` \| (.+?) \|", (ROOT / "docs/schema.md").read_text(), re.MULTILINE)
    )
    found: dict[str, list[str]] = {}
    for table, column, *_ in ask(database_url, COLUMNS):
        found.setdefault(table, []).append(column)
    assert told == {table: ", ".join(columns) for table, columns in found.items()}


def test_what_is_generated_is_stored(database_url: str) -> None:
    """In PostgreSQL 18 the default is VIRTUAL, which 15 does not know."""
    generated = ask(database_url, "SELECT attgenerated FROM pg_attribute WHERE attgenerated <> ''")
    assert set(generated) == {("s",)}


@pytest.mark.parametrize("table", ["capital_transactions", "signal_audit", "trading_controls"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET at = now()", "DELETE FROM {}", "TRUNCATE {}"])
def test_history_cannot_be_changed(database_url: str, table: str, statement: str) -> None:
    """Incident 38: the next trade's row overwrote the last one's."""
    with pytest.raises(psycopg2.errors.RestrictViolation, match="is append-only"):
        execute(database_url, statement.format(table))
