"""Whatever fails at the end of the day, one set of orders is sent, or none and that is told."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.invariants import violations
from core.db_state_manager.states import EodPhase, SignalStatus
from core.eod_monitor import EodVerdict
from core.eod_scheduler import EodWindow
from core.errors import Rejected, Retryable
from core.ist import IST
from tests.fixtures.eod_desk import EodDesk, open_desk
from tests.fixtures.interruption import Died, Life, otherwise
from tests.fixtures.live_service import BANK, GOLD, alert

BOTH = pytest.mark.parametrize("instrument", [BANK, GOLD])
LEGS = {BANK: 2, GOLD: 1}
LOTS = {BANK: 4, GOLD: 5}
SECOND = timedelta(seconds=1)


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[EodDesk]:
    with open_desk(database_url, tmp_path / "paper", "--funds", "1e9") as opened:
        yield opened


def verdict(desk: EodDesk, instrument: str) -> EodVerdict:
    run = desk.run_of(instrument)
    assert run is not None
    assert run.phase is EodPhase.ENDED
    return EodVerdict(run.verdict)


def to(desk: EodDesk, instrument: str, before_s: float) -> None:
    """Second for second until so long before the close."""
    desk.through(desk.window(instrument).closes_at - before_s * SECOND, desk.scouting(instrument))


def entered_once(desk: EodDesk, instrument: str) -> bool:
    (layer,) = desk.layers(instrument)
    return len(desk.sent()) == LEGS[instrument] and layer.lots == LOTS[instrument]


# The leader is lost


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize(
    ("lost_s", "back_s", "sent_s"),
    [
        (50, 40, 30),  # before it was judged
        (44, 31, 30),  # after
        (44, 29, 29),
        (31, 16, 16),  # into the chase
    ],
)
def test_the_next_leader_goes_on_where_the_last_one_was_lost(
    desk: EodDesk, instrument: str, lost_s: float, back_s: float, sent_s: float
) -> None:
    desk.before_close(instrument, 60)
    to(desk, instrument, lost_s)
    desk.before_close(instrument, back_s)
    desk.scout(instrument)
    desk.lead()
    to(desk, instrument, -3)
    assert entered_once(desk, instrument)
    assert desk.sent_at()[0] == desk.window(instrument).closes_at - sent_s * SECOND


@BOTH
def test_what_was_ordered_and_begun_by_nobody_is_ordered_by_the_next_leader(
    desk: EodDesk, instrument: str
) -> None:
    """The signal is journalled under the old epoch; whoever decides on it now is refused."""
    desk.before_close(instrument, 60)
    to(desk, instrument, 31)
    desk.before_close(instrument, 30)
    desk.executor().run(desk.epoch)
    (action,) = desk.actions(instrument)
    assert action.status is SignalStatus.RECEIVED
    desk.lead()
    desk.work()
    (action,) = desk.actions(instrument)
    assert action.outcome is not None
    assert (action.status, action.outcome.code) == (SignalStatus.FAILED, "STALE_EPOCH")
    assert desk.sent() == []
    to(desk, instrument, -3)
    assert entered_once(desk, instrument)


@BOTH
def test_a_bars_own_exit_takes_over_what_an_old_epoch_could_not_do(
    desk: EodDesk, instrument: str
) -> None:
    desk.hold(instrument)
    desk.before_close(instrument, 46)
    desk.scout(instrument, leave=True)
    desk.through(desk.window(instrument).order_at)
    desk.go(desk.window(instrument).order_at)
    desk.executor().run(desk.epoch)
    desk.store.begin_leadership("the next leader")
    desk.work()
    kept, row = desk.bar_close("EXIT", instrument)
    assert (kept.duplicate_of, row.status) == (None, SignalStatus.EXECUTED)
    desk.lead()
    desk.go(desk.window(instrument).closes_at)
    desk.tick()
    assert len(desk.sent()) == 2 * LEGS[instrument]
    assert desk.held() == {}


@BOTH
def test_an_entry_that_nobody_could_order_in_time_is_missed_and_told(
    desk: EodDesk, instrument: str
) -> None:
    desk.before_close(instrument, 60)
    to(desk, instrument, 40)
    desk.lead()
    desk.before_close(instrument, 5)
    desk.tick()
    assert (desk.sent(), verdict(desk, instrument)) == ([], EodVerdict.MISSED)
    assert len(desk.told("EOD_MISSED")) == 1


def test_an_exit_may_be_ordered_until_the_close(desk: EodDesk) -> None:
    desk.hold(GOLD)
    desk.before_close(GOLD, 46)
    desk.scout(GOLD, leave=True)
    desk.through(desk.window(GOLD).closes_at - 40 * SECOND)
    desk.lead()
    desk.before_close(GOLD, 3)
    desk.tick()
    assert desk.held() == {}


@BOTH
def test_a_close_at_which_nobody_led_is_told_by_the_next_leader(
    desk: EodDesk, instrument: str
) -> None:
    desk.before_close(instrument, 60)
    desk.scout(instrument)
    desk.before_close(instrument, -30)
    desk.lead()
    desk.tick()
    desk.tick()
    assert verdict(desk, instrument) is EodVerdict.MISSED
    assert len(desk.told("EOD_MISSED")) == 1


@BOTH
def test_long_after_a_close_nobody_says_anything_of_it(desk: EodDesk, instrument: str) -> None:
    desk.before_close(instrument, 60)
    desk.scout(instrument)
    desk.before_close(instrument, -599 if instrument == BANK else -240)
    desk.go(desk.clock.now() + timedelta(minutes=1 if instrument == BANK else 0))
    desk.tick()
    is_told = desk.run_of(instrument) is not None
    assert is_told == (instrument == GOLD)


@BOTH
@pytest.mark.parametrize("before_s", [45, 30])
def test_a_leader_that_was_followed_judges_and_orders_nothing(
    desk: EodDesk, instrument: str, before_s: float
) -> None:
    """Incident 47: a leader paused for a minute woke and traded beside the new one."""
    old = desk.epoch
    desk.before_close(instrument, 60)
    to(desk, instrument, before_s + 1)
    desk.store.begin_leadership("the next leader")
    phase = desk.run_of(instrument)
    desk.before_close(instrument, before_s)
    desk.scout(instrument)
    with pytest.raises(Rejected) as refused:
        desk.executor().run(old)
    assert refused.value.code == "STALE_EPOCH"
    assert desk.run_of(instrument) == phase


def test_what_goes_wrong_with_one_instrument_leaves_the_other_its_day(desk: EodDesk) -> None:
    """Bank Nifty's day cannot be read when Gold Mini's is due."""

    def fail_for_bank(read: Callable[..., Any], instrument: str, day: date) -> Any:
        if instrument == BANK:
            raise Retryable("for a test")
        return read(instrument, day)

    desk.before_close(GOLD, 45)
    desk.scout(GOLD)
    with pytest.raises(Retryable):
        desk.executor(otherwise(desk.store, "eod_run", fail_for_bank)).run(desk.epoch)
    assert desk.run_of(GOLD) is not None


# Two at once


@BOTH
def test_two_that_lead_at_once_order_once(desk: EodDesk, instrument: str) -> None:
    desk.lease_s = 60.0
    desk.before_close(instrument, 46)
    desk.scout(instrument)
    for before_s in (45, 30):
        desk.before_close(instrument, before_s)
        meet = threading.Barrier(4)

        def lead(_: int, meet: threading.Barrier = meet) -> None:
            executor = desk.executor()
            meet.wait()
            executor.run(desk.epoch)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lead, range(4)))
    (action,) = desk.actions(instrument)
    assert desk.store.rows("SELECT count(*) FROM signal_log WHERE type = 'BASE_ENTRY'") == [(1,)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: desk.work(), range(3)))
    assert desk.signal(action.signal_id or 0).status is SignalStatus.EXECUTED
    assert entered_once(desk, instrument)


# A process is killed


def exposure(desk: EodDesk) -> dict[str, int]:
    """What the stored book says is held, by symbol, in the broker's quantity."""
    found: dict[str, int] = {}
    for instrument in (BANK, GOLD):
        lots = {layer.id: layer.lots for layer in desk.layers(instrument)}
        for position, legs in desk.store.held_legs(instrument).items():
            for leg in legs:
                sign = 1 if leg.side.value == "BUY" else -1
                quantity = sign * lots[position] * leg.quantity // leg.lots
                found[leg.symbol] = found.get(leg.symbol, 0) + quantity
    return found


