"""Each alert is stored once, handled by one worker at a time, in order, and ends once."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from core.db_state_manager.records import Outcome
from core.db_state_manager.states import FINISHED_SIGNALS, SignalStatus
from core.models import EODMonitorSignal, Limiter, MarketDataSignal, Signal, SignalType
from core.webhook_parser import Alert
from tests.fixtures.database import LEASE_S, claimed, database, journal, later
from tests.fixtures.rules import BANK, GOLD, MORNING, add, base_entry, leave

DONE = Outcome("ENTER_BASE", "8 lots, limited by risk", 8, Limiter.RISK)
FAILED = Outcome("NOTHING_HELD", "BANK_NIFTY ALL is not open")


def order_of_claims(dsn: str, alerts: Sequence[Alert]) -> list[Alert]:
    manager = database(dsn)
    for alert in alerts:
        journal(manager, alert)
    found: list[Alert] = []
    while batch := manager.claim_signals("worker", 1, LEASE_S):
        found.append(batch[0].alert)
        manager.finish_signal(batch[0].id, "worker", SignalStatus.EXECUTED, DONE)
    return found


def test_a_repeat_names_the_first_and_its_outcome(database_url: str) -> None:
    manager = database(database_url)
    first = journal(manager, base_entry())
    assert (first.duplicate_of, first.status, first.outcome) == (None, SignalStatus.RECEIVED, None)
    (work,) = manager.claim_signals("worker", 5, LEASE_S)
    again = journal(manager, base_entry())
    assert (again.duplicate_of, again.status) == (first.id, SignalStatus.PROCESSING)
    assert manager.finish_signal(work.id, "worker", SignalStatus.EXECUTED, DONE)
    third = journal(manager, base_entry())
    assert (third.id, third.duplicate_of, third.outcome) == (first.id, first.id, DONE)


def test_the_same_alert_two_hundred_times_at_once_is_one(database_url: str) -> None:
    manager = database(database_url, pool_size=8)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: journal(manager, base_entry()), range(200)))
    assert Counter(item.duplicate_of is None for item in found) == {True: 1, False: 199}
    assert len({item.id for item in found}) == 1


@pytest.mark.parametrize("status", FINISHED_SIGNALS)
def test_only_a_failed_alert_may_be_sent_again(database_url: str, status: SignalStatus) -> None:
    """Incident 2: an exit failed, and its retry was blocked as a duplicate."""
    manager = database(database_url)
    work = claimed(manager, leave())
    manager.finish_signal(work.id, "worker", status, FAILED)
    again = journal(manager, leave(price=50_001))
    if status is not SignalStatus.FAILED:
        assert (again.duplicate_of, again.status, again.outcome) == (work.id, status, FAILED)
        assert manager.claim_signals("worker", 1, LEASE_S) == []
        return
    assert (again.id, again.duplicate_of, again.status) == (work.id, None, SignalStatus.RECEIVED)
    (retried,) = manager.claim_signals("worker", 1, LEASE_S)
    assert (retried.alert, retried.attempts) == (leave(price=50_001), 2)
    assert journal(manager, leave()).duplicate_of == work.id


EOD = EODMonitorSignal(
    instrument=GOLD,
    price=Decimal("78000.5"),
    conditions={"long_entry": True, "long_exit": False},
    indicators={"rsi": 71.25, "ema": None},
    bar_time=MORNING,
    in_position=True,
    seq=3,
)
BAR = MarketDataSignal(
    BANK, Decimal("50000.10"), Decimal("250.123456789"), Decimal(49_800), MORNING
)


@pytest.mark.parametrize(
    "alert",
    [
        base_entry(roc=2.5, seq=7, suggested_lots=3, atr="250.123456789"),
        leave(layer=2),
        leave(),
        EOD,
        BAR,
    ],
)
def test_an_alert_comes_back_as_it_was_stored(database_url: str, alert: Alert) -> None:
    assert claimed(database(database_url), alert).alert == alert


BAR = MarketDataSignal(BANK, Decimal(50_100), Decimal(300), Decimal(49_800), MORNING)
EARLY, LATE = base_entry(), base_entry(bar_time=later(75))
GOLD_EARLY = base_entry(instrument=GOLD, bar_time=later(5))


@pytest.mark.parametrize(
    ("arriving", "claimed_as"),
    [
        ([LATE, EARLY], [EARLY, LATE]),
        ([EARLY, leave(bar_time=later(90))], [leave(bar_time=later(90)), EARLY]),
        ([LATE, GOLD_EARLY, EARLY], [EARLY, GOLD_EARLY, LATE]),
        (
            [add(seq=2, layer=3), add(seq=1, layer=2)],
            [add(seq=1, layer=2), add(seq=2, layer=3)],
        ),
    ],
    ids=["by bar", "exits first", "instruments together", "by sequence within a bar"],
)
def test_alerts_are_handled_in_their_own_order(
    database_url: str, arriving: list[Signal], claimed_as: list[Signal]
) -> None:
    """Incident 3: two alerts 350 ms apart were executed in the wrong order."""
    assert order_of_claims(database_url, arriving) == claimed_as


def test_an_instrument_is_handled_one_alert_at_a_time_but_for_an_exit(database_url: str) -> None:
    manager = database(database_url)
    for alert in (EARLY, LATE, GOLD_EARLY):
        journal(manager, alert)
    first = manager.claim_signals("one", 10, LEASE_S)
    assert [work.alert for work in first] == [EARLY, GOLD_EARLY]
    assert manager.claim_signals("two", 10, LEASE_S) == []
    journal(manager, leave(bar_time=later(1)))
    (exit_,) = manager.claim_signals("two", 10, LEASE_S)
    assert exit_.alert == leave(bar_time=later(1))
    manager.finish_signal(first[0].id, "one", SignalStatus.EXECUTED, DONE)
    manager.finish_signal(exit_.id, "two", SignalStatus.EXECUTED, DONE)
    assert [work.alert for work in manager.claim_signals("two", 10, LEASE_S)] == [LATE]


@pytest.mark.parametrize("first", [leave(), BAR, leave(bar_time=later(-75))])
@pytest.mark.parametrize("entry", [base_entry(), add()])
def test_an_entry_waits_for_the_exits_and_bars_before_it(
    database_url: str, first: Alert, entry: Signal
) -> None:
    manager = database(database_url)
    journal(manager, entry)
    journal(manager, first)
    (before,) = manager.claim_signals("one", 10, LEASE_S)
    assert before.alert == first
    assert manager.claim_signals("two", 10, LEASE_S) == []
    manager.finish_signal(before.id, "one", SignalStatus.EXECUTED, DONE)
    assert [work.alert for work in manager.claim_signals("two", 10, LEASE_S)] == [entry]


def test_a_closed_bar_waits_for_no_exit_and_for_no_entry(database_url: str) -> None:
    """A slow order must not keep the other layers' stops from rising."""
    manager = database(database_url)
    journal(manager, base_entry())
    assert len(manager.claim_signals("one", 10, LEASE_S)) == 1
    journal(manager, leave())
    journal(manager, BAR)
    found = manager.claim_signals("two", 10, LEASE_S)
    assert [work.alert for work in found] == [leave(), BAR]


