"""Faults in the gateway's own words: what was recorded of a bad day, and what a fault answers."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brokers.messages import GatewayMode
from tests.fixtures.openalgo_contract import RecordedCall, fits, recorded_calls
from tests.fixtures.paper_faults import PaperFaults, open_gateway

_HOST = re.compile(r"http://[^/]+")
_DIGITS = re.compile(r"\d{8,}")
_LIMIT = re.compile(r"^\d+ per")

# The recorded call, the fault that stands for it, and the mode it was recorded in.
IN_THE_SAME_WORDS = [
    ("LIVE placeorder broker processed, reply lost", "error_after"),
    ("LIVE placeorder broker connection dropped before", "error_before"),
    ("LIVE placeorder broker 429", "limited_by_broker"),
    ("LIVE placeorder broker token dead", "token_dead"),
    ("LIVE funds broker token dead", "token_dead"),
    ("LIVE orderbook broker token dead", "token_dead"),
    ("LIVE positionbook broker token dead", "token_dead"),
    ("LIVE tradebook broker token dead", "token_dead"),
    ("LIVE cancelorder token dead", "token_dead"),
    ("quotes broker token dead", "token_dead"),
    ("multiquotes broker token dead", "token_dead"),
    ("margin broker token dead", "token_dead"),
    ("quotes broker 500", "quotes_missing"),
    ("margin unknown", "margin_refused"),
    ("quotes unknown symbol", "contract_absent"),
    ("symbol unknown", "contract_absent"),
    ("placeorder over freeze", "limited_by_gateway"),
    ("REVOKED ping", "session_dead"),
    ("REVOKED funds", "session_dead"),
    ("REVOKED placeorder", "session_dead"),
    ("REVOKED orderbook", "session_dead"),
    ("REVOKED quotes", "session_dead"),
    ("REVOKED symbol", "session_dead"),
    ("REVOKED analyzer", "session_dead"),
    ("REVOKED cancelorder", "session_dead"),
]
IN_THE_SAME_SHAPE = [
    ("LIVE placeorder sync reject", "funds_refused"),
    ("LIVE placeorder async reject", "rejected_after_accept"),
    ("REVOKED expiry", "session_dead"),
]


@pytest.fixture(scope="module")
def recorded(shared: Path) -> dict[str, RecordedCall]:
    """The first call of each label."""
    calls = recorded_calls(shared / "facts" / "openalgo-traffic.jsonl")
    return {call.label: call for call in reversed(calls)}


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperFaults]:
    state = tmp_path_factory.mktemp("words") / "state"
    with open_gateway(state, GatewayMode.ANALYZE, "--funds", "1e9") as (opened, _):
        yield opened


def struck(faults: PaperFaults, fault: str, call: RecordedCall) -> tuple[int, Any]:
    """Status and body of the recorded call while the fault is in force."""
    assert isinstance(call.request, dict)
    faults.paper.read("api/v1/analyzer/toggle", {"mode": not call.label.startswith("LIVE")})
    faults.set(fault)
    asked = {name: value for name, value in call.request.items() if name != "apikey"}
    try:
        answer = faults.paper.post(f"api/v1/{call.endpoint}", asked)
    finally:
        faults.clear()
    return answer.status_code, answer.json()


def plain(body: Any) -> Any:
    """Without what belongs to one machine: its name, its orders' ids and its limit."""
    if not isinstance(body, dict) or not isinstance(body.get("message"), str):
        return body
    text = _DIGITS.sub("0", _HOST.sub("http://broker", body["message"]))
    return {**body, "message": _LIMIT.sub("10 per", text)}


@pytest.mark.parametrize(("label", "fault"), IN_THE_SAME_WORDS)
def test_a_fault_answers_in_the_recorded_words(
    recorded: dict[str, RecordedCall], faults: PaperFaults, label: str, fault: str
) -> None:
    call = recorded[label]
    status, body = struck(faults, fault, call)
    assert (status, plain(body)) == (call.status, plain(call.response))


@pytest.mark.parametrize(("label", "fault"), IN_THE_SAME_SHAPE)
def test_a_fault_answers_in_the_recorded_shape(
    recorded: dict[str, RecordedCall], faults: PaperFaults, label: str, fault: str
) -> None:
    call = recorded[label]
    status, body = struck(faults, fault, call)
    assert status == call.status
    assert fits(body, call.response)


def test_three_fills_and_a_transitional_order_are_listed_as_recorded(
    recorded: dict[str, RecordedCall], faults: PaperFaults
) -> None:
    paper = faults.paper
    paper.read("api/v1/analyzer/toggle", {"mode": False})
    pieces = [
        {"quantity": 30, "price": "1164.6"},
        {"quantity": 30, "price": "1150", "after_looks": 1},
        {"quantity": 30, "price": "1140"},
    ]
    faults.set("partial_fill", pieces=pieces, times=1)
    order = _body(recorded["LIVE placeorder market partial"])
    orderid = paper.read("api/v1/placeorder", order)["orderid"]
    asked = {"strategy": "x", "orderid": orderid}
    for label in ("partially filled", "complete after 3 fills (VWAP?)"):
        told = paper.read("api/v1/orderstatus", asked)["data"]
        known = recorded[f"LIVE orderstatus {label}"].response["data"]
        own = {"orderid": orderid, "timestamp": told["timestamp"]}
        assert told == known | own
    rows = [row for row in paper.read("api/v1/tradebook")["data"] if row["orderid"] == orderid]
    fills = recorded["LIVE tradebook 3 fills"].response["data"][1:]
    for row, fill in zip(rows, fills, strict=True):
        assert row == fill | {"orderid": orderid, "timestamp": row["timestamp"]}
    faults.set("rejected_after_accept", times=1)
    paper.read("api/v1/placeorder", _body(recorded["LIVE placeorder async reject"]))
    faults.set("transitional_status")
    stuck = _body(recorded["LIVE placeorder stuck in VALIDATION PENDING"])
    orderid = paper.read("api/v1/placeorder", stuck)["orderid"]
    told = paper.read("api/v1/orderstatus", {"strategy": "x", "orderid": orderid})["data"]
    label = "LIVE orderstatus transitional (broker status VALIDATION PENDING)"
    known = recorded[label].response["data"]
    assert told == known | {"orderid": orderid, "timestamp": told["timestamp"]}
    faults.clear()


def _body(call: RecordedCall) -> dict[str, Any]:
    assert isinstance(call.request, dict)
    return {name: value for name, value in call.request.items() if name != "apikey"}
