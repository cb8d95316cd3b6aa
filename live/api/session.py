"""Sessions of a browser, which cannot keep a token out of a page's reach but a cookie."""

from dataclasses import dataclass
from datetime import datetime

from flask import Response, jsonify, make_response, request

from live.access import Access, Caller, Role
from live.api.guard import COOKIE, Guard, present_visit
from live.api.rest import Room
from live.api.schemas import Asked, schema_of, text
from live.sessions import Sessions


@dataclass(frozen=True, slots=True)
class SessionView:
    """Who is there. With a cookie, `csrf_token` goes into X-CSRF-Token of what changes things."""

    role: Role
    mark: str
    until: datetime | None
    csrf_token: str | None


class TokenShown(Asked):
    """A token, for which there is a session."""

    token = text(500, required=True)


def session_room(access: Access, sessions: Sessions, guard: Guard, lasts_s: float) -> Room:
    """GET, POST and DELETE /session."""
    room = Room("session", __name__, description="Sessions of a browser")
    answer = schema_of(SessionView)

    def view(caller: Caller, cookie: str | None) -> SessionView:
        session = None if cookie is None else sessions.read(cookie)
        if cookie is None or session is None:
            return SessionView(caller.role, caller.mark, None, None)
        return SessionView(caller.role, caller.mark, session.until, sessions.csrf_token(cookie))

    @room.get_from("/session", answer)
    def current() -> SessionView:
        """Who calls, and the CSRF token of the session."""
        visit = present_visit()
        return view(visit.caller, visit.cookie)

    @room.on("POST", "/session", answer, body=TokenShown)
    def begin(token: str) -> Response:
        """Begin a session: the answer sets a cookie that no script can read."""
        caller = access.identify(token)
        guard.count(caller.mark)
        cookie = sessions.cookie_for(caller)
        response = jsonify(answer().dump(view(caller, cookie)))
        response.set_cookie(
            COOKIE,
            cookie,
            max_age=int(lasts_s),
            httponly=True,
            samesite="Strict",
            secure=request.is_secure,
        )
        return response

    @room.on("DELETE", "/session", None, status=204)
    def end() -> Response:
        """End the session of this browser."""
        response = make_response("", 204)
        response.delete_cookie(COOKIE, httponly=True, samesite="Strict", secure=request.is_secure)
        return response

    return room
