"""GET /metrics on a real database: who may read it, and what it says of the account."""

import json
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.operation import GLOBAL
from core.db_state_manager.states import ControlState
from live.access import Access, CallerRefused, Role, TokenMissing, hash_token
from live.api.metrics import metrics_blueprint
from live.clock import SystemClock
from tests.fixtures.alert_payloads import EXIT
from tests.fixtures.database import MAKER, database, enter, entered, journal, reserved_intent
from tests.fixtures.rules import BANK, GOLD, base_entry, opened
from tests.fixtures.web import TOKENS, web_on

ACCESS = Access({role: hash_token(f"of the {role}") for role in Role})


@pytest.fixture
def store(database_url: str) -> Iterator[DatabaseStateManager]:
    manager = database(database_url)
    yield manager
    manager.close()


def app_on(store: DatabaseStateManager) -> Flask:
    app = Flask("test")
    app.register_blueprint(metrics_blueprint(store, ACCESS))
    app.register_error_handler(TokenMissing, lambda _error: ("", HTTPStatus.UNAUTHORIZED))
    app.register_error_handler(CallerRefused, lambda _error: ("", HTTPStatus.FORBIDDEN))
    return app


def gauges(store: DatabaseStateManager) -> dict[str, float]:
    client = app_on(store).test_client()
    response = client.get("/metrics", headers={"Authorization": "Bearer of the viewer"})
    assert response.status_code == HTTPStatus.OK
    return figures(response.text)


def figures(text: str) -> dict[str, float]:
    return {
        " ".join([sample.name, *(word for _, word in sorted(sample.labels.items()))]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, HTTPStatus.UNAUTHORIZED),
        ("Basic dmlld2VyOnZpZXdlcg==", HTTPStatus.UNAUTHORIZED),
        ("Bearer wrong", HTTPStatus.FORBIDDEN),
        ("Bearer of the webhook", HTTPStatus.FORBIDDEN),
        ("Bearer of the operator", HTTPStatus.OK),
    ],
)
def test_only_viewers_read_figures_even_on_this_machine(
    store: DatabaseStateManager, header: str | None, status: HTTPStatus
) -> None:
    headers = {} if header is None else {"Authorization": header}
    assert app_on(store).test_client().get("/metrics", headers=headers).status_code == status


def test_the_account_is_told_as_the_database_has_it(store: DatabaseStateManager) -> None:
    entered(store, opened(lots=4))
    reserved_intent(store, enter(instrument=GOLD))
    journal(store, base_entry())
    store.set_control(ControlState.REDUCING, "a test", "operator")
    store.set_control(ControlState.HALTED, "a test", "operator", GOLD)
    store.lock_instrument(BANK, "BREAK", "a test", "operator")
    found = gauges(store)
    expected = {
        "pm_database_up": 1,
        f"pm_layers_open {BANK}": 1,
        f"pm_lots_open {BANK}": 4,
        "pm_intents_active reserved": 1,
        "pm_intents_active unknown": 0,
        "pm_signals_waiting": 1,
        f"pm_trading_control {GLOBAL}": 1,
        f"pm_trading_control {GOLD}": 2,
        f"pm_locks BREAK {BANK}": 1,
    }
    assert expected.items() <= found.items()
    assert found["pm_equity_closed_inr"] == float(store.money().closed_equity)


@pytest.mark.parametrize("in_path", [False, True])
@pytest.mark.parametrize(
    ("role", "body", "labels"),
    [
        (Role.WEBHOOK, json.dumps(EXIT), "accepted EXIT"),
        (Role.WEBHOOK, json.dumps(EXIT | {"type": "exit"}), "accepted EXIT"),
        (Role.WEBHOOK, json.dumps(EXIT | {"price": -1}), "rejected EXIT"),
        (Role.WEBHOOK, "[" * 60_000, "rejected UNREADABLE"),
        (Role.WEBHOOK, '{"type": ["EXIT"]}', "rejected UNREADABLE"),
        (Role.VIEWER, json.dumps(EXIT), "rejected UNREADABLE"),
    ],
)
def test_answers_to_alerts_are_counted_and_timed(
    store: DatabaseStateManager, role: Role, body: str, labels: str, in_path: bool
) -> None:
    client = web_on(store).client()

    def counted(name: str) -> float:
        headers = {"Authorization": f"Bearer {TOKENS[Role.VIEWER]}"}
        text = client.get("/metrics", headers=headers).text
        return figures(text).get(name, 0.0)

    names = (f"pm_alerts_total {labels}", "pm_webhook_seconds_count")
    before = [counted(name) for name in names]
    path = f"/webhook/{TOKENS[role]}" if in_path else "/webhook"
    client.post(path, data=body, headers={} if in_path else {"X-Webhook-Token": TOKENS[role]})
    assert [counted(name) for name in names] == [number + 1 for number in before]


def test_a_database_that_is_away_is_a_figure_and_no_error() -> None:
    away = DatabaseStateManager("host=/nonexistent dbname=none", 2, SystemClock(), MAKER.stops)
    found = gauges(away)
    assert found["pm_database_up"] == 0
    assert "pm_equity_closed_inr" not in found
