"""Positions move to the next contract whole, in a safe order, and no money is lost on the way."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.messages import Contract, GatewayMode, OrderRequest, SymbolInfo
from brokers.openalgo_client import OpenAlgoClient
from brokers.openalgo_http import GatewayAddress
from brokers.rate_limit import TokenBucket
from core.db_state_manager.intents import DecisionRequest
from core.db_state_manager.invariants import violations
from core.db_state_manager.states import ControlState, IntentAction, IntentSource, IntentState
from core.decision_record import LayerClose
from core.errors import Rejected
from core.instruments import InstrumentCatalog
from core.ist import IST
from live.expiry_utils import ContractChooser
from live.launcher.children import LOOPBACK
from live.order_executor import Outcome
from live.reconciliation import Reconciler
from tests.fixtures.database import close
from tests.fixtures.interruption import otherwise
from tests.fixtures.order_desk import (
    CATALOG,
    CONTRACTS,
    WINDOW_S,
    Desk,
    carrier_of,
    nothing,
    open_desk,
)
from tests.fixtures.own_port import OwnPort
from tests.fixtures.paper_faults import PaperFaults
from tests.fixtures.rolling import (
    FAR,
    IN_WINDOW,
    NEAR,
    enter_near,
    go_to,
    money_in_fills,
    profit_booked,
    reserve_roll,
    roll,
    rollover_of,
)
from tests.fixtures.rules import BANK, GOLD
from tests.integration.test_recovery import exposure

RICH = ("--funds", "1e9", "--lotsize", "GOLD_MINI=1")
RUPEES = {GOLD: 10, BANK: 1}
EACH_LEG = [(GOLD, 0), (GOLD, 1), (BANK, 0), (BANK, 1), (BANK, 2), (BANK, 3)]
BOTH = pytest.mark.parametrize("instrument", [GOLD, BANK])
NEAR_CALL, NEAR_PUT = "BANKNIFTY29DEC2658500CE", "BANKNIFTY29DEC2658500PE"
FAR_CALL, FAR_PUT = "BANKNIFTY25JAN2758500CE", "BANKNIFTY25JAN2758500PE"
NEAR_GOLD, FAR_GOLD = "GOLDM04DEC26FUT", "GOLDM05JAN27FUT"
LEGS = {GOLD: [NEAR_GOLD, FAR_GOLD], BANK: [NEAR_PUT, NEAR_CALL, FAR_CALL, FAR_PUT]}


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    with open_desk(database_url, tmp_path / "paper", *RICH) as opened:
        yield opened


def due(desk: Desk, instrument: str) -> None:
    """Two layers, and the day on which they are to be rolled."""
    go_to(desk, IN_WINDOW[instrument])
    enter_near(desk, instrument, 3)
    enter_near(desk, instrument, 2, layer=2)


def books_agree(desk: Desk) -> None:
    """Books, fills and exchange say the same, and the money is that of the fills."""
    assert desk.held() == exposure(desk)
    assert violations(desk.store) == []
    reconciled = Reconciler(desk.store, desk.client, "paper", CATALOG, desk.clock).look()
    assert (reconciled.unknown, reconciled.differences) == ("", ())


def money_is_that_of_the_fills(desk: Desk, instrument: str) -> None:
    """All is closed, and what was earned is what the fills paid; charges are no profit."""
    if layers := desk.layers(instrument):
        desk.leave(*layers)
    assert desk.held() == {}
    assert profit_booked(desk) == money_in_fills(desk, RUPEES[instrument])
    ledger = sum((line.amount for line in desk.store.ledger(100_000)), Decimal(0))
    assert desk.store.money().closed_equity == ledger


def told(desk: Desk, kind: str) -> list[dict[str, Any]]:
    return [event.payload for event in desk.store.events_after(0, 10_000) if event.kind == kind]


@BOTH
def test_all_layers_are_rolled_as_one_operation_in_a_safe_order(
    desk: Desk, instrument: str
) -> None:
    """Incident 27: gold was rolled as 300 "lots" of another exchange."""
    due(desk, instrument)
    before, sent = desk.layers(instrument), len(desk.sent())
    intent = roll(desk, instrument)
    assert (intent.action, intent.state) == (IntentAction.ROLL, IntentState.COMPLETED)
    quantity = 5 * (1 if instrument == GOLD else 30)
    sides = ["SELL", "BUY"] if instrument == GOLD else ["BUY", "SELL", "BUY", "SELL"]
    assert desk.sent()[sent:] == [
        f"{side} {quantity} {symbol}" for side, symbol in zip(sides, LEGS[instrument], strict=True)
    ]
    for old, new in zip(before, desk.layers(instrument), strict=True):
        assert (new.id, new.lots, new.trade_no) == (old.id, old.lots, old.trade_no)
        assert (new.initial_lots, new.entry_time) == (old.initial_lots, old.entry_time)
        assert new.entry_price != old.entry_price
        moved = new.entry_price - old.entry_price
        levels = (new.stop, new.initial_stop, new.highest_close)
        assert levels == tuple(
            level + moved for level in (old.stop, old.initial_stop, old.highest_close)
        )
    rows = desk.store.rolls(10)
    assert {row.position_id for row in rows} == {layer.id for layer in before}
    charges = [line for line in desk.store.ledger(100) if line.notes == "roll"]
    assert sum(line.amount for line in charges) == -sum(row.charges for row in rows)
    assert [line.intent_id for line in charges] == [intent.id, intent.id]
    books_agree(desk)
    money_is_that_of_the_fills(desk, instrument)


@BOTH
def test_an_exit_after_a_roll_sells_what_is_held(desk: Desk, instrument: str) -> None:
    """Incident 26: exits named the contract of the day and not the one that is held."""
    due(desk, instrument)
    roll(desk, instrument)
    sent = len(desk.sent())
    base, _ = desk.layers(instrument)
    assert desk.leave(base).outcome is Outcome.FILLED
    assert all(FAR[instrument] in text for text in desk.sent()[sent:])
    books_agree(desk)
    money_is_that_of_the_fills(desk, instrument)


def test_the_result_of_a_rolled_layer_is_that_of_all_its_contracts(desk: Desk) -> None:
    """Incident 56: 34,200 was booked for 36,000 after the entry had been written over."""
    due(desk, GOLD)
    desk.move(GOLD, 129_000)
    roll(desk, GOLD)
    desk.move(GOLD, 128_600)
    desk.leave(*desk.layers(GOLD))
    trades = desk.store.trades(10)
    gross = sum((trade.gross_pnl for trade in trades), Decimal(0))
    costs = sum((trade.charges for trade in trades), Decimal(0))
    assert gross == money_in_fills(desk, 10)
    lines = desk.store.ledger(100)
    assert costs == -sum(line.amount for line in lines if line.kind.value == "CHARGES")
    assert gross - costs == desk.store.money().closed_equity - 5_000_000


def test_a_position_is_rolled_as_often_as_its_contract_ends(desk: Desk) -> None:
    """Incident 55: what had been rolled once was never rolled again."""
    go_to(desk, datetime(2026, 9, 25, 10, 0, tzinfo=IST))
    desk.enter(GOLD, 2)
    desk.enter(GOLD, 1, layer=2)
    contracts = [set(desk.held())]
    first = desk.layers(GOLD)
    for price, moment in (
        (128_300, datetime(2026, 10, 29, 11, 0, tzinfo=IST)),
        (127_700, datetime(2026, 11, 27, 11, 0, tzinfo=IST)),
        (128_900, datetime(2026, 12, 28, 11, 0, tzinfo=IST)),
    ):
        desk.move(GOLD, price)
        go_to(desk, moment)
        assert roll(desk, GOLD).state is IntentState.COMPLETED
        contracts.append(set(desk.held()))
        books_agree(desk)
        again = rollover_of(desk).execute(GOLD, "a second time", dry_run=False)
        assert again == ()
    assert contracts == [
        {"GOLDM05NOV26FUT"},
        {"GOLDM04DEC26FUT"},
        {"GOLDM05JAN27FUT"},
        {"GOLDM05FEB27FUT"},
    ]
    assert len(desk.store.rolls(100, first[0].id)) == 3
    assert [layer.r_points for layer in desk.layers(GOLD)] == [layer.r_points for layer in first]
    money_is_that_of_the_fills(desk, GOLD)


def test_layers_of_different_strikes_come_to_one_strike(desk: Desk) -> None:
    go_to(desk, IN_WINDOW[BANK])
    enter_near(desk, BANK, 3)
    enter_near(desk, BANK, 1, layer=2, strike=59_000)
    desk.move(BANK, 58_600)
    roll(desk, BANK)
    assert set(desk.held()) == {"BANKNIFTY25JAN2759000CE", "BANKNIFTY25JAN2759000PE"}
    assert [layer.lots for layer in desk.layers(BANK)] == [3, 1]
    books_agree(desk)
    money_is_that_of_the_fills(desk, BANK)


def test_a_layer_that_is_in_the_next_contract_already_stays_as_it_is(desk: Desk) -> None:
    go_to(desk, IN_WINDOW[GOLD])
    enter_near(desk, GOLD, 2)
    desk.enter(GOLD, 1, layer=2)
    before = desk.layers(GOLD)[1]
    roll(desk, GOLD)
    assert [row.position_id for row in desk.store.rolls(10)] == ["GOLD_MINI/1/Long_1"]
    assert desk.layers(GOLD)[1] == before
    assert desk.held() == {FAR_GOLD: 3}
    money_is_that_of_the_fills(desk, GOLD)


def test_a_dry_run_shows_everything_and_sends_nothing(desk: Desk) -> None:
    due(desk, BANK)
    sent = desk.sent()
    (tried,) = rollover_of(desk).execute(None, "to look", dry_run=True)
    plan = tried.plan
    assert plan is not None
    assert (tried.result, tried.intent_id, desk.sent()) == ("PLANNED", None, sent)
    assert [leg.symbol for leg in (*plan.closes, *plan.opens)] == LEGS[BANK]
    assert {quote.symbol for quote in plan.quotes} == set(LEGS[BANK])
    assert plan.basis == plan.rolls[0].far_price - plan.rolls[0].near_price > 0
    assert plan.spread_inr > 0
    assert plan.far_margin is not None
    assert desk.store.active_intents() == []


# What keeps a roll from being begun


@BOTH
def test_a_contract_that_is_not_listed_is_told_once_and_tried_again(
    desk: Desk, instrument: str
) -> None:
    """Incident 52: "the next expiry" was the same one again."""
    due(desk, instrument)
    faults = PaperFaults(desk.paper)
    number = faults.set("contract_absent", symbol=LEGS[instrument][-1])
    epoch = desk.store.begin_leadership("leader")
    job = rollover_of(desk, retry_min=15).job()
    for _ in range(3):
        job.run(epoch)
        desk.clock.wait(16 * 60)
    assert len(told(desk, "ROLL_REFUSED")) == 1
    assert desk.store.active_intents() == []
    faults.clear(number)
    job.run(epoch)
    assert [intent.action for intent in desk.store.active_intents()] == [IntentAction.ROLL]


Client = Callable[[Desk], Any]
REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "illiquid": ({"min_open_interest": 50_000}, "ILLIQUID"),
    "dear": ({"max_cost_pct": Decimal("0.0001")}, "TOO_DEAR"),
    "disabled": ({"enabled": False}, "ROLLOVER_DISABLED"),
}


@pytest.mark.parametrize(("changes", "code"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_not_tradable_enough_is_refused_with_a_code(
    desk: Desk, changes: dict[str, Any], code: str
) -> None:
    due(desk, GOLD)
    (tried,) = rollover_of(desk, **changes).execute(GOLD, "a test", dry_run=False)
    assert (tried.result, tried.code) == ("REFUSED", code)
    assert told(desk, "ROLL_REFUSED")[0]["code"] == code
    assert desk.held() == {NEAR_GOLD: 5}


def test_where_no_open_interest_is_told_that_is_said_and_gone_on_with(desk: Desk) -> None:
    due(desk, GOLD)
    rollover = rollover_of(desk)
    planner, quotes = rollover.planner, desk.client.quotes

    def untold(contracts: Any) -> Any:
        found = quotes(contracts)
        return {
            each: replace(quote, open_interest=None, volume=None) for each, quote in found.items()
        }

    desk.client.quotes = untold  # type: ignore[method-assign]
    plan = planner.plan(GOLD, [each for each in rollover.scanner.scan() if each.step != "KEEP"])
    assert plan.notes == (f"neither open interest nor volume of {FAR_GOLD} is told",)


def test_without_money_for_the_next_contract_nothing_is_begun(
    database_url: str, tmp_path: Path
) -> None:
    options = ("--lotsize", "GOLD_MINI=1", "--funds", "1000000")
    with open_desk(database_url, tmp_path / "paper", *options) as desk:
        go_to(desk, IN_WINDOW[GOLD])
        enter_near(desk, GOLD, 5)
        funds, margin = desk.client.funds, desk.client.margin
        desk.client.funds = lambda: replace(funds(), available_cash_inr=Decimal(10))  # type: ignore[method-assign]

        def dearer(legs: Any) -> Any:
            asked = margin(legs)
            is_far = any(leg.contract.symbol == FAR_GOLD for leg in legs)
            return replace(asked, total_inr=asked.total_inr * (2 if is_far else 1))

        desk.client.margin = dearer  # type: ignore[method-assign]
        (tried,) = rollover_of(desk).execute(GOLD, "a test", dry_run=False)
        assert (tried.result, tried.code) == ("REFUSED", "MARGIN")
        assert desk.held() == {NEAR_GOLD: 5}
        assert told(desk, "ROLL_REFUSED")


@pytest.mark.parametrize("state", [ControlState.REDUCING, ControlState.HALTED])
def test_while_nothing_may_be_opened_nothing_is_rolled(desk: Desk, state: ControlState) -> None:
    due(desk, GOLD)
    desk.store.set_control(state, "a test", "operator")
    (tried,) = rollover_of(desk).execute(GOLD, "a test", dry_run=False)
    assert (tried.result, desk.held()) == ("REFUSED", {NEAR_GOLD: 5})


CLOSED = {
    "night": datetime(2026, 11, 27, 23, 56, tzinfo=IST),
    "too late for it": datetime(2026, 11, 27, 23, 45, tzinfo=IST),
    "weekend": datetime(2026, 11, 28, 12, 0, tzinfo=IST),
}


@pytest.mark.parametrize("moment", CLOSED.values(), ids=CLOSED)
def test_a_roll_begins_in_session_hours_with_time_left(desk: Desk, moment: datetime) -> None:
    due(desk, GOLD)
    go_to(desk, moment)
    rollover_of(desk).job().run(desk.store.begin_leadership("leader"))
    assert desk.store.active_intents() == []


def test_in_a_year_that_is_not_published_nothing_is_rolled_and_that_is_told(desk: Desk) -> None:
    """GOLDM05FEB27 is due from 28 January 2027 on and closed on 2 February at 18:00."""
    go_to(desk, datetime(2027, 1, 20, 10, 0, tzinfo=IST))
    desk.enter(GOLD, 3)
    epoch, job = desk.store.begin_leadership("leader"), rollover_of(desk).job()
    go_to(desk, datetime(2027, 1, 28, 8, 0, tzinfo=IST))
    job.run(epoch)
    assert told(desk, "ROLL_REFUSED") == []
    go_to(desk, datetime(2027, 1, 28, 10, 0, tzinfo=IST))
    job.run(epoch)
    (refused,) = told(desk, "ROLL_REFUSED")
    assert (refused["expiry"], refused["code"]) == ("2027-02-05", "OUTSIDE_COVERAGE")
    assert desk.store.active_intents() == []
    go_to(desk, datetime(2027, 2, 2, 18, 0, tzinfo=IST))
    job.run(epoch)
    assert [intent.action for intent in desk.store.active_intents()] == [IntentAction.EXIT]


# What ends a roll on its way


@BOTH
def test_two_leaders_begin_one_roll(desk: Desk, instrument: str) -> None:
    """A leader that was followed begins nothing, and the one that follows begins it once."""
    due(desk, instrument)
    old, new = (desk.store.begin_leadership(name) for name in ("old", "new"))
    for epoch in (old, new, new, old):
        with pytest.raises(Rejected, match="does not lead") if epoch == old else nullcontext():
            rollover_of(desk).job().run(epoch)
    (intent,) = desk.store.active_intents()
    assert intent.epoch == new
    desk.carrier.carry_out(intent)
    rollover_of(desk).job().run(new)
    assert desk.store.active_intents() == []
    assert len(desk.store.rolls(10)) == 2
    books_agree(desk)


LOST = ["reply_lost", "error_after", "error_before", "request_lost"]


@pytest.mark.slow
@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize(("instrument", "place"), EACH_LEG)
def test_a_reply_that_is_lost_on_any_leg_is_looked_for_and_never_sent_again(
    database_url: str, tmp_path: Path, instrument: str, place: int, fault: str
) -> None:
    with open_desk(database_url, tmp_path / "paper", *RICH, mode=GatewayMode.LIVE) as desk:
        due(desk, instrument)
        intent, orders = reserve_roll(desk, instrument), len(desk.orders())
        faults = PaperFaults(desk.paper)
        faults.set(fault, endpoint="placeorder", symbol=LEGS[instrument][place], times=1)
        for _ in range(4):
            if desk.carrier.carry_out(intent).outcome is not Outcome.UNKNOWN:
                break
            desk.clock.wait(WINDOW_S)
        assert faults.struck() == [fault]
        assert len(desk.orders()) - orders == len(LEGS[instrument])
        assert all(FAR[instrument] in symbol for symbol in desk.held())
        books_agree(desk)
        money_is_that_of_the_fills(desk, instrument)


@pytest.mark.parametrize("place", [0, 1])
def test_near_that_fills_in_parts_is_chased_until_all_of_it_is_closed(
    desk: Desk, place: int
) -> None:
    due(desk, BANK)
    pieces = [{"quantity": 60}]
    PaperFaults(desk.paper).set("partial_fill", pieces=pieces, symbol=LEGS[BANK][place], times=1)
    assert roll(desk, BANK).state is IntentState.COMPLETED
    assert desk.held() == {FAR_CALL: 150, FAR_PUT: -150}
    books_agree(desk)
    money_is_that_of_the_fills(desk, BANK)


def refuse(desk: Desk, *symbols: str) -> None:
    """Refuse every opening of these contracts at the broker's door."""

    def refused(order: OrderRequest) -> None:
        opens = ("BUY", FAR_CALL), ("SELL", FAR_PUT), ("BUY", FAR_GOLD)
        is_opening = (order.action.value, order.contract.symbol) in opens
        if is_opening and order.contract.symbol in symbols:
            raise Rejected("REFUSED", "not today")

    desk.client.before = refused


