"""Between two bars: what is held is marked, what falls silent is told, and a stop is not forgotten.

All on the built service's rooms under a clock that the test moves, PostgreSQL and a paper exchange.
It is Monday 30 November 2026; Gold Mini's bars close at each hour, Bank Nifty's at 10:30, 11:45 ...
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from core.db_state_manager.records import SignalRow
from core.db_state_manager.states import ControlState, SignalStatus
from core.decision import decide_stops
from core.errors import Rejected
from core.ist import IST
from core.webhook_parser import Alert
from live.account_gauges import AccountGauges
from live.gap_alarm import bars_of
from live.jobs import Job
from live.marking import Holding, Pricing
from live.stop_judging import StopJudge
from live.watch_exits import WantedExit, WatchExits
from tests.fixtures.hand_service import HandService, bar, entry, in_hand, leave, open_hand
from tests.fixtures.live_service import BANK, GOLD, PRICES, default_config

BEGINS = datetime(2026, 11, 30, 10, 30, tzinfo=IST)
EXECUTED, BLOCKED = SignalStatus.EXECUTED, SignalStatus.BLOCKED
ACTING = {"mode": "act"}
NEXT_BAR = {
    BANK: datetime(2026, 11, 30, 11, 45, tzinfo=IST),
    GOLD: datetime(2026, 11, 30, 11, 0, tzinfo=IST),
}
BARS_LONG = {BANK: timedelta(minutes=75), GOLD: timedelta(minutes=60)}
# Far below the stop of an entry at PRICES, and what is beyond it for the catastrophe stop.
FALL = {BANK: 1000, GOLD: 2500}
ORDERS_OF_AN_EXIT = {BANK: 2, GOLD: 1}
BOTH = pytest.mark.parametrize("instrument", [BANK, GOLD])

Open = Callable[..., HandService]


@pytest.fixture
def opened(database_url: str, open_folder: Path) -> Iterator[Open]:
    """Opens a service with the given `stop_watch` block."""
    entered: list[Any] = []

    def open_one(begins: datetime = BEGINS, **stop_watch: Any) -> HandService:
        config = default_config(stop_watch=stop_watch)
        one = open_hand(database_url, open_folder, begins, config)
        service = one.__enter__()
        entered.append(one)
        return service

    yield open_one
    for one in entered:
        one.__exit__(None, None, None)


def entered(service: HandService, *instruments: str) -> None:
    """Those instruments are held, entered at PRICES."""
    for instrument in instruments:
        assert service.send(entry(service.clock.now(), instrument)).status is EXECUTED


def ended(row: SignalRow) -> tuple[SignalStatus, str]:
    """What became of an alert."""
    assert row.outcome is not None
    return row.status, row.outcome.code


def tick(service: HandService, instrument: str, price: float) -> None:
    """Two looks 15 s apart between which the market moves to `price`."""
    service.move(instrument, price + 1)
    service.look()
    service.after(15)
    service.move(instrument, price)
    service.look()


def missing(service: HandService, instrument: str) -> None:
    """It is 75 s after the close of a bar that did not come."""
    service.at(NEXT_BAR[instrument] + timedelta(seconds=75))


def below_its_stop(service: HandService, instrument: str) -> Decimal:
    """Two looks have seen a trusted price below the stop of what is held; that price."""
    price = PRICES[instrument] - FALL[instrument]
    for last in (price + 1, price, price - 1):
        service.move(instrument, last)
        service.look()
        service.after(15)
    return Decimal(price)


def exits(service: HandService) -> list[str]:
    """The sides that close: a future is sold; of a synthetic the put is bought back first."""
    return service.sent()[sum(ORDERS_OF_AN_EXIT[name] for name in (BANK, GOLD)) :]


def reads(service: HandService, endpoint: str) -> int:
    """How many calls to an endpoint there were since this was first asked."""
    for row in service.faults.seen():
        if row["told"].get("endpoint") == endpoint:
            return int(row["calls"])
    service.faults.set("slow_after", endpoint=endpoint, seconds=0)
    return 0


# Marks


def test_what_is_held_is_marked_at_the_market_to_the_paisa(opened: Open) -> None:
    service = opened()
    entered(service, BANK, GOLD)
    (bank,), (gold,) = service.layers(BANK), service.layers(GOLD)
    service.after(60)
    tick(service, BANK, 58_123)
    tick(service, GOLD, 128_457)
    book = service.store.load_book()
    assert [book[name].price for name in (BANK, GOLD)] == [58_123, 128_457]
    of_bank = (58_123 - bank.entry_price) * bank.lots * 30
    of_gold = (128_457 - gold.entry_price) * gold.lots * 10
    assert book.open_pnl() == of_bank + of_gold
    service.store.record_equity(book.open_pnl())
    (point,) = service.store.equity_page(10, BEGINS)
    assert point.open_pnl == of_bank + of_gold
    marks = service.store.market_marks()
    assert marks[BANK].marked_at == service.clock.now()
    # The larger of 2,70,000 and 16 % of the notional, a lot.
    assert marks[BANK].margin == max(Decimal(270_000), Decimal("0.16") * 58_123 * 30) * bank.lots
    gauges = {metric.name: metric for metric in AccountGauges(service.store).collect()}
    shown = {
        sample.labels["instrument"]: sample.value for sample in gauges["pm_open_pnl_inr"].samples
    }
    assert shown == {BANK: float(of_bank), GOLD: float(of_gold)}


def test_layers_of_two_strikes_are_marked_together_to_the_paisa(opened: Open) -> None:
    service = opened()
    entered(service, BANK)
    service.after(60)
    added = entry(service.clock.now(), BANK, Decimal(59_200), layer=2)
    assert ended(service.send(added)) == (EXECUTED, "ENTER_PYRAMID")
    layers = service.layers(BANK)
    legs = service.store.held_legs(BANK).values()
    assert len({leg.symbol for each in legs for leg in each}) == 4
    service.after(60)
    tick(service, BANK, 59_311)
    assert service.store.load_book().open_pnl() == sum(
        (59_311 - layer.entry_price) * layer.lots * 30 for layer in layers
    )


def test_between_sides_that_lie_far_apart_nothing_is_marked(opened: Open) -> None:
    service = opened(max_spread_pct="0.001")  # Of 1,28,000; the touch is two points wide.
    entered(service, GOLD)
    before = service.store.load_book()[GOLD].price
    service.after(60)
    tick(service, GOLD, 128_457)
    assert service.store.load_book()[GOLD].price == before
    (told,) = service.told("QUOTES_DOUBTED")
    assert "a spread of 2" in told["reason"]


def test_marks_move_no_stop(opened: Open) -> None:
    service = opened()
    entered(service, BANK, GOLD)
    before = service.layers(BANK) + service.layers(GOLD)
    service.after(60)
    for instrument in (BANK, GOLD):
        for change in (2000, -300, 3000):
            tick(service, instrument, PRICES[instrument] + change)
            book = service.store.load_book()
            assert book[instrument].price == PRICES[instrument] + change
    assert service.layers(BANK) + service.layers(GOLD) == before


def test_a_look_is_one_call_and_there_is_none_for_nothing(opened: Open) -> None:
    service = opened()
    for endpoint in ("multiquotes", "quotes"):
        reads(service, endpoint)
    service.look()
    assert reads(service, "multiquotes") == 0
    entered(service, BANK, GOLD)
    asked = [reads(service, each) for each in ("multiquotes", "quotes")]
    for _ in range(3):
        service.after(15)
        service.look()
    assert [reads(service, each) for each in ("multiquotes", "quotes")] == [asked[0] + 3, asked[1]]
    # Bank Nifty has closed, Gold Mini goes on; then that has, too.
    service.at(datetime(2026, 11, 30, 22, 0, tzinfo=IST))
    service.look()
    assert reads(service, "multiquotes") == asked[0] + 4
    service.at(datetime(2026, 12, 1, 0, 30, tzinfo=IST))
    service.look()
    assert reads(service, "multiquotes") == asked[0] + 4


# Silence


def test_a_silence_is_told_once_and_its_end_once(opened: Open) -> None:
    """Incident 5: alerts never arrived and nobody noticed; bars are the heartbeat."""
    service = opened()
    entered(service, GOLD)
    service.at(datetime(2026, 11, 30, 11, 1, 15, tzinfo=IST))
    service.look()
    assert service.told("BARS_SILENT") == []
    service.at(datetime(2026, 11, 30, 12, 1, 15, tzinfo=IST))
    another = service.trading.stop_watch_job(in_hand)
    for watch in (service.watch, another, service.watch):
        watch.run(service.epoch)
        service.after(15)
    (told,) = service.told("BARS_SILENT")
    assert told["instrument"] == GOLD
    assert "2 bars have closed, the last at 2026-11-30T12:00" in told["reason"]
    service.at(datetime(2026, 11, 30, 13, 0, 2, tzinfo=IST))
    service.send(bar(service.clock.now(), GOLD, Decimal(128_100)))
    for _ in range(2):
        service.look()
    (cleared,) = service.told("WATCH_CLEARED")
    assert cleared["code"] == "BARS_SILENT"
    service.at(datetime(2026, 11, 30, 15, 1, 15, tzinfo=IST))
    service.look()
    assert len(service.told("BARS_SILENT")) == 2


def test_a_morning_that_is_closed_is_no_silence(opened: Open) -> None:
    """Incident 57: on an evening-only day the market opens 17 hours after its last bar."""
    service = opened(datetime(2026, 11, 23, 22, 30, tzinfo=IST))
    entered(service, GOLD)
    for hour, minute in ((23, 0), (23, 55)):
        service.at(datetime(2026, 11, 23, hour, minute, 2, tzinfo=IST))
        service.send(bar(service.clock.now(), GOLD, Decimal(128_000)))
    for hour, minute in ((9, 30), (16, 59), (17, 1), (18, 0)):
        service.at(datetime(2026, 11, 24, hour, minute, tzinfo=IST))
        service.look()
        assert service.told("BARS_SILENT") == []
    service.at(datetime(2026, 11, 24, 19, 1, 15, tzinfo=IST))
    service.look()
    assert len(service.told("BARS_SILENT")) == 1


def test_what_is_held_no_more_is_not_silent_any_more(opened: Open) -> None:
    service = opened()
    entered(service, GOLD)
    service.at(datetime(2026, 11, 30, 12, 1, 15, tzinfo=IST))
    service.look()
    assert [alarm.instrument for alarm in service.store.watch_alarms()] == [GOLD]
    service.send(leave(service.clock.now(), GOLD, Decimal(128_000)))
    service.look()
    assert service.store.watch_alarms() == []


# A stop whose bar is missing


def test_by_default_a_passed_stop_is_told_and_nothing_is_sent(opened: Open) -> None:
    service = opened()
    entered(service, GOLD)
    sent = service.sent()
    missing(service, GOLD)
    below_its_stop(service, GOLD)
    (told,) = service.told("STOP_PASSED")
    assert "GOLD_MINI/1/Long_1 at 125499.00; " in told["reason"]
    assert service.sent() == sent
    for price in (128_001, 128_000):
        service.move(GOLD, price)
        service.look()
    assert [event["code"] for event in service.told("WATCH_CLEARED")] == ["STOP_PASSED"]


@BOTH
def test_a_stop_that_is_hit_while_its_bar_is_missing_is_one_exit(
    opened: Open, instrument: str
) -> None:
    """Incident 33: the late bar and the late exit find it closed."""
    service = opened(**ACTING)
    entered(service, BANK, GOLD)
    missing(service, instrument)
    price = below_its_stop(service, instrument)
    assert len(exits(service)) == ORDERS_OF_AN_EXIT[instrument]
    assert service.layers(instrument) == []
    (trade,) = service.store.trades(10)
    assert trade.reason.startswith("TOM_BASSO_STOP: ")
    assert "in place of the bar of 2026-11-30T" in trade.reason
    opens_at = NEXT_BAR[instrument] - BARS_LONG[instrument]
    late = service.send(bar(opens_at, instrument, price))
    assert ended(late) == (EXECUTED, "ALREADY_CLOSED")
    late = service.send(leave(opens_at, instrument, price))
    assert ended(late) == (BLOCKED, "ALREADY_CLOSED")
    for _ in range(3):
        service.after(15)
        service.look()
    assert len(exits(service)) == ORDERS_OF_AN_EXIT[instrument]
    (told,) = service.told("BAR_STOOD_IN")
    assert told["bar_closed_at"] == NEXT_BAR[instrument].isoformat()


def test_a_bar_that_came_is_not_stood_in_for(opened: Open) -> None:
    service = opened(**ACTING)
    entered(service, BANK, GOLD)
    service.at(NEXT_BAR[GOLD] + timedelta(seconds=2))
    service.send(bar(NEXT_BAR[GOLD], GOLD, Decimal(128_000)))
    missing(service, GOLD)
    below_its_stop(service, GOLD)
    assert exits(service) == []
    assert service.told("BAR_STOOD_IN", "STOP_PASSED") == []


def test_an_alert_that_is_stored_but_not_handled_has_come(opened: Open) -> None:
    service = opened(**ACTING)
    entered(service, BANK, GOLD)
    missing(service, GOLD)
    service.receive(bar(NEXT_BAR[GOLD], GOLD, Decimal(128_000)))
    below_its_stop(service, GOLD)
    assert exits(service) == []
    service.handle_all()
    assert len(service.layers(GOLD)) == 1


@BOTH
def test_the_watch_and_the_late_alerts_at_once_are_one_exit(opened: Open, instrument: str) -> None:
    """Incident 33: the same second exit arrived while our own stop's was running."""
    service = opened(**ACTING)
    entered(service, BANK, GOLD)
    missing(service, instrument)
    price = Decimal(PRICES[instrument] - FALL[instrument])
    for last in (price + 1, price):
        service.move(instrument, last)
        service.look()
    service.move(instrument, price - 1)
    late: list[Alert] = [bar(NEXT_BAR[instrument], instrument, price)]
    late += [leave(NEXT_BAR[instrument], instrument, price)]
    together = Barrier(3)

    def send(alert: Alert) -> None:
        together.wait()
        service.send(alert)

    def look() -> None:
        together.wait()
        service.watch.run(service.epoch)

    with ThreadPoolExecutor(3) as threads:
        works = [threads.submit(look), *(threads.submit(send, alert) for alert in late)]
        for work in works:
            work.result()
    service.trading.recover("sweep")
    assert service.layers(instrument) == []
    assert len(exits(service)) == ORDERS_OF_AN_EXIT[instrument]