def trading_days(desk: EodDesk, instrument: str) -> Iterator[date]:
    """The days of 2026 on which the instrument trades as usual."""
    executor, day = desk.executor(), date(2026, 1, 5)
    while day.year == 2026:
        window = executor.window(instrument, day)
        if isinstance(window, EodWindow) and window.entries_refused is None:
            yield day
        day += timedelta(days=1)


def killed_day(desk: EodDesk, instrument: str, day: date, step: int, *, leave: bool) -> str:
    """A day's end during which the process dies at a step; where it died, or nothing."""
    desk.go(datetime.combine(day, datetime.min.time(), IST))
    desk.before_close(instrument, 47)
    desk.scout(instrument, leave=leave)
    life, real = Life(step), desk.client
    mortal = life.store(desk.store)
    try:
        desk.client = life.client(real)  # type: ignore[assignment]  # it stands for the real one
        while desk.clock.now() < desk.window(instrument).closes_at:
            desk.executor(mortal).run(desk.epoch)
            desk.work(mortal)
            desk.clock.wait(1.0)
    except Died:
        pass
    finally:
        desk.client = real
    if life.last:
        desk.lead()
    # A second of the hand clock is less than the time in which an order may still turn up.
    for _ in range(5):
        desk.tick()
        desk.recover()
        desk.clock.wait(1.0)
    desk.through(desk.window(instrument).closes_at + 5 * SECOND)
    return life.last


