"""One process leads, by the database's word; who is killed, frozen or cut off is followed soon."""

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.extensions import make_dsn, parse_dsn
from redis import Redis

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.intents import DecisionRequest, ReserveResult
from core.db_state_manager.leader_lock import LeaderLock
from core.db_state_manager.states import IntentSource
from core.decision_record import Decision
from core.errors import Rejected, Retryable
from core.portfolio_state import PortfolioStateManager
from core.redis_coordinator import KEY, LeaderPace, RedisCoordinator, Watcher
from live.clock import SystemClock
from live.embedded import EmbeddedServers
from tests.fixtures.candidate import Candidate, coordinator
from tests.fixtures.database import MAKER, StillClock, database, enter, one_leg, reserve
from tests.fixtures.hand_clock import HandClock
from tests.fixtures.rules import BANK
from tests.fixtures.servers import fresh_database
from tests.fixtures.tcp_proxy import TcpProxy

# A leader that is slow, as on a busy machine, is still one.
STEADY = LeaderPace(ttl_s=60.0, renew_s=0.5, look_s=0.1)
# One that is cut off has soon stopped.
QUICK = LeaderPace(ttl_s=3.0, renew_s=0.5, look_s=0.1)
# So long that nothing of a test can be due to its end.
FOR_EVER_S = 600.0
_PATIENCE_S = 120.0
_NOBODY_HOLDS = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


