"""What should have arrived and did not is an event of its own, told once and by its number or bar.

Numbers count in the order of the bars. A count that starts again at a lower number skips nothing.
The end-of-day Scout's are slots of its clock, of which a quiet feed skips some: its silence is
another alarm's.
"""

from collections.abc import Mapping
from datetime import datetime

from core.db_state_manager.connection import Database

# The numbers skipped before an alert that has settled, as events not told before.
SKIPPED = """
INSERT INTO outbox (kind, instrument, payload, created_at)
SELECT 'ALERT_MISSING', instrument, jsonb_build_object(
        'missing', format('seq %%s to %%s, before alert %%s', previous + 1, seq - 1, id),
        'first_missing', previous + 1, 'last_missing', seq - 1, 'next_signal_id', id), %(now)s
FROM (
    SELECT id, instrument, seq, received_at,
        lag(seq) OVER (PARTITION BY instrument ORDER BY bar_time, seq) AS previous
    FROM signal_log
    WHERE received_at >= %(since)s AND seq IS NOT NULL AND type <> 'EOD_MONITOR') AS numbered
WHERE seq > previous + 1 AND received_at <= %(settled)s
ORDER BY id
ON CONFLICT DO NOTHING"""

# A closed bar of which nothing came, as an event not told before.
NO_BAR = """
INSERT INTO outbox (kind, instrument, payload, created_at)
SELECT 'ALERT_MISSING', %(instrument)s, jsonb_build_object(
        'missing', 'the bar that closed at ' || %(closed)s::text, 'bar_closed_at', %(closed)s::text
    ), %(now)s
WHERE NOT EXISTS (
    SELECT FROM signal_log WHERE type = 'MARKET_DATA' AND instrument = %(instrument)s
        AND received_at >= %(from)s)
ON CONFLICT DO NOTHING"""


class MissingAlerts(Database):
    """Noticing what never arrived."""

    def tell_skipped(self, since: datetime, settled: datetime) -> int:
        """Write an event for each gap among the alerts received since then; how many were new.

        An alert counts once it was received by `settled`: what it overtook may still come.
        """
        asked = {"since": since, "settled": settled, "now": self._clock.now()}
        return self._appended(SKIPPED, asked)

    def tell_missing_bar(self, instrument: str, closed_at: datetime, since: datetime) -> bool:
        """Write an event unless a bar was received `since`. Whether one is new."""
        asked = {"instrument": instrument, "closed": closed_at.isoformat(), "from": since}
        return self._appended(NO_BAR, asked | {"now": self._clock.now()}) > 0

    def _appended(self, query: str, asked: Mapping[str, object]) -> int:
        with self.transaction() as cursor:
            cursor.execute(query, asked)
            return cursor.rowcount
