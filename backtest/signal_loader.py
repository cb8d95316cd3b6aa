"""Recorded signals, whatever file they come in, as the one time-ordered stream `decide()` is fed.

At one bar exits come before closed bars and those before entries: an export may leave and enter at
the same close. What an entry's comment does not say (ATR, ER, SuperTrend, ROC) is taken from the
bars at its bar; where neither has it, the entry is not guessed at but named.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Protocol, TypeVar

from backtest.entry_window import EntryWindow
from backtest.export_layers import ExportExit, ExportLayer, exits_of, layers_of
from backtest.signal_text import parse_exit_reason
from backtest.tradingview_export import BadRow, read_export
from core.errors import InputInvalid
from core.models import EODMonitorSignal, MarketDataSignal, Signal, SignalType
from core.webhook_parser import PayloadInvalid, fingerprint, parse_alert_text

_ALERT_SUFFIXES = (".jsonl", ".ndjson", ".json")
_LINES_SHOWN = 5
_RANK = {
    SignalType.EXIT: 0,
    SignalType.MARKET_DATA: 1,
    SignalType.BASE_ENTRY: 2,
    SignalType.PYRAMID: 2,
}
_RANK_LATE_EXIT = 3

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LoadedSignal:
    """A signal with the file and line it came from; `export_lots` is what TradingView traded."""

    signal: Signal | MarketDataSignal
    export_lots: int | None
    source: str
    line: int


@dataclass(frozen=True, slots=True)
class LoadedSignals:
    """All sources merged: by time, exits first, then in the order of sources and lines."""

    signals: tuple[LoadedSignal, ...]
    bad_rows: tuple[BadRow, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IndicatorValues:
    """A closed bar's indicators: ATR and SuperTrend in points, ER a ratio, ROC in percent."""

    atr: Decimal
    er: float
    supertrend: Decimal
    roc: float | None


class IndicatorSource(Protocol):
    """Bars that can be asked for the indicators of the one that opened at `bar_time`."""

    def values_at(self, instrument: str, bar_time: datetime) -> IndicatorValues | None:
        """The values at that bar; None where there is no such bar, or they are still warming up."""
        ...


@dataclass(frozen=True, slots=True)
class SignalSource:
    """A file and the instrument its signals are taken for."""

    path: Path
    instrument: str

    @classmethod
    def parse(cls, text: str) -> "SignalSource":
        """Read `FILE:INSTRUMENT`; raises InputInvalid where a half is missing."""
        path, _, instrument = text.rpartition(":")
        if not path or not instrument:
            raise InputInvalid(text, "is not FILE:INSTRUMENT, such as trades.csv:BANK_NIFTY")
        return cls(Path(path), instrument)


