"""The gateway's websocket is listened to for as long as it lets us, and trading never waits for it.

One thread connects, authenticates, subscribes to orders and passes on what it hears. Whatever goes
wrong ends in a pause and another attempt; meanwhile orders are looked at as if there were no
stream. At most once is all that the gateway promises, so each connection begins with no past.
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from brokers.answer_fields import AnswerFields
from brokers.messages import GatewayMode
from brokers.openalgo_errors import AnswerUnknown
from brokers.order_updates import OrderNews, read_frame, read_update
from core.errors import PortfolioError, Retryable

_LOG = logging.getLogger(__name__)
# The library writes every frame to its log when asked for details, and one of them holds the key.
_WIRE = logging.getLogger(f"{__name__}.wire")
_WIRE.setLevel(logging.WARNING)


class StreamEvent(StrEnum):
    """What there is to count."""

    CONNECTED = "connected"
    NOT_CONNECTED = "not_connected"
    LOST = "lost"
    TOLD = "told"
    DUPLICATE = "duplicate"
    OTHER_MODE = "other_mode"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class StreamPace:
    """Seconds. A pause doubles up to the longest, and is the first again after a long connection.

    A peer that is asked each `ping_s` and says nothing for `silence_s` is dead. Authentication may
    take the gateway a connection to its broker.
    """

    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    ping_s: float = 5.0
    silence_s: float = 15.0
    answer_s: float = 30.0


class OrderStream:
    """Listens for one process; `news` is where updates go, `report` counts what happens."""

    def __init__(
        self,
        url: str,
        api_key: str,
        mode: GatewayMode,
        news: OrderNews,
        report: Callable[[StreamEvent], None],
        pace: StreamPace | None = None,
    ) -> None:
        self._url = url
        self._api_key = api_key
        self._mode = mode
        self._news = news
        self._report = report
        self._pace = pace or StreamPace()
        self._stopping = threading.Event()
        self._connection: ClientConnection | None = None
        self._thread = threading.Thread(target=self._run, name="order stream", daemon=True)

    def __repr__(self) -> str:
        return f"OrderStream({self._url!r}, {self._mode.value})"

    def start(self) -> None:
        """Begin. Not before a fork."""
        self._thread.start()

    def stop(self) -> None:
        """End the connection and the thread."""
        self._stopping.set()
        if (connection := self._connection) is not None:
            with suppress(OSError, WebSocketException):
                connection.close()
        if self._thread.is_alive():
            self._thread.join(2)

    def _run(self) -> None:
        pause_s = self._pace.first_pause_s
        told = ""
        while not self._stopping.is_set():
            began_s = time.monotonic()
            why = self._connect_once()
            if time.monotonic() - began_s > self._pace.longest_pause_s:
                pause_s = self._pace.first_pause_s
            if why != told and not self._stopping.is_set():
                _LOG.warning("no order stream, orders are polled: %s", why)
                told = why
            self._stopping.wait(pause_s)
            pause_s = min(pause_s * 2, self._pace.longest_pause_s)

    def _connect_once(self) -> str:
        """Listen for as long as that goes well; why it ended."""
        try:
            with connect(
                self._url,
                open_timeout=self._pace.silence_s,
                ping_interval=self._pace.ping_s,
                ping_timeout=self._pace.silence_s,
                close_timeout=1,
                compression=None,
                proxy=None,
                logger=_WIRE,
            ) as connection:
                self._connection = connection
                self._subscribe(connection)
                self._news.begin()
                self._report(StreamEvent.CONNECTED)
                _LOG.info("the order stream is open")
                self._listen(connection)
        except (OSError, WebSocketException, PortfolioError) as error:
            return f"{type(error).__name__}: {error}".replace(self._api_key, "<hidden>")
        except Exception:  # the thread's entry: nothing that a peer sends may end it
            _LOG.exception("the order stream broke off")
            return "it broke off"
        finally:
            self._connection = None
            was_up = self._news.is_up
            self._news.end()
            self._report(StreamEvent.LOST if was_up else StreamEvent.NOT_CONNECTED)
        return "it was closed"

    def _subscribe(self, connection: ClientConnection) -> None:
        """Authenticate and subscribe. Raises Retryable where the gateway will not have it."""
        self._ask(connection, "auth", {"action": "authenticate", "api_key": self._api_key})
        self._ask(connection, "subscribe_orders", {"action": "subscribe_orders"})

    def _ask(self, connection: ClientConnection, kind: str, asked: dict[str, str]) -> None:
        connection.send(json.dumps(asked))
        deadline = time.monotonic() + self._pace.answer_s
        while True:
            fields = read_frame(connection.recv(max(0.0, deadline - time.monotonic())))
            status = fields.note("status")
            if fields.note("type") == kind and status == "success":
                return
            if status == "error":
                said = f"{fields.note('code')} {fields.note('message')}"
                raise Retryable(f"{asked['action']}: {said}")

    def _listen(self, connection: ClientConnection) -> None:
        heard_s = time.monotonic()
        while not self._stopping.is_set():
            try:
                frame = connection.recv(self._pace.ping_s)
            except TimeoutError:
                if time.monotonic() - heard_s >= self._pace.silence_s:
                    raise Retryable("the gateway has fallen silent") from None
                connection.send('{"action": "ping"}')
                continue
            heard_s = time.monotonic()
            self._hear(frame)

    def _hear(self, frame: str | bytes) -> None:
        try:
            event = self._told(read_frame(frame))
        except AnswerUnknown:
            event = StreamEvent.UNREADABLE
        if event is not None:
            self._report(event)

    def _told(self, fields: AnswerFields) -> StreamEvent | None:
        update = read_update(fields)
        if update is None:
            return None
        if update.mode is not self._mode:
            return StreamEvent.OTHER_MODE
        return StreamEvent.TOLD if self._news.tell(update) else StreamEvent.DUPLICATE
