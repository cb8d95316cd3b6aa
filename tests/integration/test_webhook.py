"""Alerts over HTTP on a real database: stored before they are answered, and only once.

No worker handles them unless a test says so.
"""

import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import psycopg2
import pytest
from flask.testing import FlaskClient
from psycopg2.extensions import make_dsn
from redis import Redis
from werkzeug.test import TestResponse

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.records import Journalled, Outcome
from core.db_state_manager.states import SignalStatus
from core.errors import ConfigInvalid, Retryable
from core.ist import IST
from core.market_calendar import MarketCalendar
from core.models import Limiter
from core.webhook_parser import parse_alert
from live.access import Access, Role, hash_token
from live.api.webhook import SECRET_HEADER, Waiter, polling
from live.app import LARGEST_BODY_BYTES, create_app, read_networks
from live.clock import SystemClock
from live.duplicates import REMEMBERED, REST_S, DuplicateDetector, connect_redis
from live.embedded import EmbeddedServers
from live.web_parts import WebParts, WebSettings
from tests.fixtures.alert_payloads import (
    BASE_ENTRY,
    EOD_MONITOR,
    EXIT,
    MARKET_DATA,
    PYRAMID,
    flat,
    nested,
    without,
)
from tests.fixtures.database import LEASE_S, MAKER, database
from tests.fixtures.hand_clock import HandClock

SECRET = "kJ8vQz2LmN4rTx6WbY1cDf3GhP5sAe7U"  # noqa: S105 - of this test only
VIEWER = "Zp3Xq9Wn7Rt5Lk1Jh8Gf6Ds4Aq2Mb0Vc"
ACCESS = Access({Role.WEBHOOK: hash_token(SECRET), Role.VIEWER: hash_token(VIEWER)})
INSTRUMENTS = frozenset({"BANK_NIFTY", "GOLD_MINI"})
AT_ONCE = WebSettings(outcome_wait_s=0.0)
NO_SOCKET = "unix:///nonexistent/valkey.sock"
FLAT = (BASE_ENTRY, PYRAMID, EXIT, flat(EOD_MONITOR), MARKET_DATA)
NESTED = tuple(nested(payload) for payload in (BASE_ENTRY, PYRAMID, EXIT, EOD_MONITOR, MARKET_DATA))
BOUGHT = Outcome("ENTERED", "5 lots bought", 5, Limiter.RISK)


@dataclass(frozen=True)
class Door:
    """An application on a database, and the ways to knock."""

    store: DatabaseStateManager
    client: FlaskClient

    def send(self, payload: object, secret: str | None = SECRET) -> TestResponse:
        """The payload as JSON, the secret in the header."""
        return self.send_body(json.dumps(payload).encode(), secret)

    def send_body(self, body: bytes, secret: str | None = SECRET, **more: Any) -> TestResponse:
        """These bytes as they are."""
        headers = {} if secret is None else {SECRET_HEADER: secret}
        return self.client.post("/webhook", data=body, headers=headers, **more)

    def stored(self) -> int:
        """How many signals there are."""
        return len(self.store.signals(1000))

    def finish(self, status: SignalStatus, outcome: Outcome = BOUGHT) -> None:
        """A worker that takes the next alert and ends it so."""
        (work,) = self.store.claim_signals("worker", 1, LEASE_S)
        assert self.store.finish_signal(work.id, "worker", status, outcome)


def door_on(
    store: DatabaseStateManager,
    settings: WebSettings = AT_ONCE,
    redis: Redis | None = None,
    waiter: Waiter | None = None,
) -> Door:
    return Door(store, create_app(parts_on(store, settings, redis, waiter)).test_client())


def parts_on(
    store: DatabaseStateManager,
    settings: WebSettings,
    redis: Redis | None = None,
    waiter: Waiter | None = None,
) -> WebParts:
    calendar = MarketCalendar.shipped()
    return WebParts(
        store, store, ACCESS, MAKER.config, calendar, SystemClock(), settings, redis, waiter
    )


@pytest.fixture
def store(database_url: str) -> Iterator[DatabaseStateManager]:
    manager = database(database_url, pool_size=8)
    yield manager
    manager.close()


@pytest.fixture
def door(store: DatabaseStateManager) -> Door:
    return door_on(store)