def test_a_bar_is_overtaken_once_a_later_one_was_handled(database_url: str) -> None:
    manager = database(database_url)
    later_bar = replace(BAR, bar_time=later(75))
    work = claimed(manager, later_bar)
    assert not manager.is_overtaken(BAR)
    manager.finish_signal(work.id, "worker", SignalStatus.EXECUTED, DONE)
    assert manager.is_overtaken(BAR)
    assert not manager.is_overtaken(later_bar)
    assert not manager.is_overtaken(replace(BAR, instrument=GOLD))


@pytest.mark.parametrize(
    ("exit_", "void"),
    [
        (leave(bar_time=later(1)), True),
        (leave(bar_time=later(1), layer=1), True),
        (leave(bar_time=later(1), layer=2), False),
        (leave(bar_time=later(-1)), False),
        (leave(bar_time=later(1), instrument=GOLD), False),
    ],
)
def test_an_entry_knows_the_exit_that_came_after_it(
    database_url: str, exit_: Signal, void: bool
) -> None:
    """Incident 3, the other way: the exit ran first, the entry must not follow it."""
    manager = database(database_url)
    journal(manager, base_entry())
    after = journal(manager, exit_)
    found = manager.claim_signals("worker", 10, LEASE_S)
    manager.finish_signal(after.id, "worker", SignalStatus.EXECUTED, DONE)
    found += manager.claim_signals("worker", 10, LEASE_S)
    (entry,) = [work for work in found if work.alert == base_entry()]
    assert entry.superseded_by == (after.id if void else None)


