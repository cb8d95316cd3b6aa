"""Every error is told in the same few words: status, code, reason, request_id, and errors by field.

An answer to an error has a stable code, a sentence and the request's id, by which the log tells
the rest; it never repeats a secret, a path, or what another system said.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from core.errors import OutcomeUnknown, Rejected, Retryable
from core.webhook_parser import PayloadInvalid
from live.access import CallerRefused, TokenMissing

FieldErrors = Mapping[str, list[str]]

_LOG = logging.getLogger(__name__)
_ALERTS = "webhook"
_WORDS = {
    HTTPStatus.NOT_FOUND: "there is no such address: /openapi.json lists those that there are",
    HTTPStatus.METHOD_NOT_ALLOWED: "this address takes only the methods that Allow names",
}


class ArgumentsInvalid(Rejected):
    """Arguments that cannot be read. `errors` holds, by field, what is wrong with them."""

    def __init__(self, errors: FieldErrors) -> None:
        super().__init__("INVALID_ARGUMENTS", "the arguments cannot be read")
        self.errors = errors


class NotThere(Rejected):
    """There is nothing of that id."""

    def __init__(self, what: str) -> None:
        super().__init__("NOT_FOUND", f"there is no such {what}")


class Busy(Retryable):
    """Too much at once; the same may be asked again in `wait_s`."""

    def __init__(self, status: HTTPStatus, code: str, reason: str, wait_s: int) -> None:
        super().__init__(reason)
        self.status = status
        self.code = code
        self.wait_s = wait_s


def tell_errors(app: Flask) -> None:
    """Answer whatever is raised."""
    app.register_error_handler(Rejected, _rejected)
    app.register_error_handler(Busy, _busy)
    app.register_error_handler(Retryable, _not_done)
    app.register_error_handler(OutcomeUnknown, _perhaps_done)
    app.register_error_handler(HTTPException, _refused)
    app.register_error_handler(Exception, _failed)


def _rejected(error: Rejected) -> Response:
    match error:
        case PayloadInvalid():
            reason = "the alert cannot be read"
            return _refusal(HTTPStatus.BAD_REQUEST, error.code, reason, error.errors)
        case ArgumentsInvalid():
            return _refusal(HTTPStatus.BAD_REQUEST, error.code, str(error), error.errors)
        case TokenMissing():
            response = _refusal(HTTPStatus.UNAUTHORIZED, error.code, str(error))
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        case CallerRefused():
            return _refusal(HTTPStatus.FORBIDDEN, error.code, str(error))
        case NotThere():
            return _refusal(HTTPStatus.NOT_FOUND, error.code, str(error))
        case _:
            return _refusal(HTTPStatus.CONFLICT, error.code, str(error))


def _busy(error: Busy) -> Response:
    response = _refusal(error.status, error.code, str(error))
    response.headers["Retry-After"] = str(error.wait_s)
    return response


def _not_done(error: Retryable) -> Response:
    _LOG.error("request %s could not be served: %s", g.request_id, error)
    reason = "nothing was done, for something cannot be reached just now; send it again"
    return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE", reason)


def _perhaps_done(error: OutcomeUnknown) -> Response:
    """An alert is stored only once, however often it is sent; other things are done again."""
    if request.blueprint == _ALERTS:
        return _not_done(Retryable(str(error)))
    _LOG.error("request %s may have been served: %s", g.request_id, error)
    reason = "it may have been done, but no answer said so: look before asking again"
    return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, "OUTCOME_UNKNOWN", reason)


def _refused(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    told = _WORDS.get(status) or error.description or status.phrase
    response = _refusal(status, status.name, told)
    for name, value in error.get_headers(request.environ):
        if name == "Allow":
            response.headers[name] = value
    return response


def _failed(error: Exception) -> Response:
    _LOG.error("request %s to %s failed", g.request_id, request.endpoint, exc_info=error)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return _refusal(status, "INTERNAL_ERROR", "an error that was not foreseen; see the log")


def _refusal(
    status: HTTPStatus, code: str, reason: str, errors: FieldErrors | None = None
) -> Response:
    body: dict[str, object] = {
        "status": "error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "rejected",
        "code": code,
        "reason": reason,
        "request_id": g.request_id,
    }
    if errors is not None:
        body["errors"] = errors
    response = jsonify(body)
    response.status_code = status
    return response
