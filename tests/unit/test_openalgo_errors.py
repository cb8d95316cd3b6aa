"""Six shapes of failure, and what the caller of a read or of an order is to do about each."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.openalgo_errors import (
    Answer,
    AnswerUnknown,
    CallKind,
    RefusalCode,
    error_of,
    is_ambiguous_refusal,
)
from core.errors import Halted, OutcomeUnknown, PortfolioError, Rejected, Retryable

READ, ORDER = CallKind.READ, CallKind.ORDER


def answer(status: int, body: object) -> Answer:
    """An answer whose body is JSON."""
    return Answer(status, body, json.dumps(body)[:300])


def plain(status: int, text: str) -> Answer:
    """An answer that is not JSON."""
    return Answer(status, None, text)


def failed(message: object, **more: object) -> dict[str, Any]:
    """The gateway's usual body of a failure."""
    return {"status": "error", "message": message, **more}


REFUSALS = [
    (400, failed("{'quantity': ['Not a valid number.']}"), RefusalCode.BAD_FIELDS),
    (400, failed({"exchange": ["Must be one of: NSE, NFO."]}), RefusalCode.BAD_FIELDS),
    (400, failed("{'positions': {0: {'quantity': ['Not a valid string.']}}}"), "BAD_FIELDS"),
    (400, failed("Quantity must be in multiples of lot size 30", mode="analyze"), "REFUSED"),
    (400, failed("{'this is not a dictionary"), RefusalCode.REFUSED),
    (400, failed("{{}: 'no key'}"), RefusalCode.REFUSED),
    (400, failed("{" + "-" * 9000 + "1}"), RefusalCode.REFUSED),
    (400, {"status": "error"}, RefusalCode.REFUSED),
    (400, {"message": "The browser (or proxy) sent a request ..."}, RefusalCode.REFUSED),
    (404, failed("Order 999 not found", mode="analyze"), RefusalCode.NOT_FOUND),
    (404, failed("Not found", path="/api/v1/nosuch"), RefusalCode.NO_SUCH_ENDPOINT),
    (403, failed("Incorrect `api_key` or `access_token`."), RefusalCode.SESSION_DEAD),
    (403, failed("TokenException: Incorrect key."), RefusalCode.SESSION_DEAD),
    (403, failed("Invalid openalgo apikey"), RefusalCode.FORBIDDEN),
    (401, failed("IP not registered"), RefusalCode.FORBIDDEN),
]


@pytest.mark.parametrize("kind", [READ, ORDER])
@pytest.mark.parametrize(("status", "body", "code"), REFUSALS)
def test_a_known_refusal_is_believed_for_reads_and_for_orders(
    kind: CallKind, status: int, body: dict[str, Any], code: str
) -> None:
    error = error_of(kind, "placeorder", answer(status, body))
    assert isinstance(error, Rejected)
    assert error.code == code


@pytest.mark.parametrize("kind", [READ, ORDER])
def test_a_banned_address_is_refused_in_plain_text(kind: CallKind) -> None:
    error = error_of(kind, "funds", plain(403, "Access Denied: Your IP has been banned"))
    assert isinstance(error, Rejected)
    assert error.code == RefusalCode.FORBIDDEN


UNCLEAR = [
    answer(500, failed("Failed to place order due to internal error")),
    answer(500, {"message": "Internal Server Error"}),
    answer(500, failed("An unexpected error occurred in the API endpoint")),
    answer(502, failed("bad gateway")),
    answer(429, failed("Too many requests")),
    answer(429, {"message": "please slow down"}),
    answer(429, failed("10 per 1 second")),
    answer(200, failed("something went wrong")),
    answer(200, {"data": {}}),
    answer(200, ["success"]),
    answer(201, {"status": "success", "orderid": "1"}),
    answer(302, {"status": "success"}),
    answer(400, {"status": "success"}),
    answer(403, {"status": "success", "message": "Invalid something"}),
    answer(400, ["quantity"]),
    answer(409, failed("conflict")),
    plain(400, "<html>Bad Request</html>"),
    plain(403, "<html>Forbidden</html>"),
    plain(404, "<html>Not Found</html>"),
    plain(429, "10 per 1 second"),
    plain(500, "Access Denied: Your IP has been banned"),
    plain(502, "<html>Bad Gateway</html>"),
    plain(200, ""),
]


