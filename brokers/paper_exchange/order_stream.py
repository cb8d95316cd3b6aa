"""The gateway's websocket, as far as orders go: authenticate, subscribe, be told of every change.

An update is sent once, to those who are connected then; nobody is told later what was missed. The
exchange hands updates over and goes on: one thread sends them, and no order waits for a subscriber.
"""

import heapq
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hmac import compare_digest
from itertools import count
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from brokers.paper_exchange import stream_frames as frames
from brokers.paper_exchange.calls import Json, subject_of
from brokers.paper_exchange.exchange import PaperExchange
from brokers.paper_exchange.faults import FaultName
from brokers.paper_exchange.orders import Mode, Order
from brokers.paper_exchange.stream_faults import StreamFaults

_AUTH_S = 15.0
_AUTH_TIMEOUT = 4401
_MILLISECONDS = 1000
# Frames hold the key: the library must not write them to a log.
_WIRE = logging.getLogger(f"{__name__}.wire")
_WIRE.setLevel(logging.CRITICAL)


@dataclass(order=True, slots=True)
class _Due:
    """An update and when it is to go, by the machine's rising seconds."""

    at_s: float
    number: int
    update: Json = field(compare=False)


@dataclass(frozen=True, slots=True)
class _Happened:
    order: Order
    mode: Mode
    arrived: bool


class OrderStreamServer:
    """Listens from `start` on. `changed` is what the exchange calls, under its lock."""

    def __init__(
        self, host: str, port: int, apikey: str, exchange: PaperExchange, faults: StreamFaults
    ) -> None:
        """Binds the port. Raises OSError."""
        self._apikey = apikey.encode()
        self._exchange = exchange
        self._faults = faults
        self._subscribers: set[ServerConnection] = set()
        self._lock = threading.Lock()
        self._woken = threading.Condition()
        self._happened: list[_Happened] = []
        self._due: list[_Due] = []
        self._numbers = count()
        self._closed = False
        self._server: Server = serve(
            self._serve, host, port, compression=None, close_timeout=1, logger=_WIRE
        )
        self._actions: dict[str, Callable[[ServerConnection, Json], Json]] = {
            "subscribe_orders": self._subscribe_orders,
            "subscribe": lambda _, asked: frames.subscribed(_symbols(asked)),
            "unsubscribe": lambda _, __: frames.unsubscribed(),
            "ping": self._pong,
        }

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._server.socket.getsockname()[1]
        return port

    def start(self) -> None:
        """Serve in the background."""
        for work in (self._server.serve_forever, self._send_on):
            threading.Thread(target=work, name="order stream", daemon=True).start()

    def stop(self) -> None:
        """Close every connection."""
        self._closed = True
        with self._woken:
            self._woken.notify_all()
        self._server.shutdown()

    def changed(self, order: Order, mode: Mode, *, is_new: bool) -> None:
        """An order has arrived, or is not as it was."""
        with self._woken:
            if is_new:
                self._happened.append(_Happened(order, mode, arrived=True))
            if not (is_new and order.status.is_resting and not order.filled_quantity):
                self._happened.append(_Happened(order, mode, arrived=False))
            self._woken.notify_all()

    def _serve(self, connection: ServerConnection) -> None:
        is_mute = is_known = False
        late = threading.Timer(_AUTH_S, connection.close, (_AUTH_TIMEOUT, "auth timeout"))
        late.daemon = True
        late.start()
        try:
            for frame in connection:
                fault = self._faults.connection()
                is_mute = is_mute or fault is FaultName.STREAM_MUTE
                if fault is FaultName.STREAM_DOWN:
                    self._cut(connection)
                    return
                if is_mute:
                    with self._lock:
                        self._subscribers.discard(connection)
                    continue
                answer, is_known = self._answered(connection, frame, is_known)
                if is_known:
                    late.cancel()
                connection.send(json.dumps(answer))
        except ConnectionClosed:
            pass
        finally:
            late.cancel()
            with self._lock:
                self._subscribers.discard(connection)

    def _answered(
        self, connection: ServerConnection, frame: str | bytes, is_known: bool
    ) -> tuple[Json, bool]:
        """What is said to a frame, and whether its sender is known from then on."""
        try:
            asked: Any = json.loads(frame)
            action = str(asked.get("action") or asked.get("type"))
        except (ValueError, AttributeError, RecursionError):
            return frames.refused("INVALID_JSON", "Invalid JSON message"), is_known
        if action in ("authenticate", "auth"):
            told = str(asked.get("api_key") or asked.get("apikey") or "")
            if compare_digest(told.encode(errors="replace"), self._apikey):
                return frames.authenticated(), True
            return frames.refused("AUTHENTICATION_ERROR", "Invalid API key"), is_known
        if not is_known:
            return frames.refused("NOT_AUTHENTICATED", "You must authenticate first"), False
        if action not in self._actions:
            return frames.refused("INVALID_ACTION", f"Invalid action: {action}"), True
        return self._actions[action](connection, asked), True

    def _subscribe_orders(self, connection: ServerConnection, _: Json) -> Json:
        with self._lock:
            self._subscribers.add(connection)
        return frames.subscribed_to_orders()

    def _pong(self, _: ServerConnection, __: Json) -> Json:
        return frames.pong(int(self._exchange.now().timestamp() * _MILLISECONDS))

    def _send_on(self) -> None:
        """Send what is due, in its order, until the server is stopped."""
        while not self._closed:
            with self._woken:
                if not self._happened:
                    self._woken.wait(self._due[0].at_s - time.monotonic() if self._due else None)
                happened, self._happened = self._happened, []
            for each in happened:
                self._take(each)
            while self._due and self._due[0].at_s <= time.monotonic():
                self._send(heapq.heappop(self._due).update)

    def _take(self, happened: _Happened) -> None:
        update = frames.order_update(happened.order, happened.mode, arrived=happened.arrived)
        with self._exchange.view() as view:
            subject = subject_of(update, view)
        broken, told = self._faults.of_update(update, subject)
        if broken is not None:
            with self._lock:
                struck, self._subscribers = self._subscribers, set()
            for connection in struck if broken is FaultName.STREAM_DOWN else ():
                self._cut(connection)
            return
        for each in told:
            at_s = time.monotonic() + each.after_s
            heapq.heappush(self._due, _Due(at_s, next(self._numbers), each.update))

    def _send(self, update: Json) -> None:
        text = json.dumps(update)
        with self._lock:
            subscribers = list(self._subscribers)
        for connection in subscribers:
            with suppress(ConnectionClosed, OSError):
                connection.send(text)

    def _cut(self, connection: ServerConnection) -> None:
        """End a connection as a fallen line does: without a word."""
        with suppress(OSError):
            connection.socket.shutdown(socket.SHUT_RDWR)


def _symbols(asked: Json) -> list[tuple[str, str]]:
    rows = asked.get("symbols") or [asked]
    return [(str(row.get("symbol")), str(row.get("exchange"))) for row in rows]