@pytest.fixture(scope="module")
def shut_door(postgres: EmbeddedServers, migrated_template: str) -> Iterator[Door]:
    """A door for what must not come in: one database for all of it, which stays empty."""
    with closing(psycopg2.connect(postgres.database_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE shut_door TEMPLATE {migrated_template}")
    manager = database(make_dsn(postgres.database_url, dbname="shut_door"))
    yield door_on(manager)
    manager.close()


@pytest.fixture
def unreachable() -> DatabaseStateManager:
    return DatabaseStateManager("host=/nonexistent dbname=none", 2, SystemClock(), MAKER.stops)


def execute(dsn: str, statement: str) -> None:
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        connection.commit()


def said(response: TestResponse) -> dict[str, Any]:
    found = response.get_json()
    assert isinstance(found, dict)
    return found


def kind(payload: dict[str, Any]) -> str:
    return str(payload["type"])


@pytest.mark.parametrize("payload", [*FLAT, *NESTED], ids=kind)
def test_every_alert_is_stored_before_it_is_answered(door: Door, payload: dict[str, Any]) -> None:
    response = door.send(payload)
    answer = said(response)
    assert (response.status_code, answer["status"]) == (202, "accepted")
    journey = door.store.journey(answer["signal_id"])
    assert journey is not None
    assert journey.signal.type == payload["type"]
    assert journey.raw_body == json.dumps(payload).encode()
    assert response.headers["X-Request-Id"] == answer["request_id"]
    (work,) = door.store.claim_signals("worker", 1, LEASE_S)
    assert work.alert == parse_alert(payload, INSTRUMENTS)


def test_flat_and_nested_are_the_same_alert(door: Door) -> None:
    answers = [said(door.send(payload)) for payload in (*FLAT, *NESTED)]
    assert [answer["status"] for answer in answers] == ["accepted"] * 5 + ["duplicate"] * 5
    assert door.stored() == 5


ENTRY_TEXT = json.dumps(BASE_ENTRY)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (ENTRY_TEXT.replace("2.5", "NaN"), {"roc"}),
        (ENTRY_TEXT.replace("0.82", "Infinity"), {"er"}),
        (ENTRY_TEXT.replace("350", "-Infinity"), {"atr"}),
        (ENTRY_TEXT.replace("350", "1e999999999999999999999"), {"atr"}),
        (ENTRY_TEXT.replace("350", "9" * 5000), {"atr"}),
        (f"[{ENTRY_TEXT}]", {"body"}),
        ("null", {"body"}),
        ("7", {"body"}),
        ("", {"body"}),
        ("{", {"body"}),
        (b"\xff\xfe{}", {"body"}),
        (ENTRY_TEXT.replace("_", "\udc80").encode("utf-8", "surrogatepass"), {"body"}),
        (json.dumps(BASE_ENTRY | {"note": "\x00"}), {"note"}),
        ("[" * 30_000, {"body"}),
        ('{"a":' * 12_000, {"body"}),
        (json.dumps(BASE_ENTRY | {"type": None}), {"type"}),
        (json.dumps(BASE_ENTRY | {"type": 7}), {"type"}),
        (json.dumps(BASE_ENTRY | {"type": ["EXIT"]}), {"type"}),
        (json.dumps(BASE_ENTRY | {"type": "SELL"}), {"type"}),
        (json.dumps(BASE_ENTRY | {"instrument": 7}), {"instrument"}),
        (json.dumps(BASE_ENTRY | {"instrument": "NIFTY"}), {"instrument"}),
        (json.dumps(BASE_ENTRY | {"price": "52000", "stop": True}), {"price", "stop"}),
        (json.dumps(BASE_ENTRY | {"position": "ALL"}), {"position"}),
        (json.dumps(BASE_ENTRY | {"indicators": 5}), {"indicators"}),
        (json.dumps(without(EXIT, "reason")), {"reason"}),
        (ENTRY_TEXT[:-1] + ', "price": 1}', {"price"}),
    ],
)  # fmt: skip
def test_a_bad_alert_is_told_its_fields_and_is_not_stored(
    shut_door: Door, body: str | bytes, fields: set[str]
) -> None:
    """Incidents 7 and 8: a bare NaN in the JSON; a list, a null type, a number as instrument."""
    response = shut_door.send_body(body if isinstance(body, bytes) else body.encode())
    answer = said(response)
    assert (response.status_code, answer["status"]) == (400, "rejected")
    assert answer["code"] == "INVALID_PAYLOAD"
    assert set(answer["errors"]) == fields
    assert all(answer["errors"].values())
    assert shut_door.stored() == 0


