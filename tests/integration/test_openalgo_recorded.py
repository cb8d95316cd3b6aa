"""Each answer recorded from a real gateway comes out as a value or as the right error."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from brokers.messages import Contract, GatewayMode
from brokers.openalgo_client import OpenAlgoClient
from brokers.openalgo_errors import AnswerUnknown, RefusalCode
from core.errors import OutcomeUnknown, PortfolioError, Rejected, Retryable
from tests.fixtures.gateway_calls import CALLS, ORDER, ORDER_CALLS, client_of, scripted
from tests.fixtures.scripted_gateway import Reply, ScriptedGateway, Trouble, error, running_gateway

LIVE_LABELS = ("LIVE", "UNREVOKED", "ws placeorder live")
UNKNOWN_SUCCESSES = {"LIVE funds broker token dead", "expiry unknown", "holidays 2027"}


@pytest.fixture
def recording(shared: Path) -> list[dict[str, Any]]:
    """The recorded calls, oldest first; skips where they are absent."""
    file = shared / "facts" / "openalgo-traffic.jsonl"
    if not file.is_file():
        pytest.skip("no recorded traffic: shared/facts is not beside the repository")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    """A gateway whose script the test sets."""
    with running_gateway(scripted({})) as running:
        yield running


def expected_of(row: dict[str, Any], name: str) -> type[object]:
    """What a recorded call must come to: the type of an error, or `object` for a value."""
    status, response = row["status"], row["response"]
    is_order = name in ORDER_CALLS
    if status == 200:
        if name == "placeorder" and "orderid" not in response:
            return Rejected
        return AnswerUnknown if row["label"] in UNKNOWN_SUCCESSES else object
    if status in (400, 403, 404):
        return Rejected
    if status == 429 and "status" not in response:
        return Retryable
    return OutcomeUnknown if is_order else AnswerUnknown


def replayed(gateway: ScriptedGateway, row: dict[str, Any], name: str) -> object:
    """What the client makes of a recorded answer: a value, or the error it raises."""
    response = row["response"]
    reply: Reply | Trouble = Reply(row["status"], response) if row["status"] else Trouble.SILENCE
    replies: dict[str, Reply | Trouble] = {name: reply}
    if name != "expiry" and "bad key" in row["label"]:
        replies["expiry"] = error(403, "Invalid openalgo apikey")
    gateway.script = scripted(replies)
    is_live = row["label"].startswith(LIVE_LABELS)
    mode = GatewayMode.LIVE if is_live else GatewayMode.ANALYZE
    request = row["request"] if isinstance(row["request"], dict) else {}
    usual_s, patience_s = 10.0, 10.0 if row["status"] else 0.1
    is_order = name in ORDER_CALLS
    read_s, order_s = (usual_s, patience_s) if is_order else (patience_s, usual_s)
    with client_of(gateway.url, mode, read_s=read_s, order_s=order_s) as client:
        try:
            return recorded_call(client, name, request)
        except PortfolioError as raised:
            return raised


def recorded_call(client: OpenAlgoClient, name: str, request: dict[str, Any]) -> object:
    """The call whose answer was recorded, about the same contract or order."""
    order_id = request.get("orderid", "7")
    contract = Contract(request.get("symbol", ""), request.get("exchange", ""))
    about: dict[str, Callable[[], object]] = {
        "orderstatus": lambda: client.order_status(order_id),
        "cancelorder": lambda: client.cancel_order(order_id),
        "modifyorder": lambda: client.modify_order(order_id, ORDER),
        "symbol": lambda: client.symbol(contract),
        "quotes": lambda: client.quote(contract),
    }
    return about[name]() if name in about else CALLS[name](client)


def test_every_recorded_answer_becomes_a_value_or_the_right_error(
    gateway: ScriptedGateway, recording: list[dict[str, Any]]
) -> None:
    wrong, seen = [], 0
    for row in recording:
        name = row["path"].removeprefix("/api/v1/")
        if name not in CALLS:
            continue
        seen += 1
        expected, found = expected_of(row, name), replayed(gateway, row, name)
        is_right = (
            not isinstance(found, Exception) if expected is object else isinstance(found, expected)
        )
        if not is_right:
            wrong.append((row["label"], row["status"], expected.__name__, repr(found)))
    assert wrong == []
    assert (len(recording), seen) == (240, 201)


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("placeorder bad key", RefusalCode.BAD_KEY),
        ("ping bad key", RefusalCode.BAD_KEY),
        ("expiry bad key", RefusalCode.BAD_KEY),
        ("REVOKED placeorder", RefusalCode.SESSION_DEAD),
        ("REVOKED orderbook", RefusalCode.SESSION_DEAD),
        ("LIVE placeorder broker token dead", RefusalCode.SESSION_DEAD),
        ("margin broker token dead", RefusalCode.SESSION_DEAD),
        ("SEMI placeorder queued", RefusalCode.SEMI_AUTO),
        ("placeorder bad lot", RefusalCode.REFUSED),
        ("placeorder zero", RefusalCode.BAD_FIELDS),
        ("quotes bad exchange", RefusalCode.BAD_FIELDS),
        ("placeorder GET", RefusalCode.NO_SUCH_ENDPOINT),
        ("cancelorder again", RefusalCode.REFUSED),
        ("orderstatus unknown", RefusalCode.NOT_FOUND),
        ("symbol unknown", RefusalCode.NOT_FOUND),
    ],
)
def test_a_recorded_refusal_keeps_its_code(
    gateway: ScriptedGateway, recording: list[dict[str, Any]], label: str, code: RefusalCode
) -> None:
    row = next(row for row in recording if row["label"] == label and row["status"] != 429)
    refused = replayed(gateway, row, row["path"].removeprefix("/api/v1/"))
    assert isinstance(refused, Rejected)
    assert refused.code == code
