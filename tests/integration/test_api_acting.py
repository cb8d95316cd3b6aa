"""What an operator changes over HTTP, and how the service says no."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.states import ControlState
from live.access import Role
from live.app import LARGEST_BODY_BYTES, create_app
from tests.fixtures.alert_payloads import BASE_ENTRY
from tests.fixtures.database import database, entered
from tests.fixtures.rules import BANK, CAPITAL, GOLD, opened
from tests.fixtures.web import OPERATOR_MARK, TOKENS, Web, web_on


@pytest.fixture
def store(database_url: str) -> Iterator[DatabaseStateManager]:
    manager = database(database_url)
    yield manager
    manager.close()


@pytest.fixture
def web(store: DatabaseStateManager) -> Web:
    return web_on(store)


@pytest.mark.parametrize(
    ("asked", "bank", "gold"),
    [
        ({}, "REDUCING", "REDUCING"),
        ({"state": "HALTED"}, "HALTED", "HALTED"),
        ({"scope": "GLOBAL", "state": "HALTED"}, "HALTED", "HALTED"),
        ({"scope": GOLD, "state": "REDUCING"}, "ACTIVE", "REDUCING"),
    ],
)
def test_an_emergency_stop_is_in_force_at_once(
    web: Web, store: DatabaseStateManager, asked: dict[str, str], bank: str, gold: str
) -> None:
    told = web.act("POST", "/emergency/stop", reason="the feed is wrong", **asked)
    assert [(row["instrument"], row["state"]) for row in told["in_force"]] == [
        (BANK, bank),
        (GOLD, gold),
    ]
    assert (store.control_of(BANK), store.control_of(GOLD)) == (bank, gold)
    (control,) = told["controls"]
    assert (control["who"], control["reason"]) == (OPERATOR_MARK, "the feed is wrong")


def test_resuming_everything_leaves_what_was_stopped_by_itself(
    web: Web, store: DatabaseStateManager
) -> None:
    web.act("POST", "/emergency/stop", reason="a gap", scope=GOLD, state="REDUCING")
    web.act("POST", "/emergency/stop", reason="a crash")
    web.act("POST", "/emergency/resume", reason="seen to")
    assert store.control_of(BANK) is ControlState.ACTIVE
    assert store.control_of(GOLD) is ControlState.REDUCING
    web.act("POST", "/emergency/resume", reason="closed", scope=GOLD)
    assert store.control_of(GOLD) is ControlState.ACTIVE


def test_capital_goes_in_and_out_to_the_paisa(web: Web, store: DatabaseStateManager) -> None:
    told = web.act("POST", "/capital/inject", type="DEPOSIT", amount="250000.50", notes="more")
    assert (told["amount"], told["closed_equity"]) == ("250000.50", "5250000.50")
    web.act("POST", "/capital/inject", type="WITHDRAW", amount=0.25, notes="less")
    assert store.money().closed_equity == CAPITAL + Decimal("250000.25")
    newest = web.read("/capital/transactions?limit=2")["items"]
    assert [(row["kind"], row["amount"], row["notes"], row["who"]) for row in newest] == [
        ("WITHDRAW", "-0.25", "less", OPERATOR_MARK),
        ("DEPOSIT", "250000.50", "more", OPERATOR_MARK),
    ]


MOVE = {"type": "DEPOSIT", "amount": "1", "notes": "why"}
CHANGE = {"name": "A", "description": "", "is_active": True, "version": 0}
MISTYPED = CHANGE | {"version": "0", "is_active": "on"}
BAD_BODIES = [
    ("POST", "/capital/inject", MOVE | {"amount": "0"}, {"amount"}),
    ("POST", "/capital/inject", MOVE | {"amount": "-5"}, {"amount"}),
    ("POST", "/capital/inject", MOVE | {"amount": "1.234"}, {"amount"}),
    ("POST", "/capital/inject", MOVE | {"amount": "1e5"}, {"amount"}),
    ("POST", "/capital/inject", MOVE | {"amount": "NaN"}, {"amount"}),
    ("POST", "/capital/inject", MOVE | {"amount": "9" * 16}, {"amount"}),
    ("POST", "/capital/inject", MOVE | {"amount": True, "type": "PNL"}, {"amount", "type"}),
    ("POST", "/capital/inject", MOVE | {"amount": None, "notes": " "}, {"amount", "notes"}),
    ("POST", "/capital/inject", MOVE | {"who": "me"}, {"who"}),
    ("POST", "/capital/inject", {}, {"type", "amount", "notes"}),
    ("POST", "/capital/inject", [MOVE], {"body"}),
    ("POST", "/capital/inject", None, {"type", "amount", "notes"}),
    ("POST", "/emergency/stop", {"reason": ""}, {"reason"}),
    ("POST", "/emergency/stop", {"reason": "a\x00b"}, {"reason"}),
    ("POST", "/emergency/stop", {"reason": "a\ud800"}, {"reason"}),
    ("POST", "/emergency/stop", {"reason": "x", "state": "ACTIVE"}, {"state"}),
    ("POST", "/emergency/stop", {"reason": "x", "scope": "NIFTY"}, {"scope"}),
    ("POST", "/emergency/resume", {}, {"reason"}),
    ("POST", "/emergency/resume", {"reason": "x" * 501}, {"reason"}),
    ("POST", "/holidays/NSE", {"day": "2026-02-30", "description": "x"}, {"day"}),
    ("POST", "/strategies", {"name": 7}, {"name"}),
    ("PUT", "/strategies/1", MISTYPED, {"is_active", "version"}),
    ("DELETE", "/strategies/1", None, {"reason"}),
    ("DELETE", "/holidays/NSE", None, {"day", "reason"}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "fields"), BAD_BODIES)
def test_a_bad_body_is_told_by_field_and_changes_nothing(
    web: Web, store: DatabaseStateManager, method: str, path: str, body: Any, fields: set[str]
) -> None:
    more = {} if method == "DELETE" else {"json": body}
    response = web.call(method, path, **more)
    told = response.get_json()
    assert (response.status_code, told["code"]) == (400, "INVALID_ARGUMENTS")
    assert set(told["errors"]) == fields
    assert store.asked_by_operators(10) == []


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"reason": NaN', b"[" * 30_000, b"9" * 5000])
def test_a_body_that_is_not_json_is_told_so(web: Web, body: bytes) -> None:
    response = web.call("POST", "/emergency/stop", data=body, content_type="application/json")
    assert (response.status_code, set(response.get_json()["errors"])) == (400, {"body"})


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("POST", "/status", {}, 405),
        ("OPTIONS", "/status", {}, 405),
        ("GET", "/capital/inject", {}, 405),
        ("POST", "/emergency/stop", {"data": "reason=x", "content_type": "text/plain"}, 415),
        ("POST", "/emergency/stop", {"data": b" " * (LARGEST_BODY_BYTES + 1)}, 413),
    ],
)
def test_what_cannot_be_asked_is_told_in_the_one_shape(
    web: Web, method: str, path: str, more: dict[str, Any], status: int
) -> None:
    response = web.call(method, path, **{"content_type": "application/json"} | more)
    told = response.get_json()
    assert (response.status_code, told["status"]) == (status, "rejected")
    assert set(told) == {"status", "code", "reason", "request_id"}
    assert ("Allow" in response.headers) == (status == 405)


def test_strategies_are_added_changed_and_removed(web: Web) -> None:
    made = web.act("POST", "/strategies", 201, name="SECOND", description="another")
    assert [row["name"] for row in web.read("/strategies")["items"]] == [
        "TREND_FOLLOWING",
        "SECOND",
    ]
    path = f"/strategies/{made['id']}"
    changed = web.act("PUT", path, **CHANGE)
    assert (changed["name"], changed["version"]) == ("A", 1)
    assert web.call("PUT", path, json=CHANGE).get_json()["code"] == "VERSION_CHANGED"
    taken = CHANGE | {"name": "TREND_FOLLOWING", "version": 1}
    assert web.call("PUT", path, json=taken).get_json()["code"] == "NAME_TAKEN"
    again = {"name": "A", "description": ""}
    assert web.call("POST", "/strategies", json=again).get_json()["code"] == "NAME_TAKEN"
    assert web.call("DELETE", f"{path}?reason=x").status_code == 204
    assert web.call("DELETE", f"{path}?reason=x").status_code == 404
    assert web.call("PUT", path, json=CHANGE).status_code == 404


def test_a_strategy_that_something_belongs_to_stays(
    web: Web, store: DatabaseStateManager, database_url: str
) -> None:
    made = web.act("POST", "/strategies", 201, name="SECOND")
    entered(store, opened())
    with store.transaction() as cursor:
        cursor.execute("UPDATE portfolio_positions SET strategy_id = %s", (made["id"],))
    for number in (1, made["id"]):
        response = web.call("DELETE", f"/strategies/{number}?reason=x")
        assert (response.status_code, response.get_json()["code"]) == (409, "STRATEGY_IN_USE")


def test_an_operators_holiday_is_set_renamed_and_taken_back(web: Web) -> None:
    for name in ("a flood", "a great flood"):
        web.act("POST", "/holidays/NSE", 201, day="2026-02-02", description=name)
    own = [row for row in web.read("/holidays/NSE")["items"] if row["source"] == "operator"]
    assert [(row["day"], row["name"], row["who"]) for row in own] == [
        ("2026-02-02", "a great flood", OPERATOR_MARK)
    ]
    assert web.call("DELETE", "/holidays/NSE?day=2026-02-02&reason=dry").status_code == 204
    assert web.call("DELETE", "/holidays/NSE?day=2026-02-02&reason=dry").status_code == 404
    assert web.call("DELETE", "/holidays/NSE?day=2026-01-26&reason=mine").status_code == 404


LOSE_COMMITS = """
CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON capital_transactions
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lose()"""


def test_money_whose_commit_got_no_answer_is_not_said_to_be_safe_to_send_again(
    web: Web, store: DatabaseStateManager
) -> None:
    with store.transaction() as cursor:
        cursor.execute(LOSE_COMMITS)
    response = web.call("POST", "/capital/inject", json=MOVE)
    assert (response.status_code, response.get_json()["code"]) == (503, "OUTCOME_UNKNOWN")


def test_looking_does_not_wait_for_who_decides(web: Web, store: DatabaseStateManager) -> None:
    entered(store, opened())
    with store.transaction() as cursor:
        cursor.execute("SELECT FROM portfolio_state FOR UPDATE")
        cursor.execute("UPDATE portfolio_positions SET stop = stop + 1")
        cursor.execute("SET LOCAL statement_timeout = '2s'")
        for path in ("/status", "/positions", "/capital/summary", "/db/status"):
            assert web.call("GET", path, Role.VIEWER).status_code == 200


def test_who_looks_takes_no_connection_from_an_alert(
    web: Web, store: DatabaseStateManager, database_url: str
) -> None:
    reads = database(database_url, pool_size=1, capital=None, wait_s=0.05)
    app = create_app(replace(web.parts, reads=reads))
    viewer = {"Authorization": f"Bearer {TOKENS[Role.VIEWER]}"}
    with reads.transaction():
        assert app.test_client().get("/status", headers=viewer).status_code == 503
        path = f"/webhook/{TOKENS[Role.WEBHOOK]}"
        assert app.test_client().post(path, json=BASE_ENTRY).status_code == 202
    assert app.test_client().get("/status", headers=viewer).status_code == 200
    reads.close()
