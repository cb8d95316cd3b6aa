"""Events are told to whoever wants to know, after they are true and away from all that trades.

An event is told at least once, oldest first; one that could not be told is tried again when its
lease has ended. A person's way to be told is a `Notifier` of its own.
"""

import logging
from typing import Protocol

from core.db_state_manager.outbox import Outbox
from core.db_state_manager.records import OutboxEvent
from core.errors import Retryable

_AT_ONCE = 50
_LEASE_S = 30.0
_LOG = logging.getLogger(__name__)


class Notifier(Protocol):
    """A way to tell."""

    def tell(self, event: OutboxEvent) -> None:
        """Tell it. Raises Retryable when it could not be told."""
        ...


class LogNotifier:
    """Tells the log, which is always there."""

    def tell(self, event: OutboxEvent) -> None:
        """One line; secrets are left out there as everywhere in the log."""
        _LOG.info("event %d: %s %s %s", event.id, event.kind, event.instrument, event.payload)


class OutboxRelay:
    """Takes events as `owner`, and tells them."""

    def __init__(self, outbox: Outbox, notifier: Notifier, owner: str) -> None:
        self._outbox = outbox
        self._notifier = notifier
        self._owner = owner

    def run(self) -> None:
        """Tell what is there. Raises Retryable after the others when one could not be told."""
        failed: Retryable | None = None
        for event in self._outbox.claim_outbox(self._owner, _AT_ONCE, _LEASE_S):
            try:
                self._notifier.tell(event)
            except Retryable as error:
                failed = error
            else:
                self._outbox.mark_delivered(event.id)
        if failed is not None:
            raise failed