class SignalLoader:
    """Loads exports (.csv) and alerts, one JSON object a line (.jsonl, .ndjson, .json)."""

    def __init__(
        self,
        instruments: Collection[str],
        indicators: IndicatorSource | None = None,
        skip_bad_rows: bool = False,
        start: date | None = None,
        end: date | None = None,
    ) -> None:
        """Trades are taken that begin from `start` to `end` (both included), where given."""
        self._start = start
        self._end = end
        self._instruments = instruments
        self._indicators = indicators
        self._skip_bad_rows = skip_bad_rows

    def load(self, sources: Iterable[SignalSource]) -> LoadedSignals:
        """All signals of all sources. Raises InputInvalid for what cannot be read or filled in."""
        ranked: list[tuple[int, int, LoadedSignal]] = []
        bad_rows: list[BadRow] = []
        notes: list[str] = []
        for place, source in enumerate(sources):
            reading = self._read(source)
            ranked += [(rank, place, loaded) for rank, loaded in reading.signals]
            bad_rows += reading.bad_rows
            notes += reading.notes
        ranked.sort(key=_order)
        return LoadedSignals(
            tuple(loaded for _, _, loaded in ranked), tuple(bad_rows), tuple(notes)
        )

    def _read(self, source: SignalSource) -> "_Reading":
        if source.instrument not in self._instruments:
            known = ", ".join(sorted(self._instruments))
            raise InputInvalid(
                str(source.path), f"instrument {source.instrument!r} is not one of {known}"
            )
        suffix = source.path.suffix.lower()
        if suffix == ".csv":
            return self._read_export(source)
        if suffix in _ALERT_SUFFIXES:
            return self._read_alerts(source)
        raise InputInvalid(
            str(source.path),
            f"is neither an export (.csv) nor alerts ({', '.join(_ALERT_SUFFIXES)})",
        )

    def _read_export(self, source: SignalSource) -> "_Reading":
        export = read_export(source.path, self._skip_bad_rows)
        reading = _Reading(export.source, self._skip_bad_rows, bad_rows=list(export.bad_rows))
        lacking: list[_Lacking] = []
        kept: list[ExportLayer] = []
        layers = self._inside(layers_of(export.trades), reading)
        for layer in layers:
            entry = self._entry(source.instrument, layer)
            if isinstance(entry, Signal):
                kept.append(layer)
                reading.add(entry, layer.lots, layer.entry.line)
            else:
                lacking.append(entry)
        if lacking and self._indicators is None:
            raise InputInvalid(export.source, _remedies(source.instrument, lacking, len(layers)))
        for entry in lacking:
            reading.leave_out(
                entry.line,
                f"the bars have no values for {', '.join(entry.names)} at "
                f"{entry.bar_time:%Y-%m-%d %H:%M}",
            )
        for closed in exits_of(kept):
            rank = _RANK_LATE_EXIT if closed.is_after_entries else _RANK[SignalType.EXIT]
            reading.add(_exit(source.instrument, closed), closed.lots, closed.fill.line, rank)
        early = [fill.line for layer in kept for fill in layer.early_exits]
        if early:
            reading.notes.append(
                f"{export.source}: {len(early)} partial exits are taken together with the last "
                f"exit of their layer ({_shown(early)})"
            )
        return reading

    def _inside(self, layers: Sequence[ExportLayer], reading: "_Reading") -> list[ExportLayer]:
        """The layers of trades that begin inside the run's days; the others are counted."""
        window = EntryWindow(self._start, self._end)
        ordered = sorted(layers, key=lambda layer: layer.entry.time)
        kept = [each for each in ordered if window.takes_entry(each.text.layer, each.entry.time)]
        reading.note_outside(len(layers) - len(kept), "entries")
        return kept

    def _inside_alerts(self, reading: "_Reading") -> None:
        window = EntryWindow(self._start, self._end)
        kept = []
        for rank, loaded in sorted(reading.signals, key=lambda pair: pair[1].signal.bar_time):
            signal = loaded.signal
            if isinstance(signal, Signal) and signal.type is not SignalType.EXIT:
                inside = window.takes_entry(signal.layer, signal.bar_time)
            else:
                inside = window.has_begun(signal.bar_time)
            if inside:
                kept.append((rank, loaded))
        reading.note_outside(len(reading.signals) - len(kept), "alerts")
        reading.signals = kept

    def _entry(self, instrument: str, layer: ExportLayer) -> "Signal | _Lacking":
        """The entry's alert; each value from its comment, else from the bars."""
        text, bar_time = layer.text, layer.entry.time
        found = None
        if self._indicators is not None and None in (text.atr, text.er, text.supertrend, text.roc):
            found = self._indicators.values_at(instrument, bar_time)
        atr = _first(text.atr, found.atr if found else None)
        er = _first(text.er, found.er if found else None)
        supertrend = _first(text.supertrend, found.supertrend if found else None)
        if atr is None or er is None or supertrend is None:
            values = (("ATR", atr), ("ER", er), ("ST", supertrend))
            names = tuple(name for name, value in values if value is None)
            return _Lacking(layer.entry.line, bar_time, names)
        return Signal(
            type=SignalType.BASE_ENTRY if text.layer == 1 else SignalType.PYRAMID,
            instrument=instrument,
            layer=text.layer,
            price=layer.entry.price,
            stop=supertrend if text.stop is None else text.stop,
            atr=atr,
            er=er,
            supertrend=supertrend,
            bar_time=bar_time,
            roc=_first(text.roc, found.roc if found else None),
            suggested_lots=layer.lots,
        )

    def _read_alerts(self, source: SignalSource) -> "_Reading":
        reading = _Reading(source.path.name, self._skip_bad_rows)
        seen: set[str] = set()
        left_out: Counter[str] = Counter()
        for line, body in enumerate(_lines(source.path), start=1):
            if not body.strip():
                continue
            try:
                alert = parse_alert_text(body, self._instruments)
            except PayloadInvalid as error:
                reading.leave_out(line, str(error))
                continue
            if alert.instrument != source.instrument:
                left_out[f"alerts of {alert.instrument}"] += 1
            elif isinstance(alert, EODMonitorSignal):
                left_out["EOD_MONITOR alerts (judged live only)"] += 1
            elif fingerprint(alert) in seen:
                left_out["repeated deliveries of an alert"] += 1
            else:
                seen.add(fingerprint(alert))
                reading.add(alert, None, line)
        reading.notes += [
            f"{reading.source}: {count} {what} left out" for what, count in sorted(left_out.items())
        ]
        self._inside_alerts(reading)
        return reading


