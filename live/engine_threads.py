"""The engine's threads in one process: alerts are claimed, held on to while handled, and finished.

What is in hand has an owner of its own, whose leases are renewed for as long as the work goes on:
work that broke off is let go, and another thread or process takes it up when its lease ends. The
first alert is claimed after the first pass of the recovery, or ten seconds later if that lasts.
"""

import itertools
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.left_over import LEFT
from core.db_state_manager.records import ClaimedSignal, Outcome
from core.db_state_manager.states import SignalStatus
from core.errors import OutcomeUnknown, PortfolioError, Retryable
from core.version import VERSION
from core.webhook_parser import kind_of
from live.engine import InHand, LiveTradingEngine
from live.exits import Stopping
from live.logs import correlated
from live.metrics import signal_finished
from live.sending import RESOLVE_WINDOW_S

_LOOK_S = 0.05
_LOG = logging.getLogger(__name__)

Recover = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how long, in seconds. A lease is renewed twice before it would end.

    `resolve_window_s`: an order may reach the broker for so long after it was written down.
    `checks_pre_open` is off where a test counts every call to the broker. `close_all_s`: by when a
    close-all is answered.
    """

    lease_s: float = 15.0
    poll_s: float = 0.5
    sweep_s: float = 2.0
    first_recovery_s: float = 10.0
    last_work_s: float = 20.0
    resolve_window_s: float = RESOLVE_WINDOW_S
    reconcile_s: float = 60.0
    equity_s: float = 60.0
    checks_pre_open: bool = True
    close_all_s: float = 10.0


class EngineThreads:
    """The threads that work for `instance`, a name that no other process has."""

    def __init__(
        self,
        store: DatabaseStateManager,
        engine: LiveTradingEngine,
        recover: Recover,
        instance: str,
        slots: int,
        stopping: threading.Event,
        pace: Pace,
        config_hash: str = "",
    ) -> None:
        """`slots` alerts are handled at once; `recover` makes one pass as an owner."""
        self._store = store
        self._engine = engine
        self._recover = recover
        self._instance = instance
        self._pace = pace
        self._config_hash = config_hash
        self._stopping = stopping
        self._free = threading.BoundedSemaphore(slots)
        self._workers = ThreadPoolExecutor(slots, thread_name_prefix="engine")
        self._numbers = itertools.count(1)
        self._wrote_at_s = time.monotonic()
        self._owners: set[str] = set()
        self._woken = threading.Event()
        self._one_ended = threading.Condition()
        self._recovered = threading.Event()
        self._dispatcher = threading.Thread(target=self._dispatch, name="dispatch", daemon=True)
        self._threads = [
            threading.Thread(target=self._sweep, name="recovery", daemon=True),
            threading.Thread(target=self._renew, name="leases", daemon=True),
            self._dispatcher,
        ]

    @property
    def is_ready(self) -> bool:
        """Whether alerts are being claimed, and what becomes of them can be stored."""
        is_alive = time.monotonic() - self._wrote_at_s < 2 * self._pace.lease_s
        return self._recovered.is_set() and not self._stopping.is_set() and is_alive

    @contextmanager
    def in_hand(self) -> Iterator[str]:
        """An owner whose leases are renewed until the block ends."""
        owner = self._new_owner()
        with self._held(owner):
            yield owner

    def start(self) -> None:
        """Begin. Not before a fork."""
        for thread in self._threads:
            thread.start()

    def kick(self) -> None:
        """An alert was just stored: look at once."""
        self._woken.set()

    def wait_for_an_end(self, seconds: float) -> None:
        """Return when some alert of this process has come to its end, or after so long."""
        with self._one_ended:
            self._one_ended.wait(seconds)

    def stop(self) -> None:
        """Claim nothing more, and give what is in hand some seconds to end."""
        self._stopping.set()
        self._woken.set()
        self._recovered.set()
        until_s = time.monotonic() + self._pace.last_work_s
        if self._dispatcher.is_alive():
            self._dispatcher.join(self._pace.last_work_s)
        while self._owners and time.monotonic() < until_s:
            time.sleep(_LOOK_S)
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _dispatch(self) -> None:
        self._recovered.wait(self._pace.first_recovery_s)
        self._recovered.set()
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                while self._claim_one():
                    pass
            except (Retryable, OutcomeUnknown) as error:
                _LOG.warning("no alert can be claimed: %s", error)
            except Exception:
                _LOG.exception("no alert can be claimed")
            self._woken.wait(self._pace.poll_s)

    def _claim_one(self) -> bool:
        """Hand one alert to a free worker. False when there is none of either."""
        if self._stopping.is_set() or not self._free.acquire(timeout=self._pace.poll_s):
            return False
        handed = False
        try:
            owner = self._new_owner()
            claimed = self._store.claim_signals(owner, 1, self._pace.lease_s)
            if claimed:
                self._workers.submit(self._work, claimed[0], owner)
                handed = True
        finally:
            if not handed:
                self._free.release()
        return handed

    def _work(self, claimed: ClaimedSignal, owner: str) -> None:
        try:
            ids = {"signal_id": claimed.id, "instrument": claimed.alert.instrument}
            with self._held(owner), correlated(**ids):
                self._handle(claimed, owner)
        finally:
            with self._one_ended:
                self._one_ended.notify_all()
            self._free.release()
            self.kick()

    def _handle(self, claimed: ClaimedSignal, owner: str) -> None:
        try:
            ended = self._engine.handle(InHand(claimed, owner, self._pace.lease_s))
            if not self._store.finish_signal(claimed.id, owner, ended.status, ended.outcome):
                _LOG.warning("signal %d had passed to somebody else", claimed.id)
            outcome = ended.outcome
            if outcome.code.startswith(LEFT):
                self._store.tell_if_ended(claimed.id)
            signal_finished(kind_of(claimed.alert), ended.status, outcome.code)
            _LOG.info("%s: %s (%s)", ended.status, outcome.code, outcome.reason)
        except Stopping:
            self._store.release_signal(claimed.id, owner)
        except (Retryable, OutcomeUnknown) as error:
            _LOG.warning("signal %d will be taken up again: %s", claimed.id, error)
        except Exception:
            _LOG.exception("signal %d failed", claimed.id)
            self._fail(claimed, owner)

    def _fail(self, claimed: ClaimedSignal, owner: str) -> None:
        """End an alert that met an error nobody foresaw; what it began, the recovery ends."""
        outcome = Outcome("INTERNAL_ERROR", "an error that was not foreseen; see the log")
        try:
            self._store.finish_signal(claimed.id, owner, SignalStatus.FAILED, outcome)
            signal_finished(kind_of(claimed.alert), SignalStatus.FAILED, outcome.code)
        except PortfolioError as error:
            _LOG.warning("nor could that be kept: %s", error)

    def _sweep(self) -> None:
        while not self._stopping.is_set():
            try:
                with self.in_hand() as owner:
                    self._recover(owner)
                self._recovered.set()
            except PortfolioError as error:
                _LOG.warning("the recovery waits: %s", error)
            except Exception:
                _LOG.exception("the recovery failed")
            self._stopping.wait(self._pace.sweep_s)

    def _renew(self) -> None:
        while not self._stopping.is_set() or self._owners:
            self._beat()
            time.sleep(self._pace.lease_s / 3)
            for owner in list(self._owners):
                try:
                    self._store.renew_all_leases(owner, self._pace.lease_s)
                    self._store.renew_intents(owner, self._pace.lease_s)
                except (Retryable, OutcomeUnknown) as error:
                    _LOG.warning("leases could not be renewed: %s", error)
                except Exception:
                    _LOG.exception("leases could not be renewed")

    def _beat(self) -> None:
        """Write that this process lives: the proof, too, that something can be written."""
        try:
            self._store.heartbeat(
                self._instance, socket.gethostname(), os.getpid(), VERSION, self._config_hash
            )
            self._wrote_at_s = time.monotonic()
        except Exception as error:
            _LOG.warning("nothing can be written: %s", error)

    @contextmanager
    def _held(self, owner: str) -> Iterator[None]:
        self._owners.add(owner)
        try:
            yield
        finally:
            self._owners.discard(owner)

    def _new_owner(self) -> str:
        return f"{self._instance}/{next(self._numbers)}"