def test_an_exit_whose_clock_is_ahead_makes_no_entry_void(database_url: str) -> None:
    manager = database(database_url)
    journal(manager, leave(bar_time=later(330)))
    journal(manager, base_entry())
    found = manager.claim_signals("worker", 10, LEASE_S)
    (entry,) = [work for work in found if work.alert == base_entry()]
    assert entry.superseded_by is None


def test_no_two_workers_claim_the_same_alert(database_url: str) -> None:
    manager = database(database_url, pool_size=8)
    for minute in range(40):
        journal(manager, base_entry(bar_time=later(minute)))
        journal(manager, leave(bar_time=later(minute)))
        journal(manager, base_entry(bar_time=later(minute), instrument=GOLD))
    taken: list[int] = []

    def work(owner: str) -> None:
        idle = 0
        while idle < 20:
            batch = manager.claim_signals(owner, 3, LEASE_S)
            idle = 0 if batch else idle + 1
            kinds = [(item.alert.instrument, type_of(item.alert)) for item in batch]
            assert len(set(kinds)) == len(kinds)
            for item in batch:
                taken.append(item.id)
                assert manager.finish_signal(item.id, owner, SignalStatus.EXECUTED, DONE)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, map(str, range(8))))
    assert len(taken) == len(set(taken))
    work("the last")
    assert sorted(taken) == [row.id for row in reversed(manager.signals(200))]


def type_of(alert: Alert) -> Any:
    return alert.type if isinstance(alert, Signal) else None


def test_a_dead_workers_alert_is_claimed_again_and_only_its_new_owner_may_end_it(
    database_url: str,
) -> None:
    manager = database(database_url)
    journal(manager, base_entry())
    (lost,) = manager.claim_signals("dead", 1, -1)
    (found,) = manager.claim_signals("alive", 1, LEASE_S)
    assert found.id == lost.id
    assert manager.claim_signals("third", 1, LEASE_S) == []
    assert not manager.finish_signal(lost.id, "dead", SignalStatus.EXECUTED, DONE)
    assert not manager.renew_lease(lost.id, "dead", LEASE_S)
    assert manager.finish_signal(found.id, "alive", SignalStatus.BLOCKED, FAILED)
    standing = manager.signal_standing(found.id)
    assert standing is not None
    assert (standing.status, standing.outcome) == (SignalStatus.BLOCKED, FAILED)


@pytest.mark.parametrize("alert", [base_entry(), leave()])
def test_a_dead_workers_alert_and_an_earlier_one_that_came_since_do_not_wait_for_each_other(
    database_url: str, alert: Signal
) -> None:
    manager = database(database_url)
    journal(manager, replace(alert, bar_time=later(60)))
    (lost,) = manager.claim_signals("dead", 1, -1)
    journal(manager, alert)
    (found,) = manager.claim_signals("alive", 1, LEASE_S)
    assert found.id == lost.id
    assert manager.claim_signals("third", 1, LEASE_S) == []
    assert manager.finish_signal(found.id, "alive", SignalStatus.EXECUTED, DONE)
    assert len(manager.claim_signals("third", 1, LEASE_S)) == 1


def test_a_renewed_lease_holds_and_a_released_alert_is_free(database_url: str) -> None:
    manager = database(database_url)
    journal(manager, base_entry())
    (work,) = manager.claim_signals("one", 1, -1)
    assert manager.renew_lease(work.id, "one", LEASE_S)
    assert manager.claim_signals("two", 1, LEASE_S) == []
    assert not manager.release_signal(work.id, "two")
    assert manager.release_signal(work.id, "one")
    assert [item.id for item in manager.claim_signals("two", 1, LEASE_S)] == [work.id]


def test_an_unknown_alert_has_no_standing(database_url: str) -> None:
    assert database(database_url).signal_standing(1) is None


def test_pages_of_the_log_follow_each_other(database_url: str) -> None:
    manager = database(database_url)
    for minute in range(5):
        journal(manager, base_entry(bar_time=later(minute)))
    journal(manager, base_entry(instrument=GOLD))
    first = manager.signals(2, instrument=BANK)
    second = manager.signals(9, before=first[-1].id, instrument=BANK)
    assert [row.bar_time for row in (*first, *second)] == [later(m) for m in (4, 3, 2, 1, 0)]
    assert manager.signals(9, status=SignalStatus.FAILED) == []
    assert {row.type for row in manager.signals(9)} == {SignalType.BASE_ENTRY}