def judge_of(service: HandService) -> StopJudge:
    """The watch's judge alone, to be handed prices."""
    trading = service.trading
    config = trading._maker.config
    bars = bars_of(config, trading._catalog, trading._calendar)
    return StopJudge(service.store, config, bars, service.clock)


def exits_of(service: HandService) -> WatchExits:
    """The watch's way to close, alone."""
    return WatchExits(service.trading._exits, service.trading.carrier, in_hand, lease_s=60.0)


def test_a_bar_that_comes_between_the_look_and_the_decision_is_not_stood_in_for(
    opened: Open,
) -> None:
    """Incident 33: the alert arrives while our own stop is being decided."""
    service = opened(**ACTING)
    entered(service, BANK, GOLD)
    missing(service, GOLD)
    judge = judge_of(service)
    for _ in range(2):
        book = service.store.load_book()
        judged = judge.judge(service.epoch, book, {GOLD: Decimal(125_500)})
    service.receive(bar(NEXT_BAR[GOLD], GOLD, Decimal(128_000)))
    assert exits_of(service).leave(service.epoch, list(judged.exits.values())) == {}
    service.handle_all()
    assert exits(service) == []
    assert len(service.layers(GOLD)) == 1


@pytest.mark.parametrize(
    ("epochs", "after_s", "leaves"), [(0, 15, True), (1, 15, False), (0, 61, False)]
)
def test_only_the_next_look_of_the_same_leader_confirms(
    opened: Open, epochs: int, after_s: int, leaves: bool
) -> None:
    service = opened(catastrophe_atr=1)
    entered(service, GOLD)
    service.after(300)
    judge, book = judge_of(service), service.store.load_book()
    price = {GOLD: Decimal(125_500)}
    assert judge.judge(service.epoch, book, price).exits == {}
    service.after(after_s)
    judged = judge.judge(service.epoch + epochs, book, price)
    assert (GOLD in judged.exits) is leaves


