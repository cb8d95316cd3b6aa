"""What the service talks to: the database and its clock, Redis, the gateway and its session."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime

import psycopg2
import redis

from brokers.factory import create_broker
from brokers.port import Broker
from core import migrations
from core.errors import InputInvalid, PortfolioError
from live.clock import SystemClock
from live.doctor.findings import Finding, fail, fine, warn
from live.embedded import ReadyServers
from live.launcher.database import impatient
from live.settings import Gateway, OperatorSettings

_OLDEST_POSTGRES = 150_000
_SKEW_WARN_S, _SKEW_FAIL_S = 1.0, 5.0
_REDIS_TIMEOUT_S = 3.0
_NOT_RUNNING = "starts with ./start_all.sh"

# The server's version and clock.
ABOUT = "SELECT current_setting('server_version_num')::int, clock_timestamp()"


def check_database(url: str | None) -> Iterator[Finding]:
    """Reachable, new enough, of this program's schema, and of this machine's time."""
    if url is None:
        yield warn("database", "the embedded PostgreSQL does not run", _NOT_RUNNING)
        return
    try:
        with closing(psycopg2.connect(impatient(url))) as connection, connection.cursor() as cursor:
            before = SystemClock().now()
            cursor.execute(ABOUT)
            number, told = cursor.fetchone() or (0, before)
            after = SystemClock().now()
    except psycopg2.OperationalError as error:
        advice = "is the server up, and DATABASE_URL right? Nothing starts without it"
        yield fail("database", " ".join(str(error).split()), advice)
        return
    if number < _OLDEST_POSTGRES:
        yield fail("database", f"PostgreSQL {number // 10_000}", "15 or newer is needed")
    else:
        yield fine("database", f"PostgreSQL {number // 10_000} answers")
    yield _schema(url)
    yield _skew(skew_between(before, told, after))


def check_redis(settings: OperatorSettings, servers: ReadyServers | None) -> Iterator[Finding]:
    """Whether it answers. Without it everything works, only slower."""
    if not settings.with_redis:
        yield fine("redis", "none is wanted")
        return
    url = settings.redis_url or (servers.redis_url if servers else None)
    if url is None:
        yield warn("redis", "the embedded Valkey does not run", _NOT_RUNNING)
        return
    try:
        with redis.Redis.from_url(
            url, socket_connect_timeout=_REDIS_TIMEOUT_S, socket_timeout=_REDIS_TIMEOUT_S
        ) as client:
            version = client.info("server")["redis_version"]
    except (redis.RedisError, OSError) as error:
        advice = "is it up, and REDIS_URL right? Until then the database does its work"
        yield warn("redis", " ".join(str(error).split()), advice)
    else:
        yield fine("redis", f"answers, speaks Redis {version}")


def check_gateway(gateway: Gateway | None) -> Iterator[Finding]:
    """Reachable, in the configured mode, and with a session that is alive at the broker."""
    if gateway is None:
        yield warn("gateway", "the paper exchange does not run", _NOT_RUNNING)
        return
    broker = create_broker(gateway.address, gateway.mode, SystemClock(), 1)
    try:
        yield fine("gateway", f"{gateway.url} answers for broker {broker.ping()}")
        yield from check_session(broker)
    except PortfolioError as error:
        advice = (
            "is the gateway up and OPENALGO_URL, OPENALGO_API_KEY and OPENALGO_MODE right? "
            "A session ends near 03:00 IST: log in at the gateway again"
        )
        yield fail("gateway", str(error), advice)
    finally:
        broker.close()


def check_session(broker: Broker) -> Iterator[Finding]:
    """The gateway is in the configured mode and the session lives. Raises what the broker does."""
    broker.assert_mode()
    yield fine("gateway mode", "as configured")
    funds = broker.funds()
    yield fine("broker session", f"alive: {funds.available_cash_inr} rupees available")


def _schema(url: str) -> Finding:
    try:
        states = migrations.status(impatient(url))
    except InputInvalid as error:
        return fail("schema", str(error), "restore the files, or take the program that made it")
    missing = [state for state in states if state.applied_at is None]
    if missing:
        names = ", ".join(f"{state.version:03d}_{state.name}" for state in missing)
        return warn("schema", f"not applied yet: {names}", "portfolio_manager.py migrate")
    return fine("schema", f"all {len(states)} migrations are applied")


def skew_between(before: datetime, told: datetime, after: datetime) -> float:
    """By how many seconds at least a clock is ahead that said `told` between two of our moments.

    An answer that was long on its way says nothing of the clock.
    """
    return (told - min(max(told, before), after)).total_seconds()


def _skew(skew_s: float) -> Finding:
    found = f"the database's is {skew_s:+.1f} s from this machine's"
    advice = "set both by NTP: alerts are judged by their age in seconds"
    if abs(skew_s) > _SKEW_FAIL_S:
        return fail("clock", found, advice)
    if abs(skew_s) > _SKEW_WARN_S:
        return warn("clock", found, advice)
    return fine("clock", found)
