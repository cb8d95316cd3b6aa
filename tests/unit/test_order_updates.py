"""Updates of the gateway's stream: read strictly, kept for a while, believed by nobody."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.messages import GatewayMode, OrderStatus
from brokers.openalgo_errors import AnswerUnknown
from brokers.order_updates import OrderNews, OrderUpdate, Said, read_frame, read_update

UPDATE: dict[str, Any] = {
    "type": "order_update",
    "user_id": "tester",
    "mode": "live",
    "broker": "zerodha",
    "orderid": "261122000635740",
    "symbol": "GOLDM04DEC26FUT",
    "exchange": "MCX",
    "action": "SELL",
    "quantity": 10,
    "price": 0.0,
    "trigger_price": 0.0,
    "pricetype": "MARKET",
    "product": "NRML",
    "order_status": "open",
    "filled_quantity": 0,
    "pending_quantity": 10,
    "average_price": 0.0,
    "rejection_reason": "",
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def update(order_id: str = "1", status: str = "open", filled: int = 0) -> OrderUpdate:
    return OrderUpdate(order_id, GatewayMode.LIVE, 10, filled, OrderStatus(status))


def listened_to() -> OrderNews:
    news = OrderNews()
    news.begin()
    return news


def test_every_recorded_frame_is_understood(shared: Path) -> None:
    recorded = json.loads((shared / "facts" / "openalgo-ws.json").read_text())
    frames = [text for _, direction, text in recorded if direction == "<"]
    read = [read_update(read_frame(text)) for text in frames]
    assert [each for each in read if each is not None] == [
        OrderUpdate("26112253231919", GatewayMode.ANALYZE, 1, 0, OrderStatus.OPEN),
        OrderUpdate("26112253231919", GatewayMode.ANALYZE, 1, 1, OrderStatus.COMPLETE),
        OrderUpdate("261122000635740", GatewayMode.LIVE, 1, 0, OrderStatus.OPEN),
        OrderUpdate("261122000635740", GatewayMode.LIVE, 1, 1, OrderStatus.COMPLETE),
    ]
    assert sum('"order_update"' in text for text in frames) == 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"orderid": None},
        {"orderid": ["1"]},
        {"orderid": "x" * 200},
        {"mode": "real"},
        {"mode": None},
        {"quantity": 0},
        {"quantity": 2.5},
        {"filled_quantity": -1},
        {"filled_quantity": 11},
        {"filled_quantity": "all"},
        {"filled_quantity": True},
        {"order_status": ""},
        {"order_status": 5},
    ],
)
def test_an_update_that_cannot_be_read_tells_nothing(wrong: dict[str, Any]) -> None:
    with pytest.raises(AnswerUnknown):
        read_update(read_frame(json.dumps({**UPDATE, **wrong})))


@pytest.mark.parametrize("frame", ["", "{", "[]", "null", "7", '"text"', b"\xff\xfe", "[" * 9999])
def test_what_is_no_object_tells_nothing(frame: str | bytes) -> None:
    with pytest.raises(AnswerUnknown):
        read_frame(frame)


def test_what_is_not_known_is_ignored() -> None:
    more = {**UPDATE, "exchange_time": 5, "order_status": "AMO REQ RECEIVED", "orderid": 77}
    read = read_update(read_frame(json.dumps(more)))
    assert read == OrderUpdate("77", GatewayMode.LIVE, 10, 0, OrderStatus.UNRECOGNISED)
    assert read_update(read_frame('{"type": "market_data", "orderid": "1"}')) is None


@given(st.dictionaries(st.sampled_from(sorted(UPDATE)), ANYTHING))
def test_nothing_that_arrives_raises_more_than_that_it_is_unknown(fields: dict[str, Any]) -> None:
    frame = json.dumps({**UPDATE, **fields})
    try:
        read = read_update(read_frame(frame))
    except AnswerUnknown:
        return
    assert read is None or 0 <= read.filled_quantity <= read.quantity


def test_what_comes_before_anybody_watches_is_there_when_somebody_does() -> None:
    news = listened_to()
    before = news.mark("1")
    news.tell(update(status="complete", filled=10))
    assert news.wait("1", before, 0)
    assert news.said_of("1") == Said(10, is_final=True)


def test_a_duplicate_wakes_nobody() -> None:
    news = listened_to()
    assert news.tell(update())
    mark = news.mark("1")
    assert not news.tell(update())
    assert not news.wait("1", mark, 0)
    assert news.tell(update(filled=1))
    assert news.wait("1", mark, 0)


def test_an_older_word_takes_nothing_back() -> None:
    news = listened_to()
    for told in (update(status="complete", filled=10), update(), update(filled=3)):
        news.tell(told)
    assert news.said_of("1") == Said(10, is_final=True)


def test_another_orders_update_wakes_nobody() -> None:
    news = listened_to()
    mark = news.mark("1")
    news.tell(update("2"))
    assert not news.wait("1", mark, 0)
    assert news.said_of("1") is None


@pytest.mark.parametrize("happens", ["told", "begun", "ended"])
def test_who_waits_is_woken(happens: str) -> None:
    news = listened_to()
    mark = news.mark("1")
    woken: list[bool] = []
    waiter = threading.Thread(target=lambda: woken.append(news.wait("1", mark, 120)))
    waiter.start()
    {"told": lambda: news.tell(update()), "begun": news.begin, "ended": news.end}[happens]()
    waiter.join(120)
    assert woken == [True]


def test_a_connection_knows_nothing_of_the_last_one() -> None:
    news = listened_to()
    news.tell(update())
    news.end()
    assert (news.is_up, news.said_of("1")) == (False, None)
    news.begin()
    assert (news.is_up, news.said_of("1")) == (True, None)
    assert news.tell(update())


def test_nobody_is_told_of_without_a_stream() -> None:
    news = OrderNews()
    news.tell(update())
    assert news.said_of("1") is None


def test_what_is_kept_is_bounded() -> None:
    news = listened_to()
    news.tell(update("first"))
    for number in range(5000):
        news.tell(update(str(number)))
    assert news.said_of("first") is None
    assert news.said_of("4999") is not None
    flood = [OrderUpdate("1", GatewayMode.LIVE, 10_000, n, OrderStatus.OPEN) for n in range(10_000)]
    assert sum(news.tell(each) for each in flood) < 300
