"""What was done at the broker without us is booked, once, whole, and without an order."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brokers.messages import Action, Contract
from core.db_state_manager.broker_books import PositionTag
from core.db_state_manager.intents import DecisionRequest
from core.db_state_manager.operation_booking import BookedEvent
from core.db_state_manager.states import IntentSource
from core.errors import Rejected
from live.adopting import Terms
from live.adoption_decision import opening
from tests.fixtures.adoption import (
    CALL,
    GOLD_FUTURE,
    PRICES,
    PUT,
    STOPS,
    Books,
    open_books,
)
from tests.fixtures.database import enter, reserved_intent
from tests.fixtures.order_desk import CONTRACTS
from tests.fixtures.rules import BANK, GOLD
from tests.fixtures.still_broker import order_row

GOLD_TERMS = CONTRACTS.terms(GOLD, date(2026, 11, 23))


@pytest.fixture
def books(database_url: str) -> Iterator[Books]:
    with open_books(database_url) as opened:
        yield opened


def refused(books: Books, *position_ids: str) -> str:
    """The code of the refusal; nothing may have been booked."""
    before = books.store.held_by_fills(), books.store.money()
    with pytest.raises(Rejected) as refusal:
        books.adopt(*position_ids)
    assert (books.store.held_by_fills(), books.store.money()) == before
    return refusal.value.code


def test_lots_that_came_become_layers_whose_fills_are_their_position(books: Books) -> None:
    books.hold(gold=3, bank=2)
    adopted = books.adopt()
    assert [(step.instrument, step.is_exit, step.lots) for step in adopted.booked] == [
        (BANK, False, 2),
        (GOLD, False, 3),
    ]
    assert adopted.reconciled.comparison.agrees is True
    (layer,) = books.layers(BANK)
    assert [layer.entry_price, layer.stop, layer.atr] == [58_000, 57_000, 350]
    assert books.violations() == []


def test_lots_that_are_gone_leave_the_newest_layer_first_at_the_price_given(books: Books) -> None:
    """Incident 45: syncing booked nothing and bought again; here it books, and cannot buy."""
    books.hold(gold=3)
    books.adopt()
    books.hold(gold=5)
    books.adopt()
    assert books.lots(GOLD) == [3, 2]
    before = books.store.money().closed_equity
    books.hold(gold=2)
    (step,) = books.adopt(gold=Decimal(128_100)).booked
    assert (step.is_exit, step.lots, step.prices) == (True, 3, (Decimal(128_100),))
    assert books.lots(GOLD) == [2]
    assert books.layers(GOLD)[0].layer == 1
    # 100 points x 3 lots x Rs 10, less the charges of the exit.
    assert 2_400 < books.store.money().closed_equity - before < 3_000
    assert books.violations() == []


def test_the_layers_that_are_named_lose_their_lots_first(books: Books) -> None:
    for lots in (3, 5):
        books.hold(gold=lots)
        books.adopt()
    oldest = books.layers(GOLD)[0].id
    books.hold(gold=4)
    books.adopt(oldest)
    assert books.lots(GOLD) == [2, 2]


def test_a_synthetic_price_is_split_by_the_puts_last_price(books: Books) -> None:
    books.hold(bank=2)
    books.adopt()
    books.hold()
    (step,) = books.adopt(bank=Decimal(58_050)).booked
    assert dict(zip((leg.symbol for leg in step.legs), step.prices, strict=True)) == {
        PUT.symbol: 900,
        CALL.symbol: 950,
    }
    assert [leg.symbol for leg in step.legs] == [PUT.symbol, CALL.symbol]
    assert books.layers(BANK) == []
    assert books.violations() == []


def test_a_position_rolled_by_hand_is_an_exit_and_an_entry(books: Books) -> None:
    books.hold(gold=3)
    books.adopt()
    books.broker.held = {Contract("GOLDM05JAN27FUT", "MCX"): 300}
    adopted = books.adopt()
    assert [step.is_exit for step in adopted.booked] == [True, False]
    assert adopted.reconciled.comparison.agrees is True
    assert [layer.symbol for layer in books.layers(GOLD)] == ["GOLDM05JAN27FUT"]


def test_a_break_is_locked_and_the_lock_goes_with_the_adoption(books: Books) -> None:
    books.hold(gold=3)
    assert books.reconciler.run().locked == (GOLD,)
    assert books.adopt().reconciled.unlocked == (GOLD,)
    assert books.store.instrument_locks() == []


def test_a_second_adoption_books_nothing(books: Books) -> None:
    books.hold(gold=3, bank=1)
    books.adopt()
    held, money = books.store.held_by_fills(), books.store.money()
    assert books.adopt().booked == ()
    assert (books.store.held_by_fills(), books.store.money()) == (held, money)


def test_a_book_that_cannot_be_read_is_never_adopted(books: Books) -> None:
    """Incident 46: a failed read of the broker's book was taken for a flat account."""
    books.hold(gold=3)
    books.adopt()
    books.broker.is_down = True
    assert refused(books) == "COMPARISON_UNKNOWN"


