"""What the broker holds against what our fills say, and contracts that are somebody else's.

Looking changes nothing, but for POST /sync/broker, which locks what differs and unlocks what
agrees, as the service itself does each minute. Nothing here trades.
"""

from dataclasses import dataclass
from datetime import datetime

from core.db_state_manager.broker_books import PositionTag
from core.reconciliation import Difference, DifferenceKind
from live.adopting import Adoptable
from live.api.guard import audited, present_visit
from live.api.refusals import NotThere
from live.api.rest import Room
from live.api.schemas import Asked, schema_of, text
from live.broker_desk import WHAT_TO_DO, BrokerDesk
from live.reconciliation import ComparedLeg, Comparison
from live.web_parts import WebParts

_RECENT_S = 10.0


@dataclass(frozen=True, slots=True)
class HeldContract:
    """A contract by our fills and at the broker; `owner` is whose it is tagged to be, if it is."""

    instrument: str
    symbol: str
    exchange: str
    ours: int
    brokers: int
    difference: int
    owner: str | None


@dataclass(frozen=True, slots=True)
class BrokerPositions:
    """The contracts of our instruments. `unknown` says why nothing could be compared."""

    at: datetime
    unknown: str
    positions: tuple[HeldContract, ...]
    tags: tuple[PositionTag, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """A difference, and what to do about it."""

    kind: DifferenceKind
    instrument: str
    symbol: str
    exchange: str
    ours: int
    brokers: int
    order_id: str
    what_to_do: str


@dataclass(frozen=True, slots=True)
class SyncReport:
    """A comparison. `agrees` is null where it is not known; `unknown` says why.

    `adoptable` is what an adoption would book. `locked` and `unlocked` are what this look did.
    """

    at: datetime
    agrees: bool | None
    unknown: str
    busy: tuple[str, ...]
    positions: tuple[HeldContract, ...]
    differences: tuple[Told, ...]
    adoptable: tuple[Adoptable, ...]
    locked: tuple[str, ...]
    unlocked: tuple[str, ...]


class UntagAsked(Asked):
    """A contract, and why."""

    exchange = text(10, required=True)
    symbol = text(40, required=True)
    reason = text(500, load_default="")


class TagAsked(Asked):
    """A contract, and whose it is."""

    exchange = text(10, required=True)
    symbol = text(40, required=True)
    owner = text(100, required=True)
    notes = text(500, shortest=0, load_default="")


class _Looks:
    """A look that is recent enough is shown again."""

    def __init__(self, parts: WebParts, desk: BrokerDesk) -> None:
        self._clock = parts.clock
        self._desk = desk
        self._last: Comparison | None = None
        self._looked_at_s = 0.0

    def recent(self) -> Comparison:
        """The last look, or a new one."""
        last, now_s = self._last, self._clock.monotonic()
        if last is None or now_s - self._looked_at_s >= _RECENT_S:
            return self.keep(self._desk.reconciler.look())
        return last

    def keep(self, seen: Comparison) -> Comparison:
        """Show this one from now on."""
        self._last, self._looked_at_s = seen, self._clock.monotonic()
        return seen


def broker_room(parts: WebParts, desk: BrokerDesk) -> Room:
    """GET /broker/positions and /sync/status, POST /sync/broker and the tags."""
    room = Room("broker", __name__, description="Ours against the broker's")
    looks = _Looks(parts, desk)

    @room.get_from("/broker/positions", schema_of(BrokerPositions))
    def positions() -> BrokerPositions:
        """Ours, the broker's, and the difference, by contract."""
        return _positions(parts, desk, looks.keep(desk.reconciler.look()))

    @room.on("POST", "/broker/positions/tag", schema_of(BrokerPositions), body=TagAsked)
    def tag(exchange: str, symbol: str, owner: str, notes: str) -> BrokerPositions:
        """Leave a contract to somebody else."""
        who = audited(parts.store, notes, exchange=exchange, symbol=symbol, owner=owner)
        now = parts.clock.now()
        parts.store.tag_position(
            PositionTag(desk.broker_name, exchange, symbol, owner, notes, who, now)
        )
        return _positions(parts, desk, looks.keep(desk.reconciler.look()))

    @room.on("POST", "/broker/positions/untag", schema_of(BrokerPositions), body=UntagAsked)
    def untag(exchange: str, symbol: str, reason: str) -> BrokerPositions:
        """Take a contract for ours again."""
        audited(parts.store, reason, exchange=exchange, symbol=symbol)
        if not parts.store.untag_position(desk.broker_name, exchange, symbol):
            raise NotThere("tag")
        return _positions(parts, desk, looks.keep(desk.reconciler.look()))

    @room.get_from("/sync/status", schema_of(SyncReport))
    def status() -> SyncReport:
        """The last comparison, at most ten seconds old, and what to do about what differs."""
        return report(desk, parts, looks.recent())

    @room.on("POST", "/sync/broker", schema_of(SyncReport), status=200)
    def look_now() -> SyncReport:
        """Compare now; lock what differs, and unlock what agrees again."""
        present_visit()
        done = desk.reconciler.run()
        if done.comparison.unknown:
            done = desk.reconciler.run()
        looks.keep(done.comparison)
        return report(desk, parts, done.comparison, done.locked, done.unlocked)

    return room


def report(
    desk: BrokerDesk,
    parts: WebParts,
    seen: Comparison,
    locked: tuple[str, ...] = (),
    unlocked: tuple[str, ...] = (),
) -> SyncReport:
    """A comparison as it is told."""
    return SyncReport(
        seen.at,
        seen.agrees,
        seen.unknown,
        seen.busy,
        _held(parts, desk, seen.legs),
        tuple(map(_told, seen.differences)),
        desk.adopter.adoptable(seen),
        locked,
        unlocked,
    )


def _positions(parts: WebParts, desk: BrokerDesk, seen: Comparison) -> BrokerPositions:
    tags = tuple(parts.reads.position_tags(desk.broker_name))
    return BrokerPositions(seen.at, seen.unknown, _held(parts, desk, seen.legs), tags)


def _held(
    parts: WebParts, desk: BrokerDesk, legs: tuple[ComparedLeg, ...]
) -> tuple[HeldContract, ...]:
    tags = parts.reads.position_tags(desk.broker_name)
    owners = {(tag.symbol, tag.exchange): tag.owner for tag in tags}
    return tuple(
        HeldContract(
            leg.instrument,
            leg.symbol,
            leg.exchange,
            leg.ours,
            leg.brokers,
            leg.brokers - leg.ours,
            owners.get((leg.symbol, leg.exchange)),
        )
        for leg in legs
    )


def _told(found: Difference) -> Told:
    return Told(
        found.kind,
        found.instrument,
        found.symbol,
        found.exchange,
        found.ours,
        found.brokers,
        found.order_id,
        WHAT_TO_DO[found.kind],
    )
