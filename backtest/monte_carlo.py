"""What else could have come of the same trades: many orders of them, each compounded anew.

What is drawn is the return of a whole trade (all layers of one instrument from its first entry
until it is flat again, net of charges) on the realised equity when it was entered. Layers are
kept together because they win and lose together; returns and not rupees are compounded because
lots follow equity, so a rupee lost early weighs more than the same rupee lost late.

- `shuffle` draws each trade once, in random order. The final equity is the same for every order
  (a product does not care), only the way there differs: it tells about drawdowns.
- `block-bootstrap` draws runs of consecutive trades with replacement, wrapping at the end
  (circular block bootstrap, Politis & Romano 1992), so streaks survive and the final equity
  varies. The block is the cube root of the number of trades where none is given (Hall, Horowitz &
  Jing 1995).

Equity is only seen at the end of each trade: what it fell to inside a trade is not. Trades of two
instruments that overlapped in time follow each other here.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import accumulate

import numpy as np

from backtest.metrics import Floats
from backtest.progress import Progress, silent
from backtest.result import BacktestResult
from core.errors import ConfigInvalid, InputInvalid
from core.models import Trade

PERCENTILES = (5, 25, 50, 75, 95)
CELLS_AT_ONCE = 1_000_000
FAN_PATHS = 2_000
FAN_STEPS = 200
SAMPLE_PATHS = 30


class Method(StrEnum):
    """How the trades of one path are drawn."""

    SHUFFLE = "shuffle"
    BLOCK_BOOTSTRAP = "block-bootstrap"


@dataclass(frozen=True, slots=True)
class MonteCarloResult:
    """All finished paths. Equities in rupees, drawdowns as positive fractions.

    `final_equity` and `max_drawdown` have one value per path; `kept_paths` the equity of the first
    paths at `steps` (trades done, 0 first). `observed_*` are of the trades in their own order.
    """

    method: Method
    trades: int
    block: int
    seed: int
    initial_capital: float
    ruin_fraction: float
    requested_runs: int
    final_equity: Floats
    max_drawdown: Floats
    ruined: int
    steps: np.ndarray
    kept_paths: Floats
    observed_path: Floats
    observed_max_drawdown: float

    @property
    def runs(self) -> int:
        """Paths that were finished."""
        return len(self.final_equity)

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before all paths asked for were finished."""
        return self.runs < self.requested_runs

    @property
    def risk_of_ruin(self) -> float:
        """The share of paths whose equity fell below `ruin_fraction` of the capital."""
        return self.ruined / self.runs

    @property
    def observed_final_equity(self) -> float:
        """What the trades come to in their own order, compounded in the same way."""
        return float(self.observed_path[-1])

    def final_equity_percentiles(self) -> tuple[float, ...]:
        """Final equity at PERCENTILES."""
        return tuple(np.percentile(self.final_equity, PERCENTILES).tolist())

    def max_drawdown_percentiles(self) -> tuple[float, ...]:
        """Deepest drawdown at PERCENTILES; the last is the bad one."""
        return tuple(np.percentile(self.max_drawdown, PERCENTILES).tolist())


def whole_trade_returns(result: BacktestResult) -> Floats:
    """The return of each whole trade on the realised equity at its first entry, by last exit.

    Raises InputInvalid without trades, or where a trade was entered with nothing left.
    """
    by_exit = sorted(result.trades, key=lambda trade: trade.exit_time)
    if not by_exit:
        raise InputInvalid("monte carlo", "the run closed no trade, so there is nothing to draw")
    exits = [trade.exit_time for trade in by_exit]
    gained = [0.0, *accumulate(float(trade.net_pnl) for trade in by_exit)]
    returns = []
    for layers in sorted(_whole_trades(by_exit), key=_last_exit):
        entered = layers[0].entry_time
        equity = float(result.initial_capital) + gained[bisect_right(exits, entered)]
        if equity <= 0:
            raise InputInvalid("monte carlo", f"no equity is left at the entry of {entered}")
        returns.append(math.fsum(float(layer.net_pnl) for layer in layers) / equity)
    return np.array(returns)


def _whole_trades(trades: Sequence[Trade]) -> list[list[Trade]]:
    """Trades of one instrument that were open together, each list by entry."""
    whole: list[list[Trade]] = []
    until: datetime | None = None
    for trade in sorted(trades, key=lambda trade: (trade.instrument, trade.entry_time)):
        same = whole and whole[-1][0].instrument == trade.instrument
        if same and until is not None and trade.entry_time < until:
            whole[-1].append(trade)
            until = max(until, trade.exit_time)
        else:
            whole.append([trade])
            until = trade.exit_time
    return whole


