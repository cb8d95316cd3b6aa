"""What was: lists by pages, newest first, and the whole journey of one alert.

A page ends at `limit` rows; the id (or key) of its last row is the `before` of the next. Reading
never waits for trading: no row is locked.
"""

from dataclasses import dataclass

from core.db_state_manager.intents import Intents
from core.db_state_manager.json_values import from_row
from core.db_state_manager.records import (
    AuditRow,
    Fill,
    Intent,
    LedgerRow,
    Leg,
    OrderRow,
    PositionRow,
    SignalRow,
    TradeRow,
)
from core.db_state_manager.rolls import RollRow, Rolls
from core.db_state_manager.states import SignalStatus

_SIGNAL = """id, fingerprint, type, instrument, layer, bar_time, received_at, finished_at,
    attempts, status, outcome"""
_POSITION = """key, id, instrument, trade_no, layer, state, is_test, lots, initial_lots,
    entry_price, entry_time, initial_stop, stop, highest_close, atr, point_value, lot_size,
    margin_per_lot, limiter, symbol, intent_id, closed_at, version"""
_TRADE = """t.id, p.id, t.intent_id, t.lots, t.entry_time, t.entry_price, t.exit_time,
    t.exit_price, t.gross_pnl, t.charges, t.net_pnl, t.initial_risk, t.reason"""
_LEDGER = """c.id, c.kind, c.amount, c.equity_after, p.id, c.intent_id, c.notes, c.who, c.at"""

# A page of the signal log.
SIGNALS = f"""
SELECT {_SIGNAL} FROM signal_log
WHERE (%(before)s IS NULL OR id < %(before)s)
  AND (%(instrument)s IS NULL OR instrument = %(instrument)s)
  AND (%(status)s IS NULL OR status = %(status)s)
ORDER BY id DESC LIMIT %(limit)s"""  # noqa: S608 - constants

# One alert.
SIGNAL = f"SELECT {_SIGNAL} FROM signal_log WHERE id = %s"  # noqa: S608

# The body as it was received.
RAW_BODY = "SELECT raw_body FROM signal_log WHERE id = %s"

# A page of positions, open or closed.
POSITIONS = f"""
SELECT {_POSITION} FROM portfolio_positions
WHERE (%(before)s IS NULL OR key < %(before)s)
  AND (%(instrument)s IS NULL OR instrument = %(instrument)s)
ORDER BY key DESC LIMIT %(limit)s"""  # noqa: S608

# Every layer that is still held.
OPEN_POSITIONS = f"""
SELECT {_POSITION} FROM portfolio_positions
WHERE state <> 'closed' ORDER BY instrument, layer"""  # noqa: S608

# One position by its human id.
POSITION = f"SELECT {_POSITION} FROM portfolio_positions WHERE id = %s"  # noqa: S608

# A page of trades.
TRADES = f"""
SELECT {_TRADE} FROM trades AS t JOIN portfolio_positions AS p ON p.key = t.position_key
WHERE (%(before)s IS NULL OR t.id < %(before)s)
  AND (%(instrument)s IS NULL OR t.instrument = %(instrument)s)
  AND (%(strategy)s IS NULL OR t.strategy_id = %(strategy)s)
ORDER BY t.id DESC LIMIT %(limit)s"""  # noqa: S608

# A page of the ledger.
LEDGER = f"""
SELECT {_LEDGER} FROM capital_transactions AS c
LEFT JOIN portfolio_positions AS p ON p.key = c.position_key
WHERE (%(before)s IS NULL OR c.id < %(before)s)
ORDER BY c.id DESC LIMIT %(limit)s"""  # noqa: S608

# What was decided on an alert, and booked for it.
AUDIT_OF = """
SELECT id, kind, code, detail, at FROM signal_audit WHERE signal_id = %s ORDER BY id"""

# The operations an alert led to.
INTENTS_OF = "SELECT id FROM order_intents WHERE signal_id = %s ORDER BY id"

# The layers that an operation opened, closed lots of or rolled.
POSITIONS_OF = f"""
SELECT {_POSITION} FROM portfolio_positions
WHERE intent_id = %(intent)s
   OR key IN (SELECT position_key FROM trades WHERE intent_id = %(intent)s)
   OR key IN (SELECT position_key FROM position_rolls WHERE intent_id = %(intent)s)
ORDER BY key"""  # noqa: S608