def test_a_hand_made_pyramid_is_told_all_that_is_missing(shut_door: Door) -> None:
    """Incident 12: a hand-made PYRAMID came without timestamp and supertrend."""
    response = shut_door.send(without(PYRAMID, "timestamp", "supertrend"))
    assert response.status_code == 400
    assert set(said(response)["errors"]) == {"timestamp", "supertrend"}


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain; charset=utf-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-7",
    ],
)
def test_the_content_type_is_not_trusted(door: Door, content_type: str | None) -> None:
    response = door.send_body(ENTRY_TEXT.encode(), content_type=content_type)
    assert response.status_code == 202


@pytest.mark.parametrize("size", [LARGEST_BODY_BYTES + 1, 1024 * 1024])
def test_a_body_that_is_too_large_is_refused(shut_door: Door, size: int) -> None:
    response = shut_door.send_body(ENTRY_TEXT.encode().ljust(size))
    assert (response.status_code, said(response)["status"]) == (413, "rejected")
    assert shut_door.stored() == 0


def test_a_body_of_the_largest_size_is_read(door: Door) -> None:
    assert door.send_body(ENTRY_TEXT.encode().ljust(LARGEST_BODY_BYTES)).status_code == 202


def in_path(door: Door, secret: str) -> TestResponse:
    return door.client.post(f"/webhook/{secret}", data=ENTRY_TEXT)


def in_header(door: Door, secret: str) -> TestResponse:
    return door.send(BASE_ENTRY, secret)


def in_body(door: Door, secret: str) -> TestResponse:
    return door.send(BASE_ENTRY | {"secret": secret}, None)


Knock = Callable[[Door, str], TestResponse]
PLACES = [in_path, in_header, in_body]


@pytest.mark.parametrize("knock", PLACES)
def test_the_secret_is_read_from_three_places_and_kept_in_none(
    door: Door, knock: Knock, caplog: pytest.LogCaptureFixture
) -> None:
    response = knock(door, SECRET)
    assert response.status_code == 202
    journey = door.store.journey(said(response)["signal_id"])
    assert SECRET not in repr(journey)
    assert SECRET not in response.get_data(as_text=True) + str(response.headers) + caplog.text


@pytest.mark.parametrize("knock", PLACES)
@pytest.mark.parametrize("wrong", [VIEWER, SECRET[:-1], SECRET + "x", SECRET.lower(), "é", "%00"])
def test_a_wrong_secret_opens_nothing(
    shut_door: Door, knock: Knock, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Incident 59: deny by default; another role's token is a wrong one here."""
    response = knock(shut_door, wrong)
    assert (response.status_code, said(response)["code"]) == (403, "CALLER_REFUSED")
    assert shut_door.stored() == 0
    told = response.get_data(as_text=True) + caplog.text
    assert len(wrong) < 5 or wrong not in told


@pytest.mark.parametrize("body", [ENTRY_TEXT, "{", "", "[" * 30_000, '{"secret": 7}'])
def test_without_a_secret_nothing_is_told_of_the_body(shut_door: Door, body: str) -> None:
    response = shut_door.send_body(body.encode(), None)
    assert (response.status_code, said(response)["code"]) == (401, "TOKEN_MISSING")
    assert "errors" not in said(response)
    assert shut_door.stored() == 0


def test_a_second_secret_in_the_body_is_not_kept_either(door: Door) -> None:
    answer = said(door.send(BASE_ENTRY | {"secret": VIEWER, "sizing": {"secret": 'a"b'}}))
    journey = door.store.journey(answer["signal_id"])
    assert journey is not None
    kept = json.loads(journey.raw_body)
    assert kept == BASE_ENTRY | {"secret": "(removed)", "sizing": {"secret": "(removed)"}}


@pytest.mark.parametrize(
    ("sources", "address", "status"),
    [
        (["52.89.214.238", "10.0.0.0/8"], "52.89.214.238", 202),
        (["52.89.214.238", "10.0.0.0/8"], "10.9.8.7", 202),
        (["10.0.0.0/8"], "::ffff:10.9.8.7", 202),
        (["2001:db8::/32"], "2001:db8::1", 202),
        (["52.89.214.238"], "52.89.214.239", 403),
        (["52.89.214.238"], "", 403),
        ([], "127.0.0.1", 403),
    ],
)
def test_alerts_come_from_the_listed_addresses_only(
    store: DatabaseStateManager, sources: list[str], address: str, status: int
) -> None:
    """Incident 59: an empty allow-list let everybody in."""
    door = door_on(store, replace(AT_ONCE, webhook_sources=read_networks(sources)))
    body = ENTRY_TEXT.encode()
    response = door.send_body(body, environ_overrides={"REMOTE_ADDR": address})
    assert response.status_code == status


@pytest.mark.parametrize(("proxies", "status"), [(0, 403), (1, 202)])
def test_a_forwarded_address_is_believed_from_our_own_proxy_only(
    store: DatabaseStateManager, proxies: int, status: int
) -> None:
    settings = replace(
        AT_ONCE, webhook_sources=read_networks(["52.89.214.238"]), trusted_proxies=proxies
    )
    headers = {SECRET_HEADER: SECRET, "X-Forwarded-For": "52.89.214.238"}
    response = door_on(store, settings).client.post("/webhook", data=ENTRY_TEXT, headers=headers)
    assert response.status_code == status


@pytest.mark.parametrize("text", ["", "everywhere", "10.0.0.1/8", "1.2.3"])
def test_a_source_that_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ConfigInvalid, match=r"webhook_sources\[0\]"):
        read_networks([text])