@pytest.mark.parametrize(
    ("instrument", "symbol"), [(GOLD, FAR_GOLD), (BANK, FAR_CALL), (BANK, FAR_PUT)]
)
def test_what_cannot_be_opened_again_is_closed_and_told(
    desk: Desk, instrument: str, symbol: str
) -> None:
    due(desk, instrument)
    refuse(desk, symbol)
    intent = reserve_roll(desk, instrument)
    done = desk.carrier.carry_out(intent)
    assert desk.store.intent(intent.id).state is IntentState.COMPLETED
    assert (desk.held(), desk.layers(instrument)) == ({}, [])
    reasons = {trade.reason for trade in desk.store.trades(10)}
    assert len(reasons) == 1
    assert reasons.pop().startswith("ROLL_CLOSED: ")
    assert done.completion is not None
    assert sum(trade.lots for trade in done.completion.trades) == 5
    assert sum(told(desk, "ROLL_CLOSED")[0]["lots"].values()) == 5
    money_is_that_of_the_fills(desk, instrument)


def test_a_market_that_has_moved_away_is_not_followed(desk: Desk) -> None:
    due(desk, GOLD)
    intent = reserve_roll(desk, GOLD)

    def jump(order: OrderRequest) -> None:
        if order.contract.symbol == NEAR_GOLD:
            desk.client.after = nothing
            desk.move(GOLD, 129_500)

    desk.client.after = jump
    done = desk.carrier.carry_out(intent)
    assert (desk.held(), desk.layers(GOLD)) == ({}, [])
    assert "moved by" in done.reason
    money_is_that_of_the_fills(desk, GOLD)


