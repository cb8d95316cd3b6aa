"""What grows for ever is cut back, a little at a time, and nothing that history refers to.

Entries and exits are kept for ever, with all that was decided on them: there are few, an exit is
never refused for its age, so its fingerprint must stay, and the audit is append-only. What goes is
an old MARKET_DATA or EOD_MONITOR alert on which nothing was decided: with it goes no more than its
fingerprint, and by then a later bar of its instrument overtakes it.
"""

from datetime import datetime

from core.db_state_manager.connection import Database

# Old alerts that led to nothing, oldest first.
FORGET_ALERTS = """
DELETE FROM signal_log WHERE id IN (
    SELECT id FROM signal_log AS old
    WHERE received_at < %(before)s AND type IN ('MARKET_DATA', 'EOD_MONITOR')
        AND status NOT IN ('received', 'processing')
        AND NOT EXISTS (SELECT FROM signal_audit WHERE signal_id = old.id)
        AND NOT EXISTS (SELECT FROM order_intents WHERE signal_id = old.id)
    ORDER BY received_at LIMIT %(most)s FOR UPDATE SKIP LOCKED)"""

# Processes that have long ended.
FORGET_PROCESSES = "DELETE FROM instance_metadata WHERE heartbeat_at < %s"


class Upkeep(Database):
    """Deletes what nobody will ask for."""

    def forget_alerts(self, before: datetime, most: int) -> int:
        """Delete up to `most` alerts of before that moment which led to nothing; how many."""
        with self.transaction() as cursor:
            cursor.execute(FORGET_ALERTS, {"before": before, "most": most})
            return cursor.rowcount

    def forget_processes(self, before: datetime) -> int:
        """Delete the rows of processes that were last heard of before that moment; how many."""
        with self.transaction() as cursor:
            cursor.execute(FORGET_PROCESSES, (before,))
            return cursor.rowcount
