"""Each fault, in each operation, on each leg: it ends booked as it truly is, or locked and visible.

The rows are the names of the exchange's own catalogue and not picked. While a fault stands, and
after it has ended, the operation is carried on as the recovery would; what the exchange truly holds
is then compared with what our fills say. No leg ever holds more than was meant, no order leaves
beside a living one of its leg, and none is left.
"""

from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.messages import GatewayMode
from brokers.openalgo_http import ORDER_TIMEOUT_S
from brokers.paper_exchange.fault_schemas import _LONGEST_S
from brokers.paper_exchange.faults import FaultName
from core.db_state_manager.closings import CLOSE_ALL
from core.db_state_manager.invariants import violations
from core.db_state_manager.states import ACTIVE_INTENTS
from live.close_all_report import ClosingState
from live.engine_threads import Pace
from tests.fixtures.fault_matrix import ENTRIES, LEGS, NOT_THERE, OPERATIONS, VARIANTS, Variant
from tests.fixtures.matrix_desk import LOTS, MatrixDesk, open_matrix
from tests.integration.test_streamed_orders import LIES

ROOT = Path(__file__).resolve().parents[1]
# These lie on a line of their own, which only says when to look: tests/integration/
# test_streamed_orders.py tells each of them about both instruments in both modes.
OF_THE_STREAM = {
    name for name in FaultName if name.value.startswith("stream_") or "updates_" in name.value
}
PASSES_UNDER_FAULT, PASSES_AFTER = 2, 8
ALL = [variant for name in FaultName for variant in VARIANTS.get(name, ())]


def test_every_fault_of_the_catalogue_is_in_the_matrix() -> None:
    assert {name for name in FaultName if not VARIANTS.get(name)} == OF_THE_STREAM
    assert [variant for variant in ALL if variant.fault not in VARIANTS] == []


def test_every_lie_of_the_stream_is_told_in_the_matrix_of_its_own() -> None:
    told = {FaultName(fault["fault"]) for lie in LIES.values() for fault in lie}
    assert told >= OF_THE_STREAM


@pytest.mark.parametrize("fault", NOT_THERE)
def test_what_cannot_strike_in_an_operation_is_shown_by_a_test_that_there_is(
    fault: FaultName,
) -> None:
    elsewhere = NOT_THERE[fault]
    assert elsewhere.reason
    cells = len(set(elsewhere.operations)) * len(set(elsewhere.modes))
    assert 0 < cells < len(OPERATIONS) * len(GatewayMode)
    path, _, name = elsewhere.shown_by.partition("::")
    text = (ROOT / path).read_text(encoding="utf-8")
    assert f"def {name}(" in text
    assert fault.value in text


def test_the_search_for_an_order_outlasts_the_slowest_answer() -> None:
    """The matrix lets a window end only when the exchange has done: so must the service."""
    assert Pace().resolve_window_s > max(ORDER_TIMEOUT_S, _LONGEST_S) + 10


