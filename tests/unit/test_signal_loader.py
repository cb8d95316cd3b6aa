"""Exports and alert files as one stream of signals, in the order a trader would have met them."""

import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.export_layers import exits_of, layers_of
from backtest.signal_loader import (
    IndicatorValues,
    LoadedSignal,
    LoadedSignals,
    SignalLoader,
    SignalSource,
)
from backtest.tradingview_export import ExportTrade, parse_export
from core.errors import InputInvalid
from core.ist import IST
from core.models import MarketDataSignal, Signal, SignalType, layer_name
from tests.fixtures.exports.export_writer import Row, WrittenTrade, entry, exit_, export_text

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "exports"
INSTRUMENTS = ("BANK_NIFTY", "GOLD_MINI")
SAID = "|ATR:300|ER:0.9|ST:47600"


class BarsOf2024:
    """Indicators at every bar of 2024 but those that are missing; counts what it is asked."""

    def __init__(self, *missing: str) -> None:
        self.missing = missing
        self.asked = 0

    def values_at(self, instrument: str, bar_time: datetime) -> IndicatorValues | None:
        self.asked += 1
        if bar_time.year != 2024 or f"{bar_time:%m-%d %H:%M}" in self.missing:
            return None
        return IndicatorValues(Decimal(250), 0.7, Decimal(47000), 1.5)


def source(path: Path, instrument: str = "BANK_NIFTY") -> SignalSource:
    return SignalSource(path, instrument)


def written(folder: Path, *rows: Row, name: str = "trades.csv") -> SignalSource:
    path = folder / name
    path.write_text(export_text(rows), encoding="utf-8")
    return source(path)


def loaded(
    *sources: SignalSource, bars: BarsOf2024 | None = None, skip_bad_rows: bool = False
) -> LoadedSignals:
    return SignalLoader(INSTRUMENTS, bars, skip_bad_rows).load(sources)


def told(item: LoadedSignal) -> str:
    signal = item.signal
    time = f"{signal.bar_time:%m-%d %H:%M}"
    if isinstance(signal, MarketDataSignal):
        return f"{time} MARKET_DATA"
    return f"{time} {signal.type} {layer_name(signal.layer)}"


def story(result: LoadedSignals) -> list[str]:
    return [told(item) for item in result.signals]


def only_signals(result: LoadedSignals) -> list[Signal]:
    return [item.signal for item in result.signals if isinstance(item.signal, Signal)]


@pytest.mark.parametrize("name", ["older_names.csv", "newer_names.csv"])
def test_an_export_tells_its_story_in_order_of_time(name: str) -> None:
    """On 3 January the trade closes and the next one opens at the same close: exit first."""
    assert story(loaded(source(FIXTURES / name))) == [
        "01-01 09:15 BASE_ENTRY Long_1",
        "01-02 11:45 PYRAMID Long_2",
        "01-03 14:15 EXIT ALL",
        "01-03 14:15 BASE_ENTRY Long_1",
        "01-04 13:00 PYRAMID Long_2",
        "01-05 10:30 EXIT Long_1",
        "01-08 09:15 EXIT ALL",
        "01-10 09:15 BASE_ENTRY Long_1",
        "01-11 14:15 EXIT ALL",
        "01-15 11:45 BASE_ENTRY Long_1",
    ]


def test_an_entry_is_made_of_its_row_and_its_comment() -> None:
    first = loaded(source(FIXTURES / "older_names.csv")).signals[0]
    assert first == LoadedSignal(
        signal=Signal(
            type=SignalType.BASE_ENTRY,
            instrument="BANK_NIFTY",
            layer=1,
            price=Decimal(48000),
            stop=Decimal(47650),
            atr=Decimal("310.5"),
            er=0.86,
            supertrend=Decimal(47650),
            bar_time=datetime(2024, 1, 1, 9, 15, tzinfo=IST),
            roc=2.1,
            suggested_lots=10,
        ),
        export_lots=10,
        source="older_names.csv",
        line=3,
    )


def test_an_exit_holds_what_was_closed_and_why() -> None:
    closed = loaded(source(FIXTURES / "older_names.csv")).signals[2]
    assert isinstance(closed.signal, Signal)
    assert (closed.signal.price, closed.signal.reason) == (Decimal("48500.5"), "Basso Stop")
    assert (closed.export_lots, closed.line) == (15, 2)


