"""Whole weeks around and in 2027, whose holidays are not shipped: to the minute, with and without.

Every table is written down by hand; tests/integration/test_whole_weeks.py says how they read.
"""

from datetime import timedelta
from pathlib import Path

import pytest

from core.db_state_manager.states import ControlState
from core.market_calendar import MarketCalendar
from core.market_data import MarketData
from tests.fixtures.hand_service import HandService, open_hand
from tests.fixtures.live_service import BANK, default_config
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
from tests.fixtures.whole_days import scouted

pytestmark = pytest.mark.slow

NO_ROLLS = {"rollover": {"enabled": False}}
# What an operator enters once the exchanges have published their year.
OF_2027 = {
    "calendar": {
        "NSE": {
            "covered_years": [2027],
            "holidays": [
                {"date": "2027-01-26", "name": "Republic Day"},
                {"date": "2027-03-26", "name": "Good Friday"},
                {"date": "2027-04-14", "name": "Ambedkar Jayanti"},
            ],
        },
        "MCX": {
            "covered_years": [2027],
            "holidays": [
                {"date": "2027-01-01", "name": "New Year", "session": "MORNING_ONLY"},
                {"date": "2027-01-26", "name": "Republic Day"},
                {"date": "2027-03-26", "name": "Good Friday"},
                {"date": "2027-04-14", "name": "Ambedkar Jayanti", "session": "EVENING_ONLY"},
            ],
        },
    }
}
TRUE_DAYS = MarketCalendar.shipped(OF_2027["calendar"])

GOLD_JAN, GOLD_FEB = "+GOLDM05JAN27FUT", "+GOLDM05FEB27FUT"
GOLD_APR = "+GOLDM05APR27FUT"
BANK_DEC, BANK_JAN, BANK_MAR = synthetic("29DEC26"), synthetic("25JAN27"), synthetic("30MAR27")
BANK_1545 = "15:44:15 never 15:45 NOTHING BANK"
GOLD_2355 = "23:54:15 never 23:55 NOTHING GOLD"
GOLD_2330 = "23:29:15 never 23:30 NOTHING GOLD"


LAST_DAY_TRADED = [
    *enters("Fri 18 Dec 10:30", "29DEC26"),
    "Fri 18 Dec 11:00 BUY GOLDM05JAN27FUT",
    "Mon 28 Dec 09:00 SELL GOLDM05JAN27FUT",
    "Mon 28 Dec 09:00 BUY GOLDM05FEB27FUT",
    *closes("Tue 29 Dec 15:29", "29DEC26"),
    *enters("Wed 30 Dec 10:30", "25JAN27"),
    "Fri 01 Jan 16:59 SELL GOLDM05FEB27FUT",
    *closes("Mon 04 Jan 10:30", "25JAN27"),
]


LAST_DAY_HELD = {
    **nights("Fri 18 Dec", *BANK_DEC, GOLD_JAN),
    **nights("Mon 28 Dec", *BANK_DEC, GOLD_FEB),
    **nights("Tue 29 Dec", GOLD_FEB),
    **nights("Wed 30 Dec, Thu 31 Dec", *BANK_JAN, GOLD_FEB),
    **nights("Fri 01 Jan, Sat 02 Jan, Sun 03 Jan", *BANK_JAN),
    **nights("Mon 04 Jan, Tue 05 Jan"),
}


LAST_DAY_ENDS = [
    "Fri 18 Dec " + BANK_1545,
    "Mon 28 Dec " + BANK_1545,
    "Tue 29 Dec 15:29:15 15:29:30 15:30 EXIT BANK",
    *each("Wed 30 Dec, Thu 31 Dec, Fri 01 Jan, Mon 04 Jan, Tue 05 Jan", BANK_1545),
    *each(
        "Fri 18 Dec, Mon 28 Dec, Tue 29 Dec, Wed 30 Dec, Thu 31 Dec, Mon 04 Jan, Tue 05 Jan",
        GOLD_2355,
    ),
    "Fri 01 Jan 16:59:15 16:59:30 17:00 EXIT GOLD",
]