# What an operation earned and cost.
LEDGER_OF = f"""
SELECT {_LEDGER} FROM capital_transactions AS c
LEFT JOIN portfolio_positions AS p ON p.key = c.position_key
WHERE c.intent_id = %s ORDER BY c.id"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class IntentJourney:
    """One operation from its legs to the money."""

    intent: Intent
    legs: tuple[Leg, ...]
    orders: tuple[OrderRow, ...]
    fills: tuple[Fill, ...]
    positions: tuple[PositionRow, ...]
    rolls: tuple[RollRow, ...]
    ledger: tuple[LedgerRow, ...]


@dataclass(frozen=True, slots=True)
class SignalJourney:
    """Everything that became of one alert."""

    signal: SignalRow
    raw_body: bytes
    audit: tuple[AuditRow, ...]
    intents: tuple[IntentJourney, ...]


class History(Intents, Rolls):
    """Reading."""

    def signals(
        self,
        limit: int,
        before: int | None = None,
        instrument: str | None = None,
        status: SignalStatus | None = None,
    ) -> list[SignalRow]:
        """A page of the signal log."""
        asked = {"before": before, "limit": limit, "instrument": instrument, "status": status}
        return [from_row(SignalRow, row) for row in self.rows(SIGNALS, asked)]

    def positions(
        self, limit: int, before: int | None = None, instrument: str | None = None
    ) -> list[PositionRow]:
        """A page of positions, open and closed; `before` is a key."""
        asked = {"before": before, "limit": limit, "instrument": instrument}
        return [from_row(PositionRow, row) for row in self.rows(POSITIONS, asked)]

    def open_positions(self) -> list[PositionRow]:
        """Every layer that is still held, by instrument and layer."""
        return [from_row(PositionRow, row) for row in self.rows(OPEN_POSITIONS)]

    def position(self, position_id: str) -> PositionRow | None:
        """One position by its id (INSTRUMENT/trade/Long_n)."""
        return next(
            (from_row(PositionRow, row) for row in self.rows(POSITION, (position_id,))), None
        )

    def trades(
        self,
        limit: int,
        before: int | None = None,
        instrument: str | None = None,
        strategy_id: int | None = None,
    ) -> list[TradeRow]:
        """A page of closed lots."""
        asked = {
            "before": before,
            "limit": limit,
            "instrument": instrument,
            "strategy": strategy_id,
        }
        return [from_row(TradeRow, row) for row in self.rows(TRADES, asked)]

    def ledger(self, limit: int, before: int | None = None) -> list[LedgerRow]:
        """A page of the ledger."""
        asked = {"before": before, "limit": limit}
        return [from_row(LedgerRow, row) for row in self.rows(LEDGER, asked)]

    def journey(self, signal_id: int) -> SignalJourney | None:
        """Everything that became of an alert; None when there is none of that id."""
        found = self.rows(SIGNAL, (signal_id,))
        if not found:
            return None
        wanted = {row[0] for row in self.rows(INTENTS_OF, (signal_id,))}
        return SignalJourney(
            signal=from_row(SignalRow, found[0]),
            raw_body=bytes(self.rows(RAW_BODY, (signal_id,))[0][0]),
            audit=tuple(from_row(AuditRow, row) for row in self.rows(AUDIT_OF, (signal_id,))),
            intents=tuple(self._intent_journey(intent_id) for intent_id in sorted(wanted)),
        )

    def _intent_journey(self, intent_id: int) -> IntentJourney:
        positions = self.rows(POSITIONS_OF, {"intent": intent_id})
        return IntentJourney(
            intent=self.intent(intent_id),
            legs=tuple(self.legs(intent_id)),
            orders=tuple(self.orders(intent_id)),
            fills=tuple(self.fills(intent_id)),
            positions=tuple(from_row(PositionRow, row) for row in positions),
            rolls=tuple(self.rolls_of([row[1] for row in positions])),
            ledger=tuple(from_row(LedgerRow, row) for row in self.rows(LEDGER_OF, (intent_id,))),
        )
