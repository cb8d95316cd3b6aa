"""Whole weeks of 2026 by a hand clock: ends of days, rolls and hard exits, to the minute.

Every table is written down by hand from the exchanges' calendars and the contracts' own terms. An
end of a day reads: judged, ordered, the close it kept to, its verdict.
"""

from datetime import timedelta
from pathlib import Path

import pytest

from core.db_state_manager.states import ControlState
from tests.fixtures.hand_service import open_hand
from tests.fixtures.live_service import default_config
from tests.fixtures.week_story import (
    Script,
    Weeks,
    closes,
    control_bank,
    day,
    each,
    enters,
    moment,
    nights,
    synthetic,
)

pytestmark = pytest.mark.slow

NO_ROLLS = {"rollover": {"enabled": False}}
GOLD_DEC, GOLD_JAN = "+GOLDM04DEC26FUT", "+GOLDM05JAN27FUT"
BANK_NOV, BANK_DEC = synthetic("23NOV26"), synthetic("29DEC26")
BANK_1540 = "15:39:15 never 15:40 NOTHING BANK"
GOLD_2355 = "23:54:15 never 23:55 NOTHING GOLD"


NOVEMBER_TRADED = [
    *enters("Fri 13 Nov 10:30", "23NOV26"),
    *closes("Tue 17 Nov 09:15", "23NOV26"),
    *enters("Tue 17 Nov 09:15", "29DEC26"),
    "Tue 17 Nov 23:54 BUY GOLDM04DEC26FUT",
    "Tue 24 Nov 23:54 SELL GOLDM04DEC26FUT",
    "Wed 25 Nov 11:00 BUY GOLDM04DEC26FUT",
    *closes("Wed 25 Nov 15:39", "29DEC26"),
    "Thu 26 Nov 09:00 SELL GOLDM04DEC26FUT",
    "Thu 26 Nov 09:00 BUY GOLDM05JAN27FUT",
    *enters("Thu 26 Nov 15:39", "29DEC26"),
]


NOVEMBER_HELD = {
    **nights("Fri 13 Nov", *BANK_NOV),
    **nights(
        "Tue 17 Nov, Wed 18 Nov, Thu 19 Nov, Fri 20 Nov, Sat 21 Nov, Sun 22 Nov, Mon 23 Nov",
        *BANK_DEC,
        GOLD_DEC,
    ),
    **nights("Tue 24 Nov", *BANK_DEC),
    **nights("Wed 25 Nov", GOLD_DEC),
    **nights("Thu 26 Nov, Fri 27 Nov", *BANK_DEC, GOLD_JAN),
}


NOVEMBER_ENDS = [
    *each(
        "Fri 13 Nov, Tue 17 Nov, Wed 18 Nov, Thu 19 Nov, Fri 20 Nov, Mon 23 Nov, Fri 27 Nov",
        BANK_1540,
    ),
    "Wed 25 Nov 15:39:15 15:39:30 15:40 EXIT BANK",
    "Thu 26 Nov 15:39:15 15:39:30 15:40 ENTER_BASE BANK",
    *each(
        "Fri 13 Nov, Wed 18 Nov, Thu 19 Nov, Fri 20 Nov, Mon 23 Nov, Wed 25 Nov, "
        "Thu 26 Nov, Fri 27 Nov",
        GOLD_2355,
    ),
    "Tue 17 Nov 23:54:15 23:54:30 23:55 ENTER_BASE GOLD",
    "Tue 24 Nov 23:54:15 23:54:30 23:55 EXIT GOLD",
]


def test_november_with_an_expiry_on_monday_and_an_evening_only_day(
    database_url: str, open_folder: Path
) -> None:
    """Incidents 52 and 57: an expiry that a holiday moved, and a market open in its evening only.

    Bank Nifty's window opened on Monday the 16th, gold's opens on the 26th.
    """
    begins = moment("Fri 13 Nov 08:30")
    with open_hand(database_url, open_folder, begins) as service:
        weeks = Weeks(service, begins)
        script = Script(
            enters=["Fri 13 Nov 10:30 BANK", "Wed 25 Nov 11:00 GOLD"],
            scout_enters=["Tue 17 Nov GOLD", "Thu 26 Nov BANK"],
            scout_leaves=["Tue 24 Nov GOLD", "Wed 25 Nov BANK"],
        )
        rolls = [moment("Tue 17 Nov 09:15"), moment("Thu 26 Nov 09:00")]
        weeks.live(day("Fri 13 Nov"), day("Fri 13 Nov"), script)
        weeks.live(day("Tue 17 Nov"), day("Fri 27 Nov"), script, rolls)
        assert sorted(weeks.ends()) == sorted(NOVEMBER_ENDS)
        assert weeks.traded == NOVEMBER_TRADED
        assert weeks.rolled() == [
            "Tue 17 Nov 09:15 BANKNIFTY23NOV2658000CE BANKNIFTY23NOV2658000PE -> "
            "BANKNIFTY29DEC2658000CE BANKNIFTY29DEC2658000PE",
            "Thu 26 Nov 09:00 GOLDM04DEC26FUT -> GOLDM05JAN27FUT",
        ]
        assert weeks.held == NOVEMBER_HELD
        assert weeks.refused() == []
        weeks.check()


