"""Figures that were once booked wrongly, to the paisa, from the fills of the legs alone."""

from dataclasses import replace
from decimal import Decimal

import pytest

from core.book_events import CapitalMoved
from core.charges import ChargeSchedule
from core.db_state_manager.records import Intent, Leg
from core.db_state_manager.states import (
    IntentAction,
    IntentSource,
    IntentState,
    LedgerKind,
    LegPurpose,
    LegState,
    Side,
)
from core.decision import DecisionMaker
from core.decision_record import Decision
from core.instruments import InstrumentCatalog
from core.models import ContractTerms, Position
from live.booking import Booker
from tests.fixtures.database import close
from tests.fixtures.rules import BANK, CAPITAL, GOLD, MORNING, base_entry, config, opened, terms

MAKER = DecisionMaker(config())
CALL, PUT = "BANKNIFTY27JAN2650000CE", "BANKNIFTY27JAN2650000PE"

ORDER_INR = Decimal("23.60")


def leg(
    place: int, purpose: LegPurpose, side: Side, symbol: str, lots: int, quantity: int, price: str
) -> Leg:
    exchange = "MCX" if symbol.startswith("GOLDM") else "NFO"
    state = LegState.FILLED
    return Leg(
        place, 1, place, purpose, side, symbol, exchange, lots, quantity, state, quantity,
        Decimal(price),
    )  # fmt: skip


def intent(decision: Decision, action: IntentAction) -> Intent:
    return Intent(
        1, None, decision.instrument, IntentSource.SIGNAL, action, IntentState.WORKING,
        decision.layer, decision.lots, decision, False, None, "", MORNING, MORNING,
    )  # fmt: skip


def profit(instrument: str, bought: list[Leg], left: list[Leg], given: ContractTerms) -> Decimal:
    """What the book earns on a position that was opened by `bought` and closed by `left`, gross."""
    book = MAKER.new_book()
    book.move_capital(CapitalMoved(CAPITAL, MORNING))
    booker = Booker(InstrumentCatalog.shipped()[instrument], ChargeSchedule.shipped())
    decided = MAKER.decide(base_entry(instrument=instrument), book, given)
    decision = replace(decided, lots=bought[0].lots)
    (opened,) = booker.entry(intent(decision, IntentAction.ENTRY), bought, MORNING).events
    position: Position = book.open_layer(opened)  # type: ignore[arg-type]
    leaving = intent(close(position), IntentAction.EXIT)
    (reduced,) = booker.exit(leaving, left, {position.id: bought}, MORNING).events
    trade = book.reduce_layer(reduced)  # type: ignore[arg-type]
    assert book.equity() == CAPITAL + trade.gross_pnl - trade.charges
    return trade.gross_pnl


def test_a_synthetic_exit_is_worth_what_its_legs_were_filled_at() -> None:
    """Incident 23: +384 was recorded from the alert's price, and -1,980.00 was true."""
    open_, close_ = LegPurpose.OPEN, LegPurpose.CLOSE
    bought = [
        leg(1, open_, Side.BUY, CALL, 8, 240, "494.97"),
        leg(2, open_, Side.SELL, PUT, 8, 240, "755.90"),
    ]
    left = [
        leg(1, close_, Side.BUY, PUT, 8, 240, "757.08"),
        leg(2, close_, Side.SELL, CALL, 8, 240, "487.90"),
    ]
    assert profit(BANK, bought, left, terms()) == Decimal("-1980.00")


@pytest.mark.parametrize("lotsize", [1, 10, 100])
def test_gold_lots_are_no_quantity_whatever_the_brokers_lot_size(lotsize: int) -> None:
    """Incident 27: 3 lots of Gold Mini were taken for 300; ₹10 a point and lot, always."""
    symbol, quantity = "GOLDM05JAN27FUT", 3 * lotsize
    bought = [leg(1, LegPurpose.OPEN, Side.BUY, symbol, 3, quantity, "128000")]
    left = [leg(1, LegPurpose.CLOSE, Side.SELL, symbol, 3, quantity, "128500")]
    given = terms(point_value=Decimal(10), lot_size=100)
    assert profit(GOLD, bought, left, given) == Decimal("15000.00")


