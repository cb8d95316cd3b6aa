"""Who may not decide any more: a leader that was followed, an entry that a later exit made void."""

from psycopg2.extensions import cursor as Cursor

from core.db_state_manager.connection import fetch, fetch_one
from core.errors import Rejected

SUPERSEDED = "SUPERSEDED"
STALE_EPOCH = "STALE_EPOCH"

# Who leads now; an older epoch may not trade.
NEWEST_EPOCH = "SELECT max(epoch) FROM leadership_history"

# An epoch that leads, and goes on to until this transaction ends: who would lead next waits for it.
LEADS = """
SELECT epoch FROM leadership_history
WHERE epoch = %s AND ended_at IS NULL AND epoch = (SELECT max(epoch) FROM leadership_history)
FOR SHARE"""

# An exit that makes an entry void: of the same position, from a later bar.
LATER_EXIT = """
SELECT leaving.id FROM signal_log AS entry JOIN signal_log AS leaving
    ON leaving.type = 'EXIT' AND leaving.instrument = entry.instrument
    AND leaving.bar_time > entry.bar_time
    AND leaving.bar_time <= leaving.received_at + interval '5 minutes'
    AND (leaving.layer IS NULL OR leaving.layer = entry.layer)
WHERE entry.id = %s AND entry.type IN ('BASE_ENTRY', 'PYRAMID')
ORDER BY leaving.bar_time, leaving.id LIMIT 1"""


def check_epoch(cursor: Cursor, epoch: int) -> None:
    """Raise Rejected (STALE_EPOCH) for a leader that does not lead any more.

    Whoever passes is the leader still when what it wrote is committed.
    """
    if fetch_one(cursor, LEADS, (epoch,)) is None:
        newest = fetch(cursor, NEWEST_EPOCH)[0][0]
        raise Rejected(STALE_EPOCH, f"epoch {epoch} does not lead any more; {newest} does")


def check_not_void(cursor: Cursor, signal_id: int | None) -> None:
    """Raise Rejected (SUPERSEDED) for an entry that an exit of a later bar has made void.

    An exit decides under the same lock: either it finds the intent, or it is found here.
    """
    later = fetch_one(cursor, LATER_EXIT, (signal_id,))
    if later is not None:
        raise Rejected(SUPERSEDED, f"exit {later[0]} of a later bar makes it void")
