"""A process may die at any instruction: the next one carries on to the exposure intended."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.messages import GatewayMode, OrderRequest, TradeRow
from core.db_state_manager.invariants import violations
from core.db_state_manager.records import Intent
from core.db_state_manager.states import IntentState
from core.errors import OutcomeUnknown, Retryable
from live.order_executor import Outcome
from live.recovery import BOOKS_DISAGREE, CrashRecoveryManager
from tests.fixtures.interruption import Died, Failure, Life, otherwise
from tests.fixtures.order_desk import CATALOG, WINDOW_S, Desk, carrier_of, nothing, open_desk
from tests.fixtures.rules import BANK, GOLD

LEGS = {GOLD: 1, BANK: 2}
FREEZE_LOTS = 20


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    with open_desk(database_url, tmp_path / "paper", "--funds", "1e9") as opened:
        yield opened


def recovery(desk: Desk, owner: str = "the next process") -> CrashRecoveryManager:
    carrier = carrier_of(owner, desk.store, desk.client, desk.clock)
    return CrashRecoveryManager(desk.store, carrier, CATALOG)


def live_and_die(
    desk: Desk, intent: Intent, life: Life, missing_since_s: dict[int, float] | None = None
) -> None:
    """Carry out an intent as a thread that ends when its life does, with its process or alone."""
    store, client, memory = life.store(desk.store), life.client(desk.client), missing_since_s
    carrier = carrier_of("the first", store, client, desk.clock, missing_since_s=memory)
    carrier.carry_out(intent)


def recovered(desk: Desk) -> None:
    """Pass after pass, until nothing is left: what never arrived needs its window to pass."""
    process = recovery(desk)
    for _ in range(3):
        if not process.run().unresolved:
            return
        desk.clock.wait(WINDOW_S)
    raise AssertionError(f"still not recovered: {process.run()}")


def exposure(desk: Desk) -> dict[str, int]:
    """What the stored book says is held, by symbol, in the broker's quantity."""
    held: dict[str, int] = {}
    for instrument in (BANK, GOLD):
        lots = {layer.id: layer.lots for layer in desk.layers(instrument)}
        for position, legs in desk.store.held_legs(instrument).items():
            for leg in legs:
                sign = 1 if leg.side.value == "BUY" else -1
                quantity = sign * lots[position] * leg.quantity // leg.lots
                held[leg.symbol] = held.get(leg.symbol, 0) + quantity
    return held


def cash(desk: Desk, point_value: int) -> Decimal:
    """What the exchange's own fills paid in all, in rupees."""
    rows = desk.paper.read("api/v1/tradebook")["data"]
    return sum(
        (
            Decimal(str(row["average_price"])) * row["quantity"] * point_value
            * (1 if row["action"] == "SELL" else -1)
            for row in rows
        ),
        Decimal(0),
    )  # fmt: skip


def trading_profit(desk: Desk) -> Decimal:
    lines = desk.store.ledger(100_000)
    return sum((line.amount for line in lines if line.kind.value == "PNL"), Decimal(0))


Reserve = Callable[[], Intent]


def hold_to_the_exchange(desk: Desk, intent: Intent, orders: int, at: str) -> None:
    """The intent is done, with one order for each leg since there were `orders`; and no more."""
    assert desk.store.intent(intent.id).state is IntentState.COMPLETED, at
    slices = 2 if intent.lots > FREEZE_LOTS else 1
    assert len(desk.orders()) - orders == LEGS[intent.instrument] * slices, at
    assert desk.held() == exposure(desk), at
    assert violations(desk.store) == [], at
    assert desk.store.instrument_locks() == [], at
    assert recovery(desk).run().resumed == (), at


def dies_at_every_step(
    desk: Desk, reserve: Reserve, before: Callable[[], object], stride: int
) -> int:
    """Die at each step of what `reserve` begins, recover, and hold the books to the exchange.

    The number of steps, of which each `stride`-th is tried.
    """
    step = 1
    while True:
        before()
        orders, intent, life = len(desk.orders()), reserve(), Life(dies_at=step)
        try:
            live_and_die(desk, intent, life)
        except Died:
            recovered(desk)
        else:
            return life.steps
        hold_to_the_exchange(desk, intent, orders, f"died {life.last} (step {step})")
        step += stride


