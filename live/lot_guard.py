"""No entry is sent in lots that nobody has confirmed: a lot may be 1, 10 or 100 of the same gold.

What one lot is sent as differs between brokers and between versions of the gateway, and nothing
in an order says which was meant. An operator confirms it once. Another value afterwards locks the
instrument for entries until it is confirmed anew; exits are never kept back. On paper, where no
money moves, the first value that is seen is the confirmed one.
"""

from dataclasses import dataclass
from datetime import date

from brokers.messages import Contract, SymbolInfo
from brokers.port import Broker
from core.contracts import Contracts
from core.db_state_manager import DatabaseStateManager
from core.errors import Rejected
from core.instruments import InstrumentCatalog

LOTSIZE_CHANGED = "LOTSIZE_CHANGED"
LOTSIZE_UNCONFIRMED = "LOTSIZE_UNCONFIRMED"
_WHO = "lot guard"


@dataclass(frozen=True, slots=True)
class LotStanding:
    """An instrument's lot at the broker today, and the confirmed one; None where there is none."""

    instrument: str
    symbol: str
    brokers: int
    confirmed: int | None

    @property
    def agrees(self) -> bool:
        """Whether entries may be sent in it."""
        return self.brokers == self.confirmed


@dataclass(frozen=True, slots=True)
class LotGuard:
    """Guards the instruments whose lot says nothing about money; the others' rows are dated."""

    store: DatabaseStateManager
    broker: Broker
    broker_name: str
    catalog: InstrumentCatalog
    contracts: Contracts
    is_paper: bool

    @property
    def guarded(self) -> tuple[str, ...]:
        """The instruments that need a confirmation."""
        specs = self.catalog.items()
        return tuple(name for name, spec in specs if spec.fixed_point_value is not None)

    def check(self, instrument: str, info: SymbolInfo) -> None:
        """Raise Rejected unless one lot is what was confirmed; another value locks."""
        if instrument not in self.guarded:
            return
        known = self.store.confirmed_lot_sizes(self.broker_name).get(instrument)
        if known is None and self.is_paper:
            self.store.confirm_first_lot_size(
                self.broker_name, instrument, info.lot_size, "first seen on paper"
            )
        elif known is None:
            raise Rejected(
                LOTSIZE_UNCONFIRMED,
                f"the broker sends one lot of {instrument} as {info.lot_size}: hold that against "
                f"its contract note, then {_how(instrument, info.lot_size)}",
            )
        elif known.lot_size != info.lot_size:
            why = (
                f"one lot of {instrument} is {info.lot_size} at the broker, {known.lot_size} was "
                f"confirmed: see what changed there, then {_how(instrument, info.lot_size)}"
            )
            self.store.lock_instrument(instrument, LOTSIZE_CHANGED, why, _WHO)
            raise Rejected(LOTSIZE_CHANGED, why)

    def confirm(self, instrument: str, lot_size: int, day: date, who: str) -> None:
        """Take the broker's present value as looked at, and release its lock.

        Raises Rejected for another value than the broker's, and what the broker raises.
        """
        if instrument not in self.guarded:
            raise Rejected("NOT_GUARDED", f"only {', '.join(self.guarded)} needs a confirmation")
        found = self._brokers(instrument, day)
        if found.lot_size != lot_size:
            raise Rejected(
                "LOTSIZE_IS_ANOTHER",
                f"the broker's lot of {instrument} is {found.lot_size} and not {lot_size}",
            )
        self.store.confirm_lot_size(self.broker_name, instrument, lot_size, who)
        self.store.unlock_instrument(instrument, LOTSIZE_CHANGED, who)

    def standings(self, day: date) -> tuple[LotStanding, ...]:
        """How each guarded instrument stands. Raises what the broker and the database raise."""
        confirmed = self.store.confirmed_lot_sizes(self.broker_name)
        found = []
        for instrument in self.guarded:
            info, known = self._brokers(instrument, day), confirmed.get(instrument)
            size = None if known is None else known.lot_size
            found.append(LotStanding(instrument, info.contract.symbol, info.lot_size, size))
        return tuple(found)

    def _brokers(self, instrument: str, day: date) -> SymbolInfo:
        """The contract that an entry of that day would trade, in the broker's master."""
        symbol = self.contracts.terms(instrument, day).symbol
        if symbol is None:
            raise Rejected("NOT_GUARDED", f"{instrument} has no contract of its own")
        return self.broker.symbol(Contract(symbol, self.catalog[instrument].broker_exchange))


def _how(instrument: str, lot_size: int) -> str:
    return f"portfolio_manager.py sync --confirm-lotsize {instrument}={lot_size}"