def test_one_look_is_not_enough(opened: Open) -> None:
    service = opened(**ACTING)
    entered(service, BANK, GOLD)
    missing(service, GOLD)
    tick(service, GOLD, 128_000)
    assert len(service.told("BAR_STOOD_IN")) == 1
    service.at(datetime(2026, 11, 30, 12, 1, 15, tzinfo=IST))
    for price in (128_001, 125_000, 128_002, 125_001, 128_003):
        service.move(GOLD, price)
        service.after(15)
        service.look()
    assert exits(service) == []


def test_a_halted_account_is_told_and_sends_nothing(opened: Open) -> None:
    service = opened(**ACTING, catastrophe_atr=1)
    entered(service, BANK, GOLD)
    service.store.set_control(ControlState.HALTED, "for a test", "operator")
    missing(service, GOLD)
    below_its_stop(service, GOLD)
    assert exits(service) == []
    assert len(service.told("STOP_PASSED")) == 1


# What moves the stops

HIGHER = 130_000


def trailed(service: HandService) -> tuple[Decimal, Decimal]:
    (layer,) = service.layers(GOLD)
    return layer.highest_close, layer.stop


def stood_in(opened: Open) -> HandService:
    """A higher quote stands in for Gold Mini's bar of 11:00."""
    service = opened(**ACTING)
    entered(service, GOLD)
    missing(service, GOLD)
    before = trailed(service)
    tick(service, GOLD, HIGHER)
    assert len(service.told("BAR_STOOD_IN")) == 1
    assert trailed(service) == before
    return service


