"""Whatever the books hold: one comparison settles the locks, and the next is a no-op."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brokers.messages import Action, Contract
from core.db_state_manager.broker_books import PositionTag
from core.reconciliation import Difference
from live.reconciliation import BROKER_DIFFERS, Reconciled
from tests.fixtures.adoption import CALL, GOLD_FUTURE, PUT, Books, open_books
from tests.fixtures.rules import BANK, GOLD
from tests.fixtures.still_broker import order_row

LOTS = {GOLD_FUTURE: 100, CALL: 30, PUT: 30}
CONTRACTS = st.sampled_from([GOLD_FUTURE, CALL, PUT])
HELD = st.fixed_dictionaries({contract: st.integers(-2, 3) for contract in LOTS})
ORDERS = st.lists(st.tuples(CONTRACTS, st.sampled_from(Action)), max_size=2)
TAGGED = st.sets(CONTRACTS, max_size=1)
TABLES = ("instrument_locks", "outbox", "portfolio_positions", "broker_orders", "order_intents")


@pytest.fixture
def books(database_url: str) -> Iterator[Books]:
    with open_books(database_url) as opened:
        yield opened


def ours_are(books: Books, gold: int, bank: int) -> None:
    """Our books hold so many lots of each."""
    books.broker.orders.clear()
    books.broker.utilised = Decimal(0)
    for contract in LOTS:
        books.store.untag_position("still", contract.exchange, contract.symbol)
    books.hold(gold, bank)
    books.adopt()


def the_brokers_are(
    books: Books,
    held: dict[Contract, int],
    orders: list[tuple[Contract, Action]],
    tagged: set[Contract],
) -> None:
    """The broker's books are what they are, whatever ours say."""
    books.broker.held = {contract: lots * LOTS[contract] for contract, lots in held.items()}
    for number, (contract, action) in enumerate(orders):
        books.broker.orders.append(order_row(f"{number}", contract, action, LOTS[contract]))
    now = books.clock.now()
    for contract in tagged:
        tag = PositionTag("still", contract.exchange, contract.symbol, "swing", "", "me", now)
        books.store.tag_position(tag)


def stored(books: Books) -> list[object]:
    return [books.store.rows(f"SELECT * FROM {table} ORDER BY 1") for table in TABLES]  # noqa: S608


def locked(books: Books) -> set[str]:
    return {lock.instrument for lock in books.store.instrument_locks()}


def compared(books: Books) -> Reconciled:
    """A comparison; an empty book has to be seen twice."""
    found = books.reconciler.run()
    return found if not found.comparison.unknown else books.reconciler.run()


def named(differences: tuple[Difference, ...]) -> set[str]:
    return {difference.instrument for difference in differences}


def test_one_comparison_settles_the_locks_and_the_next_changes_nothing(books: Books) -> None:
    @settings(suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 3), st.integers(0, 2), HELD, ORDERS, TAGGED)
    def walk(
        gold: int,
        bank: int,
        held: dict[Contract, int],
        orders: list[tuple[Contract, Action]],
        tagged: set[Contract],
    ) -> None:
        ours_are(books, gold, bank)
        the_brokers_are(books, held, orders, tagged)
        before = locked(books)
        found = compared(books)
        assert found.comparison.agrees is not None
        assert locked(books) == named(found.comparison.differences)
        assert set(found.locked) == locked(books) - before
        assert set(found.unlocked) == before - locked(books)
        settled = stored(books)
        again = books.reconciler.run()
        assert again.comparison.differences == found.comparison.differences
        assert (again.locked, again.unlocked) == ((), ())
        assert stored(books) == settled

    walk()


def test_a_comparison_without_an_answer_changes_nothing(books: Books) -> None:
    """What was locked stays so, and what was not does: silence is no agreement."""

    @settings(suppress_health_check=list(HealthCheck))
    @given(HELD, st.booleans())
    def walk(held: dict[Contract, int], is_empty: bool) -> None:
        ours_are(books, 2, 1)
        the_brokers_are(books, held, [], set())
        compared(books)
        settled = stored(books)
        books.broker.is_down = not is_empty
        if is_empty:
            books.broker.held, books.broker.utilised = {}, Decimal(90_000)
        assert books.reconciler.run().comparison.agrees is None
        books.broker.is_down = False
        assert stored(books) == settled

    walk()


def test_only_what_differs_is_locked(books: Books) -> None:
    ours_are(books, 2, 1)
    the_brokers_are(books, {GOLD_FUTURE: 2, CALL: 1, PUT: 0}, [], set())
    assert compared(books).locked == (BANK,)
    assert [(lock.instrument, lock.code) for lock in books.store.instrument_locks()] == [
        (BANK, BROKER_DIFFERS)
    ]
    the_brokers_are(books, {GOLD_FUTURE: 1, CALL: 1, PUT: -1}, [], set())
    found = compared(books)
    assert (found.locked, found.unlocked) == ((GOLD,), (BANK,))
