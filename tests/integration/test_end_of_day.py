"""The end of the day trades once, by our own books, in time; the bar's own alert finds it done."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from brokers.messages import OrderRequest
from core.db_state_manager.invariants import violations
from core.db_state_manager.states import (
    ControlState,
    EodPhase,
    IntentSource,
    IntentState,
    SignalStatus,
)
from core.eod_monitor import EodVerdict
from core.ist import IST
from live.api.webhook import AlertDesk, Delivery
from live.duplicates import DuplicateDetector
from tests.fixtures.eod_desk import EodDesk, open_desk
from tests.fixtures.live_service import ATRS, BANK, GOLD, PRICES, alert
from tests.fixtures.web import ACCESS, TOKENS

BOTH = pytest.mark.parametrize("instrument", [BANK, GOLD])
CALL, PUT, GOLDM = "BANKNIFTY29DEC2658000CE", "BANKNIFTY29DEC2658000PE", "GOLDM05JAN27FUT"
ENTRY = {BANK: [f"BUY 120 {CALL}", f"SELL 120 {PUT}"], GOLD: [f"BUY 5 {GOLDM}"]}
EXIT = {BANK: [f"BUY 120 {PUT}", f"SELL 120 {CALL}"], GOLD: [f"SELL 5 {GOLDM}"]}
HELD = {BANK: {CALL: 120, PUT: -120}, GOLD: {GOLDM: 5}}
# A price at which a second layer is added, and what that is.
HIGHER = {BANK: 58_800, GOLD: 129_800}
ADD = {
    BANK: ["BUY 60 BANKNIFTY29DEC2659000CE", "SELL 60 BANKNIFTY29DEC2659000PE"],
    GOLD: [f"BUY 2 {GOLDM}"],
}
EXECUTED, BLOCKED, FAILED = SignalStatus.EXECUTED, SignalStatus.BLOCKED, SignalStatus.FAILED
SECOND = timedelta(seconds=1)


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[EodDesk]:
    with open_desk(database_url, tmp_path / "paper", "--funds", "1e9") as opened:
        yield opened


@contextmanager
def opened(dsn: str, folder: Path, day: date) -> Iterator[EodDesk]:
    """A desk that begins on `day`."""
    with open_desk(dsn, folder / "paper", "--funds", "1e9", day=day) as desk:
        yield desk


def ended(desk: EodDesk, instrument: str) -> EodVerdict:
    """What today came to; it has ended."""
    run = desk.run_of(instrument)
    assert run is not None
    assert run.phase is EodPhase.ENDED
    return EodVerdict(run.verdict)


def told_by_the_webhook(desk: EodDesk, kind: str, instrument: str) -> tuple[bool, str]:
    """Whether the bar's own alert is a repeat, and the reason it is told."""
    store = desk.store
    duplicates = DuplicateDetector(store, None, desk.clock)
    door = AlertDesk(store, ACCESS, {BANK, GOLD}, desk.clock, duplicates, store.signal_standing)
    bar = desk.window(instrument).bar_opens
    body = json.dumps(alert(bar, kind, instrument)).encode()
    secret = next(token for role, token in TOKENS.items() if role.name == "WEBHOOK")
    kept = door.receive(Delivery(body, secret, None))
    return kept.duplicate_of is not None, "" if kept.outcome is None else kept.outcome.reason


# What is done


@BOTH
def test_flat_and_every_condition_true_is_entered_to_the_second(
    desk: EodDesk, instrument: str
) -> None:
    desk.close_of_day(instrument, desk.scouting(instrument))
    assert desk.sent() == ENTRY[instrument]
    assert ended(desk, instrument) is EodVerdict.ENTER_BASE
    run, window = desk.run_of(instrument), desk.window(instrument)
    assert run is not None
    assert (run.judged_at, run.ordered_at) == (window.judge_at, window.order_at)
    assert desk.sent_at()[0] == window.order_at
    (action,) = desk.actions(instrument)
    assert action.status is EXECUTED
    journey = desk.store.journey(action.signal_id or 0)
    assert journey is not None
    (told,) = journey.intents
    assert (told.intent.source, told.intent.epoch) == (IntentSource.EOD, desk.epoch)
    assert told.intent.state is IntentState.COMPLETED
    (layer,) = desk.layers(instrument)
    assert layer.lots == told.intent.lots
    assert desk.held() == HELD[instrument]
    assert violations(desk.store) == []


