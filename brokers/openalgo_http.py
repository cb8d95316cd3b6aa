"""One POST to the gateway: an answer, or an error that says whether the gateway may have heard it.

Reads share a kept-alive connection and are asked a second time when it breaks. An order call is
made once, on a connection of its own: a kept one may be closed by the gateway at the very moment
of sending, and then nobody could say whether the order had left. The key goes into the body and
nowhere else; errors are raised free of the request that carried it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import NoReturn
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError

from brokers.openalgo_errors import Answer, CallKind, is_success
from core.errors import ConfigInvalid, OutcomeUnknown, PortfolioError, Retryable

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 30.0
# Longer than the gateway waits for its broker (120 s): before that, an outcome cannot be known.
ORDER_TIMEOUT_S = 125.0

_TEXT_SHOWN = 300
_HIDDEN = b"<key>"
_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """Where the gateway is, its key, and how long to wait for it. Raises ConfigInvalid."""

    url: str
    api_key: str = field(repr=False)
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    read_timeout_s: float = READ_TIMEOUT_S
    order_timeout_s: float = ORDER_TIMEOUT_S

    def __post_init__(self) -> None:
        if not is_plain_url(self.url, ("http", "https")):
            raise ConfigInvalid("openalgo.url", "(not shown)", "http(s)://host[:port] is expected")
        if not self.api_key.strip():
            raise ConfigInvalid("openalgo.api_key", "", "the gateway's API key is expected")


def is_plain_url(url: str, schemes: tuple[str, ...]) -> bool:
    """Whether it names a host by one of `schemes` and carries no credentials."""
    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_web = parts.scheme in schemes and bool(parts.hostname)
    return is_web and has_port and "@" not in parts.netloc


class _Break(Enum):
    """How a call ended without an answer."""

    NOT_SENT = "no connection"
    TIMED_OUT = "no answer in time"
    CUT_OFF = "the connection broke"


class GatewayHttp:
    """The wire. Safe to share between threads; `close()` when done."""

    def __init__(self, address: GatewayAddress) -> None:
        self._address = address
        self._root = address.url.rstrip("/") + "/api/v1/"
        self._reads = _new_session()

    def __repr__(self) -> str:
        return f"GatewayHttp({self._address.url!r})"

    def close(self) -> None:
        """Give back the kept connections."""
        self._reads.close()

    def read(self, endpoint: str, fields: Mapping[str, object]) -> Answer:
        """Ask. Raises Retryable when no answer came, twice where the connection broke."""
        timeout_s = self._address.read_timeout_s
        outcome = self._post(self._reads, endpoint, fields, timeout_s)
        if outcome in (_Break.NOT_SENT, _Break.CUT_OFF):
            outcome = self._post(self._reads, endpoint, fields, timeout_s)
        if isinstance(outcome, _Break):
            _fail(CallKind.READ, endpoint, outcome)
        return outcome

    def order(self, endpoint: str, fields: Mapping[str, object]) -> Answer:
        """Send once. Raises Retryable when it surely never left, else OutcomeUnknown."""
        with _new_session() as own:
            outcome = self._post(own, endpoint, fields, self._address.order_timeout_s)
        if isinstance(outcome, _Break):
            _fail(CallKind.ORDER, endpoint, outcome)
        return outcome

    def _post(
        self,
        session: requests.Session,
        endpoint: str,
        fields: Mapping[str, object],
        timeout_s: float,
    ) -> Answer | _Break:
        body = json.dumps({**fields, "apikey": self._address.api_key}).encode()
        try:
            response = session.post(
                self._root + endpoint,
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=(self._address.connect_timeout_s, timeout_s),
                allow_redirects=False,
            )
        except (OSError, HTTPError, ValueError) as error:
            return _how_it_broke(error)
        answer = _as_answer(response.status_code, response.content)
        if is_success(answer):
            return answer
        # What fails is shown to people, and might quote the request.
        key = self._address.api_key.encode()
        return _as_answer(response.status_code, response.content.replace(key, _HIDDEN))


def _new_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=_CONNECTIONS, max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _how_it_broke(error: Exception) -> _Break:
    """What is certain about a call that raised: only these two never left this machine."""
    if isinstance(error, requests.ConnectTimeout):
        return _Break.NOT_SENT
    cause = error.args[0] if error.args else None
    if isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError):
        return _Break.NOT_SENT
    return _Break.TIMED_OUT if isinstance(error, requests.Timeout) else _Break.CUT_OFF


def _fail(kind: CallKind, endpoint: str, how: _Break) -> NoReturn:
    """Raised outside any handler, so that no error drags the request, and its key, along."""
    error: PortfolioError
    if how is _Break.NOT_SENT or kind is CallKind.READ:
        error = Retryable(f"{endpoint}: {how.value}")
    else:
        error = OutcomeUnknown(f"{endpoint}: {how.value}: the order may have been carried out")
    raise error


def _as_answer(status: int, content: bytes) -> Answer:
    shown = content[:_TEXT_SHOWN].decode("utf-8", "replace")
    return Answer(status=status, body=_parsed(content), text=shown)


def _parsed(content: bytes) -> object:
    """The JSON of a body, its numbers exact; None where it is not JSON.

    NaN comes through as a float, which no reader of numbers takes: only who needs it stumbles.
    """
    try:
        parsed: object = json.loads(content, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    return parsed
