"""The book: positions are the sum of their fills, the ledger of its bookings, to the paisa."""

from dataclasses import astuple
from decimal import Decimal
from typing import Any

import pytest

from core.book_events import BarClosed, ExposureReleased, PriceMarked
from core.config import EquityBasis
from core.decision import DecisionMaker
from core.errors import Rejected
from core.models import Limiter, Position
from core.portfolio_state import PortfolioStateManager
from tests.fixtures.rules import (
    BANK,
    CAPITAL,
    GOLD,
    MORNING,
    book,
    config,
    deposit,
    opened,
    reduced,
    reserved,
    row,
)


def position(held: PortfolioStateManager, layer: int = 1, instrument: str = BANK) -> Position:
    found = held[instrument].layer(layer)
    assert found is not None
    return found


def test_a_fill_becomes_a_layer_with_all_it_was_entered_with() -> None:
    held = book()
    found = held.open_layer(
        opened(charges="205.50", limiter=Limiter.VOLATILITY, symbol="BANKNIFTY27JAN26FUT")
    )
    assert astuple(found) == (
        *("BANK_NIFTY/1/Long_1", BANK, 1, 1, 10, 10),  # id, instrument, trade, layer, lots
        *(50_000, MORNING, 49_800, 49_800, 50_000, 250),  # entry, stops, highest close, ATR
        *(30, 30, 270_000, Limiter.VOLATILITY, "BANKNIFTY27JAN26FUT", Decimal("205.50")),
    )
    assert list(held.layers()) == [found]
    assert row(held[BANK].price, held[BANK].atr) == (50_000, 250)


def test_open_pnl_risk_volatility_and_margin_are_sums_over_the_layers() -> None:
    held = book(opened(), opened(layer=2, lots=5, price=50_500, initial_stop=50_300, close=50_500))
    bank = held[BANK]
    # at 50,500: 500 x 10 x 30 + 0
    assert bank.open_pnl() == held.open_pnl() == 150_000
    # at 50,600: 600 x 10 x 30 + 100 x 5 x 30
    assert bank.open_pnl(Decimal(50_600)) == 195_000
    assert bank.risk() == 90_000  # 200 x 10 x 30 + 200 x 5 x 30
    assert bank.volatility() == 112_500  # 250 x 15 x 30
    assert bank.margin == 4_050_000  # 2,70,000 x 15
    held.reduce_layer(reduced(position(held), 4, 50_500))
    assert bank.open_pnl(Decimal(50_600)) == 123_000  # 600 x 6 x 30 + 100 x 5 x 30
    assert bank.risk() == 66_000
    assert bank.volatility() == 82_500
    assert bank.margin == 2_970_000


def test_a_flat_instrument_has_no_exposure_whatever_its_price() -> None:
    held = book()
    held.close_bar(BANK, Decimal(50_000), Decimal(250), Decimal(49_800))
    bank = held[BANK]
    assert row(bank.open_pnl(), bank.risk(), bank.volatility(), bank.margin) == (0, 0, 0, 0)
    assert held[GOLD].open_pnl() == held[GOLD].volatility() == 0
    assert astuple(held.account(EquityBasis.OPEN)) == (CAPITAL, CAPITAL, 0, 0, 0, 0)


def test_risk_is_measured_to_the_current_stop_and_is_never_negative() -> None:
    held = book(opened())
    for close, stop, risk in [
        # ATR 200: highest close - 500
        (50_400, 49_900, 30_000),  # 100 x 10 x 30
        (50_500, 50_000, 0),
        (51_000, 50_500, 0),  # the stop has locked a gain in
    ]:
        held.close_bar(BANK, Decimal(close), Decimal(200), Decimal(0))
        assert row(position(held).stop, held[BANK].risk()) == (stop, risk)


def test_a_closed_bar_moves_stops_and_returns_those_that_are_hit() -> None:
    held = book(opened(), opened(layer=2, lots=5, price=50_500, initial_stop=50_300))
    assert held.close_bar(BANK, Decimal(50_300), Decimal(260), Decimal(0)) == []
    assert row(held[BANK].price, held[BANK].atr) == (50_300, 260)
    hit = held.close_bar(BANK, Decimal("50299.95"), Decimal(260), Decimal(0))
    assert hit == [position(held, 2)]
    assert position(held, 2).lots == 5  # a hit stop closes nothing by itself


