"""Which stops are passed although no bar said so, and what is to be done about it.

Two looks in a row must see a layer below its stop: looks of another epoch, or further apart than a
quote stays fresh, confirm nothing. A bar is stood in for once, by the first look after its grace
that has a trusted price (or by the one that confirms), while the market is open and until the bar
would be too old to be judged itself. What stood in judges at once and moves the stops only when its
bar can no longer come, so that a late bar leaves the same stops as one in time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

from core.bar_heartbeat import BarHeartbeat
from core.book_events import BarStoodIn
from core.catastrophe_stop import fallen
from core.config import PortfolioConfig, StopWatchMode
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.states import ControlState
from core.db_state_manager.watching import EARLY
from core.decision import decide_stops
from core.decision_record import Decision
from core.models import Position
from core.portfolio_state import PortfolioStateManager
from core.ports import Clock
from live.watch_exits import WantedExit

CATASTROPHE = "CATASTROPHE_STOP"
_TRY_AGAIN_S = 60.0


@dataclass(slots=True)
class Judged:
    """What one look came to.

    `exits` by instrument, `catastrophes` those of them that no bar is about. `passed` says of each
    instrument that could be judged which stops its missing bar would have hit, None for none.
    """

    exits: dict[str, WantedExit] = field(default_factory=dict)
    catastrophes: dict[str, str] = field(default_factory=dict)
    passed: dict[str, str | None] = field(default_factory=dict)


class TwoLooks:
    """What a look and the one before it both saw."""

    def __init__(self, clock: Clock, apart_s: float) -> None:
        """Looks that are more than `apart_s` apart do not confirm each other."""
        self._clock = clock
        self._apart_s = apart_s
        self._epoch: int | None = None
        self._at_s = float("-inf")
        self._before: dict[tuple[str, str], frozenset[str]] = {}
        self._now: dict[tuple[str, str], frozenset[str]] = {}

    def begin(self, epoch: int) -> None:
        """A new look."""
        now_s = self._clock.monotonic()
        is_next = epoch == self._epoch and now_s - self._at_s <= self._apart_s
        self._before = self._now if is_next else {}
        self._epoch, self._at_s, self._now = epoch, now_s, {}

    def both(self, instrument: str, about: str, seen: Iterable[str]) -> frozenset[str]:
        """Those of `seen` that the look before saw too."""
        self._now[instrument, about] = frozenset(seen)
        return self._now[instrument, about] & self._before.get((instrument, about), frozenset())


class StopJudge:
    """Judges for one leader at a time."""

    def __init__(
        self,
        store: DatabaseStateManager,
        config: PortfolioConfig,
        bars: Mapping[str, BarHeartbeat],
        clock: Clock,
    ) -> None:
        """`bars` are those of each instrument's chart."""
        self._store = store
        self._stop_mode = config.stop_mode
        self._own = config.stop_watch
        self._too_old = timedelta(seconds=float(config.validation.max_bar_age_s))
        self._bars = bars
        self._clock = clock
        self._looks = TwoLooks(clock, float(config.stop_watch.fresh_s))
        self._tried_at_s: dict[str, float] = {}

    def judge(
        self, epoch: int, book: PortfolioStateManager, prices: Mapping[str, Decimal]
    ) -> Judged:
        """What this look, with the one before it, asks for."""
        self._looks.begin(epoch)
        judged = Judged()
        for instrument, price in prices.items():
            atr = book[instrument].atr
            if atr is None:
                continue
            self._missing_bar(judged, book, instrument, price, atr)
            self._catastrophe(judged, book, instrument, price, atr)
        return judged

    # A bar that did not come

    def _missing_bar(
        self,
        judged: Judged,
        book: PortfolioStateManager,
        instrument: str,
        price: Decimal,
        atr: Decimal,
    ) -> None:
        judged.passed[instrument] = None
        bar = self._missing(instrument, price, atr)
        if bar is None or not book[instrument].entered_before(bar.closed_at):
            return
        below = {layer.id for layer in book.stand_in(bar)}
        confirmed = self._looks.both(instrument, bar.closed_at.isoformat(), below)
        if below and not confirmed:
            del judged.passed[instrument]
            return
        if self._may_act(instrument, bar):
            if not self._store.was_stood_in(instrument, bar.closed_at):
                entries = _entries(book, instrument)
                judged.exits[instrument] = WantedExit(
                    instrument, lambda locked: self._stand_in(locked, bar, confirmed, entries)
                )
        elif confirmed:
            names, closed_at = ", ".join(sorted(confirmed)), bar.closed_at.isoformat()
            judged.passed[instrument] = f"{names} at {price:.2f}; the bar of {closed_at} is missing"

    def _missing(self, instrument: str, price: Decimal, atr: Decimal) -> BarStoodIn | None:
        """The last bar, judged at `price`, if it is overdue and its successor is not due yet."""
        bars, now = self._bars[instrument], self._clock.now()
        closed_at = bars.last_close(now - timedelta(seconds=float(self._own.bar_grace_s)))
        until = None if closed_at is None else bars.next_close(closed_at)
        if closed_at is None or until is None or now >= until - EARLY:
            return None
        if self._store.bar_came(instrument, closed_at, until):
            return None
        return BarStoodIn(instrument, closed_at, until, price, atr)

    def _may_act(self, instrument: str, bar: BarStoodIn) -> bool:
        if self._own.mode is StopWatchMode.ALARM:
            return False
        is_young = self._clock.now() - bar.closed_at <= self._too_old
        return is_young and self._store.control_of(instrument) is not ControlState.HALTED

    def _stand_in(
        self,
        book: PortfolioStateManager,
        bar: BarStoodIn,
        confirmed: frozenset[str],
        entries: Mapping[str, Decimal],
    ) -> Decision | None:
        """In the locked book: the bar is stood in for, and what both looks saw leaves.

        Not at a quote of contracts that a roll has left since: the next look has one of theirs.
        """
        now = _entries(book, bar.instrument)
        if any(now.get(layer, cost) != cost for layer, cost in entries.items()):
            return None
        hit = [layer for layer in book.stand_in(bar) if layer.id in confirmed]
        stopped = decide_stops(bar.instrument, hit)
        if stopped is None:
            return None
        why = (
            f"{self._stop_mode}_STOP: {stopped.reason} at a quote of {bar.price:.2f}, "
            f"in place of the bar of {bar.closed_at.isoformat()}"
        )
        return replace(stopped, reason=why)

    # A fall between two bars

    def _catastrophe(
        self,
        judged: Judged,
        book: PortfolioStateManager,
        instrument: str,
        price: Decimal,
        atr: Decimal,
    ) -> None:
        multiple = self._own.catastrophe_atr
        if multiple is None:
            return
        below = fallen(book[instrument].layers, price, atr, multiple)
        confirmed = self._looks.both(instrument, CATASTROPHE, (layer.id for layer in below))
        if not confirmed or not self._may_try(instrument):
            return
        self._tried_at_s[instrument] = self._clock.monotonic()
        why = f"{CATASTROPHE}: {price:.2f} is {multiple} ATR of {atr:.2f} below the stop"

        def decide(locked: PortfolioStateManager) -> Decision | None:
            layers = fallen(locked[instrument].layers, price, atr, multiple)
            return _close(instrument, layers, confirmed, why)

        judged.exits[instrument] = WantedExit(instrument, decide)
        judged.catastrophes[instrument] = why

    def _may_try(self, instrument: str) -> bool:
        """Not again at each look where the last try could not be carried out."""
        tried_at_s = self._tried_at_s.get(instrument, float("-inf"))
        rested = self._clock.monotonic() - tried_at_s >= _TRY_AGAIN_S
        return rested and self._store.control_of(instrument) is not ControlState.HALTED


def _entries(book: PortfolioStateManager, instrument: str) -> dict[str, Decimal]:
    """What the layers cost, which only a roll changes."""
    return {layer.id: layer.entry_price for layer in book[instrument].layers}


def _close(
    instrument: str, layers: Iterable[Position], confirmed: frozenset[str], why: str
) -> Decision | None:
    stopped = decide_stops(instrument, [layer for layer in layers if layer.id in confirmed])
    return None if stopped is None else replace(stopped, reason=f"{why}; {stopped.reason}")