def test_lots_that_were_not_had_again_are_closed_from_the_newest_layer(desk: Desk) -> None:
    due(desk, GOLD)
    pieces = [{"quantity": 4}]
    PaperFaults(desk.paper).set("partial_fill", pieces=pieces, symbol=FAR_GOLD, times=1)
    intent = reserve_roll(desk, GOLD)

    def once(order: OrderRequest) -> None:
        if order.contract.symbol == FAR_GOLD:
            refuse(desk, FAR_GOLD)

    desk.client.before = once
    desk.carrier.carry_out(intent)
    assert desk.held() == {FAR_GOLD: 4}
    assert [layer.lots for layer in desk.layers(GOLD)] == [3, 1]
    books_agree(desk)
    money_is_that_of_the_fills(desk, GOLD)


def stop_after(desk: Desk, symbol: str, act: Callable[[], object]) -> None:
    """Do something as soon as an order of `symbol` was sent."""

    def acts(order: OrderRequest) -> None:
        if order.contract.symbol == symbol:
            desk.client.after = nothing
            act()

    desk.client.after = acts


@pytest.mark.parametrize(("instrument", "place"), EACH_LEG)
def test_a_roll_that_an_exit_calls_off_holds_nothing_half(
    desk: Desk, instrument: str, place: int
) -> None:
    """Whatever leg it has come to: near is closed and not opened again, or all is far."""
    due(desk, instrument)
    intent = reserve_roll(desk, instrument)
    stop_after(desk, LEGS[instrument][place], lambda: desk.store.request_cancel(intent.id))
    desk.carrier.carry_out(intent)
    assert desk.store.intent(intent.id).state is IntentState.COMPLETED
    is_far = len(LEGS[instrument]) == place + 1
    assert bool(desk.held()) is is_far
    assert bool(desk.layers(instrument)) is is_far
    books_agree(desk)
    money_is_that_of_the_fills(desk, instrument)


