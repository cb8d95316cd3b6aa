"""Nobody does anything without leave: what is not listed as open takes a token, and changes more.

Viewers look, operators act. A browser shows a session's cookie instead of a token, and its CSRF
token besides when it changes something. An operator's hand on the emergency switch is never
counted; nor are alerts, which have a door of their own.
"""

from dataclasses import dataclass
from http import HTTPStatus

from flask import Request, g, request

from core.db_state_manager import DatabaseStateManager
from live.access import Access, Caller, CallerRefused, Role, TokenMissing
from live.api.refusals import Busy
from live.call_limits import CallLimits
from live.sessions import Sessions

COOKIE = "pm_session"
CSRF_HEADER = "X-CSRF-Token"

OPEN = frozenset(
    {
        "api-docs.openapi_json",
        "documentation.page",
        "session.begin",
    }
)
_OPEN_ROOMS = frozenset({"health", "webhook"})
_READS = frozenset({"GET", "HEAD"})
_FOR_ALL = frozenset({"session.end"})
_UNCOUNTED = frozenset({"emergency.stop", "emergency.resume", "close_all.close_all"})


@dataclass(frozen=True, slots=True)
class Visit:
    """Who calls, and the cookie that says so, if it is not a token."""

    caller: Caller
    identity: str
    cookie: str | None


class Guard:
    """Looks at every request before its view does."""

    def __init__(self, access: Access, sessions: Sessions, limits: CallLimits) -> None:
        self._access = access
        self._sessions = sessions
        self._limits = limits

    def admit(self) -> None:
        """Raise TokenMissing, CallerRefused or Busy unless the present request may go on."""
        if request.routing_exception is not None or _is_open(request):
            return
        visit = self._visit(request)
        reads = request.method in _READS
        needed = Role.VIEWER if reads or request.endpoint in _FOR_ALL else Role.OPERATOR
        if not visit.caller.may(needed):
            raise CallerRefused(f"a {visit.caller.role} may not do that: it takes an {needed}")
        if visit.cookie is not None and not reads:
            self._check_csrf(visit.cookie)
        if request.endpoint not in _UNCOUNTED:
            self.count(visit.identity)
        g.visit = visit

    def count(self, identity: str) -> None:
        """One more call of this caller. Raises Busy when it was one too many."""
        if not self._limits.admits(identity):
            raise Busy(HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_CALLS", "too many calls at once", 1)

    def _visit(self, asked: Request) -> Visit:
        scheme, _, token = asked.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            caller = self._access.identify(token.strip())
            return Visit(caller, caller.mark, None)
        cookie = asked.cookies.get(COOKIE)
        session = None if cookie is None else self._sessions.read(cookie)
        if session is None:
            raise TokenMissing
        return Visit(session.caller, session.number, cookie)

    def _check_csrf(self, cookie: str) -> None:
        if not self._sessions.is_csrf_token(request.headers.get(CSRF_HEADER, ""), cookie):
            raise CallerRefused(f"with a cookie, {CSRF_HEADER} must be GET /session's csrf_token")


def _is_open(asked: Request) -> bool:
    return asked.endpoint in OPEN or asked.blueprint in _OPEN_ROOMS


def present_visit() -> Visit:
    """Who makes the present request, which the guard has let in."""
    visit: Visit = g.visit
    return visit


def audited(store: DatabaseStateManager, why: str, **detail: object) -> str:
    """Write down who asks for what and why, before it is done; the answer is who."""
    who = str(present_visit().caller)
    store.audit_operator(who, str(request.endpoint), detail, why, g.request_id)
    return who
