"""An export replayed as traded: each trade's P&L from its own fills, beside what the export says.

    net = (exit - entry) x lots x point value - commission on the notional of each side

Everything is exact decimal arithmetic; nothing is sized, refused or stopped here.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from backtest.result import BacktestResult, EquityCurve
from backtest.tradingview_export import ExportFill, ExportTrade, TradingViewExport
from core.config import fraction
from core.models import Trade


@dataclass(frozen=True, slots=True)
class ReplayedTrade:
    """A closed trade recomputed; `line` is its exit row, P&L in rupees."""

    line: int
    trade: Trade
    export_net_pnl: Decimal

    @property
    def difference(self) -> Decimal:
        """Rupees by which ours is above the export's."""
        return self.trade.net_pnl - self.export_net_pnl


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """The run, and how far each closed trade and their total are from the export's own figures."""

    backtest: BacktestResult
    rows: tuple[ReplayedTrade, ...]

    @property
    def net_pnl(self) -> Decimal:
        """Rupees of all closed trades, recomputed."""
        return sum((row.trade.net_pnl for row in self.rows), Decimal(0))

    @property
    def export_net_pnl(self) -> Decimal:
        """Rupees of all closed trades, as the export says."""
        return sum((row.export_net_pnl for row in self.rows), Decimal(0))

    @property
    def difference(self) -> Decimal:
        """Rupees by which our total is above the export's."""
        return self.net_pnl - self.export_net_pnl

    @property
    def max_abs_diff_per_trade(self) -> Decimal:
        """The largest difference of one trade, in rupees."""
        return max((abs(row.difference) for row in self.rows), default=Decimal(0))


def replay(
    export: TradingViewExport,
    instrument: str,
    point_value: Decimal,
    commission_pct: Decimal,
    initial_capital: Decimal,
) -> ReplayResult:
    """Recompute an export at `point_value` rupees a point a lot, `commission_pct` a side.

    The curve holds closed equity at each exit and, last, the open trades at their last price; its
    risk and margin are zero, for an export says nothing of them.
    """
    started = time.perf_counter()
    pricing = _Pricing(instrument, point_value, fraction(commission_pct))
    rows = sorted(
        (
            pricing.replayed(trade, trade.exit, trade.net_pnl)
            for trade in export.trades
            if trade.exit is not None and trade.net_pnl is not None
        ),
        key=lambda row: row.trade.exit_time,
    )
    still_open = [trade for trade in export.trades if trade.exit is None]
    marked = [(mark, pricing.open_pnl(trade, mark)) for trade, mark in _marks(still_open)]
    closed_equity = initial_capital + sum(row.trade.net_pnl for row in rows)
    final_equity = closed_equity + sum(pnl for _, pnl in marked)
    entry_charges = sum(pricing.commission(trade.entry, trade.lots) for trade in still_open)
    backtest = BacktestResult(
        kind="replay",
        initial_capital=initial_capital,
        final_equity=final_equity,
        charges=sum((row.trade.charges for row in rows), Decimal(0)) + entry_charges,
        trades=tuple(row.trade for row in rows),
        curve=_curve(export, rows, [mark for mark, _ in marked], initial_capital, final_equity),
        open_layers=len(still_open),
        events=2 * len(export.trades) - len(still_open),
        elapsed_s=time.perf_counter() - started,
        notes=_notes(still_open, point_value, commission_pct),
        left_out=tuple(str(bad) for bad in export.bad_rows),
    )
    return ReplayResult(backtest, tuple(rows))


@dataclass(frozen=True, slots=True)
class _Pricing:
    """What a fill costs and a trade earns."""

    instrument: str
    point_value: Decimal
    commission_fraction: Decimal

    def commission(self, fill: ExportFill, lots: int) -> Decimal:
        return self.commission_fraction * fill.price * lots * self.point_value

    def open_pnl(self, trade: ExportTrade, mark: ExportFill) -> Decimal:
        gross = (mark.price - trade.entry.price) * trade.lots * self.point_value
        return gross - self.commission(trade.entry, trade.lots)

    def replayed(self, trade: ExportTrade, sold: ExportFill, export_pnl: Decimal) -> ReplayedTrade:
        gross = (sold.price - trade.entry.price) * trade.lots * self.point_value
        charges = self.commission(trade.entry, trade.lots) + self.commission(sold, trade.lots)
        stop = trade.entry_text.stop
        risk_points = Decimal(0) if stop is None else max(Decimal(0), trade.entry.price - stop)
        return ReplayedTrade(
            line=sold.line,
            export_net_pnl=export_pnl,
            trade=Trade(
                instrument=self.instrument,
                trade_no=trade.number,
                layer=trade.layer,
                lots=trade.lots,
                entry_time=trade.entry.time,
                entry_price=trade.entry.price,
                exit_time=sold.time,
                exit_price=sold.price,
                point_value=self.point_value,
                gross_pnl=gross,
                charges=charges,
                net_pnl=gross - charges,
                initial_risk=risk_points * trade.lots * self.point_value,
                reason=trade.exit_reason,
            ),
        )


def _marks(still_open: Sequence[ExportTrade]) -> list[tuple[ExportTrade, ExportFill]]:
    """Each open trade with its last price, or with its entry's where the export gives none."""
    return [(trade, trade.last or trade.entry) for trade in still_open]


def _curve(
    export: TradingViewExport,
    rows: Sequence[ReplayedTrade],
    marks: Sequence[ExportFill],
    initial_capital: Decimal,
    final_equity: Decimal,
) -> EquityCurve:
    curve = EquityCurve()
    if not export.trades:
        return curve
    start = min(trade.entry.time for trade in export.trades)
    curve.append(start.timestamp(), float(initial_capital), 0.0, 0.0)
    equity = initial_capital
    for row in rows:
        equity += row.trade.net_pnl
        curve.append(row.trade.exit_time.timestamp(), float(equity), 0.0, 0.0)
    if marks:
        end = max(max(mark.time for mark in marks).timestamp(), curve.epoch_s[-1])
        curve.append(end, float(final_equity), 0.0, 0.0)
    return curve


def _notes(
    still_open: Sequence[ExportTrade],
    point_value: Decimal,
    commission_pct: Decimal,
) -> tuple[str, ...]:
    notes = [
        f"as traded, at {point_value} rupees a point a lot and {commission_pct} % commission a side"
    ]
    if still_open:
        notes.append(
            f"{len(still_open)} open trades are not compared; they stand at their last price"
        )
    unmarked = sum(trade.last is None for trade in still_open)
    if unmarked:
        notes.append(f"{unmarked} open trades have no last price in the export: taken at entry")
    return tuple(notes)