@BOTH
def test_the_scouts_exit_condition_closes_what_is_held_to_the_second(
    desk: EodDesk, instrument: str
) -> None:
    desk.hold(instrument)
    desk.close_of_day(instrument, desk.scouting(instrument, leave=True))
    assert desk.sent() == ENTRY[instrument] + EXIT[instrument]
    assert desk.sent_at()[len(ENTRY[instrument])] == desk.window(instrument).order_at
    assert ended(desk, instrument) is EodVerdict.EXIT
    assert (desk.held(), desk.layers(instrument)) == ({}, [])


@BOTH
def test_a_stop_that_the_close_would_hit_is_left_at_that_price(
    desk: EodDesk, instrument: str
) -> None:
    desk.hold(instrument)
    below = PRICES[instrument] - ATRS[instrument] - 10
    desk.close_of_day(instrument, desk.scouting(instrument, price=below, entry=False))
    assert desk.sent() == ENTRY[instrument] + EXIT[instrument]
    (trade,) = desk.store.trades(10)
    assert trade.reason == "EOD_TOM_BASSO_STOP"
    assert abs(trade.exit_price - below) <= 20
    assert desk.held() == {}


@BOTH
def test_a_layer_is_added_where_the_position_has_earned_it(desk: EodDesk, instrument: str) -> None:
    desk.hold(instrument)
    desk.close_of_day(instrument, desk.scouting(instrument, price=HIGHER[instrument], entry=False))
    assert desk.sent() == ENTRY[instrument] + ADD[instrument]
    assert desk.sent_at()[len(ENTRY[instrument])] == desk.window(instrument).order_at
    assert ended(desk, instrument) is EodVerdict.ENTER_PYRAMID
    assert [layer.layer for layer in desk.layers(instrument)] == [1, 2]


def test_only_the_layer_whose_stop_would_be_hit_is_closed(desk: EodDesk) -> None:
    desk.hold(GOLD)
    desk.receive(alert(desk.clock.now(), "PYRAMID", GOLD, HIGHER[GOLD], er=1.0))
    desk.work()
    assert [layer.layer for layer in desk.layers(GOLD)] == [1, 2]
    below = HIGHER[GOLD] - ATRS[GOLD] - 10
    desk.close_of_day(GOLD, desk.scouting(GOLD, price=below, entry=False))
    assert [layer.layer for layer in desk.layers(GOLD)] == [1]
    assert desk.sent()[2:] == [f"SELL 2 {GOLDM}"]


@BOTH
def test_on_a_day_that_asks_for_nothing_nothing_is_sent(desk: EodDesk, instrument: str) -> None:
    desk.close_of_day(instrument, desk.scouting(instrument, entry=False))
    assert (desk.sent(), ended(desk, instrument)) == ([], EodVerdict.NOTHING)


@BOTH
@pytest.mark.parametrize("status", [None, {"in_position": True, "pyramid_count": 2}])
def test_the_position_is_our_books_whatever_the_scout_believes(
    desk: EodDesk, instrument: str, status: object
) -> None:
    """Incident 9: end-of-day alerts without position_status crashed the monitor."""
    desk.close_of_day(instrument, desk.scouting(instrument, position_status=status))
    assert desk.sent() == ENTRY[instrument]


# The bar's own alert


@BOTH
def test_the_bars_own_entry_is_told_that_it_was_executed(desk: EodDesk, instrument: str) -> None:
    """Incident 11: the bar-close alert repeated what the end of the day had executed."""
    desk.close_of_day(instrument, desk.scouting(instrument))
    is_repeat, reason = told_by_the_webhook(desk, "BASE_ENTRY", instrument)
    assert is_repeat
    assert reason.startswith("already executed at EOD: ")
    desk.work()
    assert desk.sent() == ENTRY[instrument]


