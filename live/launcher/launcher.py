"""One process that starts everything in order, keeps it running, and ends it in reverse order.

State first (lock, tokens, database, schema, ledger), then the exchange, then the web server; what
is not ready is waited for, and said. While it lives nobody else can start on the same PM_HOME, and
nothing that it started outlives it.
"""

import json
import logging
import os
import time
from contextlib import ExitStack
from decimal import Decimal
from typing import NoReturn

from brokers.messages import GatewayMode
from live.access import open_access
from live.clock import SystemClock
from live.embedded import EmbeddedServers, ServerNotStarted
from live.embedded.folders import Folders, exclusive
from live.embedded.watch import LOOK_S, Watched
from live.launcher.children import LOOPBACK, PaperExchange, WebServer, answer_of
from live.launcher.database import bring_up_to_date, fund
from live.launcher.home import Home
from live.launcher.ports import free_port, need_port
from live.launcher.running import RunningService
from live.launcher.systemd import Systemd
from live.settings import (
    NO_REDIS,
    NO_STREAM,
    Gateway,
    OperatorSettings,
    ServiceSettings,
    service_settings,
    service_variables,
)

APPLICATION = "live.wsgi:create()"
# How long programs that a killed launcher left behind may take to end.
_LEFTOVERS_S = 20.0
_ROUNDS_TO_TRIM = 100
_ANYWHERE = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104 - where such a host is asked
_LOG = logging.getLogger(__name__)