@pytest.mark.parametrize("unclear", UNCLEAR)
def test_what_is_not_known_to_be_a_refusal_leaves_an_order_unknown(unclear: Answer) -> None:
    assert isinstance(error_of(ORDER, "placeorder", unclear), OutcomeUnknown)


@pytest.mark.parametrize("unclear", UNCLEAR)
def test_what_is_not_known_to_be_a_refusal_leaves_a_read_to_be_asked_again(
    unclear: Answer,
) -> None:
    assert isinstance(error_of(READ, "positionbook", unclear), AnswerUnknown)


@pytest.mark.parametrize("kind", [READ, ORDER])
@pytest.mark.parametrize("message", ["10 per 1 second", "10 per 1 second;40 per 1 minute"])
def test_the_gateways_own_limit_did_nothing_and_may_be_tried_again(
    kind: CallKind, message: str
) -> None:
    error = error_of(kind, "placeorder", answer(429, {"message": message}))
    assert type(error) is Retryable


def test_the_gateways_own_kill_switch_halts() -> None:
    body = failed("Trading is stopped", code="KILL_SWITCH_ACTIVE")
    assert isinstance(error_of(ORDER, "placeorder", answer(403, body)), Halted)


@pytest.mark.parametrize("kind", [READ, ORDER])
def test_a_success_is_no_error(kind: CallKind) -> None:
    assert error_of(kind, "funds", answer(200, {"status": "success", "data": {}})) is None


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Order 1 not found", "x: Order 1 not found"),
        ("two\nlines", "x: two lines"),
        ("{'quantity': ['Not a valid number.', 'No.']}", "x: quantity: Not a valid number., No."),
        ({"a": ["b"], "c": ["d"]}, "x: a: b; c: d"),
        ("{'positions': {0: {'quantity': ['Bad.']}}}", "x: positions: 0: quantity: Bad."),
        (None, "x: no message (HTTP 404)"),
        (7, "x: no message (HTTP 404)"),
        ("\ud800", "x: ?"),
    ],
)
def test_the_message_is_told_in_one_line_whatever_it_is(message: object, told: str) -> None:
    assert str(error_of(READ, "x", answer(404, failed(message)))) == told


def test_a_message_nested_beyond_reason_is_cut_short() -> None:
    nested: list[Any] = ["bottom"]
    for _ in range(5000):
        nested = [nested]
    refused = error_of(ORDER, "x", Answer(400, failed(nested), ""))
    assert str(refused) == "x: no message (HTTP 400)"


@pytest.mark.parametrize(
    ("given_answer", "is_ambiguous"),
    [
        (answer(403, failed("Invalid openalgo apikey")), True),
        (answer(403, failed("Incorrect `api_key` or `access_token`.")), False),
        (answer(400, failed("Invalid openalgo apikey")), False),
        (plain(403, "Invalid openalgo apikey"), False),
    ],
)
def test_only_the_gateways_own_403_needs_a_second_question(
    given_answer: Answer, is_ambiguous: bool
) -> None:
    assert is_ambiguous_refusal(given_answer) is is_ambiguous


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["status", "message", "path", "code"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(
    kind=st.sampled_from(CallKind),
    status=st.sampled_from([200, 201, 302, 400, 401, 403, 404, 408, 429, 500, 502, 503]),
    body=JSON | st.fixed_dictionaries({"status": st.just("error"), "message": JSON}),
)
def test_any_answer_is_a_success_or_one_error_of_the_tree(
    kind: CallKind, status: int, body: object
) -> None:
    error = error_of(kind, "cancelorder", answer(status, body))
    if status == 200 and isinstance(body, dict) and body.get("status") == "success":
        assert error is None
    else:
        assert isinstance(error, PortfolioError)
        assert "\n" not in str(error)
    if status not in (200, 400, 401, 403, 404, 429):
        assert isinstance(error, OutcomeUnknown if kind is ORDER else AnswerUnknown)
