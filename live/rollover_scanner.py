"""What has to leave its contract, and by when: by the calendar and what is held, asking no broker.

Layers are judged by the contract they hold, each time anew: a layer that was rolled is due again
when its next contract is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from core.config import RolloverConfig
from core.contracts import Contracts
from core.db_state_manager import DatabaseStateManager
from core.instruments import InstrumentCatalog
from core.market_calendar import MarketCalendar
from core.models import Position
from core.ports import Clock
from core.rollover import RollStep, roll_window
from core.symbols import parse
from live.trading_hours import TradingHours


@dataclass(frozen=True, slots=True)
class HeldLayer:
    """A layer and the contracts it is in."""

    position_id: str
    layer: int
    lots: int
    contracts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expiring:
    """The layers of an instrument in contracts of one expiry, and what is due of them.

    From `opens` on they are rolled, from `exit_from` on closed; at `gone_by` nothing may be left.
    `is_open` says whether the market trades long enough from now on for what is due.
    """

    instrument: str
    expiry: date
    opens: date
    exit_from: datetime
    gone_by: datetime
    provisional: bool
    step: RollStep
    is_open: bool
    layers: tuple[HeldLayer, ...]


class RolloverScanner:
    """Scans the book."""

    def __init__(
        self,
        store: DatabaseStateManager,
        contracts: Contracts,
        calendar: MarketCalendar,
        catalog: InstrumentCatalog,
        config: RolloverConfig,
        clock: Clock,
    ) -> None:
        self._store = store
        self._contracts = contracts
        self._calendar = calendar
        self._catalog = catalog
        self._clock = clock
        self._hours = TradingHours(calendar, catalog)
        self._lead = timedelta(minutes=config.exit_lead_min)
        self._left = timedelta(minutes=config.session_left_min)

    def scan(self) -> tuple[Expiring, ...]:
        """Everything that is held, by instrument and expiry."""
        book = self._store.load_book()
        held: dict[str, list[Position]] = {}
        for layer in book.layers():
            held.setdefault(layer.instrument, []).append(layer)
        return tuple(
            expiring for name, layers in held.items() for expiring in self._expiring(name, layers)
        )

    def _expiring(self, instrument: str, layers: list[Position]) -> tuple[Expiring, ...]:
        by_expiry: dict[date, list[HeldLayer]] = {}
        legs = self._store.held_legs(instrument)
        for layer in layers:
            contracts = tuple(leg.symbol for leg in legs.get(layer.id, ()))
            if contracts:
                held = HeldLayer(layer.id, layer.layer, layer.lots, contracts)
                by_expiry.setdefault(parse(contracts[0]).expiry, []).append(held)
        return tuple(
            self._judged(instrument, expiry, tuple(by_expiry[expiry]))
            for expiry in sorted(by_expiry)
        )

    def _judged(self, instrument: str, expiry: date, layers: tuple[HeldLayer, ...]) -> Expiring:
        spec, now = self._catalog[instrument], self._clock.now()
        window = roll_window(self._contracts, self._calendar, spec, expiry)
        step = window.step(now, self._lead)
        if step is RollStep.EXIT:
            is_open = self._hours.opens_at(instrument, now) is None
        else:
            is_open = self._trades_on(instrument, now)
        return Expiring(
            instrument,
            expiry,
            window.opens,
            window.gone_by - self._lead,
            window.gone_by,
            window.provisional,
            step,
            is_open,
            layers,
        )

    def _trades_on(self, instrument: str, now: datetime) -> bool:
        """Whether the session is open and stays so for as long as a roll may take.

        In a year that is not published, by its hours alone: nothing is opened then, and that is
        told while the market trades, not kept to the hard exit.
        """
        exchange = self._catalog[instrument].calendar_exchange
        is_unpublished = not self._calendar.is_published(exchange, now.date())
        session = self._calendar.session(exchange, now.date(), provisional=is_unpublished)
        if session is None or not session.times_known:
            return False
        return any(opens <= now and now + self._left <= closes for opens, closes in session.windows)


def due(found: tuple[Expiring, ...], instrument: str | None = None) -> Mapping[str, list[Expiring]]:
    """By instrument (or that one), what is to be rolled or closed."""
    by_name: dict[str, list[Expiring]] = {}
    for each in found:
        if each.step is not RollStep.KEEP and instrument in (None, each.instrument):
            by_name.setdefault(each.instrument, []).append(each)
    return by_name