def test_a_late_bar_moves_the_stops_as_one_in_time(opened: Open) -> None:
    service = stood_in(opened)
    service.at(NEXT_BAR[GOLD] + timedelta(minutes=6))
    opens_at = NEXT_BAR[GOLD] - BARS_LONG[GOLD]
    late = service.send(bar(opens_at, GOLD, Decimal(129_500)))
    assert ended(late) == (EXECUTED, "BAR_CLOSED")
    assert trailed(service) == (Decimal(129_500), Decimal(129_500 - 2 * 900))
    service.at(NEXT_BAR[GOLD] + timedelta(minutes=59, seconds=10))
    service.look()
    assert trailed(service) == (Decimal(129_500), Decimal(129_500 - 2 * 900))


def test_what_stood_in_for_a_bar_that_never_came_moves_them_before_the_next(opened: Open) -> None:
    service = stood_in(opened)
    service.at(NEXT_BAR[GOLD] + timedelta(minutes=58))
    service.look()
    (layer,) = service.layers(GOLD)
    assert layer.highest_close < HIGHER
    service.at(NEXT_BAR[GOLD] + timedelta(minutes=59, seconds=10))
    for _ in range(2):
        service.look()
    assert trailed(service) == (Decimal(HIGHER), Decimal(HIGHER - 2 * 900))