def test_what_is_not_rolled_leaves_before_an_expiry_that_a_holiday_moved(
    database_url: str, open_folder: Path
) -> None:
    """Incident 54: its weekday was a constant. It ends on Monday, so it leaves on Friday."""
    begins = moment("Fri 13 Nov 08:30")
    config = default_config(**NO_ROLLS)
    with open_hand(database_url, open_folder, begins, config) as service:
        weeks = Weeks(service, begins)
        script = Script(
            enters=["Fri 13 Nov 10:30 BANK", "Fri 13 Nov 11:00 GOLD"],
            scout_enters=["Mon 23 Nov BANK"],
        )
        weeks.live(day("Fri 13 Nov"), day("Fri 13 Nov"), script)
        weeks.live(day("Fri 20 Nov"), day("Mon 23 Nov"), script, [moment("Fri 20 Nov 14:40")])
        assert weeks.traded == [
            *enters("Fri 13 Nov 10:30", "23NOV26"),
            "Fri 13 Nov 11:00 BUY GOLDM04DEC26FUT",
            *closes("Fri 20 Nov 14:40", "23NOV26"),
            *enters("Mon 23 Nov 15:39", "29DEC26"),
        ]
        assert sorted(weeks.ends()) == sorted(
            [
                *each("Fri 13 Nov, Fri 20 Nov", BANK_1540),
                "Mon 23 Nov 15:39:15 15:39:30 15:40 ENTER_BASE BANK",
                *each("Fri 13 Nov, Fri 20 Nov, Mon 23 Nov", GOLD_2355),
            ]
        )
        assert weeks.held == {
            **nights("Fri 13 Nov", *BANK_NOV, GOLD_DEC),
            **nights("Fri 20 Nov, Sat 21 Nov, Sun 22 Nov", GOLD_DEC),
            **nights("Mon 23 Nov", *BANK_DEC, GOLD_DEC),
        }
        assert weeks.rolled() == []
        assert weeks.refused() == ["BANK 2026-11-23 ROLLOVER_DISABLED"]
        weeks.check()


def test_on_its_expiry_day_a_contract_is_left_and_never_rolled(
    database_url: str, open_folder: Path
) -> None:
    """Halted over its whole window and its hard exit, resumed at 10:00:30 on its last day."""
    begins = moment("Fri 13 Nov 08:30")
    with open_hand(database_url, open_folder, begins) as service:
        weeks = Weeks(service, begins)
        script = Script(enters=["Fri 13 Nov 10:30 BANK", "Fri 13 Nov 11:00 GOLD"])
        halted = (moment("Fri 13 Nov 16:00"), lambda: control_bank(service, ControlState.HALTED))
        resumed_at = moment("Mon 23 Nov 10:00") + timedelta(seconds=30)
        resumed = (resumed_at, lambda: control_bank(service, ControlState.ACTIVE))
        exact = [moment("Fri 20 Nov 14:40"), moment("Mon 23 Nov 10:05")]
        weeks.live(day("Fri 13 Nov"), day("Fri 13 Nov"), script, acts=[halted])
        weeks.live(
            day("Fri 20 Nov"), day("Mon 23 Nov"), script, exact, acts=[resumed], coarse_s=900.0
        )
        assert weeks.traded == [
            *enters("Fri 13 Nov 10:30", "23NOV26"),
            "Fri 13 Nov 11:00 BUY GOLDM04DEC26FUT",
            *closes("Mon 23 Nov 10:05", "23NOV26"),
        ]
        held = nights("Fri 13 Nov, Fri 20 Nov, Sat 21 Nov, Sun 22 Nov", *BANK_NOV, GOLD_DEC)
        assert weeks.held == held | nights("Mon 23 Nov", GOLD_DEC)
        assert weeks.rolled() == []
        assert weeks.refused() == [
            "BANK 2026-11-23 ENTRIES_BLOCKED",
            "BANK 2026-11-23 HALTED",
        ]
        assert sorted(weeks.ends()) == sorted(
            [
                *each("Fri 13 Nov, Fri 20 Nov, Mon 23 Nov", BANK_1540),
                *each("Fri 13 Nov, Fri 20 Nov, Mon 23 Nov", GOLD_2355),
            ]
        )
        weeks.check()


DECEMBER_TRADED = [
    "Wed 25 Nov 11:00 BUY GOLDM04DEC26FUT",
    "Mon 30 Nov 09:00 SELL GOLDM04DEC26FUT",
    "Mon 30 Nov 09:00 BUY GOLDM05JAN27FUT",
    *enters("Mon 30 Nov 10:30", "29DEC26"),
    "Fri 04 Dec 23:54 SELL GOLDM05JAN27FUT",
    *closes("Mon 07 Dec 15:44", "29DEC26"),
    "Mon 07 Dec 23:54 BUY GOLDM05JAN27FUT",
    *enters("Tue 08 Dec 15:44", "29DEC26"),
]


