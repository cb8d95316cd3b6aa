"""Rolls what is due, as one operation of an instrument, and closes what cannot be rolled in time.

Here it is planned, decided and reserved; it is carried out like everything else that is reserved,
by the next sweep of whichever process comes first, from where it stands to its end. A roll waits
for its turn; an exit that has become due calls off an entry that it finds. A roll that is refused
is told once a day and tried again, until the contract's hard exit; that one is told each hour.
Switched off, it still closes in time.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from core.config import RolloverConfig
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.intents import DecisionRequest, ReserveResult
from core.db_state_manager.records import Intent, LegPlan
from core.db_state_manager.states import ControlState, IntentSource
from core.decision_record import Decision, DecisionCode, LayerClose
from core.errors import OutcomeUnknown, PortfolioError, Rejected, Retryable
from core.models import SignalType
from core.portfolio_state import PortfolioStateManager
from core.ports import Clock
from core.rollover import RollStep
from core.signal_validator import Refused
from live.exits import ExitDesk
from live.jobs import Job
from live.roll_planning import RollPlan, RollPlanner
from live.rollover_scanner import Expiring, RolloverScanner, due

EVERY_S = 60.0
STALE_EPOCH = "STALE_EPOCH"
_EXIT_RETRY_S = 300.0
# A roll has days left when it is refused, and a hard exit has none.
_TOLD_AGAIN = {RollStep.ROLL: timedelta(days=1), RollStep.EXIT: timedelta(hours=1)}
PLANNED, RESERVED, REFUSED, BUSY = "PLANNED", "RESERVED", "REFUSED", "BUSY"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RollTried:
    """What came of wanting to roll an instrument, or to close it because its time is over.

    `result` is PLANNED (a dry run), RESERVED (it is being carried out), BUSY (another operation
    works) or REFUSED with `code` and `reason`.
    """

    instrument: str
    step: RollStep
    result: str
    code: str
    reason: str
    intent_id: int | None
    plan: RollPlan | None


@dataclass(slots=True)
class RolloverExecutor:
    """For one account. `forbidden` says why nothing is opened in an instrument now."""

    store: DatabaseStateManager
    scanner: RolloverScanner
    planner: RollPlanner
    exits: ExitDesk
    forbidden: Callable[[str], Refused | None]
    config: RolloverConfig
    clock: Clock
    is_test: bool = False
    _tried_at_s: dict[tuple[str, RollStep, date], float] = field(default_factory=dict, init=False)

    def job(self) -> Job:
        """The leader's work: each minute it looks whether something is due."""
        return Job("rollover", EVERY_S, self.run_due)

    def run_due(self, epoch: int) -> None:
        """Begin whatever is due and possible now. Raises Rejected (STALE_EPOCH)."""
        for instrument, expiring in due(self.scanner.scan()).items():
            try:
                self._run(instrument, expiring, epoch)
            except (Retryable, OutcomeUnknown) as error:
                _LOG.warning("rollover of %s: %s", instrument, error)

    def execute(self, instrument: str | None, why: str, *, dry_run: bool) -> tuple[RollTried, ...]:
        """What is due, of all instruments or one, begun or only planned."""
        found = due(self.scanner.scan(), instrument)
        return tuple(
            self._tried(name, part, None, why, dry_run=dry_run)
            for name, expiring in found.items()
            for part in _parts(expiring)
        )

    def _run(self, instrument: str, expiring: Sequence[Expiring], epoch: int) -> None:
        for part in _parts(expiring):
            step, now_s = part[0].step, self.clock.monotonic()
            pause_s = _EXIT_RETRY_S if step is RollStep.EXIT else self.config.retry_min * 60.0
            what = (instrument, step, part[0].expiry)
            tried_s = self._tried_at_s.get(what)
            if not part[0].is_open or (tried_s is not None and now_s - tried_s < pause_s):
                continue
            tried = self._tried(instrument, part, epoch, "its window is open", dry_run=False)
            if tried.result != BUSY:
                self._tried_at_s[what] = now_s

    def _tried(
        self,
        instrument: str,
        part: Sequence[Expiring],
        epoch: int | None,
        why: str,
        *,
        dry_run: bool,
    ) -> RollTried:
        step = part[0].step
        try:
            if not part[0].is_open:
                raise Rejected("CLOSED", f"{instrument} does not trade now, or not long enough")
            if step is RollStep.EXIT:
                return self._close(instrument, part, epoch, dry_run=dry_run)
            if not self.config.enabled:
                raise Rejected("ROLLOVER_DISABLED", "rollover.enabled is false: it will be closed")
            if refused := self.forbidden(instrument):
                raise Rejected(refused.code, refused.reason)
            plan = self.planner.plan(instrument, part)
            if dry_run:
                return RollTried(instrument, step, PLANNED, "", "nothing was sent", None, plan)
            return self.reserve(plan, epoch, why)
        except PortfolioError as error:
            code = error.code if isinstance(error, Rejected) else type(error).__name__
            if code == STALE_EPOCH:
                raise
            if not dry_run:
                self._tell(instrument, part, code, str(error))
            return RollTried(instrument, step, REFUSED, code, str(error), None, None)

    def reserve(self, plan: RollPlan, epoch: int | None, why: str) -> RollTried:
        """Decide on a plan and reserve it. Raises Rejected for what has changed since."""
        near, far = f"{plan.near_expiry:%d%b%y}", f"{plan.far_expiry:%d%b%y}"
        decision = Decision(
            code=DecisionCode.ROLL,
            reason=f"rolled from {near} to {far}: {why}",
            instrument=plan.instrument,
            type=SignalType.EXIT,
            rolls=plan.rolls,
        )

        def decide(book: PortfolioStateManager) -> Decision | None:
            held = {layer.id: layer.lots for layer in book[plan.instrument].layers}
            is_same = all(held.get(roll.position_id) == roll.lots for roll in plan.rolls)
            return decision if is_same else None

        def legs(_: Decision) -> tuple[LegPlan, ...]:
            self._check_unmoved(plan)
            return (*plan.closes, *plan.opens)

        request = self._request(plan.instrument, epoch)
        made = self.store.decide_and_reserve(request, decide, legs)
        return self._came(plan.instrument, RollStep.ROLL, made.result, made.intent, plan)

    def _check_unmoved(self, plan: RollPlan) -> None:
        """Raise Rejected where somebody rolled a layer since the roll was planned.

        Asked while the account is locked, so that nothing is booked meanwhile.
        """
        held, near = self.store.held_legs(plan.instrument), {leg.symbol for leg in plan.closes}
        for roll in plan.rolls:
            if not {leg.symbol for leg in held.get(roll.position_id, ())} <= near:
                raise Rejected("BOOKS_MOVED", f"{roll.position_id} was rolled meanwhile")

    def _close(
        self, instrument: str, part: Sequence[Expiring], epoch: int | None, *, dry_run: bool
    ) -> RollTried:
        """The hard exit of what is held in those contracts."""
        wanted = {layer.position_id for each in part for layer in each.layers}
        reason = f"HARD_EXIT: {part[0].expiry:%d%b%y} must be gone by {part[0].gone_by:%d %b %H:%M}"

        def decide(book: PortfolioStateManager) -> Decision | None:
            layers = [layer for layer in book[instrument].layers if layer.id in wanted]
            closes = tuple(LayerClose(layer.id, layer.layer, layer.lots) for layer in layers)
            if not closes:
                return None
            return Decision(DecisionCode.EXIT, reason, instrument, SignalType.EXIT, closes=closes)

        if dry_run:
            return RollTried(instrument, RollStep.EXIT, PLANNED, "", reason, None, None)
        if self.store.control_of(instrument) is ControlState.HALTED:
            raise Rejected("HALTED", f"{instrument} is HALTED: {reason}, and is not closed")
        made = self.exits.attempt(self._request(instrument, epoch), decide)
        return self._came(instrument, RollStep.EXIT, made.result, made.intent, None)

    def _came(
        self,
        instrument: str,
        step: RollStep,
        result: ReserveResult,
        intent: Intent | None,
        plan: RollPlan | None,
    ) -> RollTried:
        if result is ReserveResult.BUSY and intent is not None:
            reason = f"intent {intent.id} ({intent.action}) works"
            return RollTried(instrument, step, BUSY, "BUSY", reason, intent.id, plan)
        if intent is None:
            raise Rejected("BOOKS_MOVED", "what is held changed meanwhile: look again")
        reason = intent.decision.reason
        if step is RollStep.EXIT:
            told = {"intent_id": intent.id, "reason": reason}
            self.store.append_outbox("ROLL_HARD_EXIT", instrument, told)
        return RollTried(instrument, step, RESERVED, "", reason, intent.id, plan)

    def _request(self, instrument: str, epoch: int | None) -> DecisionRequest:
        return DecisionRequest(instrument, IntentSource.ROLLOVER, epoch=epoch, is_test=self.is_test)

    def _tell(self, instrument: str, part: Sequence[Expiring], code: str, reason: str) -> None:
        step, expiry = part[0].step, part[0].expiry
        key = {"of": instrument, "expiry": expiry.isoformat(), "step": step, "code": code}
        told = {**key, "reason": reason, "exit_from": part[0].exit_from.isoformat()}
        since = self.clock.now() - _TOLD_AGAIN[step]
        _LOG.warning("rollover of %s is refused (%s): %s", instrument, code, reason)
        self.store.tell_once("ROLL_REFUSED", instrument, told, key, since)


def _parts(expiring: Sequence[Expiring]) -> list[list[Expiring]]:
    """What is to be closed comes first, contract by contract; what is to be rolled, together."""
    rolls = [each for each in expiring if each.step is RollStep.ROLL]
    exits = [[each] for each in expiring if each.step is RollStep.EXIT]
    return [*exits, *([rolls] if rolls else [])]
