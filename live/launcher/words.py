"""What an operator is told of a service that runs: addresses, folders, a first alert to send."""

import shlex
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from core.errors import OutsideCoverage
from core.ist import as_ist
from core.market_calendar import MarketCalendar
from live.launcher.home import Home
from live.launcher.running import RunningService
from live.settings import DEFAULT_HOME, PROJECT

EXCHANGE = "MCX"
_PRACTICE_HOUR = 10


def describe(home: Home, running: RunningService, now: datetime) -> Iterator[str]:
    """Lines: what runs, where it keeps what, and how a first alert is sent. `now` is its time."""
    kind = "paper account" if running.is_paper else f"gateway in mode {running.mode}"
    test = ", one lot an order" if running.is_test else ""
    yield f"Portfolio Manager runs at {running.url} ({kind}{test})"
    if running.clock_offset_s:
        yield f"  its clock    {now:%Y-%m-%d %H:%M:%S} IST, for practice"
    yield f"  gateway      {running.gateway}{' (paper exchange)' if running.is_paper else ''}"
    yield f"  database     {running.database}, redis: {running.redis}"
    yield f"  processes    {', '.join(f'{name} {pid}' for name, pid in running.pids.items())}"
    yield f"  launcher     {running.launcher_pid}"
    if running.database == "embedded":
        yield f"  data         {home.servers.resolve() / 'postgres'}"
    yield f"  all state    {home.path}"
    yield f"  logs         {home.logs}"
    yield f"  tokens       {home.tokens}"


def first_alert(
    home: Home, running: RunningService, calendar: MarketCalendar, now: datetime
) -> Iterator[str]:
    """A command that sends an entry in Gold Mini, and what to know before it is sent."""
    command = shlex.quote(_short(Path(sys.executable)))
    token = (
        f'$(sed -n \'s/.*"webhook": "\\([0-9a-f]*\\)".*/\\1/p\' {shlex.quote(str(home.tokens))})'
    )
    pm = f"{command} {shlex.quote(_short(PROJECT / 'portfolio_manager.py'))}"
    if home.path != DEFAULT_HOME:
        pm = f"PM_HOME={shlex.quote(str(home.path))} {pm}"
    if running.is_paper:
        yield "Send a first alert (paper, no money moves):"
    else:
        yield "Send a first alert. THE GATEWAY IS REAL: it may place an order."
    yield ""
    yield f"  {pm} signal example BASE_ENTRY --instrument GOLD_MINI |"
    yield f'    curl -sS -H "X-Webhook-Token: {token}" --data-binary @- {running.url}/webhook'
    yield ""
    yield from _market_words(running, calendar, now)


def _market_words(
    running: RunningService, calendar: MarketCalendar, now: datetime
) -> Iterator[str]:
    try:
        session = calendar.session(EXCHANGE, now.date())
        if session is not None:
            return
        day = now.date() + timedelta(days=1)
        moment = datetime.combine(
            calendar.previous_trading_day(EXCHANGE, day), datetime.min.time()
        ).replace(hour=_PRACTICE_HOUR, minute=30)
    except OutsideCoverage as error:
        yield f"{EXCHANGE}'s days are not known now, so entries are refused: {error}"
        return
    yield f"{EXCHANGE} does not trade today ({now:%a %d %b}): the entry will be refused."
    if running.is_paper:
        yield "To practise as if it did:"
        yield f"  ./start_all.sh restart --at '{as_ist(moment).isoformat()}'"


def _short(path: Path) -> str:
    """Relative to the project, which is where commands are run, if it lies there."""
    return str(path.relative_to(PROJECT)) if path.is_relative_to(PROJECT) else str(path)