ANSWERS = [
    (SignalStatus.EXECUTED, "executed"),
    (SignalStatus.BLOCKED, "blocked"),
    (SignalStatus.REJECTED, "rejected"),
    (SignalStatus.EXPIRED, "blocked"),
    (SignalStatus.FAILED, "error"),
]


@pytest.mark.parametrize(("status", "word"), ANSWERS)
def test_an_outcome_that_is_ready_soon_is_in_the_answer(
    store: DatabaseStateManager, status: SignalStatus, word: str
) -> None:
    looking = polling(store, SystemClock(), 30.0)

    def wait(signal_id: int) -> Journalled | None:
        worker.start()
        return looking(signal_id)

    door = door_on(store, waiter=wait)
    worker = threading.Thread(target=door.finish, args=(status,))
    response = door.send(BASE_ENTRY)
    worker.join()
    answer = said(response)
    assert (response.status_code, answer["status"]) == (200, word)
    assert (answer["code"], answer["reason"]) == (BOUGHT.code, BOUGHT.reason)
    assert (answer["lots"], answer["limiter"]) == (5, "risk")


def test_an_outcome_that_is_not_ready_is_not_waited_for_longer(store: DatabaseStateManager) -> None:
    clock = HandClock()
    waiting = door_on(store, waiter=polling(store, clock, 0.2, clock.wait))
    response = waiting.send(BASE_ENTRY)
    assert clock.elapsed_s == pytest.approx(0.2)
    assert (response.status_code, said(response)["status"]) == (202, "accepted")


def test_an_outcome_is_waited_for_as_long_as_is_set(store: DatabaseStateManager) -> None:
    clock = SystemClock()
    started_s = clock.monotonic()
    response = door_on(store, WebSettings(outcome_wait_s=0.2)).send(BASE_ENTRY)
    assert clock.monotonic() - started_s >= 0.2
    assert (response.status_code, said(response)["status"]) == (202, "accepted")


@pytest.mark.parametrize(("status", "word"), ANSWERS[:4])
def test_a_duplicate_is_told_the_first_signals_id_and_outcome(
    door: Door, status: SignalStatus, word: str
) -> None:
    first = said(door.send(BASE_ENTRY))
    early = said(door.send(BASE_ENTRY))
    door.finish(status)
    response = door.send(BASE_ENTRY)
    late = said(response)
    assert (response.status_code, late["status"]) == (200, "duplicate")
    assert early["signal_id"] == late["signal_id"] == first["signal_id"]
    assert early["details"] == {"first_status": "accepted"}
    assert late["details"] == {"first_status": word}
    assert (late["code"], late["lots"], late["limiter"]) == (BOUGHT.code, 5, "risk")
    assert door.stored() == 1


