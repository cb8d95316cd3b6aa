"""Whatever the gateway answers becomes one error that says what the caller must do.

The gateway has six shapes for a failure and one text for several causes. A read that failed did
not happen and may be asked again. An order call is believed refused only where the answer is of a
shape that is known to mean it; everything else may have happened. `message` may be text, an
object, an object written out as text, or missing, and is only ever shown to people.
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum

from core.errors import Halted, OutcomeUnknown, PortfolioError, Rejected, Retryable

INVALID_KEY_TEXT = "Invalid openalgo apikey"
_GATEWAY_LIMIT = re.compile(r"[0-9]+ per [0-9]+ \w+(?:[;,] *[0-9]+ per [0-9]+ \w+)*")
_DEAD_TOKEN = re.compile(r"access_token|TokenException")
_LONGEST_TEXT = 300
_MOST_SHOWN = 10


class CallKind(Enum):
    """Whether a call only asks, or moves an order."""

    READ = "read"
    ORDER = "order"


class RefusalCode(StrEnum):
    """Why the gateway refused; the `code` of the Rejected that is raised."""

    BAD_FIELDS = "BAD_FIELDS"
    REFUSED = "REFUSED"
    NOT_FOUND = "NOT_FOUND"
    NO_SUCH_ENDPOINT = "NO_SUCH_ENDPOINT"
    BAD_KEY = "BAD_KEY"
    SESSION_DEAD = "SESSION_DEAD"
    FORBIDDEN = "FORBIDDEN"
    NOT_PLACED = "NOT_PLACED"
    SEMI_AUTO = "SEMI_AUTO"
    WRONG_MODE = "WRONG_MODE"


class AnswerUnknown(Retryable):
    """A read told nothing: what was asked for is unknown, and neither zero nor empty."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}; nothing is known")


class WrongModeOutcome(OutcomeUnknown):
    """An order call was carried out in the mode that is not ours: `order_id` is where to look."""

    def __init__(self, endpoint: str, order_id: str, told: str) -> None:
        super().__init__(
            f"{endpoint}: order {order_id} was handled in mode {told}, which is not the one "
            "configured; set the gateway's mode and look at its order book"
        )
        self.order_id = order_id


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `body` is the parsed JSON, None where it was none; `text` is for people."""

    status: int
    body: object
    text: str


def is_success(answer: Answer) -> bool:
    """Whether the gateway says that it did what was asked (which may still not be enough)."""
    body = answer.body
    return answer.status == 200 and isinstance(body, Mapping) and body.get("status") == "success"


def error_of(kind: CallKind, endpoint: str, answer: Answer) -> PortfolioError | None:
    """The error that an answer stands for; None for a success.

    A 403 with the gateway's ambiguous text comes out as FORBIDDEN: only another call can tell a
    wrong key from a dead session.
    """
    if is_success(answer):
        return None
    body = answer.body if isinstance(answer.body, Mapping) else None
    said = f"{endpoint}: {_told(answer, body)}"
    if _is_gateway_limit(answer, body):
        return Retryable(f"{said} (the gateway's own limit: nothing was done)")
    return _refusal(answer, body, said) or _unclear(kind, answer, said)


def is_ambiguous_refusal(answer: Answer) -> bool:
    """Whether this is the 403 that stands for a wrong key and for a dead session alike."""
    body = answer.body
    return (
        answer.status == 403
        and isinstance(body, Mapping)
        and body.get("message") == INVALID_KEY_TEXT
    )


def _refusal(answer: Answer, body: Mapping[str, object] | None, said: str) -> PortfolioError | None:
    """The refusal an answer is known to be, or None."""
    if body is None:
        is_ban = answer.status == 403 and answer.text.startswith("Access Denied")
        return Rejected(RefusalCode.FORBIDDEN, said) if is_ban else None
    if body.get("status") == "success":
        return None
    if answer.status == 400:
        has_fields = _fields(body.get("message")) is not None
        return Rejected(RefusalCode.BAD_FIELDS if has_fields else RefusalCode.REFUSED, said)
    if answer.status == 404:
        is_route = "path" in body
        return Rejected(RefusalCode.NO_SUCH_ENDPOINT if is_route else RefusalCode.NOT_FOUND, said)
    if answer.status in (401, 403):
        return _forbidden(body, said)
    return None


def _forbidden(body: Mapping[str, object], said: str) -> PortfolioError:
    if body.get("code") == "KILL_SWITCH_ACTIVE":
        return Halted(f"{said}; the gateway's own kill switch is on")
    if _DEAD_TOKEN.search(said):
        return Rejected(RefusalCode.SESSION_DEAD, f"{said}; log in at the broker again")
    return Rejected(RefusalCode.FORBIDDEN, said)


def _unclear(kind: CallKind, answer: Answer, said: str) -> PortfolioError:
    if kind is CallKind.ORDER:
        return OutcomeUnknown(f"{said} (HTTP {answer.status}): the order may have been carried out")
    return AnswerUnknown(said, f"HTTP {answer.status}")


def _is_gateway_limit(answer: Answer, body: Mapping[str, object] | None) -> bool:
    """The gateway's limiter answers without a status; a broker's 429 is relayed with one."""
    if answer.status != 429 or body is None or "status" in body:
        return False
    message = body.get("message")
    return isinstance(message, str) and _GATEWAY_LIMIT.fullmatch(message) is not None


def _told(answer: Answer, body: Mapping[str, object] | None) -> str:
    """The message in one line for people."""
    message = answer.text if body is None else body.get("message")
    fields = _fields(message)
    told = _inline(message if fields is None else fields)
    return told[:_LONGEST_TEXT] or f"no message (HTTP {answer.status})"


def _fields(message: object) -> Mapping[object, object] | None:
    """The complaints by field of a schema error, as an object or written out as text."""
    if isinstance(message, str) and message.startswith("{") and len(message) <= 10_000:
        try:
            message = ast.literal_eval(message)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None
    return message if isinstance(message, Mapping) and message else None


def _inline(found: object, depth: int = 4) -> str:
    """Complaints however nested, in one printable line."""
    if isinstance(found, str):
        return " ".join(found.encode("utf-8", "replace").decode().split())
    if depth == 0:
        return ""
    if isinstance(found, list):
        return ", ".join(_inline(each, depth - 1) for each in found[:_MOST_SHOWN])
    if isinstance(found, Mapping):
        first = list(found.items())[:_MOST_SHOWN]
        return "; ".join(f"{str(name)[:50]}: {_inline(each, depth - 1)}" for name, each in first)
    return ""
