"""Reads wait for their turn at each endpoint, and longer after each answer of too many."""

import pytest

from brokers.read_budget import ReadBudget
from tests.fixtures.hand_clock import HandClock


def test_each_endpoint_has_its_own_reads_in_any_second() -> None:
    clock = HandClock()
    budget = ReadBudget(clock, 3)
    assert [budget.take("orderbook") for _ in range(4)] == [0, 0, 0, 1]
    assert budget.take("quotes") == 0
    clock.wait(2)
    assert budget.take("orderbook") == 0


def test_an_answer_of_too_many_doubles_the_pause_until_one_that_is_none() -> None:
    clock = HandClock()
    budget = ReadBudget(clock)
    pauses = []
    for _ in range(6):
        budget.told("quotes", too_many=True)
        pauses.append(budget.take("quotes"))
        assert budget.take("orderbook") == 0
        clock.wait(pauses[-1])
    assert pauses == [0.5, 1, 2, 4, 4, 4]
    budget.told("quotes", too_many=False)
    assert budget.take("quotes") == 0
    budget.told("quotes", too_many=True)
    assert budget.take("quotes") == pytest.approx(0.5)
