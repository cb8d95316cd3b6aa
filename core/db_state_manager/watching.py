"""What the stop watch keeps: marks, alarms that hold, and the bars it stood in for.

Only the leader of an epoch writes, under the account's lock. A mark moves a price and no stop. A
bar is stood in for once, and never after it has come.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from psycopg2.extensions import cursor as Cursor

from core.book_events import BarStoodIn, BookEvent, StandInTrailed
from core.db_state_manager.capital import lock_money
from core.db_state_manager.connection import Database, fetch
from core.db_state_manager.decision_rights import check_epoch
from core.db_state_manager.outbox import append_event
from core.db_state_manager.states import WatchAlarm
from core.errors import Rejected

STOOD_IN = "STOOD_IN"
# An alert of a bar may be received so much before our clock says that the bar closed.
EARLY = timedelta(seconds=30)

# The market's price of an instrument that is held, and the margin of its lots at that price.
MARK = """
UPDATE pyramiding_state AS at SET
    price = %(price)s, market_margin = %(margin)s, marked_at = %(now)s, version = version + 1
WHERE instrument = %(instrument)s AND EXISTS (
    SELECT FROM portfolio_positions AS held
    WHERE held.instrument = at.instrument AND held.state <> 'closed')"""

# The marks of what is held.
MARKS = """
SELECT instrument, price, market_margin, marked_at FROM pyramiding_state AS at
WHERE marked_at IS NOT NULL AND price IS NOT NULL AND EXISTS (
    SELECT FROM portfolio_positions AS held
    WHERE held.instrument = at.instrument AND held.state <> 'closed')"""

# An alarm, unless it holds already.
RAISE_ALARM = """
INSERT INTO watch_alarms (instrument, code, reason, raised_at) VALUES (%s, %s, %s, %s)
ON CONFLICT DO NOTHING"""

# The end of an alarm.
CLEAR_ALARM = "DELETE FROM watch_alarms WHERE instrument = %s AND code = %s RETURNING raised_at"

# The alarms that hold.
ALARMS = "SELECT instrument, code, reason, raised_at FROM watch_alarms ORDER BY instrument, code"

# When something was last heard of an instrument: any alert, whatever became of it.
LAST_HEARD = """
SELECT received_at FROM signal_log WHERE instrument = %s ORDER BY id DESC LIMIT 1"""

# Whether the bar that closed then came before the next was due; one that was refused did not.
_CAME = """EXISTS (
    SELECT FROM signal_log WHERE type = 'MARKET_DATA' AND instrument = %(instrument)s
        AND status IN ('received', 'processing', 'executed')
        AND received_at >= %(closed_at)s - %(early)s
        AND received_at < %(until)s - %(early)s)"""
BAR_CAME = f"SELECT {_CAME}"

# A bar is stood in for, unless it came or somebody stood in for it before.
STAND_IN = f"""
INSERT INTO stand_ins (instrument, bar_closed_at, bar_until, price, atr, epoch, at)
SELECT %(instrument)s, %(closed_at)s, %(until)s, %(price)s, %(atr)s, %(epoch)s, %(now)s
WHERE NOT {_CAME}
ON CONFLICT DO NOTHING"""

# What stood in moves the stops, once, and only for a bar that never came. A price that a roll has
# moved since it was read is read again first.
TRAIL = f"""
UPDATE stand_ins SET trailed_at = %(now)s
WHERE instrument = %(instrument)s AND bar_closed_at = %(closed_at)s AND trailed_at IS NULL
  AND price = %(price)s AND NOT {_CAME}"""  # noqa: S608

# Bars that were stood in for, whose stops wait for them, and whose successor is due by then.
UNTRAILED = """
SELECT instrument, bar_closed_at, bar_until, price, atr FROM stand_ins AS stood
WHERE trailed_at IS NULL AND bar_until <= %(by)s AND bar_closed_at > %(since)s
  AND EXISTS (
    SELECT FROM portfolio_positions AS held
    WHERE held.instrument = stood.instrument AND held.state <> 'closed')
  AND NOT EXISTS (
    SELECT FROM signal_log WHERE type = 'MARKET_DATA' AND instrument = stood.instrument
        AND status IN ('received', 'processing', 'executed')
        AND received_at >= bar_closed_at - %(early)s AND received_at < bar_until - %(early)s)