BEFORE_ROLLS = datetime(2026, 11, 25, 21, 5, tzinfo=IST)
ROLL_DAY = datetime(2026, 11, 26, 11, 1, 15, tzinfo=IST)


def rolled(service: HandService) -> Decimal:
    """The roll that is due of Gold Mini; its basis."""
    service.trading.rollover_job().run(service.epoch)
    service.trading.recover("sweep")
    (move,) = service.store.rolls(10)
    assert move.basis != 0
    return move.basis


def test_what_stood_in_before_a_roll_moves_the_stops_by_the_next_contract(opened: Open) -> None:
    service = opened(BEFORE_ROLLS, **ACTING)
    entered(service, GOLD)
    service.at(ROLL_DAY)
    tick(service, GOLD, HIGHER)
    assert len(service.told("BAR_STOOD_IN")) == 1
    basis = rolled(service)
    service.at(ROLL_DAY.replace(minute=59))
    service.look()
    assert trailed(service) == (HIGHER + basis, HIGHER + basis - 2 * 900)


def test_a_quote_of_what_a_roll_has_left_stands_in_for_no_bar(opened: Open) -> None:
    service = opened(BEFORE_ROLLS, **ACTING)
    entered(service, GOLD)
    service.at(ROLL_DAY)
    judge = judge_of(service)
    for _ in range(2):
        book = service.store.load_book()
        judged = judge.judge(service.epoch, book, {GOLD: Decimal(125_500)})
    rolled(service)
    assert exits_of(service).leave(service.epoch, list(judged.exits.values())) == {}
    assert service.told("BAR_STOOD_IN") == []
    assert len(service.layers(GOLD)) == 1
    judged = judge.judge(service.epoch, service.store.load_book(), {GOLD: Decimal(125_400)})
    assert [*exits_of(service).leave(service.epoch, list(judged.exits.values()))] == [GOLD]
    assert service.held() == {}


