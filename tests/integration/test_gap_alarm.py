"""What never arrived is told once, by its name; what is only late or starts again is not."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core.db_state_manager import DatabaseStateManager
from core.instruments import InstrumentCatalog
from core.ist import IST
from core.market_calendar import MarketCalendar
from core.models import MarketDataSignal, SignalType
from core.webhook_parser import fingerprint, parse_alert
from live.example_alerts import example_alert
from live.gap_alarm import GapAlarm
from tests.fixtures.database import MAKER
from tests.fixtures.hand_clock import HandClock
from tests.fixtures.live_service import BANK, GOLD, default_config, open_desk, until
from tests.fixtures.rules import CAPITAL

MORNING = datetime(2026, 11, 30, 10, 30, tzinfo=IST)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=IST)


class Watch:
    """A store with alerts in it, and the alarm over it."""

    def __init__(self, dsn: str) -> None:
        self.clock = HandClock(MORNING)
        self.store = DatabaseStateManager(dsn, 2, self.clock, MAKER.stops)
        self.store.open_ledger(CAPITAL, "operator")
        self.alarm = self.another_alarm()

    def another_alarm(self) -> GapAlarm:
        catalog, calendar = InstrumentCatalog.shipped(), MarketCalendar.shipped()
        return GapAlarm(self.store, default_config(), catalog, calendar, self.clock)

    def arrive(self, seq: int, instrument: str = BANK, minutes: int | None = None) -> None:
        """A bar's alert, now; its bar is as late as its number, unless told otherwise."""
        bar_time = MORNING + timedelta(minutes=seq if minutes is None else minutes)
        price, atr = Decimal(58_000), Decimal(350)
        bar = MarketDataSignal(instrument, price, atr, price - atr, bar_time, seq)
        self.store.journal_signal(b"{}", bar, fingerprint(bar), self.clock.now())

    def told(self) -> list[dict[str, Any]]:
        events = self.store.events_after(0, 100)
        return [{"instrument": event.instrument} | event.payload for event in events
                if event.kind == "ALERT_MISSING"]  # fmt: skip


@pytest.fixture
def watch(database_url: str) -> Iterator[Watch]:
    found = Watch(database_url)
    yield found
    found.store.close()


def test_a_skipped_number_is_told_once_and_by_name(watch: Watch) -> None:
    """Incident 5: alerts listed by TradingView never arrived (about 3 of 138 in a week)."""
    for seq in (7, 8, 11):
        watch.arrive(seq)
    watch.arrive(3, GOLD)
    watch.clock.wait(11)
    for alarm in (watch.alarm, watch.alarm, watch.another_alarm()):
        alarm.look()
    (told,) = watch.told()
    assert (told["instrument"], told["first_missing"], told["last_missing"]) == (BANK, 9, 10)
    assert told["missing"].startswith("seq 9 to 10")


def test_what_was_overtaken_by_seconds_is_not_missing(watch: Watch) -> None:
    watch.arrive(1)
    watch.arrive(3)
    watch.clock.wait(4)
    watch.alarm.look()
    watch.arrive(2)
    watch.clock.wait(30)
    watch.alarm.look()
    assert watch.told() == []


@pytest.mark.parametrize("later", [(1, 2, 3), (2, 3), (500, 501)])
def test_a_count_that_starts_again_lower_skips_nothing(watch: Watch, later: Sequence[int]) -> None:
    for seq in (500, 501):
        watch.arrive(seq, minutes=seq - 500)
    for place, seq in enumerate(later):
        watch.arrive(seq, minutes=1440 + place)
    watch.clock.wait(11)
    watch.alarm.look()
    assert watch.told() == []


def test_the_scouts_numbers_are_slots_of_a_clock_and_none_is_missing(watch: Watch) -> None:
    payload = example_alert(SignalType.EOD_MONITOR, BANK, MORNING)
    for seq in (4, 9):
        scout = parse_alert({**payload, "seq": seq}, [BANK])
        watch.store.journal_signal(b"{}", scout, fingerprint(scout), watch.clock.now())
    watch.clock.wait(11)
    watch.alarm.look()
    assert watch.told() == []
    since = MORNING - timedelta(days=1)
    assert watch.store.alert_statistics(since, [BANK]).gaps == ()


# The bars of Bank Nifty are 75 minutes from 09:15, those of Gold Mini an hour from 09:00.
BARS = [
    (BANK, "2026-11-30T10:29", None),
    (BANK, "2026-11-30T10:30", "2026-11-30T10:30"),
    (BANK, "2026-11-30T13:50", "2026-11-30T13:00"),
    (BANK, "2026-11-29T13:50", None),
    (BANK, "2028-06-01T13:50", "2028-06-01T13:00"),  # its holidays are not published
    (GOLD, "2026-11-30T09:59", None),
    (GOLD, "2026-11-30T18:59", "2026-11-30T18:00"),
    (GOLD, "2026-11-30T23:58", "2026-11-30T23:55"),
]


@pytest.mark.parametrize(("instrument", "by", "closed"), BARS)
def test_the_bars_are_the_days_own(
    watch: Watch, instrument: str, by: str, closed: str | None
) -> None:
    wanted = None if closed is None else moment(closed)
    assert watch.alarm.last_bar_closed(instrument, moment(by)) == wanted


def test_a_held_layer_without_its_bar_raises_an_alarm(database_url: str, open_folder: Path) -> None:
    """Incident 5: bars are the heartbeat; without one the stops of what is held stand still."""
    with open_desk(database_url, open_folder) as desk:
        desk.alert("BASE_ENTRY", GOLD)
    watch = Watch(database_url)
    watch.clock.moment = datetime(2026, 11, 30, 11, 0, 30, tzinfo=IST)
    watch.alarm.look()
    assert watch.told() == []
    watch.clock.wait(31)
    for alarm in (watch.alarm, watch.another_alarm()):
        alarm.look()
    (told,) = watch.told()
    assert told["instrument"] == GOLD
    assert told["missing"] == "the bar that closed at 2026-11-30T11:00:00+05:30"
    watch.clock.wait(3540)
    watch.arrive(1, GOLD, minutes=90)
    watch.clock.wait(65)
    watch.alarm.look()
    assert len(watch.told()) == 1
    watch.store.close()


def test_the_service_looks_by_itself(database_url: str, open_folder: Path) -> None:
    with open_desk(database_url, open_folder) as desk:
        for seq in (4, 6):
            received = desk.clock.now() - timedelta(seconds=20 - seq)
            price = Decimal(128_000)
            bar = MarketDataSignal(GOLD, price, Decimal(900), price - 900, received, seq)
            desk.store.journal_signal(b"{}", bar, fingerprint(bar), received)

        def alarms() -> list[object]:
            events = desk.store.events_after(0, 100)
            return [event for event in events if event.kind == "ALERT_MISSING"]

        assert len(until(alarms)) == 1
