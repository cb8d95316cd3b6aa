"""Who may do what over HTTP: by token, by session, and not too often."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from core.contracts import Contracts
from core.db_state_manager import DatabaseStateManager
from core.instruments import InstrumentCatalog
from live.access import Access, Role, hash_token
from live.api.guard import COOKIE, CSRF_HEADER
from live.app import create_app
from live.close_all import CloseAll
from live.close_all_report import Standings
from live.reconciliation import Reconciler
from live.rollover_executor import RolloverExecutor
from live.rollover_scanner import RolloverScanner
from live.sessions import Sessions
from tests.fixtures.database import database
from tests.fixtures.hand_clock import HandClock
from tests.fixtures.rules import BANK, MORNING
from tests.fixtures.still_broker import StillBroker
from tests.fixtures.web import ACCESS, OPERATOR_MARK, TOKENS, Web, web_on

OPEN = {
    ("GET", "/docs"),
    ("GET", "/health"),
    ("GET", "/openapi.json"),
    ("GET", "/ready"),
    ("POST", "/session"),
    ("POST", "/webhook"),
    ("POST", "/webhook/<secret>"),
}
FOR_VIEWERS = {
    ("GET", "/emergency/close-all"),
    ("DELETE", "/session"),
    ("GET", "/capital/summary"),
    ("GET", "/capital/transactions"),
    ("GET", "/config"),
    ("GET", "/db/status"),
    ("GET", "/eod/status"),
    ("GET", "/equity"),
    ("GET", "/events"),
    ("GET", "/holidays/<exchange>"),
    ("GET", "/instances"),
    ("GET", "/metrics"),
    ("GET", "/orders"),
    ("GET", "/positions"),
    ("GET", "/positions/<position_id>"),
    ("GET", "/rollover/scan"),
    ("GET", "/rollover/status"),
    ("GET", "/session"),
    ("GET", "/signals"),
    ("GET", "/signals/<signal_id>"),
    ("GET", "/status"),
    ("GET", "/strategies"),
    ("GET", "/strategies/<strategy_id>/pnl"),
    ("GET", "/strategies/<strategy_id>/trades"),
    ("GET", "/trades"),
    ("GET", "/webhook/stats"),
}
FOR_OPERATORS = {
    ("DELETE", "/holidays/<exchange>"),
    ("DELETE", "/strategies/<strategy_id>"),
    ("POST", "/capital/inject"),
    ("POST", "/emergency/close-all"),
    ("POST", "/emergency/resume"),
    ("POST", "/emergency/stop"),
    ("POST", "/emergency/unlock"),
    ("POST", "/holidays/<exchange>"),
    ("POST", "/rollover/execute"),
    ("POST", "/strategies"),
    ("PUT", "/strategies/<strategy_id>"),
}
PLACES = {
    "<exchange>": "NSE",
    "<position_id>": "BANK_NIFTY/1/Long_1",
    "<secret>": "x",
    "<signal_id>": "1",
    "<strategy_id>": "1",
}
SWITCH = {"reason": "a test", "state": "REDUCING"}


@pytest.fixture
def store(database_url: str) -> Iterator[DatabaseStateManager]:
    manager = database(database_url)
    yield manager
    manager.close()


@pytest.fixture
def web(store: DatabaseStateManager) -> Web:
    """With a close-all and a rollover that find nothing held, on either side."""
    nobody: Any = None
    web = web_on(store)
    catalog = InstrumentCatalog.shipped()
    looks = Reconciler(store, StillBroker(), "paper", catalog, web.clock)
    standings = Standings(store, looks, web.clock)
    closer = CloseAll(store, standings, nobody, nobody, nobody, web.clock, nobody, 1.0)
    web.parts.closing.set()
    rules = web.parts.config.rollover
    contracts = Contracts(web.parts.calendar, catalog)
    clock = web.clock
    scanner = RolloverScanner(store, contracts, web.parts.calendar, catalog, rules, clock)
    rollover = RolloverExecutor(store, scanner, nobody, nobody, nobody, rules, clock)
    parts = replace(web.parts, close_all=closer, rollover=rollover)
    return Web(parts, create_app(parts), web.clock)


def rules(web: Web) -> set[tuple[str, str]]:
    """Every method and path of the application, without the converters' options."""
    return {
        (method, re.sub(r"<[^>]*:(\w+)>", r"<\1>", rule.rule))
        for rule in web.app.url_map.iter_rules()
        for method in rule.methods or ()
        if method != "HEAD"
    }


def path_of(rule: str) -> str:
    for place, value in PLACES.items():
        rule = rule.replace(place, value)
    return rule


def test_every_endpoint_is_in_one_of_the_three_lists(web: Web) -> None:
    assert rules(web) == OPEN | FOR_VIEWERS | FOR_OPERATORS


