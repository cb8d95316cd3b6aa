"""What the end of the day asks for follows from the Scout's alert and our own books, never Pine's.

Flat and every entry condition true: a base entry. In a position: an exit where the Scout says so,
or of the layers whose stop the stop manager finds hit at that price; else an add, where the chart's
part of the gate is open. The signals that come of it are those that the bar's close would send, so
that the bar's own alerts are known again as repeats of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from core.config import PortfolioConfig
from core.eod_scheduler import EodWindow
from core.models import EODMonitorSignal, Position, Signal, SignalType, layer_name
from core.portfolio_state import InstrumentBook, PortfolioStateManager
from core.pyramid_gate import PyramidGateController

ENTRY_CONDITIONS = (
    "rsi_condition",
    "ema_condition",
    "dc_condition",
    "adx_condition",
    "er_condition",
    "st_condition",
    "not_doji",
    "long_entry",
)
_EXIT_CONDITION = "long_exit"


class EodVerdict(StrEnum):
    """What an end of day came to. Stable, as decision codes are.

    SILENT: no fresh alert of the Scout's. MISSED: judged by nobody in time, or not acted on.
    """

    ENTER_BASE = "ENTER_BASE"
    ENTER_PYRAMID = "ENTER_PYRAMID"
    EXIT = "EXIT"
    NOTHING = "NOTHING"
    SILENT = "SILENT"
    MISSED = "MISSED"


@dataclass(frozen=True, slots=True)
class ScoutAlert:
    """An alert of the Scout's as it was journalled."""

    signal_id: int
    alert: EODMonitorSignal
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be done, and why; `signals` are those of the running bar, none for nothing."""

    verdict: EodVerdict
    reason: str
    signals: tuple[Signal, ...] = ()


def latest_fresh(
    alerts: Iterable[ScoutAlert], window: EodWindow, now: datetime, fresh: timedelta
) -> ScoutAlert | None:
    """The alert of the running bar that was sent last, if it came and was sent within `fresh`.

    A time in the future is as wrong as one in the past.
    """
    found = [
        each
        for each in alerts
        if abs(now - each.received_at) <= fresh
        and abs(now - (each.alert.sent_at or each.received_at)) <= fresh
        and _is_of(window, each.alert)
    ]
    return max(found, key=_order, default=None)


class EodMonitor:
    """Judges the Scout's alerts."""

    def __init__(self, config: PortfolioConfig) -> None:
        self._config = config
        self._gates = {
            name: PyramidGateController(config, instrument.trading)
            for name, instrument in config.instruments.items()
        }

    def judge(
        self, alert: EODMonitorSignal, window: EodWindow, book: PortfolioStateManager
    ) -> Judgement:
        """What the books and the alert ask for together; the books are left as they are."""
        held = book[alert.instrument]
        if held.layers:
            leaving = self._leave(alert, window, held)
            if leaving is not None:
                return leaving
        refused = window.entries_refused
        if refused is not None:
            return Judgement(EodVerdict.NOTHING, refused.reason)
        if book.reserved(alert.instrument):
            return Judgement(EodVerdict.NOTHING, "an entry is already on its way")
        return self._add(alert, window, held) if held.layers else _enter(alert, window)

    def _leave(
        self, alert: EODMonitorSignal, window: EodWindow, held: InstrumentBook
    ) -> Judgement | None:
        if alert.conditions.get(_EXIT_CONDITION, False):
            signal = _signal(alert, window, SignalType.EXIT, None, reason="EOD_LONG_EXIT")
            return Judgement(EodVerdict.EXIT, "the Scout's exit condition holds", (signal,))
        hit = self._hit(alert, held)
        if not hit:
            return None
        reason = f"EOD_{self._config.stop_mode}_STOP"
        names = ", ".join(f"{layer.id} below {layer.stop}" for layer in hit)
        numbers = [None] if len(hit) == len(held.layers) else [layer.layer for layer in hit]
        signals = tuple(
            _signal(alert, window, SignalType.EXIT, number, reason=reason) for number in numbers
        )
        return Judgement(EodVerdict.EXIT, f"{alert.price} hits {names}", signals)

    def _hit(self, alert: EODMonitorSignal, held: InstrumentBook) -> Sequence[Position]:
        """Whose stops a close at this price would hit; on copies, for the bar is not closed."""
        atr, supertrend = _points(alert, "atr"), _points(alert, "supertrend")
        if atr is None or supertrend is None:
            return ()
        copies = [replace(layer) for layer in held.layers]
        return held.stops.advance(copies, alert.price, atr, supertrend)

    def _add(self, alert: EODMonitorSignal, window: EodWindow, held: InstrumentBook) -> Judgement:
        layer = held.top_layer + 1
        most = 1 + self._config.pyramid.max_adds
        if layer > most:
            return Judgement(EodVerdict.NOTHING, f"{layer_name(held.top_layer)} is the last layer")
        if (wrong := _cannot_enter(alert)) is not None:
            return Judgement(EodVerdict.NOTHING, wrong)
        signal = _signal(alert, window, SignalType.PYRAMID, layer)
        verdicts = self._gates[alert.instrument].judge_chart(signal, held)
        if failed := [verdict.name for verdict in verdicts if not verdict.passed]:
            return Judgement(EodVerdict.NOTHING, f"gate closed: {', '.join(failed)}")
        reason = f"the chart opens the gate for {layer_name(layer)}"
        return Judgement(EodVerdict.ENTER_PYRAMID, reason, (signal,))