def test_a_bar_that_waits_while_what_is_held_is_rolled_hits_no_stop_by_the_basis(
    opened: Open,
) -> None:
    service = opened(BEFORE_ROLLS)
    entered(service, GOLD)
    service.at(ROLL_DAY)
    (layer,) = service.layers(GOLD)
    waiting = service.receive(bar(service.clock.now() - BARS_LONG[GOLD], GOLD, layer.stop))
    service.after(2)
    basis = rolled(service)
    assert basis > 0
    service.handle_all()
    journey = service.store.journey(waiting)
    assert journey is not None
    assert ended(journey.signal) == (EXECUTED, "BAR_CLOSED")
    assert service.store.load_book()[GOLD].price == layer.stop + basis


def test_a_late_bar_is_judged_although_something_stood_in_for_it(opened: Open) -> None:
    service = stood_in(opened)
    service.at(NEXT_BAR[GOLD] + timedelta(minutes=6))
    late = service.send(bar(NEXT_BAR[GOLD], GOLD, Decimal(126_000)))
    assert ended(late) == (EXECUTED, "STOP_HIT")
    assert service.layers(GOLD) == []


# Quotes that cannot be believed

DOUBTS = [
    ("quotes_missing", {"endpoint": "multiquotes"}),
    ("quotes_crossed", {"endpoint": "multiquotes"}),
    ("contract_absent", {"endpoint": "multiquotes"}),
]


