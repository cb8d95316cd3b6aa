"""Each fault, in each operation, on each leg: it ends booked as it truly is, or locked and visible.

The rows are made from lists, not picked. While a fault stands, and after it has ended, the
operation is carried on as the recovery would; what the exchange truly holds is then compared with
what our fills say. No leg ever holds more than was meant, and none is left with a living order.
"""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from brokers.messages import GatewayMode
from core.db_state_manager.invariants import violations
from core.db_state_manager.records import Intent
from core.db_state_manager.states import ACTIVE_INTENTS, IntentSource
from core.errors import PortfolioError
from tests.fixtures.order_desk import WINDOW_S, Desk, open_desk
from tests.fixtures.paper_faults import PaperFaults
from tests.fixtures.rules import BANK, GOLD

pytestmark = pytest.mark.slow

CALL, PUT, FUTURE = "BANKNIFTY29DEC2658500CE", "BANKNIFTY29DEC2658500PE", "GOLDM04DEC26FUT"
LEGS = ((GOLD, FUTURE), (BANK, CALL), (BANK, PUT))
LOTS = 2
OPTIONS = ("--funds", "1e9", "--carry-pct", "6.5")
PASSES_UNDER_FAULT, PASSES_AFTER = 2, 6

# By fault: what it is set with. `symbol` is the leg's, where a fault can tell legs apart.
OF_CALLS: dict[str, dict[str, Any]] = {
    "reply_lost": {"endpoint": "placeorder", "times": 1},
    "request_lost": {"endpoint": "placeorder", "times": 1},
    "error_before": {"endpoint": "placeorder", "times": 1},
    "error_after": {"endpoint": "placeorder", "times": 1},
    "limited_by_gateway": {"endpoint": "placeorder", "times": 2},
    "limited_by_broker": {"endpoint": "placeorder", "times": 1},
    "schema_refused": {"endpoint": "placeorder", "times": 1},
    "session_dead": {"endpoint": "placeorder", "times": 2},
    "funds_refused": {"times": 1},
    "rejected_after_accept": {"times": 1},
    "partial_fill": {"pieces": [{"fraction": "0.5"}, {"after_looks": 3}], "times": 1},
    "fill_while_cancelling": {"answer": "success", "times": 1},
    "price_runs_away": {"ticks": 40, "times": 2},
    "contract_absent": {"times": 2},
    "quotes_missing": {"times": 3},
    "quotes_crossed": {"times": 3},
}
OF_ALL: dict[str, dict[str, Any]] = {
    "books_empty": {"times": 4},
    "books_stale": {"times": 4},
    "books_down": {"times": 4},
    "token_dead": {"times": 4},
}
OPERATIONS = ("entry", "add", "exit", "stop exit", "close-all")


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination."""

    fault: str
    operation: str
    instrument: str
    symbol: str

    def set(self, faults: PaperFaults) -> None:
        """Let it go wrong."""
        if self.fault == "fill_while_cancelling":
            # Only what rests is cancelled.
            faults.set("price_runs_away", symbol=self.symbol, ticks=2000, times=1)
        if self.fault in OF_CALLS:
            faults.set(self.fault, symbol=self.symbol, **OF_CALLS[self.fault])
        else:
            faults.set(self.fault, **OF_ALL[self.fault])

    @property
    def enters(self) -> bool:
        """Whether exposure is meant to grow."""
        return self.operation in ("entry", "add")


@pytest.mark.parametrize("mode", GatewayMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("fault", [*OF_CALLS, *OF_ALL])
def test_whatever_goes_wrong_ends_as_it_truly_is_or_locked(
    database_url: str, tmp_path: Path, fault: str, mode: GatewayMode
) -> None:
    ends: Counter[str] = Counter()
    struck = 0
    with open_desk(database_url, tmp_path / "paper", *OPTIONS, mode=mode) as desk:
        faults = PaperFaults(desk.paper)
        for operation in OPERATIONS:
            for instrument, symbol in LEGS:
                cell = Cell(fault, operation, instrument, symbol)
                before = faults.struck().count(fault)
                ends[_end_of(desk, faults, cell)] += 1
                struck += faults.struck().count(fault) > before
                _flatten(desk, faults, cell)
    print(f"{mode.value} {fault}: {dict(ends)}, struck in {struck}")
    assert sum(ends.values()) == len(OPERATIONS) * len(LEGS)
    assert struck, f"{fault} never struck: the matrix proves nothing of it"


def _end_of(desk: Desk, faults: PaperFaults, cell: Cell) -> str:
    """How a cell ended: booked, or locked; anything else fails."""
    intent = _reserved(desk, cell)
    before = faults.held()
    cell.set(faults)
    for number in range(PASSES_UNDER_FAULT + PASSES_AFTER):
        if number == PASSES_UNDER_FAULT:
            faults.clear()
        if desk.store.intent(intent.id).state not in ACTIVE_INTENTS:
            break
        _carry_on(desk, intent)
        _never_more_than_meant(faults, cell, before)
        desk.clock.wait(WINDOW_S)
    faults.clear()
    is_active = desk.store.intent(intent.id).state in ACTIVE_INTENTS
    locks = [lock for lock in desk.store.instrument_locks() if lock.instrument == cell.instrument]
    assert _ours(desk) == faults.held(), cell
    assert violations(desk.store) == [], cell
    if is_active:
        assert locks or desk.store.intent(intent.id).reason, cell
        return "active, visible"
    assert _resting(faults) == [], cell
    return "booked, locked" if locks else "booked"


def _reserved(desk: Desk, cell: Cell) -> Intent:
    """The operation, with what it needs done before."""
    if cell.operation == "entry":
        return desk.reserve_entry(cell.instrument, LOTS)
    desk.enter(cell.instrument, LOTS)
    if cell.operation == "add":
        return desk.reserve_entry(cell.instrument, LOTS, layer=2)
    source = {
        "exit": IntentSource.SIGNAL,
        "stop exit": IntentSource.STOP,
        "close-all": IntentSource.OPERATOR,
    }[cell.operation]
    return desk.reserve_exit(*desk.layers(cell.instrument), source=source)


def _carry_on(desk: Desk, intent: Intent) -> None:
    """As the recovery does: one pass, and an error only ends that pass."""
    with suppress(PortfolioError):
        desk.carrier.carry_out(intent, most_passes=1)


def _never_more_than_meant(faults: PaperFaults, cell: Cell, before: dict[str, int]) -> None:
    unit = 30 if cell.instrument == BANK else 1
    for symbol, quantity in faults.held().items():
        allowed = abs(before.get(symbol, 0)) + (LOTS * unit if cell.enters else 0)
        assert abs(quantity) <= allowed, (cell, symbol, quantity)


def _ours(desk: Desk) -> dict[str, int]:
    return {leg.symbol: leg.quantity for leg in desk.store.held_by_fills()}


def _resting(faults: PaperFaults) -> list[str]:
    over = ("complete", "cancelled", "rejected")
    rows = faults.truth()["orders"]
    return [row["orderid"] for row in rows if row["status"] not in over]


def _flatten(desk: Desk, faults: PaperFaults, cell: Cell) -> None:
    """Leave nothing for the next cell; what is locked is released as an operator would."""
    faults.clear()
    for lock in desk.store.instrument_locks():
        desk.store.unlock_instrument(lock.instrument, lock.code, "test")
    for _ in range(5):
        for intent in desk.store.active_intents():
            _carry_on(desk, intent)
            desk.clock.wait(WINDOW_S)
    assert desk.store.active_intents() == [], cell
    layers = desk.layers(cell.instrument)
    if layers:
        desk.leave(*layers)
    assert faults.held() == {}, cell