def test_a_roll_that_is_called_off_before_its_first_leg_leaves_everything_as_it_is(
    desk: Desk,
) -> None:
    due(desk, BANK)
    before = desk.layers(BANK)
    intent = reserve_roll(desk, BANK)
    assert desk.store.request_cancel(intent.id)
    sent = desk.sent()
    assert desk.carrier.carry_out(intent).outcome is Outcome.NOT_FILLED
    assert desk.store.intent(intent.id).state is IntentState.CANCELLED
    assert (desk.sent(), desk.layers(BANK)) == (sent, before)
    assert [row.state.value for row in desk.store.open_positions()] == ["open", "open"]


def test_layers_that_are_being_rolled_say_so(desk: Desk) -> None:
    due(desk, BANK)
    intent = reserve_roll(desk, BANK)
    assert [row.state.value for row in desk.store.open_positions()] == ["rolling", "rolling"]
    assert len(desk.layers(BANK)) == 2
    reconciler = Reconciler(desk.store, desk.client, "paper", CATALOG, desk.clock)
    assert reconciler.look().busy == (BANK,)
    desk.carrier.carry_out(intent)
    assert [row.state.value for row in desk.store.open_positions()] == ["open", "open"]


@pytest.mark.slow
@BOTH
def test_a_stop_in_the_middle_of_a_roll_opens_nothing_more(desk: Desk, instrument: str) -> None:
    """REDUCING lets what is begun be closed, and the next contract not be opened."""
    due(desk, instrument)
    intent = reserve_roll(desk, instrument)

    def reduce() -> None:
        desk.store.set_control(ControlState.REDUCING, "a test", "operator")

    stop_after(desk, LEGS[instrument][0], reduce)
    desk.carrier.carry_out(intent)
    assert (desk.held(), desk.layers(instrument)) == ({}, [])
    money_is_that_of_the_fills(desk, instrument)