@BOTH
@pytest.mark.parametrize(("fault", "terms"), DOUBTS)
def test_a_quote_that_is_wrong_marks_and_closes_nothing_and_is_told_once(
    opened: Open, instrument: str, fault: str, terms: dict[str, Any]
) -> None:
    service = opened(**ACTING, catastrophe_atr=1)
    entered(service, instrument)
    sent, price = service.sent(), service.store.load_book()[instrument].price
    missing(service, instrument)
    service.faults.set(fault, **terms)
    below_its_stop(service, instrument)
    assert service.sent() == sent
    assert service.store.load_book()[instrument].price == price
    assert service.told("BAR_STOOD_IN", "CATASTROPHE_STOP") == []
    assert [told["instrument"] for told in service.told("QUOTES_DOUBTED")] == [instrument]
    service.faults.clear()
    tick(service, instrument, PRICES[instrument])
    assert [told["code"] for told in service.told("WATCH_CLEARED")] == ["QUOTES_DOUBTED"]
    assert service.store.load_book()[instrument].price == PRICES[instrument]


@BOTH
def test_a_quote_that_stands_still_marks_and_closes_nothing(opened: Open, instrument: str) -> None:
    service = opened(**ACTING, catastrophe_atr=1)
    entered(service, instrument)
    sent, price = service.sent(), service.store.load_book()[instrument].price
    service.move(instrument, PRICES[instrument] - FALL[instrument])
    service.faults.set("quotes_frozen")
    missing(service, instrument)
    # A market that moves by itself, unlike the paper exchange's: there it is news.
    own = service.trading._maker.config.stop_watch
    real = Pricing(service.trading._broker, service.clock, own)
    holding = Holding(tuple(service.layers(instrument)), service.store.held_legs(instrument))
    seen = []
    for _ in range(6):
        service.move(instrument, PRICES[instrument] + 100)
        service.after(15)
        service.look()
        seen.append(real.look(service.epoch, {instrument: holding})[instrument])
    assert [(priced.price, priced.is_news) for priced in seen] == [(None, False)] * 4 + [
        (None, True)
    ] * 2
    assert "FROZEN" in seen[-1].wrong
    assert service.sent() == sent
    assert service.store.load_book()[instrument].price == price
    assert service.told("BAR_STOOD_IN", "CATASTROPHE_STOP") == []


# A fall between two bars


def test_without_the_setting_a_fall_between_two_bars_waits_for_its_bar(opened: Open) -> None:
    service = opened(**ACTING)
    entered(service, BANK, GOLD)
    service.after(300)
    below_its_stop(service, GOLD)
    assert exits(service) == []


@BOTH
def test_a_catastrophe_leaves_between_two_bars_and_is_told(opened: Open, instrument: str) -> None:
    service = opened(catastrophe_atr=1)
    entered(service, BANK, GOLD)
    service.after(300)
    price = PRICES[instrument] - FALL[instrument]
    service.move(instrument, price + 1)
    service.look()
    service.after(15)
    service.move(instrument, price)
    service.look()
    assert exits(service) == []  # Once seen.
    service.after(15)
    service.move(instrument, price - 1)
    service.look()
    assert len(exits(service)) == ORDERS_OF_AN_EXIT[instrument]
    assert service.layers(instrument) == []
    (told,) = service.told("CATASTROPHE_STOP")
    assert told["reason"].startswith("CATASTROPHE_STOP: ")
    (trade,) = service.store.trades(10)
    assert trade.reason == told["reason"]
    late = service.send(leave(service.clock.now(), instrument, Decimal(price)))
    assert ended(late) == (BLOCKED, "ALREADY_CLOSED")


def test_a_stop_passed_by_less_is_no_catastrophe(opened: Open) -> None:
    service = opened(catastrophe_atr=3)
    entered(service, BANK, GOLD)
    service.after(300)
    below_its_stop(service, GOLD)  # 127,100 - 3 x 900 is 124,400.
    assert exits(service) == []