def _last_exit(layers: Sequence[Trade]) -> datetime:
    return max(layer.exit_time for layer in layers)


def simulate(
    returns: Floats,
    initial_capital: float,
    *,
    method: Method = Method.BLOCK_BOOTSTRAP,
    runs: int = 10_000,
    block: int | None = None,
    seed: int = 1,
    ruin_fraction: float = 0.5,
    progress: Progress = silent,
) -> MonteCarloResult:
    """Compound `runs` random orders of `returns` from `initial_capital`; the same for a seed.

    A path is ruined when it ends any trade below `ruin_fraction` x `initial_capital`. An interrupt
    (Ctrl-C) leaves the paths finished so far; with none finished it goes on to the caller.
    """
    count = len(returns)
    _check(count, runs, block, ruin_fraction)
    length = block or max(1, round(count ** (1 / 3)))
    rng = np.random.default_rng(seed)
    steps = np.unique(np.linspace(0, count, min(count, FAN_STEPS) + 1, dtype=int))
    finished: list[_Paths] = []
    rows = max(1, CELLS_AT_ONCE // count)
    try:
        for begun in range(0, runs, rows):
            drawn = _draw(rng, method, min(rows, runs - begun), count, length)
            keep = max(0, FAN_PATHS - begun)
            finished.append(_compound(1 + returns[drawn], ruin_fraction, steps, keep))
            progress(min(begun + rows, runs), runs)
    except KeyboardInterrupt:
        if not finished:
            raise
    observed = _compound(1 + returns[np.newaxis, :], ruin_fraction, steps, 1)
    return MonteCarloResult(
        method=method,
        trades=count,
        block=length if method is Method.BLOCK_BOOTSTRAP else 1,
        seed=seed,
        initial_capital=initial_capital,
        ruin_fraction=ruin_fraction,
        requested_runs=runs,
        final_equity=np.concatenate([paths.final for paths in finished]) * initial_capital,
        max_drawdown=np.concatenate([paths.drawdown for paths in finished]),
        ruined=sum(paths.ruined for paths in finished),
        steps=steps,
        kept_paths=np.concatenate([paths.kept for paths in finished]) * initial_capital,
        observed_path=observed.kept[0] * initial_capital,
        observed_max_drawdown=float(observed.drawdown[0]),
    )


def _check(count: int, runs: int, block: int | None, ruin_fraction: float) -> None:
    if not count:
        raise InputInvalid("monte carlo", "there is no trade to draw")
    if runs < 1:
        raise ConfigInvalid("runs", runs, "at least 1")
    if block is not None and block < 1:
        raise ConfigInvalid("block", block, "at least 1")
    if not 0 < ruin_fraction < 1:
        raise ConfigInvalid("ruin_fraction", ruin_fraction, "between 0 and 1")


def _draw(
    rng: np.random.Generator, method: Method, rows: int, count: int, block: int
) -> np.ndarray:
    """Places of the trades of `rows` paths, `count` in each."""
    if method is Method.SHUFFLE:
        return rng.permuted(np.tile(np.arange(count), (rows, 1)), axis=1)
    starts = rng.integers(0, count, size=(rows, -(-count // block), 1))
    return ((starts + np.arange(block)) % count).reshape(rows, -1)[:, :count]


@dataclass(frozen=True, slots=True)
class _Paths:
    """Some finished paths, as multiples of the initial capital."""

    final: Floats
    drawdown: Floats
    kept: Floats
    ruined: int


def _compound(growth: Floats, ruin_fraction: float, steps: np.ndarray, keep: int) -> _Paths:
    """Paths of `growth`, a row each; the first `keep` of them are kept at `steps`."""
    paths = np.ones((growth.shape[0], growth.shape[1] + 1))
    np.cumprod(np.maximum(growth, 0), axis=1, out=paths[:, 1:])
    peaks = np.maximum.accumulate(paths, axis=1)
    return _Paths(
        final=paths[:, -1].copy(),
        drawdown=1 - (paths / peaks).min(axis=1),
        kept=paths[:keep, steps],
        ruined=int((paths.min(axis=1) < ruin_fraction).sum()),
    )
