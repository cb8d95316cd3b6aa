"""The whole service of one process, put together from its settings; nothing else puts it together.

Building opens no connection; `start` does, after the fork.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from flask import Flask

from brokers.factory import bucket_of_one, create_broker, order_calls_of_one
from brokers.order_stream import OrderStream
from brokers.order_updates import OrderNews
from brokers.rate_limit import CallLimiter
from core.contracts import Contracts
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.leader_lock import LeaderLock
from core.db_state_manager.records import Journalled
from core.decision import DecisionMaker
from core.eod_executor import EodExecutor
from core.ports import Clock
from core.redis_coordinator import LeaderPace, RedisCoordinator, Watcher
from live.access import open_access
from live.adopting import Adopter
from live.api.webhook import polling
from live.app import create_app, read_networks
from live.background import BackgroundParts, background_jobs
from live.broker_desk import BrokerDesk
from live.carrying_out import IntentCarrier
from live.clock import SystemClock
from live.close_all import CloseAll
from live.close_all_report import Standings
from live.config_mark import config_mark
from live.config_watch import ConfigWatch
from live.coverage_warning import CoverageWarning
from live.dead_man_ping import DeadManPing
from live.duplicates import connect_redis
from live.engine import LiveTradingEngine
from live.engine_threads import EngineThreads, Pace
from live.entries import EntryDesk
from live.executors import ExecutorParts
from live.exits import ExitDesk, Stopping
from live.expiry_utils import ContractChooser
from live.gap_alarm import GapAlarm, bars_of
from live.ids import new_id
from live.job_runner import JobRunner
from live.jobs import Job
from live.lot_guard import LotGuard
from live.marking import Pricing
from live.metrics import leads, split_brain, stream_event
from live.order_search import OrderSearch
from live.outbox_relay import LogNotifier, OutboxRelay
from live.paper_prices import PaperPrices, real_prices
from live.pre_open import PreOpenCheck
from live.reconciliation import Reconciler
from live.recovery import CrashRecoveryManager
from live.roll_planning import RollPlanner
from live.rollover_executor import RolloverExecutor
from live.rollover_scanner import RolloverScanner
from live.sending import OrderSender
from live.settings import Gateway, ServiceSettings
from live.shared_order_calls import SharedOrderCalls
from live.stop_watch import StopWatch, WatchParts
from live.trading_hours import TradingHours
from live.unknown_orders import UnknownOrders
from live.watch_exits import InHand, WatchExits
from live.web_parts import WebParts, WebSettings

ENGINE_SLOTS = 8
LAST_TURN_S = 5.0
EOD_EVERY_S = 1.0
PACE = Pace()
_READING_CONNECTIONS = 4

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """A process's rooms. `stopping` set: nothing new is begun."""

    app: Flask
    engine: EngineThreads
    store: DatabaseStateManager
    reads: DatabaseStateManager
    stopping: threading.Event
    leadership: RedisCoordinator
    jobs: JobRunner
    order_stream: OrderStream | None = None

    def start(self) -> None:
        """Recover, then handle alerts; whoever leads does the background work too."""
        if self.order_stream is not None:
            self.order_stream.start()
        self.engine.start()
        self.jobs.start()
        self.leadership.start(self.jobs)

    def stop(self) -> None:
        """End what is in hand, within bounds, jobs first, and close the connections."""
        self.stopping.set()
        self.jobs.stop(LAST_TURN_S)
        self.leadership.stop()
        self.engine.stop()
        if self.order_stream is not None:
            self.order_stream.stop()
        self.store.close()
        self.reads.close()