@BOTH
def test_the_bars_own_exit_is_told_that_it_was_executed(desk: EodDesk, instrument: str) -> None:
    """Incident 11: the same for exits, whichever position they name."""
    desk.hold(instrument)
    desk.close_of_day(instrument, desk.scouting(instrument, leave=True))
    is_repeat, reason = told_by_the_webhook(desk, "EXIT", instrument)
    assert is_repeat
    assert reason.startswith("already executed at EOD: ")
    _, row = desk.bar_close("EXIT", instrument, position="Long_1")
    assert row.outcome is not None
    assert (row.status, row.outcome.code) == (BLOCKED, "ALREADY_CLOSED")
    assert desk.sent() == ENTRY[instrument] + EXIT[instrument]


@BOTH
def test_a_bars_own_alert_that_came_first_is_not_done_again(desk: EodDesk, instrument: str) -> None:
    desk.before_close(instrument, 50)
    desk.scout(instrument)
    desk.through(desk.window(instrument).order_at - SECOND)
    _, row = desk.bar_close("BASE_ENTRY", instrument)
    assert row.status is EXECUTED
    desk.go(desk.window(instrument).order_at)
    desk.through(desk.window(instrument).closes_at)
    assert desk.sent() == ENTRY[instrument]
    run = desk.run_of(instrument)
    assert run is not None
    assert run.reason == "the bar's own alert had come first"


@BOTH
def test_a_bars_own_alert_that_failed_before_is_done_at_the_end_of_the_day(
    desk: EodDesk, instrument: str
) -> None:
    """Incident 2: a failed signal may be sent again; one that succeeded may not."""
    desk.hold(instrument)
    desk.before_close(instrument, 50)
    desk.store.set_control(ControlState.HALTED, "for a test", "operator")
    _, row = desk.bar_close("EXIT", instrument)
    assert row.status is FAILED
    desk.store.set_control(ControlState.ACTIVE, "for a test", "operator")
    desk.scout(instrument, leave=True)
    desk.through(desk.window(instrument).closes_at)
    assert desk.sent() == ENTRY[instrument] + EXIT[instrument]


@BOTH
def test_a_bars_own_alert_amid_the_order_is_one_with_it(desk: EodDesk, instrument: str) -> None:
    repeats: list[bool] = []

    def come(_: OrderRequest) -> None:
        bar = desk.window(instrument).bar_opens
        kept = desk.receive(alert(bar, "BASE_ENTRY", instrument))
        repeats.append(kept.duplicate_of is not None)

    desk.client.before = come
    desk.close_of_day(instrument, desk.scouting(instrument))
    assert repeats
    assert all(repeats)
    assert desk.sent() == ENTRY[instrument]


@BOTH
def test_an_entry_of_another_bar_time_finds_the_position(desk: EodDesk, instrument: str) -> None:
    desk.close_of_day(instrument, desk.scouting(instrument))
    kept = desk.receive(alert(desk.clock.now(), "BASE_ENTRY", instrument))
    desk.work()
    outcome = desk.signal(kept.id).outcome
    assert outcome is not None
    assert outcome.code == "ALREADY_IN_POSITION"
    assert desk.sent() == ENTRY[instrument]


@BOTH
def test_an_exit_that_failed_at_the_end_of_the_day_may_come_again(
    desk: EodDesk, instrument: str
) -> None:
    desk.hold(instrument)
    desk.store.set_control(ControlState.HALTED, "for a test", "operator")
    desk.close_of_day(instrument, desk.scouting(instrument, leave=True))
    assert desk.held() == HELD[instrument]
    (action,) = desk.actions(instrument)
    assert action.status is FAILED
    desk.store.set_control(ControlState.ACTIVE, "for a test", "operator")
    kept, row = desk.bar_close("EXIT", instrument)
    assert (kept.duplicate_of, row.status) == (None, EXECUTED)
    assert desk.held() == {}
    journey = desk.store.journey(kept.id)
    assert journey is not None
    assert journey.intents[-1].intent.source is IntentSource.SIGNAL


# The Scout


