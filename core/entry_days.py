"""Whether the calendar lets entries through on a day. Exits never ask."""

from datetime import date

from core.decision_record import DecisionCode
from core.errors import OutsideCoverage
from core.market_calendar import MarketCalendar, SessionKind
from core.signal_validator import Refused


def entries_refused_on(
    calendar: MarketCalendar, exchange: str, day: date, *, special_sessions: bool, attested: bool
) -> Refused | None:
    """Why entries are refused on `day`, or None.

    `attested` says that the market is known to have been open by other evidence (a recorded bar),
    so that days whose holidays or times are not published pass. `special_sessions` lets entries
    through on Muhurat, budget and drill days.
    """
    try:
        session = calendar.session(exchange, day)
    except OutsideCoverage as error:
        return None if attested else Refused(DecisionCode.OUTSIDE_COVERAGE, str(error))
    if session is None:
        return Refused(DecisionCode.ENTRIES_BLOCKED, f"{exchange} is closed on {day}")
    if session.kind is SessionKind.SPECIAL and not special_sessions:
        return Refused(DecisionCode.SPECIAL_SESSION, f"{day} is {session.name}, a special session")
    if not (session.times_known or attested):
        what = f"{session.name} of {day} is announced without its times"
        return Refused(DecisionCode.OUTSIDE_COVERAGE, f"{what}; add an operator override")
    return None