def build(
    settings: ServiceSettings, pace: Pace = PACE, leader_pace: LeaderPace | None = None
) -> Service:
    """The service of `settings`. Raises ConfigInvalid."""
    clock = SystemClock(settings.clock_offset_s, settings.clock_file)
    maker = DecisionMaker(settings.portfolio_config)
    store = DatabaseStateManager(settings.database_url, ENGINE_SLOTS + 4, clock, maker.stops)
    reads = DatabaseStateManager(settings.database_url, _READING_CONNECTIONS, clock, maker.stops)
    stopping = threading.Event()
    trading = _Trading(settings, clock, maker, store, stopping, pace)
    instance = f"{socket.gethostname()}-{os.getpid()}-{new_id()[:8]}"
    threads = EngineThreads(
        store,
        trading.engine(),
        trading.recover,
        instance,
        ENGINE_SLOTS,
        stopping,
        pace,
        config_mark(maker.config, is_test=settings.is_test),
    )
    parts = replace(
        _web_parts(settings, clock, store, reads, threads, stopping),
        close_all=trading.close_all(threads),
        rollover=trading.rollover(),
        broker_desk=trading.broker_desk(instance),
        stream_state=trading.stream_state,
    )
    app = create_app(parts)
    leadership = _candidate(settings, clock, store, instance, stopping, leader_pace)
    work = (
        *trading.jobs(instance),
        trading.stop_watch_job(threads.in_hand),
        trading.eod_job(threads.kick),
    )
    jobs = JobRunner(work, leadership, stopping)
    stream = trading.order_stream
    return Service(app, threads, store, reads, stopping, leadership, jobs, stream)


def _order_calls(redis_url: str | None, processes: int, clock: Clock) -> CallLimiter:
    """What bounds the order calls of all `processes` together."""
    own_part = bucket_of_one(processes, clock)
    if redis_url is None:
        return own_part
    return SharedOrderCalls(connect_redis(redis_url), own_part, clock)


def _order_stream(gateway: Gateway, news: OrderNews) -> OrderStream | None:
    """What listens to the gateway, where it is to be listened to."""
    if gateway.ws_url is None:
        return None
    return OrderStream(gateway.ws_url, gateway.api_key, gateway.mode, news, stream_event)


def _candidate(
    settings: ServiceSettings,
    clock: SystemClock,
    store: DatabaseStateManager,
    instance: str,
    stopping: threading.Event,
    pace: LeaderPace | None,
) -> RedisCoordinator:
    """This process, as one that may lead."""
    pace = pace or LeaderPace(last_work_s=LAST_TURN_S)
    return RedisCoordinator(
        LeaderLock(settings.database_url, clock, pace.ttl_s),
        None if settings.redis_url is None else connect_redis(settings.redis_url),
        store,
        clock,
        instance,
        stopping,
        pace,
        Watcher(lambda now: leads(now=now), split_brain),
    )