def test_an_exit_of_layers_in_different_contracts_is_one_operation() -> None:
    """Each close but the last says that more follow, whatever its contract."""
    near, far = "GOLDM05JAN27FUT", "GOLDM05FEB27FUT"
    book = MAKER.new_book()
    layers = [
        book.open_layer(opened(instrument=GOLD, layer=number, lots=2)) for number in (1, 2, 3)
    ]
    held = {
        layer.id: [leg(1, LegPurpose.OPEN, Side.BUY, symbol, 2, 2, "50000")]
        for layer, symbol in zip(layers, (near, far, near), strict=True)
    }
    sold = [
        leg(place, LegPurpose.CLOSE, Side.SELL, symbol, lots, lots, "50500")
        for place, (symbol, lots) in enumerate([(near, 4), (far, 2)], start=1)
    ]
    booker = Booker(InstrumentCatalog.shipped()[GOLD], ChargeSchedule.shipped())
    leaving = intent(close(*layers), IntentAction.EXIT)
    for legs, expected in [
        (sold, [(0, True), (2, True), (1, False)]),
        (sold[:1], [(0, True), (2, False)]),  # nothing of the other contract was had
    ]:
        events = booker.exit(leaving, legs, held, MORNING).events
        found = [(event.position_id, event.more_follow) for event in events]  # type: ignore[union-attr]
        assert found == [(layers[number].id, follow) for number, follow in expected]


def test_each_order_of_a_leg_that_filled_costs_its_brokerage() -> None:
    """Rs 20 an order and 18 % GST on it: Rs 23.60 for each order more, in and out."""
    open_, close_ = LegPurpose.OPEN, LegPurpose.CLOSE
    bought = [
        leg(1, open_, Side.BUY, CALL, 25, 750, "494.95"),
        leg(2, open_, Side.SELL, PUT, 25, 750, "755.90"),
    ]
    left = [
        leg(3, close_, Side.BUY, PUT, 25, 750, "757.05"),
        leg(4, close_, Side.SELL, CALL, 25, 750, "487.90"),
    ]
    entry = intent(MAKER.decide(base_entry(), MAKER.new_book(), terms()), IntentAction.ENTRY)
    position = MAKER.new_book().open_layer(opened(lots=25))
    leaving = intent(close(position), IntentAction.EXIT)

    def costs(orders: dict[int, int]) -> tuple[Decimal, Decimal]:
        spec = InstrumentCatalog.shipped()[BANK]
        booker = Booker(spec, ChargeSchedule.shipped(), orders)
        (had,) = booker.entry(entry, bought, MORNING).events
        (gone,) = booker.exit(leaving, left, {position.id: bought}, MORNING).events
        return had.charges, gone.charges

    had, gone = costs({1: 1, 2: 1, 3: 1, 4: 1})
    assert costs({1: 2, 2: 2, 3: 4, 4: 1}) == (had + 2 * ORDER_INR, gone + 3 * ORDER_INR)


@pytest.mark.parametrize(("given_back", "paid"), [(240, 3), (120, 1)])
def test_what_was_given_back_pays_for_orders_that_no_layer_pays_for(
    given_back: int, paid: int
) -> None:
    """Two orders had the future, one gave it back: each is paid for once."""
    symbol = "GOLDM05JAN27FUT"
    legs = [
        leg(1, LegPurpose.OPEN, Side.BUY, symbol, 240, 240, "128000"),
        leg(2, LegPurpose.UNWIND, Side.SELL, symbol, given_back, given_back, "128000"),
    ]
    decided = MAKER.decide(base_entry(instrument=GOLD), MAKER.new_book(), gold_terms())
    entry = intent(decided, IntentAction.ENTRY)

    def charges(orders: dict[int, int]) -> tuple[Decimal, Decimal]:
        spec = InstrumentCatalog.shipped()[GOLD]
        booking = Booker(spec, ChargeSchedule.shipped(), orders).entry(entry, legs, MORNING)
        beside = sum(line.amount for line in booking.beside if line.kind is LedgerKind.CHARGES)
        return sum((each.charges for each in booking.events), Decimal(0)), -Decimal(beside)

    without, with_orders = charges({1: 0, 2: 0}), charges({1: 2, 2: 1})
    assert with_orders[1] - without[1] == paid * ORDER_INR
    assert sum(with_orders) - sum(without) == 3 * ORDER_INR


def gold_terms() -> ContractTerms:
    return terms(point_value=Decimal(10), lot_size=100)
