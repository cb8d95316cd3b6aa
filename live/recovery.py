"""What a process left behind is brought to its end by the next one, and then nothing is left to do.

Every operation that nobody is at work on is carried out from where it stands. A pass that finds
nothing new changes nothing, so it may run at a start, and every few seconds from then on. Each
operation has a thread of its own, and an instrument has one operation: one that is slow, or meets
an error that nobody foresaw, does not keep the others from theirs.
"""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.invariants import violations
from core.db_state_manager.records import Intent
from core.errors import OutcomeUnknown, PortfolioError, Rejected, Retryable
from live.carrying_out import UNRESOLVED, IntentCarrier
from live.exits import Stopping
from live.order_executor import Outcome

BOOKS_DISAGREE = "BOOKS_DISAGREE"
_WHO = "recovery"
_IMPOSSIBLE = "FILL_IMPOSSIBLE"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Resumed:
    """An operation that was carried on; `outcome` is None where an error came between."""

    intent_id: int
    instrument: str
    outcome: Outcome | None
    reason: str

    @property
    def is_ended(self) -> bool:
        """Whether nothing of it is left to do."""
        return self.outcome is not None and self.outcome not in UNRESOLVED


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """One pass: every operation that was found, oldest first."""

    resumed: tuple[Resumed, ...]

    @property
    def ended(self) -> tuple[Resumed, ...]:
        """Those that came to their end."""
        return tuple(each for each in self.resumed if each.is_ended)

    @property
    def unresolved(self) -> tuple[Resumed, ...]:
        """Those that the next pass has to go on with."""
        return tuple(each for each in self.resumed if not each.is_ended)


class CrashRecoveryManager:
    """Carries on for one owner, the carrier's."""

    def __init__(
        self, store: DatabaseStateManager, carrier: IntentCarrier, instruments: Iterable[str]
    ) -> None:
        """`instruments` are all that are traded."""
        self._store = store
        self._carrier = carrier
        self._instruments = tuple(instruments)

    def run(self) -> RecoveryReport:
        """One pass over what nobody is at work on; an exit or a roll gets one pass of the ladder.

        Raises Stopping when the process is to end.
        """
        found = self._store.abandoned_intents()
        if not found:
            return RecoveryReport(())
        with ThreadPoolExecutor(len(found), thread_name_prefix="resume") as pool:
            works = [pool.submit(copy_context().run, self._resume, intent) for intent in found]
        return RecoveryReport(tuple(work.result() for work in works))

    def check_invariants(self) -> tuple[str, ...]:
        """What in the books contradicts itself, and lock what it concerns for entries.

        The locks stay until somebody who has looked releases them.
        """
        found = violations(self._store)
        for violation in found:
            one = violation.instrument
            for instrument in self._instruments if one is None else (one,):
                self._store.lock_instrument(instrument, BOOKS_DISAGREE, violation.reason, _WHO)
        return tuple(violation.reason for violation in found)

    def _resume(self, intent: Intent) -> Resumed:
        try:
            done = self._carrier.carry_out(intent, most_passes=1)
        except PortfolioError as error:
            if isinstance(error, Rejected) and error.code == _IMPOSSIBLE:
                self._contradicted(intent, error)
            return Resumed(intent.id, intent.instrument, None, str(error))
        except Stopping:
            raise
        except Exception as error:
            _LOG.exception("intent %d could not be carried on", intent.id)
            return Resumed(intent.id, intent.instrument, None, repr(error))
        return Resumed(intent.id, intent.instrument, done.outcome, done.reason)

    def _contradicted(self, intent: Intent, error: Rejected) -> None:
        """The broker says more than an order can fill: locked for entries, and told once."""
        reason = f"intent {intent.id} cannot go on: {error}"
        _LOG.error("%s", reason)
        try:
            self._store.lock_instrument(intent.instrument, BOOKS_DISAGREE, reason, _WHO)
            key = {"intent_id": intent.id}
            told = {**key, "reason": reason}
            self._store.tell_once(_IMPOSSIBLE, intent.instrument, told, key)
        except (Retryable, OutcomeUnknown) as failed:
            _LOG.warning("not locked: %s", failed)