@BOTH
def test_in_a_crash_a_catastrophe_exit_goes_on_in_stages(opened: Open, instrument: str) -> None:
    """Incident 29: an exit refused by a hard cap in a crash; here each stage may pay more."""
    service = opened(catastrophe_atr=1)
    entered(service, BANK, GOLD)
    service.after(300)
    service.faults.set("price_runs_away", endpoint="placeorder", ticks=8000, times=2)
    service.faults.set("price_runs_away", endpoint="modifyorder", ticks=8000, times=10)
    below_its_stop(service, instrument)
    for _ in range(20):
        if not service.layers(instrument):
            break
        service.after(2)
        service.trading.recover("sweep")
        service.look()
    assert service.layers(instrument) == []
    assert instrument[:4] not in "".join(service.held())
    assert len(service.told("EXIT_STAGE")) > 0
    assert len(service.told("CATASTROPHE_STOP")) == 1


# Who leads


def test_a_look_of_the_leader_before_confirms_nothing(opened: Open) -> None:
    service = opened(catastrophe_atr=1)
    entered(service, BANK, GOLD)
    service.after(300)
    for price in (126_000, 125_501, 125_500):
        service.epoch = service.store.begin_leadership("another")
        service.move(GOLD, price)
        service.look()
        service.after(15)
    assert exits(service) == []


def test_a_leader_that_was_replaced_marks_and_closes_nothing(opened: Open) -> None:
    service = opened(**ACTING, catastrophe_atr=1)
    entered(service, BANK, GOLD)
    missing(service, GOLD)
    old = service.epoch
    for price in (126_000, 125_501):
        service.move(GOLD, price)
        service.look(old)
        service.after(15)
    assert service.store.load_book()[GOLD].price == 125_501
    service.store.begin_leadership("another")
    service.move(GOLD, 125_500)
    with pytest.raises(Rejected, match="does not lead any more"):
        service.look(old)
    assert exits(service) == []
    assert service.store.load_book()[GOLD].price == 125_501


def test_the_decision_itself_is_refused_to_an_old_epoch(opened: Open) -> None:
    """Incident 47: somebody who was replaced woke and would have traded on."""
    service = opened(**ACTING)
    entered(service, BANK, GOLD)
    service.store.begin_leadership("another")
    wanted = WantedExit(GOLD, lambda book: decide_stops(GOLD, book[GOLD].layers))
    with pytest.raises(Rejected, match="does not lead any more"):
        exits_of(service).leave(service.epoch, [wanted])
    assert exits(service) == []


def test_two_that_think_they_lead_are_one_exit(opened: Open) -> None:
    service = opened(**ACTING, catastrophe_atr=1)
    entered(service, BANK, GOLD)
    watches = [service.watch, service.trading.stop_watch_job(in_hand)]
    missing(service, GOLD)
    for price in (126_000, 125_501, 125_500):
        service.move(GOLD, price)
        together = Barrier(2)

        def look(watch: Job, together: Barrier = together) -> None:
            together.wait()
            watch.run(service.epoch)

        with ThreadPoolExecutor(2) as threads:
            for work in [threads.submit(look, watch) for watch in watches]:
                work.result()
        service.after(15)
    service.trading.recover("sweep")
    assert service.layers(GOLD) == []
    assert len(exits(service)) == ORDERS_OF_AN_EXIT[GOLD]
    assert len(service.told("BAR_STOOD_IN")) <= 1


def test_whoever_leads_next_goes_on_with_an_exit_that_was_begun(opened: Open) -> None:
    """Incident 32: nothing between the decision and its order waits for anybody."""
    service = opened(catastrophe_atr=1)
    entered(service, BANK, GOLD)
    service.after(300)
    service.faults.set("error_before", endpoint="placeorder", times=1)
    below_its_stop(service, GOLD)
    service.store.begin_leadership("another")
    for _ in range(100):
        if not service.layers(GOLD):
            break
        service.after(5)
        service.trading.recover("sweep of another")
    assert service.layers(GOLD) == []
    assert service.held().get("GOLDM05JAN27FUT") is None
