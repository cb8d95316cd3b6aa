"""The driver of whole days: its turns are the calendar's, and the service lives through them.

Monday 23 November 2026 is an expiry that a holiday moved; on the 24th NSE is closed and MCX trades
in the evening only.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from core.db_state_manager.states import SignalStatus
from core.ist import IST
from core.models import SignalType
from core.webhook_parser import Alert
from tests.fixtures.hand_service import entry, open_hand
from tests.fixtures.live_service import BANK, GOLD
from tests.fixtures.whole_days import ARRIVES, Plan, PricePath, WholeDays

BEGINS = datetime(2026, 11, 23, 8, 30, tzinfo=IST)
MONDAY, TUESDAY = date(2026, 11, 23), date(2026, 11, 24)
ENTERED_AT = {BANK: "10:30", GOLD: "11:00"}


def entries(instrument: str, at: datetime, price: Decimal) -> Iterable[Alert]:
    """One base entry of each instrument, on Monday."""
    if (at.date(), f"{at:%H:%M}") == (MONDAY, ENTERED_AT[instrument]):
        yield entry(at, instrument, price)


@pytest.mark.slow
def test_two_days_of_both_markets(database_url: str, open_folder: Path) -> None:
    path = PricePath(7, BEGINS, {BANK: 30.0, GOLD: 60.0})
    with open_hand(database_url, open_folder, BEGINS) as service:
        days = WholeDays(service, Plan(MONDAY, TUESDAY, path, on_bar=entries))
        days.run()
        bars = Counter(at.date() for at in days.when(f"bar {BANK}"))
        assert bars == {MONDAY: 6}
        bars = Counter(at.date() for at in days.when(f"bar {GOLD}"))
        assert bars == {MONDAY: 15, TUESDAY: 7}
        closes = datetime(2026, 11, 24, 23, 55, tzinfo=IST)
        assert days.when(f"bar {GOLD}")[-1] == closes + ARRIVES
        scouts = [at for at in days.when(f"scout {GOLD}") if at.date() == TUESDAY]
        assert scouts == [closes - timedelta(minutes=left) for left in range(15, 0, -1)]
        ends = Counter((row.type, row.status) for row in days.signals)
        assert ends[SignalType.MARKET_DATA, SignalStatus.EXECUTED] == 28
        assert ends[SignalType.EOD_MONITOR, SignalStatus.EXECUTED] == 45
        assert ends[SignalType.BASE_ENTRY, SignalStatus.EXECUTED] == 2
        assert len(service.store.trades(10)) + len(service.store.open_positions()) == 2
        assert service.told("BARS_SILENT", "ALERT_MISSING", "STOP_PASSED") == []


def test_the_same_seed_is_the_same_market() -> None:
    evening = BEGINS + timedelta(hours=12)
    first, again = PricePath(7, BEGINS), PricePath(7, BEGINS)
    assert first.at(GOLD, evening) == again.at(GOLD, evening) != first.at(GOLD, BEGINS)
    assert PricePath(8, BEGINS).at(GOLD, evening) != first.at(GOLD, evening)
    noon = BEGINS + timedelta(hours=3)
    assert first.at(GOLD, noon) == PricePath(7, BEGINS).at(GOLD, noon)