@pytest.mark.slow
@pytest.mark.parametrize(("method", "rule"), sorted(FOR_VIEWERS | FOR_OPERATORS))
def test_only_those_who_may_get_past_the_door(web: Web, method: str, rule: str) -> None:
    """Nothing is sent along, so who gets past is told what is missing, or what there is."""
    allowed = {Role.OPERATOR} if (method, rule) in FOR_OPERATORS else {Role.VIEWER, Role.OPERATOR}
    for role in Role:
        status = web.call(method, path_of(rule), role).status_code
        assert (status != 403) == (role in allowed), (role, status)
    assert web.call(method, path_of(rule), None).status_code == 401


def test_no_answer_is_kept_on_the_way(web: Web) -> None:
    headers = web.call("GET", "/status").headers
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


def test_without_a_token_nothing_is_read_of_the_arguments(web: Web) -> None:
    response = web.call("POST", "/emergency/stop", None, json={"reason": 7})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert "errors" not in response.get_json()


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", "Token x"])
def test_what_is_no_bearer_token_is_none(web: Web, header: str) -> None:
    response = web.call("GET", "/status", None, headers={"Authorization": header})
    assert (response.status_code, response.get_json()["code"]) == (401, "TOKEN_MISSING")


@pytest.mark.parametrize("wrong", ["x", "é", TOKENS[Role.VIEWER][:-1], TOKENS[Role.WEBHOOK]])
def test_a_wrong_token_is_refused_and_not_repeated(web: Web, wrong: str) -> None:
    header = f"Bearer {wrong}".encode().decode("latin-1")
    response = web.call("GET", "/status", None, headers={"Authorization": header})
    assert (response.status_code, response.get_json()["code"]) == (403, "CALLER_REFUSED")
    assert len(wrong) < 5 or wrong not in response.get_data(as_text=True)


def test_a_session_shows_a_cookie_instead_of_a_token(web: Web) -> None:
    browser = web.client()
    response = browser.post("/session", json={"token": TOKENS[Role.OPERATOR]})
    assert response.status_code == 200
    cookie = response.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert TOKENS[Role.OPERATOR] not in cookie + response.get_data(as_text=True)
    shown = browser.get("/session").get_json()
    assert shown == response.get_json()
    assert shown["role"] == "operator"
    assert browser.get("/status").status_code == 200
    assert browser.delete("/session", headers={CSRF_HEADER: shown["csrf_token"]}).status_code == 204
    assert browser.get("/status").status_code == 401


@pytest.mark.parametrize("proxies", [0, 1])
def test_behind_tls_the_cookie_travels_by_tls_only(
    store: DatabaseStateManager, proxies: int
) -> None:
    """Whether TLS ends at the service, or at a proxy of ours that says so."""
    client = web_on(store, trusted_proxies=proxies).client()
    where: Any = {"base_url": "https://localhost"}
    if proxies:
        where = {"headers": {"X-Forwarded-Proto": "https"}}
    response = client.post("/session", json={"token": TOKENS[Role.VIEWER]}, **where)
    assert "Secure" in response.headers["Set-Cookie"].split("; ")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_a_session_may_do_what_its_token_may(web: Web, role: Role) -> None:
    browser = web.client()
    token = browser.post("/session", json={"token": TOKENS[role]}).get_json()["csrf_token"]
    headers = {CSRF_HEADER: token}
    response = browser.post("/emergency/stop", json=SWITCH, headers=headers)
    assert response.status_code == (200 if role is Role.OPERATOR else 403)
    assert role is Role.OPERATOR or "takes an operator" in response.get_json()["reason"]


@pytest.mark.parametrize("shown", [None, "", "x", "é", "of another session"])
def test_a_cookie_alone_changes_nothing(web: Web, shown: str | None) -> None:
    """What a page of somebody else's can make a browser send."""
    operator = {"token": TOKENS[Role.OPERATOR]}
    other = web.client().post("/session", json=operator).get_json()["csrf_token"]
    browser = web.client()
    browser.post("/session", json=operator)
    told = other if shown == "of another session" else shown
    headers = {} if told is None else {CSRF_HEADER: told.encode().decode("latin-1")}
    response = browser.post("/emergency/stop", json=SWITCH, headers=headers)
    assert (response.status_code, response.get_json()["code"]) == (403, "CALLER_REFUSED")
    assert CSRF_HEADER in response.get_json()["reason"]
    assert web.parts.store.controls() == []


def test_a_session_is_over_in_time(web: Web) -> None:
    browser = web.client()
    browser.post("/session", json={"token": TOKENS[Role.VIEWER]})
    web.clock.wait(web.parts.settings.session_s - 1)
    assert browser.get("/status").status_code == 200
    web.clock.wait(1)
    assert browser.get("/status").status_code == 401


def test_all_processes_know_a_session_and_new_tokens_end_it() -> None:
    clock = HandClock()
    cookie = Sessions(ACCESS, clock, 60.0).cookie_for(ACCESS.identify(TOKENS[Role.VIEWER]))
    found = Sessions(ACCESS, clock, 60.0).read(cookie)
    assert found is not None
    assert found.caller.role is Role.VIEWER
    hashes = {role: hash_token(token) for role, token in TOKENS.items()}
    changed = Access({**hashes, Role.OPERATOR: hash_token("another")})
    assert Sessions(changed, clock, 60.0).read(cookie) is None