def test_a_failed_exit_may_be_sent_again(door: Door) -> None:
    """Incident 2: an exit failed, and its retry was blocked as a duplicate."""
    first = said(door.send(EXIT))
    door.finish(SignalStatus.FAILED, Outcome("NO_POSITION", "nothing is held"))
    again = door.send(EXIT)
    assert (again.status_code, said(again)["status"]) == (202, "accepted")
    assert said(again)["signal_id"] == first["signal_id"]
    door.finish(SignalStatus.EXECUTED)
    assert said(door.send(EXIT))["status"] == "duplicate"


def test_alerts_are_claimed_by_their_bar_whatever_their_arrival(door: Door) -> None:
    """Incident 3: two alerts 350 ms apart were executed in the wrong order."""
    late = BASE_ENTRY | {"timestamp": "2025-11-28T11:45:00"}
    leaving = EXIT | {"instrument": "BANK_NIFTY", "timestamp": "2025-11-28T11:45:00"}
    for payload in (late, BASE_ENTRY, leaving):
        door.send(payload)
    claimed = []
    for _ in range(3):
        (work,) = door.store.claim_signals("worker", 1, LEASE_S)
        door.store.finish_signal(work.id, "worker", SignalStatus.EXECUTED, BOUGHT)
        claimed.append(work.alert)
    assert claimed == [parse_alert(payload, INSTRUMENTS) for payload in (leaving, BASE_ENTRY, late)]


def test_what_fails_after_the_journal_is_not_the_senders(
    store: DatabaseStateManager, unreachable: DatabaseStateManager
) -> None:
    """Incident 4: a handler crashed after the order was filled, answered 500 and forgot the key."""
    door = door_on(store, waiter=polling(unreachable, SystemClock(), 0.0))
    first = door.send(BASE_ENTRY)
    assert (first.status_code, said(first)["status"]) == (202, "accepted")
    again = said(door_on(store).send(BASE_ENTRY))
    assert (again["status"], again["signal_id"]) == ("duplicate", said(first)["signal_id"])


@pytest.mark.parametrize(
    "waiter", [lambda _: 1 // 0, lambda _: None], ids=["it breaks", "it knows nothing"]
)
def test_a_stored_signal_never_answers_with_a_server_error(
    store: DatabaseStateManager, waiter: Waiter
) -> None:
    assert door_on(store, waiter=waiter).send(BASE_ENTRY).status_code == 202
    assert len(store.signals(10)) == 1


def test_sequence_numbers_are_kept_to_find_what_never_arrived(door: Door) -> None:
    """Incident 5: alerts listed by TradingView never arrived; their numbers show the gap."""
    for seq in (7, 9):
        door.send(MARKET_DATA | {"seq": seq, "bar_time": 1_767_000_000_000 + seq * 3_600_000})
    rows = door.store.rows("SELECT seq FROM signal_log ORDER BY seq")
    assert [seq for (seq,) in rows] == [7, 9]


def test_an_old_alert_is_judged_by_its_bar_whenever_it_arrives(door: Door) -> None:
    """Incident 6: old alerts were replayed days later by a relay."""
    first = said(door.send(BASE_ENTRY))
    door.finish(SignalStatus.EXECUTED)
    assert said(door.send(BASE_ENTRY | {"relayed": "days later"}))["status"] == "duplicate"
    (row,) = door.store.signals(10)
    assert row.id == first["signal_id"]
    assert row.bar_time == datetime(2025, 11, 28, 10, 30, tzinfo=IST)
    assert row.received_at - row.bar_time > timedelta(days=30)


def test_an_exit_passes_behind_any_number_of_alerts(door: Door) -> None:
    """Incident 10: alerts on every tick hit a limit by address, and the real exit got 429."""
    statuses = Counter(door.send(EOD_MONITOR | {"seq": seq}).status_code for seq in range(200))
    assert statuses == {202: 200}
    assert door.send(EXIT).status_code == 202
    (work,) = door.store.claim_signals("worker", 1, LEASE_S)
    assert work.alert == parse_alert(EXIT, INSTRUMENTS)


def storm(store: DatabaseStateManager, redis: Redis | None) -> list[dict[str, Any]]:
    """The same alert 50 times from 8 threads over two instances."""
    doors = [door_on(store, redis=redis) for _ in range(2)]

    def send(number: int) -> dict[str, Any]:
        door = doors[number % 2]
        response = Door(store, door.client.application.test_client()).send(BASE_ENTRY)
        assert response.status_code in (200, 202)
        return said(response)

    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(send, range(50)))


