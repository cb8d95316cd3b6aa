"""The stop watch's exits take the way of every stop: decided under the lock, under the job's epoch.

Each gets one pass of its ladder here, all at once; whatever is left is an operation like any other,
and the recovery of some process goes on with it stage by stage. What is busy with another operation
is left to that one and looked at again later.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import copy_context
from dataclasses import dataclass

from core.db_state_manager.decision_rights import STALE_EPOCH
from core.db_state_manager.intents import DecisionRequest, ReserveResult
from core.db_state_manager.records import Intent
from core.db_state_manager.states import IntentSource
from core.errors import PortfolioError, Rejected, Retryable
from live.carrying_out import IntentCarrier
from live.exits import DecideExit, ExitDesk

_LOG = logging.getLogger(__name__)

InHand = Callable[[], AbstractContextManager[str]]


@dataclass(frozen=True, slots=True)
class WantedExit:
    """Layers of an instrument that are to be closed, as `decide` finds them in the locked book."""

    instrument: str
    decide: DecideExit


class WatchExits:
    """Closes for the leader."""

    def __init__(
        self,
        exits: ExitDesk,
        carriers: Callable[[str], IntentCarrier],
        in_hand: InHand,
        lease_s: float,
        *,
        is_test: bool = False,
    ) -> None:
        """`in_hand` gives an owner whose leases are renewed."""
        self._exits = exits
        self._carriers = carriers
        self._in_hand = in_hand
        self._lease_s = lease_s
        self._is_test = is_test

    def leave(self, epoch: int, wanted: Sequence[WantedExit]) -> dict[str, Intent]:
        """The new intents by instrument, each after one pass.

        Raises Rejected (STALE_EPOCH), and what the database raises.
        """
        if not wanted:
            return {}
        with ThreadPoolExecutor(len(wanted), thread_name_prefix="stop-watch") as pool:
            works = {
                each.instrument: pool.submit(copy_context().run, self._leave, epoch, each)
                for each in wanted
            }
        found = {name: work.result() for name, work in works.items()}
        return {name: intent for name, intent in found.items() if intent is not None}

    def _leave(self, epoch: int, wanted: WantedExit) -> Intent | None:
        with self._in_hand() as owner:
            request = DecisionRequest(
                wanted.instrument,
                IntentSource.STOP,
                epoch=epoch,
                is_test=self._is_test,
                owner=owner,
                lease_s=self._lease_s,
            )
            try:
                reservation = self._exits.attempt(request, wanted.decide)
            except (Rejected, Retryable) as error:
                if isinstance(error, Rejected) and error.code == STALE_EPOCH:
                    raise
                _LOG.warning("the stop watch looks again at %s: %s", wanted.instrument, error)
                return None
            intent = reservation.intent
            if intent is None or reservation.result is ReserveResult.BUSY:
                return None
            self._carry_out(owner, intent)
            return intent

    def _carry_out(self, owner: str, intent: Intent) -> None:
        """One pass; what comes between leaves the intent to the recovery, and is only logged."""
        try:
            carried = self._carriers(owner).carry_out(intent, most_passes=1)
        except PortfolioError as error:
            _LOG.warning("intent %d is left to the recovery: %s", intent.id, error)
            return
        _LOG.warning("intent %d: %s (%s)", intent.id, carried.outcome, carried.reason)
