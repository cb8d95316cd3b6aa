"""What has to leave its contract and by when, what was rolled, and a hand to begin it.

A call to execute rehearses unless it says otherwise: it shows legs, quotes, the expected basis and
what it costs, and sends nothing. What is begun is carried out by the service; the status shows it.
"""

from dataclasses import dataclass
from datetime import datetime

from marshmallow import fields

from core.db_state_manager.rolls import RollRow
from core.db_state_manager.states import IntentAction, IntentSource, IntentState
from live.api.guard import audited
from live.api.refusals import ArgumentsInvalid
from live.api.rest import Room
from live.api.schemas import Asked, instrument, schema_of, text
from live.rollover_executor import RolloverExecutor, RollTried
from live.rollover_scanner import Expiring
from live.web_parts import WebParts

_LATEST = 50


@dataclass(frozen=True, slots=True)
class RolloverScan:
    """Everything that is held, by instrument and expiry, and what is due of it."""

    at: datetime
    enabled: bool
    expiring: tuple[Expiring, ...]


@dataclass(frozen=True, slots=True)
class WorkingRoll:
    """A roll, or a hard exit, that is being carried out."""

    intent_id: int
    instrument: str
    action: IntentAction
    state: IntentState
    lots: int
    reason: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RolloverStatus:
    """What is being carried out, and the latest moves of layers."""

    working: tuple[WorkingRoll, ...]
    rolls: tuple[RollRow, ...]


@dataclass(frozen=True, slots=True)
class RolloverReport:
    """What came of it, by instrument; nothing where nothing is due."""

    dry_run: bool
    instruments: tuple[RollTried, ...]


class ExecuteAsked(Asked):
    """Why, of what (all instruments where none is named), and whether it is meant."""

    reason = text(500, required=True)
    instrument = instrument(load_default=None)
    dry_run = fields.Boolean(load_default=True)


def rollover_room(parts: WebParts, executor: RolloverExecutor) -> Room:
    """GET /rollover/scan and /rollover/status, POST /rollover/execute."""
    room = Room("rollover", __name__, description="From one contract to the next")

    @room.get_from("/rollover/scan", schema_of(RolloverScan))
    def scan() -> RolloverScan:
        """What is held in which contract, and what is due of it; no broker is asked."""
        enabled = parts.config.rollover.enabled
        return RolloverScan(parts.clock.now(), enabled, executor.scanner.scan())

    @room.get_from("/rollover/status", schema_of(RolloverStatus))
    def status() -> RolloverStatus:
        """The rolls that are being carried out, and what was rolled last."""
        working = tuple(
            WorkingRoll(
                intent.id,
                intent.instrument,
                intent.action,
                intent.state,
                intent.lots,
                intent.reason or intent.decision.reason,
                intent.created_at,
            )
            for intent in parts.reads.active_intents()
            if intent.source is IntentSource.ROLLOVER
        )
        return RolloverStatus(working, tuple(parts.reads.rolls(_LATEST)))

    @room.on("POST", "/rollover/execute", schema_of(RolloverReport), body=ExecuteAsked)
    def execute(reason: str, instrument: str | None, dry_run: bool) -> RolloverReport:
        """Roll what is due, or close what may not be rolled any more; or rehearse it."""
        if instrument is not None and instrument not in parts.instruments:
            known = ", ".join(parts.instruments)
            raise ArgumentsInvalid({"instrument": [f"must be one of: {known}"]})
        who = audited(parts.store, reason, instrument=instrument, dry_run=dry_run)
        why = f"asked for by {who}: {reason}"
        return RolloverReport(dry_run, executor.execute(instrument, why, dry_run=dry_run))

    return room
