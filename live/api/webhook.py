"""An alert is stored before it is answered, and one that is stored is never answered with an error.

The caller is judged first, by the secret and where asked by the address; who is refused learns
nothing about the alert. How many alerts come is not limited here, so no exit is ever put off.
"""

import logging
import re
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from flask import Response, g, jsonify, request
from marshmallow import Schema, fields

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.records import Journalled
from core.db_state_manager.states import FINISHED_SIGNALS, SignalStatus
from core.errors import OutcomeUnknown, PortfolioError
from core.ports import Clock
from core.webhook_parser import Alert, fingerprint, parse_alert_text
from live.access import Access, CallerRefused, Role
from live.api.rest import Room
from live.duplicates import DuplicateDetector
from live.logs import correlated

Waiter = Callable[[int], Journalled | None]
Network = IPv4Network | IPv6Network

ALREADY_AT_EOD = "already executed at EOD"
SECRET_HEADER = "X-Webhook-Token"  # noqa: S105 - the name of a header

_ALERT = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
_FIRST_LOOK_S, _LONGEST_PAUSE_S = 0.005, 0.08
_LOG = logging.getLogger(__name__)

# Quotes inside JSON text are escaped, so this meets fields only, at whatever depth.
_SECRET_FIELD = re.compile(rb'("secret"\s*:\s*)"((?:[^"\\]|\\.)*)"', re.DOTALL)
_WITHOUT_SECRET = rb'\1"(removed)"'