def test_a_complete_comment_is_believed_before_the_bars(tmp_path: Path) -> None:
    bars = BarsOf2024()
    rows = _one_trade(SAID + "|ROC:2.2|STOP:47500")
    (opened, _) = only_signals(loaded(written(tmp_path, *rows), bars=bars))
    assert (opened.atr, opened.supertrend) == (Decimal(300), Decimal(47600))
    assert (opened.er, opened.roc) == (0.9, 2.2)
    assert opened.stop == 47500
    assert bars.asked == 0


def test_only_what_the_comment_leaves_out_is_taken_from_the_bars(tmp_path: Path) -> None:
    rows = _one_trade("|ATR:300|ER:NaN")
    (opened, _) = only_signals(loaded(written(tmp_path, *rows), bars=BarsOf2024()))
    assert (opened.atr, opened.er, opened.roc) == (Decimal(300), 0.7, 1.5)
    assert opened.stop == opened.supertrend == 47000


def test_a_missing_roc_alone_is_no_reason_to_refuse(tmp_path: Path) -> None:
    rows = _one_trade(SAID)
    (opened, _) = only_signals(loaded(written(tmp_path, *rows)))
    assert opened.roc is None
    missing = BarsOf2024("01-01 09:15")
    assert only_signals(loaded(written(tmp_path, *rows), bars=missing))[0] == opened


@pytest.mark.parametrize("skip_bad_rows", [False, True])
def test_without_comment_and_bars_the_error_names_fields_lines_and_both_remedies(
    tmp_path: Path, skip_bad_rows: bool
) -> None:
    rows = [
        row
        for number in range(1, 8)
        for row in _one_trade("|ER:0.8" if number > 1 else SAID, number, day=number)
    ]
    with pytest.raises(InputInvalid) as refused:
        loaded(written(tmp_path, *rows), skip_bad_rows=skip_bad_rows)
    message = str(refused.value)
    assert "6 of 7 entries do not say ATR, ST (lines 4, 6, 8, 10, 12 and 1 more)" in message
    assert "ENTRY-5L|ATR:350|ER:0.82|STOP:51650|ST:51650|POS:Long_1" in message
    assert "--bars BANK_NIFTY=FILE" in message


def test_exits_need_no_comment_and_no_bars(tmp_path: Path) -> None:
    bars = BarsOf2024()
    loaded(written(tmp_path, *_one_trade(SAID + "|ROC:1")), bars=bars)
    assert bars.asked == 0


def test_an_entry_whose_bar_is_missing_is_named_by_line(tmp_path: Path) -> None:
    rows = [*_one_trade(number=1, day=1), *_one_trade(number=2, day=3)]
    with pytest.raises(InputInvalid, match="line 4: the bars have no values for ATR, ER, ST"):
        loaded(written(tmp_path, *rows), bars=BarsOf2024("01-03 09:15"))


def test_skipping_it_leaves_its_exit_out_too(tmp_path: Path) -> None:
    rows = [*_one_trade(number=1, day=1), *_one_trade(number=2, day=3)]
    result = loaded(written(tmp_path, *rows), bars=BarsOf2024("01-03 09:15"), skip_bad_rows=True)
    assert story(result) == ["01-01 09:15 BASE_ENTRY Long_1", "01-02 14:15 EXIT ALL"]
    assert [(bad.source, bad.line) for bad in result.bad_rows] == [("trades.csv", 4)]


def test_unreadable_rows_follow_the_same_policy(tmp_path: Path) -> None:
    rows = [*_one_trade(SAID), entry(2, "yesterday", "ENTRY-5L" + SAID, "48000")]
    trades = written(tmp_path, *rows)
    with pytest.raises(InputInvalid, match="line 4"):
        loaded(trades)
    assert [bad.line for bad in loaded(trades, skip_bad_rows=True).bad_rows] == [4]


def _one_trade(said: str = "", number: int = 1, day: int = 1) -> list[Row]:
    return [
        entry(number, f"2024-01-0{day} 09:15", f"ENTRY-10L{said}", "48000"),
        exit_(number, f"2024-01-0{day + 1} 14:15", "EXIT - Below ST", "48500"),
    ]


def _layer(number: int, add: int, opened: str, closed: str, price: str = "48500") -> list[Row]:
    name = f"PYR{add}" if add else "ENTRY"
    return [
        entry(number, f"2024-01-{opened}", f"{name}-10L{SAID}", "48000"),
        exit_(number, f"2024-01-{closed}", "EXIT - Below ST", price),
    ]


