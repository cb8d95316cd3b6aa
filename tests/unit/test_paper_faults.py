"""The faults of the paper exchange as data: which calls they strike, and how they are told."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from brokers.paper_exchange.calls import Answer, Subject
from brokers.paper_exchange.clock import ExchangeClock
from brokers.paper_exchange.fault_answers import INSTEAD
from brokers.paper_exchange.fault_events import EVENTS, FATES
from brokers.paper_exchange.fault_lies import LIES
from brokers.paper_exchange.fault_plan import FaultPlan
from brokers.paper_exchange.fault_schemas import read_fault, read_scenario
from brokers.paper_exchange.fault_store import FaultStore
from brokers.paper_exchange.faults import EVERY, KINDS, STREAM, FaultName, Rule
from brokers.paper_exchange.orders import Action
from brokers.paper_exchange.stream_faults import CONNECTIONS, UPDATES
from core.errors import InputInvalid
from tests.fixtures.paper_account import CALL, SUNDAY

BANK_CALL = Subject(frozenset({CALL}), frozenset({"BANK_NIFTY"}), Action.BUY)
NOTHING_NAMED = Subject()


@pytest.fixture
def plan(tmp_path: Path) -> FaultPlan:
    return FaultPlan(FaultStore(tmp_path), ExchangeClock(SUNDAY))


def nothing(_: object) -> dict[str, Any]:
    return {}


def strikes_of(plan: FaultPlan, calls: int) -> list[list[str]]:
    """For each of so many placed orders, the faults that struck it."""
    told = []
    for _ in range(calls):
        call = plan.receive("placeorder", {}, BANK_CALL)
        struck = [fault for fault in plan.picks(call) if plan.claim(fault)]
        for fault in struck:
            plan.struck(fault, call, "test")
        told.append([fault.name.value for fault in struck])
    return told


def test_every_fault_has_a_kind_and_an_effect() -> None:
    assert set(KINDS) == set(FaultName)
    of_calls = INSTEAD.keys() | EVENTS.keys() | FATES.keys() | LIES.keys()
    assert set(FaultName) == of_calls | UPDATES.keys() | set(CONNECTIONS)
    for kind in KINDS.values():
        assert {*kind.endpoints, *kind.usual} <= {*EVERY, STREAM}


@pytest.mark.parametrize(
    ("rule", "struck"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"call": 3}, [3]),
        ({"from_call": 4}, [4, 5, 6]),
        ({"until_call": 2}, [1, 2]),
        ({"from_call": 2, "until_call": 5, "times": 2}, [2, 3]),
        ({"times": 1}, [1]),
        ({"probability": 0}, []),
        ({"symbol": CALL, "side": "BUY", "instrument": "BANK_NIFTY", "call": 2}, [2]),
        ({"symbol": "BANKNIFTY29DEC2658000PE"}, []),
        ({"side": "SELL"}, []),
        ({"instrument": "GOLD_MINI"}, []),
        ({"endpoint": "cancelorder"}, []),
    ],
)
def test_a_rule_picks_its_calls(plan: FaultPlan, rule: dict[str, Any], struck: list[int]) -> None:
    plan.add({"fault": "reply_lost", **rule}, nothing)
    told = strikes_of(plan, 6)
    assert [number for number, names in enumerate(told, start=1) if names] == struck


def test_a_call_that_names_nothing_fits_every_rule(plan: FaultPlan) -> None:
    narrow = {"symbol": CALL, "side": "SELL", "instrument": "BANK_NIFTY"}
    plan.add({"fault": "books_down", **narrow}, nothing)
    assert len(plan.picks(plan.receive("orderbook", {}, NOTHING_NAMED))) == 1


@given(st.integers(0, 10**9), st.floats(0, 1), st.integers(1, 10**6))
def test_chance_is_the_same_whenever_it_is_asked(
    seed: int, probability: float, number: int
) -> None:
    rule = Rule(seed=seed, probability=probability)
    assert rule.strikes(number, "reply_lost") == rule.strikes(number, "reply_lost")
    assert not Rule(seed=seed, probability=0.0).strikes(number, "reply_lost")
    assert Rule(seed=seed, probability=1.0).strikes(number, "reply_lost")


def test_chance_strikes_about_as_often_as_it_says_and_otherwise_with_another_seed() -> None:
    def struck(seed: int) -> list[bool]:
        rule = Rule(seed=seed, probability=0.3)
        return [rule.strikes(number, "reply_lost") for number in range(1, 2001)]

    assert 500 < sum(struck(7)) < 700
    assert struck(7) != struck(8)


def test_the_same_faults_and_calls_give_the_same_strikes_also_over_a_restart(
    tmp_path: Path,
) -> None:
    rows = [
        {"fault": "reply_lost", "probability": 0.4, "seed": 7},
        {"fault": "error_after", "probability": 0.5, "seed": 7, "times": 6},
        {"fault": "slow_after", "seconds": 0, "from_call": 9, "times": 3},
    ]

    def opened(name: str) -> FaultPlan:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return FaultPlan(FaultStore(folder), ExchangeClock(SUNDAY))

    whole, broken = opened("whole"), opened("broken")
    for row in rows:
        whole.add(row, nothing)
        broken.add(row, nothing)
    before = strikes_of(broken, 13)
    again = opened("broken")
    assert before + strikes_of(again, 27) == strikes_of(whole, 40)


def test_what_a_fault_found_nothing_to_do_about_is_not_one_of_its_times(plan: FaultPlan) -> None:
    fault = plan.add({"fault": "reply_lost", "times": 1}, nothing)
    assert plan.claim(fault)
    assert not plan.claim(fault)
    plan.give_back(fault)
    assert plan.claim(fault)


def test_a_cleared_fault_strikes_no_more_and_stays_on_record(tmp_path: Path) -> None:
    store = FaultStore(tmp_path)
    plan = FaultPlan(store, ExchangeClock(SUNDAY))
    first = plan.add({"fault": "reply_lost"}, nothing)
    second = plan.add({"fault": "error_after"}, nothing)
    assert strikes_of(plan, 1) == [["reply_lost", "error_after"]]
    plan.clear(first.number)
    assert strikes_of(plan, 1) == [["error_after"]]
    plan.clear()
    assert strikes_of(plan, 1) == [[]]
    assert not plan.claim(second)
    assert FaultPlan(store, ExchangeClock(SUNDAY)).is_empty
    assert [(each.is_cleared, each.strikes) for each in store.faults()] == [(True, 1), (True, 2)]


def test_the_key_is_never_on_record(tmp_path: Path) -> None:
    store = FaultStore(tmp_path)
    plan = FaultPlan(store, ExchangeClock(SUNDAY))
    call = plan.receive("placeorder", {"apikey": "secret", "quantity": 30}, BANK_CALL)
    plan.done(call, Answer({"status": "success", "orderid": "7"}))
    (row,) = store.calls()
    assert row["asked"] == {"quantity": 30}
    assert (row["accepted"], row["orderid"], row["status"]) == (True, "7", None)


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ({"fault": "earthquake"}, "fault"),
        ({}, "fault"),
        ({"fault": "reply_lost", "endpoint": "basketorder"}, "endpoint"),
        ({"fault": "books_down", "endpoint": "placeorder"}, "endpoint"),
        ({"fault": "reply_lost", "seconds": 3}, "seconds"),
        ({"fault": "slow_before"}, "seconds"),
        ({"fault": "slow_before", "seconds": 131}, "seconds"),
        ({"fault": "slow_before", "seconds": -1}, "seconds"),
        ({"fault": "partial_fill"}, "pieces"),
        ({"fault": "partial_fill", "pieces": []}, "pieces"),
        ({"fault": "partial_fill", "pieces": [{"fraction": 0}]}, "pieces"),
        ({"fault": "partial_fill", "pieces": [{"ends": "complete"}]}, "pieces"),
        ({"fault": "lotsize_changed", "lotsize": 100}, "instrument"),
        ({"fault": "mode_switched", "mode": "demo"}, "mode"),
        ({"fault": "price_runs_away", "ticks": 0}, "ticks"),
        ({"fault": "reply_lost", "probability": 1.5}, "probability"),
        ({"fault": "reply_lost", "call": 0}, "call"),
        ({"fault": "reply_lost", "side": "LONG"}, "side"),
        ({"fault": "reply_lost", "whenever": 1}, "whenever"),
    ],
)
def test_what_does_not_belong_to_a_fault_is_refused_by_name(
    told: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        read_fault(1, told, {})
    assert field in refused.value.messages


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "Invalid input type"),
        ('{"faults": [{"fault": "earthquake"}]}', "Must be one of"),
        ('{"seed": 1}', "Missing data"),
        (None, "cannot be read"),
    ],
)
def test_a_scenario_that_is_none_is_refused_by_name(
    tmp_path: Path, text: str | None, said: str
) -> None:
    path = tmp_path / "bad_day.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputInvalid, match=rf"bad_day\.json.*{said}"):
        read_scenario(path)


def test_the_seed_of_a_scenario_is_that_of_every_fault_without_its_own(tmp_path: Path) -> None:
    path = tmp_path / "bad_day.json"
    faults = [{"fault": "reply_lost"}, {"fault": "error_after", "seed": 3}]
    path.write_text(json.dumps({"seed": 7, "faults": faults}))
    rows = read_scenario(path)
    assert [read_fault(1, row, {}).rule.seed for row in rows] == [7, 3]