_STATUS_WORDS = {
    SignalStatus.RECEIVED: "accepted",
    SignalStatus.PROCESSING: "accepted",
    SignalStatus.EXECUTED: "executed",
    SignalStatus.BLOCKED: "blocked",
    SignalStatus.REJECTED: "rejected",
    SignalStatus.FAILED: "error",
    SignalStatus.EXPIRED: "blocked",
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """An alert as it came in; `secret` is the one outside the body, if there was one."""

    body: bytes
    secret: str | None
    address: str | None


class AlertDesk:
    """Takes alerts in."""

    def __init__(
        self,
        store: DatabaseStateManager,
        access: Access,
        instruments: Collection[str],
        clock: Clock,
        duplicates: DuplicateDetector,
        waiter: Waiter,
        networks: Sequence[Network] | None = None,
    ) -> None:
        """`networks` is where alerts may come from: None for anywhere, empty for nowhere."""
        self._store = store
        self._access = access
        self._instruments = instruments
        self._clock = clock
        self._duplicates = duplicates
        self._waiter = waiter
        self._networks = networks

    def receive(self, delivery: Delivery) -> Journalled:
        """Store an alert and see how it stands after a short wait, or find the one it repeats.

        Raises TokenMissing, CallerRefused and PayloadInvalid; and Retryable, or OutcomeUnknown
        twice over, from the database, when sending it again does no harm.
        """
        received_at = self._clock.now()
        self._admit(delivery)
        alert = parse_alert_text(delivery.body, self._instruments)
        mark = fingerprint(alert)
        kept = self._duplicates.first_of(mark) or self._journal(delivery, alert, received_at)
        with correlated(signal_id=kept.id):
            if kept.duplicate_of is not None:
                _LOG.info("%s came again", mark)
                return self._told_of_eod(kept)
            _LOG.info("%s is stored", mark)
            return self._awaited(kept, mark)

    def _told_of_eod(self, kept: Journalled) -> Journalled:
        """A bar's own alert that finds its action done at the end of the day is told so."""
        if kept.outcome is None or kept.status is not SignalStatus.EXECUTED:
            return kept
        try:
            if not self._store.traded_at_eod(kept.id):
                return kept
        except PortfolioError:
            return kept
        reason = f"{ALREADY_AT_EOD}: {kept.outcome.reason}"
        return replace(kept, outcome=replace(kept.outcome, reason=reason))

    def _admit(self, delivery: Delivery) -> None:
        if self._networks is not None and not _is_within(delivery.address, self._networks):
            raise CallerRefused
        in_body = _SECRET_FIELD.search(delivery.body)
        secret = delivery.secret or (in_body and in_body[2].decode(errors="replace"))
        self._access.demand(secret, Role.WEBHOOK)

    def _journal(self, delivery: Delivery, alert: Alert, received_at: datetime) -> Journalled:
        """Commit it. An unanswered commit is made again: the fingerprint is stored only once."""
        body = _SECRET_FIELD.sub(_WITHOUT_SECRET, delivery.body)
        mark = fingerprint(alert)
        try:
            return self._store.journal_signal(body, alert, mark, received_at)
        except OutcomeUnknown:
            return self._store.journal_signal(body, alert, mark, received_at)

    def _awaited(self, kept: Journalled, mark: str) -> Journalled:
        """How a stored alert stands; whatever goes wrong from here on is not the sender's."""
        try:
            self._duplicates.remember(mark, kept.id)
            return self._waiter(kept.id) or kept
        except Exception:
            _LOG.exception("signal %d is stored; what became of it could not be read", kept.id)
            return kept


def polling(
    store: DatabaseStateManager,
    clock: Clock,
    wait_s: float,
    pause: Callable[[float], object] = time.sleep,
) -> Waiter:
    """A waiter that looks at the journal, less and less often, for at most `wait_s`.

    A `pause` may end early, where something came to its end.
    """

    def wait(signal_id: int) -> Journalled | None:
        until_s, pause_s = clock.monotonic() + wait_s, _FIRST_LOOK_S
        while True:
            pause(max(0.0, min(pause_s, until_s - clock.monotonic())))
            standing = store.signal_standing(signal_id)
            if standing is None or standing.status in FINISHED_SIGNALS:
                return standing
            if clock.monotonic() >= until_s:
                return standing
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    return wait


class AlertAnswer(Schema):
    """How an alert stands; a duplicate is told by the first signal's id and outcome."""

    status = fields.String(required=True)
    signal_id = fields.Integer(required=True)
    request_id = fields.String(required=True)
    code = fields.String()
    reason = fields.String()
    lots = fields.Integer()
    limiter = fields.String()
    details = fields.Dict()


def webhook_room(desk: AlertDesk) -> Room:
    """POST /webhook, with the secret in the path, a header or the body."""
    room = Room("webhook", __name__, description="Where alerts come in")

    @room.on("POST", "/webhook/<secret>", AlertAnswer)
    @room.on("POST", "/webhook", AlertAnswer)
    @room.also_answers(202, AlertAnswer)
    @room.told(requestBody=_ALERT, security=[{"secret": []}])
    def receive_alert(secret: str | None = None) -> tuple[Response, int]:
        """Take an alert, whatever content type it names."""
        shown = secret or request.headers.get(SECRET_HEADER)
        return _answer(desk.receive(Delivery(request.get_data(), shown, request.remote_addr)))

    return room


def _answer(kept: Journalled) -> tuple[Response, int]:
    """A duplicate is told by the first signal's id and outcome."""
    word = _STATUS_WORDS[kept.status]
    is_duplicate = kept.duplicate_of is not None
    body: dict[str, object] = {
        "status": "duplicate" if is_duplicate else word,
        "signal_id": kept.id,
        "request_id": g.request_id,
    }
    if is_duplicate:
        body["details"] = {"first_status": word}
    if kept.outcome is not None:
        found = kept.outcome
        told = {"code": found.code, "reason": found.reason, "lots": found.lots}
        told["limiter"] = found.limiter
        body |= {name: value for name, value in told.items() if value is not None}
    is_working = word == "accepted" and not is_duplicate
    return jsonify(body), HTTPStatus.ACCEPTED if is_working else HTTPStatus.OK


def _is_within(address: str | None, networks: Sequence[Network]) -> bool:
    try:
        caller = ip_address(address or "")
    except ValueError:
        return False
    if isinstance(caller, IPv6Address) and caller.ipv4_mapped is not None:
        caller = caller.ipv4_mapped
    return any(caller in network for network in networks)
