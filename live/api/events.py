"""What happens, as it happens: server-sent events, which a browser takes up again where it left.

A stream looks for news every second and holds no connection in between. One that commits late has
a lower number than its follower, so each look begins a little further back. A stream ends after a
while, and there are few of them, so that a process is neither kept from stopping nor filled up;
after each look it says something, by which a listener who has gone is noticed.
"""

import threading
from collections.abc import Iterator
from http import HTTPStatus

from flask import Response, request

from core.db_state_manager.json_values import to_json
from core.db_state_manager.records import OutboxEvent
from core.errors import OutcomeUnknown, Retryable
from live.api.refusals import ArgumentsInvalid, Busy
from live.api.rest import Room
from live.api.schemas import LARGEST_ID
from live.web_parts import WebParts

LOOK_S = 1.0
LIFE_S = 300.0
_RETRY_S = 5
_BACK, _AT_ONCE = 100, 500
_RESUME = "Last-Event-ID"
_STILL_HERE = ":\n\n"
_TEXT = {"type": "string"}


class Stream:
    """One listener's events after the one it saw last."""

    def __init__(self, parts: WebParts, last_seen: int) -> None:
        self._parts = parts
        self._last = last_seen
        earlier = parts.reads.events_after(self._back(), _BACK)
        self._told = {event.id for event in earlier if event.id <= last_seen}

    def lines(self) -> Iterator[str]:
        """The stream's text until it ends or the process stops."""
        clock = self._parts.clock
        ends_s = clock.monotonic() + LIFE_S
        yield f"retry: {_RETRY_S * 1000}\n\n"
        while clock.monotonic() < ends_s:
            for event in self._news():
                yield _as_text(event)
            if self._parts.closing.wait(LOOK_S):
                return
            yield _STILL_HERE

    def _news(self) -> list[OutboxEvent]:
        """Events that were not told yet; none while the database cannot be asked."""
        try:
            found = self._parts.reads.events_after(self._back(), _AT_ONCE)
        except (Retryable, OutcomeUnknown):
            return []
        news = [event for event in found if event.id not in self._told]
        if news:
            self._last = max(self._last, news[-1].id)
            back = self._back()
            told = self._told | {event.id for event in news}
            self._told = {number for number in told if number > back}
        return news

    def _back(self) -> int:
        return max(self._last - _BACK, 0)


def events_room(parts: WebParts) -> Room:
    """GET /events."""
    room = Room("events", __name__, description="What happens, as it happens")
    places = threading.BoundedSemaphore(parts.settings.streams)

    @room.get_from("/events", None)
    @room.told(responses={200: {"content": {"text/event-stream": {"schema": _TEXT}}}})
    def events() -> Response:
        """A stream of events, each with its id, kind and payload, from now or Last-Event-ID on."""
        after = _last_seen()
        if not places.acquire(blocking=False):
            raise Busy(
                HTTPStatus.SERVICE_UNAVAILABLE, "TOO_MANY_STREAMS", "too many listen", _RETRY_S
            )
        try:
            newest = parts.reads.newest_event()
            stream = Stream(parts, newest if after is None else min(after, newest))
            response = Response(stream.lines(), mimetype="text/event-stream")
        except BaseException:
            places.release()
            raise
        response.call_on_close(places.release)
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Accel-Buffering"] = "no"
        return response

    return room


def _last_seen() -> int | None:
    text = request.headers.get(_RESUME, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) > LARGEST_ID:
        raise ArgumentsInvalid({_RESUME: ["must be the id of an event"]})
    return int(text)


def _as_text(event: OutboxEvent) -> str:
    """An event as the stream has it; the payload is JSON on one line."""
    content = {
        "id": event.id,
        "kind": event.kind,
        "instrument": event.instrument,
        "at": event.created_at,
        "payload": event.payload,
    }
    return f"id: {event.id}\nevent: {event.kind}\ndata: {to_json(content)}\n\n"