class _Trading:
    """What decides and trades, sharing one broker and one way to wait."""

    def __init__(
        self,
        settings: ServiceSettings,
        clock: Clock,
        maker: DecisionMaker,
        store: DatabaseStateManager,
        stopping: threading.Event,
        pace: Pace,
    ) -> None:
        self._pace = pace
        self._has_checked = False
        self._ends_at_s = 0.0
        self._closer: CloseAll | None = None
        self._settings = settings
        self._clock = clock
        self._maker = maker
        self._store = store
        self._stopping = stopping
        gateway = settings.gateway
        processes = settings.instances * settings.workers
        self._broker = create_broker(
            gateway.address,
            gateway.mode,
            clock,
            order_calls_of_one(processes),
            _order_calls(settings.redis_url, processes, clock),
            self._sleep,
        )
        market = settings.market
        self._catalog, self._charges = market.catalog, market.charges
        self._calendar = market.calendar
        self._news = OrderNews()
        self._missing_since_s: dict[int, float] = {}
        self.order_stream = _order_stream(gateway, self._news)
        contracts = Contracts(self._calendar, self._catalog)
        self._chooser = ContractChooser(contracts, self._catalog, self._broker)
        self._broker_name = "paper" if gateway.is_paper else "openalgo"
        self._reconciler = Reconciler(store, self._broker, self._broker_name, self._catalog, clock)
        self._contracts = contracts
        self._lot_guard = LotGuard(
            store, self._broker, self._broker_name, self._catalog, contracts, gateway.is_paper
        )
        self._exits = ExitDesk(store, self._broker, self._chooser, self._pause)

    def stream_state(self) -> str | None:
        """How the gateway's stream of order updates is; None where none is wanted."""
        if self.order_stream is None:
            return None
        return "open" if self._news.is_up else "closed: orders are polled"

    def close_all(self, threads: EngineThreads) -> CloseAll:
        """The operator's way out, which the recovery goes on with from now on."""
        looks = Reconciler(self._store, self._broker, self._broker_name, self._catalog, self._clock)
        self._closer = CloseAll(
            self._store,
            Standings(self._store, looks, self._clock),
            self._chooser,
            self._exits,
            self.carrier,
            self._clock,
            threads.in_hand,
            self._pace.lease_s,
            self._pace.close_all_s,
        )
        return self._closer

    def broker_desk(self, instance: str) -> BrokerDesk:
        """Where operators hold our books against the broker's."""
        adopter = Adopter(
            self._store,
            self._reconciler,
            self._broker,
            self._catalog,
            self._contracts,
            self._charges,
            self._clock,
            is_test=self._settings.is_test,
        )
        owner = f"operator at {instance}"
        window_s = self._pace.resolve_window_s
        unknown = UnknownOrders(self._store, self._broker, self._clock, owner, window_s)
        return BrokerDesk(self._broker_name, self._reconciler, adopter, unknown, self._lot_guard)

    def eod_job(self, kick: Callable[[], None]) -> Job:
        """The end of each instrument's day; `kick` says that something was journalled."""
        config = self._settings.portfolio_config
        eod = EodExecutor(self._store, config, self._catalog, self._calendar, self._clock, kick)
        return Job("end_of_day", EOD_EVERY_S, eod.run)

    def rollover(self) -> RolloverExecutor:
        """What moves positions to the next contract."""
        store, config, clock = self._store, self._maker.config, self._clock
        scanner = RolloverScanner(
            store, self._contracts, self._calendar, self._catalog, config.rollover, clock
        )
        planner = RollPlanner(
            store,
            self._broker,
            self._contracts,
            self._chooser,
            self._catalog,
            config,
            self._lot_guard.check,
            clock,
        )
        return RolloverExecutor(
            store,
            scanner,
            planner,
            self._exits,
            self._entries().forbidden,
            config.rollover,
            clock,
            is_test=self._settings.is_test,
        )

    def rollover_job(self) -> Job:
        """The leader's part of it."""
        return self.rollover().job()

    def _entries(self) -> EntryDesk:
        return EntryDesk(
            self._store,
            self._broker,
            self._maker,
            self._catalog,
            self._calendar,
            self._clock,
            self._lot_guard,
            is_test=self._settings.is_test,
        )

    def engine(self) -> LiveTradingEngine:
        """The engine of this process."""
        gateway = self._settings.gateway
        follow = (
            PaperPrices(gateway.url, gateway.api_key).follow if gateway.is_paper else real_prices
        )
        return LiveTradingEngine(
            self._store,
            self._maker,
            self._entries(),
            self._exits,
            self.carrier,
            self._clock,
            follow,
            is_test=self._settings.is_test,
        )

    def stop_watch_job(self, in_hand: InHand) -> Job:
        """The leader's look at what is held, between two bars."""
        config, lease_s = self._maker.config, self._pace.lease_s
        is_test, is_paper = self._settings.is_test, self._settings.gateway.is_paper
        own = config.stop_watch
        parts = WatchParts(
            self._store,
            config,
            bars_of(config, self._catalog, self._calendar),
            self._contracts,
            TradingHours(self._calendar, self._catalog),
            Pricing(self._broker, self._clock, own, moves_by_itself=not is_paper),
            WatchExits(self._exits, self.carrier, in_hand, lease_s, is_test=is_test),
            self._clock,
        )
        return Job("stop_watch", float(own.every_s), StopWatch(parts).run)

    def carrier(self, owner: str) -> IntentCarrier:
        """What carries out the intents of an owner."""
        store, broker, clock = self._store, self._broker, self._clock
        sender = OrderSender(store, broker, self._broker_name, clock, owner)
        hours = TradingHours(self._calendar, self._catalog)
        name, wait, news = self._broker_name, self._wait, self._news
        rollover = self._settings.portfolio_config.rollover
        parts = ExecutorParts(store, sender, broker, name, clock, wait, hours, news, rollover)
        instruments = self._settings.portfolio_config.instruments
        return IntentCarrier(
            store,
            parts.of({name: each.execution for name, each in instruments.items()}),
            OrderSearch(
                store, sender, broker, clock, self._pace.resolve_window_s, self._missing_since_s
            ),
            self._catalog,
            self._charges,
            clock,
            owner,
            self._pace.lease_s,
        )

    def jobs(self, instance: str) -> tuple[Job, ...]:
        """What is done while this process leads."""
        store, config, clock = self._store, self._maker.config, self._clock
        url = self._settings.heartbeat_url
        pre_open = PreOpenCheck(
            store,
            self._broker,
            self._chooser,
            self._lot_guard,
            config,
            self._catalog,
            self._calendar,
            clock,
        )
        parts = BackgroundParts(
            store=store,
            config=config.background,
            clock=clock,
            pace=self._pace,
            reconciler=self._reconciler,
            gaps=GapAlarm(store, config, self._catalog, self._calendar, clock),
            relay=OutboxRelay(store, LogNotifier(), instance),
            pre_open=pre_open,
            coverage=CoverageWarning(store, config, self._calendar, clock),
            configs=ConfigWatch(store, clock),
            ping=None if url is None else DeadManPing(url),
        )
        return (*background_jobs(parts), self.rollover_job())

    def recover(self, owner: str) -> None:
        """One pass of the recovery; after the first one, and after what it ended, a comparison.

        It needs no leader: nothing that was begun waits for an election.
        """
        recovery = CrashRecoveryManager(self._store, self.carrier(owner), self._catalog)
        report = recovery.run()
        for resumed in report.resumed:
            _LOG.info("intent %d: %s (%s)", resumed.intent_id, resumed.outcome, resumed.reason)
        if self._closer is not None:
            self._closer.go_on(owner)
        if not self._has_checked:
            for violation in recovery.check_invariants():
                _LOG.error("the books contradict themselves: %s", violation)
        if report.ended or not self._has_checked:
            self._reconciler.run()
        self._has_checked = True

    def _sleep(self, seconds: float) -> None:
        """Let time pass, whatever else happens."""
        time.sleep(seconds)

    def _pause(self, seconds: float) -> bool:
        """Let time pass; True at once when the process ends."""
        return self._stopping.wait(seconds)

    def _wait(self, seconds: float) -> None:
        """Let time pass; when the process ends, work goes on for a while and then breaks off."""
        self._sleep(seconds)
        if self._stopping.is_set():
            self._ends_at_s = self._ends_at_s or time.monotonic() + self._pace.last_work_s / 2
            if time.monotonic() > self._ends_at_s:
                raise Stopping


def _web_parts(
    settings: ServiceSettings,
    clock: SystemClock,
    store: DatabaseStateManager,
    reads: DatabaseStateManager,
    threads: EngineThreads,
    stopping: threading.Event,
) -> WebParts:
    access = open_access(settings.home, settings.secrets, weak_allowed=settings.weak_allowed)
    sources = settings.webhook_sources
    web = WebSettings(
        webhook_sources=None if sources is None else read_networks(sources),
        trusted_proxies=settings.trusted_proxies,
        is_paper=settings.gateway.is_paper,
        is_test=settings.is_test,
    )
    wait = polling(store, clock, web.outcome_wait_s, threads.wait_for_an_end)

    def kicked(signal_id: int) -> Journalled | None:
        threads.kick()
        return wait(signal_id)

    return WebParts(
        store=store,
        reads=reads,
        access=access,
        config=settings.portfolio_config,
        calendar=settings.market.calendar,
        catalog=settings.market.catalog,
        clock=clock,
        settings=web,
        redis=None if settings.redis_url is None else connect_redis(settings.redis_url),
        waiter=kicked,
        closing=stopping,
        is_recovered=lambda: threads.is_ready,
    )
