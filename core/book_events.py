"""What can happen to the book. Frozen values; a book is the fold of its events.

Money is rupees, prices are points, `charges` are what that fill cost.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

from core.models import Limiter


@dataclass(frozen=True, slots=True)
class CapitalMoved:
    """Money came in (above 0) or went out."""

    amount: Decimal
    time: datetime


@dataclass(frozen=True, slots=True)
class BarClosed:
    """An instrument's bar closed at these values."""

    instrument: str
    close: Decimal
    atr: Decimal
    supertrend: Decimal


@dataclass(frozen=True, slots=True)
class PriceMarked:
    """An alert told an instrument's latest price and ATR."""

    instrument: str
    price: Decimal
    atr: Decimal


@dataclass(frozen=True, slots=True)
class ExposureReserved:
    """An entry is on its way; until it is filled or dead it counts against every cap."""

    intent_id: str
    instrument: str
    layer: int
    lots: int
    risk: Decimal
    volatility: Decimal
    margin: Decimal


@dataclass(frozen=True, slots=True)
class ExposureReleased:
    """What was reserved under `intent_id` is free again."""

    intent_id: str


@dataclass(frozen=True, slots=True)
class LayerOpened:
    """An entry was filled at `price`; `close` and `atr` are those of the bar it was decided on."""

    instrument: str
    layer: int
    lots: int
    price: Decimal
    time: datetime
    initial_stop: Decimal
    close: Decimal
    atr: Decimal
    point_value: Decimal
    lot_size: int
    margin_per_lot: Decimal
    charges: Decimal
    intent_id: str = ""
    limiter: Limiter | None = None
    symbol: str | None = None


@dataclass(frozen=True, slots=True)
class LayerReduced:
    """`lots` of a layer were closed at `price`.

    `more_follow`: the operation that closed them closes more, in the events that follow.
    """

    instrument: str
    position_id: str
    lots: int
    price: Decimal
    time: datetime
    charges: Decimal
    reason: str
    more_follow: bool = False


@dataclass(frozen=True, slots=True)
class BarStoodIn:
    """A bar that closed at `closed_at` did not come: a quote is taken for its close.

    `until`: when the next bar is due, and this one can no longer come. The SuperTrend is unknown.
    """

    instrument: str
    closed_at: datetime
    until: datetime
    price: Decimal
    atr: Decimal


@dataclass(frozen=True, slots=True)
class StandInTrailed:
    """The bar never came: what stood in for it moves the stops."""

    stood_in: BarStoodIn


@dataclass(frozen=True, slots=True)
class LayerRolled:
    """A layer was closed at `near_close` in one contract and opened at `far_open` in the next.

    `lots`, `point_value`, `lot_size`, `margin_per_lot` and `symbol` are those it has from then on;
    `charges` are those of all its legs. `slippage` is the basis it got less the one planned, in
    points. `near` and `far` name the contracts. `more_follow` as of LayerReduced.
    """

    instrument: str
    position_id: str
    lots: int
    near_close: Decimal
    far_open: Decimal
    time: datetime
    point_value: Decimal
    lot_size: int
    margin_per_lot: Decimal
    charges: Decimal
    near: str
    far: str
    symbol: str | None = None
    slippage: Decimal = Decimal(0)
    more_follow: bool = False

    @property
    def basis(self) -> Decimal:
        """How much dearer the next contract was, in points."""
        return self.far_open - self.near_close


BookEvent: TypeAlias = (
    CapitalMoved
    | BarClosed
    | BarStoodIn
    | StandInTrailed
    | PriceMarked
    | ExposureReserved
    | ExposureReleased
    | LayerOpened
    | LayerReduced
    | LayerRolled
)
