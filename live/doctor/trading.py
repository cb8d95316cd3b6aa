"""What trading depends on: the mode it is done in, the secrets, and days that are known."""

from collections.abc import Iterator
from datetime import date

from core.errors import ConfigInvalid
from core.market_calendar import MarketCalendar
from live.access import refuse_weak
from live.doctor.findings import Finding, fail, fine, warn
from live.settings import OperatorSettings

_SOON_DAYS = 45


def check_mode(settings: OperatorSettings) -> Iterator[Finding]:
    """Paper or real, test or not, and who may reach it."""
    gateway = settings.gateway
    test = ", one lot an order (test mode)" if settings.is_test else ""
    if gateway is None:
        yield fine("mode", f"paper: no money moves{test}")
    else:
        yield fine("mode", f"gateway {gateway.url}, {gateway.mode.value}{test}")
    if settings.is_loopback:
        yield fine("listens", f"on {settings.host}, this machine only")
    else:
        yield warn("listens", f"on {settings.host}", "reach it through a tunnel or TLS proxy only")
    for role, secret in settings.secrets.items():
        try:
            refuse_weak(role, secret)
        except ConfigInvalid as error:
            told = warn if settings.weak_allowed else fail
            yield told(f"secret of {role}", "it can be guessed", str(error))


def check_calendar(calendar: MarketCalendar, today: date) -> Iterator[Finding]:
    """How long the holidays of each exchange are still known."""
    for exchange in calendar.exchanges:
        last = calendar.covered_until(exchange)
        left = (last - today).days
        found = f"{exchange}'s holidays are known to {last}, {left} days"
        advice = "put the exchange's list into an override file: docs/market-data.md"
        if left < 0:
            yield fail("calendar", found, f"entries are refused: {advice}")
        elif left < _SOON_DAYS:
            yield warn("calendar", found, advice)
        else:
            yield fine("calendar", found)
