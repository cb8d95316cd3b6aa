"""Runs alerts and bars through the account, in the order in which they would have been known.

A bar is known at its close, and so is an alert of it. At that moment, per instrument: what waits
for its open has been filled, stops move, exits are carried out, then entries. The account is one
for all instruments.
"""

import time as stopwatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from backtest.desk import SimulatedDesk
from backtest.fills import FillAt, Slippage
from backtest.market import BacktestMarket
from backtest.progress import Progress, silent
from backtest.result import BacktestResult, EquityCurve
from backtest.sessions import DAY_S, IST_OFFSET_S
from backtest.signal_loader import IndicatorValues, LoadedSignal
from core.book_events import CapitalMoved
from core.config import EquityBasis, PortfolioConfig
from core.errors import ConfigInvalid, InputInvalid
from core.ist import IST
from core.models import MarketDataSignal, Signal, SignalType

STEPS_TOLD = 5000
_MINUTE_S = 60


class _Moment(IntEnum):
    """What comes first of all that happens at one second."""

    EXIT = 0
    BAR_CLOSES = 1
    ENTRY = 2
    BAR_OPENS = 3


class _Event(NamedTuple):
    """`place` is a signal's or a feed's, `bar` the bar of that feed (-1 for signals)."""

    epoch_s: int
    moment: _Moment
    place: int
    bar: int = -1


class AlertSource(Protocol):
    """What raises alerts at closed bars and knows their indicator values (the strategy)."""

    def on_bar(self, index: int) -> Sequence[Signal]:
        """The alerts of the bar at `index`; each bar is asked for once, in order."""
        ...

    def market_data(self, index: int) -> MarketDataSignal:
        """The closed bar at `index` as its alert."""
        ...

    def values_at(self, index: int) -> IndicatorValues | None:
        """The indicators of the closed bar at `index`; None while they warm up."""
        ...


@dataclass(frozen=True, slots=True)
class BarFeed:
    """One instrument's bars, as the engine takes them. Columns are of equal length.

    `open_epoch_s` and `close_epoch_s` are when a bar opens and is known, `opens` its first price.
    The run begins at `first_bar`; what comes before only warms indicators up.
    """

    instrument: str
    source: AlertSource
    open_epoch_s: NDArray[np.int64]
    close_epoch_s: NDArray[np.int64]
    opens: NDArray[np.float64]
    first_bar: int = 0

    def __len__(self) -> int:
        return len(self.open_epoch_s)

    @property
    def run_bars(self) -> NDArray[np.int64]:
        """The places of the bars that are run."""
        return np.arange(self.first_bar, len(self))