def test_an_empty_book_is_not_adopted_while_money_is_in_use(books: Books) -> None:
    """Incident 46: an empty answer was taken for a flat account."""
    books.hold(gold=3)
    books.adopt()
    books.hold()
    books.broker.utilised = Decimal(90_000)
    assert refused(books) == "COMPARISON_UNKNOWN"
    books.broker.utilised = Decimal(0)
    books.adopt()
    assert books.layers(GOLD) == []


def test_a_leg_without_the_other_is_no_layer(books: Books) -> None:
    books.hold(bank=2)
    books.adopt()
    books.broker.held[CALL] = 0
    assert refused(books) == "CANNOT_BE_BOOKED"
    books.hold(bank=2)
    books.broker.held[CALL] = 90
    assert refused(books) == "CANNOT_BE_BOOKED"


@pytest.mark.parametrize("quantity", [-100, 250])
def test_what_cannot_be_whole_lots_held_long_is_refused(books: Books, quantity: int) -> None:
    books.hold(gold=3)
    books.adopt()
    books.broker.held[GOLD_FUTURE] = quantity
    assert refused(books) == "CANNOT_BE_BOOKED"


def test_a_strange_order_has_to_be_cancelled_first(books: Books) -> None:
    books.hold(gold=3)
    books.broker.orders.append(order_row("77", GOLD_FUTURE, Action.BUY, 100))
    assert refused(books) == "CANNOT_BE_BOOKED"


def test_nothing_is_booked_of_an_instrument_that_is_being_worked_on(books: Books) -> None:
    reserved_intent(books.store, enter(1, 1, GOLD))
    books.hold(gold=3)
    assert refused(books) == "INSTRUMENT_BUSY"


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        (Terms("why", {}, STOPS), "PRICE_NEEDED"),
        (Terms("why", PRICES, {}), "STOP_NEEDED"),
        (Terms("why", PRICES, {GOLD: Decimal(129_000)}), "STOP_NOT_BELOW_PRICE"),
        (Terms("why", {GOLD: Decimal(0)}, STOPS), "PRICE_OUT_OF_RANGE"),
    ],
)
def test_numbers_that_are_missing_or_wrong_are_asked_for(
    books: Books, terms: Terms, code: str
) -> None:
    books.hold(gold=3)
    with pytest.raises(Rejected) as refusal:
        books.adopter.adopt(terms)
    assert refusal.value.code == code
    assert books.store.held_by_fills() == ()


def test_what_is_tagged_as_somebody_elses_is_not_adopted(books: Books) -> None:
    books.hold(gold=3)
    tag = PositionTag("still", "MCX", GOLD_FUTURE.symbol, "swing", "", "me", books.clock.now())
    books.store.tag_position(tag)
    assert books.adopt().booked == ()


def test_an_exit_by_hand_is_booked_once_the_broker_holds_it_no_more(books: Books) -> None:
    for lots in (3, 5):
        books.hold(gold=lots)
        books.adopt()
    oldest = books.layers(GOLD)[0].id
    terms = Terms("sold by phone", PRICES, {}, (oldest,))
    with pytest.raises(Rejected) as refusal:
        books.adopter.manual_exit(GOLD, terms, force=False)
    assert refusal.value.code == "BROKER_STILL_HOLDS"
    books.hold(gold=2)
    adopted = books.adopter.manual_exit(GOLD, terms, force=False)
    assert adopted.reconciled.comparison.agrees is True
    assert books.lots(GOLD) == [2]


