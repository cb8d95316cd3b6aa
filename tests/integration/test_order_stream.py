"""The stream of order updates over a real websocket: what it says, and how it is lost and found."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from brokers.messages import GatewayMode
from brokers.order_stream import StreamEvent
from brokers.order_updates import Said
from tests.fixtures.openalgo_contract import fits
from tests.fixtures.order_stream import QUICK, listening
from tests.fixtures.own_port import OwnPort
from tests.fixtures.paper_faults import GOLD, UNCOUNTED, PaperFaults
from tests.fixtures.paper_process import PaperProcess

MODES = [GatewayMode.ANALYZE, GatewayMode.LIVE]
ANSWER_S = 30
KNOWN_FRAMES = ("auth", "subscribe_orders", "pong", "order_update")
TOLD, LOST, CONNECTED = StreamEvent.TOLD, StreamEvent.LOST, StreamEvent.CONNECTED


@pytest.fixture
def paper(tmp_path: Path) -> Iterator[PaperProcess]:
    with PaperProcess(tmp_path / "state", *UNCOUNTED) as process:
        process.read("control/clock", {"at": "2026-11-23T09:30:00"})
        yield process


def place(paper: PaperProcess, price: int = 128_100, **more: Any) -> str:
    """A limit order for one lot of gold; its id."""
    order: dict[str, Any] = {"strategy": "test", "symbol": GOLD.symbol, "exchange": "MCX"}
    order |= {"action": "BUY", "quantity": 1, "pricetype": "LIMIT", "product": "NRML"}
    told = paper.read("api/v1/placeorder", {**order, "price": price, **more})
    return str(told["orderid"])


def said(connection: ClientConnection, **asked: Any) -> Any:
    connection.send(json.dumps(asked))
    return json.loads(connection.recv(ANSWER_S))


def of_kind(frames: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [frame for frame in frames if frame.get("type", frame.get("code")) == kind]


def test_what_the_exchange_says_has_the_shape_of_what_was_recorded(
    paper: PaperProcess, shared: Path
) -> None:
    recorded = [
        json.loads(text)
        for _, direction, text in json.loads((shared / "facts" / "openalgo-ws.json").read_text())
        if direction == "<"
    ]
    with connect(paper.ws_url, proxy=None) as connection:
        own = [
            said(connection, action="subscribe", symbol=GOLD.symbol, exchange="MCX", mode=1),
            said(connection, action="authenticate", api_key=paper.apikey),
            said(connection, action="subscribe_orders"),
            said(connection, action="ping"),
            said(connection, action="bogus"),
        ]
        nothing = [{"symbol": "NOPE", "exchange": "NFO"}]
        unknown = said(connection, action="subscribe", symbols=nothing, mode="LTP")
        for is_sandbox in (True, False):
            paper.read("api/v1/analyzer/toggle", {"mode": is_sandbox})
            place(paper, pricetype="MARKET", price=0)
            own += [json.loads(connection.recv(ANSWER_S)) for _ in range(2)]
    for kind in ("NOT_AUTHENTICATED", *KNOWN_FRAMES, "INVALID_ACTION"):
        expected, found = of_kind(recorded, kind), of_kind(own, kind)
        assert found
        for frame in found:
            assert any(fits(frame, one) for one in expected), frame
    partial = [one for one in of_kind(recorded, "subscribe") if one["status"] == "partial"]
    assert unknown == partial[0]
    told = [
        [frame[name] for name in ("mode", "order_status", "filled_quantity", "pending_quantity")]
        for frame in of_kind(own, "order_update")
    ]
    as_recorded = [
        [frame[name] for name in ("mode", "order_status", "filled_quantity", "pending_quantity")]
        for frame in of_kind(recorded, "order_update")
    ]
    assert told == as_recorded


@pytest.mark.parametrize("mode", MODES)
def test_every_change_of_an_order_is_told(paper: PaperProcess, mode: GatewayMode) -> None:
    paper.read("api/v1/analyzer/toggle", {"mode": mode is GatewayMode.ANALYZE})
    with listening(paper, mode) as heard:
        heard.wait_for(CONNECTED)
        resting = place(paper, price=120_000)
        heard.wait_for(TOLD)
        assert heard.news.said_of(resting) == Said(0, is_final=False)
        paper.read("api/v1/cancelorder", {"strategy": "test", "orderid": resting})
        heard.wait_for(TOLD, 2)
        assert heard.news.said_of(resting) == Said(0, is_final=True)
        filled = place(paper)
        heard.wait_for(TOLD, 4)
        assert heard.news.said_of(filled) == Said(1, is_final=True)


def test_updates_of_the_other_mode_are_not_heard(paper: PaperProcess) -> None:
    with listening(paper, GatewayMode.LIVE) as heard:
        heard.wait_for(CONNECTED)
        order = place(paper)
        heard.wait_for(StreamEvent.OTHER_MODE, 2)
        assert heard.news.said_of(order) is None


def test_updates_come_before_the_reply_that_names_their_order(paper: PaperProcess) -> None:
    PaperFaults(paper).set("slow_after", endpoint="placeorder", seconds=130)
    with listening(paper) as heard, socket.socket() as caller:
        heard.wait_for(CONNECTED)
        order: dict[str, Any] = {"strategy": "test", "symbol": GOLD.symbol, "exchange": "MCX"}
        order |= {"action": "BUY", "quantity": 1, "product": "NRML", "apikey": paper.apikey}
        body = json.dumps(order).encode()
        host, port = paper.url.removeprefix("http://").split(":")
        caller.connect((host, int(port)))
        head = f"POST /api/v1/placeorder HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}"
        caller.sendall(f"{head}\r\nContent-Type: application/json\r\n\r\n".encode() + body)
        heard.wait_for(TOLD, 2)
        (row,) = paper.read("api/v1/orderbook")["data"]["orders"]
        assert heard.news.said_of(row["orderid"]) == Said(1, is_final=True)
        caller.setblocking(False)
        with pytest.raises(BlockingIOError):
            caller.recv(1)


def test_a_wrong_key_hears_nothing_and_tries_again(paper: PaperProcess) -> None:
    with listening(paper, api_key="0" * 64) as heard:
        place(paper)
        heard.wait_for(StreamEvent.NOT_CONNECTED, 3)
        assert not heard.news.is_up
        assert set(heard.happened) == {StreamEvent.NOT_CONNECTED}


def test_a_fallen_line_is_noticed_and_mended(paper: PaperProcess) -> None:
    faults = PaperFaults(paper)
    with listening(paper) as heard:
        heard.wait_for(CONNECTED)
        number = faults.set("stream_down", times=3)
        order = place(paper)
        heard.wait_for(LOST)
        heard.wait_for(CONNECTED, 2)
        assert faults.seen()[number - 1]["strikes"] == 3
        # At most once: what was missed is not told later.
        assert heard.news.said_of(order) is None
        order = place(paper)
        heard.wait_for(TOLD, 2)
        assert heard.news.said_of(order) == Said(1, is_final=True)


def test_a_peer_that_only_keeps_the_line_is_dead(paper: PaperProcess) -> None:
    faults = PaperFaults(paper)
    with listening(paper, pace=QUICK) as heard:
        heard.wait_for(CONNECTED)
        number = faults.set("stream_mute")
        heard.wait_for(LOST)
        faults.clear(number)
        heard.wait_for(CONNECTED, 2)


def test_an_exchange_that_died_is_found_again(tmp_path: Path) -> None:
    with (
        closing(OwnPort()) as port,
        PaperProcess(tmp_path / "state", "--ws-port", str(port.number)) as first,
        listening(first) as heard,
    ):
        heard.wait_for(CONNECTED)
        first.kill()
        heard.wait_for(LOST)
        with PaperProcess(tmp_path / "state", "--ws-port", str(port.number)) as second:
            heard.wait_for(CONNECTED, 2)
            second.read("control/clock", {"at": "2026-11-23T09:30:00"})
            order = place(second)
            heard.wait_for(TOLD, 2)
            assert heard.news.said_of(order) is not None


def test_the_faults_of_updates_are_what_their_names_say(paper: PaperProcess) -> None:
    faults = PaperFaults(paper)
    with listening(paper) as heard:
        heard.wait_for(CONNECTED)
        faults.set("updates_lost", times=1)
        lost = place(paper, price=120_000)
        faults.set("updates_twice", times=1)
        twice = place(paper, price=120_000)
        heard.wait_for(StreamEvent.DUPLICATE)
        assert heard.news.said_of(lost) is None
        assert heard.news.said_of(twice) == Said(0, is_final=False)
        faults.set("updates_false", times=1)
        false = place(paper, price=120_000)
        heard.wait_for(TOLD, 2)
        assert heard.news.said_of(false) == Said(1, is_final=True)
        faults.set("updates_misnamed", times=1)
        misnamed = place(paper, price=120_000)
        heard.wait_for(TOLD, 3)
        assert heard.news.said_of(misnamed) is None
        faults.set("updates_late", seconds=0.5, times=1)
        late = place(paper)
        heard.wait_for(TOLD, 5)
        # The first of its two updates came last, and took nothing back.
        assert heard.news.said_of(late) == Said(1, is_final=True)
        truth = faults.truth()["orders"]
        assert [row["status"] for row in truth] == ["open"] * 4 + ["complete"]


@pytest.mark.parametrize("frame", ["{", "[]", "null", '{"action": 5}', '{"action": "subscribe"}'])
def test_nonsense_harms_nobody(paper: PaperProcess, frame: str) -> None:
    with connect(paper.ws_url, proxy=None) as connection:
        connection.send(frame)
        assert json.loads(connection.recv(ANSWER_S))["status"] == "error"
        assert said(connection, action="authenticate", api_key=paper.apikey)["type"] == "auth"
