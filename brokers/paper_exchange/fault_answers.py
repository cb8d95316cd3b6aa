"""Answers that are given instead: the call is not carried out.

Every text was recorded from the gateway. Where a fault says nothing about a call in its mode (a
token that died at the broker means nothing to the sandbox's books) there is no answer here.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal

from brokers.paper_exchange import answers
from brokers.paper_exchange.acceptance import insufficient_funds
from brokers.paper_exchange.calls import CLOSED, Answer, error
from brokers.paper_exchange.fault_stroke import Stroke
from brokers.paper_exchange.faults import BOOKS, QUOTES, FaultName

_BAD_KEY = "Invalid openalgo apikey"
_DEAD_TOKEN = "Incorrect `api_key` or `access_token`."  # noqa: S105 - what the broker says
_FAILED = "An unexpected error occurred in the API endpoint"
_NOT_PLACED = "Failed to place order due to internal error"
_MORE = "For more information check: https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/403"
_BROKER_PATHS = {
    "orderbook": "orders",
    "orderstatus": "orders",
    "tradebook": "trades",
    "positionbook": "portfolio/positions",
    "openposition": "portfolio/positions",
}
_VERBS = {"modifyorder": "modify", "cancelorder": "cancel"}
_SOME_INR = Decimal(155_000)


def internal_error(stroke: Stroke) -> Answer:
    """The same 500, whether the order was carried out or not."""
    return error(_NOT_PLACED if stroke.endpoint == "placeorder" else _FAILED, 500)


def _closed(_: Stroke) -> Answer:
    return CLOSED


def _limited_by_gateway(stroke: Stroke) -> Answer:
    return Answer({"message": stroke.limit}, 429)


def _limited_by_broker(_: Stroke) -> Answer:
    return error("Too many requests", 429)


def _schema_refused(stroke: Stroke) -> Answer:
    wrong = {"quantity": ["Not a valid number."]}
    return error(str(wrong) if stroke.words_errors else wrong, 400)


def _session_dead(_: Stroke) -> Answer:
    return error(_BAD_KEY, 403)


def _token_dead(stroke: Stroke) -> Answer | None:
    endpoint = stroke.endpoint
    if endpoint in QUOTES:
        return error(f"Error fetching {endpoint}: API Error: {_DEAD_TOKEN}", 500)
    if endpoint == "margin":
        return error(f"TokenException: {_DEAD_TOKEN}", 403)
    if stroke.is_sandbox:
        return None
    if endpoint == "placeorder":
        return error(_DEAD_TOKEN, 403)
    if endpoint == "funds":
        return Answer({"data": {}, "status": "success"})
    if endpoint in BOOKS:
        return error(_forbidden(f"http://broker/{_BROKER_PATHS[endpoint]}"), 500)
    where = f"http://broker/orders/regular/{stroke.asked['orderid']}"
    return error(f"Failed to {_VERBS[endpoint]} order: {_forbidden(where)}", 500)


def _forbidden(where: str) -> str:
    return f"Client error '403 Forbidden' for url '{where}'\n{_MORE}"


def _funds_refused(stroke: Stroke) -> Answer:
    return stroke.refusal(insufficient_funds(_SOME_INR, Decimal(1000), stroke.exchange.mode), 400)


def _margin_refused(_: Stroke) -> Answer:
    return error("No valid positions to calculate margin. Check if symbols are valid.", 400)


def _books_down(_: Stroke) -> Answer:
    return error(_FAILED, 500)


def _quotes_missing(stroke: Stroke) -> Answer:
    return error(f"Error fetching {stroke.endpoint}: API Error: gateway", 500)


def _contract_absent(stroke: Stroke) -> Answer | None:
    """What has no answer here is taken, and rejected by the broker, or is one of many."""
    asked, endpoint = stroke.asked, stroke.endpoint
    if endpoint == "multiquotes":
        return None
    symbol, exchange = asked["symbol"], asked["exchange"]
    if endpoint == "symbol":
        return error(f"Symbol {symbol} not found in exchange {exchange}", 404)
    if endpoint == "expiry":
        return Answer(answers.expiries_row(symbol, exchange, asked["instrumenttype"], []))
    if endpoint == "placeorder":
        text = f"Symbol {symbol} not found on {exchange}"
        return stroke.refusal(text, 400) if stroke.is_sandbox else None
    return error(answers.unknown_symbol(symbol, exchange), 400)


INSTEAD: Mapping[FaultName, Callable[[Stroke], Answer | None]] = {
    FaultName.REQUEST_LOST: _closed,
    FaultName.ERROR_BEFORE: internal_error,
    FaultName.LIMITED_BY_GATEWAY: _limited_by_gateway,
    FaultName.LIMITED_BY_BROKER: _limited_by_broker,
    FaultName.SCHEMA_REFUSED: _schema_refused,
    FaultName.SESSION_DEAD: _session_dead,
    FaultName.TOKEN_DEAD: _token_dead,
    FaultName.FUNDS_REFUSED: _funds_refused,
    FaultName.MARGIN_REFUSED: _margin_refused,
    FaultName.BOOKS_DOWN: _books_down,
    FaultName.QUOTES_MISSING: _quotes_missing,
    FaultName.CONTRACT_ABSENT: _contract_absent,
}
