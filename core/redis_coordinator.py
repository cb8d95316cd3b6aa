"""Of all processes one leads, under an epoch that rises; whoever is not sure of it does not lead.

Every process is a candidate. The database decides: the leader holds its lock (`LeaderLock`), and
the epoch written with it makes every older one stale. Redis is the second witness: `pm:leader`
names the leader, expires with it, and is taken over by comparing. Where the two disagree, the one
that the database does not confirm steps down; without Redis the database alone decides.

A leader believes in itself for seven tenths of `ttl_s` after it last began to ask and was
confirmed, by its own monotonic clock. That is less than the server waits before it gives the lock
to others, so one that was frozen, or is cut off, is sure to have stopped; and what it began before
is refused by its epoch. No alert asks any of this.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from redis import Redis
from redis.exceptions import RedisError

from core.db_state_manager.leader_lock import LeaderLock
from core.db_state_manager.outbox import Outbox
from core.errors import OutcomeUnknown, Retryable
from core.ports import Clock

KEY = "pm:leader"

# Extends our key; says who has it otherwise, '' for nobody.
EXTEND = """
local holder = redis.call('get', KEYS[1])
if holder == ARGV[1] then redis.call('pexpire', KEYS[1], ARGV[2]) end
return holder or ''"""

# Takes the key from the one who was seen with it.
SWAP = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[2], 'px', ARGV[3])
return 1"""

# Gives our key back.
GIVE_BACK = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
return 0"""

_MS = 1000
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LeaderPace:
    """In seconds: how long a leader is one unheard, how often its key is renewed and all look."""

    ttl_s: float = 10.0
    renew_s: float = 5.0
    look_s: float = 1.0
    last_work_s: float = 10.0

    @property
    def belief_s(self) -> float:
        """How long a leader believes in itself without being confirmed."""
        return self.ttl_s * 0.7


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who counts what happens here."""

    leads: Callable[[bool], None] = lambda _leads: None
    split_brain: Callable[[], None] = lambda: None


class Led(Protocol):
    """What a leader does besides leading."""

    def begin(self) -> None:
        """The leadership began."""
        ...

    def is_busy(self) -> bool:
        """Whether something would rather end under this leadership."""
        ...


@dataclass(frozen=True, slots=True)
class _Term:
    """What a leader believes; `until_s` by its monotonic clock."""

    epoch: int
    until_s: float


