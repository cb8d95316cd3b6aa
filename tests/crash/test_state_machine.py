"""Any order of alerts, faults, deaths and interventions ends as the exchange truly is, or is told.

The rules are in `tests.fixtures.trading_machine`, what must hold after each of them in
`tests.fixtures.trading_invariants`. What the search has found is told in
`tests/crash/test_found_by_search.py`, one test each.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from brokers.messages import GatewayMode
from live.embedded import EmbeddedServers
from tests.fixtures.rules import BANK, GOLD
from tests.fixtures.servers import folder_for_all, fresh_database
from tests.fixtures.trading_machine import MakeWorld, TradingMachine
from tests.fixtures.trading_world import TradingWorld

_RULES_A_RUN = 25
# A run takes one to two seconds on two quiet cores.
RUNS, MANY_RUNS = 40, 120


@pytest.fixture
def worlds(
    postgres: EmbeddedServers, migrated_template: str
) -> Iterator[Callable[[str], MakeWorld]]:
    """Makes worlds of an instrument; the database of one is gone when the next is made."""
    opened = ExitStack()

    def of(instrument: str) -> MakeWorld:
        def make(mode: GatewayMode, execution: dict[str, object]) -> TradingWorld:
            opened.close()
            dsn = opened.enter_context(fresh_database(postgres, migrated_template))
            folder = opened.enter_context(folder_for_all())
            return TradingWorld(dsn, folder / "paper", instrument, mode, execution)

        return make

    with opened:
        yield of


def search(make_world: MakeWorld, runs: int) -> None:
    """Let anything happen, so many times; the shortest way to a failure is shown."""
    machine = type("Anything", (TradingMachine,), {"make_world": staticmethod(make_world)})
    wanted = settings(
        max_examples=runs,
        stateful_step_count=_RULES_A_RUN,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    run_state_machine_as_test(machine, settings=wanted)


def test_whatever_happens_to_one_leg_ends_as_it_truly_is(
    worlds: Callable[[str], MakeWorld],
) -> None:
    search(worlds(GOLD), RUNS)


def test_whatever_happens_to_two_legs_ends_as_it_truly_is(
    worlds: Callable[[str], MakeWorld],
) -> None:
    search(worlds(BANK), RUNS)


@pytest.mark.slow
@pytest.mark.parametrize("instrument", [GOLD, BANK])
def test_a_long_search_finds_nothing_either(
    worlds: Callable[[str], MakeWorld], instrument: str
) -> None:
    search(worlds(instrument), MANY_RUNS)