def test_the_turn_of_the_year_with_a_contract_that_is_held_on_its_last_day(
    database_url: str, open_folder: Path
) -> None:
    """As shipped, without the holidays of 2027: entries are refused, and what is held may leave.

    Bank Nifty was halted until a minute before 15:30 of its expiry day, when its contract stops.
    """
    begins = moment("Fri 18 Dec 08:30")
    with open_hand(database_url, open_folder, begins) as service:
        weeks = Weeks(service, begins)
        script = Script(
            enters=[
                "Fri 18 Dec 10:30 BANK",
                "Fri 18 Dec 11:00 GOLD",
                "Wed 30 Dec 10:30 BANK",
                "Mon 04 Jan 11:45 BANK",
                "Mon 04 Jan 12:00 GOLD",
            ],
            leaves=["Mon 04 Jan 10:30 BANK"],
            scout_leaves=["Fri 01 Jan GOLD"],
            scout_enters=["Tue 05 Jan BANK", "Tue 05 Jan GOLD"],
        )
        halted = (moment("Fri 18 Dec 16:00"), lambda: control_bank(service, ControlState.HALTED))
        at_1529 = moment("Tue 29 Dec 15:29")
        acts = [
            (at_1529, lambda: leave_by_scout(service)),
            (
                at_1529 + timedelta(seconds=5),
                lambda: control_bank(service, ControlState.ACTIVE),
            ),
        ]
        weeks.live(day("Fri 18 Dec"), day("Fri 18 Dec"), script, acts=[halted])
        weeks.live(
            day("Mon 28 Dec"),
            day("Tue 05 Jan", 2027),
            script,
            [moment("Mon 28 Dec 09:00"), moment("Mon 28 Dec 14:45"), moment("Tue 29 Dec 15:30")],
            acts=acts,
            market=TRUE_DAYS,
        )
        assert weeks.traded == LAST_DAY_TRADED
        assert sorted(weeks.ends()) == sorted(LAST_DAY_ENDS)
        assert weeks.held == LAST_DAY_HELD
        assert weeks.rolled() == ["Mon 28 Dec 09:00 GOLDM05JAN27FUT -> GOLDM05FEB27FUT"]
        assert weeks.blocked() == [
            "Mon 04 Jan 11:45 BANK OUTSIDE_COVERAGE",
            "Mon 04 Jan 12:00 GOLD OUTSIDE_COVERAGE",
        ]
        weeks.check()


NO_ROLL_TRADED = [
    *enters("Fri 18 Dec 10:30", "29DEC26"),
    "Fri 18 Dec 11:00 BUY GOLDM05JAN27FUT",
    *closes("Mon 28 Dec 14:45", "29DEC26"),
    *enters("Tue 29 Dec 15:44", "25JAN27"),
    "Wed 30 Dec 18:00 SELL GOLDM05JAN27FUT",
    "Thu 31 Dec 23:54 BUY GOLDM05FEB27FUT",
    "Fri 01 Jan 16:59 SELL GOLDM05FEB27FUT",
    "Mon 04 Jan 23:54 BUY GOLDM05FEB27FUT",
]


NO_ROLL_HELD = {
    **nights("Fri 18 Dec", *BANK_DEC, GOLD_JAN),
    **nights("Mon 28 Dec", GOLD_JAN),
    **nights("Tue 29 Dec", *BANK_JAN, GOLD_JAN),
    **nights("Wed 30 Dec", *BANK_JAN),
    **nights("Thu 31 Dec", *BANK_JAN, GOLD_FEB),
    **nights("Fri 01 Jan, Sat 02 Jan, Sun 03 Jan", *BANK_JAN),
    **nights("Mon 04 Jan, Tue 05 Jan", *BANK_JAN, GOLD_FEB),
}