@pytest.mark.slow
@pytest.mark.parametrize("mode", GatewayMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("variant", ALL, ids=lambda variant: variant.id)
def test_whatever_goes_wrong_ends_as_it_truly_is_or_locked(
    database_url: str, open_folder: Path, variant: Variant, mode: GatewayMode
) -> None:
    ends: Counter[str] = Counter()
    struck: Counter[str] = Counter()
    with open_matrix(database_url, open_folder / "paper", mode) as desk:
        for operation in OPERATIONS:
            for instrument, symbol in LEGS:
                cell = Cell(desk, variant, operation, instrument, symbol)
                before = desk.faults.struck().count(variant.fault)
                ends[cell.end()] += 1
                struck[operation] += desk.faults.struck().count(variant.fault) > before
                cell.leave_nothing()
    print(f"{mode.value} {variant.id}: {dict(ends)}, struck in {dict(struck)}")
    assert sum(ends.values()) == len(OPERATIONS) * len(LEGS)
    elsewhere = NOT_THERE.get(variant.fault)
    never = () if elsewhere is None or mode not in elsewhere.modes else elsewhere.operations
    missed = {each: len(LEGS) - struck[each] for each in OPERATIONS if each not in never}
    assert not any(missed.values()), f"{variant.id} did not strike so many legs: {missed}"


class Cell:
    """One combination."""

    def __init__(
        self, desk: MatrixDesk, variant: Variant, operation: str, instrument: str, symbol: str
    ) -> None:
        self.desk = desk
        self.store = desk.desk.store
        self.variant = variant
        self.operation = operation
        self.instrument = instrument
        self.symbol = symbol
        self.before: dict[str, Decimal] = {}

    def __str__(self) -> str:
        return f"{self.variant.id} in {self.operation} of {self.symbol}"

    def end(self) -> str:
        """How it ended: booked, or locked; anything else fails."""
        if self.operation != "entry":
            self._hold()
        self.before = self.desk.held_lots()
        told = "" if self._begin() else "refused at first, then "
        self.desk.set(self.variant, self.instrument, self.symbol)
        for number in range(PASSES_UNDER_FAULT + PASSES_AFTER):
            if number == PASSES_UNDER_FAULT:
                self.desk.calm()
            if not self._is_active():
                break
            self.desk.carry_on()
            self._never_more_than_meant()
        self.desk.calm()
        return told + self._judged()

    def _hold(self) -> None:
        """The layer that is added to, or closed."""
        desk = self.desk
        assert desk.begun("entry", self.instrument) is not None
        while self.store.active_intents():
            desk.carry_on()
        assert [layer.lots for layer in desk.desk.layers(self.instrument)] == [LOTS]

    def _begin(self) -> bool:
        """Whether it was begun under the fault; one that was refused is begun when it is over."""
        desk = self.desk
        desk.set(self.variant, self.instrument, self.symbol)
        is_begun = desk.begun(self.operation, self.instrument) is not None
        desk.calm()
        if self.operation == "close-all":
            return True
        if not is_begun:
            assert self.desk.held_lots() == self.before, self
            assert self.operation in ENTRIES, f"{self}: an exit was refused"
            self._as_it_was()
            assert desk.begun(self.operation, self.instrument) is not None, self
        return is_begun

    def _as_it_was(self) -> None:
        if self.variant.lot_sizes:
            self.desk.usual_lots()
        for lock in self.store.instrument_locks():
            self.store.unlock_instrument(lock.instrument, lock.code, "test")

    def _is_active(self) -> bool:
        return bool(self.store.active_intents()) or self.desk.is_closing()

    def _never_more_than_meant(self) -> None:
        for symbol, lots in self.desk.held_lots().items():
            meant = LOTS if self.operation in ENTRIES else 0
            allowed = abs(self.before.get(symbol, Decimal(0))) + meant
            assert abs(lots) <= allowed, f"{self}: {symbol} {lots}"

    def _judged(self) -> str:
        desk = self.desk
        locks = [
            lock
            for lock in self.store.instrument_locks()
            if lock.instrument == self.instrument and lock.code != CLOSE_ALL
        ]
        self._never_more_than_meant()
        assert desk.our_lots() == desk.held_lots(), str(self)
        assert violations(self.store) == [], str(self)
        active = [each for each in self.store.active_intents() if each.state in ACTIVE_INTENTS]
        if active or desk.is_closing():
            assert locks or all(each.reason for each in active), str(self)
            return "active, visible"
        assert desk.resting() == [], str(self)
        desk.check_fills()
        if self.operation == "close-all":
            state = desk.outcome_of_closing(self.instrument)
            assert state in (ClosingState.FLAT, ClosingState.LOCKED), str(self)
            assert (state is ClosingState.FLAT) == (desk.held_lots() == {}), str(self)
            return str(state).lower()
        return "booked, locked" if locks else "booked"

    def leave_nothing(self) -> None:
        """Nothing for the next cell; what is locked is released as an operator would."""
        desk = self.desk
        desk.calm()
        desk.usual_prices()
        self._as_it_was()
        for _ in range(5):
            if self.store.active_intents():
                desk.carry_on()
        assert self.store.active_intents() == [], str(self)
        layers = desk.desk.layers(self.instrument)
        if layers:
            desk.desk.leave(*layers)
        assert desk.faults.held() == {}, str(self)