def test_an_instrument_of_another_book_is_unknown() -> None:
    held = book()
    assert BANK in held
    assert "COPPER" not in held


@pytest.mark.parametrize(
    ("basis", "equity"),
    [
        # closed 50,00,000; 10 lots from 50,000 to 50,500: 1,50,000 open
        (EquityBasis.CLOSED, 5_000_000),
        (EquityBasis.OPEN, 5_150_000),
        (EquityBasis.BLENDED, 5_075_000),
    ],
)
def test_equity_is_closed_open_or_half_way_between(basis: EquityBasis, equity: int) -> None:
    held = book(opened(close=50_500))
    assert held.equity(basis) == held.account(basis).equity == equity
    assert held.equity_high == held.account(basis).equity_high == CAPITAL


def test_equity_is_open_where_nothing_is_said() -> None:
    assert book(opened(close=50_500)).equity() == 5_150_000


def test_the_account_is_one_for_all_instruments() -> None:
    gold = opened(
        instrument=GOLD,
        lots=3,
        price=78_000,
        initial_stop=77_500,
        close=78_100,
        atr=450,
        point_value=10,
        lot_size=100,
        margin_per_lot=105_000,
    )
    held = book(opened(), gold)
    held.reserve(reserved())
    held.reserve(reserved(intent_id="intent-2", instrument=GOLD, risk=1, volatility=2, margin=3))
    assert astuple(held.account(EquityBasis.OPEN)) == (
        5_003_000,  # 100 x 3 x 10
        5_000_000,
        60_000 + 15_000 + 12_000 + 1,  # 200 x 10 x 30, 500 x 3 x 10, and what is reserved
        75_000 + 13_500 + 15_000 + 2,  # 250 x 10 x 30, 450 x 3 x 10
        2_700_000 + 315_000,
        540_000 + 3,
    )


def test_a_reservation_holds_until_it_is_released_or_filled() -> None:
    held = book()
    held.reserve(reserved())
    held.reserve(reserved(intent_id="intent-2", instrument=GOLD))
    assert held.reserved(BANK) == [reserved()]
    held.release(ExposureReleased("intent-1"))
    held.release(ExposureReleased("never-there"))
    assert held.reserved(BANK) == []
    assert len(held.reserved(GOLD)) == 1
    held.reserve(reserved())
    held.open_layer(opened(intent_id="intent-1", lots=2))
    assert held.reserved(BANK) == []
    assert held.account(EquityBasis.OPEN).margin_in_use == 540_000  # counted once
    assert len(held.reserved(GOLD)) == 1


def test_equity_high_is_a_ratchet_on_realised_equity() -> None:
    held = book(opened(), opened(instrument=GOLD))
    held.close_bar(BANK, Decimal(51_000), Decimal(250), Decimal(0))
    assert held.equity_high == 5_000_000  # an open gain is not realised
    held.reduce_layer(reduced(position(held), 4, 51_000))
    assert row(held.closed_equity, held.equity_high) == (5_120_000, 5_120_000)  # 1,000 x 4 x 30
    held.reduce_layer(reduced(position(held), 6, 49_000))
    assert row(held.closed_equity, held.equity_high) == (4_940_000, 5_120_000)  # - 1,000 x 6 x 30
    held.reduce_layer(reduced(position(held, 1, GOLD), 10, 50_300))
    assert row(held.closed_equity, held.equity_high) == (5_030_000, 5_120_000)  # + 300 x 10 x 30