RUNS = [
    pytest.param(GOLD, GatewayMode.ANALYZE, 1, 2, id="gold"),
    pytest.param(GOLD, GatewayMode.LIVE, 2, 2, id="gold-live", marks=pytest.mark.slow),
    pytest.param(BANK, GatewayMode.ANALYZE, 3, 2, id="bank"),
    pytest.param(BANK, GatewayMode.ANALYZE, 1, 2, id="bank-each", marks=pytest.mark.slow),
    pytest.param(BANK, GatewayMode.LIVE, 1, 2, id="bank-live-each", marks=pytest.mark.slow),
    pytest.param(BANK, GatewayMode.LIVE, 1, 25, id="bank-sliced-each", marks=pytest.mark.slow),
]
RICH = ("--funds", "1e9", "--lotsize", "GOLD_MINI=1")
RUPEES = {GOLD: 10, BANK: 1}


@pytest.mark.slow
@pytest.mark.parametrize(("instrument", "mode", "stride", "lots"), RUNS)
def test_an_entry_survives_the_death_of_its_process_at_any_step(
    database_url: str, tmp_path: Path, instrument: str, mode: GatewayMode, stride: int, lots: int
) -> None:
    """Incidents 4, 16, 19: bought twice; filled and forgotten; half of it never saved."""
    with open_desk(database_url, tmp_path / "paper", *RICH, mode=mode) as desk:

        def leave_all() -> None:
            for layer in desk.layers(instrument):
                desk.leave(layer)

        def enter() -> Intent:
            return desk.reserve_entry(instrument, lots)

        assert dies_at_every_step(desk, enter, leave_all, stride) > 20
        leave_all()
        assert (desk.held(), desk.layers(instrument)) == ({}, [])
        assert trading_profit(desk) == cash(desk, RUPEES[instrument])


@pytest.mark.slow
@pytest.mark.parametrize(("instrument", "mode", "stride", "lots"), RUNS)
def test_an_exit_survives_the_death_of_its_process_at_any_step(
    database_url: str, tmp_path: Path, instrument: str, mode: GatewayMode, stride: int, lots: int
) -> None:
    with open_desk(database_url, tmp_path / "paper", *RICH, mode=mode) as desk:

        def enter() -> None:
            desk.enter(instrument, lots)

        def leave() -> Intent:
            return desk.reserve_exit(*desk.layers(instrument))

        assert dies_at_every_step(desk, leave, enter, stride) > 20
        assert (desk.held(), desk.layers(instrument)) == ({}, [])
        assert trading_profit(desk) == cash(desk, RUPEES[instrument])


FAILURES = [
    pytest.param(GOLD, False, 1, id="gold-not-done", marks=pytest.mark.slow),
    pytest.param(GOLD, True, 1, id="gold-done"),
    pytest.param(BANK, False, 3, id="bank-not-done"),
    pytest.param(BANK, False, 1, id="bank-not-done-each", marks=pytest.mark.slow),
    pytest.param(BANK, True, 1, id="bank-done-each", marks=pytest.mark.slow),
]


@pytest.mark.slow
@pytest.mark.parametrize(("instrument", "is_done", "stride"), FAILURES)
def test_a_database_that_fails_once_at_any_call_changes_nothing_in_the_end(
    desk: Desk, instrument: str, is_done: bool, stride: int
) -> None:
    """Incident 4: after the order was accepted the database failed, and it was sent again."""
    both: tuple[Reserve, ...] = (
        lambda: desk.reserve_entry(instrument, 2),
        lambda: desk.reserve_exit(*desk.layers(instrument)),
    )
    call, reached = 1, True
    while reached:
        for reserve in both:
            orders, intent = len(desk.orders()), reserve()
            failure = Failure(call, is_done=is_done)
            with suppress(Retryable, OutcomeUnknown):
                store = failure.store(desk.store)
                carrier_of("the first process", store, desk.client, desk.clock).carry_out(intent)
            recovered(desk)
            hold_to_the_exchange(desk, intent, orders, f"{failure.where} failed (call {call})")
            reached = bool(failure.where)
        call += stride
    assert call > 20