def assert_one_of(store: DatabaseStateManager, answers: list[dict[str, Any]]) -> None:
    assert Counter(answer["status"] for answer in answers) == {"accepted": 1, "duplicate": 49}
    (row,) = store.signals(100)
    assert {answer["signal_id"] for answer in answers} == {row.id}
    assert row.attempts == 1


def test_a_storm_of_one_alert_is_one_signal(store: DatabaseStateManager, valkey_url: str) -> None:
    with connect_redis(valkey_url) as redis:
        assert_one_of(store, storm(store, redis))


@pytest.mark.parametrize("url", [None, NO_SOCKET], ids=["not used", "not there"])
def test_a_storm_without_redis_is_one_signal(store: DatabaseStateManager, url: str | None) -> None:
    redis = None if url is None else connect_redis(url)
    assert_one_of(store, storm(store, redis))


def test_a_storm_while_redis_is_flushed_is_one_signal(
    store: DatabaseStateManager, valkey_url: str
) -> None:
    over = threading.Event()

    def flush() -> int:
        flushes = 0
        with Redis.from_url(valkey_url) as operator:
            while not over.is_set():
                flushes += bool(operator.flushall())
        return flushes

    with ThreadPoolExecutor(1) as flushing, connect_redis(valkey_url) as redis:
        flushed = flushing.submit(flush)
        try:
            assert_one_of(store, storm(store, redis))
        finally:
            over.set()
        assert flushed.result() > 0


def test_redis_tells_another_instance_and_the_database_confirms(
    store: DatabaseStateManager, valkey_url: str
) -> None:
    clock = HandClock()
    with Redis.from_url(valkey_url) as redis:
        first = said(door_on(store, redis=redis).send(BASE_ENTRY))
        (mark,) = [row.fingerprint for row in store.signals(1)]
        other = DuplicateDetector(store, redis, clock)
        found = other.first_of(mark)
        assert found is not None
        assert (found.id, found.duplicate_of) == (first["signal_id"], first["signal_id"])
        redis.flushall()
        assert other.first_of(mark) is None


@pytest.mark.parametrize("kept", [None, "999999", "-1", "1.5", "x", "9" * 40])
def test_what_redis_says_of_another_database_drops_no_signal(
    store: DatabaseStateManager, database_url: str, valkey_url: str, kept: str | None
) -> None:
    """None stands for the id of another signal."""
    with Redis.from_url(valkey_url) as redis:
        door_on(store, redis=redis).send(BASE_ENTRY)
        (key,) = redis.keys("*")
        execute(database_url, "DELETE FROM signal_log")
        other = said(door_on(store).send(EXIT))["signal_id"]
        redis.set(key, kept or other)
        door = door_on(store, redis=redis)
        response = door.send(BASE_ENTRY)
        assert response.status_code == 202
        assert said(response)["signal_id"] != other
        assert redis.get(key) == str(said(response)["signal_id"]).encode()
        assert said(door.send(BASE_ENTRY))["status"] == "duplicate"


def test_a_process_remembers_so_many_and_no_more(unreachable: DatabaseStateManager) -> None:
    duplicates = DuplicateDetector(unreachable, None, HandClock())
    for number in range(REMEMBERED + 1):
        duplicates.remember(f"alert {number}", number)
    assert duplicates.first_of("alert 0") is None
    with pytest.raises(Retryable):
        duplicates.first_of("alert 1")


def test_a_redis_that_does_not_answer_costs_a_moment_once(store: DatabaseStateManager) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        silent.setblocking(False)
        redis = connect_redis(f"redis://127.0.0.1:{silent.getsockname()[1]}")
        # What is waited for is bounded, and short.
        patience = redis.connection_pool.connection_kwargs
        assert 0 < patience["socket_timeout"] == patience["socket_connect_timeout"] <= 0.2
        clock = HandClock()
        duplicates = DuplicateDetector(store, redis, clock)
        assert duplicates.first_of("the first") is None
        tries = callers(silent)
        assert 0 < tries <= 5
        for number in range(20):
            assert duplicates.first_of(f"new {number}") is None
            duplicates.remember(f"new {number}", 1)
        assert callers(silent) == 0
        clock.wait(REST_S)
        assert duplicates.first_of("newer") is None
        assert callers(silent) == tries
        redis.close()


