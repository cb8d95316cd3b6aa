"""What a trading day begins with: a session that shows prices, contracts of the day, known lots.

A session that has died still answers when asked whether the gateway is up; a real quote does not.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import date

from brokers.factory import create_broker
from brokers.messages import Contract
from brokers.port import Broker
from core.contracts import Contracts
from core.db_state_manager import DatabaseStateManager
from core.decision import DecisionMaker
from core.errors import PortfolioError
from live.clock import SystemClock
from live.doctor.findings import Finding, fail, fine, warn
from live.expiry_utils import ContractChooser, FutureChoice
from live.lot_guard import LotGuard
from live.settings import Gateway, ProcessSettings

_SESSION = "log in at the gateway again: a session ends near 03:00 IST"


def check_market(
    gateway: Gateway, database_url: str | None, settings: ProcessSettings, offset_s: float
) -> Iterator[Finding]:
    """A quote, the contracts that an entry would trade today, and the lots they are sent in."""
    clock, config = SystemClock(offset_s), settings.portfolio_config
    catalog = settings.market.catalog
    contracts = Contracts(settings.market.calendar, catalog)
    broker = create_broker(gateway.address, gateway.mode, clock, 1)
    with closing(broker):
        day = clock.now().date()
        chooser = ContractChooser(contracts, catalog, broker)
        for name, each in config.instruments.items():
            if each.enabled:
                yield from check_contract(broker, chooser, name, day)
        if database_url is None:
            yield warn("lot sizes", "the database does not run", "look again after the start")
            return
        maker = DecisionMaker(config)
        with closing(DatabaseStateManager(database_url, 1, clock, maker.stops)) as store:
            name = "paper" if gateway.is_paper else "openalgo"
            guard = LotGuard(store, broker, name, catalog, contracts, gateway.is_paper)
            yield from check_lots(guard, day)


def check_contract(
    broker: Broker, chooser: ContractChooser, instrument: str, day: date
) -> Iterator[Finding]:
    """Whether the contracts that an entry would trade are listed, and have a real quote."""
    about = f"contract of {instrument}"
    try:
        choice = chooser.choose(instrument, day)
        info = choice.future if isinstance(choice, FutureChoice) else choice.call
        contract: Contract = info.contract
        price = broker.quote(contract).ltp
    except PortfolioError as error:
        yield fail(about, str(error), _SESSION)
    else:
        yield fine(about, f"{contract} is listed, and is at {price:f}")


def check_lots(guard: LotGuard, day: date) -> Iterator[Finding]:
    """Whether one lot is at the broker what somebody confirmed."""
    for found in guard.standings(day):
        about = f"lot of {found.instrument}"
        how = f"portfolio_manager.py sync --confirm-lotsize {found.instrument}={found.brokers}"
        if found.agrees:
            yield fine(about, f"{found.brokers}, as confirmed")
        elif found.confirmed is None and guard.is_paper:
            yield fine(about, f"{found.brokers}; the first entry on paper confirms it")
        elif found.confirmed is None:
            told = f"{found.brokers} at the broker; nobody has confirmed it, entries are refused"
            yield warn(about, told, f"hold it against a contract note, then {how}")
        else:
            told = f"{found.brokers} at the broker, {found.confirmed} was confirmed"
            yield warn(about, f"{told}: entries are refused", f"see what changed, then {how}")