FORBIDDEN: dict[str, Callable[[Desk, str], object]] = {
    "reducing": lambda desk, _: desk.store.set_control(ControlState.REDUCING, "a test", "operator"),
    "halted": lambda desk, _: desk.store.set_control(ControlState.HALTED, "a test", "operator"),
    "locked": lambda desk, name: desk.store.lock_instrument(
        name, "BROKER_DIFFERS", "a test", "operator"
    ),
}


@pytest.mark.parametrize("forbid", FORBIDDEN.values(), ids=FORBIDDEN)
@BOTH
def test_what_may_not_be_opened_again_any_more_is_not_closed(
    desk: Desk, instrument: str, forbid: Callable[[Desk, str], object]
) -> None:
    due(desk, instrument)
    intent, held = reserve_roll(desk, instrument), desk.held()
    forbid(desk, instrument)
    sent = len(desk.sent())
    assert desk.carrier.carry_out(intent).outcome is Outcome.NOT_FILLED
    assert desk.store.intent(intent.id).state is IntentState.CANCELLED
    assert (desk.held(), len(desk.sent())) == (held, sent)
    assert [row.state.value for row in desk.store.open_positions()] == ["open", "open"]


# The end of a contract


DEADLINES = {
    "gold before its tender": (GOLD, datetime(2026, 12, 1, 18, 0, tzinfo=IST)),
    "bank the day before it expires": (BANK, datetime(2026, 12, 28, 14, 45, tzinfo=IST)),
    "bank on its expiry day": (BANK, datetime(2026, 12, 29, 9, 20, tzinfo=IST)),
    "gold in its tender": (GOLD, datetime(2026, 12, 2, 9, 5, tzinfo=IST)),
}