@BOTH
@pytest.mark.parametrize(("age_s", "orders"), [(0, 1), (90, 1), (91, 0)])
def test_an_alert_sent_more_than_90_s_before_is_not_judged(
    desk: EodDesk, instrument: str, age_s: float, orders: int
) -> None:
    desk.before_close(instrument, 45)
    desk.scout(instrument, age_s=age_s)
    desk.tick()
    run = desk.run_of(instrument)
    assert (run is not None) == bool(orders)


@BOTH
@pytest.mark.parametrize(("before_s", "is_judged"), [(90, True), (91, False)])
def test_an_alert_that_came_more_than_90_s_before_is_not_judged(
    desk: EodDesk, instrument: str, before_s: float, is_judged: bool
) -> None:
    desk.before_close(instrument, 45 + before_s)
    desk.scout(instrument)
    desk.before_close(instrument, 45)
    desk.tick()
    assert (desk.run_of(instrument) is not None) == is_judged


def test_the_latest_of_many_alerts_is_judged(desk: EodDesk) -> None:
    """Incident 10: alerts per tick used up a limit; however many come, one is judged."""
    desk.before_close(GOLD, 60)
    for number in range(60):
        desk.scout(GOLD, age_s=30 - number / 4, entry=number == 59)
    desk.through(desk.window(GOLD).closes_at)
    assert desk.sent() == ENTRY[GOLD]


def test_a_first_fresh_alert_after_the_judging_time_is_judged_until_the_orders(
    desk: EodDesk,
) -> None:
    desk.before_close(GOLD, 60)
    desk.through(desk.window(GOLD).closes_at - 35 * SECOND)
    assert desk.run_of(GOLD) is None
    desk.scout(GOLD)
    desk.through(desk.window(GOLD).closes_at)
    assert desk.sent() == ENTRY[GOLD]


@BOTH
def test_a_scout_that_fell_silent_is_told_once_and_nothing_happens(
    desk: EodDesk, instrument: str
) -> None:
    desk.go(datetime(2026, 11, 26, 15, 0, tzinfo=IST))
    desk.scout(instrument)
    desk.go(datetime(2026, 11, 27, 9, 30, tzinfo=IST))
    desk.close_of_day(instrument)
    assert (desk.sent(), ended(desk, instrument)) == ([], EodVerdict.SILENT)
    (told,) = desk.told("EOD_SILENT")
    assert told["day"] == "2026-11-27"


def test_a_silent_scout_is_told_where_layers_are_held(desk: EodDesk) -> None:
    desk.hold(GOLD)
    desk.close_of_day(GOLD)
    assert len(desk.told("EOD_SILENT")) == 1
    assert desk.held() == HELD[GOLD]


@BOTH
def test_where_no_scout_is_expected_nothing_is_told(desk: EodDesk, instrument: str) -> None:
    desk.close_of_day(instrument)
    assert (desk.run_of(instrument), desk.told("EOD_SILENT")) == (None, [])


def test_on_an_operators_holiday_no_scout_is_missed(desk: EodDesk) -> None:
    desk.hold(GOLD)
    desk.store.set_holiday("MCX", desk.clock.now().date(), "elections", "operator")
    desk.close_of_day(GOLD)
    assert desk.told("EOD_SILENT") == []


def test_an_instrument_that_is_switched_off_has_no_end_of_day(
    database_url: str, tmp_path: Path
) -> None:
    off = {GOLD: {"eod": {"enabled": False}}}
    with open_desk(database_url, tmp_path / "paper", instruments=off) as desk:
        desk.close_of_day(GOLD, desk.scouting(GOLD))
        assert (desk.sent(), desk.run_of(GOLD)) == ([], None)


def test_an_alert_that_was_judged_can_be_forgotten_and_the_day_stays(desk: EodDesk) -> None:
    desk.close_of_day(GOLD, desk.scouting(GOLD, entry=False))
    run = desk.run_of(GOLD)
    assert run is not None
    assert run.judged_signal_id is not None
    assert desk.store.forget_alerts(desk.clock.now() + SECOND, 1000) > 3
    run = desk.run_of(GOLD)
    assert run is not None
    assert (run.verdict, run.judged_signal_id) == (EodVerdict.NOTHING, None)


# Stopped