class Launcher:
    """Everything that runs, for one set of settings; `application` is what gunicorn serves."""

    def __init__(
        self,
        settings: OperatorSettings,
        capital: Decimal | None = None,
        application: str = APPLICATION,
    ) -> None:
        self._settings = settings
        self._capital = capital
        self._application = application
        self._home = Home(settings.home)
        self._watched: list[Watched] = []
        self._told = ""
        self._systemd = Systemd(settings.variables)

    def run(self) -> NoReturn:
        """Start, and look after what runs until interrupted (KeyboardInterrupt).

        Raises PortfolioError or OSError for what keeps it from starting.
        """
        with ExitStack() as running:
            service, web = self._start(running)
            running.callback(self._systemd.stopping)
            started = time.monotonic()
            announced: RunningService | None = None
            rounds = 0
            while True:
                if rounds % _ROUNDS_TO_TRIM == 0:
                    self._home.trim_logs()
                rounds += 1
                for each in self._watched:
                    each.look(time.monotonic())
                if announced is None and web.exit_code is not None:
                    raise ServerNotStarted(f"the web server did not start: {web.last_words()}")
                if announced is None and not self._is_ready():
                    time.sleep(LOOK_S)
                    continue
                if announced is None:
                    _LOG.info("ready after %.1f s", time.monotonic() - started)
                    self._systemd.ready()
                announced = self._announce(service, announced)
                self._systemd.alive(time.monotonic(), self._is_well)
                time.sleep(LOOK_S)

    def _start(self, running: ExitStack) -> tuple[ServiceSettings, WebServer]:
        settings, home = self._settings, self._home
        home.prepare()
        running.enter_context(exclusive(Folders(home.path)))
        patience_s = _LEFTOVERS_S if home.not_ended.exists() else 0.0
        home.not_ended.touch()
        for path in (home.not_ended, home.run_file):
            running.callback(path.unlink, missing_ok=True)
        home.run_file.unlink(missing_ok=True)
        open_access(home.path, settings.secrets, weak_allowed=settings.weak_allowed)
        home.empty_metrics()
        need_port(settings.host, settings.port, "PM_PORT", patience_s)
        database_url, redis_url = self._start_servers(running)
        bring_up_to_date(database_url)
        funds = fund(database_url, settings, self._capital)
        gateway = settings.gateway or self._start_exchange(running, funds, patience_s)
        service = self._complete(database_url, redis_url, gateway)
        return service, self._start_web(running, service)

    def _start_servers(self, running: ExitStack) -> tuple[str, str | None]:
        """Addresses of the database and of Redis, which run from here on if they are ours."""
        settings = self._settings
        ours_postgres = settings.database_url is None
        ours_valkey = settings.redis_url is None and settings.with_redis
        if not ours_postgres and not ours_valkey:
            return settings.database_url or "", settings.redis_url
        what = [
            name for name, ours in (("PostgreSQL", ours_postgres), ("Valkey", ours_valkey)) if ours
        ]
        _LOG.info("starting %s", " and ".join(what))
        folder = self._home.place_servers()
        servers = running.enter_context(
            EmbeddedServers(folder, with_postgres=ours_postgres, with_valkey=ours_valkey)
        )
        self._watched += servers.watched
        return (
            settings.database_url or servers.database_url,
            servers.redis_url if ours_valkey else settings.redis_url,
        )

    def _start_exchange(self, running: ExitStack, funds: Decimal, patience_s: float) -> Gateway:
        port = self._settings.paper_port or free_port(LOOPBACK)
        need_port(LOOPBACK, port, "PM_PAPER_PORT", patience_s)
        _LOG.info("starting the paper exchange")
        offset_s = self._settings.clock_offset_s
        stream = free_port(LOOPBACK)
        variables = self._settings.variables
        exchange = PaperExchange(self._home, variables, port, stream, funds, offset_s)
        running.callback(exchange.stop)
        exchange.start()
        self._watched.append(Watched(exchange))
        is_wanted = variables.get("OPENALGO_WS_URL") != NO_STREAM
        return Gateway(
            exchange.url,
            exchange.api_key,
            GatewayMode.ANALYZE,
            is_paper=True,
            ws_url=exchange.ws_url if is_wanted else None,
        )

    def _complete(
        self, database_url: str, redis_url: str | None, gateway: Gateway
    ) -> ServiceSettings:
        """What a worker will read, read once here so that a mistake is told before any starts."""
        settings = self._settings
        named = {
            "PM_HOME": str(settings.home),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url or NO_REDIS,
            "OPENALGO_URL": gateway.url,
            "OPENALGO_API_KEY": gateway.api_key,
            "OPENALGO_MODE": gateway.mode.value,
            "OPENALGO_WS_URL": gateway.ws_url or NO_STREAM,
            "PM_PAPER": str(int(gateway.is_paper)),
        }
        return service_settings({**settings.variables, **named})

    def _start_web(self, running: ExitStack, service: ServiceSettings) -> WebServer:
        counts = {"PROMETHEUS_MULTIPROC_DIR": str(self._home.metrics)}
        environment = {**self._settings.variables, **service_variables(service), **counts}
        web = WebServer(self._home, environment, service, self._application)
        running.callback(web.stop)
        _LOG.info("starting the web server: %d workers", service.workers)
        web.start()
        self._watched.append(Watched(web))
        return web

    def _is_well(self) -> bool:
        """Whether the web server answers; whether its database does is not cured by a restart."""
        return answer_of(f"{self._url()}/health") is not None

    def _is_ready(self) -> bool:
        answer = answer_of(f"{self._url()}/ready")
        if answer is not None and answer.ok:
            return True
        told = "" if answer is None else _reason(answer.text)
        if told and told != self._told:
            _LOG.info("not ready yet: %s", told)
            self._told = told
        return False

    def _announce(
        self, service: ServiceSettings, announced: RunningService | None
    ) -> RunningService:
        """Keep run.json true: written when everything answers, and again when a pid changes."""
        pids = {each.child.name: each.child.pid or 0 for each in self._watched}
        if announced is not None and announced.pids == pids:
            return announced
        clock = SystemClock(service.clock_offset_s)
        settings = self._settings
        found = RunningService(
            started_at=announced.started_at if announced else clock.now().isoformat(),
            launcher_pid=os.getpid(),
            pids=pids,
            url=self._url(),
            database="embedded" if settings.database_url is None else "DATABASE_URL",
            redis=_redis_words(settings),
            gateway=service.gateway.url,
            mode=service.gateway.mode.value,
            is_paper=service.gateway.is_paper,
            is_test=service.is_test,
            clock_offset_s=service.clock_offset_s,
        )
        found.write(self._home.run_file)
        return found

    def _url(self) -> str:
        host = _ANYWHERE.get(self._settings.host, self._settings.host)
        return (
            f"http://[{host}]:{self._settings.port}"
            if ":" in host
            else (f"http://{host}:{self._settings.port}")
        )


def _reason(text: str) -> str:
    """Why /ready says no."""
    try:
        return str(json.loads(text)["reason"])
    except (ValueError, KeyError, TypeError):
        return text.strip()


def _redis_words(settings: OperatorSettings) -> str:
    if not settings.with_redis:
        return "none"
    return "embedded" if settings.redis_url is None else "REDIS_URL"