@pytest.mark.parametrize(("instrument", "moment"), DEADLINES.values(), ids=DEADLINES)
def test_what_was_not_rolled_in_time_is_closed_and_told(
    desk: Desk, instrument: str, moment: datetime
) -> None:
    due(desk, instrument)
    go_to(desk, moment)
    epoch = desk.store.begin_leadership("leader")
    job = rollover_of(desk).job()
    job.run(epoch)
    (intent,) = desk.store.active_intents()
    assert (intent.action, intent.epoch) == (IntentAction.EXIT, epoch)
    desk.carrier.carry_out(intent)
    assert (desk.held(), desk.layers(instrument)) == ({}, [])
    assert NEAR[instrument].title() in told(desk, "ROLL_HARD_EXIT")[0]["reason"]
    job.run(epoch)
    assert desk.store.active_intents() == []
    money_is_that_of_the_fills(desk, instrument)


def test_a_minute_before_its_time_is_over_a_contract_is_rolled(desk: Desk) -> None:
    due(desk, GOLD)
    go_to(desk, datetime(2026, 12, 1, 17, 59, tzinfo=IST))
    rollover_of(desk).job().run(desk.store.begin_leadership("leader"))
    assert [intent.action for intent in desk.store.active_intents()] == [IntentAction.ROLL]