def until(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if something := found():
            return something
        time.sleep(0.02)
    raise AssertionError("nothing came of it")


class Rivals:
    """Candidates of this process, each with a way of its own to the database and to Redis."""

    def __init__(self, dsn: str, valkey: str, opened: ExitStack) -> None:
        self._dsn, self._valkey, self._opened = dsn, valkey, opened
        self.store = database(dsn, capital=None)
        opened.callback(self.store.close)
        self.split_brains = 0
        self.redis = opened.enter_context(Redis.from_url(valkey))

    def join(self, name: str, pace: LeaderPace = STEADY, *, redis: str | None = "") -> "Rival":
        parts = parse_dsn(self._dsn)
        socket = Path(parts["host"]) / f".s.PGSQL.{parts.get('port', '5432')}"
        to_database = self._opened.enter_context(TcpProxy(socket))
        to_redis = self._opened.enter_context(TcpProxy(Path(self._valkey.removeprefix("unix://"))))
        dsn = make_dsn(self._dsn, host="127.0.0.1", port=to_database.port)
        url = f"redis://127.0.0.1:{to_redis.port}/0" if redis == "" else redis
        rival = Rival(name, dsn, url, pace, to_database, to_redis, self._count)
        self._opened.callback(rival.stop)
        return rival

    def _count(self) -> None:
        self.split_brains += 1

    def epochs(self) -> list[tuple[Any, ...]]:
        return self.store.rows(
            "SELECT epoch, instance_id, reason FROM leadership_history ORDER BY epoch"
        )

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [dict(e.payload) for e in self.store.events_after(0, 100) if e.kind == kind]


class Rival:
    """One candidate, whose two ways can be cut."""

    def __init__(
        self,
        name: str,
        dsn: str,
        redis: str | None,
        pace: LeaderPace,
        to_database: TcpProxy,
        to_redis: TcpProxy,
        count: Callable[[], None],
    ) -> None:
        self.name = name
        self.to_database, self.to_redis = to_database, to_redis
        self._stopping = threading.Event()
        watcher = Watcher(split_brain=count)
        self.it = coordinator(dsn, redis, name, pace, self._stopping, watcher)
        self.it.start()

    @property
    def epoch(self) -> int | None:
        return self.it.epoch()

    def leads(self) -> int:
        """Wait until it does; its epoch."""
        return int(until(self.it.epoch))

    def stop(self) -> None:
        self.to_database.heal()
        self.to_redis.heal()
        self._stopping.set()
        self.it.stop()


@pytest.fixture
def rivals(database_url: str, valkey_url: str) -> Iterator[Rivals]:
    with ExitStack() as opened:
        yield Rivals(database_url, valkey_url, opened)


def test_one_leads_and_the_others_wait(rivals: Rivals) -> None:
    first = rivals.join("first")
    epoch = first.leads()
    others = [rivals.join(name) for name in ("second", "third")]
    until(lambda: rivals.redis.get(KEY) == f"first#{epoch}".encode())
    assert all(other.epoch is None for other in others)
    assert rivals.epochs() == [(epoch, "first", "")]
    assert rivals.split_brains == 0


def test_the_key_expires_with_its_leader_and_is_renewed_before(rivals: Rivals) -> None:
    rivals.join("first").leads()
    until(lambda: rivals.redis.get(KEY))
    left = rivals.redis.pttl(KEY)
    assert isinstance(left, int)
    assert 0 < left <= STEADY.ttl_s * 1000
    rivals.redis.pexpire(KEY, 30_000)
    until(lambda: rivals.redis.pttl(KEY) > 30_000)
    rivals.redis.delete(KEY)
    until(lambda: rivals.redis.get(KEY))
    assert rivals.split_brains == 0


def test_a_leader_that_stops_gives_way_at_once(rivals: Rivals) -> None:
    patient = LeaderPace(ttl_s=FOR_EVER_S, renew_s=FOR_EVER_S / 2, look_s=0.1)
    first = rivals.join("first", patient)
    epoch = first.leads()
    second = rivals.join("second", patient)
    first.stop()
    assert first.epoch is None
    assert second.leads() > epoch
    assert rivals.epochs()[0] == (epoch, "first", "clean stop")
    assert rivals.told("LEADER_REPLACED") == []


def test_a_leader_leads_on_until_its_job_has_ended(rivals: Rivals) -> None:
    class Busy:
        busy = True

        def begin(self) -> None: ...

        def is_busy(self) -> bool:
            return self.busy

    at_work, stopping = Busy(), threading.Event()
    patient = LeaderPace(ttl_s=FOR_EVER_S, renew_s=1.0, look_s=0.1, last_work_s=FOR_EVER_S)
    leader = coordinator(rivals._dsn, None, "first", patient, stopping)
    leader.start(at_work)
    epoch = until(leader.epoch)
    stopping.set()
    second = rivals.join("second", patient)
    until(lambda: rivals.store.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"))
    assert (leader.epoch(), second.epoch) == (epoch, None)
    at_work.busy = False
    assert second.leads() > epoch
    leader.stop()
    assert leader.epoch() is None


def test_a_killed_leader_is_followed_long_before_its_key_expires(
    database_url: str, valkey_url: str, tmp_path: Path
) -> None:
    rivals = database(database_url, capital=None)
    with (
        Candidate(database_url, valkey_url, "one", tmp_path, FOR_EVER_S / 60) as one,
        closing(rivals),
    ):
        epoch = until(lambda: one.leads)
        with (
            Candidate(database_url, valkey_url, "two", tmp_path, FOR_EVER_S / 60) as two,
            Redis.from_url(valkey_url) as redis,
        ):
            until(lambda: redis.get(KEY))
            redis.set(KEY, redis.get(KEY) or b"", ex=int(FOR_EVER_S))
            one.process.kill()
            assert until(lambda: two.leads) > epoch
            until(lambda: (redis.get(KEY) or b"").startswith(b"two#"))


@pytest.mark.slow
def test_a_leader_that_was_frozen_wakes_and_does_nothing(
    database_url: str, valkey_url: str, tmp_path: Path
) -> None:
    """Incident 47: a leader paused for a minute woke and traded beside the new one."""
    store = database(database_url)
    with closing(store), Candidate(database_url, valkey_url, "one", tmp_path, 3.0) as one:
        epoch = until(lambda: one.leads)
        with Candidate(database_url, valkey_url, "two", tmp_path, 3.0) as two:
            os.kill(one.process.pid, signal.SIGSTOP)
            try:
                newer = until(lambda: two.leads)
                woken_s = time.monotonic()
            finally:
                os.kill(one.process.pid, signal.SIGCONT)
            until(lambda: one.leads is None)
            assert newer > epoch
            believed = [belief for belief in one.beliefs() if belief.at_s > woken_s]
            assert all(belief.epoch != epoch for belief in believed)
            with pytest.raises(Rejected, match=f"epoch {epoch} does not lead any more"):
                reserve(store, enter(), epoch=epoch)


def test_nobody_begins_to_lead_while_what_the_leader_decided_is_not_committed(
    database_url: str,
) -> None:
    """Else a leader that was frozen between the look at its epoch and its commit trades late."""
    manager, clock = database(database_url), SystemClock()
    first, second = (LeaderLock(database_url, clock, 4.0) for _ in range(2))
    with closing(manager), closing(first), closing(second):
        taken = first.try_lead("first")
        assert taken is not None
        assert second.try_lead("second") is None
        first.close()
        until(lambda: manager.rows(_NOBODY_HOLDS) == [(0,)])

        def decide(_book: PortfolioStateManager) -> Decision:
            with pytest.raises(Retryable, match="time"):
                second.try_lead("second")
            return enter()

        request = DecisionRequest(BANK, IntentSource.STOP, epoch=taken[0])
        found = manager.decide_and_reserve(request, decide, one_leg)
        assert found.result is ReserveResult.RESERVED
        assert until(lambda: second.try_lead("second"))[0] > taken[0]


def test_a_leader_frozen_in_a_transaction_has_lost_it_before_another_may_lead(
    database_url: str,
) -> None:
    manager, pace = database(database_url), LeaderPace()
    with closing(manager):
        ((held_ms,),) = manager.rows(
            "SELECT setting::int FROM pg_settings"
            " WHERE name = 'idle_in_transaction_session_timeout'"
        )
    assert 0 < held_ms < (pace.ttl_s * 0.8 - pace.look_s) * 1000


@pytest.mark.parametrize("way", ["cut", "stall"])
def test_a_leader_that_is_cut_off_from_the_database_stops_by_itself_and_is_followed(
    rivals: Rivals, way: str
) -> None:
    first = rivals.join("first", QUICK)
    epoch = first.leads()
    second = rivals.join("second", QUICK)
    getattr(first.to_database, way)()
    until(lambda: first.epoch is None)
    newer = second.leads()
    assert newer > epoch
    until(lambda: (rivals.redis.get(KEY) or b"").startswith(b"second#"))
    first.to_database.heal()
    second.stop()
    assert first.leads() > newer
    (told, *_) = rivals.told("LEADER_REPLACED")
    assert (told["instance"], told["followed"]) == ("second", "first")


@pytest.mark.parametrize("way", ["cut", "stall"])
def test_a_leader_without_redis_leads_by_the_database_alone(rivals: Rivals, way: str) -> None:
    """Incident 42: Redis was down at start and every signal was answered "not leader"."""
    first = rivals.join("first")
    epoch = first.leads()
    second = rivals.join("second")
    until(lambda: rivals.redis.get(KEY))
    getattr(first.to_redis, way)()
    # As if the key's time were over.
    rivals.redis.pexpire(KEY, 1)
    until(lambda: rivals.redis.get(KEY) is None)
    assert (first.epoch, second.epoch) == (epoch, None)
    first.to_redis.heal()
    until(lambda: rivals.redis.get(KEY) == f"first#{epoch}".encode())
    assert rivals.split_brains == 0


def test_where_there_is_no_redis_the_database_decides(rivals: Rivals) -> None:
    first = rivals.join("first", redis=None)
    epoch = first.leads()
    second = rivals.join("second", redis=None)
    first.stop()
    assert second.leads() > epoch


def test_a_key_with_another_name_is_taken_back_by_whom_the_database_confirms(
    rivals: Rivals,
) -> None:
    first = rivals.join("first")
    epoch = first.leads()
    until(lambda: rivals.redis.get(KEY))
    rivals.redis.set(KEY, "stranger#1", ex=int(FOR_EVER_S))
    until(lambda: rivals.redis.get(KEY) == f"first#{epoch}".encode())
    assert first.epoch == epoch
    assert rivals.split_brains == 1
    (told,) = until(lambda: rivals.told("SPLIT_BRAIN"))
    assert (told["epoch"], told["other"], told["instance"]) == (epoch, "stranger#1", "first")


def test_the_name_of_a_dead_leader_is_no_split_brain_however_late_it_is_replaced(
    rivals: Rivals,
) -> None:
    rivals.redis.set(KEY, "dead#1", ex=int(FOR_EVER_S))
    first = rivals.join("first", redis="redis://127.0.0.1:1/0")
    first.leads()
    first.stop()
    second = rivals.join("second")
    second.to_redis.stall()
    epoch = second.leads()
    second.to_redis.heal()
    until(lambda: rivals.redis.get(KEY) == f"second#{epoch}".encode())
    assert rivals.split_brains == 0


def test_a_leader_whom_the_database_does_not_confirm_steps_down(rivals: Rivals) -> None:
    first = rivals.join("first")
    epoch = first.leads()
    newer = rivals.store.begin_leadership("elsewhere")
    until(lambda: rivals.split_brains)
    assert first.leads() > newer
    (told,) = rivals.told("SPLIT_BRAIN")
    assert told["epoch"] == epoch
    assert (epoch, "first", "not confirmed by the database") in rivals.epochs()


def test_a_restarted_database_has_one_leader_again(rivals: Rivals) -> None:
    every = [rivals.join(name) for name in ("first", "second")]
    epoch = until(lambda: next((each.epoch for each in every if each.epoch), None))
    rivals.store.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'portfolio_manager leader'"
        " AND datname = current_database()"
    )

    def one_leads_anew() -> bool:
        # Who has lost it believes in itself until its next look, under the old epoch.
        believed = [each.epoch for each in every if each.epoch is not None]
        return len(believed) == 1 and believed[0] > epoch

    until(one_leads_anew)


# What may happen to one of three, and what may happen to all.
_STEPS = st.one_of(
    st.tuples(st.sampled_from(["look", "look", "die", "end_session", "give_back"]),
              st.integers(0, 2)),
    st.tuples(st.sampled_from(["pass_time", "flush", "steal_key"]), st.integers(1, 9)),
)  # fmt: skip


class _Driven:
    """Three candidates that look when they are told to, on clocks that a test moves."""

    def __init__(self, dsn: str, valkey: str) -> None:
        self._dsn = dsn
        self.redis = Redis.from_url(valkey)
        self.clock = HandClock()
        self.store = DatabaseStateManager(dsn, 2, StillClock(), MAKER.stops)
        self._names = itertools.count(1)
        self.every = [self._new() for _ in range(3)]

    def _new(self) -> RedisCoordinator:
        return RedisCoordinator(
            LeaderLock(self._dsn, self.clock, FOR_EVER_S),
            self.redis,
            self.store,
            self.clock,
            f"candidate {next(self._names)}",
            threading.Event(),
        )

    def do(self, step: str, which: int) -> None:
        match step:
            case "look":
                self.every[which].look()
            case "give_back":
                self.every[which].give_back()
            case "die":
                self.every[which]._lock.close()
                self.every[which] = self._new()
            case "end_session":
                connection = self.every[which]._lock._connection
                if connection is not None and not connection.closed:
                    pid = connection.info.backend_pid
                    self.store.rows("SELECT pg_terminate_backend(%s, 5000)", (pid,))
            case "pass_time":
                self.clock.wait(which)
            case "flush":
                self.redis.flushall()
            case "steal_key":
                self.redis.set(KEY, f"stranger {which}")

    def check(self) -> None:
        believed = [epoch for each in self.every if (epoch := each.epoch()) is not None]
        assert len(set(believed)) == len(believed)
        ((newest,),) = self.store.rows("SELECT max(epoch) FROM leadership_history")
        assert all(epoch <= newest for epoch in believed)
        # Whoever has the lock is the one whom the database confirms, or has yet to look.
        confirmed = [each for each in self.every if each.epoch() == newest is not None]
        assert len(confirmed) <= 1

    def close(self) -> None:
        for each in self.every:
            each.give_back()
        self.store.close()
        self.redis.close()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(_STEPS, max_size=25))
def test_whatever_happens_no_epoch_has_two_leaders_and_one_at_most_is_confirmed(
    postgres: EmbeddedServers, migrated_template: str, valkey_url: str, steps: Sequence[Any]
) -> None:
    with fresh_database(postgres, migrated_template) as dsn:
        driven = _Driven(dsn, valkey_url)
        with closing(driven):
            for step, which in steps:
                driven.do(step, which)
                driven.check()
            # When all is quiet, one of them leads.
            driven.clock.wait(FOR_EVER_S)
            until(lambda: _one_leads(driven.every))
            driven.check()


def _one_leads(every: Sequence[RedisCoordinator]) -> bool:
    for each in every:
        each.look()
    return sum(each.epoch() is not None for each in every) == 1
