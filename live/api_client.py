"""The command line's way to the running service: its address and tokens found, its errors typed.

The address is in PM_HOME/run.json while the service runs; tokens are in PM_HOME/tokens.json, or in
the environment where the operator chose them. What is asked of a person here can be done again by
that person, so an answer that never came says so and nothing is repeated.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests
from requests.exceptions import InvalidHeader, InvalidSchema, InvalidURL, MissingSchema

from core.errors import InputInvalid, OutcomeUnknown, Rejected, Retryable
from live.access import TOKENS_FILE, Role
from live.launcher.home import Home
from live.launcher.running import running_service
from live.settings import home_of

JsonObject = dict[str, Any]

TOKEN_VARIABLES: Mapping[Role, str] = {
    Role.WEBHOOK: "PM_WEBHOOK_SECRET",
    Role.VIEWER: "PM_VIEWER_TOKEN",
    Role.OPERATOR: "PM_OPERATOR_TOKEN",
}
_CONNECT_S, _ANSWER_S = 3.0, 15.0
_NO_ADDRESS = (InvalidHeader, InvalidSchema, InvalidURL, MissingSchema)
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class NotRunning(Retryable):
    """Nobody answers there."""

    def __init__(self, where: str) -> None:
        super().__init__(f"the service does not run ({where}): start it with ./start_all.sh")


class TokenRefused(Rejected):
    """The service runs with other tokens than ours."""

    def __init__(self, role: Role) -> None:
        super().__init__(
            "CALLER_REFUSED",
            f"the service does not know this {role} token: is PM_HOME (or "
            f"{TOKEN_VARIABLES[role]}) that of the running service?",
        )


class ServiceRefused(Rejected):
    """The service understood and says no; `code` is its own."""

    def __init__(self, answer: JsonObject) -> None:
        told = [str(answer.get("reason", "it was refused"))]
        errors = answer.get("errors") or {}
        told += [f"{name} {', '.join(found)}" for name, found in errors.items()]
        super().__init__(str(answer.get("code", "REFUSED")), "; ".join(told))


@dataclass(frozen=True, slots=True)
class AlertAnswer:
    """What the webhook answered to one payload."""

    status: HTTPStatus
    body: JsonObject

    @property
    def is_taken(self) -> bool:
        """Whether the alert was handled, is being handled, or repeats one that is."""
        return self.status in (HTTPStatus.OK, HTTPStatus.ACCEPTED) and self.word != "error"

    @property
    def word(self) -> str:
        """executed, accepted, duplicate, blocked, rejected or error."""
        return str(self.body.get("status", "error"))


@dataclass(frozen=True, slots=True)
class ServiceClient:
    """Calls one service. Its errors are NotRunning, TokenRefused, ServiceRefused and Retryable,
    and OutcomeUnknown where something was asked to change and no answer came."""

    url: str
    tokens: Mapping[Role, str] = field(repr=False)

    def get(self, path: str, **query: object) -> JsonObject:
        """What the service says there, as a viewer."""
        wanted = {name: str(value) for name, value in query.items() if value is not None}
        response = self._call("GET", path, Role.VIEWER, params=wanted)
        return _judged(response, Role.VIEWER)

    def post(self, path: str, **body: object) -> JsonObject:
        """Ask the service to do something, as the operator."""
        given = {name: value for name, value in body.items() if value is not None}
        return _judged(self._call("POST", path, Role.OPERATOR, json=given), Role.OPERATOR)

    def send_alert(self, payload: bytes) -> AlertAnswer:
        """Send a payload as TradingView does, just as it is."""
        response = self._call("POST", "/webhook", Role.WEBHOOK, data=payload)
        if response.status_code in _REFUSED:
            raise TokenRefused(Role.WEBHOOK)
        return AlertAnswer(HTTPStatus(response.status_code), _object(response))

    def _call(self, method: str, path: str, role: Role, **more: Any) -> requests.Response:
        secret = self._token(role)
        is_alert = role is Role.WEBHOOK
        headers = {"X-Webhook-Token": secret} if is_alert else {"Authorization": f"Bearer {secret}"}
        with requests.Session() as session:
            session.trust_env = False
            try:
                return session.request(
                    method,
                    self.url.rstrip("/") + path,
                    headers=headers,
                    timeout=(_CONNECT_S, _ANSWER_S),
                    allow_redirects=False,
                    **more,
                )
            except _NO_ADDRESS as error:
                raise InputInvalid(self.url, "it is no address of a service") from error
            except requests.RequestException as error:
                if _never_arrived(error):
                    raise NotRunning(self.url) from error
                # An answer that broke off is none: what was asked may have been done.
                raise self._unanswered(method) from error

    def _token(self, role: Role) -> str:
        if role not in self.tokens:
            raise InputInvalid(
                TOKENS_FILE,
                f"no {role} token: set PM_HOME to the service's folder, or {TOKEN_VARIABLES[role]}",
            )
        return self.tokens[role]

    def _unanswered(self, method: str) -> Retryable | OutcomeUnknown:
        if method == "GET":
            return Retryable(f"{self.url} gave no answer in time: try again")
        return OutcomeUnknown(f"{self.url} gave no answer: it may have been done, look first")


def open_client(variables: Mapping[str, str], url: str | None = None) -> ServiceClient:
    """The client of the service on PM_HOME, or of the one at `url`. Raises NotRunning."""
    home = Home(home_of(variables))
    if url is None:
        running = running_service(home)
        if running is None:
            raise NotRunning(f"nothing holds {home.path}")
        url = running.url
    chosen = {role: variables[name] for role, name in TOKEN_VARIABLES.items() if name in variables}
    return ServiceClient(url, _kept_tokens(home.tokens) | chosen)


def _kept_tokens(path: Path) -> dict[Role, str]:
    """The tokens in a file that may have been deleted once they were handed out."""
    try:
        return {Role(role): token for role, token in json.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}
    except PermissionError as error:
        raise InputInvalid(str(path), "only the account that runs the service reads it") from error
    except (ValueError, AttributeError) as error:
        raise InputInvalid(str(path), "it holds no tokens") from error


def _judged(response: requests.Response, role: Role) -> JsonObject:
    body = _object(response)
    status, code = HTTPStatus(response.status_code), body.get("code")
    if response.ok:
        return body
    if status in _REFUSED:
        raise TokenRefused(role)
    if code == "OUTCOME_UNKNOWN":
        raise OutcomeUnknown(str(body["reason"]))
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        raise Retryable(str(body.get("reason", "the service is busy: try again")))
    raise ServiceRefused(body)


def _object(response: requests.Response) -> JsonObject:
    try:
        found = response.json()
    except ValueError as error:
        raise InputInvalid(response.url, "something else than the service answers there") from error
    if not isinstance(found, dict):
        raise InputInvalid(response.url, "something else than the service answers there")
    return found


def _never_arrived(error: requests.RequestException) -> bool:
    """Whether the connection was refused, so that nothing was sent on it."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return type(reason).__name__ in ("NewConnectionError", "NameResolutionError")