@pytest.mark.parametrize("instrument", [GOLD, BANK])
def test_any_number_of_deaths_on_the_way_come_to_the_same_end(desk: Desk, instrument: str) -> None:
    """Each thread dies like the one before it, a little further on."""
    deaths, memory = 0, dict[int, float]()
    for intent in (desk.reserve_entry(instrument, 2), None):
        working = intent or desk.reserve_exit(*desk.layers(instrument))
        for steps in range(2, 200):
            if desk.store.intent(working.id).state is IntentState.COMPLETED:
                break
            try:
                live_and_die(desk, working, Life(dies_at=steps), memory)
            except Died:
                deaths += 1
            desk.clock.wait(WINDOW_S)
        assert desk.held() == exposure(desk)
        assert violations(desk.store) == []
    assert deaths > 20
    assert desk.held() == {}
    assert len(desk.orders()) == 2 * LEGS[instrument]


def test_a_second_pass_right_after_the_first_changes_nothing(desk: Desk) -> None:
    intents = [desk.reserve_entry(GOLD, 1), desk.reserve_entry(BANK, 1)]
    for intent in intents:
        with pytest.raises(Died):
            live_and_die(desk, intent, Life(dies_at=11))
    desk.clock.wait(WINDOW_S)
    first = recovery(desk).run()
    assert [resumed.intent_id for resumed in first.ended] == [intent.id for intent in intents]
    assert {resumed.outcome for resumed in first.resumed} == {Outcome.FILLED}
    tables = ["order_intents", "order_legs", "broker_orders", "fills", "portfolio_positions"]
    tables += ["capital_transactions", "outbox", "instrument_locks", "trades"]
    before = [desk.store.rows(f"SELECT * FROM {table} ORDER BY 1") for table in tables]  # noqa: S608
    sent = desk.sent()
    assert recovery(desk).run().resumed == ()
    assert before == [
        desk.store.rows(f"SELECT * FROM {table} ORDER BY 1")  # noqa: S608
        for table in tables
    ]
    assert desk.sent() == sent


def test_an_order_that_rests_is_taken_over_and_not_sent_again(desk: Desk) -> None:
    """Incident 18: a new order for a leg only after the old one is proven dead."""
    desk.client.before = lambda order: desk.move(GOLD, 128_150)
    intent = desk.reserve_entry(GOLD, 1)

    def die(_: object, order_id: str) -> None:
        raise Died(order_id)

    client = otherwise(desk.client, "order_status", die)
    with pytest.raises(Died):
        carrier_of("the first process", desk.store, client, desk.clock).carry_out(intent)
    assert [row["order_status"] for row in desk.orders()] == ["open"]
    (resumed,) = recovery(desk).run().resumed
    assert resumed.outcome is Outcome.FILLED
    assert [row["order_status"] for row in desk.orders()] == ["complete"]
    assert desk.held() == exposure(desk)


def test_an_entry_left_behind_for_too_long_takes_on_nothing_more(desk: Desk) -> None:
    def die_at_the_put(order: OrderRequest) -> None:
        if order.contract.symbol.endswith("PE"):
            raise Died

    desk.client.before = die_at_the_put
    intent = desk.reserve_entry(BANK, 1)
    with pytest.raises(Died):
        desk.carrier.carry_out(intent)
    desk.client.before = nothing
    process = recovery(desk)
    assert process.run().unresolved
    desk.clock.wait(61)
    (resumed,) = process.run().resumed
    assert (resumed.outcome, desk.held()) == (Outcome.NOT_FILLED, {})
    assert [text.split()[0] for text in desk.sent()] == ["BUY", "SELL"]
    assert desk.store.intent(intent.id).state is IntentState.COMPLETED
    assert trading_profit(desk) == cash(desk, 1)


def test_an_exit_left_behind_overnight_is_still_an_exit(desk: Desk) -> None:
    desk.enter(GOLD, 1)
    intent = desk.reserve_exit(*desk.layers(GOLD))
    desk.clock.wait(16 * 3600)
    (resumed,) = recovery(desk).run().resumed
    assert (resumed.intent_id, resumed.outcome) == (intent.id, Outcome.FILLED)
    assert (desk.held(), desk.layers(GOLD)) == ({}, [])


