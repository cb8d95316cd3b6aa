"""A fault is a row of data: what goes wrong, in which terms, and which calls it strikes.

Its name stands for what callers see; `KINDS` says where it can strike and which terms it takes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Any

from brokers.paper_exchange.calls import Subject
from brokers.paper_exchange.fill_script import Piece
from brokers.paper_exchange.orders import Action, OrderStatus

ORDERS = ("placeorder", "modifyorder", "cancelorder")
LOOKS = ("orderstatus", "orderbook", "tradebook")
BOOKS = (*LOOKS, "positionbook", "openposition", "funds")
QUOTES = ("quotes", "multiquotes", "depth")
MASTER = ("symbol", "expiry")
KEY_ALONE = ("expiry", "market/holidays", "market/timings")
SESSION = (*ORDERS, *BOOKS, *QUOTES, "margin", "symbol", "ping", "analyzer", "analyzer/toggle")
EVERY = (*SESSION, *KEY_ALONE)
# No call: a frame of a subscriber to order updates, or an update that would be sent to them.
STREAM = "orderstream"
_CHANCES = 2**64


class FaultName(StrEnum):
    """What can go wrong."""

    REQUEST_LOST = "request_lost"
    REPLY_LOST = "reply_lost"
    ERROR_BEFORE = "error_before"
    ERROR_AFTER = "error_after"
    SLOW_BEFORE = "slow_before"
    SLOW_AFTER = "slow_after"
    LIMITED_BY_GATEWAY = "limited_by_gateway"
    LIMITED_BY_BROKER = "limited_by_broker"
    SCHEMA_REFUSED = "schema_refused"
    SESSION_DEAD = "session_dead"
    TOKEN_DEAD = "token_dead"  # noqa: S105 - a fault's name
    FUNDS_REFUSED = "funds_refused"
    MARGIN_REFUSED = "margin_refused"
    PARTIAL_FILL = "partial_fill"
    FILL_WHILE_CANCELLING = "fill_while_cancelling"
    REJECTED_AFTER_ACCEPT = "rejected_after_accept"
    PRICE_RUNS_AWAY = "price_runs_away"
    MODE_SWITCHED = "mode_switched"
    LOTSIZE_CHANGED = "lotsize_changed"
    CONTRACT_ABSENT = "contract_absent"
    TRANSITIONAL_STATUS = "transitional_status"
    NO_FILLED_QUANTITY = "no_filled_quantity"
    FIRST_FILL_AVERAGE = "first_fill_average"
    BOOKS_STALE = "books_stale"
    BOOKS_EMPTY = "books_empty"
    BOOKS_DOWN = "books_down"
    QUOTES_MISSING = "quotes_missing"
    QUOTES_FROZEN = "quotes_frozen"
    QUOTES_CROSSED = "quotes_crossed"
    STREAM_DOWN = "stream_down"
    STREAM_MUTE = "stream_mute"
    UPDATES_LOST = "updates_lost"
    UPDATES_TWICE = "updates_twice"
    UPDATES_LATE = "updates_late"
    UPDATES_FALSE = "updates_false"
    UPDATES_MISNAMED = "updates_misnamed"


class Cancelled(StrEnum):
    """What a cancel says of an order that filled meanwhile."""

    SUCCESS = "success"
    REFUSAL = "refusal"


@dataclass(frozen=True, slots=True)
class Kind:
    """Where a fault can strike, and its terms.

    `usual` is where it strikes if no endpoint is named; without it, wherever it can.
    """

    endpoints: tuple[str, ...] = EVERY
    usual: tuple[str, ...] = ()
    needs: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()


def _terms(*names: str) -> frozenset[str]:
    return frozenset(names)


KINDS: Mapping[FaultName, Kind] = {
    FaultName.REQUEST_LOST: Kind(usual=ORDERS),
    FaultName.REPLY_LOST: Kind(usual=ORDERS),
    FaultName.ERROR_BEFORE: Kind(usual=ORDERS),
    FaultName.ERROR_AFTER: Kind(usual=ORDERS),
    FaultName.SLOW_BEFORE: Kind(usual=ORDERS, needs=_terms("seconds")),
    FaultName.SLOW_AFTER: Kind(usual=ORDERS, needs=_terms("seconds")),
    FaultName.LIMITED_BY_GATEWAY: Kind(usual=ORDERS),
    FaultName.LIMITED_BY_BROKER: Kind(usual=ORDERS),
    FaultName.SCHEMA_REFUSED: Kind(usual=ORDERS),
    FaultName.SESSION_DEAD: Kind(SESSION),
    FaultName.TOKEN_DEAD: Kind((*ORDERS, *BOOKS, *QUOTES, "margin")),
    FaultName.FUNDS_REFUSED: Kind(("placeorder", "modifyorder"), usual=("placeorder",)),
    FaultName.MARGIN_REFUSED: Kind(("margin",)),
    FaultName.PARTIAL_FILL: Kind(("placeorder",), needs=_terms("pieces")),
    FaultName.FILL_WHILE_CANCELLING: Kind(
        ("cancelorder", "modifyorder"),
        usual=("cancelorder",),
        takes=_terms("answer", "quantity", "price"),
    ),
    FaultName.REJECTED_AFTER_ACCEPT: Kind(("placeorder",), takes=_terms("after_s", "after_looks")),
    FaultName.PRICE_RUNS_AWAY: Kind(
        (*ORDERS, *LOOKS, *QUOTES), usual=("placeorder", "modifyorder"), needs=_terms("ticks")
    ),
    FaultName.MODE_SWITCHED: Kind(needs=_terms("mode")),
    FaultName.LOTSIZE_CHANGED: Kind(usual=("symbol",), needs=_terms("instrument", "lotsize")),
    FaultName.CONTRACT_ABSENT: Kind((*MASTER, *QUOTES, "placeorder")),
    FaultName.TRANSITIONAL_STATUS: Kind(("orderstatus", "orderbook"), takes=_terms("status")),
    FaultName.NO_FILLED_QUANTITY: Kind(("orderstatus", "orderbook")),
    FaultName.FIRST_FILL_AVERAGE: Kind(("orderstatus", "orderbook")),
    FaultName.BOOKS_STALE: Kind(BOOKS),
    FaultName.BOOKS_EMPTY: Kind(BOOKS),
    FaultName.BOOKS_DOWN: Kind(BOOKS),
    FaultName.QUOTES_MISSING: Kind(QUOTES),
    FaultName.QUOTES_FROZEN: Kind(QUOTES),
    FaultName.QUOTES_CROSSED: Kind(QUOTES),
    FaultName.STREAM_DOWN: Kind((STREAM,)),
    FaultName.STREAM_MUTE: Kind((STREAM,)),
    FaultName.UPDATES_LOST: Kind((STREAM,)),
    FaultName.UPDATES_TWICE: Kind((STREAM,)),
    FaultName.UPDATES_LATE: Kind((STREAM,), needs=_terms("seconds")),
    FaultName.UPDATES_FALSE: Kind((STREAM,), takes=_terms("status")),
    FaultName.UPDATES_MISNAMED: Kind((STREAM,)),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """Which calls: of those that fit, the `from_call`th to the `until_call`th, at most `times`.

    A call that names no contract or no side fits any. `probability` is drawn from `seed` and the
    call's number, so the same calls are struck again.
    """

    endpoint: str | None = None
    symbol: str | None = None
    side: Action | None = None
    instrument: str | None = None
    from_call: int = 1
    until_call: int | None = None
    probability: float = 1.0
    seed: int = 0
    times: int | None = None

    def concerns(self, subject: Subject) -> bool:
        """Whether a call, or a row of a book, is about what the rule names."""
        return (
            (self.symbol is None or not subject.symbols or self.symbol in subject.symbols)
            and (self.side is None or subject.side in (None, self.side))
            and (
                self.instrument is None
                or not subject.instruments
                or self.instrument in subject.instruments
            )
        )

    def strikes(self, call_number: int, name: str) -> bool:
        """Whether the call of that number among those that fit is struck."""
        if call_number < self.from_call:
            return False
        if self.until_call is not None and call_number > self.until_call:
            return False
        drawn = sha256(f"{self.seed}/{name}/{call_number}".encode()).digest()
        return int.from_bytes(drawn[:8]) / _CHANCES < self.probability


@dataclass(frozen=True, slots=True)
class Terms:
    """What a fault needs to know beside its name; each name takes its own."""

    seconds: float = 0.0
    pieces: tuple[Piece, ...] = ()
    answer: Cancelled = Cancelled.SUCCESS
    quantity: int | None = None
    price: Decimal | None = None
    after_s: float = 0.0
    after_looks: int = 0
    ticks: int = 0
    mode: str = ""
    lotsize: int = 0
    status: OrderStatus | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One that was set. `told` is how; `memory` what the exchange said when it was set."""

    number: int
    name: FaultName
    rule: Rule
    terms: Terms
    told: Mapping[str, Any]
    memory: Mapping[str, Any] = field(default_factory=dict)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Where it strikes."""
        kind = KINDS[self.name]
        if self.rule.endpoint is not None:
            return kind.endpoints if self.rule.endpoint == "*" else (self.rule.endpoint,)
        return kind.usual or kind.endpoints

    def fits(self, endpoint: str, subject: Subject) -> bool:
        """Whether a call is one of those that it counts."""
        return endpoint in self.endpoints and self.rule.concerns(subject)