def test_a_hard_exit_calls_off_a_roll_that_is_late(desk: Desk) -> None:
    due(desk, GOLD)
    go_to(desk, datetime(2026, 12, 1, 17, 59, tzinfo=IST))
    epoch, job = desk.store.begin_leadership("leader"), rollover_of(desk).job()
    job.run(epoch)
    (late,) = desk.store.active_intents()
    desk.clock.wait(90)
    job.run(epoch)
    assert desk.store.cancel_requested(late.id)
    assert desk.carrier.carry_out(late).outcome is Outcome.NOT_FILLED
    job.run(epoch)
    (intent,) = desk.store.active_intents()
    assert intent.action is IntentAction.EXIT
    desk.carrier.carry_out(intent)
    assert desk.held() == {}


def test_a_hard_exit_that_is_refused_is_told_though_the_roll_was_refused_for_the_same(
    desk: Desk,
) -> None:
    """The gateway is away all day; told before noon, nobody would know that the time is over."""
    due(desk, GOLD)
    port = OwnPort()
    address = GatewayAddress(f"http://{LOOPBACK}:{port.number}", "nobody", 10, 10, 10)
    bucket = TokenBucket(desk.clock)
    away = OpenAlgoClient(address, GatewayMode.ANALYZE, desk.clock, bucket, desk.clock.wait)
    epoch, job = desk.store.begin_leadership("leader"), rollover_of(desk, client=away).job()
    for moment in (time(10, 0), time(17, 0), time(18, 31), time(18, 59), time(19, 40)):
        go_to(desk, datetime.combine(date(2026, 12, 1), moment, IST))
        job.run(epoch)
    away.close()
    port.close()
    assert [each["step"] for each in told(desk, "ROLL_REFUSED")] == ["ROLL", "EXIT", "EXIT"]
    assert desk.held() == {NEAR_GOLD: 5}