class BacktestEngine:
    """One run over one account. Make a new engine for each run."""

    def __init__(
        self,
        config: PortfolioConfig,
        market: BacktestMarket,
        capital: Decimal,
        fill_at: FillAt = FillAt.CLOSE,
        slippage: Slippage | None = None,
    ) -> None:
        """`capital` in rupees is the ledger's first deposit."""
        self._config = config
        self._market = market
        self._capital = capital
        self._fill_at = fill_at
        self.desk = SimulatedDesk(
            config, market, slippage or Slippage(), fill_later=fill_at is FillAt.NEXT_OPEN
        )
        self._book = self.desk.book
        self._curve = EquityCurve()

    def run_bars(self, feeds: Sequence[BarFeed], progress: Progress = silent) -> BacktestResult:
        """Feed every bar of every instrument, by the time at which it is known.

        Raises `InputInvalid` where the run begins after the last bar.
        """
        started = stopwatch.perf_counter()
        begins = [int(feed.open_epoch_s[feed.first_bar]) for feed in feeds if len(feed.run_bars)]
        if not begins:
            raise InputInvalid("bars", "none of them is from the day on which the run begins")
        self._begin(min(begins))
        order = _in_time_order(feeds)
        ask = [feed.source.on_bar for feed in feeds]
        layers = [self._book[feed.instrument].layers for feed in feeds]
        waiting = self.desk.waiting
        names = [feed.instrument for feed in feeds]
        for done, (place, bar, ends_day) in enumerate(order):
            alerts = ask[place](bar)
            if waiting[names[place]]:
                self._fill_at_open(feeds[place], bar)
                self._on_bar(feeds[place], bar, alerts)
            elif alerts or layers[place]:
                self._on_bar(feeds[place], bar, alerts)
            elif ends_day:
                self._mark(int(feeds[place].close_epoch_s[bar]))
            if not done % STEPS_TOLD:
                progress(done, len(order))
        return self._result("bars", len(order), stopwatch.perf_counter() - started)

    def run_signals(
        self,
        signals: Sequence[LoadedSignal],
        feeds: Sequence[BarFeed] = (),
        progress: Progress = silent,
    ) -> BacktestResult:
        """Feed alerts as they were recorded; bars, where given, trail the system's own stops.

        An alert is known when its bar closes. Of what is known at one time come the exits, then
        the closed bars, then the entries and what follows them; last, what waits is filled at the
        opens. Raises `ConfigInvalid` when fills wait for a next open and there are no bars to
        have one, `InputInvalid` when there is nothing to feed.
        """
        if self._fill_at is FillAt.NEXT_OPEN and not feeds:
            raise ConfigInvalid(
                "fill", self._fill_at.value, "with --signals it needs --bars and own stops"
            )
        started = stopwatch.perf_counter()
        events = sorted([*self._signal_events(signals, feeds), *self._bar_events(feeds)])
        if not events:
            raise InputInvalid("signals", "there is none to feed")
        self._begin(events[0].epoch_s)
        for done, (epoch_s, moment, place, bar) in enumerate(events):
            if moment is _Moment.BAR_OPENS:
                self._fill_at_open(feeds[place], bar)
            elif moment is not _Moment.BAR_CLOSES:
                self._on_recorded(signals[place], epoch_s)
            elif self._book[feeds[place].instrument].layers:
                self._on_bar(feeds[place], bar, ())
            if not done % STEPS_TOLD:
                progress(done, len(events))
        return self._result("signals", len(events), stopwatch.perf_counter() - started)

    def _signal_events(
        self, signals: Sequence[LoadedSignal], feeds: Sequence[BarFeed]
    ) -> Iterable[_Event]:
        """Exits come first at their bar, unless they follow an entry of the same bar."""
        by_name = {feed.instrument: feed for feed in feeds}
        entered_at: datetime | None = None
        for place, loaded in enumerate(signals):
            signal = loaded.signal
            leaves = isinstance(signal, Signal) and signal.type is SignalType.EXIT
            first = leaves and entered_at != signal.bar_time
            entered_at = entered_at if first else signal.bar_time
            known = self._known_at(signal, by_name.get(signal.instrument))
            yield _Event(known, _Moment.EXIT if first else _Moment.ENTRY, place)

    def _known_at(self, signal: Signal | MarketDataSignal, feed: BarFeed | None) -> int:
        """When the alert's bar closes: as the bars say, else by the timeframe and the session."""
        opened = int(signal.bar_time.timestamp())
        if feed is not None:
            bar = int(np.searchsorted(feed.open_epoch_s, opened))
            if bar < len(feed) and feed.open_epoch_s[bar] == opened:
                return int(feed.close_epoch_s[bar])
        day = signal.bar_time.astimezone(IST).date()
        _, session_close = self._market.hours(signal.instrument, day)
        ends = int(datetime.combine(day, session_close, IST).timestamp())
        minutes = self._config.instruments[signal.instrument].strategy.timeframe_min
        return max(opened, min(opened + minutes * _MINUTE_S, ends))

    def _bar_events(self, feeds: Sequence[BarFeed]) -> Iterable[_Event]:
        for place, feed in enumerate(feeds):
            bars = feed.run_bars.tolist()
            for bar in bars:
                yield _Event(int(feed.close_epoch_s[bar]), _Moment.BAR_CLOSES, place, bar)
            if self._fill_at is FillAt.NEXT_OPEN:
                for bar in bars:
                    yield _Event(int(feed.open_epoch_s[bar]), _Moment.BAR_OPENS, place, bar)

    def _begin(self, epoch_s: int) -> None:
        at = datetime.fromtimestamp(epoch_s, IST)
        self._book.move_capital(CapitalMoved(self._capital, at))
        self._curve.append(epoch_s, float(self._capital), 0.0, 0.0)

    def _fill_at_open(self, feed: BarFeed, bar: int) -> None:
        """Fill what waits for the instrument's next open, if anything does."""
        if self.desk.waiting[feed.instrument]:
            time = datetime.fromtimestamp(int(feed.open_epoch_s[bar]), IST)
            price = Decimal(repr(float(feed.opens[bar])))
            self.desk.fill_waiting(feed.instrument, price, time)

    def _on_bar(self, feed: BarFeed, bar: int, alerts: Iterable[Signal]) -> None:
        name, desk, book = feed.instrument, self.desk, self._book[feed.instrument]
        time = datetime.fromtimestamp(int(feed.open_epoch_s[bar]), IST)
        exits = [alert for alert in alerts if alert.type is SignalType.EXIT]
        if book.layers:
            data = feed.source.market_data(bar)
            hit = self._book.close_bar(name, data.price, data.atr, data.supertrend)
            for alert in exits:
                desk.on_alert(alert)
            if hit:
                desk.close_hit(name, hit, data.price, time)
            if self._config.peel_off.enabled:
                desk.peel_off(name, data.price, time)
        else:
            for alert in exits:
                desk.on_alert(alert)
        for alert in alerts:
            if alert.type is not SignalType.EXIT:
                desk.on_alert(alert)
        self._mark(int(feed.close_epoch_s[bar]))

    def _on_recorded(self, loaded: LoadedSignal, epoch_s: int) -> None:
        signal = loaded.signal
        if isinstance(signal, MarketDataSignal):
            hit = self._book.close_bar(
                signal.instrument, signal.price, signal.atr, signal.supertrend
            )
            if hit:
                self.desk.close_hit(signal.instrument, hit, signal.price, signal.bar_time)
        else:
            self.desk.on_alert(signal, loaded.export_lots)
        self._mark(epoch_s)

    def _mark(self, epoch_s: int) -> None:
        account = self._book.account(EquityBasis.OPEN)
        self._curve.append(
            epoch_s, float(account.equity), float(account.risk), float(account.margin_in_use)
        )

    def _result(self, kind: str, events: int, elapsed_s: float) -> BacktestResult:
        book = self._book
        waiting = sum(map(len, self.desk.waiting.values()))
        held = tuple(book.layers())
        return BacktestResult(
            kind=kind,
            initial_capital=self._capital,
            final_equity=book.equity(),
            charges=book.charges,
            trades=tuple(book.trades),
            curve=self._curve,
            decisions=dict(self.desk.decisions),
            limiters=dict(self.desk.limiters),
            refusals=tuple(self.desk.refusals),
            open_layers=len(held),
            held=held,
            events=events,
            elapsed_s=elapsed_s,
            notes=(f"{waiting} orders still waited for an open at the end",) if waiting else (),
        )


def _in_time_order(feeds: Sequence[BarFeed]) -> list[tuple[int, int, bool]]:
    """(feed, bar, whether it is the day's last of all) by close time, then by the feeds' order."""
    index = np.concatenate([feed.run_bars for feed in feeds])
    closes = np.concatenate([feed.close_epoch_s[feed.run_bars] for feed in feeds])
    which = np.repeat(np.arange(len(feeds)), [len(feed.run_bars) for feed in feeds])
    order = np.lexsort((which, closes))
    days = (closes[order] + IST_OFFSET_S) // DAY_S
    ends_day = np.append(np.diff(days) != 0, True)
    return list(zip(which[order].tolist(), index[order].tolist(), ends_day.tolist(), strict=True))
