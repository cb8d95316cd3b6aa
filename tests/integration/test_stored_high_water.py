"""The stored equity_high: raised once an operation, where the book in memory raises it too."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from core.book_events import LayerReduced
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.capital import book_lines
from core.db_state_manager.intents import Completion
from core.db_state_manager.records import LedgerLine
from core.db_state_manager.states import LedgerKind
from core.models import Position
from tests.fixtures.database import (
    close,
    database,
    enter,
    entered,
    reserved_intent,
    untraded,
)
from tests.fixtures.rules import BANK, CAPITAL, MORNING, book, opened, reduced, row

LAYERS = (
    opened(charges="205.50"),
    opened(layer=2, price=53_800, initial_stop=53_300, close=53_800, charges="99.01"),
    opened(layer=3, lots=4, price=52_900, initial_stop=52_700, close=52_900, charges="0.01"),
)
EXIT_PRICE = 52_800  # +8,40,000, -3,00,000 and -12,000


def unwound(profit: int) -> list[LedgerLine]:
    return [
        LedgerLine(LedgerKind.CHARGES, Decimal(-100), "unwound"),
        LedgerLine(LedgerKind.PNL, Decimal(profit), "unwound"),
    ]


def all_left(
    manager: DatabaseStateManager,
    layers: Sequence[Position],
    events: Sequence[LayerReduced],
    beside: Sequence[LedgerLine] = (),
) -> Completion:
    intent = reserved_intent(manager, close(*layers))
    return manager.complete_intent(intent.id, events, beside)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_it_is_that_of_memory_in_any_order_of_the_closes(
    database_url: str, order: tuple[int, ...]
) -> None:
    manager, memory = database(database_url), book()
    memory.replay(LAYERS)
    layers = [entered(manager, event) for event in LAYERS]
    events = [
        reduced(layers[place], layers[place].lots, EXIT_PRICE, charges="77.77", more_follow=True)
        for place in order
    ]
    events[-1] = replace(events[-1], more_follow=False)
    all_left(manager, layers, events)
    memory.replay(events)
    assert untraded(manager.load_book()) == untraded(memory)
    # 8,40,000 - 3,00,000 - 12,000, less 304.52 for the entries and 233.31 for the exit
    assert manager.money().equity_high == CAPITAL + 528_000 - Decimal("537.83")


def test_a_book_that_lost_keeps_its_high_whatever_its_first_close_earned(database_url: str) -> None:
    manager = database(database_url)
    layers = [entered(manager, event) for event in LAYERS[:2]]
    won, lost = reduced(layers[0], 10, 50_400, more_follow=True), reduced(layers[1], 10, 52_000)
    all_left(manager, layers, [won, lost])
    money = manager.money()
    assert row(money.equity_high, money.closed_equity) == (CAPITAL, Decimal("4579695.49"))


def test_what_an_operation_lost_beside_its_layers_is_no_high(database_url: str) -> None:
    manager = database(database_url)
    base = entered(manager, opened())
    all_left(manager, [base], [reduced(base, 10, 51_000)], unwound(-50_000))
    money = manager.money()
    assert row(money.equity_high, money.closed_equity) == (5_249_900, 5_249_900)


def test_a_profit_on_an_unwound_leg_alone_raises_it(database_url: str) -> None:
    manager = database(database_url)
    intent = reserved_intent(manager, enter(instrument=BANK))
    manager.complete_intent(intent.id, [], unwound(1_000))
    assert manager.money().equity_high == CAPITAL + 900


def test_a_line_of_the_ledger_moves_it_only_where_money_is_put_in_or_taken(
    database_url: str,
) -> None:
    manager = database(database_url)
    with manager.transaction() as cursor:
        book_lines(cursor, unwound(1_000), MORNING)
    money = manager.money()
    assert row(money.closed_equity, money.equity_high) == (5_000_900, 5_000_000)
    for amount, high in ((250_000, 5_250_000), (-1_000_000, 4_250_000)):
        assert manager.move_capital(Decimal(amount), "moved", "operator").equity_high == high
