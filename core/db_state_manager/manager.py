"""Everything that is stored, behind one name."""

from core.db_state_manager.broker_books import BrokerBooks
from core.db_state_manager.capital import Capital
from core.db_state_manager.closings import Closings
from core.db_state_manager.end_of_day import EndOfDay
from core.db_state_manager.history import History
from core.db_state_manager.lot_sizes import LotSizes
from core.db_state_manager.missing_alerts import MissingAlerts
from core.db_state_manager.operation import Operation
from core.db_state_manager.operators import Operators
from core.db_state_manager.outbox import Outbox
from core.db_state_manager.outside import OutsideTrades
from core.db_state_manager.overview import Overview
from core.db_state_manager.signals import SignalJournal
from core.db_state_manager.strategies import Strategies
from core.db_state_manager.upkeep import Upkeep
from core.db_state_manager.watching import Watching


class DatabaseStateManager(
    SignalJournal,
    History,
    Overview,
    Capital,
    Strategies,
    Operation,
    Operators,
    BrokerBooks,
    LotSizes,
    OutsideTrades,
    Outbox,
    MissingAlerts,
    Upkeep,
    Watching,
    EndOfDay,
    Closings,
):
    """The database: `DatabaseStateManager(dsn, pool_size, clock, stops)`.

    Each room of the package holds its part of the methods and their SQL. All of them raise
    `Retryable` when nothing was committed and `OutcomeUnknown` when a commit got no answer.
    """