def test_equity_high_is_moved_by_bookings_and_by_nothing_else() -> None:
    """Incident 34: equity_high was overwritten with the current equity at each start.

    Reading the account, closing bars and rebuilding the book leave the high-water mark alone;
    sizing on a lower one would shrink every position after a loss and a restart.
    """
    held = DecisionMaker(config()).new_book()
    held.journal = []
    held.apply(deposit(CAPITAL))
    held.open_layer(opened())
    held.reduce_layer(reduced(position(held), 5, 51_000))  # + 1,000 x 5 x 30
    held.reduce_layer(reduced(position(held), 5, 48_000))  # - 2,000 x 5 x 30
    held.close_bar(BANK, Decimal(60_000), Decimal(250), Decimal(0))
    for basis in EquityBasis:
        assert held.account(basis).equity == 4_850_000
    again = DecisionMaker(config()).new_book()
    again.replay(held.journal)
    assert row(again.closed_equity, again.equity_high) == (4_850_000, 5_150_000)


@pytest.mark.parametrize("amount", [250_000, -250_000, 0])
def test_money_in_or_out_moves_equity_and_its_high_by_the_same(amount: int) -> None:
    held = book(opened())
    held.reduce_layer(reduced(position(held), 10, 49_000))  # 3,00,000 under the high
    held.move_capital(deposit(amount))
    assert row(held.closed_equity, held.equity_high) == (4_700_000 + amount, 5_000_000 + amount)
    assert held.trades[0].net_pnl == -300_000  # a transfer is no result


def test_charges_are_paid_when_a_fill_is_booked_and_shared_out_by_lots() -> None:
    held = book()
    held.open_layer(opened(lots=3, charges="100.00"))
    assert held.closed_equity == Decimal("4999900.00")
    shares = []
    for lots in (1, 1, 1):
        trade = held.reduce_layer(reduced(position(held), lots, 50_010, charges="20.00"))
        shares.append(trade.charges - 20)
        assert row(trade.gross_pnl, trade.net_pnl) == (300, 300 - trade.charges)  # 10 x 1 x 30
    # 100 / 3 = 33.33, then 66.67 / 2 = 33.335 (half to even: 33.34), the last takes what is left
    assert shares == [Decimal("33.33"), Decimal("33.34"), Decimal("33.33")]
    assert held.charges == 160
    assert held.closed_equity == 5_000_000 + 900 - 160


@pytest.mark.parametrize("charges", ["0.005", "100.005", "33.3333", "0.0149"])
def test_the_last_lots_take_what_is_left_of_the_entry_charges_to_the_last_digit(
    charges: str,
) -> None:
    held = book(opened(lots=3, charges=charges))
    held.reduce_layer(reduced(position(held), 2, 50_000))
    held.reduce_layer(reduced(position(held), 1, 50_000))
    assert sum(trade.charges for trade in held.trades) == Decimal(charges)
    assert held.closed_equity == CAPITAL - Decimal(charges)


def test_a_trade_tells_what_was_closed_and_what_was_risked() -> None:
    held = book(opened(charges="100.00", limiter=Limiter.RISK))
    trade = held.reduce_layer(reduced(position(held), 4, 50_450, charges="60.00", reason="STOP"))
    assert astuple(trade) == (
        *(BANK, 1, 1, 4),
        *(MORNING, 50_000, MORNING, 50_450, 30),
        *(54_000, 100, 53_900, 24_000),  # 450 x 4 x 30; 40 + 60; 200 x 4 x 30
        *("STOP", Limiter.RISK),
    )
    assert held.trades == [trade]
    left = position(held)
    assert row(left.lots, left.initial_lots, left.entry_charges) == (6, 10, 60)


def test_a_result_of_exactly_zero_is_booked() -> None:
    """Incident 37: a P&L of exactly zero could not be written to the ledger.

    Zero is a value: the trade is in the books and the layer is gone.
    """
    held = book(opened())
    trade = held.reduce_layer(reduced(position(held), 10, 50_000))
    assert row(trade.gross_pnl, trade.net_pnl) == (0, 0)
    assert held.trades == [trade]
    assert list(held.layers()) == []
    assert held.closed_equity == CAPITAL