def test_a_contract_that_expired_unseen_keeps_no_other_from_its_end(desk: Desk) -> None:
    """The master does not know it any more; what is held in the next one is closed in time."""
    enter_near(desk, GOLD, 1)
    go_to(desk, datetime(2026, 11, 30, 10, 0, tzinfo=IST))
    desk.enter(GOLD, 2, layer=2)
    assert desk.held() == {NEAR_GOLD: 1, FAR_GOLD: 2}
    go_to(desk, datetime(2026, 12, 30, 18, 30, tzinfo=IST))
    rollover_of(desk).job().run(desk.store.begin_leadership("leader"))
    (intent,) = desk.store.active_intents()
    assert desk.carrier.carry_out(intent).outcome is Outcome.FILLED
    assert [layer.layer for layer in desk.layers(GOLD)] == [1]
    (refused,) = told(desk, "ROLL_REFUSED")
    assert NEAR_GOLD in refused["reason"]


def test_a_contract_that_is_not_due_is_left_alone(desk: Desk) -> None:
    desk.enter(BANK, 1)
    desk.enter(GOLD, 1)
    found = rollover_of(desk).scanner.scan()
    assert {(each.instrument, each.expiry, each.step.value) for each in found} == {
        (BANK, date(2026, 12, 29), "KEEP"),
        (GOLD, date(2026, 12, 4), "KEEP"),
    }
    assert rollover_of(desk).execute(None, "a test", dry_run=False) == ()


# A lot of another size


LARGER: Any = {
    BANK: {
        "lots": [
            {"from": "2027-01-01", "value": 35, "source": "a test", "confidence": "H"},
        ]
    }
}


@pytest.mark.parametrize(("lots", "kept"), [((6, 9), [5, 7]), ((7, 1), [6])])
def test_a_larger_lot_never_makes_more_exposure(
    desk: Desk, lots: tuple[int, int], kept: list[int]
) -> None:
    """Incident 41: 30 became 35 units a lot; whole lots are kept, and the rest is realised."""
    go_to(desk, IN_WINDOW[BANK])
    for number, count in enumerate(lots, 1):
        enter_near(desk, BANK, count, layer=number)
    before = {layer.id: layer for layer in desk.layers(BANK)}

    def listed(symbol: Callable[[Contract], SymbolInfo], contract: Contract) -> SymbolInfo:
        info = symbol(contract)
        return replace(info, lot_size=35) if FAR[BANK] in contract.symbol else info

    client = otherwise(desk.client, "symbol", listed)
    rollover = rollover_of(desk, client=client, catalog=InstrumentCatalog.shipped(LARGER))
    (tried,) = rollover.execute(BANK, "a test", dry_run=False)
    assert tried.intent_id is not None, tried
    carrier = carrier_of("who knows the new lots", desk.store, client, desk.clock)
    carrier.carry_out(desk.store.intent(tried.intent_id))
    after = desk.layers(BANK)
    assert [layer.lots for layer in after] == kept
    for layer in after:
        old = before[layer.id]
        assert (layer.lot_size, int(layer.point_value)) == (35, 35)
        assert layer.lots * 35 <= old.lots * 30
        assert layer.initial_risk <= old.initial_risk
    assert desk.held() == {FAR_CALL: 35 * sum(kept), FAR_PUT: -35 * sum(kept)}
    assert violations(desk.store) == []
    held = desk.store.held_legs(BANK)
    closes = [LayerClose(layer.id, layer.layer, layer.lots) for layer in after]
    legs = ContractChooser(CONTRACTS, CATALOG, client).exit_legs(held, closes)
    decision = close(*after)
    request = DecisionRequest(BANK, IntentSource.SIGNAL)
    intent = desk.store.decide_and_reserve(request, lambda _: decision, lambda _: legs).intent
    assert intent is not None
    carrier.carry_out(intent)
    money_is_that_of_the_fills(desk, BANK)