def callers(server: socket.socket) -> int:
    """How many have called since this was last asked; all are hung up on."""
    found = 0
    with suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            found += 1
    return found


def test_without_a_database_nothing_is_promised(
    unreachable: DatabaseStateManager, caplog: pytest.LogCaptureFixture
) -> None:
    response = door_on(unreachable).client.post(f"/webhook/{SECRET}", data=ENTRY_TEXT)
    answer = said(response)
    assert (response.status_code, answer["status"]) == (503, "error")
    assert "signal_id" not in answer
    assert "nonexistent" not in response.get_data(as_text=True)
    assert SECRET not in caplog.text


LOSE_COMMITS = """
CREATE SEQUENCE commits;
CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('commits') <= {} THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON signal_log DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION lose()"""


@pytest.mark.parametrize(("lost", "status", "stored"), [(1, 202, 1), (2, 503, 0)])
def test_a_commit_without_an_answer_is_made_once_more(
    door: Door, database_url: str, lost: int, status: int, stored: int
) -> None:
    execute(database_url, LOSE_COMMITS.format(lost))
    assert door.send(BASE_ENTRY).status_code == status
    assert door.stored() == stored
    again = door.send(BASE_ENTRY)
    assert (again.status_code, said(again)["status"]) == (
        (200, "duplicate") if stored else (202, "accepted")
    )
    assert door.stored() == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/webhook", 405),
        ("GET", f"/webhook/{SECRET}", 405),
        ("POST", f"//webhook/{SECRET}", 404),
        ("POST", f"/hook/{SECRET}", 404),
        ("POST", f"/webhook/{SECRET}/more", 404),
    ],
)
def test_other_ways_in_are_told_in_json_and_repeat_no_secret(
    shut_door: Door, method: str, path: str, status: int
) -> None:
    response = shut_door.client.open(path, method=method, data=ENTRY_TEXT)
    assert response.status_code == status
    assert said(response)["request_id"] == response.headers["X-Request-Id"]
    assert SECRET not in response.get_data(as_text=True) + str(response.headers)


def test_a_slash_at_the_end_is_no_redirect_that_shows_the_secret(door: Door) -> None:
    assert door.client.post(f"/webhook/{SECRET}/", data=ENTRY_TEXT).status_code == 202


def test_a_live_process_says_so_even_without_its_database(
    unreachable: DatabaseStateManager,
) -> None:
    response = door_on(unreachable).client.get("/health")
    assert (response.status_code, said(response)["status"]) == (200, "degraded")
    assert "no Redis" in said(response)["reason"]


def test_ready_is_a_database_with_this_programs_schema(door: Door) -> None:
    response = door.client.get("/ready")
    assert (response.status_code, said(response)) == (200, {"status": "ready"})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("DELETE FROM schema_migrations WHERE version = 4", "not this program's"),
        ("UPDATE schema_migrations SET sha256 = 'x' WHERE version = 1", "not this program's"),
        ("DROP TABLE schema_migrations", "no schema"),
    ],
)
def test_another_schema_is_not_ready(
    door: Door, database_url: str, change: str, reason: str
) -> None:
    execute(database_url, change)
    response = door.client.get("/ready")
    assert response.status_code == 503
    assert reason in said(response)["reason"]


def test_a_database_that_cannot_be_reached_is_not_ready(unreachable: DatabaseStateManager) -> None:
    response = door_on(unreachable).client.get("/ready")
    assert response.status_code == 503
    assert "nonexistent" not in response.get_data(as_text=True)


def test_an_error_that_nobody_foresaw_tells_nothing_but_where_to_look(
    store: DatabaseStateManager,
) -> None:
    app = create_app(parts_on(store, AT_ONCE))

    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError(SECRET)

    response = app.test_client().get("/broken", headers={"Authorization": f"Bearer {VIEWER}"})
    assert (response.status_code, said(response)["code"]) == (500, "INTERNAL_ERROR")
    assert SECRET not in response.get_data(as_text=True)
