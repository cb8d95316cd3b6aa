"""Whatever the gateway answers, a caller meets a value or an error of the tree, nothing else.

And no answer to an order call, however spoiled, invites sending it again.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.openalgo_client import OpenAlgoClient
from core.errors import PortfolioError, Retryable
from tests.fixtures.gateway_calls import CALLS, GOLD, GOLD_SYMBOL, ORDER_CALLS, client_of, scripted
from tests.fixtures.scripted_gateway import Reply, ScriptedGateway, running_gateway

ROW = {
    "orderid": "7",
    "symbol": GOLD.symbol,
    "exchange": "MCX",
    "action": "BUY",
    "quantity": 2,
    "price": 128001.0,
    "average_price": "128001.00",
    "trigger_price": 0.0,
    "pricetype": "LIMIT",
    "product": "NRML",
    "order_status": "open",
    "timestamp": "11:40:07",
}
QUOTE = {"ltp": 128000.0, "bid": 127999.0, "ask": 128001.0, "high": 128000.0, "low": 128000.0}
SESSION = {"exchange": "MCX", "start_time": 1795404600000, "end_time": 1795458300000}
HOLIDAY = {"date": "2026-01-26", "closed_exchanges": ["NFO"], "open_exchanges": [SESSION]}
FUNDS = {"availablecash": "1.00", "utiliseddebits": "0.00", "collateral": 0.0}
GOOD: dict[str, dict[str, Any]] = {
    "ping": {"data": {"broker": "zerodha"}},
    "analyzer": {"data": {"analyze_mode": True, "mode": "analyze"}},
    "quotes": {"data": QUOTE},
    "multiquotes": {"results": [{"symbol": GOLD.symbol, "exchange": "MCX", "data": QUOTE}]},
    "symbol": {"data": GOLD_SYMBOL},
    "expiry": {"data": ["04-DEC-26", "05-JAN-27"]},
    "funds": {"data": FUNDS, "mode": "analyze"},
    "margin": {"data": {"total_margin_required": 128000.0}},
    "orderstatus": {"data": ROW, "mode": "analyze"},
    "orderbook": {"data": {"orders": [ROW]}, "mode": "analyze"},
    "tradebook": {"data": [ROW], "mode": "analyze"},
    "positionbook": {"data": [ROW], "mode": "analyze"},
    "market/holidays": {"data": [HOLIDAY]},
    "market/timings": {"data": [SESSION]},
    "placeorder": {"orderid": "7", "mode": "analyze"},
    "modifyorder": {"orderid": "7", "mode": "analyze"},
    "cancelorder": {"orderid": "7", "mode": "analyze"},
}
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1.5", "NaN", "1e9", "success", "", "-0", 10**30, 1e300, "\ud800"])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)
STATUSES = st.just(200) | st.sampled_from([200, 201, 302, 400, 401, 403, 404, 409, 429, 500, 503])


@st.composite
def spoiled(draw: st.DrawFn, value: object) -> object:
    """`value` with some of its parts missing or replaced by anything."""
    if draw(st.integers(0, 9)) == 0:
        return draw(JSON)
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if draw(st.integers(0, 19))}
        return {key: draw(spoiled(each)) for key, each in kept.items()}
    if isinstance(value, list):
        return [draw(spoiled(each)) for each in value]
    return value


@pytest.fixture(scope="module")
def gateway() -> Iterator[ScriptedGateway]:
    """One gateway for all examples."""
    with running_gateway(scripted({})) as running:
        yield running


@pytest.fixture(scope="module")
def client(gateway: ScriptedGateway) -> Iterator[OpenAlgoClient]:
    """One client for all examples."""
    with client_of(gateway.url) as made:
        yield made


def outcome_of(
    gateway: ScriptedGateway, client: OpenAlgoClient, name: str, reply: Reply
) -> PortfolioError | None:
    """Make one call; the error of the tree that came of it. Any other error passes through."""
    gateway.script = scripted({name: reply})
    client.forget_symbols()
    try:
        CALLS[name](client)
    except PortfolioError as raised:
        return raised
    return None


@pytest.mark.parametrize("name", CALLS)
def test_the_unspoiled_answer_is_good(
    gateway: ScriptedGateway, client: OpenAlgoClient, name: str
) -> None:
    reply = Reply(200, {"status": "success", **GOOD[name]})
    assert outcome_of(gateway, client, name, reply) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
@given(data=st.data(), status=STATUSES)
def test_any_json_comes_to_a_value_or_an_error_of_the_tree(
    gateway: ScriptedGateway, client: OpenAlgoClient, name: str, data: st.DataObject, status: int
) -> None:
    body = data.draw(JSON | spoiled({"status": "success", **GOOD[name]}))
    raised = outcome_of(gateway, client, name, Reply(status, body))
    assert status == 200 or raised is not None
    if name in ORDER_CALLS and status != 429:
        assert not isinstance(raised, Retryable)


@pytest.mark.parametrize("name", ["placeorder", "positionbook"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"NaN",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 5000,
        b'{"status":"success","orderid":' + b"9" * 5000 + b"}",
        b'{"status":"success","orderid":Infinity}',
        b'{"status":"success","mode":"analyze","data":[{"quantity":1e99999999999999999999}]}',
        b'{"status":"success","mode":"analyze","data":[{"quantity":1e999999999}]}',
        b"{'status': 'success'}",
        b"x" * 1_000_000,
    ],
    ids=range(12),
)
def test_bytes_that_are_no_answer_come_to_an_error_of_the_tree(
    gateway: ScriptedGateway, client: OpenAlgoClient, name: str, content: bytes
) -> None:
    raised = outcome_of(gateway, client, name, Reply(200, content))
    assert raised is not None
    assert len(str(raised)) < 500
    if name in ORDER_CALLS:
        assert not isinstance(raised, Retryable)
