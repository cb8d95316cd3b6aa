"""An intent has one owner at a time, and only the owner sends, re-prices, books or ends.

Ownership is a lease by the database's clock. Whoever writes on behalf of an intent names itself,
and is checked in the transaction of that very write: a process that was paused while another one
took over is refused, however late it wakes.
"""

from psycopg2.extensions import cursor as Cursor

from core.db_state_manager.connection import Database, fetch_one
from core.errors import Rejected

# The owner from now on, unless another one's lease still runs.
TAKE = """
UPDATE order_intents SET owner = %(owner)s, lease_until = now() + make_interval(secs => %(lease_s)s)
WHERE id = %(intent)s AND state IN ('reserved', 'working', 'naked', 'unknown')
  AND (owner IS NULL OR owner = %(owner)s OR lease_until <= now())"""

# Longer leases of all that an owner has begun; what it only reserved, it must begin in time.
RENEW = """
UPDATE order_intents SET lease_until = now() + make_interval(secs => %s)
WHERE owner = %s AND state IN ('working', 'naked', 'unknown')"""

# Nobody's any more.
RELEASE = """
UPDATE order_intents SET owner = NULL, lease_until = NULL WHERE id = %s AND owner = %s"""

# Whose it is, which stays so until the end of this transaction.
HOLDER = "SELECT owner FROM order_intents WHERE id = %s FOR UPDATE"

# Whose it is now.
OWNER = "SELECT owner FROM order_intents WHERE id = %s"

# The turn of an entry, or of a roll, is over.
REQUEST_CANCEL = """
UPDATE order_intents SET cancel_requested = true
WHERE id = %s AND action IN ('entry', 'roll')
  AND state IN ('reserved', 'working', 'naked', 'unknown')"""

# Whether it is.
CANCEL_REQUESTED = "SELECT cancel_requested FROM order_intents WHERE id = %s"


class Fenced(Rejected):
    """Somebody else owns the intent: whatever was wanted for it is not ours to do any more."""

    def __init__(self, intent_id: int, owner: str | None, holder: str | None) -> None:
        by = "nobody" if holder is None else holder
        super().__init__("FENCED", f"intent {intent_id} is held by {by} and not by {owner}")


class Ownership(Database):
    """Who works which intent."""

    def take_intent(self, intent_id: int, owner: str, lease_s: float) -> bool:
        """Become the owner of an active intent for `lease_s`, or stay so.

        False when it has ended, or while another owner's lease runs.
        """
        with self.transaction() as cursor:
            cursor.execute(TAKE, {"owner": owner, "lease_s": lease_s, "intent": intent_id})
            return cursor.rowcount > 0

    def renew_intents(self, owner: str, lease_s: float) -> int:
        """Let every lease of `owner` on work that was begun end in `lease_s`; how many there are.

        What is only reserved is not renewed: if nobody begins it in time, anybody may take it.
        """
        with self.transaction() as cursor:
            cursor.execute(RENEW, (lease_s, owner))
            return cursor.rowcount

    def release_intent(self, intent_id: int, owner: str) -> bool:
        """Own an intent no more. False for whoever did not own it."""
        with self.transaction() as cursor:
            cursor.execute(RELEASE, (intent_id, owner))
            return cursor.rowcount > 0

    def check_owner(self, intent_id: int, owner: str) -> None:
        """Raise Fenced unless `owner` holds an intent at this moment."""
        holder = self.rows(OWNER, (intent_id,))[0][0]
        if holder != owner:
            raise Fenced(intent_id, owner, holder)

    def request_cancel(self, intent_id: int) -> bool:
        """Ask whoever works an entry or a roll to stop. False for an exit, and for what has ended.

        What an entry has bought until then stays; a roll opens nothing more.
        """
        with self.transaction() as cursor:
            cursor.execute(REQUEST_CANCEL, (intent_id,))
            return cursor.rowcount > 0

    def cancel_requested(self, intent_id: int) -> bool:
        """Whether an intent has been asked to stop."""
        return self.rows(CANCEL_REQUESTED, (intent_id,)) == [(True,)]


def check_holder(cursor: Cursor, intent_id: int, owner: str | None) -> None:
    """Raise Fenced unless `owner` holds the intent; None is who acts on what nobody holds."""
    row = fetch_one(cursor, HOLDER, (intent_id,))
    holder = None if row is None else row[0]
    if holder != owner:
        raise Fenced(intent_id, owner, holder)
