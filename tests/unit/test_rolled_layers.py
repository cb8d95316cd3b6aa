"""A layer that moves to the next contract keeps its risk; its money is that of all its fills."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.book_events import LayerRolled
from core.errors import Rejected
from core.models import Position
from tests.fixtures.rules import BANK, CAPITAL, GOLD, MORNING, book, opened, reduced

PRICE = st.integers(40_000, 60_000).map(Decimal)


def rolled(position: Position, near: Any, far: Any, **changes: Any) -> LayerRolled:
    """`position`, moved whole, at no cost."""
    event = LayerRolled(
        instrument=position.instrument,
        position_id=position.id,
        lots=position.lots,
        near_close=Decimal(near),
        far_open=Decimal(far),
        time=MORNING,
        point_value=position.point_value,
        lot_size=position.lot_size,
        margin_per_lot=position.margin_per_lot,
        charges=Decimal(0),
        near="NEAR",
        far="FAR",
    )
    return replace(event, **changes)


def test_the_result_is_taken_from_fills_and_not_from_entries_written_over() -> None:
    """Incident 56: 3 lots of 100 from 50,000 to 50,120; the roll made 34,200 of 36,000."""
    held = book(opened(lots=3, point_value=100))
    (layer,) = held[BANK].layers
    held.roll_layer(rolled(layer, 50_040, 50_100))
    assert layer.entry_price == 50_060
    trade = held.reduce_layer(reduced(layer, 3, 50_180))
    assert trade.gross_pnl == (50_040 - 50_000 + 50_180 - 50_100) * 300 == 36_000
    assert held.closed_equity == CAPITAL + 36_000


def test_risk_room_and_history_move_with_the_layer() -> None:
    held = book(opened())
    (layer,) = held[BANK].layers
    layer.stop += 50
    before = (layer.r_points, layer.risk, layer.entry_price - layer.stop)
    held.roll_layer(rolled(layer, 50_500, 50_780, symbol="NEXT"))
    assert (layer.r_points, layer.risk, layer.entry_price - layer.stop) == before
    assert layer.entry_price == layer.highest_close == 50_280
    assert (layer.id, layer.trade_no, layer.symbol) == ("BANK_NIFTY/1/Long_1", 1, "NEXT")
    assert held[BANK].price == 50_780
    assert held[BANK].open_pnl() == 500 * 10 * 30


def test_charges_are_paid_at_the_roll_and_shown_by_the_trade() -> None:
    held = book(opened(charges=40))
    (layer,) = held[BANK].layers
    held.roll_layer(rolled(layer, 50_100, 50_300, charges=Decimal(500)))
    assert held.closed_equity == CAPITAL - 540
    assert held.charges == 540
    trade = held.reduce_layer(reduced(layer, 10, 50_300, charges=60))
    assert trade.charges == 600
    assert trade.gross_pnl == 100 * 10 * 30
    assert held.closed_equity == CAPITAL + trade.net_pnl
    assert held.equity_high == held.closed_equity


def test_equity_high_is_not_lowered_by_a_roll() -> None:
    held = book(opened())
    (layer,) = held[BANK].layers
    held.roll_layer(rolled(layer, 49_000, 49_200, charges=Decimal(900)))
    assert (held.closed_equity, held.equity_high) == (CAPITAL - 900, CAPITAL)


@given(PRICE, st.lists(st.tuples(PRICE, PRICE), min_size=1, max_size=4), PRICE)
def test_after_any_number_of_rolls_the_result_is_the_sum_of_all_contracts(
    entry: Decimal, rolls: list[tuple[Decimal, Decimal]], last: Decimal
) -> None:
    """Incident 55: one that was rolled is rolled again, as often as its contract ends."""
    held = book(opened(price=entry, close=entry, initial_stop=entry - 200))
    (layer,) = held[BANK].layers
    expected, bought = Decimal(0), entry
    for near, far in rolls:
        held.roll_layer(rolled(layer, near, far))
        expected, bought = expected + near - bought, far
        assert layer.r_points == 200
    trade = held.reduce_layer(reduced(layer, layer.lots, last))
    assert trade.gross_pnl == (expected + last - bought) * 300
    assert held.closed_equity == CAPITAL + trade.gross_pnl


@given(PRICE, PRICE, PRICE, PRICE, st.integers(2, 40))
def test_a_lot_of_another_size_loses_no_rupee(
    entry: Decimal, near: Decimal, far: Decimal, last: Decimal, lots: int
) -> None:
    """Incident 41: what the whole lots of the next contract do not hold is realised."""
    held = book(opened(price=entry, close=entry, initial_stop=entry - 200, lots=lots))
    (layer,) = held[BANK].layers
    after = lots * 30 // 35
    larger = {"point_value": Decimal(35), "lot_size": 35}
    held.roll_layer(rolled(layer, near, far, lots=after, **larger))
    assert layer.lots * layer.point_value <= lots * 30
    assert layer.lots <= layer.initial_lots
    held.reduce_layer(reduced(layer, after, last))
    total = (near - entry) * lots * 30 + (last - far) * after * 35
    assert held.closed_equity == CAPITAL + total


def test_a_roll_never_makes_more_of_a_layer() -> None:
    held = book(opened(lots=2))
    (layer,) = held[BANK].layers
    with pytest.raises(Rejected, match="a point for"):
        held.roll_layer(rolled(layer, 50_000, 50_100, lots=3))
    with pytest.raises(Rejected, match="not held"):
        held.roll_layer(replace(rolled(layer, 50_000, 50_100), position_id="GOLD_MINI/1/Long_1"))
    assert layer.lots == 2
    assert layer.entry_price == 50_000


def test_a_book_made_from_the_events_is_the_same_book() -> None:
    held = book(opened(instrument=GOLD, point_value=10, lot_size=100))
    held.journal = []
    (layer,) = held[GOLD].layers
    other = book(opened(instrument=GOLD, point_value=10, lot_size=100))
    held.roll_layer(rolled(layer, 50_100, 50_400, charges=Decimal(7)))
    other.replay(held.journal)
    assert other.snapshot() == held.snapshot()
