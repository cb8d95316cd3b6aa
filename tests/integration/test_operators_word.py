"""What an operator says of an order or a position holds at a real exchange, and sends nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from brokers.messages import Action, Contract, GatewayMode, OrderRequest
from brokers.openalgo_client import OpenAlgoClient
from core.charges import ChargeSchedule
from core.db_state_manager.invariants import violations
from core.db_state_manager.records import Intent
from core.errors import OutcomeUnknown, Rejected
from live.adopting import Adopter, Terms
from live.order_executor import Outcome
from live.reconciliation import Reconciler
from live.unknown_orders import UnknownOrders
from tests.fixtures.interruption import otherwise
from tests.fixtures.order_desk import CATALOG, CONTRACTS, Desk, carrier_of, nothing, open_desk
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


def unheard(desk: Desk) -> OpenAlgoClient:
    """The client, whose cancels and modifies get no answer and do not arrive."""

    def fail(call: object, *told: object) -> None:
        raise OutcomeUnknown("no reply")

    return otherwise(otherwise(desk.client, "cancel_order", fail), "modify_order", fail)


def test_an_order_that_the_recovery_has_found_meanwhile_is_not_called_never_sent(
    desk: Desk,
) -> None:
    """While an operator's word is held against the books, the recovery looks at them as well."""

    def lost(order: OrderRequest) -> None:
        raise OutcomeUnknown("the connection broke after the order was sent")

    desk.enter(GOLD, 2)
    intent = desk.reserve_exit(*desk.layers(GOLD))
    desk.client.before = lambda order: desk.move(GOLD, 120_000)
    desk.client.after = lost
    assert desk.carrier.carry_out(intent).outcome is Outcome.UNKNOWN
    desk.client.before = desk.client.after = nothing
    desk.clock.wait(2)
    recovery = carrier_of("the recovery", desk.store, unheard(desk), desk.clock)

    def meanwhile(call: Callable[[], object]) -> object:
        assert recovery.carry_out(intent, 1).outcome is Outcome.UNKNOWN
        return call()

    (order,) = desk.store.unfinished_orders()
    client = otherwise(desk.client, "tradebook", meanwhile)
    unknown = UnknownOrders(desk.store, client, desk.clock, "the operator", 1.0)
    with pytest.raises(Rejected) as refused:
        unknown.resolve_never_sent(order.id, "the gateway was off")
    assert refused.value.code == "ORDER_NAMED"
    assert desk.carrier.carry_out(intent).outcome is Outcome.FILLED
    assert (desk.held(), desk.layers(GOLD)) == ({}, [])
    assert [row["order_status"] for row in desk.orders()][1:] == ["cancelled", "complete"]


def left_without_an_end(desk: Desk) -> Intent:
    """An exit whose order rests at the broker, and of which a cancel tells nothing."""
    desk.enter(GOLD, 2)
    intent = desk.reserve_exit(*desk.layers(GOLD))
    desk.client.before = lambda order: desk.move(GOLD, 120_000)
    deaf = carrier_of("the first process", desk.store, unheard(desk), desk.clock)
    assert deaf.carry_out(intent).outcome is Outcome.UNKNOWN
    desk.client.before = nothing
    return intent


def next_session(desk: Desk) -> None:
    """09:30 of the next day, on which the books show nothing of the former one's orders."""
    desk.clock.wait(24 * 3600)
    desk.paper.read("control/clock", {"at": desk.clock.now().isoformat()})


def test_an_order_with_a_name_is_ended_by_a_word_once_its_session_is_over(desk: Desk) -> None:
    """A day's order dies with its day, and no book of the next one shows it."""
    intent = left_without_an_end(desk)
    unknown = UnknownOrders(desk.store, desk.client, desk.clock, "the operator", 1.0)
    (order,) = desk.store.unfinished_orders()
    with pytest.raises(Rejected, match="cancel it there"):
        unknown.resolve_never_sent(order.id, "it is gone")
    next_session(desk)
    desk.move(GOLD, 120_000)
    assert desk.carrier.carry_out(intent).outcome is Outcome.UNKNOWN
    unknown.resolve_never_sent(order.id, "the broker's app shows it lapsed, unfilled")
    assert desk.carrier.carry_out(intent).outcome is Outcome.FILLED
    assert (desk.held(), desk.layers(GOLD)) == ({}, [])
    assert desk.store.instrument_locks() == []