def test_history_stays_and_trade_numbers_rise() -> None:
    """Incident 38: the next trade's row overwrote the last one's (its id was used again).

    A trade that follows another has a number and ids of its own; what was closed stays told.
    """
    held = book()
    ids: list[str] = []
    numbers: list[int] = []
    for _ in range(3):
        ids += [held.open_layer(opened(layer=layer)).id for layer in (1, 2)]
        closing = [reduced(found, 10, 50_100) for found in held.layers()]
        numbers += [held.reduce_layer(event).trade_no for event in closing]
    assert len(set(ids)) == len(ids) == 6
    assert numbers == [1, 1, 2, 2, 3, 3]
    assert [(trade.trade_no, trade.layer) for trade in held.trades] == [
        *((1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2))
    ]


def test_a_trade_lasts_until_the_instrument_is_flat() -> None:
    held = book(opened(), opened(layer=2))
    held.reduce_layer(reduced(position(held), 10, 50_100))
    assert held.open_layer(opened(layer=3)).id == "BANK_NIFTY/1/Long_3"
    assert held.open_layer(opened(instrument=GOLD)).trade_no == 1  # each counts its own


def test_an_open_position_keeps_the_lot_and_point_value_it_was_entered_with() -> None:
    """Incident 41: Bank Nifty's lot changed from 35 to 30 and was edited in eleven files.

    A layer entered with 35 units is worth ₹35 a point until it is closed, beside one of 30.
    """
    held = book(
        opened(point_value=35, lot_size=35),
        opened(layer=2, lots=10, price=50_500, initial_stop=50_300, close=50_500),
    )
    old, new = position(held, 1), position(held, 2)
    assert row(old.lot_size, old.point_value) == (35, 35)
    assert row(new.lot_size, new.point_value) == (30, 30)
    assert held[BANK].open_pnl() == 175_000  # 500 x 10 x 35
    assert held[BANK].risk() == 130_000  # 200 x 10 x 35 + 200 x 10 x 30
    assert held[BANK].volatility() == 162_500  # 250 x 10 x 35 + 250 x 10 x 30
    trade = held.reduce_layer(reduced(old, 10, 50_100))
    assert row(trade.point_value, trade.gross_pnl, trade.initial_risk) == (35, 35_000, 70_000)


@pytest.mark.parametrize(
    ("price", "atr"),
    [
        *(("NaN", "250"), ("Infinity", "250"), ("-Infinity", "250"), ("sNaN", "250")),
        *(("0", "250"), ("-1", "250")),
        *(("50100", "NaN"), ("50100", "Infinity"), ("50100", "0"), ("50100", "-250")),
    ],
)
def test_a_price_that_cannot_be_one_is_not_taken(price: str, atr: str) -> None:
    held = book(opened())
    held.journal = []
    before = held.snapshot()
    held.mark(PriceMarked(BANK, Decimal(price), Decimal(atr)))
    assert held.snapshot() == before
    assert held.journal == []


def test_a_price_of_less_than_a_rupee_is_one() -> None:
    held = book()
    held.mark(PriceMarked(BANK, Decimal("0.05"), Decimal("0.01")))
    assert row(held[BANK].price, held[BANK].atr) == (Decimal("0.05"), Decimal("0.01"))


def test_an_alerts_price_and_atr_are_the_latest_and_move_no_stop() -> None:
    held = book(opened())
    held.mark(PriceMarked(BANK, Decimal(51_000), Decimal(300)))
    assert held.equity() == 5_300_000  # 1,000 x 10 x 30
    assert held[BANK].volatility() == 90_000  # 300 x 10 x 30
    assert row(position(held).stop, position(held).highest_close) == (49_800, 50_000)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda held: held.open_layer(opened(lots=1, price=60_000)), "LAYER_OUT_OF_ORDER"),
        (lambda held: held.reduce_layer(reduced(position(held), 11, 50_100)), "NOT_HELD"),
        (lambda held: held.reduce_layer(reduced(position(held), 0, 50_100)), "NOT_HELD"),
        (lambda held: held.reduce_layer(reduced(position(held), -1, 50_100)), "NOT_HELD"),
        (
            lambda held: held.reduce_layer(
                reduced(position(held), 1, 50_100, position_id="BANK_NIFTY/9/Long_1")
            ),
            "NOT_HELD",
        ),
        (
            lambda held: held.reduce_layer(reduced(position(held), 1, 1, instrument=GOLD)),
            "NOT_HELD",
        ),
    ],
)
def test_a_booking_that_does_not_fit_is_refused_and_changes_nothing(change: Any, code: str) -> None:
    held = book(opened(charges="100.00"))
    held.reserve(reserved())
    held.journal = []
    before = held.snapshot()
    with pytest.raises(Rejected) as refusal:
        change(held)
    assert refusal.value.code == code
    assert BANK in str(refusal.value)
    assert held.snapshot() == before
    assert held.journal == []


