"""The OpenAPI description holds: whatever is asked within it or against it, answers are as it says.

The same few calls each time, on one database that holds a little of everything.
"""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg2.extensions import make_dsn
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from live.access import Role
from live.api.webhook import SECRET_HEADER
from live.embedded import EmbeddedServers
from tests.fixtures.database import claimed, database, enter, entered, left, reserve, sent_order
from tests.fixtures.rules import GOLD, base_entry, opened, reduced
from tests.fixtures.web import TOKENS, Web, web_on

PROMISES = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
THE_SAME_EACH_TIME = settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def web(postgres: EmbeddedServers, migrated_template: str) -> Iterator[Web]:
    with closing(psycopg2.connect(postgres.database_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE described TEMPLATE {migrated_template}")
    store = database(make_dsn(postgres.database_url, dbname="described"))
    position = entered(store, opened(charges=100))
    left(store, reduced(position, 4, 50_100, charges=50))
    intent = reserve(store, enter(2, 1, GOLD), claimed(store, base_entry()).id).intent
    assert intent is not None
    sent_order(store, intent)
    web = web_on(store)
    web.parts.closing.set()
    yield web
    store.close()


@pytest.fixture(scope="module")
def described(web: Web) -> BaseSchema:
    return schemathesis.openapi.from_wsgi("/openapi.json", web.app)


def asked_well_or_badly(schema: BaseSchema) -> dict[str, st.SearchStrategy[Case[Any]]]:
    """For each operation, calls that its description allows and calls that it does not."""
    found = {}
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        found[operation.label] = st.one_of(
            operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
            operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
        )
    return found


def headers_of(role: Role | None) -> dict[str, str]:
    """An operator has the webhook's secret besides."""
    if role is None:
        return {}
    shown = {"Authorization": f"Bearer {TOKENS[role]}"}
    return shown | ({SECRET_HEADER: TOKENS[Role.WEBHOOK]} if role is Role.OPERATOR else {})


@pytest.mark.parametrize(
    ("role", "examples"),
    [
        (None, 2),
        (Role.VIEWER, 2),
        (Role.OPERATOR, 20),
        pytest.param(Role.OPERATOR, 80, marks=pytest.mark.slow),
    ],
)
def test_every_answer_is_as_described(
    described: BaseSchema, role: Role | None, examples: int
) -> None:
    """Each call fails by itself where an answer is a 5xx or not as described."""
    operations = asked_well_or_badly(described)
    assert {"GET /status", "POST /webhook", "POST /emergency/stop"} <= operations.keys()
    for calls in operations.values():

        @settings(THE_SAME_EACH_TIME, max_examples=examples)
        @given(case=calls)
        def ask(case: Case[Any]) -> None:
            case.call_and_validate(headers=headers_of(role), checks=PROMISES)

        ask()


@pytest.mark.parametrize(
    ("path", "places"),
    [
        ("/positions/{position_id}", {"position_id": "BANK_NIFTY/1/Long_1"}),
        ("/signals/{signal_id}", {"signal_id": 1}),
        ("/strategies/{strategy_id}/pnl", {"strategy_id": 1}),
        ("/strategies/{strategy_id}/trades", {"strategy_id": 1}),
    ],
)
def test_what_is_there_is_shown_as_described(
    described: BaseSchema, path: str, places: dict[str, object]
) -> None:
    case = described[path]["GET"].Case(path_parameters=places)
    answer = case.call_and_validate(headers=headers_of(Role.VIEWER), checks=PROMISES)
    assert answer.status_code == 200
