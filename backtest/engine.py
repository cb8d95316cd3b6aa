"""Runs alerts and bars through the account, in the order in which they would have been known.

A bar is known at its close. At that moment, per instrument: what waits for its open has been
filled, stops move, exits are carried out, then entries. The account is one for all instruments.
"""

import time as stopwatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

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
from core.config import PortfolioConfig
from core.errors import ConfigInvalid
from core.ist import IST
from core.models import MarketDataSignal, Signal, SignalType

STEPS_TOLD = 5000


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
        self._capital = capital
        self._fill_at = fill_at
        self.desk = SimulatedDesk(
            config, market, slippage or Slippage(), fill_later=fill_at is FillAt.NEXT_OPEN
        )
        self._book = self.desk.book
        self._curve = EquityCurve()

    def run_bars(self, feeds: Sequence[BarFeed], progress: Progress = silent) -> BacktestResult:
        """Feed every bar of every instrument, by the time at which it is known."""
        started = stopwatch.perf_counter()
        order = _in_time_order(feeds)
        begins = [int(feed.open_epoch_s[feed.first_bar]) for feed in feeds if len(feed.run_bars)]
        self._begin(min(begins, default=0))
        ask = [feed.source.on_bar for feed in feeds]
        layers = [self._book[feed.instrument].layers for feed in feeds]
        waiting = self.desk.waiting
        names = [feed.instrument for feed in feeds]
        for done, (place, bar, ends_day) in enumerate(order):
            alerts = ask[place](bar)
            if alerts or layers[place] or waiting[names[place]]:
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

        At one time come the exits, then the closed bars, then the entries and what follows them.
        Raises `ConfigInvalid` when fills wait for a next open and there are no bars to have one.
        """
        if self._fill_at is FillAt.NEXT_OPEN and not feeds:
            raise ConfigInvalid(
                "fill", self._fill_at.value, "with --signals it needs --bars and own stops"
            )
        started = stopwatch.perf_counter()
        events = _merged(signals, feeds)
        self._begin(events[0][0] if events else 0)
        for done, (epoch_s, _, place, bar) in enumerate(events):
            if bar is None:
                self._on_recorded(signals[place], epoch_s)
            elif self._book[feeds[place].instrument].layers or self._waits(feeds[place]):
                self._on_bar(feeds[place], bar, ())
            if not done % STEPS_TOLD:
                progress(done, len(events))
        return self._result("signals", len(events), stopwatch.perf_counter() - started)

    def _waits(self, feed: BarFeed) -> bool:
        return bool(self.desk.waiting[feed.instrument])

    def _begin(self, epoch_s: int) -> None:
        at = datetime.fromtimestamp(epoch_s, IST)
        self._book.move_capital(CapitalMoved(self._capital, at))
        self._curve.append(epoch_s, float(self._capital), 0.0, 0.0)

    def _on_bar(self, feed: BarFeed, bar: int, alerts: Iterable[Signal]) -> None:
        name, desk, book = feed.instrument, self.desk, self._book[feed.instrument]
        time = datetime.fromtimestamp(int(feed.open_epoch_s[bar]), IST)
        if desk.waiting[name]:
            desk.fill_waiting(name, Decimal(repr(float(feed.opens[bar]))), time)
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
        account = self._book.account(self._config.equity_basis)
        self._curve.append(
            epoch_s, float(self._book.equity()), float(account.risk), float(account.margin_in_use)
        )

    def _result(self, kind: str, events: int, elapsed_s: float) -> BacktestResult:
        book = self._book
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
            open_layers=sum(1 for _ in book.layers()),
            events=events,
            elapsed_s=elapsed_s,
        )


def _merged(
    signals: Sequence[LoadedSignal], feeds: Sequence[BarFeed]
) -> list[tuple[int, int, int, int | None]]:
    """Signals (time, rank, place, None) and bars (time, rank, feed, bar), in order."""
    events: list[tuple[int, int, int, int | None]] = [
        (epoch_s, 1, place, bar)
        for place, feed in enumerate(feeds)
        for bar, epoch_s in enumerate(feed.open_epoch_s.tolist())
    ]
    entered_at = -1
    for place, loaded in enumerate(signals):
        epoch_s = int(loaded.signal.bar_time.timestamp())
        leaves = isinstance(loaded.signal, Signal) and loaded.signal.type is SignalType.EXIT
        first = leaves and entered_at != epoch_s
        entered_at = entered_at if first else epoch_s
        events.append((epoch_s, 0 if first else 2, place, None))
    events.sort(key=lambda event: event[:3])
    return events


def _in_time_order(feeds: Sequence[BarFeed]) -> list[tuple[int, int, bool]]:
    """(feed, bar, whether it is the day's last of all) by close time, then by the feeds' order."""
    index = np.concatenate([feed.run_bars for feed in feeds])
    closes = np.concatenate([feed.close_epoch_s[feed.run_bars] for feed in feeds])
    which = np.repeat(np.arange(len(feeds)), [len(feed.run_bars) for feed in feeds])
    order = np.lexsort((which, closes))
    days = (closes[order] + IST_OFFSET_S) // DAY_S
    ends_day = np.append(np.diff(days) != 0, True)
    return list(zip(which[order].tolist(), index[order].tolist(), ends_day.tolist(), strict=True))