def test_a_refused_exit_says_what_is_held() -> None:
    held = book(opened())
    event = reduced(position(held), 11, 50_100)
    with pytest.raises(Rejected, match="BANK_NIFTY/1/Long_1: 11 lots asked, 10 held"):
        held.reduce_layer(event)
    held.reduce_layer(reduced(position(held), 10, 50_100))
    with pytest.raises(Rejected, match="BANK_NIFTY/1/Long_1: 11 lots asked, 0 held"):
        held.reduce_layer(event)


def test_snapshots_tell_books_apart() -> None:
    assert book(opened()).snapshot() == book(opened()).snapshot()
    assert book(opened()).snapshot() != book(opened(lots=9)).snapshot()
    assert book().snapshot() != book(capital=1).snapshot()


def test_replaying_a_books_own_events_gives_the_same_book() -> None:
    held = DecisionMaker(config()).new_book()
    held.journal = []
    held.move_capital(deposit(CAPITAL))
    held.reserve(reserved())
    held.open_layer(opened(intent_id="intent-1", charges="205.50"))
    held.mark(PriceMarked(BANK, Decimal(50_100), Decimal(240)))
    held.close_bar(BANK, Decimal(50_900), Decimal(240), Decimal(50_200))
    held.open_layer(opened(layer=2, price=50_900, initial_stop=50_700, charges="120.25"))
    held.reduce_layer(reduced(position(held), 3, 51_000, charges="99.99"))
    held.reserve(reserved(intent_id="intent-2"))
    held.release(ExposureReleased("intent-2"))
    assert [type(event).__name__ for event in held.journal] == [
        *("CapitalMoved", "ExposureReserved", "LayerOpened", "PriceMarked", "BarClosed"),
        *("LayerOpened", "LayerReduced", "ExposureReserved", "ExposureReleased"),
    ]
    assert held.journal[4] == BarClosed(BANK, Decimal(50_900), Decimal(240), Decimal(50_200))
    again = DecisionMaker(config()).new_book()
    again.journal = []
    again.replay(held.journal)
    assert again.snapshot() == held.snapshot()
    assert again.journal == held.journal
    assert position(again) == position(held)


def test_a_fill_below_its_own_stop_risks_nothing_and_counts_no_r() -> None:
    held = book(opened(price=49_700, initial_stop=49_800))
    found = position(held)
    assert row(found.r_points, found.initial_risk, found.risk) == (0, 0, 0)
    trade = held.reduce_layer(reduced(found, 10, 49_900))
    assert trade.initial_risk == 0
    assert trade.r_multiple is None


def test_a_late_fill_of_an_add_does_not_turn_the_price_back() -> None:
    held = book(opened())
    held.close_bar(BANK, Decimal(50_700), Decimal(260), Decimal(49_800))
    held.open_layer(opened(layer=2, lots=5, price=50_500, initial_stop=50_300, close=50_500))
    assert row(held[BANK].price, held[BANK].atr) == (50_700, 260)


def test_a_closed_layer_is_not_opened_again_in_the_same_trade() -> None:
    """Incident 38: a human id (instrument/trade/layer) is never used twice."""
    held = book(opened(), opened(layer=2, lots=5, price=50_500, initial_stop=50_300, close=50_500))
    held.reduce_layer(reduced(position(held, 2), 5, 50_600))
    with pytest.raises(Rejected, match="not above 2"):
        held.open_layer(opened(layer=2, lots=5, price=50_700, initial_stop=50_500))
