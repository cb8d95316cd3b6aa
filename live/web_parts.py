"""What the web application is built on: handed in once, the same for every request."""

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from redis import Redis

from core.config import PortfolioConfig
from core.db_state_manager import DatabaseStateManager
from core.instruments import InstrumentCatalog
from core.market_calendar import MarketCalendar
from core.ports import Clock
from live.access import Access
from live.api.webhook import Network, Waiter
from live.broker_desk import BrokerDesk
from live.close_all import CloseAll
from live.rollover_executor import RolloverExecutor


@dataclass(frozen=True, slots=True)
class WebSettings:
    """How the service meets its callers.

    `webhook_sources` are the networks alerts may come from: None for anywhere, empty for nowhere.
    Behind proxies of our own, `trusted_proxies` counts them; otherwise nobody is believed about
    the address they forward for. `calls_per_s` bounds each caller in each process (alerts and
    emergencies are never bounded), and `streams` those who listen to events.
    """

    outcome_wait_s: float = 2.0
    webhook_sources: Sequence[Network] | None = None
    trusted_proxies: int = 0
    calls_per_s: int = 50
    streams: int = 3
    session_s: float = 12 * 60 * 60
    is_paper: bool = True
    is_test: bool = False


@dataclass(frozen=True, slots=True)
class WebParts:
    """The rooms that the views ask.

    `reads` has connections of its own, so that those who look never keep an alert waiting; alerts
    and orders of the operator use `store`. Without `waiter`, outcomes are waited for by looking.
    Setting `closing` ends the streams, so that a process can stop. `is_recovered` says whether
    what an earlier process left behind has been looked at. `stream_state` says how the gateway's
    stream of order updates is, None where there is none.
    """

    store: DatabaseStateManager
    reads: DatabaseStateManager
    access: Access
    config: PortfolioConfig
    calendar: MarketCalendar
    clock: Clock
    settings: WebSettings = field(default_factory=WebSettings)
    redis: Redis | None = None
    waiter: Waiter | None = None
    closing: threading.Event = field(default_factory=threading.Event)
    close_all: CloseAll | None = None
    broker_desk: BrokerDesk | None = None
    catalog: InstrumentCatalog = field(default_factory=InstrumentCatalog.shipped)
    rollover: RolloverExecutor | None = None
    is_recovered: Callable[[], bool] = lambda: True
    stream_state: Callable[[], str | None] = lambda: None

    @property
    def instruments(self) -> Collection[str]:
        """The names of all instruments, also of those that take no entries now."""
        return self.config.instruments.keys()
