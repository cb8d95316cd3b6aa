"""Between two bars the leader sees what its positions cost, and whether their bars still come.

One call for all held contracts a look, and none while their markets are closed. A trusted price
marks profit, equity and margin; it moves no stop. Alarms are told when they begin and when they
end. Everything is written under the job's epoch: what an old leader still wants is refused.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from core.bar_heartbeat import BarHeartbeat
from core.book_events import BarStoodIn, StandInTrailed
from core.config import PortfolioConfig
from core.contracts import Contracts
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.intents import DecisionRequest
from core.db_state_manager.states import IntentSource, WatchAlarm
from core.db_state_manager.watching import EARLY, STOOD_IN
from core.errors import OutsideCoverage, Rejected
from core.portfolio_state import PortfolioStateManager
from core.ports import Clock
from live.marking import Holding, Priced, Pricing
from live.metrics import watch_looked, watch_wanted
from live.stop_judging import CATASTROPHE, Judged, StopJudge
from live.trading_hours import TradingHours
from live.watch_exits import WatchExits

# A bar that never came moves the stops so much before the next one is judged by them.
_TRAIL_BEFORE_S = 60.0
_LOOKS_BACK = timedelta(days=7)

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WatchParts:
    """The rooms that the watch works with; `bars` by instrument."""

    store: DatabaseStateManager
    config: PortfolioConfig
    bars: Mapping[str, BarHeartbeat]
    contracts: Contracts
    hours: TradingHours
    pricing: Pricing
    exits: WatchExits
    clock: Clock


class StopWatch:
    """The watch of one process; what it remembers of a look counts only while it leads."""

    def __init__(self, parts: WatchParts) -> None:
        self._parts = parts
        self._store = parts.store
        self._clock = parts.clock
        self._own = parts.config.stop_watch
        self._judge = StopJudge(parts.store, parts.config, parts.bars, parts.clock)

    def run(self, epoch: int) -> None:
        """One look. Raises Rejected (STALE_EPOCH), and what the database raises."""
        now = self._clock.now()
        book = self._store.load_book()
        held = self._held(book)
        hours = self._parts.hours
        watched = {
            name: holding for name, holding in held.items() if hours.opens_at(name, now) is None
        }
        looked = self._parts.pricing.look(epoch, watched)
        for name, priced in looked.items():
            watch_looked(name, is_priced=priced.price is not None)
        prices = {name: each.price for name, each in looked.items() if each.price is not None}
        if prices:
            self._mark(epoch, held, prices, now.date())
        judged = self._judge.judge(epoch, book, prices)
        self._leave(epoch, judged)
        self._alarm(epoch, held, looked, judged, now)
        self._trail(epoch, now)

    def _held(self, book: PortfolioStateManager) -> dict[str, Holding]:
        return {
            name: Holding(tuple(book[name].layers), self._store.held_legs(name))
            for name in self._parts.config.instruments
            if book[name].layers
        }

    def _mark(
        self, epoch: int, held: Mapping[str, Holding], prices: Mapping[str, Decimal], day: date
    ) -> None:
        marks = {}
        for name, price in prices.items():
            lots = sum(layer.lots for layer in held[name].layers)
            marks[name] = (price, self._margin(name, lots, price, day))
        self._store.mark_market(epoch, marks)

    def _margin(self, instrument: str, lots: int, price: Decimal, day: date) -> Decimal | None:
        """Rupees blocked for the lots at this price; None where the calendar has no terms."""
        try:
            return self._parts.contracts.terms(instrument, day).margin_per_lot(price) * lots
        except OutsideCoverage:
            return None

    def _leave(self, epoch: int, judged: Judged) -> None:
        begun = self._parts.exits.leave(epoch, tuple(judged.exits.values()))
        for name, intent in begun.items():
            why = judged.catastrophes.get(name)
            watch_wanted(name, is_catastrophe=why is not None)
            if why is not None:
                told = {"intent_id": intent.id, "reason": intent.decision.reason}
                self._store.append_outbox(CATASTROPHE, name, told)

    # Alarms

    def _alarm(
        self,
        epoch: int,
        held: Mapping[str, Holding],
        looked: Mapping[str, Priced],
        judged: Judged,
        now: datetime,
    ) -> None:
        raised = {(alarm.instrument, alarm.code) for alarm in self._store.watch_alarms()}
        for name in self._parts.config.instruments:
            holding, priced = held.get(name), looked.get(name)
            wanted: dict[WatchAlarm, str | None] = {}
            if holding is None:
                wanted = dict.fromkeys(WatchAlarm)
            else:
                wanted[WatchAlarm.BARS_SILENT] = self._silence(name, holding, now)
                if priced is not None and (priced.price is not None or priced.is_news):
                    wanted[WatchAlarm.QUOTES_DOUBTED] = priced.wrong or None
                if name in judged.passed:
                    wanted[WatchAlarm.STOP_PASSED] = judged.passed[name]
            for code, reason in wanted.items():
                if (reason is not None) != ((name, code) in raised):
                    self._store.set_alarm(epoch, name, code, reason)

    def _silence(self, instrument: str, holding: Holding, now: datetime) -> str | None:
        """Why an instrument is silent: bars of what is held have closed and nothing was heard."""
        since = min(layer.entry_time for layer in holding.layers)
        heard = self._store.last_heard(instrument)
        heard_at = since if heard is None else max(since, heard)
        by = now - timedelta(seconds=float(self._own.bar_grace_s))
        missed = self._parts.bars[instrument].overdue(heard_at + EARLY, by)
        if len(missed) < self._own.silent_bars:
            return None
        return (
            f"nothing was heard since {heard_at.isoformat()}: {len(missed)} bars have closed, "
            f"the last at {missed[-1].isoformat()}"
        )

    # Bars that never came

    def _trail(self, epoch: int, now: datetime) -> None:
        """What stood in for a bar moves the stops, just before the next bar is judged by them."""
        lead_s = max(_TRAIL_BEFORE_S, 2 * float(self._own.every_s))
        for bar in self._store.untrailed(now + timedelta(seconds=lead_s), now - _LOOKS_BACK):
            request = DecisionRequest(bar.instrument, IntentSource.STOP, epoch=epoch)
            try:
                self._store.decide_and_reserve(request, _trailing(bar), lambda _: ())
            except Rejected as error:
                if error.code != STOOD_IN:
                    raise
                _LOG.info("%s", error)


def _trailing(bar: BarStoodIn) -> Callable[[PortfolioStateManager], None]:
    return lambda book: book.trail(StandInTrailed(bar))