NO_ROLL_ENDS = [
    *each(
        "Fri 18 Dec, Mon 28 Dec, Wed 30 Dec, Thu 31 Dec, Fri 01 Jan, Mon 04 Jan, Tue 05 Jan",
        BANK_1545,
    ),
    "Tue 29 Dec 15:44:15 15:44:30 15:45 ENTER_BASE BANK",
    *each("Fri 18 Dec, Mon 28 Dec, Tue 29 Dec, Wed 30 Dec, Tue 05 Jan", GOLD_2355),
    "Thu 31 Dec 23:54:15 23:54:30 23:55 ENTER_BASE GOLD",
    "Fri 01 Jan 16:59:15 16:59:30 17:00 EXIT GOLD",
    "Mon 04 Jan 23:54:15 23:54:30 23:55 ENTER_BASE GOLD",
]


def test_the_turn_of_the_year_with_its_holidays_entered_and_rolls_switched_off(
    database_url: str, open_folder: Path
) -> None:
    """1 January is half a day inside gold's tender window: its hard exit is a day earlier."""
    begins = moment("Fri 18 Dec 08:30")
    config, market = default_config(**NO_ROLLS), MarketData.shipped(OF_2027)
    with open_hand(database_url, open_folder, begins, config, market=market) as service:
        weeks = Weeks(service, begins)
        script = Script(
            enters=["Fri 18 Dec 10:30 BANK", "Fri 18 Dec 11:00 GOLD"],
            scout_enters=["Tue 29 Dec BANK", "Thu 31 Dec GOLD", "Mon 04 Jan GOLD"],
            scout_leaves=["Fri 01 Jan GOLD"],
        )
        weeks.live(day("Fri 18 Dec"), day("Fri 18 Dec"), script)
        exits = [moment("Mon 28 Dec 14:45"), moment("Wed 30 Dec 18:00")]
        weeks.live(day("Mon 28 Dec"), day("Tue 05 Jan", 2027), script, exits)
        assert weeks.traded == NO_ROLL_TRADED
        assert sorted(weeks.ends()) == sorted(NO_ROLL_ENDS)
        assert weeks.held == NO_ROLL_HELD
        assert weeks.rolled() == []
        weeks.check()


def test_march_when_new_york_changes_its_clock(database_url: str, open_folder: Path) -> None:
    """MCX closes at 23:30 again from Monday 15 March 2027."""
    begins = moment("Wed 10 Mar 08:30", 2027)
    market = MarketData.shipped(OF_2027)
    with open_hand(database_url, open_folder, begins, market=market) as service:
        weeks = Weeks(service, begins)
        script = Script(
            enters=["Wed 10 Mar 10:30 BANK", "Wed 10 Mar 11:00 GOLD"],
            scout_leaves=["Fri 12 Mar GOLD", "Mon 15 Mar BANK"],
            scout_enters=["Mon 15 Mar GOLD", "Tue 16 Mar BANK"],
        )
        weeks.live(day("Wed 10 Mar", 2027), day("Tue 16 Mar", 2027), script)
        assert sorted(weeks.ends()) == sorted(
            [
                *each("Wed 10 Mar, Thu 11 Mar, Fri 12 Mar", BANK_1545),
                "Mon 15 Mar 15:44:15 15:44:30 15:45 EXIT BANK",
                "Tue 16 Mar 15:44:15 15:44:30 15:45 ENTER_BASE BANK",
                *each("Wed 10 Mar, Thu 11 Mar", GOLD_2355),
                "Fri 12 Mar 23:54:15 23:54:30 23:55 EXIT GOLD",
                "Mon 15 Mar 23:29:15 23:29:30 23:30 ENTER_BASE GOLD",
                "Tue 16 Mar " + GOLD_2330,
            ]
        )
        assert weeks.traded == [
            *enters("Wed 10 Mar 10:30", "30MAR27"),
            "Wed 10 Mar 11:00 BUY GOLDM05APR27FUT",
            "Fri 12 Mar 23:54 SELL GOLDM05APR27FUT",
            *closes("Mon 15 Mar 15:44", "30MAR27"),
            "Mon 15 Mar 23:29 BUY GOLDM05APR27FUT",
            *enters("Tue 16 Mar 15:44", "30MAR27"),
        ]
        assert weeks.held == {
            **nights("Wed 10 Mar, Thu 11 Mar", *BANK_MAR, GOLD_APR),
            **nights("Fri 12 Mar, Sat 13 Mar, Sun 14 Mar", *BANK_MAR),
            **nights("Mon 15 Mar", GOLD_APR),
            **nights("Tue 16 Mar", *BANK_MAR, GOLD_APR),
        }
        assert (weeks.rolled(), weeks.refused()) == ([], [])
        weeks.check()