@pytest.mark.parametrize(
    "change", [lambda text: text[:-1], lambda text: "x" + text, lambda text: text.swapcase()]
)
def test_a_cookie_that_was_written_by_hand_is_none(web: Web, change: Callable[[str], str]) -> None:
    browser = web.client()
    browser.post("/session", json={"token": TOKENS[Role.VIEWER]})
    kept = browser.get_cookie(COOKIE)
    assert kept is not None
    browser.set_cookie(COOKIE, change(kept.value))
    assert browser.get("/status").status_code == 401


@pytest.mark.parametrize("token", [TOKENS[Role.WEBHOOK], "x"])
def test_the_webhooks_secret_begins_no_session(web: Web, token: str) -> None:
    response = web.client().post("/session", json={"token": token})
    assert response.status_code == 403
    assert "Set-Cookie" not in response.headers


def test_a_caller_who_asks_too_often_waits_and_nobody_else(store: DatabaseStateManager) -> None:
    web = web_on(store, calls_per_s=3)
    statuses = [web.call("GET", "/session", Role.VIEWER).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    refused = web.call("GET", "/session", Role.VIEWER)
    assert (refused.headers["Retry-After"], refused.get_json()["code"]) == ("1", "TOO_MANY_CALLS")
    assert web.call("GET", "/session", Role.OPERATOR).status_code == 200
    web.clock.wait(1.0)
    assert web.call("GET", "/session", Role.VIEWER).status_code == 200


def test_the_emergency_switch_and_alerts_are_never_counted(store: DatabaseStateManager) -> None:
    web = web_on(store, calls_per_s=1)
    for _ in range(3):
        assert web.call("POST", "/emergency/stop", json=SWITCH).status_code == 200
        alert = web.client().post(f"/webhook/{TOKENS[Role.WEBHOOK]}", data="{}")
        assert alert.status_code == 400
    assert [web.call("GET", "/session").status_code for _ in range(2)] == [200, 429]


def test_what_changes_something_is_in_the_audit_with_who_and_why(web: Web) -> None:
    web.act("POST", "/emergency/stop", reason="the market is closed")
    web.act("POST", "/emergency/resume", reason="it is open again")
    web.parts.store.lock_instrument(BANK, "BOOKS_DISAGREE", "a test", "recovery")
    lock = {"instrument": BANK, "code": "BOOKS_DISAGREE"}
    assert web.act("POST", "/emergency/unlock", reason="seen to", **lock) == {"locks": []}
    report = web.act("POST", "/emergency/close-all", reason="a rehearsal")
    assert report == {"dry_run": True, "is_flat": True, "instruments": []}
    web.act("POST", "/capital/inject", type="DEPOSIT", amount="1000", notes="more to trade with")
    assert web.act("POST", "/rollover/execute", reason="to look")["instruments"] == []
    made = web.act("POST", "/strategies", 201, name="SECOND", description="another")
    changed = made | {"description": "another one"}
    wanted = {name: changed[name] for name in ("name", "description", "is_active", "version")}
    path = f"/strategies/{made['id']}"
    web.act("PUT", path, **wanted)
    assert web.call("DELETE", f"{path}?reason=unused").status_code == 204
    web.act("POST", "/holidays/NSE", 201, day="2026-02-02", description="elections")
    gone = "/holidays/NSE?day=2026-02-02&reason=a%20mistake"
    assert web.call("DELETE", gone).status_code == 204
    rows = web.parts.store.asked_by_operators(100)
    assert {row.who for row in rows} == {OPERATOR_MARK}
    assert {row.at for row in rows} == {MORNING}
    assert [(row.action, row.reason) for row in reversed(rows)] == [
        ("emergency.stop", "the market is closed"),
        ("emergency.resume", "it is open again"),
        ("emergency.unlock", "seen to"),
        ("close_all.close_all", "a rehearsal"),
        ("capital.inject", "more to trade with"),
        ("rollover.execute", "to look"),
        ("strategies.add", "another"),
        ("strategies.change", "another one"),
        ("strategies.remove", "unused"),
        ("holidays.close", "elections"),
        ("holidays.reopen", "a mistake"),
    ]
    assert rows[-5].detail == {"type": "DEPOSIT", "amount": "1000"}


def test_every_acting_endpoint_is_in_the_audits_test(web: Web) -> None:
    """One more endpoint for operators needs a line there too."""
    assert len(FOR_OPERATORS) == 11


def test_what_is_asked_is_kept_even_where_it_is_refused(web: Web) -> None:
    body = {"type": "WITHDRAW", "amount": "999999999", "notes": "all of it"}
    response = web.call("POST", "/capital/inject", json=body)
    assert (response.status_code, response.get_json()["code"]) == (409, "NOT_ENOUGH_CAPITAL")
    (row,) = web.parts.store.asked_by_operators(10)
    assert (row.reason, row.request_id) == ("all of it", response.get_json()["request_id"])
