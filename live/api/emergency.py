"""The emergency switch: thrown at once, for everything or one instrument, and kept over restarts.

REDUCING, which a stop means unless it says otherwise, lets positions be closed and nothing be
opened; HALTED sends nothing at all, the exits of our own stops included, but a close-all.
"""

from dataclasses import dataclass

from marshmallow import fields, validate

from core.db_state_manager.intents import ORDER_UNKNOWN
from core.db_state_manager.operation import GLOBAL, in_force
from core.db_state_manager.records import InstrumentLock, TradingControl
from core.db_state_manager.states import ControlState
from live.api.guard import audited
from live.api.refusals import ArgumentsInvalid, NotThere
from live.api.rest import Room
from live.api.schemas import Asked, instrument, schema_of, text
from live.web_parts import WebParts

_STOPS = [ControlState.REDUCING.value, ControlState.HALTED.value]


@dataclass(frozen=True, slots=True)
class InForce:
    """What one instrument may do: the stricter of its own control and the global one."""

    instrument: str
    state: ControlState


@dataclass(frozen=True, slots=True)
class Controls:
    """What was set in each scope, and what that comes to."""

    controls: tuple[TradingControl, ...]
    in_force: tuple[InForce, ...]


class ResumeAsked(Asked):
    """Why trading goes on, and where: GLOBAL, or an instrument."""

    reason = text(500, required=True)
    scope = text(40, load_default=GLOBAL)


class UnlockAsked(Asked):
    """Which lock is to be released, and what was seen."""

    instrument = instrument(required=True)
    code = text(40, required=True)
    reason = text(500, required=True)


@dataclass(frozen=True, slots=True)
class Locks:
    """The locks that still hold."""

    locks: tuple[InstrumentLock, ...]


class StopAsked(ResumeAsked):
    """Why trading stops, where, and how far."""

    state = fields.String(load_default=ControlState.REDUCING.value, validate=validate.OneOf(_STOPS))


def emergency_room(parts: WebParts) -> Room:
    """POST /emergency/stop, /emergency/resume and /emergency/unlock."""
    room = Room("emergency", __name__, description="The emergency switch")

    @room.on("POST", "/emergency/stop", schema_of(Controls), body=StopAsked)
    def stop(reason: str, scope: str, state: str) -> Controls:
        """Stop trading everywhere, or in one instrument."""
        return _throw(parts, ControlState(state), reason, scope)

    @room.on("POST", "/emergency/resume", schema_of(Controls), body=ResumeAsked)
    def resume(reason: str, scope: str) -> Controls:
        """Go on. What was stopped for one instrument goes on when that is asked for."""
        return _throw(parts, ControlState.ACTIVE, reason, scope)

    @room.on("POST", "/emergency/unlock", schema_of(Locks), body=UnlockAsked)
    def unlock(instrument: str, code: str, reason: str) -> Locks:
        """Release a lock; one whose cause still stands comes back by itself."""
        if code == ORDER_UNKNOWN:
            raise ArgumentsInvalid({"code": ["resolve the order: its lock then goes by itself"]})
        who = audited(parts.store, reason, instrument=instrument, code=code)
        if not parts.store.unlock_instrument(instrument, code, who):
            raise NotThere(f"lock: {instrument} for {code}")
        return Locks(tuple(parts.store.instrument_locks()))

    return room


def _throw(parts: WebParts, state: ControlState, reason: str, scope: str) -> Controls:
    if scope != GLOBAL and scope not in parts.instruments:
        known = ", ".join((GLOBAL, *parts.instruments))
        raise ArgumentsInvalid({"scope": [f"must be one of: {known}"]})
    who = audited(parts.store, reason, state=state, scope=scope)
    parts.store.set_control(state, reason, who, scope)
    controls = tuple(parts.store.controls())
    return Controls(
        controls, tuple(InForce(name, in_force(controls, name)) for name in parts.instruments)
    )