def dies_everywhere(desk: EodDesk, instrument: str, stride: int) -> int:
    """Entries and exits, each dying one stride later than the last; how many died."""
    days, step, deaths = trading_days(desk, instrument), 1, 0
    while True:
        ends: list[str] = []
        for leave in (False, True):
            where = killed_day(desk, instrument, next(days), step, leave=leave)
            at = f"{'exit' if leave else 'entry'}, died at step {step}: {where}"
            ends.append(where)
            held_to_one_set(desk, instrument, at, leave=leave)
        if not any(ends):
            return deaths
        deaths += sum(map(bool, ends))
        step += stride


STEPS = (
    "judge_eod", "order_eod", "claim_signals", "eod_order", "decide_and_reserve", "take_intent",
    "record_send_intent", "record_order_id", "book_fill", "complete_intent", "finish_signal",
    "end_eod",
)  # fmt: skip


def dying(desk: EodDesk, name: str, *, is_done: bool) -> DatabaseStateManager:
    """The store of a process that dies before a step, or once it is done."""

    def instead(step: Callable[..., Any], *given: Any, **named: Any) -> Any:
        if is_done:
            step(*given, **named)
        raise Died(name)

    return otherwise(desk.store, name, instead)


@pytest.mark.slow
@BOTH
def test_killed_around_each_step_of_the_day_one_set_of_orders_is_sent(
    desk: EodDesk, instrument: str
) -> None:
    """Incident 4: a resend after a crash bought a second time."""
    days, leave = trading_days(desk, instrument), False
    for name, is_done in product(STEPS, (False, True)):
        at = f"{'exit' if leave else 'entry'}, died {'after' if is_done else 'before'} {name}"
        store = dying(desk, name, is_done=is_done)
        desk.go(datetime.combine(next(days), datetime.min.time(), IST))
        desk.before_close(instrument, 46)
        desk.scout(instrument, leave=leave)
        desk.work()
        has_died = False
        try:
            for before_s in (45, 30, 28):
                desk.before_close(instrument, min(before_s, left_s(desk, instrument)))
                desk.executor(store).run(desk.epoch)
                desk.work(store)
        except Died:
            has_died = True
        assert has_died, at
        desk.lead()
        desk.through(desk.window(instrument).closes_at - 12 * SECOND, desk.recover)
        desk.tick()
        held_to_one_set(desk, instrument, at, leave=leave)
        leave = not leave


def left_s(desk: EodDesk, instrument: str) -> float:
    """Seconds until the close."""
    return (desk.window(instrument).closes_at - desk.clock.now()).total_seconds()


def held_to_one_set(desk: EodDesk, instrument: str, at: str, *, leave: bool) -> None:
    """One order for each leg, at the exchange what the books say, and the day at its end.

    The exchange's books of orders begin empty each day.
    """
    assert len(desk.sent()) == LEGS[instrument], at
    assert desk.held() == exposure(desk), at
    assert bool(desk.layers(instrument)) != leave, at
    assert verdict(desk, instrument) is not EodVerdict.MISSED, at
    assert violations(desk.store) == [], at


@pytest.mark.slow
@BOTH
def test_killed_at_many_points_one_set_of_orders_is_sent(desk: EodDesk, instrument: str) -> None:
    """Incident 4: a resend after a crash bought a second time."""
    assert dies_everywhere(desk, instrument, 17) > 10


# Any times at all

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["scout", "leave", "tick", "work", "lead", "bar entry", "bar exit"]),
        st.integers(0, 12),
    ),
    min_size=5,
    max_size=25,
)


@pytest.fixture(scope="module")
def gold_days() -> Iterator[date]:
    """A day of its own for each example."""
    return iter(date(2026, 1, 5) + timedelta(days=number) for number in range(0, 360))


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(events=EVENTS)
def test_whatever_comes_whenever_a_day_ends_at_most_once(
    desk: EodDesk, gold_days: Iterator[date], events: list[tuple[str, int]]
) -> None:
    executor = desk.executor()
    while True:
        day = next(gold_days)
        window = executor.window(GOLD, day)
        if isinstance(window, EodWindow) and window.entries_refused is None:
            break
    desk.go(window.closes_at - 80 * SECOND)
    for what, gap_s in [*events, ("tick", 0), ("work", 0)]:
        desk.clock.wait(gap_s)
        match what:
            case "scout" | "leave":
                desk.scout(GOLD, leave=what == "leave")
            case "tick":
                desk.executor().run(desk.epoch)
            case "work":
                desk.work()
            case "lead":
                desk.lead()
            case _:
                kind = "BASE_ENTRY" if what == "bar entry" else "EXIT"
                desk.receive(alert(window.bar_opens, kind, GOLD, er=1.0))
    traded = desk.store.rows(
        "SELECT count(*) FROM order_intents WHERE source = 'eod' AND state <> 'cancelled' "
        "AND created_at::date = %s",
        (day,),
    )[0][0]
    assert traded <= 1
    assert len(desk.layers(GOLD)) <= 1
    assert desk.held() == exposure(desk)
    assert violations(desk.store) == []
