"""A whole service ends its day: the Scout over HTTP, the leader's job, the engine's own threads."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from core.config import PortfolioConfig
from core.db_state_manager import DatabaseStateManager
from core.eod_monitor import EodVerdict, Judgement
from core.eod_scheduler import EodScheduler, EodWindow
from core.instruments import InstrumentCatalog
from core.ist import IST
from core.market_calendar import MarketCalendar
from live.clock import SystemClock
from live.doctor.end_of_day import check_end_of_day
from live.doctor.findings import Level
from live.service import build
from tests.fixtures.database import database
from tests.fixtures.eod_desk import CONDITIONS
from tests.fixtures.live_service import (
    BANK,
    CAPITAL,
    GOLD,
    QUICK,
    Desk,
    alert,
    default_config,
    settings_of,
    until,
)
from tests.fixtures.paper_process import PaperProcess
from tests.fixtures.web import web_on

CLOSE = datetime(2026, 11, 30, 23, 55, tzinfo=IST)
BAR = datetime(2026, 11, 30, 23, 0, tzinfo=IST)
# Long moments, so that a slow machine misses none of them.
MOMENTS = {"judge_s": 400, "order_s": 390, "chase_s": 120, "end_s": 5, "fresh_s": 300}


def rules() -> PortfolioConfig:
    return default_config(eod=MOMENTS)


@contextmanager
def service_at(dsn: str, folder: Path, moment: datetime) -> Iterator[Desk]:
    """A service whose clock runs from `moment` on; it leads, as nobody else is there."""
    ahead_s = (moment - SystemClock().now()).total_seconds()
    options = ("--carry-pct", "0", "--clock-offset-s", str(ahead_s))
    with PaperProcess(folder / "paper", *options) as paper:
        settings = settings_of(dsn, folder, paper, clock_offset_s=ahead_s, portfolio_config=rules())
        service = build(settings, QUICK)
        service.store.open_ledger(CAPITAL, "operator")
        service.start()
        clock = SystemClock(ahead_s)
        try:
            yield Desk(service, paper, service.store, clock, service.app.test_client())
        finally:
            service.stop()


def test_a_service_ends_its_day_and_the_bars_own_alert_finds_it_done(
    database_url: str, open_folder: Path
) -> None:
    """Incident 11: the bar-close alert repeated what the end of the day had executed."""
    with service_at(database_url, open_folder, CLOSE - timedelta(seconds=380)) as desk:
        conditions = dict.fromkeys(CONDITIONS, True) | {"long_exit": False}
        scout = alert(desk.clock.now(), "EOD_MONITOR", GOLD, conditions=conditions, er=0.8)
        assert desk.send(scout)["code"] == "RECORDED"
        until(desk.held)
        until(lambda: ended(desk))
        assert len(desk.sent()) == 1
        answer = desk.send(alert(BAR, "BASE_ENTRY", GOLD))
        assert answer["status"] == "duplicate"
        assert answer["code"] == "ENTER_BASE"
        assert answer["reason"].startswith("already executed at EOD: ")
        assert len(desk.sent()) == 1
        shown = desk.operate("GET", "/eod/status")
        gold = next(item for item in shown["instruments"] if item["instrument"] == GOLD)
        assert gold["times"]["closes_at"] == CLOSE.isoformat()
        assert gold["progress"]["phase"] == "ended"
        assert gold["progress"]["judged_signal_id"] == gold["last_alert"]["signal_id"]
        (signal,) = gold["progress"]["signals"]
        assert (signal["type"], signal["position"]) == ("BASE_ENTRY", "Long_1")
        assert (signal["status"], signal["signal_id"]) == ("executed", answer["signal_id"])


def ended(desk: Desk) -> bool:
    run = desk.store.eod_run(GOLD, CLOSE.date())
    return run is not None and run.ended_at is not None


@pytest.fixture
def store(database_url: str) -> Iterator[DatabaseStateManager]:
    manager = database(database_url)
    yield manager
    manager.close()


def test_before_anything_is_judged_the_moments_are_shown(store: DatabaseStateManager) -> None:
    """5 January 2026: an NSE close of 15:30, and New York in winter."""
    shown = {row["instrument"]: row for row in web_on(store).read("/eod/status")["instruments"]}
    assert shown[BANK]["times"]["judge_at"] == "2026-01-05T15:29:15+05:30"
    assert shown[BANK]["times"]["order_at"] == "2026-01-05T15:29:30+05:30"
    assert shown[GOLD]["times"]["closes_at"] == "2026-01-05T23:55:00+05:30"
    for row in shown.values():
        assert row["enabled"] is True
        assert (row["progress"], row["last_alert"], row["no_times"]) == (None, None, None)


def test_a_day_without_an_end_says_why(store: DatabaseStateManager) -> None:
    web = web_on(store)
    web.clock.moment = datetime(2026, 11, 24, 10, 0, tzinfo=IST)
    shown = {row["instrument"]: row for row in web.read("/eod/status")["instruments"]}
    assert shown[BANK]["times"] is None
    assert shown[BANK]["no_times"] == "NSE is closed on 2026-11-24"
    assert shown[GOLD]["times"]["closes_at"] == "2026-11-24T23:55:00+05:30"


def test_a_day_that_opens_nothing_says_why(store: DatabaseStateManager) -> None:
    web = web_on(store)
    web.clock.moment = datetime(2027, 3, 15, 10, 0, tzinfo=IST)
    (bank, gold) = web.read("/eod/status")["instruments"]
    assert "2027" in bank["times"]["entries_refused"]
    assert gold["times"]["closes_at"] == "2027-03-15T23:30:00+05:30"


@pytest.mark.parametrize(
    ("verdict", "level", "advice"),
    [
        (EodVerdict.SILENT, Level.WARN, "TradingView"),
        (EodVerdict.MISSED, Level.WARN, "log"),
        (EodVerdict.NOTHING, Level.OK, ""),
    ],
)
def test_the_doctor_looks_at_the_last_end_of_day(
    store: DatabaseStateManager, database_url: str, verdict: EodVerdict, level: Level, advice: str
) -> None:
    epoch = store.begin_leadership("somebody")
    day = CLOSE.date()
    window = EodScheduler(rules(), InstrumentCatalog.shipped(), MarketCalendar.shipped()).window(
        GOLD, day
    )
    assert isinstance(window, EodWindow)
    store.judge_eod(epoch, window, Judgement(verdict, "for a test"), None)
    (found,) = check_end_of_day(database_url)
    assert (found.level, found.about) == (level, "end of day")
    assert found.found == f"GOLD_MINI on 2026-11-30: {verdict}, for a test"
    assert advice in found.advice


def test_the_doctor_has_nothing_to_say_of_no_end_of_day(database_url: str) -> None:
    assert list(check_end_of_day(database_url)) == []
    assert list(check_end_of_day(None)) == []