@dataclass(slots=True)
class _Reading:
    """One source while it is read: signals with their rank at a bar, in file order."""

    source: str
    skip_bad_rows: bool
    signals: list[tuple[int, LoadedSignal]] = field(default_factory=list)
    bad_rows: list[BadRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(
        self,
        signal: Signal | MarketDataSignal,
        export_lots: int | None,
        line: int,
        rank: int | None = None,
    ) -> None:
        kind = signal.type if isinstance(signal, Signal) else SignalType.MARKET_DATA
        loaded = LoadedSignal(signal, export_lots, self.source, line)
        self.signals.append((_RANK[kind] if rank is None else rank, loaded))

    def note_outside(self, count: int, what: str) -> None:
        if count:
            self.notes.append(f"{self.source}: {count} {what} outside the run's days left out")

    def leave_out(self, line: int, reason: str) -> None:
        if not self.skip_bad_rows:
            raise InputInvalid(self.source, f"{reason} (--skip-bad-rows leaves it out)", line)
        self.bad_rows.append(BadRow(self.source, line, reason))


@dataclass(frozen=True, slots=True)
class _Lacking:
    """An entry that cannot be made an alert, and the comment's names of what it lacks."""

    line: int
    bar_time: datetime
    names: tuple[str, ...]


def _order(ranked: tuple[int, int, LoadedSignal]) -> tuple[datetime, int, int, int]:
    rank, place, loaded = ranked
    return loaded.signal.bar_time, rank, place, loaded.signal.seq or 0


def _first(said: T | None, computed: T | None) -> T | None:
    return computed if said is None else said


def _exit(instrument: str, closed: ExportExit) -> Signal:
    return Signal(
        type=SignalType.EXIT,
        instrument=instrument,
        layer=None if closed.is_all else closed.layers[0].text.layer,
        price=closed.fill.price,
        stop=Decimal(0),
        atr=Decimal(0),
        er=0.0,
        supertrend=Decimal(0),
        bar_time=closed.fill.time,
        suggested_lots=closed.lots,
        reason=parse_exit_reason(closed.fill.text),
    )


def _remedies(instrument: str, lacking: Sequence[_Lacking], entries: int) -> str:
    names = [name for name in ("ATR", "ER", "ST") if any(name in each.names for each in lacking)]
    return (
        f"{len(lacking)} of {entries} entries do not say {', '.join(names)} "
        f"({_shown([each.line for each in lacking])}). Either export with the values in the "
        "comments (ENTRY-5L|ATR:350|ER:0.82|STOP:51650|ST:51650|POS:Long_1), or give the bars to "
        f"compute them from: --bars {instrument}=FILE"
    )


def _shown(lines: Sequence[int]) -> str:
    more = f" and {len(lines) - _LINES_SHOWN} more" if len(lines) > _LINES_SHOWN else ""
    return f"lines {', '.join(str(line) for line in sorted(lines)[:_LINES_SHOWN])}{more}"


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as lines:
            yield from lines
    except OSError as error:
        raise InputInvalid(str(path), f"cannot be opened: {error.strerror}") from error
