"""How the account stands, read from the database when somebody asks and at no other time.

A look costs a few short index scans, however long the history is. A database that cannot be read
is itself a figure: `pm_database_up` is 0 and the others are left out, never guessed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from psycopg2.errors import Error as DatabaseError
from psycopg2.extensions import cursor as Cursor

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.connection import fetch
from core.db_state_manager.operation import CONTROLS, GLOBAL
from core.db_state_manager.states import ACTIVE_INTENTS, ControlState
from core.errors import OutcomeUnknown, Retryable

# Realised money, and what waits (counted up to a thousand).
ACCOUNT = """
SELECT closed_equity, equity_high,
    (SELECT count(*) FROM (
        SELECT FROM signal_log WHERE status IN ('received', 'processing') LIMIT 1000) AS waiting),
    (SELECT count(*) FROM (
        SELECT FROM outbox WHERE delivered_at IS NULL LIMIT 1000) AS untold)
FROM portfolio_state"""

# Operations that have not come to their end.
INTENTS = """
SELECT state, count(*) FROM order_intents
WHERE state IN ('reserved', 'working', 'naked', 'unknown') GROUP BY state"""

# Why instruments take no entries.
LOCKS = """
SELECT instrument, code FROM instrument_locks WHERE released_at IS NULL"""

# What is held.
LAYERS = """
SELECT instrument, count(*), sum(lots) FROM portfolio_positions
WHERE state <> 'closed' GROUP BY instrument"""

# What that is worth at the latest prices, and its margin at the market's where it was looked at.
WORTH = """
SELECT held.instrument, coalesce(sum((at.price - entry_price) * lots * point_value), 0),
    max(coalesce(at.market_margin, 0))
FROM portfolio_positions AS held JOIN pyramiding_state AS at USING (instrument)
WHERE held.state <> 'closed' GROUP BY held.instrument"""

# What the stop watch has raised.
ALARMS = "SELECT instrument, code FROM watch_alarms"

_STRICTNESS = {ControlState.ACTIVE: 0, ControlState.REDUCING: 1, ControlState.HALTED: 2}


@dataclass(frozen=True, slots=True)
class _Gauge:
    name: str
    meaning: str
    labels: tuple[str, ...]
    values: Sequence[tuple[tuple[str, ...], float]]

    def metric(self) -> Metric:
        family = GaugeMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels, value in self.values:
            family.add_metric(labels, value)
        return family


class AccountGauges(Collector):
    """Looks anew each time it is asked."""

    def __init__(self, store: DatabaseStateManager) -> None:
        self._store = store

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: registering must not read the database."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """The gauges as they are now."""
        try:
            found = self._store.read(_look)
        except (Retryable, OutcomeUnknown, DatabaseError):
            found = []
        up = _single("pm_database_up", "1 when the database answered.", bool(found))
        return [gauge.metric() for gauge in (up, *found)]


def _look(cursor: Cursor) -> list[_Gauge]:
    ((closed, high, waiting, untold),) = fetch(cursor, ACCOUNT)
    states = {state.value: 0 for state in ACTIVE_INTENTS} | dict(fetch(cursor, INTENTS))
    controls = {GLOBAL: ControlState.ACTIVE.value}
    controls |= {scope: state for scope, state, *_ in fetch(cursor, CONTROLS)}
    strictness = {scope: _STRICTNESS[ControlState(state)] for scope, state in controls.items()}
    held = fetch(cursor, LAYERS)
    layers = {instrument: count for instrument, count, _ in held}
    lots = {instrument: number for instrument, _, number in held}
    worth = fetch(cursor, WORTH)
    open_pnl = {instrument: pnl for instrument, pnl, _ in worth}
    margin = {instrument: blocked for instrument, _, blocked in worth}
    alarms = [((instrument, code), 1.0) for instrument, code in fetch(cursor, ALARMS)]
    locks = [((instrument, code), 1.0) for instrument, code in fetch(cursor, LOCKS)]
    return [
        _single("pm_equity_closed_inr", "Realised equity, rupees.", closed),
        _single("pm_equity_high_inr", "Highest realised equity, rupees.", high),
        _single("pm_signals_waiting", "Signals not finished.", waiting),
        _single("pm_events_untold", "Events not delivered yet.", untold),
        _by("state", "pm_intents_active", "Operations not at their end.", states),
        _by("scope", "pm_trading_control", "0 active, 1 reducing, 2 halted.", strictness),
        _by("instrument", "pm_layers_open", "Open layers.", layers),
        _by("instrument", "pm_lots_open", "Open lots.", lots),
        _by("instrument", "pm_open_pnl_inr", "Open P&L, rupees.", open_pnl),
        _by("instrument", "pm_market_margin_inr", "Margin at the market, rupees.", margin),
        _Gauge("pm_watch_alarms", "Alarms that hold.", ("instrument", "code"), alarms),
        _Gauge("pm_locks", "Locks that hold.", ("instrument", "code"), locks),
    ]


def _single(name: str, meaning: str, value: Any) -> _Gauge:
    return _Gauge(name, meaning, (), [((), float(value))])


def _by(label: str, name: str, meaning: str, values: Mapping[str, Any]) -> _Gauge:
    found: list[tuple[tuple[str, ...], float]] = [
        ((key,), float(value)) for key, value in values.items()
    ]
    return _Gauge(name, meaning, (label,), found)