@pytest.mark.parametrize("error", [Retryable("the database gave up"), KeyError("unforeseen")])
def test_one_operation_that_cannot_go_on_does_not_keep_the_others(
    desk: Desk, error: Exception
) -> None:
    stuck, other = desk.reserve_entry(BANK, 1), desk.reserve_entry(GOLD, 1)

    def fail(call: Callable[[int], object], intent_id: int) -> object:
        if intent_id == stuck.id:
            raise error
        return call(intent_id)

    store = otherwise(desk.store, "legs", fail)
    carrier = carrier_of("the next process", store, desk.client, desk.clock)
    report = CrashRecoveryManager(store, carrier, CATALOG).run()
    assert [(each.intent_id, each.outcome) for each in report.resumed] == [
        (stuck.id, None),
        (other.id, Outcome.FILLED),
    ]
    recovered(desk)
    assert desk.held() == exposure(desk)


def test_one_operation_that_is_slow_does_not_keep_the_others(desk: Desk) -> None:
    """Both are under way at once: the first waits, for as long as that takes, for the second."""
    slow, other = desk.reserve_entry(BANK, 1), desk.reserve_entry(GOLD, 1)
    other_began = threading.Event()

    def meet(call: Callable[[int], object], intent_id: int) -> object:
        if intent_id == other.id:
            other_began.set()
        assert other_began.wait(120)
        return call(intent_id)

    store = otherwise(desk.store, "legs", meet)
    carrier = carrier_of("the next process", store, desk.client, desk.clock)
    report = CrashRecoveryManager(store, carrier, CATALOG).run()
    assert [(each.intent_id, each.outcome) for each in report.resumed] == [
        (slow.id, Outcome.FILLED),
        (other.id, Outcome.FILLED),
    ]


TAMPERING = {
    "money": ("UPDATE portfolio_state SET closed_equity = closed_equity + 1", "closed equity is"),
    "lots": ("UPDATE portfolio_positions SET initial_lots = 3, lots = 3", "its legs filled 2"),
    "fill": ("UPDATE broker_orders SET filled_quantity = 30", "and its legs filled 1"),
    "legs": ("UPDATE portfolio_positions SET intent_id = NULL", "it has no legs"),
    "trades": ("UPDATE portfolio_positions SET lots = 1", "its trades leave 2"),
}


@pytest.mark.parametrize(("change", "told"), TAMPERING.values(), ids=TAMPERING)
def test_books_that_contradict_themselves_are_told_and_locked(
    desk: Desk, change: str, told: str
) -> None:
    desk.enter(BANK, 2)
    assert recovery(desk).check_invariants() == ()
    with desk.store.transaction() as cursor:
        cursor.execute(change)
    (reason,) = recovery(desk).check_invariants()
    assert told in reason
    locks = desk.store.instrument_locks()
    assert {lock.code for lock in locks} == {BOOKS_DISAGREE}
    assert BANK in {lock.instrument for lock in locks}
    assert (GOLD in {lock.instrument for lock in locks}) is ("equity" in told)


def test_more_filled_than_was_ordered_locks_the_instrument_and_is_told_once(desk: Desk) -> None:
    def doubled(real: Callable[[], tuple[TradeRow, ...]]) -> tuple[TradeRow, ...]:
        return tuple(replace(row, quantity=2 * row.quantity) for row in real())

    client = otherwise(desk.client, "tradebook", doubled)
    carrier = carrier_of("the next process", desk.store, client, desk.clock)
    desk.reserve_entry(GOLD, 1)
    for _ in range(3):
        (resumed,) = CrashRecoveryManager(desk.store, carrier, CATALOG).run().resumed
        assert resumed.outcome is None
        (lock,) = desk.store.instrument_locks()
        assert (lock.instrument, lock.code) == (GOLD, BOOKS_DISAGREE)
    kinds = [event.kind for event in desk.store.events_after(0, 1000)]
    assert (kinds.count("FILL_IMPOSSIBLE"), kinds.count("INSTRUMENT_LOCKED")) == (1, 1)
    assert len(desk.sent()) == 1
