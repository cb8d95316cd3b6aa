"""What an operator says of an order or a position holds at a real exchange, and sends nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers.messages import Action, Contract, GatewayMode, OrderRequest
from core.charges import ChargeSchedule
from core.db_state_manager.invariants import violations
from core.db_state_manager.records import Intent
from core.errors import OutcomeUnknown
from live.adopting import Adopter, Terms
from live.order_executor import Outcome
from live.reconciliation import Reconciler
from live.unknown_orders import UnknownOrders
from tests.fixtures.order_desk import CATALOG, CONTRACTS, Desk, nothing, open_desk
from tests.fixtures.rules import BANK, GOLD

MODES = [GatewayMode.ANALYZE, GatewayMode.LIVE]


@pytest.fixture(params=MODES, ids=["analyze", "live"])
def desk(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    options = ("--funds", "1e9")
    with open_desk(database_url, tmp_path / "paper", *options, mode=request.param) as opened:
        yield opened


def adopter(desk: Desk) -> Adopter:
    reconciler = Reconciler(desk.store, desk.client, "paper", CATALOG, desk.clock)
    charges = ChargeSchedule.shipped()
    return Adopter(desk.store, reconciler, desk.client, CATALOG, CONTRACTS, charges, desk.clock)


def trade_by_hand(desk: Desk, symbol: str, exchange: str, action: Action, quantity: int) -> None:
    """Somebody trades in the account without us, at whatever price there is."""
    contract = Contract(symbol, exchange)
    quote = desk.client.quote(contract)
    price = quote.ask if action is Action.BUY else quote.bid
    assert price is not None
    desk.client.place_order(OrderRequest(contract, action, quantity, price, "by hand"))


@pytest.mark.parametrize("instrument", [GOLD, BANK])
def test_what_was_closed_by_hand_is_booked_and_the_books_agree(desk: Desk, instrument: str) -> None:
    """Incident 45: a sync sent entries and bought again."""
    desk.enter(instrument, 3)
    (layer,) = desk.layers(instrument)
    for leg in reversed(desk.store.held_legs(instrument)[layer.id]):
        action = Action.SELL if leg.side.value == "BUY" else Action.BUY
        trade_by_hand(desk, leg.symbol, leg.exchange, action, leg.quantity // 3)
    sent = desk.sent()
    price = layer.entry_price + 100
    done = adopter(desk).adopt(Terms("by hand", {instrument: price}, {}))
    assert done.reconciled.comparison.agrees is True
    assert [step.lots for step in done.booked] == [1]
    assert [left.lots for left in desk.layers(instrument)] == [2]
    assert violations(desk.store) == []
    assert desk.sent() == sent
    (trade,) = desk.store.trades(10)
    assert trade.exit_price == price
    assert desk.leave(*desk.layers(instrument)).outcome is Outcome.FILLED
    assert desk.held() == {}


def left_unknown(desk: Desk, intent: Intent) -> Intent:
    """The intent, of whose first order nobody knows whether it was sent."""

    def lost(order: OrderRequest) -> None:
        raise OutcomeUnknown("no answer")

    desk.client.before = lost
    assert desk.carrier.carry_out(intent).outcome is Outcome.UNKNOWN
    desk.client.before = nothing
    return intent


def test_the_work_goes_on_after_an_operator_has_said_which_order_it_is(desk: Desk) -> None:
    """Incident 16: an order without an answer was taken for rejected, and had filled."""
    twins: list[OrderRequest] = []

    def twice(order: OrderRequest) -> None:
        twins.append(order)
        if len(twins) == 1:
            desk.client.place_order(order)
            raise OutcomeUnknown("the connection broke after the order was sent")

    desk.client.after = twice
    intent = desk.reserve_entry(GOLD, 2)
    assert desk.carrier.carry_out(intent).outcome is Outcome.UNKNOWN
    desk.client.after = nothing
    unknown = UnknownOrders(desk.store, desk.client, desk.clock, "the operator", 1.0)
    (found,) = unknown.all()
    candidates = [row.order_id for row in found.orders if row.may_be_it]
    assert len(candidates) == 2
    unknown.resolve_as(found.order.id, candidates[0])
    done = desk.carrier.carry_out(intent)
    assert done.outcome is Outcome.FILLED
    assert desk.store.instrument_locks() == []
    assert [layer.lots for layer in desk.layers(GOLD)] == [2]
    assert len(desk.sent()) == 2


@pytest.mark.parametrize("instrument", [GOLD, BANK])
def test_an_entry_that_was_never_sent_is_not_sent_hours_later(desk: Desk, instrument: str) -> None:
    intent = left_unknown(desk, desk.reserve_entry(instrument, 2))
    desk.clock.wait(2)
    unknown = UnknownOrders(desk.store, desk.client, desk.clock, "the operator", 1.0)
    (found,) = unknown.all()
    assert found.orders == ()
    unknown.resolve_never_sent(found.order.id, "the gateway was off")
    assert unknown.all() == ()
    assert desk.carrier.carry_out(intent).outcome is Outcome.NOT_FILLED
    assert (desk.store.instrument_locks(), desk.sent(), desk.layers(instrument)) == ([], [], [])


def test_an_exit_that_was_never_sent_is_pursued(desk: Desk) -> None:
    desk.enter(GOLD, 2)
    intent = left_unknown(desk, desk.reserve_exit(*desk.layers(GOLD)))
    desk.clock.wait(2)
    unknown = UnknownOrders(desk.store, desk.client, desk.clock, "the operator", 1.0)
    unknown.resolve_never_sent(unknown.all()[0].order.id, "the gateway was off")
    assert desk.carrier.carry_out(intent).outcome is Outcome.FILLED
    assert (desk.held(), desk.store.instrument_locks()) == ({}, [])