@pytest.mark.parametrize(
    ("trades", "exits"),
    [
        (
            [("01 09:15", "05 09:15"), ("02 09:15", "05 09:15"), ("03 09:15", "05 09:15")],
            ["01-05 09:15 EXIT ALL"],
        ),
        (
            [("01 09:15", "04 09:15"), ("02 09:15", "05 09:15"), ("03 09:15", "05 09:15")],
            ["01-04 09:15 EXIT Long_1", "01-05 09:15 EXIT ALL"],
        ),
        (
            [("01 09:15", "05 09:15"), ("02 09:15", "04 09:15"), ("03 09:15", "04 09:15")],
            ["01-04 09:15 EXIT Long_3", "01-04 09:15 EXIT Long_2", "01-05 09:15 EXIT ALL"],
        ),
    ],
    ids=["all together", "the base first", "the adds first"],
)
def test_an_exit_is_for_all_only_when_nothing_stays_open(
    tmp_path: Path, trades: list[tuple[str, str]], exits: list[str]
) -> None:
    rows = [
        row
        for add, (opened, closed) in enumerate(trades)
        for row in _layer(add + 1, add, opened, closed)
    ]
    assert [line for line in story(loaded(written(tmp_path, *rows))) if "EXIT" in line] == exits


def test_an_open_layer_keeps_an_exit_from_being_for_all(tmp_path: Path) -> None:
    rows = [
        *_layer(1, 0, "01 09:15", "05 09:15"),
        entry(2, "2024-01-02 09:15", "PYR1-5L" + SAID, "48200"),
        Row(2, "Exit long", "", "Open", "", "10", net_pnl="", cumulative_pnl=""),
    ]
    assert story(loaded(written(tmp_path, *rows)))[-1] == "01-05 09:15 EXIT Long_1"


def test_layers_closed_at_two_prices_of_one_bar_are_two_exits(tmp_path: Path) -> None:
    rows = _layer(1, 0, "01 09:15", "05 09:15") + _layer(2, 1, "02 09:15", "05 09:15", "48400")
    result = only_signals(loaded(written(tmp_path, *rows)))[2:]
    assert [signal.layer for signal in result] == [2, 1]
    assert [signal.price for signal in result] == [48400, 48500]


def test_a_layer_closed_at_its_own_bar_leaves_after_it_entered(tmp_path: Path) -> None:
    rows = _layer(1, 0, "01 09:15", "01 09:15")
    assert story(loaded(written(tmp_path, *rows))) == [
        "01-01 09:15 BASE_ENTRY Long_1",
        "01-01 09:15 EXIT ALL",
    ]


def test_the_parts_of_a_split_exit_are_one_entry_and_one_exit(tmp_path: Path) -> None:
    bought = ("2024-01-01 09:15", f"ENTRY-10L{SAID}", "48000")
    rows = [
        *(entry(1, *bought, lots="4"), entry(2, *bought, lots="6")),
        exit_(1, "2024-01-02 09:15", "EXIT - Basso Stop", "48100", lots="4"),
        exit_(2, "2024-01-03 09:15", "EXIT - Below ST", "48500", lots="6"),
    ]
    result = loaded(written(tmp_path, *rows))
    assert story(result) == ["01-01 09:15 BASE_ENTRY Long_1", "01-03 09:15 EXIT ALL"]
    assert [item.export_lots for item in result.signals] == [10, 10]
    assert "1 partial exits are taken together with the last exit" in result.notes[0]
    assert "(lines 4)" in result.notes[0]


def test_only_trades_that_begin_on_the_runs_days_are_taken(tmp_path: Path) -> None:
    """An add belongs to its trade: it goes with a base entry left out, and stays with one taken."""
    rows = [
        row
        for number, day, text in (
            (1, "2024-01-03", "ENTRY-2L"),
            (2, "2024-01-08", "PYR1-1L"),
            (3, "2024-01-09", "ENTRY-2L"),
            (4, "2024-01-11", "PYR1-1L"),
            (5, "2024-01-12", "ENTRY-2L"),
        )
        for row in (
            entry(number, f"{day} 09:15", text + SAID, "48000"),
            exit_(number, "2024-01-15 09:15", "EXIT - Below ST", "48100"),
        )
    ]
    loader = SignalLoader(INSTRUMENTS, start=date(2024, 1, 8), end=date(2024, 1, 10))
    read = loader.load([written(tmp_path, *rows)])
    days = [f"{each.signal.bar_time:%d}" for each in read.signals]
    assert days == ["09", "11", "15"]
    assert read.notes == ("trades.csv: 3 entries outside the run's days left out",)