@BOTH
@pytest.mark.parametrize("state", [ControlState.HALTED, ControlState.REDUCING])
def test_a_stopped_instrument_is_not_entered(
    desk: EodDesk, instrument: str, state: ControlState
) -> None:
    desk.store.set_control(state, "for a test", "operator")
    desk.close_of_day(instrument, desk.scouting(instrument))
    assert desk.sent() == []
    (action,) = desk.actions(instrument)
    assert action.outcome is not None
    assert (action.status, action.outcome.code) == (BLOCKED, "ENTRIES_BLOCKED")
    assert ended(desk, instrument) is EodVerdict.ENTER_BASE


@BOTH
def test_what_is_reduced_is_left(desk: EodDesk, instrument: str) -> None:
    desk.hold(instrument)
    desk.store.set_control(ControlState.REDUCING, "for a test", "operator")
    desk.close_of_day(instrument, desk.scouting(instrument, leave=True))
    assert desk.held() == {}


def test_a_lock_of_the_instrument_keeps_the_end_of_day_out(desk: EodDesk) -> None:
    desk.store.lock_instrument(GOLD, "BROKER_DIFFERS", "for a test", "operator")
    desk.close_of_day(GOLD, desk.scouting(GOLD))
    assert desk.sent() == []


# The market does not give it at once


def test_an_entry_that_rests_is_chased_from_15_s_before_the_close(desk: EodDesk) -> None:
    """The market runs 400 points away: 0.2 % of it is not enough to follow, 0.5 % is."""
    desk.before_close(GOLD, 60)
    desk.faults.set(
        "price_runs_away", symbol=GOLDM, ticks=400, endpoint="placeorder", call=1, times=1
    )
    window = desk.window(GOLD)
    desk.through(window.closes_at, desk.scouting(GOLD))
    assert desk.held() == HELD[GOLD]
    times = desk.sent_at()
    assert times[0] == window.order_at
    assert window.chase_at <= times[-1] < window.ends_at
    (layer,) = desk.layers(GOLD)
    assert 128_400 <= layer.entry_price <= 128_000 * 1.005


def test_the_call_of_a_synthetic_is_not_chased_into_the_time_of_its_put(desk: EodDesk) -> None:
    """What is not had of the first leg by 15 s before the close is not begun with any more."""
    desk.before_close(BANK, 60)
    desk.faults.set("price_runs_away", symbol=CALL, ticks=2_000, endpoint="placeorder")
    window = desk.window(BANK)
    desk.through(window.closes_at, desk.scouting(BANK))
    assert (desk.held(), desk.layers(BANK)) == ({}, [])
    assert max(desk.sent_at()) < window.chase_at
    assert desk.store.active_intents() == []
    (action,) = desk.actions(BANK)
    assert action.outcome is not None
    assert (action.status, action.outcome.code) == (BLOCKED, "NOT_FILLED")


def test_a_call_without_its_put_is_given_back_before_the_close(desk: EodDesk) -> None:
    desk.before_close(BANK, 60)
    desk.faults.set("price_runs_away", symbol=PUT, side="SELL", ticks=4_000, endpoint="placeorder")
    window = desk.window(BANK)
    desk.through(window.closes_at, desk.scouting(BANK))
    assert (desk.held(), desk.layers(BANK)) == ({}, [])
    assert max(desk.sent_at()) < window.closes_at
    assert desk.store.active_intents() == []


@BOTH
def test_of_an_entry_that_fills_in_part_the_part_stays_and_the_rest_ends_before_the_close(
    desk: EodDesk, instrument: str
) -> None:
    """One lot is had; then the market is always further away than the widest cap."""
    first = {BANK: CALL, GOLD: GOLDM}[instrument]
    lot = {BANK: 30, GOLD: 1}[instrument]
    pieces = [{"quantity": lot}, {"after_s": 130}]
    desk.faults.set("partial_fill", symbol=first, side="BUY", pieces=pieces, times=1)
    desk.faults.set(
        "price_runs_away", symbol=first, side="BUY", ticks=2_000, endpoint="placeorder", from_call=2
    )
    desk.before_close(instrument, 60)
    window = desk.window(instrument)
    desk.through(window.closes_at, desk.scouting(instrument))
    (layer,) = desk.layers(instrument)
    assert layer.lots == 1
    assert set(map(abs, desk.held().values())) == {lot}
    states = {row["status"] for row in desk.faults.truth()["orders"]}
    assert states <= {"complete", "cancelled"}
    assert max(desk.sent_at()) < window.ends_at
    (action,) = desk.actions(instrument)
    assert action.outcome is not None
    assert (action.status, action.outcome.lots) == (EXECUTED, 1)
    assert violations(desk.store) == []


