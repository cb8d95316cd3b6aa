"""Whether the last ends of day went as they should: judged in time, on what the Scout sent."""

from collections.abc import Iterator
from contextlib import closing

import psycopg2

from core.eod_monitor import EodVerdict
from live.doctor.findings import Finding, fine, warn
from live.launcher.database import impatient

_ADVICE = {
    EodVerdict.SILENT: "is the Scout's alert still active at TradingView? It expires; recreate it",
    EodVerdict.MISSED: "no instance led then: look at the service's log of that time",
}

# Each instrument's latest end of day.
LATEST = """
SELECT DISTINCT ON (instrument) instrument, day, verdict, reason
FROM eod_runs ORDER BY instrument, day DESC"""


def check_end_of_day(url: str | None) -> Iterator[Finding]:
    """What came of each instrument's latest one."""
    if url is None:
        return
    try:
        with closing(psycopg2.connect(impatient(url))) as connection, connection.cursor() as cursor:
            cursor.execute(LATEST)
            rows = cursor.fetchall()
    except (psycopg2.OperationalError, psycopg2.errors.UndefinedTable):
        return  # The database's own check says so.
    for instrument, day, verdict, reason in rows:
        found = f"{instrument} on {day}: {verdict}, {reason}"
        advice = _ADVICE.get(EodVerdict(verdict))
        yield fine("end of day", found) if advice is None else warn("end of day", found, advice)