DECEMBER_HELD = {
    **nights("Wed 25 Nov, Sat 28 Nov, Sun 29 Nov", GOLD_DEC),
    **nights("Mon 30 Nov, Tue 01 Dec, Wed 02 Dec, Thu 03 Dec", *BANK_DEC, GOLD_JAN),
    **nights("Fri 04 Dec, Sat 05 Dec, Sun 06 Dec", *BANK_DEC),
    **nights("Mon 07 Dec", GOLD_JAN),
    **nights("Tue 08 Dec", *BANK_DEC, GOLD_JAN),
}


DECEMBER_ENDS = [
    *each(
        "Wed 25 Nov, Mon 30 Nov, Tue 01 Dec, Wed 02 Dec, Thu 03 Dec, Fri 04 Dec",
        BANK_1540,
    ),
    "Mon 07 Dec 15:44:15 15:44:30 15:45 EXIT BANK",
    "Tue 08 Dec 15:44:15 15:44:30 15:45 ENTER_BASE BANK",
    *each(
        "Wed 25 Nov, Mon 30 Nov, Tue 01 Dec, Wed 02 Dec, Thu 03 Dec, Tue 08 Dec",
        GOLD_2355,
    ),
    "Fri 04 Dec 23:54:15 23:54:30 23:55 EXIT GOLD",
    "Mon 07 Dec 23:54:15 23:54:30 23:55 ENTER_BASE GOLD",
]


def test_december_before_the_tender_and_with_a_close_that_moves_to_a_quarter_to_four(
    database_url: str, open_folder: Path
) -> None:
    """Incident 51: work for the end of the day began after the close.

    The leader was away when gold's window opened: it rolls on Monday, before the tender.
    """
    begins = moment("Wed 25 Nov 08:30")
    with open_hand(database_url, open_folder, begins) as service:
        weeks = Weeks(service, begins)
        script = Script(
            enters=["Wed 25 Nov 11:00 GOLD", "Mon 30 Nov 10:30 BANK"],
            scout_enters=["Tue 08 Dec BANK", "Mon 07 Dec GOLD"],
            scout_leaves=["Mon 07 Dec BANK", "Fri 04 Dec GOLD"],
        )
        weeks.live(day("Wed 25 Nov"), day("Wed 25 Nov"), script)
        weeks.live(day("Sat 28 Nov"), day("Tue 08 Dec"), script, [moment("Mon 30 Nov 09:00")])
        assert sorted(weeks.ends()) == sorted(DECEMBER_ENDS)
        assert weeks.traded == DECEMBER_TRADED
        assert weeks.rolled() == ["Mon 30 Nov 09:00 GOLDM04DEC26FUT -> GOLDM05JAN27FUT"]
        assert weeks.held == DECEMBER_HELD
        weeks.check()


def test_gold_that_is_not_rolled_leaves_an_hour_before_its_hard_exit(
    database_url: str, open_folder: Path
) -> None:
    """GOLDM04DEC26: the tender begins on 2 December, so all is gone by 19:00 on the 1st."""
    begins = moment("Wed 25 Nov 08:30")
    config = default_config(**NO_ROLLS)
    with open_hand(database_url, open_folder, begins, config) as service:
        weeks = Weeks(service, begins)
        script = Script(
            enters=["Wed 25 Nov 11:00 GOLD", "Wed 25 Nov 11:45 BANK"],
            scout_enters=["Tue 01 Dec GOLD"],
        )
        weeks.live(day("Wed 25 Nov"), day("Wed 25 Nov"), script)
        weeks.live(day("Mon 30 Nov"), day("Wed 02 Dec"), script, [moment("Tue 01 Dec 18:00")])
        assert weeks.traded == [
            "Wed 25 Nov 11:00 BUY GOLDM04DEC26FUT",
            *enters("Wed 25 Nov 11:45", "29DEC26"),
            "Tue 01 Dec 18:00 SELL GOLDM04DEC26FUT",
            "Tue 01 Dec 23:54 BUY GOLDM05JAN27FUT",
        ]
        assert weeks.held == {
            **nights("Wed 25 Nov, Mon 30 Nov", *BANK_DEC, GOLD_DEC),
            **nights("Tue 01 Dec, Wed 02 Dec", *BANK_DEC, GOLD_JAN),
        }
        assert weeks.rolled() == []
        assert weeks.refused() == ["GOLD 2026-12-04 ROLLOVER_DISABLED"]
        assert sorted(weeks.ends()) == sorted(
            [
                *each("Wed 25 Nov, Mon 30 Nov, Tue 01 Dec, Wed 02 Dec", BANK_1540),
                *each("Wed 25 Nov, Mon 30 Nov, Wed 02 Dec", GOLD_2355),
                "Tue 01 Dec 23:54:15 23:54:30 23:55 ENTER_BASE GOLD",
            ]
        )
        weeks.check()
