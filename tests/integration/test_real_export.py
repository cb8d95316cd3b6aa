"""A real export of 587 trades, replayed to the rupee and turned into the alerts behind it."""

from collections import Counter
from csv import DictReader
from datetime import datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from backtest.replay import ReplayResult, replay
from backtest.signal_loader import IndicatorValues, SignalLoader, SignalSource
from backtest.tradingview_export import TradingViewExport, read_export
from core.errors import InputInvalid
from core.ist import as_ist
from core.models import Signal

EXPORT = "data/tradingview_banknifty_trades.csv"
BARS = "data/banknifty_15m_2018_2020.csv"
EXPORTED_NET_PNL = Decimal("179625470.14")
BAR_OPENS = {time(9, 15), time(10, 30), time(11, 45), time(13, 0), time(14, 15)}
MUHURAT = time(18, 15)


class AnyBar:
    """The same indicators at every bar: this file's comments carry none."""

    def values_at(self, instrument: str, bar_time: datetime) -> IndicatorValues:
        return IndicatorValues(Decimal(100), 0.9, Decimal(1000), None)


@pytest.fixture(scope="module")
def export(shared: Path) -> TradingViewExport:
    return read_export(shared / EXPORT)


@pytest.fixture(scope="module")
def replayed(export: TradingViewExport) -> ReplayResult:
    return replay(export, "BANK_NIFTY", Decimal(35), Decimal("0.1"), Decimal(5_000_000))


def test_every_trade_is_read(export: TradingViewExport) -> None:
    assert len(export.trades) == 587
    assert export.bad_rows == ()
    assert Counter(trade.layer for trade in export.trades) == {1: 249, 2: 188, 3: 150}
    assert {trade.exit_reason for trade in export.trades} == {"Below ST"}
    assert sum(trade.entry.text.startswith("EOD-ENTRY-") for trade in export.trades) == 47


def test_every_trade_is_within_two_rupees_of_the_export(replayed: ReplayResult) -> None:
    assert len(replayed.rows) == 587
    assert replayed.max_abs_diff_per_trade <= Decimal("0.45")


def test_the_total_is_within_ten_rupees_of_the_export(replayed: ReplayResult) -> None:
    assert replayed.export_net_pnl == EXPORTED_NET_PNL
    assert abs(replayed.difference) < 10
    assert replayed.backtest.final_equity == 5_000_000 + replayed.net_pnl


def test_the_exports_last_cumulative_is_its_own_sum(export: TradingViewExport) -> None:
    assert export.trades[-1].cumulative_pnl == round(EXPORTED_NET_PNL)


def test_times_are_the_opens_of_75_minute_bars(export: TradingViewExport) -> None:
    """One exit is in a Diwali evening session; the rest start one of the day's five bars."""
    fills = [fill for trade in export.trades for fill in (trade.entry, trade.exit) if fill]
    others = [fill.time.time() for fill in fills if fill.time.time() not in BAR_OPENS]
    assert others == [MUHURAT]


def test_prices_are_the_closes_of_those_bars(export: TradingViewExport, shared: Path) -> None:
    """The fill is at the bar's close although its time is the open: process_orders_on_close.

    The export is of the future, the bars are of the index, so nearness is all that can be asked.
    """
    opens, closes = _index_bars(shared / BARS)
    nearer = Counter[str]()
    for trade in export.trades:
        for fill in (trade.entry, trade.exit):
            last = fill and closes.get(fill.time + timedelta(minutes=60))
            if fill and last and fill.time in opens:
                at_close, at_open = abs(fill.price - last), abs(fill.price - opens[fill.time])
                nearer["close" if at_close < at_open else "open"] += 1
    assert nearer.total() > 200
    assert nearer["close"] > 3 * nearer["open"]


def _index_bars(path: Path) -> tuple[dict[datetime, Decimal], dict[datetime, Decimal]]:
    opens, closes = {}, {}
    with path.open(encoding="utf-8-sig", newline="") as lines:
        for row in DictReader(lines):
            moment = as_ist(datetime.fromisoformat(row["time"]))
            opens[moment], closes[moment] = Decimal(row["open"]), Decimal(row["close"])
    return opens, closes


def test_the_alerts_behind_it_hold_what_the_export_held(
    export: TradingViewExport, shared: Path
) -> None:
    sources = [SignalSource(shared / EXPORT, "BANK_NIFTY")]
    result = SignalLoader(("BANK_NIFTY",), AnyBar()).load(sources)
    signals = [item.signal for item in result.signals if isinstance(item.signal, Signal)]
    assert Counter((signal.type, signal.layer) for signal in signals) == {
        ("BASE_ENTRY", 1): 249,
        ("PYRAMID", 2): 188,
        ("PYRAMID", 3): 150,
        ("EXIT", None): 249,
    }
    held = 0
    for item, signal in zip(result.signals, signals, strict=True):
        assert item.export_lots is not None
        held += -item.export_lots if signal.type == "EXIT" else item.export_lots
        assert held >= 0
        if signal.type == "EXIT":
            assert held == 0
    assert held == 0


def test_without_indicators_every_entry_is_missing_them(shared: Path) -> None:
    sources = [SignalSource(shared / EXPORT, "BANK_NIFTY")]
    with pytest.raises(InputInvalid, match="587 of 587 entries do not say ATR, ER, ST"):
        SignalLoader(("BANK_NIFTY",)).load(sources)