def test_without_the_years_holidays_nothing_is_entered_and_everything_may_leave(
    database_url: str, open_folder: Path
) -> None:
    """Incident 58: a year of which no holiday is known is unknown, and not without holidays.

    The operator's file is lost on 10 March 2027; contracts end by the rule alone.
    """
    begins = moment("Wed 10 Mar 08:30", 2027)
    market = MarketData.shipped(OF_2027)
    with open_hand(database_url, open_folder, begins, market=market) as service:
        before = Weeks(service, begins)
        script = Script(
            enters=[
                "Wed 10 Mar 10:30 BANK",
                "Wed 10 Mar 11:00 GOLD",
                "Tue 16 Mar 11:00 GOLD",
            ],
            scout_leaves=["Mon 15 Mar GOLD"],
            scout_enters=["Tue 16 Mar GOLD"],
        )
        wednesday = day("Wed 10 Mar", 2027)
        before.live(wednesday, wednesday, script)
        after = service.restarted(market=MarketData.shipped())
        weeks = Weeks(after, begins)
        try:
            weeks.live(day("Fri 12 Mar", 2027), day("Tue 16 Mar", 2027), script, market=TRUE_DAYS)
            monday = day("Mon 29 Mar", 2027)
            exits = [moment("Mon 29 Mar 14:45", 2027)]
            weeks.live(monday, monday, script, exits, market=TRUE_DAYS)
            assert weeks.traded == [
                "Mon 15 Mar 23:29 SELL GOLDM05APR27FUT",
                *closes("Mon 29 Mar 14:45", "30MAR27"),
            ]
            assert sorted(weeks.ends()) == sorted(
                [
                    *each("Wed 10 Mar, Fri 12 Mar, Mon 15 Mar, Tue 16 Mar, Mon 29 Mar", BANK_1545),
                    *each("Wed 10 Mar, Fri 12 Mar", GOLD_2355),
                    "Mon 15 Mar 23:29:15 23:29:30 23:30 EXIT GOLD",
                    *each("Tue 16 Mar, Mon 29 Mar", GOLD_2330),
                ]
            )
            assert weeks.held == {
                **nights("Fri 12 Mar, Sat 13 Mar, Sun 14 Mar", *BANK_MAR, GOLD_APR),
                **nights("Mon 15 Mar, Tue 16 Mar", *BANK_MAR),
                **nights("Mon 29 Mar"),
            }
            assert weeks.blocked() == ["Tue 16 Mar 11:00 GOLD OUTSIDE_COVERAGE"]
            assert weeks.rolled() == []
            assert weeks.refused() == ["BANK 2027-03-30 OUTSIDE_COVERAGE"]
            weeks.check()
        finally:
            after.close()


def leave_by_scout(service: HandService) -> None:
    """The Scout of a chart that ends its day with the expiring contract."""
    at = moment("Tue 29 Dec 15:29")
    price = service.layers(BANK)[0].entry_price
    service.send(scouted(BANK, at, price, leaves=True))