def test_alerts_outside_the_runs_days_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_text((FIXTURES / "alerts.jsonl").read_text())
    loader = SignalLoader(INSTRUMENTS, start=date(2024, 1, 2), end=date(2024, 1, 2))
    read = loader.load([source(path, "GOLD_MINI")])
    assert all(f"{each.signal.bar_time:%d}" != "01" for each in read.signals)
    assert any("outside the run's days" in note for note in read.notes)


def test_instruments_are_merged_by_time(tmp_path: Path) -> None:
    result = loaded(
        written(tmp_path, *_one_trade(SAID)), source(FIXTURES / "alerts.jsonl", "GOLD_MINI")
    )
    names = [item.signal.instrument for item in result.signals]
    times = [item.signal.bar_time for item in result.signals]
    assert times == sorted(times)
    assert names[:3] == ["BANK_NIFTY", "GOLD_MINI", "GOLD_MINI"]


def test_at_one_bar_every_exit_comes_before_any_entry(tmp_path: Path) -> None:
    gold = source(written(tmp_path, *_one_trade(SAID, day=2), name="gold.csv").path, "GOLD_MINI")
    rows = [*_one_trade(SAID), entry(2, "2024-01-03 14:15", "ENTRY-1L" + SAID, "1")]
    rows.append(exit_(2, "2024-01-04 09:15", "EXIT", "1"))
    result = loaded(written(tmp_path, *rows), gold)
    assert [(told(item)[12:], item.signal.instrument) for item in result.signals[3:5]] == [
        ("EXIT ALL", "GOLD_MINI"),
        ("BASE_ENTRY Long_1", "BANK_NIFTY"),
    ]


def test_an_alert_file_tells_its_story_in_order_of_bar_time_not_of_arrival() -> None:
    """Two alerts 350 ms apart once ran in the wrong order; here the entry even arrived first."""
    result = loaded(source(FIXTURES / "alerts.jsonl", "GOLD_MINI"))
    assert story(result) == [
        "01-01 09:15 BASE_ENTRY Long_1",
        "01-01 11:15 MARKET_DATA",
        "01-02 10:00 PYRAMID Long_2",
        "01-03 10:00 EXIT ALL",
        "01-03 10:00 BASE_ENTRY Long_1",
    ]
    assert [item.line for item in result.signals] == [1, 2, 6, 9, 8]
    assert {item.export_lots for item in result.signals} == {None}


def test_what_an_alert_file_holds_for_others_is_left_out_and_counted() -> None:
    assert loaded(source(FIXTURES / "alerts.jsonl", "GOLD_MINI")).notes == (
        "alerts.jsonl: 1 EOD_MONITOR alerts (judged live only) left out",
        "alerts.jsonl: 1 alerts of BANK_NIFTY left out",
        "alerts.jsonl: 1 repeated deliveries of an alert left out",
    )


def test_alerts_of_one_bar_follow_their_sequence(tmp_path: Path) -> None:
    lines = (FIXTURES / "alerts.jsonl").read_text(encoding="utf-8").splitlines()
    pyramid, base = json.loads(lines[5]), json.loads(lines[0])
    base |= {"timestamp": pyramid["timestamp"], "bar_time": None, "seq": 3}
    path = tmp_path / "alerts.ndjson"
    path.write_text(f"{json.dumps(pyramid)}\n{json.dumps(base)}\n", encoding="utf-8")
    assert story(loaded(source(path, "GOLD_MINI"))) == [
        "01-02 10:00 BASE_ENTRY Long_1",
        "01-02 10:00 PYRAMID Long_2",
    ]