@BOTH
def test_an_exit_that_rests_pays_up_before_the_close(desk: EodDesk, instrument: str) -> None:
    """The market runs 1 % away from two orders: the third, of the chase, meets it."""
    desk.hold(instrument)
    first = {BANK: PUT, GOLD: GOLDM}[instrument]
    ticks = {BANK: 200, GOLD: 1_300}[instrument]
    desk.before_close(instrument, 60)
    desk.faults.set("price_runs_away", symbol=first, ticks=ticks, endpoint="placeorder", times=2)
    window = desk.window(instrument)
    desk.through(window.closes_at, desk.scouting(instrument, leave=True))
    assert desk.held() == {}
    assert desk.layers(instrument) == []
    times = desk.sent_at()[len(ENTRY[instrument]) :]
    assert times[0] == window.order_at
    assert any(window.chase_at <= sent <= window.chase_at + SECOND for sent in times)
    assert times[-1] < window.closes_at
    assert [told["stage"] for told in desk.told("EXIT_STAGE")] == [2, 3]


# Which close


def test_what_is_held_in_an_expiring_contract_is_left_before_that_contracts_close(
    database_url: str, tmp_path: Path
) -> None:
    """Incident 51: jobs fired 15 s after the close. NSE closes at 15:45, the contract at 15:30."""
    with open_desk(
        database_url, tmp_path / "paper", "--funds", "1e9", day=date(2026, 12, 21)
    ) as desk:
        desk.hold(BANK)
        desk.go(datetime(2026, 12, 29, 15, 25, tzinfo=IST))
        assert desk.window(BANK).closes_at == datetime(2026, 12, 29, 15, 30, tzinfo=IST)
        desk.through(datetime(2026, 12, 29, 15, 30, tzinfo=IST), desk.scouting(BANK, leave=True))
        assert desk.sent_at()[2] == datetime(2026, 12, 29, 15, 29, 30, tzinfo=IST)
        assert desk.layers(BANK) == []


def test_an_evening_only_day_ends_at_its_own_close_and_the_closed_market_not_at_all(
    database_url: str, tmp_path: Path
) -> None:
    """Incident 57: an evening-only day after an NSE holiday."""
    with open_desk(
        database_url, tmp_path / "paper", "--funds", "1e9", day=date(2026, 11, 24)
    ) as desk:
        desk.go(datetime(2026, 11, 24, 15, 39, tzinfo=IST))
        desk.through(datetime(2026, 11, 24, 15, 41, tzinfo=IST), desk.scouting(BANK))
        assert desk.run_of(BANK) is None
        desk.close_of_day(GOLD, desk.scouting(GOLD))
        assert desk.sent_at() == [datetime(2026, 11, 24, 23, 54, 30, tzinfo=IST)]


def test_a_day_that_nobody_knows_opens_nothing_and_closes_what_is_held(
    database_url: str, tmp_path: Path
) -> None:
    with open_desk(
        database_url, tmp_path / "paper", "--funds", "1e9", day=date(2026, 12, 30)
    ) as desk:
        desk.hold(GOLD)
        desk.go(datetime(2027, 1, 4, 12, 0, tzinfo=IST))
        desk.close_of_day(BANK, desk.scouting(BANK))
        assert ended(desk, BANK) is EodVerdict.NOTHING
        assert len(desk.sent_at()) == 1
        desk.close_of_day(GOLD, desk.scouting(GOLD, leave=True))
        assert desk.layers(GOLD) == []
        assert desk.sent_at()[1] == datetime(2027, 1, 4, 23, 54, 30, tzinfo=IST)
