"""What a backtest run comes to, whatever its input was; reports and files are made from this."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from core.models import Limiter, Position, SignalType, Trade


@dataclass(frozen=True, slots=True)
class Refusal:
    """A signal that opened nothing, or fewer lots than the export traded, and why.

    `export_lots` is what TradingView traded (None where the input does not say), `our_lots` what
    we took (0 when refused).
    """

    time: datetime
    instrument: str
    type: SignalType
    layer: int | None
    price: Decimal
    code: str
    reason: str
    our_lots: int = 0
    export_lots: int | None = None


@dataclass(slots=True)
class EquityCurve:
    """Columns of equal length: epoch seconds, and in rupees the marked equity, risk and margin.

    Points are appended in time order; two at one time are both kept, the later one counts.
    `risk` is the sum of the layers' risk to their current stops.
    """

    epoch_s: "array[float]" = field(default_factory=lambda: array("d"))
    equity: "array[float]" = field(default_factory=lambda: array("d"))
    risk: "array[float]" = field(default_factory=lambda: array("d"))
    margin: "array[float]" = field(default_factory=lambda: array("d"))

    def append(self, epoch_s: float, equity: float, risk: float, margin: float) -> None:
        """Add one point."""
        self.epoch_s.append(epoch_s)
        self.equity.append(equity)
        self.risk.append(risk)
        self.margin.append(margin)

    def __len__(self) -> int:
        return len(self.epoch_s)


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """One finished run. Money in rupees; `events` are bars or signals fed in.

    `net_pnl` is final_equity - initial_capital, so it holds the open layers' P&L at their last
    price. `decisions` counts decision codes, `limiters` the entries by what limited their size.
    `held` are the open layers of a run by our rules; a replay of an export has none.
    `notes` are the assumptions and repairs a reader must know of, `left_out` the input rows that
    were not taken, each with its reason.
    """

    kind: str
    initial_capital: Decimal
    final_equity: Decimal
    charges: Decimal
    trades: tuple[Trade, ...]
    curve: EquityCurve
    decisions: Mapping[str, int] = field(default_factory=dict)
    limiters: Mapping[Limiter, int] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()
    open_layers: int = 0
    held: tuple[Position, ...] = ()
    events: int = 0
    elapsed_s: float = 0.0
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def net_pnl(self) -> Decimal:
        """Rupees gained over the run, open layers at their last price included."""
        return self.final_equity - self.initial_capital