def test_a_forced_exit_is_booked_and_its_difference_locks(books: Books) -> None:
    books.hold(gold=3)
    books.adopt()
    adopted = books.adopter.manual_exit(GOLD, Terms("I know", PRICES, {}), force=True)
    assert (books.layers(GOLD), adopted.reconciled.locked) == ([], (GOLD,))


def test_an_instrument_that_cannot_be_adopted_leaves_the_others_their_turn(books: Books) -> None:
    books.hold(gold=3)
    books.broker.held[CALL] = 60
    assert refused(books) == "CANNOT_BE_BOOKED"
    only = Terms("why", PRICES, STOPS, instrument=GOLD)
    adopted = books.adopter.adopt(only)
    assert [step.instrument for step in adopted.booked] == [GOLD]
    assert adopted.reconciled.locked == (BANK,)


def test_two_adoptions_at_once_book_what_happened_once(books: Books) -> None:
    """Incident 45: a sync bought again what was there already."""
    books.hold(gold=3, bank=2)
    together = threading.Barrier(4)

    def adopt(_: int) -> str:
        together.wait()
        try:
            books.adopt()
        except Rejected as error:
            return error.code
        return "adopted"

    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(adopt, range(4)))
    assert set(ends) <= {"adopted", "BOOKS_MOVED", "COMPARISON_UNKNOWN", "INSTRUMENT_BUSY"}
    books.adopt()
    assert (books.lots(GOLD), books.lots(BANK)) == ([3], [2])
    assert books.violations() == []


def test_what_was_seen_before_somebody_else_traded_is_not_booked(books: Books) -> None:
    """Incident 47: somebody who was paused woke and acted on what he had seen before."""
    books.hold(gold=3)
    seen = books.adopter.look()
    (found,) = books.adopter.adoptable(seen)
    books.adopt()
    step = found.steps[0]
    request = DecisionRequest(GOLD, IntentSource.OPERATOR)
    decide = opening(step, "late", PRICES[GOLD], STOPS[GOLD], GOLD_TERMS)
    with pytest.raises(Rejected) as refusal:
        books.store.book_outside(
            request,
            {(GOLD_FUTURE.symbol, GOLD_FUTURE.exchange): 0},
            decide,
            lambda _: step.legs,
            {GOLD_FUTURE.symbol: PRICES[GOLD]},
            lambda *_: (),
        )
    assert refusal.value.code == "BOOKS_MOVED"
    assert books.lots(GOLD) == [3]


def test_a_booking_that_breaks_leaves_nothing_behind(books: Books) -> None:
    """Incident 45: half a sync would be carried on with as an order."""
    books.hold(gold=3)
    (found,) = books.adopter.adoptable(books.adopter.look())
    step = found.steps[0]

    def breaks(*_: object) -> Sequence[BookedEvent]:
        raise Rejected("BROKEN", "for a test")

    with pytest.raises(Rejected, match="for a test"):
        books.store.book_outside(
            DecisionRequest(GOLD, IntentSource.OPERATOR),
            {},
            opening(step, "late", PRICES[GOLD], STOPS[GOLD], GOLD_TERMS),
            lambda _: step.legs,
            {GOLD_FUTURE.symbol: PRICES[GOLD]},
            breaks,
        )
    assert books.store.active_intents() == []
    assert books.store.held_by_fills() == ()
    assert books.store.unfinished_orders() == []


TRUTHS = st.tuples(st.integers(0, 4), st.integers(0, 3))


@pytest.mark.slow
def test_one_adoption_makes_the_books_agree_and_the_next_does_nothing(books: Books) -> None:
    @settings(suppress_health_check=list(HealthCheck))
    @given(st.lists(TRUTHS, min_size=1, max_size=4))
    def walk(truths: list[tuple[int, int]]) -> None:
        books.hold()
        books.adopt()
        for gold, bank in truths:
            books.hold(gold, bank)
            assert books.adopt().reconciled.comparison.agrees is True
            assert (sum(books.lots(GOLD)), sum(books.lots(BANK))) == (gold, bank)
            assert books.adopt().booked == ()
            assert books.violations() == []
            assert books.store.instrument_locks() == []

    walk()
