"""The database before the first worker: waited for, brought to this program's schema, funded once.

Nothing is ever started beside a database that cannot be reached: an empty book would be a lie.
"""

import logging
import time
from contextlib import closing
from decimal import Decimal

from psycopg2.extensions import make_dsn, parse_dsn

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.capital import EVER_BOOKED
from core.decision import DecisionMaker
from core.errors import ConfigInvalid, Retryable
from core.migrations import migrate
from live.clock import SystemClock
from live.settings import OperatorSettings

PAPER_CAPITAL = Decimal(5_000_000)
_CONNECT_S = "3"
_PAUSE_S = 2.0
_WHO = "launcher"
_LOG = logging.getLogger(__name__)

# What the operator put into the account and took out of it, rupees.
PUT_IN = """
SELECT coalesce(sum(amount), 0) FROM capital_transactions
WHERE kind IN ('DEPOSIT', 'WITHDRAW')"""


def bring_up_to_date(database_url: str) -> None:
    """Apply missing migrations, as soon as the database can be reached. Raises InputInvalid."""
    told = ""
    while True:
        try:
            for migration in migrate(impatient(database_url)):
                _LOG.info("applied migration %03d %s", migration.version, migration.name)
        except Retryable as error:
            if str(error) != told:
                _LOG.warning("waiting for the database; nothing is started without: %s", error)
            told = str(error)
            time.sleep(_PAUSE_S)
        else:
            return


def impatient(database_url: str) -> str:
    """The same address, with a bound on how long it is tried unless it says so itself."""
    if "connect_timeout" in parse_dsn(database_url):
        return database_url
    return str(make_dsn(database_url, connect_timeout=_CONNECT_S))


def fund(database_url: str, settings: OperatorSettings, capital: Decimal | None) -> Decimal:
    """Book the first deposit of an empty ledger; the rupees put into the account so far.

    Raises ConfigInvalid where real money would be traded on a capital that nobody named.
    """
    clock = SystemClock(settings.clock_offset_s)
    stops = DecisionMaker(settings.portfolio_config).stops
    with closing(DatabaseStateManager(database_url, 1, clock, stops)) as store:
        if store.rows(EVER_BOOKED) == [(False,)]:
            if capital is None and settings.gateway is not None:
                raise ConfigInvalid(
                    "--capital",
                    "",
                    "the first start at a real gateway needs the account's rupees: "
                    "./start_all.sh start --capital 5000000",
                )
            store.open_ledger(capital or PAPER_CAPITAL, _WHO)
            _LOG.info("opened the ledger with %s rupees", capital or PAPER_CAPITAL)
        elif capital is not None:
            _LOG.warning("--capital is for the first start only; the ledger is as it was")
        return Decimal(store.rows(PUT_IN)[0][0])
