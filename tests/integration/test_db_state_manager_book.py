"""The book that is loaded is the book that was booked, whatever was being done at the time."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from threading import Barrier

import psycopg2
import pytest

from core.book_events import BarClosed, BookEvent, CapitalMoved, LayerOpened, PriceMarked
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.intents import DecisionRequest, ReserveResult
from core.db_state_manager.records import LedgerLine, StopRaise
from core.db_state_manager.states import (
    ACTIVE_INTENTS,
    IntentSource,
    IntentState,
    LedgerKind,
    PositionState,
)
from core.decision import DecisionMaker, decide_stops
from core.decision_record import Decision, DecisionCode
from core.errors import Rejected, Retryable
from core.models import ContractTerms
from core.portfolio_state import PortfolioStateManager
from tests.fixtures.database import (
    MAKER,
    StillClock,
    claimed,
    close,
    database,
    enter,
    entered,
    later,
    left,
    one_leg,
    reserve,
    reserved_intent,
    sent_order,
    untraded,
)
from tests.fixtures.rules import (
    BANK,
    CAPITAL,
    GOLD,
    MORNING,
    add,
    base_entry,
    book,
    config,
    opened,
    reduced,
    row,
    terms,
)

FINE_ATR = Decimal("251.123456789012345")
GOLD_BASE = opened(instrument=GOLD, lots=7, price="78000.5", point_value=10, lot_size=100)
ADDED = opened(layer=2, lots=5, price=50_500, initial_stop=50_300, close=50_500, charges="99.01")


def follow(manager: DatabaseStateManager, events: Sequence[BookEvent]) -> PortfolioStateManager:
    """The same events in memory and in the database; the book in memory."""
    memory = book(capital=CAPITAL)
    for event in events:
        if isinstance(event, LayerOpened):
            entered(manager, event)
        elif isinstance(event, CapitalMoved):
            manager.move_capital(event.amount, "", "operator")
        elif isinstance(event, BarClosed | PriceMarked):
            note(manager, event)
        else:
            raise TypeError(event)
        memory.apply(event)
    return memory


def note(manager: DatabaseStateManager, event: BarClosed | PriceMarked) -> None:
    request = DecisionRequest(event.instrument, IntentSource.STOP)
    manager.decide_and_reserve(request, lambda held: held.apply(event), one_leg)


@pytest.mark.parametrize(
    "events",
    [
        [],
        [opened(charges="205.50")],
        [opened(), ADDED, GOLD_BASE],
        [opened(), BarClosed(BANK, Decimal(50_700), FINE_ATR, Decimal(50_100))],
        [PriceMarked(GOLD, Decimal("78000.25"), FINE_ATR)],
        [CapitalMoved(Decimal("-1250000.75"), MORNING), opened(symbol="BANKNIFTY27JAN26FUT")],
    ],
    ids=["nothing", "one layer", "three layers", "a closed bar", "a price", "a withdrawal"],
)
def test_the_loaded_book_is_the_book_in_memory(database_url: str, events: list[BookEvent]) -> None:
    memory = follow(database(database_url), events)
    assert untraded(database(database_url).load_book()) == untraded(memory)


def test_a_whole_life_of_layers_comes_out_alike(database_url: str) -> None:
    """Incidents 37 and 38: a profit of zero is booked, and the next trade has rows of its own."""
    manager = database(database_url)
    memory = follow(manager, [opened(charges="205.50"), ADDED])
    base, top = memory[BANK].layers
    exits = [
        reduced(base, 4, "50500.05", charges="77.77"),
        reduced(top, 5, 50_500, charges=0),
        reduced(base, 6, 49_790, charges="80.10", reason="STOP_HIT"),
    ]
    booked = [trade for event in exits for trade in left(manager, event).trades]
    assert booked == [memory.reduce_layer(event) for event in exits]
    assert booked[1].gross_pnl == 0
    assert untraded(manager.load_book()) == untraded(memory)
    second = entered(manager, opened(time=later(90)))
    assert second.id == "BANK_NIFTY/2/Long_1"
    assert untraded(manager.load_book()) == untraded(follow_on(memory))
    assert [item.id for item in manager.positions(9)] == [
        "BANK_NIFTY/2/Long_1",
        "BANK_NIFTY/1/Long_2",
        "BANK_NIFTY/1/Long_1",
    ]
    assert [item.net_pnl for item in reversed(manager.trades(9))] == [
        trade.net_pnl for trade in booked
    ]


def follow_on(memory: PortfolioStateManager) -> PortfolioStateManager:
    memory.open_layer(opened(time=later(90)))
    return memory


def test_the_ledgers_sum_is_the_equity(database_url: str) -> None:
    manager = database(database_url)
    base = entered(manager, opened(charges="205.50", price="50000.12345678"))
    left(manager, reduced(base, 3, "50333.33333333", charges="61.05"))
    rows = manager.ledger(100)
    money = manager.money()
    assert sum(row.amount for row in rows) == money.closed_equity == rows[0].equity_after
    assert -sum(row.amount for row in rows if row.kind is LedgerKind.CHARGES) == money.charges
    # (50,333.33333333 - 50,000.12345678) x 3 x 30 = 29,988.88889 less the charges
    assert money.closed_equity == CAPITAL + Decimal("29988.89") - Decimal("266.55")
    assert money.equity_high == money.closed_equity


def test_equity_high_follows_the_net_and_never_the_gross(database_url: str) -> None:
    manager = database(database_url)
    base = entered(manager, opened())
    left(manager, reduced(base, 10, 50_001, charges=400))  # +300 gross, -100 net
    assert manager.money().equity_high == CAPITAL


def test_starting_again_changes_no_money(database_url: str) -> None:
    """Incidents 34 and 39: equity_high was overwritten, capital came from the command line."""
    manager = database(database_url)
    base = entered(manager, opened())
    left(manager, reduced(base, 5, 50_400))
    left(manager, reduced(base, 5, 49_700))
    before = manager.money()
    assert before.equity_high > before.closed_equity
    again = database(database_url, capital=Decimal(9_999_999))
    again.load_book()
    assert (again.money(), again.load_book().equity_high) == (before, before.equity_high)
    assert not again.open_ledger(Decimal(1), "operator")
    assert len(again.ledger(100)) == len(manager.ledger(100)) == 6


def test_only_one_of_many_first_starts_books_the_deposit(database_url: str) -> None:
    manager = database(database_url, capital=None)
    with ThreadPoolExecutor(4) as threads:
        booked = list(threads.map(lambda _: manager.open_ledger(CAPITAL, "operator"), range(4)))
    assert sorted(booked) == [False, False, False, True]
    assert manager.money().closed_equity == CAPITAL


def test_capital_moves_both_ways_but_not_below_nothing(database_url: str) -> None:
    manager = database(database_url)
    assert manager.move_capital(Decimal(500_000), "more", "operator").equity_high == 5_500_000
    money = manager.move_capital(Decimal(-5_500_000), "all", "operator")
    assert row(money.closed_equity, money.equity_high) == (0, 0)
    with pytest.raises(Rejected, match=r"0\.01 asked, 0\.00 realised"):
        manager.move_capital(Decimal("-0.01"), "too much", "operator")
    assert [item.kind for item in manager.ledger(9)] == ["WITHDRAW", "DEPOSIT", "DEPOSIT"]


def test_equity_snapshots_are_kept_for_the_curve(database_url: str) -> None:
    manager = database(database_url)
    manager.record_equity(Decimal("1234.5"))
    (point,) = manager.equity_page(9, MORNING)
    assert (point.at, point.closed_equity, point.open_pnl) == (MORNING, CAPITAL, Decimal("1234.5"))
    assert manager.equity_page(9, later(1)) == []
    manager.record_equity(Decimal(5), apart_s=60)
    assert len(manager.equity_page(9, MORNING)) == 1


@pytest.mark.parametrize("state", [state for state in PositionState if state != "closed"])
def test_a_layer_in_any_open_state_is_loaded(database_url: str, state: PositionState) -> None:
    """Incident 35: positions in status `closing` vanished at a restart."""
    manager = database(database_url)
    base = entered(manager, opened())
    with manager.transaction() as cursor:
        cursor.execute("UPDATE portfolio_positions SET state = %s", (state,))
    assert list(manager.load_book().layers()) == [base]


@pytest.mark.parametrize("state", ACTIVE_INTENTS)
def test_an_entry_in_any_active_state_is_reserved(database_url: str, state: IntentState) -> None:
    manager = database(database_url)
    intent = reserved_intent(manager, enter(10, 1))
    with manager.transaction() as cursor:
        cursor.execute("UPDATE order_intents SET state = %s", (state,))
    (held,) = manager.load_book().reserved(BANK)
    assert row(held.intent_id, held.lots, held.margin) == (str(intent.id), 10, 2_700_000)
    assert [found.state for found in manager.active_intents()] == [state]


def test_an_exit_in_flight_keeps_its_layer_and_reserves_nothing(database_url: str) -> None:
    manager = database(database_url)
    base = entered(manager, opened())
    intent = reserved_intent(manager, close(base))
    held = database(database_url).load_book()
    assert (list(held.layers()), held.reserved(BANK)) == ([base], [])
    assert manager.open_positions()[0].state is PositionState.CLOSING
    assert manager.cancel_intent(intent.id, "nothing filled")
    assert manager.open_positions()[0].state is PositionState.OPEN


def test_an_exit_filled_in_part_leaves_the_rest_open(database_url: str) -> None:
    manager = database(database_url)
    base = entered(manager, opened())
    left(manager, reduced(base, 4, 50_100))
    (held,) = manager.open_positions()
    assert (held.lots, held.initial_lots, held.state) == (6, 10, PositionState.OPEN)


def test_a_book_of_an_instrument_that_is_not_configured_is_not_opened(database_url: str) -> None:
    entered(database(database_url), GOLD_BASE)
    only_bank = {BANK: MAKER.stops[BANK]}
    manager = DatabaseStateManager(database_url, 1, StillClock(), only_bank)
    with pytest.raises(Rejected, match="GOLD_MINI, which is not configured"):
        manager.load_book()


def test_a_base_entry_cannot_overwrite_the_layer_that_is_held(database_url: str) -> None:
    """Incident 13: BASE_ENTRY while already in a position overwrote Long_1."""
    manager = database(database_url)
    base = entered(manager, opened())
    request = DecisionRequest(BANK, IntentSource.SIGNAL)
    found = manager.decide_and_reserve(
        request, lambda held: MAKER.decide(base_entry(), held, terms()), one_leg
    )
    assert found.decision is not None
    assert found.decision.code is DecisionCode.ALREADY_IN_POSITION
    # And where the rule is not asked, the booking refuses, and nothing of it stays.
    intent = reserved_intent(manager, enter())
    with pytest.raises(Rejected, match="layer 1 is not above 1"):
        manager.complete_intent(intent.id, [opened(time=later(5), charges=500)])
    assert list(manager.load_book().layers()) == [base]
    assert manager.money().closed_equity == CAPITAL
    assert manager.intent(intent.id).state is IntentState.RESERVED


def test_a_booking_repeated_is_booked_once(database_url: str) -> None:
    manager = database(database_url)
    intent = reserved_intent(manager, enter())
    assert not manager.complete_intent(intent.id, [opened(charges=10)]).repeated
    before = (untraded(manager.load_book()), manager.ledger(9), manager.events_after(0, 99))
    assert manager.complete_intent(intent.id, [opened(charges=10)]).repeated
    assert (untraded(manager.load_book()), manager.ledger(9), manager.events_after(0, 99)) == before


def test_an_unwound_leg_costs_money_and_opens_nothing(database_url: str) -> None:
    manager = database(database_url)
    intent = reserved_intent(manager, enter())
    beside = [
        LedgerLine(LedgerKind.CHARGES, Decimal("-120.25"), "unwound"),
        LedgerLine(LedgerKind.PNL, Decimal("-1980"), "unwound"),
    ]
    manager.complete_intent(intent.id, [], beside)
    assert manager.money().closed_equity == CAPITAL - Decimal("2100.25")
    assert list(manager.load_book().layers()) == []
    assert manager.load_book().reserved(BANK) == []


def test_a_booking_that_fails_leaves_nothing_of_itself(database_url: str) -> None:
    manager = database(database_url)
    base = entered(manager, opened())
    intent = reserved_intent(manager, close(base))
    before = untraded(manager.load_book())
    exits = [reduced(base, 4, 50_100), reduced(base, 7, 50_100)]  # 7 of the 6 that are left
    with pytest.raises(Rejected, match="7 lots asked, 6 held"):
        manager.complete_intent(intent.id, exits)
    assert untraded(manager.load_book()) == before
    assert manager.trades(9) == []


def test_stops_are_raised_unless_somebody_was_quicker(database_url: str) -> None:
    manager = database(database_url)
    entered(manager, opened())
    (held,) = manager.open_positions()
    raised = StopRaise(held.id, FINE_ATR + 49_800, Decimal(50_400), held.version)
    assert manager.raise_stops([raised]) == ()
    assert manager.raise_stops([replace(raised, stop=Decimal(49_900))]) == (held.id,)
    (layer,) = manager.load_book().layers()
    assert row(layer.stop, layer.highest_close) == (FINE_ATR + 49_800, 50_400)


def test_a_closed_bar_keeps_its_stops_and_closes_what_it_hit(database_url: str) -> None:
    manager = database(database_url)
    entered(manager, opened())
    seen = later(30)

    def bar(held: PortfolioStateManager) -> Decision | None:
        hit = held.close_bar(BANK, Decimal(49_700), FINE_ATR, Decimal(49_600))
        return decide_stops(BANK, hit)

    work = claimed(manager, base_entry(bar_time=seen))
    request = DecisionRequest(BANK, IntentSource.STOP, work.id)
    found = manager.decide_and_reserve(request, bar, one_leg)
    assert found.result is ReserveResult.RESERVED
    assert found.intent is not None
    assert found.intent.decision.code is DecisionCode.STOP_HIT
    held = manager.load_book()
    assert row(held[BANK].price, held[BANK].atr) == (49_700, FINE_ATR)
    assert manager.open_positions()[0].state is PositionState.CLOSING


TIGHT = config(portfolio={"max_margin_pct": "60"})


def roomy_for_one(instrument: str) -> ContractTerms:
    """₹27 lakh a lot against a cap of ₹30 lakh: one lot of one instrument."""
    return terms(instrument=instrument, margin_floor_inr=2_700_000)


@pytest.mark.parametrize("attempt", range(20))
def test_two_instruments_deciding_at_once_keep_the_caps(database_url: str, attempt: int) -> None:
    manager = database(database_url)
    maker = DecisionMaker(TIGHT)
    together = Barrier(2)

    def decide(instrument: str) -> ReserveResult:
        alert = base_entry(instrument=instrument, bar_time=MORNING + timedelta(minutes=attempt))
        request = DecisionRequest(instrument, IntentSource.SIGNAL)
        together.wait()
        return manager.decide_and_reserve(
            request,
            lambda held: maker.decide(alert, held, roomy_for_one(instrument)),
            one_leg,
        ).result

    with ThreadPoolExecutor(2) as threads:
        results = sorted(threads.map(decide, [BANK, GOLD]))
    assert results == [ReserveResult.NOTHING, ReserveResult.RESERVED]
    assert manager.load_book().account(TIGHT.equity_basis).margin_reserved == 2_700_000


def test_one_operation_at_a_time_whoever_asks(database_url: str) -> None:
    """Incident 33: a second exit arrived while the first was running."""
    manager = database(database_url, pool_size=8)
    base = entered(manager, opened())
    together = Barrier(8)

    def exit_(_: int) -> ReserveResult:
        together.wait()
        return reserve(manager, close(base)).result

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(exit_, range(8)))
    assert sorted(results) == [ReserveResult.BUSY] * 7 + [ReserveResult.RESERVED]
    (active,) = manager.active_intents()
    busy = reserve(manager, close(base))
    assert (busy.result, busy.intent, busy.decision) == (ReserveResult.BUSY, active, None)
    assert reserve(manager, enter(instrument=GOLD)).result is ReserveResult.RESERVED


def test_what_a_busy_instrument_would_have_decided_leaves_no_trace(database_url: str) -> None:
    manager = database(database_url)
    base = entered(manager, opened())
    reserve(manager, close(base))
    before = untraded(manager.load_book())

    def bar(held: PortfolioStateManager) -> Decision | None:
        return decide_stops(BANK, held.close_bar(BANK, Decimal(1), FINE_ATR, Decimal(1)))

    request = DecisionRequest(BANK, IntentSource.STOP)
    assert manager.decide_and_reserve(request, bar, one_leg).result is ReserveResult.BUSY
    assert untraded(manager.load_book()) == before


def test_a_signal_that_is_handled_again_finds_its_intent(database_url: str) -> None:
    """Incident 4: the handler crashed after the order; the resend bought a second time."""
    manager = database(database_url)
    work = claimed(manager, base_entry())
    first = reserve(manager, enter(), work.id)
    again = reserve(manager, enter(3), work.id)
    assert (again.result, again.intent) == (ReserveResult.EXISTING, first.intent)
    assert first.intent is not None
    manager.complete_intent(first.intent.id, [opened()])
    assert reserve(manager, enter(3), work.id).result is ReserveResult.EXISTING
    assert len(list(manager.load_book().layers())) == 1


def test_a_cancelled_attempt_may_be_followed_by_another(database_url: str) -> None:
    manager = database(database_url)
    work = claimed(manager, base_entry())
    first = reserve(manager, enter(), work.id).intent
    assert first is not None
    assert manager.cancel_intent(first.id, "no quote")
    assert not manager.cancel_intent(first.id, "no quote")
    assert reserve(manager, enter(), work.id).result is ReserveResult.RESERVED


def test_a_refusal_is_audited_and_reserves_nothing(database_url: str) -> None:
    manager = database(database_url)
    work = claimed(manager, add())
    request = DecisionRequest(BANK, IntentSource.SIGNAL, work.id)
    found = manager.decide_and_reserve(
        request, lambda held: MAKER.decide(add(), held, terms()), one_leg
    )
    assert (found.result, found.intent) == (ReserveResult.NOTHING, None)
    journey = manager.journey(work.id)
    assert journey is not None
    assert found.decision is not None
    assert [item.code for item in journey.audit] == [found.decision.code]
    assert len(journey.audit[0].detail["gates"]) == len(found.decision.gates) > 0


def test_a_leader_that_was_replaced_cannot_trade(database_url: str) -> None:
    """Incident 47: a leader paused for a minute woke and traded beside the new one."""
    manager = database(database_url)
    old = manager.begin_leadership("one")
    new = manager.begin_leadership("two")
    with pytest.raises(Rejected, match=f"epoch {old} does not lead any more; {new} does"):
        reserve(manager, enter(), epoch=old)
    assert manager.active_intents() == []
    assert reserve(manager, enter(), epoch=new).result is ReserveResult.RESERVED


def test_an_intent_does_not_end_while_its_orders_may_fill(database_url: str) -> None:
    manager = database(database_url)
    intent = reserved_intent(manager, enter())
    order = sent_order(manager, intent)
    with pytest.raises(Rejected, match="1 orders of intent"):
        manager.cancel_intent(intent.id, "no answer")
    with pytest.raises(Rejected, match="1 orders of intent"):
        manager.complete_intent(intent.id, [opened()])
    manager.book_fill(order, 300, Decimal(50_000))
    with pytest.raises(Rejected, match="has fills: complete it"):
        manager.cancel_intent(intent.id, "no answer")
    manager.complete_intent(intent.id, [opened()])
    assert manager.active_intents() == []


def test_a_failure_of_the_decision_itself_reserves_nothing(database_url: str) -> None:
    manager = database(database_url)

    def decide(held: PortfolioStateManager) -> Decision | None:
        held.mark(PriceMarked(BANK, Decimal(1), Decimal(1)))
        raise Retryable("the broker's margin call timed out")

    with pytest.raises(Retryable, match="margin call"):
        manager.decide_and_reserve(DecisionRequest(BANK, IntentSource.SIGNAL), decide, one_leg)
    assert manager.load_book()[BANK].price is None


def test_money_has_one_row(database_url: str) -> None:
    with (
        pytest.raises(psycopg2.errors.CheckViolation),
        database(database_url).transaction() as cursor,
    ):
        cursor.execute("INSERT INTO portfolio_state (id) VALUES (2)")
