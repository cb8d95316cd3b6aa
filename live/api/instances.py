"""Who runs, and who of them leads."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from live.api.rest import Room
from live.api.schemas import schema_of
from live.config_watch import ALIVE
from live.web_parts import WebParts

_SHOWN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ProcessStanding:
    """A worker of some instance. `is_alive`: it was heard of within half a minute."""

    instance_id: str
    host: str
    pid: int
    version: str
    config_hash: str
    started_at: datetime
    heartbeat_at: datetime
    is_alive: bool
    leads: bool


@dataclass(frozen=True, slots=True)
class Instances:
    """The workers of the last hour. Without a `leader` the background work waits for one."""

    at: datetime
    leader: str | None
    epoch: int | None
    leads_since: datetime | None
    configs_agree: bool
    processes: tuple[ProcessStanding, ...]


def instances_room(parts: WebParts) -> Room:
    """GET /instances."""
    room = Room("instances", __name__, description="Who runs and who leads")

    @room.get_from("/instances", schema_of(Instances))
    def instances() -> Instances:
        """Every worker with its last heartbeat, and which one does the background work."""
        return standing(parts)

    return room


def standing(parts: WebParts) -> Instances:
    """How all instances stand now."""
    now = parts.clock.now()
    newest = parts.reads.newest_leadership()
    leading = newest if newest is not None and newest.ended_at is None else None
    leader = None if leading is None else leading.instance_id
    found = tuple(
        ProcessStanding(
            row.instance_id,
            row.host,
            row.pid,
            row.version,
            row.config_hash,
            row.started_at,
            row.heartbeat_at,
            now - row.heartbeat_at < ALIVE,
            row.instance_id == leader,
        )
        for row in parts.reads.processes(now - _SHOWN)
    )
    return Instances(
        now,
        leader,
        None if leading is None else leading.epoch,
        None if leading is None else leading.started_at,
        len({row.config_hash for row in found if row.is_alive}) < 2,
        found,
    )
