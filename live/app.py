"""The web application: its parts put together, and every error told in the same few words.

An answer to an error has a stable code, a sentence and the request's id, by which the log tells
the rest; it never repeats a secret, a path, or what another system said.
"""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from ipaddress import ip_network

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from core.errors import ConfigInvalid, OutcomeUnknown, Rejected, Retryable
from core.webhook_parser import PayloadInvalid
from live.access import CallerRefused, TokenMissing
from live.api.health import health_blueprint
from live.api.webhook import AlertDesk, Network, polling, webhook_blueprint
from live.duplicates import DuplicateDetector
from live.ids import new_id
from live.web_parts import WebParts

LARGEST_BODY_BYTES = 64 * 1024

_LOG = logging.getLogger(__name__)


def read_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Addresses or networks such as 52.89.214.238 and 10.0.0.0/8. Raises ConfigInvalid."""
    found = []
    for place, text in enumerate(texts):
        try:
            found.append(ip_network(text))
        except ValueError as error:
            raise ConfigInvalid(
                f"webhook_sources[{place}]", text, "an address, or a network such as 10.0.0.0/8"
            ) from error
    return tuple(found)


def create_app(parts: WebParts) -> Flask:
    """The application over `parts`; it opens nothing until it is called."""
    app = Flask("portfolio_manager", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY_BYTES
    app.url_map.strict_slashes = app.url_map.merge_slashes = False
    if proxies := parts.settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies)  # type: ignore[method-assign]
    _number_requests(app)
    _tell_errors(app)
    app.register_blueprint(webhook_blueprint(_alert_desk(parts)))
    app.register_blueprint(health_blueprint(parts.store))
    return app


def _alert_desk(parts: WebParts) -> AlertDesk:
    store, clock, settings = parts.store, parts.clock, parts.settings
    return AlertDesk(
        store,
        parts.access,
        parts.instruments,
        clock,
        DuplicateDetector(store, parts.redis, clock),
        parts.waiter or polling(store, clock, settings.outcome_wait_s),
        settings.webhook_sources,
    )


def _number_requests(app: Flask) -> None:
    @app.before_request
    def number_request() -> None:
        g.request_id = new_id()

    @app.after_request
    def name_request(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        return response


def _tell_errors(app: Flask) -> None:
    @app.errorhandler(Rejected)
    def rejected(error: Rejected) -> tuple[Response, int]:
        match error:
            case PayloadInvalid():
                reason = "the alert cannot be read"
                return _refusal(HTTPStatus.BAD_REQUEST, error.code, reason, error.errors)
            case TokenMissing():
                return _refusal(HTTPStatus.UNAUTHORIZED, error.code, str(error))
            case CallerRefused():
                return _refusal(HTTPStatus.FORBIDDEN, error.code, str(error))
            case _:
                return _refusal(HTTPStatus.CONFLICT, error.code, str(error))

    @app.errorhandler(Retryable)
    @app.errorhandler(OutcomeUnknown)
    def unavailable(error: Exception) -> tuple[Response, int]:
        _LOG.error("request %s could not be served: %s", g.request_id, error)
        reason = "the database cannot be reached; send it again"
        return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE", reason)

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> tuple[Response, int]:
        status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
        return _refusal(status, status.name, status.description or status.phrase)

    @app.errorhandler(Exception)
    def failed(error: Exception) -> tuple[Response, int]:
        _LOG.error("request %s to %s failed", g.request_id, request.endpoint, exc_info=error)
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        return _refusal(status, "INTERNAL_ERROR", "an error that was not foreseen; see the log")


def _refusal(
    status: HTTPStatus, code: str, reason: str, errors: Mapping[str, list[str]] | None = None
) -> tuple[Response, int]:
    body: dict[str, object] = {
        "status": "error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "rejected",
        "code": code,
        "reason": reason,
        "request_id": g.request_id,
    }
    if errors is not None:
        body["errors"] = errors
    return jsonify(body), status