def test_a_closed_bar_comes_after_its_exit_and_before_its_entry(tmp_path: Path) -> None:
    lines = (FIXTURES / "alerts.jsonl").read_text(encoding="utf-8").splitlines()
    at_one_bar = [json.loads(lines[place]) for place in (7, 1, 8)]
    at_one_bar[1]["timestamp"] = at_one_bar[0]["timestamp"]
    path = tmp_path / "alerts.json"
    path.write_text("\n".join(json.dumps(alert) for alert in at_one_bar), encoding="utf-8")
    assert [line[12:] for line in story(loaded(source(path, "GOLD_MINI")))] == [
        "EXIT ALL",
        "MARKET_DATA",
        "BASE_ENTRY Long_1",
    ]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"type":"EXIT"}', "reason is required"),
        (b'{"type":"EXIT","roc":NaN}', "roc must be a finite number"),
        (b"[1]", "body must be a JSON object"),
        (b"\xff", "body is not UTF-8 text"),
    ],
)
def test_an_alert_that_cannot_be_read_is_named_by_line(
    tmp_path: Path, body: bytes, reason: str
) -> None:
    good = (FIXTURES / "alerts.jsonl").read_bytes().splitlines()[0]
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(good + b"\n\n" + body + b"\n")
    with pytest.raises(InputInvalid) as refused:
        loaded(source(path, "GOLD_MINI"))
    assert refused.value.line == 3
    assert reason in str(refused.value)
    skipped = loaded(source(path, "GOLD_MINI"), skip_bad_rows=True)
    assert [bad.line for bad in skipped.bad_rows] == [3]
    assert len(skipped.signals) == 1


@pytest.mark.parametrize(
    ("text", "path", "instrument"),
    [
        ("trades.csv:BANK_NIFTY", "trades.csv", "BANK_NIFTY"),
        ("C:/exports/trades.csv:GOLD_MINI", "C:/exports/trades.csv", "GOLD_MINI"),
    ],
)
def test_a_source_is_written_file_colon_instrument(text: str, path: str, instrument: str) -> None:
    assert SignalSource.parse(text) == SignalSource(Path(path), instrument)


@pytest.mark.parametrize("text", ["trades.csv", ":BANK_NIFTY", "trades.csv:", ""])
def test_a_source_without_one_of_its_halves_is_refused(text: str) -> None:
    with pytest.raises(InputInvalid, match="is not FILE:INSTRUMENT"):
        SignalSource.parse(text)


def test_a_source_that_cannot_be_used_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match="'SILVER' is not one of BANK_NIFTY, GOLD_MINI"):
        loaded(source(FIXTURES / "older_names.csv", "SILVER"))
    with pytest.raises(InputInvalid, match="is neither an export"):
        loaded(source(tmp_path / "trades.xlsx"))
    for name in ("none.csv", "none.jsonl"):
        with pytest.raises(InputInvalid, match=f"{name}: cannot be opened"):
            loaded(source(tmp_path / name))


BAR = timedelta(minutes=75)
FIRST_BAR = datetime(2024, 1, 1, 9, 15, tzinfo=IST)


@st.composite
def campaigns(draw: st.DrawFn) -> list[WrittenTrade]:
    """Trades one after another, each of up to six layers, closed together or one by one."""
    trades: list[WrittenTrade] = []
    bar = 0
    for _ in range(draw(st.integers(1, 4))):
        opened = [bar + place for place in range(draw(st.integers(1, 6)))]
        later = st.integers(opened[-1] + 1, opened[-1] + 3)
        closed = [draw(later) for _ in opened]
        trades += [
            WrittenTrade(
                layer=layer,
                lots=draw(st.integers(1, 20)),
                entry_time=FIRST_BAR + enters * BAR,
                entry_price=Decimal(48000 + layer),
                exit_time=FIRST_BAR + leaves * BAR,
                exit_price=Decimal(49000),
                net_pnl=Decimal(0),
            )
            for layer, (enters, leaves) in enumerate(zip(opened, closed, strict=True), start=1)
        ]
        bar = max(closed)
    return trades


def _exported(trades: Sequence[WrittenTrade]) -> tuple[ExportTrade, ...]:
    rows = [
        row
        for number, trade in enumerate(trades, start=1)
        for row in trade.rows(number, exit_first=True, grouped=False)
    ]
    return parse_export("trades.csv", export_text(rows).splitlines()).trades


@given(campaigns())
def test_a_book_that_obeys_the_signals_holds_what_the_export_held(
    trades: list[WrittenTrade],
) -> None:
    layers = layers_of(_exported(trades))
    exits = exits_of(layers)
    held: set[int] = set()
    for time in sorted({layer.entry.time for layer in layers} | {each.fill.time for each in exits}):
        for closed in exits:
            if closed.fill.time == time:
                assert held
                held -= held if closed.is_all else {closed.layers[0].text.layer}
        held |= {layer.text.layer for layer in layers if layer.entry.time == time}
        assert held == {
            trade.layer
            for trade in trades
            if trade.exit_time is not None and trade.entry_time <= time < trade.exit_time
        }
    assert sum(each.lots for each in exits) == sum(trade.lots for trade in trades)
