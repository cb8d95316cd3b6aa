"""`live`: the whole service in the foreground; below it what start_all.sh asks for."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from types import FrameType

import click

from core.ist import as_ist
from live.clock import SystemClock
from live.environment import environment
from live.launcher import detached
from live.launcher.detached import NotReady
from live.launcher.home import Home
from live.launcher.running import RunningService, launcher_pid, running_service
from live.launcher.words import describe, first_alert
from live.settings import home_of, operator_settings


class _Moment(click.ParamType[datetime]):
    """An ISO 8601 time; without an offset it is IST."""

    name = "time"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The time that `value` says."""
        try:
            return as_ist(datetime.fromisoformat(value))
        except ValueError:
            self.fail(f"{value!r}: a time such as 2026-11-20T10:30 is expected", param, ctx)


class _Rupees(click.ParamType[Decimal]):
    """Whole rupees above zero."""

    name = "rupees"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        """The amount that `value` says."""
        if not (value.isascii() and value.isdigit() and 0 < int(value) < 10**13):
            self.fail(f"{value!r}: rupees such as 5000000 are expected", param, ctx)
        return Decimal(value)


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--silent", is_flag=True, help="Nothing is spoken aloud."),
        click.option("--test-mode", is_flag=True, help="One lot an order, whatever was computed."),
        click.option("--at", type=_Moment(), help="Practise as if it were then (paper only)."),
        click.option("--capital", type=_Rupees(), help="First deposit, at the very first start."),
    ):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@_options
@click.pass_context
def live(
    context: click.Context,
    capital: Decimal | None,
    at: datetime | None,
    test_mode: bool,
    silent: bool,
) -> None:
    """Run the whole service in the foreground until SIGTERM or SIGINT."""
    if context.invoked_subcommand is not None:
        return
    logging.basicConfig(
        stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    # A job of a script in the background is started with SIGINT ignored, so both are set.
    for way in (signal.SIGTERM, signal.SIGINT):
        signal.signal(way, _interrupt)
    variables = dict(environment())
    if test_mode:
        variables["PM_TEST_MODE"] = "1"
    if silent:
        variables["PM_SILENT"] = "1"
    if at is not None:
        variables["PM_CLOCK_OFFSET_S"] = repr((at - SystemClock().now()).total_seconds())
    # Who only asks what runs need not wait for this to be imported.
    from live.launcher.launcher import Launcher

    try:
        Launcher(operator_settings(variables), capital).run()
    except KeyboardInterrupt:
        logging.info("stopped")


@live.command()
@_options
def start(**options: object) -> None:
    """Start it detached, wait until it is ready, and say what runs."""
    home = _home()
    home.prepare()
    running = running_service(home)
    if running is not None:
        click.echo("it runs already")
        _say(describe(home, running, _now(running)))
        return
    _start(home, options)


@live.command()
def stop() -> None:
    """End it and wait for that."""
    click.echo("stopped" if detached.stop(_home()) else "nothing runs")


@live.command()
@_options
def restart(**options: object) -> None:
    """Stop, then start."""
    home = _home()
    if detached.stop(home):
        click.echo("stopped")
    _start(home, options)


@live.command()
def status() -> None:
    """Say what runs; exit code 1 when nothing does or it is still starting."""
    home = _home()
    running = running_service(home)
    if running is None:
        pid = launcher_pid(home)
        if pid is None:
            raise NotReady(f"nothing runs on {home.path}: ./start_all.sh starts it")
        raise NotReady(f"process {pid} is still starting: ./start_all.sh logs -f shows how far")
    _say(describe(home, running, _now(running)))


@live.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("-n", "--lines", type=click.IntRange(1), default=20, show_default=True)
def logs(follow: bool, lines: int) -> None:
    """Print the last lines of every log."""
    home = _home()
    found = sorted(
        path for each in (home.logs, home.servers / "logs") for path in each.glob("*.log")
    )
    if not found:
        raise NotReady(f"there are no logs in {home.logs} yet")
    mode = ["-F"] if follow else []
    os.execvp("tail", ["tail", *mode, "-n", str(lines), *map(str, found)])  # noqa: S606, S607


def _start(home: Home, options: Mapping[str, object]) -> None:
    try:
        running = detached.start(home, _as_arguments(options), click.echo)
    except KeyboardInterrupt:
        raise NotReady("it goes on starting without you: ./start_all.sh stop ends it") from None
    _say(describe(home, running, _now(running)))
    click.echo()
    calendar = operator_settings(environment()).market.calendar
    _say(first_alert(home, running, calendar, _now(running)))


def _as_arguments(options: Mapping[str, object]) -> list[str]:
    """The same options, for the process that runs."""
    arguments = []
    for name, value in options.items():
        word = f"--{name.replace('_', '-')}"
        if value is True:
            arguments.append(word)
        elif isinstance(value, datetime):
            arguments += [word, value.isoformat()]
        elif value:
            arguments += [word, str(value)]
    return arguments


def _home() -> Home:
    return Home(home_of(environment()))


def _now(running: RunningService) -> datetime:
    return SystemClock(running.clock_offset_s).now()


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """Once: a second signal must not break into the orderly stop, which has its time limits."""
    for way in (signal.SIGTERM, signal.SIGINT):
        signal.signal(way, signal.SIG_IGN)
    raise KeyboardInterrupt
