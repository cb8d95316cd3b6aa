"""The stream of events: told once, taken up again where it was left, and never in the way."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from core.db_state_manager import DatabaseStateManager
from live.access import Role
from tests.fixtures.database import database
from tests.fixtures.web import Web, web_on


@pytest.fixture
def store(database_url: str) -> Iterator[DatabaseStateManager]:
    manager = database(database_url, pool_size=1, wait_s=1.0)
    yield manager
    manager.close()


@pytest.fixture
def web(store: DatabaseStateManager) -> Web:
    return web_on(store, streams=2)


def tell(store: DatabaseStateManager, *numbers: int) -> None:
    for number in numbers:
        store.append_outbox("COUNTED", "BANK_NIFTY", {"number": number})


def blocks(text: str) -> list[dict[str, str]]:
    """The stream's messages by field, without comments."""
    return [
        dict(line.split(": ", 1) for line in block.splitlines())
        for block in text.split("\n\n")
        if block and not block.startswith(":")
    ]


def heard(web: Web, last: int | None = None) -> list[int]:
    """What a listener who ends at once has heard."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    web.parts.closing.set()
    response = web.call("GET", "/events", Role.VIEWER, headers=headers, buffered=True)
    assert response.mimetype == "text/event-stream"
    told = blocks(response.get_data(as_text=True))
    return [json.loads(block["data"])["payload"]["number"] for block in told if "data" in block]


def test_an_event_has_its_id_kind_and_content(web: Web, store: DatabaseStateManager) -> None:
    tell(store, 7)
    web.parts.closing.set()
    text = web.call("GET", "/events", headers={"Last-Event-ID": "0"}).get_data(as_text=True)
    retry, event = blocks(text)
    assert retry == {"retry": "5000"}
    assert (event["id"], event["event"]) == ("1", "COUNTED")
    assert json.loads(event["data"]) == {
        "id": 1,
        "kind": "COUNTED",
        "instrument": "BANK_NIFTY",
        "at": "2026-01-05T10:30:00+05:30",
        "payload": {"number": 7},
    }


def test_a_listener_takes_up_where_it_left(web: Web, store: DatabaseStateManager) -> None:
    tell(store, *range(1, 251))
    assert heard(web, 240) == list(range(241, 251))
    assert heard(web, 0) == list(range(1, 251))
    assert heard(web, 250) == []


def test_a_new_listener_hears_what_is_new(web: Web, store: DatabaseStateManager) -> None:
    tell(store, 1, 2)
    assert heard(web) == []


def test_an_id_of_another_database_is_as_new_as_can_be(
    web: Web, store: DatabaseStateManager
) -> None:
    tell(store, 1, 2)
    stream = iter(listen(web, 999).response)
    tell(store, 3)
    assert next_event(stream) == 3


def listen(web: Web, last: int) -> Any:
    """A stream that stays open, as an iterator over its text."""
    return web.call(
        "GET", "/events", Role.VIEWER, headers={"Last-Event-ID": str(last)}, buffered=False
    )


def next_event(stream: Iterator[bytes]) -> int:
    for piece in stream:
        if b"data: " in piece:
            return int(json.loads(piece.split(b"data: ")[1])["payload"]["number"])
    raise AssertionError("the stream ended")


def test_an_open_stream_hears_what_happens_and_holds_no_connection(
    web: Web, store: DatabaseStateManager
) -> None:
    """There is one connection in all."""
    response = listen(web, 0)
    stream = iter(response.response)
    tell(store, 1)
    assert next_event(stream) == 1
    tell(store, 2)
    assert next_event(stream) == 2
    assert web.call("GET", "/status").status_code == 200
    response.close()


def test_an_event_that_commits_late_is_heard_all_the_same(
    web: Web, store: DatabaseStateManager
) -> None:
    tell(store, 1, 2)
    with store.transaction() as cursor:
        cursor.execute("DELETE FROM outbox WHERE id = 1")
    stream = iter(listen(web, 0).response)
    assert next_event(stream) == 2
    with store.transaction() as cursor:
        cursor.execute(
            "INSERT INTO outbox (id, kind, payload, created_at) OVERRIDING SYSTEM VALUE "
            "VALUES (1, 'COUNTED', '{\"number\": 1}', now())"
        )
    tell(store, 3)
    assert [next_event(stream), next_event(stream)] == [1, 3]


def test_only_so_many_listen_at_once(web: Web, store: DatabaseStateManager) -> None:
    open_ones = [listen(web, 0) for _ in range(2)]
    refused = web.call("GET", "/events", Role.VIEWER)
    assert (refused.status_code, refused.get_json()["code"]) == (503, "TOO_MANY_STREAMS")
    assert int(refused.headers["Retry-After"]) > 0
    open_ones[0].close()
    web.parts.closing.set()
    assert web.call("GET", "/events", Role.VIEWER).status_code == 200


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "9" * 30, "²"])
def test_what_is_no_events_id_is_refused(web: Web, last: str) -> None:
    headers = {"Last-Event-ID": last.encode().decode("latin-1")}
    response = web.call("GET", "/events", headers=headers)
    assert (response.status_code, set(response.get_json()["errors"])) == (400, {"Last-Event-ID"})
