"""`doctor`: everything that the service stands on, and what to do about what is wrong."""

import json
from collections.abc import Iterator
from dataclasses import asdict

import click

from brokers.messages import GatewayMode
from core.errors import ConfigInvalid
from live.clock import SystemClock
from live.doctor.end_of_day import check_end_of_day
from live.doctor.findings import Finding, Level, fail, look
from live.doctor.machine import check_home, check_ports, check_python
from live.doctor.market import check_market
from live.doctor.services import check_database, check_gateway, check_redis
from live.doctor.trading import check_calendar, check_mode
from live.embedded import ready_servers
from live.environment import environment
from live.launcher.home import Home
from live.launcher.running import running_service
from live.settings import Gateway, OperatorSettings, home_of, operator_settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The findings as JSON.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Check everything and say what to do. Exit code 1 when something is in the way."""
    found = list(_examine())
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        for finding in found:
            click.echo(f"{finding.level:<5} {finding.about}: {finding.found}")
            if finding.advice:
                click.echo(f"      -> {finding.advice}")
    if any(finding.level is Level.FAIL for finding in found):
        context.exit(1)


def _examine() -> Iterator[Finding]:
    home = Home(home_of(environment()))
    yield from check_python()
    yield from look("state folder", lambda: check_home(home), "see who owns it")
    try:
        settings = operator_settings(environment())
    except ConfigInvalid as error:
        yield fail("settings", str(error), "correct it; what depends on it was not looked at")
        return
    yield from _examine_services(settings, home)


def _examine_services(settings: OperatorSettings, home: Home) -> Iterator[Finding]:
    servers = ready_servers(home.servers)
    database_url = settings.database_url or (servers.database_url if servers else None)
    running = running_service(home)
    served_at = None if running is None else running.url
    yield from check_mode(settings)
    yield from check_calendar(settings.market.calendar, SystemClock().now().date())
    yield from look("ports", lambda: check_ports(settings, served_at), "set PM_HOST and PM_PORT")
    yield from look("database", lambda: check_database(database_url), "see DATABASE_URL")
    yield from look("redis", lambda: check_redis(settings, servers), "see REDIS_URL")
    yield from look("end of day", lambda: check_end_of_day(database_url), "see DATABASE_URL")
    gateway = settings.gateway or _paper_gateway(home)
    yield from look("gateway", lambda: check_gateway(gateway), "see OPENALGO_URL")
    if gateway is not None:
        yield from look(
            "market",
            lambda: check_market(gateway, database_url, settings, _offset_s(settings, home)),
            "see what the gateway says",
        )


def _offset_s(settings: OperatorSettings, home: Home) -> float:
    """How far the clock of what runs is ahead."""
    running = running_service(home)
    return settings.clock_offset_s if running is None else running.clock_offset_s


def _paper_gateway(home: Home) -> Gateway | None:
    """The paper exchange that runs."""
    running = running_service(home)
    if running is None or not running.is_paper:
        return None
    key = (home.paper / "apikey").read_text(encoding="ascii").strip()
    return Gateway(running.gateway, key, GatewayMode(running.mode), is_paper=True)
