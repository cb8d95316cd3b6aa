"""When a contract is left for the next one: not before its window, never on its last day.

A window opens on the contract's first roll day. `gone_by` is the moment by which nothing of it may
be held any more: 19:00 before the tender where there is a delivery (a day earlier where a half day
makes the exchange's counting doubtful), the last close before the expiry day where cash is settled.
What is not rolled by `lead` before that is closed.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from core.contracts import Contracts
from core.errors import Rejected
from core.instruments import InstrumentSpec
from core.ist import as_ist
from core.market_calendar import MarketCalendar


class RollStep(StrEnum):
    """What is due of a contract: nothing yet, its roll, or the end of what is held of it."""

    KEEP = "KEEP"
    ROLL = "ROLL"
    EXIT = "EXIT"


@dataclass(frozen=True, slots=True)
class RollWindow:
    """A contract's way out. `provisional`: by the rule alone, its holidays are not published."""

    instrument: str
    expiry: date
    opens: date
    gone_by: datetime
    provisional: bool

    def step(self, now: datetime, lead: timedelta) -> RollStep:
        """What is due at `now`. On the expiry day, and after it, only the way out."""
        at = as_ist(now)
        if at.date() >= self.expiry or at >= self.gone_by - lead:
            return RollStep.EXIT
        return RollStep.ROLL if at.date() >= self.opens else RollStep.KEEP


def roll_window(
    contracts: Contracts, calendar: MarketCalendar, spec: InstrumentSpec, expiry: date
) -> RollWindow:
    """The window of the contract that ends on `expiry`."""
    opens = contracts.roll_from(spec.name, expiry)
    tender = contracts.tender_dates(spec.name, expiry)
    if tender is not None:
        gone_by, provisional = tender.cautious_hard_exit, tender.provisional
        return RollWindow(spec.name, expiry, opens, gone_by, provisional)
    exchange = spec.calendar_exchange
    day = calendar.previous_trading_day(exchange, expiry, provisional=True)
    session = calendar.session(exchange, day, provisional=True)
    if session is None:
        raise Rejected("NO_SESSION", f"{exchange} has no session on {day}, a trading day")
    provisional = not calendar.is_published(exchange, expiry)
    return RollWindow(spec.name, expiry, opens, session.close, provisional)