def _enter(alert: EODMonitorSignal, window: EodWindow) -> Judgement:
    missing = [name for name in ENTRY_CONDITIONS if not alert.conditions.get(name, False)]
    if missing:
        return Judgement(EodVerdict.NOTHING, f"not true: {', '.join(missing)}")
    if alert.conditions.get(_EXIT_CONDITION, False):
        return Judgement(EodVerdict.NOTHING, "entry and exit at once")
    if (wrong := _cannot_enter(alert)) is not None:
        return Judgement(EodVerdict.NOTHING, wrong)
    signal = _signal(alert, window, SignalType.BASE_ENTRY, 1)
    return Judgement(EodVerdict.ENTER_BASE, "flat, and every entry condition is true", (signal,))


def _cannot_enter(alert: EODMonitorSignal) -> str | None:
    """What is missing of what an entry is made from."""
    for name in ("atr", "er", "supertrend"):
        if alert.indicators.get(name) is None:
            return f"the Scout gives no {name}"
    supertrend = _points(alert, "supertrend")
    if supertrend is not None and supertrend >= alert.price:
        return f"the SuperTrend {supertrend} is not below the price {alert.price}"
    return None


def _signal(
    alert: EODMonitorSignal,
    window: EodWindow,
    kind: SignalType,
    layer: int | None,
    reason: str = "",
) -> Signal:
    """The signal that the running bar would send at its close."""
    supertrend = _points(alert, "supertrend") or Decimal(0)
    return Signal(
        type=kind,
        instrument=alert.instrument,
        layer=layer,
        price=alert.price,
        stop=Decimal(0) if kind is SignalType.EXIT else supertrend,
        atr=_points(alert, "atr") or Decimal(0),
        er=alert.indicators.get("er") or 0.0,
        supertrend=supertrend,
        bar_time=_bar_time(alert, window),
        roc=alert.indicators.get("roc"),
        reason=reason,
    )


def _bar_time(alert: EODMonitorSignal, window: EodWindow) -> datetime:
    """The open of the running bar: as the Scout names it, or as the calendar and the chart do."""
    runs = window.closes_at - window.bar <= alert.bar_time < window.closes_at
    return alert.bar_time if _names_its_bar(alert) and runs else window.bar_opens


def _is_of(window: EodWindow, alert: EODMonitorSignal) -> bool:
    """Whether an alert is of the bar that runs at the close."""
    begins = min(window.bar_opens, window.closes_at - window.bar)
    is_before = alert.bar_time < window.closes_at or not _names_its_bar(alert)
    return begins <= alert.bar_time and is_before


def _names_its_bar(alert: EODMonitorSignal) -> bool:
    """Whether its bar time is more than the time at which it was sent."""
    return alert.sent_at is None or alert.sent_at != alert.bar_time


def _order(found: ScoutAlert) -> tuple[datetime, int, int]:
    return (found.alert.sent_at or found.received_at, found.alert.seq or 0, found.signal_id)


def _points(alert: EODMonitorSignal, name: str) -> Decimal | None:
    """An indicator as a price: four decimals, as alerts carry them."""
    value = alert.indicators.get(name)
    return None if value is None else Decimal(f"{value:.4f}")