ORDER BY bar_closed_at"""

# Whether a bar has been judged at a quote.
WAS_STOOD_IN = "SELECT count(*) FROM stand_ins WHERE instrument = %s AND bar_closed_at = %s"

# The bar of an alert of this time, which may be its open or its close, if it was stood in for.
STOOD_IN_FOR = """
SELECT bar_closed_at FROM stand_ins
WHERE instrument = %s AND bar_closed_at >= %s AND bar_closed_at <= %s
ORDER BY bar_closed_at LIMIT 1"""


@dataclass(frozen=True, slots=True)
class MarketMark:
    """What an instrument costs at the market, and the margin of its lots there in rupees."""

    instrument: str
    price: Decimal
    margin: Decimal | None
    marked_at: datetime


@dataclass(frozen=True, slots=True)
class RaisedAlarm:
    """An alarm that holds."""

    instrument: str
    code: WatchAlarm
    reason: str
    raised_at: datetime


class Watching(Database):
    """The leader's watch."""

    def mark_market(
        self, epoch: int, marks: Mapping[str, tuple[Decimal, Decimal | None]]
    ) -> tuple[str, ...]:
        """Keep the price and margin of what is held; the instruments that were still held.

        Raises Rejected (STALE_EPOCH).
        """
        marked = []
        with self.transaction() as cursor:
            lock_money(cursor)
            check_epoch(cursor, epoch)
            for instrument, (price, margin) in sorted(marks.items()):
                asked = {"instrument": instrument, "price": price, "margin": margin}
                cursor.execute(MARK, asked | {"now": self._clock.now()})
                if cursor.rowcount:
                    marked.append(instrument)
        return tuple(marked)

    def market_marks(self) -> dict[str, MarketMark]:
        """The marks of what is held, by instrument."""
        return {row[0]: MarketMark(*row) for row in self.rows(MARKS)}

    def set_alarm(self, epoch: int, instrument: str, code: WatchAlarm, reason: str | None) -> bool:
        """Raise an alarm with its reason, or end it with None; whether that was news, and told.

        Raises Rejected (STALE_EPOCH).
        """
        now = self._clock.now()
        with self.transaction() as cursor:
            lock_money(cursor)
            check_epoch(cursor, epoch)
            if reason is not None:
                cursor.execute(RAISE_ALARM, (instrument, code, reason, now))
                if cursor.rowcount:
                    append_event(cursor, code, instrument, {"reason": reason}, now)
                    return True
                return False
            ended = fetch(cursor, CLEAR_ALARM, (instrument, code))
            for (raised_at,) in ended:
                told = {"code": code, "raised_at": raised_at.isoformat()}
                append_event(cursor, "WATCH_CLEARED", instrument, told, now)
            return bool(ended)

    def watch_alarms(self) -> list[RaisedAlarm]:
        """The alarms that hold."""
        return [RaisedAlarm(row[0], WatchAlarm(row[1]), *row[2:]) for row in self.rows(ALARMS)]

    def last_heard(self, instrument: str) -> datetime | None:
        """When the last alert of an instrument was received."""
        found = self.rows(LAST_HEARD, (instrument,))
        heard: datetime | None = found[0][0] if found else None
        return heard

    def bar_came(self, instrument: str, closed_at: datetime, until: datetime) -> bool:
        """Whether the bar that closed then came before the next was due at `until`."""
        asked = {"instrument": instrument, "closed_at": closed_at, "until": until, "early": EARLY}
        return bool(self.rows(BAR_CAME, asked)[0][0])

    def was_stood_in(self, instrument: str, closed_at: datetime) -> bool:
        """Whether a bar has been stood in for."""
        return self.rows(WAS_STOOD_IN, (instrument, closed_at)) != [(0,)]

    def stood_in_for(
        self, instrument: str, bar_time: datetime, length: timedelta
    ) -> datetime | None:
        """When the bar of an alert closed, if it was stood in for."""
        rows = self.rows(STOOD_IN_FOR, (instrument, bar_time, bar_time + length))
        closed_at: datetime | None = rows[0][0] if rows else None
        return closed_at

    def untrailed(self, by: datetime, since: datetime) -> list[BarStoodIn]:
        """Bars that never came and whose successor is due by then, oldest first."""
        asked = {"by": by, "since": since, "early": EARLY}
        return [BarStoodIn(*row) for row in self.rows(UNTRAILED, asked)]


def save_stand_ins(
    cursor: Cursor, events: Iterable[BookEvent], epoch: int | None, now: datetime
) -> None:
    """Keep that bars were stood in for, or that their stand-ins moved stops, with that decision.

    Raises Rejected (STOOD_IN) where the bar came, or where it was done before.
    """
    for event in events:
        if isinstance(event, BarStoodIn):
            _keep(cursor, STAND_IN, event, {"epoch": epoch, "now": now})
            told = {"bar_closed_at": event.closed_at.isoformat(), "price": event.price}
            append_event(cursor, "BAR_STOOD_IN", event.instrument, told, now)
        elif isinstance(event, StandInTrailed):
            _keep(cursor, TRAIL, event.stood_in, {"now": now})


def _keep(cursor: Cursor, query: str, bar: BarStoodIn, more: Mapping[str, object]) -> None:
    asked = {
        "instrument": bar.instrument,
        "closed_at": bar.closed_at,
        "until": bar.until,
        "price": bar.price,
        "atr": bar.atr,
        "early": EARLY,
    }
    cursor.execute(query, asked | dict(more))
    if cursor.rowcount == 0:
        raise Rejected(STOOD_IN, f"{bar.instrument}: the bar of {bar.closed_at} is judged already")
