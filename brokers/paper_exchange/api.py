"""OpenAlgo's contract over HTTP: limit, then parse, schema and key, then faults, then the exchange.

The order of these steps and the shape of every refusal are those recorded from the gateway.
"""

import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any

from flask import Flask, Response, request
from marshmallow import ValidationError

from brokers.paper_exchange.acceptance import ORDER_NOT_FOUND
from brokers.paper_exchange.calls import NO_ANSWER, Answer, Json, Request, error
from brokers.paper_exchange.endpoints import Endpoint, Endpoints
from brokers.paper_exchange.exchange import PaperExchange
from brokers.paper_exchange.fault_control import FaultControl
from brokers.paper_exchange.fault_gate import FaultGate
from brokers.paper_exchange.fault_schemas import FaultsSchema
from brokers.paper_exchange.orders import Mode
from brokers.paper_exchange.rate_limit import RateLimit
from core.errors import Rejected
from core.ports import Clock

READS_PER_S = 50
ORDERS_PER_S = 10
_LARGEST_BODY = 256 * 1024
_FAILED = "Internal Server Error"
_BAD_KEY = "Invalid openalgo apikey"
_UNREADABLE = "The browser (or proxy) sent a request that this server could not understand."
_NOT_FOUND_CODES = {ORDER_NOT_FOUND, "SYMBOL_NOT_FOUND"}
_LIVE_VERBS = {"modifyorder": "modify", "cancelorder": "cancel"}

# Whoever moves the market and the clock is no caller of the gateway: a lost price would be a lie.
_CONTROLS_PER_S = 100_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Calls a second to one endpoint."""

    orders_per_s: int = ORDERS_PER_S
    reads_per_s: int = READS_PER_S


def create_app(
    exchange: PaperExchange,
    apikey: str,
    endpoints: Endpoints,
    faults: FaultControl,
    clock: Clock,
    limits: Limits,
) -> Flask:
    """The WSGI application. `clock` measures the rate of calls."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = _LARGEST_BODY

    def offer(prefix: str, path: str, gate: "_Gate") -> None:
        rule = f"{prefix}/{path}"
        app.add_url_rule(rule, rule, gate.respond, methods=["POST"], strict_slashes=False)

    for path, endpoint in endpoints.table(limits.orders_per_s, limits.reads_per_s).items():
        gate = _Gate(path, endpoint, exchange, apikey, clock)
        gate.faults = FaultGate(path, gate.limit_text, endpoint.words_errors, faults.plan, exchange)
        offer("/api/v1", path, gate)
    control = endpoints.control(_CONTROLS_PER_S)
    control["faults"] = Endpoint(FaultsSchema(), faults.add, _CONTROLS_PER_S)
    for path, endpoint in control.items():
        offer("/control", path, _Gate(path, endpoint, exchange, apikey, clock))
    faults.routes(app, apikey)
    app.add_url_rule("/health", "health", _health)
    for status in (404, 405):
        app.register_error_handler(status, _not_found)
    app.register_error_handler(500, _failed)
    return app


class _Gate:
    """The way into one endpoint. `faults` stand in it where something can go wrong."""

    def __init__(
        self, path: str, endpoint: Endpoint, exchange: PaperExchange, apikey: str, clock: Clock
    ) -> None:
        self._path = path
        self._endpoint = endpoint
        self._exchange = exchange
        self._apikey = apikey.encode()
        self._clock = clock
        self._limit = RateLimit(endpoint.calls_per_s)
        self.faults: FaultGate | None = None

    @property
    def limit_text(self) -> str:
        """How its rate limit is named."""
        return self._limit.text

    def respond(self) -> Response:
        """Answer the request at hand."""
        answer = self._answer()
        if answer.status == NO_ANSWER:
            _hang_up()
        text = json.dumps(answer.body, separators=(",", ":"))
        return Response(text, answer.status or 500, mimetype="application/json")

    def _answer(self) -> Answer:
        if not self._limit.admits(self._clock.monotonic()):
            return Answer({"message": self._limit.text}, 429)
        if not request.is_json:
            return error("An unexpected error occurred in the API endpoint", 500)
        try:
            body = json.loads(request.get_data(cache=False))
        except (ValueError, RecursionError):
            return Answer({"message": _UNREADABLE}, 400)
        if not isinstance(body, dict):
            return Answer({"message": _FAILED}, 500)
        return self._checked(body)

    def _checked(self, body: Json) -> Answer:
        endpoint = self._endpoint
        try:
            asked: dict[str, Any] = endpoint.schema.load(body)
        except ValidationError as wrong:
            message = str(wrong.messages) if endpoint.words_errors else wrong.messages
            return error(message, 400, self._mode_shown(endpoint.names_mode_early))
        if endpoint.checks_key and not self._knows(asked["apikey"]):
            return error(_BAD_KEY, 403)
        carry_out = self._carried_out
        return carry_out(asked) if self.faults is None else self.faults.answer(asked, carry_out)

    def _carried_out(self, asked: Request) -> Answer:
        try:
            return Answer(self._endpoint.handle(asked))
        except Rejected as refusal:
            return self._refused(refusal, asked)

    def _refused(self, refusal: Rejected, asked: Request) -> Answer:
        verb = _LIVE_VERBS.get(self._path)
        if verb is not None and self._exchange.mode is Mode.LIVE:
            gone = refusal.code == ORDER_NOT_FOUND
            cause = "404 Not Found" if gone else "400 Bad Request"
            where = f"http://broker/orders/regular/{asked['orderid']}"
            text = f"Failed to {verb} order: Client error '{cause}' for url '{where}'"
            return error(text, 500)
        status = 404 if refusal.code in _NOT_FOUND_CODES else 400
        return error(str(refusal), status, self._mode_shown(self._endpoint.names_mode))

    def _mode_shown(self, wanted: bool) -> Json:
        mode = self._exchange.mode
        return {"mode": mode.value} if wanted and mode is Mode.ANALYZE else {}

    def _knows(self, apikey: str) -> bool:
        return compare_digest(apikey.encode(errors="replace"), self._apikey)


def _hang_up() -> None:
    """Close the connection of the request at hand; what is written to it later goes nowhere."""
    connection: socket.socket = request.environ["werkzeug.socket"]
    with suppress(OSError):  # the caller may be gone before
        connection.shutdown(socket.SHUT_RDWR)


def _health() -> dict[str, str]:
    return {"status": "success"}


def _not_found(_: Exception) -> tuple[dict[str, str], int]:
    return {"message": "Not found", "path": request.path, "status": "error"}, 404


def _failed(_: Exception) -> tuple[dict[str, str], int]:
    return {"message": _FAILED}, 500
