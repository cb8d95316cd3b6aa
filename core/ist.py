"""Indian time: every time in this system is aware, and Indian where nothing else is said."""

from datetime import datetime
from zoneinfo import ZoneInfo

IST = ZoneInfo("Asia/Kolkata")


def as_ist(moment: datetime) -> datetime:
    """`moment` in IST; a time without an offset is taken as IST."""
    return moment.replace(tzinfo=IST) if moment.tzinfo is None else moment.astimezone(IST)