class RedisCoordinator:
    """This process as a candidate; `Leadership` for its jobs."""

    def __init__(
        self,
        lock: LeaderLock,
        redis: Redis | None,
        outbox: Outbox,
        clock: Clock,
        instance: str,
        stopping: threading.Event,
        pace: LeaderPace | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        """`instance` is a name that no other process has."""
        self._lock = lock
        self._redis = redis
        self._outbox = outbox
        self._clock = clock
        self._instance = instance
        self._stopping = stopping
        self._pace = pace or LeaderPace()
        self._watcher = watcher or Watcher()
        self._term: _Term | None = None
        self._renews_at_s = 0.0
        self._is_named = False
        self._led: Led | None = None
        self._thread = threading.Thread(target=self._run, name="leadership", daemon=True)

    def epoch(self) -> int | None:
        """The epoch that this process leads under now; None while it does not lead."""
        term = self._term
        if term is None or self._clock.monotonic() >= term.until_s:
            return None
        return term.epoch

    def start(self, led: Led | None = None) -> None:
        """Be a candidate. Not before a fork. On stopping it leads on while `led` is busy."""
        self._led = led
        self._thread.start()

    def stop(self) -> None:
        """Wait until the leadership was given back; `stopping` has to be set."""
        if self._thread.is_alive():
            self._thread.join(2 * self._pace.last_work_s)

    def look(self) -> None:
        """Go on leading, or try to; what the thread does every second."""
        try:
            if self._term is None:
                self._stand_by()
            else:
                self._go_on(self._term.epoch)
        except Retryable as error:
            self._step_down(str(error))
        self._watcher.leads(self.epoch() is not None)

    def give_back(self) -> None:
        """Lead no more, so that another may at once."""
        self._step_down("clean stop")
        self._lock.close()
        self._watcher.leads(False)

    def _run(self) -> None:
        ends_at_s = float("inf")
        while True:
            if self._stopping.is_set():
                ends_at_s = min(ends_at_s, self._clock.monotonic() + self._pace.last_work_s)
                if not self._leads_on(ends_at_s):
                    break
            try:
                self.look()
            except Exception:
                _LOG.exception("who leads could not be looked at")
            self._pause()
        try:
            self.give_back()
        except Exception:
            _LOG.exception("the leadership could not be given back; it ends by itself")

    def _leads_on(self, ends_at_s: float) -> bool:
        is_busy = self._led is not None and self._led.is_busy()
        return is_busy and self.epoch() is not None and self._clock.monotonic() < ends_at_s

    def _pause(self) -> None:
        if self._stopping.is_set():
            threading.Event().wait(self._pace.look_s / 4)
        else:
            self._stopping.wait(self._pace.look_s)

    def _stand_by(self) -> None:
        began_s = self._clock.monotonic()
        taken = self._lock.try_lead(self._instance)
        if taken is None:
            return
        epoch, lost = taken
        self._is_named = False
        self._believe(epoch, began_s)
        _LOG.info("leads under epoch %d", epoch)
        if self._led is not None:
            self._led.begin()
        self._claim_key(epoch)
        if lost is not None:
            told = {"instance": self._instance, "epoch": epoch, "followed": lost}
            self._tell("LEADER_REPLACED", told, {"epoch": epoch})

    def _go_on(self, epoch: int) -> None:
        began_s = self._clock.monotonic()
        if not self._lock.confirms(epoch):
            self._step_down("not confirmed by the database")
            self._disagree(epoch, "the database does not confirm this one", "")
            return
        self._believe(epoch, began_s)
        if self._clock.monotonic() >= self._renews_at_s:
            self._renew_key(epoch)

    def _believe(self, epoch: int, since_s: float) -> None:
        self._term = _Term(epoch, since_s + self._pace.belief_s)

    def _step_down(self, reason: str) -> None:
        term, self._term = self._term, None
        if term is None:
            return
        _LOG.warning("leads no more under epoch %d: %s", term.epoch, reason)
        self._lock.release(term.epoch, reason)
        self._lock.close()
        self._ask(lambda redis: redis.eval(GIVE_BACK, 1, KEY, self._mark(term.epoch)))

    def _claim_key(self, epoch: int) -> None:
        """Be named by Redis too; whom it names still has not the lock that we have."""
        self._renews_at_s = self._clock.monotonic() + self._pace.look_s

        def claim(redis: Redis) -> bool:
            mark, ttl_ms = self._mark(epoch), int(self._pace.ttl_s * _MS)
            if redis.set(KEY, mark, nx=True, px=ttl_ms):
                return True
            seen = redis.get(KEY)
            return seen is not None and bool(redis.eval(SWAP, 1, KEY, seen, mark, ttl_ms))

        self._is_named = bool(self._ask(claim))
        if self._is_named:
            self._renews_at_s = self._clock.monotonic() + self._pace.renew_s

    def _renew_key(self, epoch: int) -> None:
        """Extend our key. The database has just confirmed us, so another in it is a mistake."""
        if not self._is_named:
            self._claim_key(epoch)
            return
        self._renews_at_s = self._clock.monotonic() + self._pace.look_s
        mark, ttl_ms = self._mark(epoch), int(self._pace.ttl_s * _MS)
        holder = self._ask(lambda redis: redis.eval(EXTEND, 1, KEY, mark, ttl_ms))
        if not isinstance(holder, bytes):
            return
        if holder == mark.encode():
            self._renews_at_s = self._clock.monotonic() + self._pace.renew_s
            return
        if holder:
            other = holder.decode(errors="replace")
            self._disagree(epoch, "Redis names another, the database confirms this one", other)
        self._claim_key(epoch)

    def _disagree(self, epoch: int, what: str, other: str) -> None:
        _LOG.error("split brain: %s (epoch %d) %s", what, epoch, other)
        self._watcher.split_brain()
        key = {"epoch": epoch, "other": other}
        self._tell("SPLIT_BRAIN", {**key, "instance": self._instance, "what": what}, key)

    def _tell(self, kind: str, told: dict[str, object], key: dict[str, object]) -> None:
        try:
            self._outbox.tell_once(kind, None, told, key)
        except (Retryable, OutcomeUnknown) as error:
            _LOG.warning("%s could not be told: %s", kind, error)

    def _ask(self, question: Callable[[Redis], object]) -> object:
        """What Redis says; None when it is absent or in trouble."""
        if self._redis is None:
            return None
        try:
            return question(self._redis)
        except (RedisError, OSError) as error:
            _LOG.warning("the leader's key could not be asked about: %s", error)
            return None

    def _mark(self, epoch: int) -> str:
        return f"{self._instance}#{epoch}"
