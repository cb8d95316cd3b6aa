"""Exports in every shape TradingView has written them, read the same or refused by line."""

from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.signal_text import parse_entry_text, parse_exit_reason
from backtest.tradingview_export import TradingViewExport, parse_export, read_export
from core.errors import InputInvalid
from core.ist import IST
from tests.fixtures.exports.export_writer import (
    NEWER,
    OLDER,
    OLDEST,
    Row,
    WrittenTrade,
    entry,
    exit_,
    export_text,
)

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "exports"
ENTRY = entry(1, "2024-01-01 09:15", "ENTRY-10L", "48000")
EXIT = exit_(1, "2024-01-02 14:15", "EXIT - Below ST", "48500", net_pnl="140000")
SECOND = [
    exit_(2, "2024-01-04 09:15", "EXIT - Below ST", "48100"),
    entry(2, "2024-01-03 09:15", "ENTRY-10L", "48000"),
]


def read(*rows: Row, columns: str = OLDER, skip_bad_rows: bool = False) -> TradingViewExport:
    lines = export_text(rows, columns).splitlines(keepends=True)
    return parse_export("trades.csv", lines, skip_bad_rows)


def test_a_trade_is_read_with_its_two_fills_and_the_figures_of_its_exit_row() -> None:
    (trade,) = read(EXIT, ENTRY).trades
    assert (trade.number, trade.layer, trade.lots) == (1, 1, 10)
    assert trade.entry.time == datetime(2024, 1, 1, 9, 15, tzinfo=IST)
    assert (trade.entry.price, trade.entry.line) == (Decimal(48000), 3)
    assert trade.exit is not None
    assert (trade.exit.price, trade.exit.line) == (Decimal(48500), 2)
    assert (trade.exit_reason, trade.net_pnl) == ("Below ST", Decimal(140000))


def test_the_exit_row_may_follow_its_entry_row() -> None:
    (after,) = read(ENTRY, EXIT).trades
    (before,) = read(EXIT, ENTRY).trades
    assert after.exit is not None
    assert before.exit is not None
    assert (after.entry.price, after.exit.price) == (before.entry.price, before.exit.price)


@pytest.mark.parametrize("columns", [OLDER, NEWER, OLDEST, OLDER.upper()])
def test_every_generation_of_column_names_is_matched_by_meaning(columns: str) -> None:
    assert read(EXIT, ENTRY, columns=columns).trades == read(EXIT, ENTRY).trades


def test_columns_may_stand_in_another_order() -> None:
    lines = [",".join(reversed(line.split(","))) for line in export_text([EXIT, ENTRY]).split("\n")]
    assert parse_export("trades.csv", lines).trades == read(EXIT, ENTRY).trades


@pytest.mark.parametrize(
    ("missing", "accepted"),
    [
        ("Trade #", "'trade #', 'trade number'"),
        ("Date/Time", "'date/time', 'date and time'"),
        ("Signal", "'signal'"),
        ("Price INR", "'price'"),
        ("Position size (qty)", "'position size (qty)', 'size (qty)', 'quantity', 'contracts'"),
        ("Net P&L INR", "'net p&l', 'profit'"),
        ("Cumulative P&L INR", "'cumulative p&l', 'cum. profit', 'cumulative profit'"),
    ],
)
def test_a_missing_column_is_named_with_the_names_it_may_have(missing: str, accepted: str) -> None:
    with pytest.raises(InputInvalid) as refused:
        read(EXIT, ENTRY, columns=OLDER.replace(f"{missing},", "Something,"))
    assert f"no column for {accepted.split(',')[0]}" in str(refused.value)
    assert f"needs one of {accepted} " in str(refused.value)


def test_two_columns_of_one_meaning_are_refused() -> None:
    with pytest.raises(InputInvalid, match="two columns for 'net p&l'"):
        read(EXIT, ENTRY, columns=OLDER.replace("Run-up INR", "Net P&L USD"))


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n\n"])
def test_an_empty_file_is_refused_for_its_columns(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "trades.csv"
    path.write_bytes(content)
    with pytest.raises(InputInvalid, match="no column for 'trade #'"):
        read_export(path)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_byte_order_mark_and_windows_line_ends_change_nothing(
    tmp_path: Path, mark: bytes, newline: str
) -> None:
    path = tmp_path / "trades.csv"
    path.write_bytes(mark + export_text([EXIT, ENTRY], newline=newline).encode())
    assert read_export(path).trades == read(EXIT, ENTRY).trades


def test_a_file_that_is_not_utf_8_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "trades.csv"
    path.write_bytes(export_text([EXIT, ENTRY]).encode("utf-16"))
    with pytest.raises(InputInvalid, match=r"trades\.csv: is not UTF-8 text"):
        read_export(path)


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match=r"none\.csv: cannot be opened: No such file"):
        read_export(tmp_path / "none.csv")


def test_a_marked_open_trade_keeps_its_last_price_and_has_no_exit() -> None:
    marked = exit_(1, "2024-01-05 14:15", "Open", "49000", net_pnl="350000")
    (trade,) = read(marked, ENTRY).trades
    assert trade.exit is None
    assert trade.last is not None
    assert (trade.last.price, trade.net_pnl) == (Decimal(49000), Decimal(350000))


@pytest.mark.parametrize(
    "row",
    [
        Row(1, "Exit long", "", "Open", "", "10", net_pnl="", cumulative_pnl=""),
        Row(1, "Exit long", "", "", "", "10", net_pnl="", cumulative_pnl=""),
        Row(1, "Exit long", "2024-01-05 14:15", "", "", "10"),
    ],
    ids=["signal Open", "all blank", "no price"],
)
def test_an_exit_row_without_a_price_is_an_open_trade(row: Row) -> None:
    (trade,) = read(row, ENTRY).trades
    assert (trade.exit, trade.last) == (None, None)


def test_one_entry_closed_in_several_rows_gives_a_trade_a_part() -> None:
    parts = read(
        exit_(1, "2024-01-02 09:15", "EXIT - Basso Stop", "48100", lots="4"),
        exit_(1, "2024-01-02 14:15", "EXIT - Below ST", "48500", lots="6"),
        ENTRY,
    ).trades
    assert [(part.lots, part.exit_reason) for part in parts] == [(4, "Basso Stop"), (6, "Below ST")]


def test_one_entry_closed_under_several_trade_numbers_is_read_as_it_stands() -> None:
    parts = read(
        exit_(1, "2024-01-02 09:15", "EXIT - Basso Stop", "48100", lots="4"),
        entry(1, "2024-01-01 09:15", "ENTRY-10L", "48000", lots="4"),
        exit_(2, "2024-01-02 14:15", "EXIT - Below ST", "48500", lots="6"),
        entry(2, "2024-01-01 09:15", "ENTRY-10L", "48000", lots="6"),
    ).trades
    assert [(part.number, part.lots) for part in parts] == [(1, 4), (2, 6)]


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("1234567.5", "1234567.5"),
        ("1,234,567.5", "1234567.5"),
        ("12,34,567.5", "1234567.5"),
        ("\N{MINUS SIGN}1,234", "-1234"),
        ("-0.5", "-0.5"),
        ("+7", "7"),
        ("1\N{NO-BREAK SPACE}234", "1234"),
        ("\N{MINUS SIGN}4\N{NARROW NO-BREAK SPACE}766", "-4766"),
    ],
)
def test_numbers_are_read_as_they_are_printed(number: str, value: str) -> None:
    sold = exit_(1, "2024-01-02 14:15", "EXIT - Below ST", "48500", net_pnl=number)
    (trade,) = read(sold, ENTRY).trades
    assert trade.net_pnl == Decimal(value)


BAD_ROWS = [
    (Row(1, "Exit short", "2024-01-02 14:15", "x", "1", "10"), "short trades are not read"),
    (Row(1, "Sell", "2024-01-02 14:15", "x", "1", "10"), "type 'Sell' is neither"),
    (exit_(1, "02/01/2024", "EXIT", "48500"), "'02/01/2024' is not a time"),
    (exit_(1, "2024-13-01 09:15", "EXIT", "48500"), "is not a time"),
    (exit_(1, "2024-01-02 14:15", "EXIT", "4850O"), "price '4850O' is not a number"),
    (exit_(1, "2024-01-02 14:15", "EXIT", "4,85"), "price '4,85' is not a number"),
    (exit_(1, "2024-01-02 14:15", "EXIT", "NaN"), "price 'NaN' is not a number"),
    (exit_(1, "2024-01-02 14:15", "EXIT", "-1"), "price -1 is not above 0"),
    (exit_(1, "2024-01-02 14:15", "EXIT", "0"), "price 0 is not above 0"),
    (exit_(1, "2024-01-02 14:15", "EXIT", "1", lots="9.5"), "9.5 is not a whole number above 0"),
    (exit_(1, "2024-01-02 14:15", "EXIT", "1", lots="0"), "0 is not a whole number above 0"),
    (exit_(1, "2024-01-02 14:15", "EXIT", "1", lots="9"), "bought 10 lots, its exit rows hold 9"),
    (exit_(1, "2024-01-02 14:15", "EXIT", "1", net_pnl=""), "net p&l '' is not a number"),
    (exit_(1, "2023-12-29 14:15", "EXIT", "48500"), "trade 1 is closed before it was opened"),
]


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS, ids=[reason for _, reason in BAD_ROWS])
def test_a_row_that_cannot_be_read_is_named_by_file_line_and_reason(row: Row, reason: str) -> None:
    with pytest.raises(InputInvalid) as refused:
        read(*SECOND, ENTRY, row)
    assert refused.value.line == 5
    assert str(refused.value).startswith("trades.csv, line 5: ")
    assert reason in str(refused.value)


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS, ids=[reason for _, reason in BAD_ROWS])
def test_skipping_a_bad_row_leaves_its_whole_trade_out_and_lists_it(row: Row, reason: str) -> None:
    export = read(*SECOND, ENTRY, row, skip_bad_rows=True)
    assert [trade.number for trade in export.trades] == [2]
    assert [bad.line for bad in export.bad_rows] == [4, 5]
    assert "line 5 makes unreadable" in export.bad_rows[0].reason
    assert reason in export.bad_rows[1].reason


@pytest.mark.parametrize(
    ("rows", "line", "reason"),
    [
        ([ENTRY], 2, "trade 1 has no exit row"),
        ([EXIT], 2, "trade 1 has 0 entry rows"),
        ([ENTRY, EXIT, ENTRY], 4, "trade 1 has 2 entry rows"),
        ([EXIT, entry(1, "2024-01-01 09:15", "Long", "48000")], 3, "signal 'Long' is not an entry"),
    ],
)
def test_a_trade_whose_rows_do_not_belong_together_is_refused(
    rows: list[Row], line: int, reason: str
) -> None:
    with pytest.raises(InputInvalid, match=reason) as refused:
        read(*rows)
    assert refused.value.line == line


def test_a_row_of_too_few_or_too_many_cells_is_refused_by_line() -> None:
    lines = export_text([EXIT, ENTRY]).splitlines()
    for damaged in (lines[1].rsplit(",", 1)[0], lines[1].replace("48500", "48,500")):
        with pytest.raises(InputInvalid, match=r"line 2: has 1[46] cells, the header 15"):
            parse_export("trades.csv", [lines[0], damaged, lines[2]])


def test_a_row_without_a_trade_number_is_refused_by_line() -> None:
    lines = export_text([EXIT, ENTRY]).splitlines()
    with pytest.raises(InputInvalid, match="line 2: trade # 'x' is not a number"):
        parse_export("trades.csv", [lines[0], "x" + lines[1][1:], "x" + lines[2][1:]])


def test_a_quote_that_is_never_closed_is_refused() -> None:
    lines = export_text([EXIT, ENTRY]).splitlines(keepends=True)
    swallowed = [lines[0], '"' + "x" * 200_000]
    with pytest.raises(InputInvalid, match=r"trades\.csv, line 2: is not CSV"):
        parse_export("trades.csv", swallowed)


@pytest.mark.parametrize(
    ("text", "layer"),
    [
        ("ENTRY-15L", 1),
        ("EOD-ENTRY-15L", 1),
        ("PYR1-7L", 2),
        ("PYR2-3L", 3),
        ("PYR5-1L", 6),
        ("EOD-PYR1-7L", 2),
        ("entry-5l", 1),
    ],
)
def test_an_entry_text_gives_its_layer(text: str, layer: int) -> None:
    assert parse_entry_text(text).layer == layer


def test_an_enhanced_entry_text_gives_its_indicator_values() -> None:
    text = parse_entry_text("PYR2-5L|ATR:350.5|ER:0.82|STOP:51650|ST:51600|ROC:-2.5|POS:Long_3|X:y")
    assert (text.layer, text.atr, text.er) == (3, Decimal("350.5"), 0.82)
    assert (text.stop, text.supertrend, text.roc) == (Decimal(51650), Decimal(51600), -2.5)


@pytest.mark.parametrize("value", ["NaN", "", "na"])
def test_a_value_that_pine_could_not_compute_counts_as_not_given(value: str) -> None:
    assert parse_entry_text(f"ENTRY-5L|ATR:{value}|ER:0.8").atr is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("PYR6-1L", "add 6, and there are 5"),
        ("PYR0-1L", "not an entry"),
        ("Close entry(s) order Long_1", "not an entry"),
        ("ENTRY-5L|POS:Long_2", "is Long_1, but says POS:Long_2"),
        ("ENTRY-5L|ATR:35O", "ATR:35O in the signal is not a number"),
        ("ENTRY-5L|ATR:Infinity", "not a number"),
        ("ENTRY-5L|ATR", "KEY:VALUE, each key once"),
        ("ENTRY-5L|ATR:1|ATR:2", "KEY:VALUE, each key once"),
    ],
)
def test_an_entry_text_that_says_something_else_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_entry_text(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("EXIT - Basso Stop", "Basso Stop"),
        ("EXIT - Below ST", "Below ST"),
        ("EXIT - Trail to PYR1", "Trail to PYR1"),
        ("EXIT|STOP:51650|HI:52400|POS:Long_1", "EXIT"),
        ("EXIT - Below ST|STOP:51650", "Below ST"),
        ("Margin call", "Margin call"),
        ("", "EXIT"),
    ],
)
def test_every_exit_text_gives_a_reason(text: str, reason: str) -> None:
    assert parse_exit_reason(text) == reason


def test_the_newer_fixture_reads_like_the_older_one() -> None:
    older = read_export(FIXTURES / "older_names.csv")
    newer = read_export(FIXTURES / "newer_names.csv")
    assert len(older.trades) == 6
    assert [(t.number, t.layer, t.lots, t.net_pnl) for t in older.trades] == [
        (t.number, t.layer, t.lots, t.net_pnl) for t in newer.trades
    ]


PRICES = st.decimals("0.05", "200000", places=2)
MINUTE = timedelta(minutes=1)
MINUTES = st.integers(0, 5_000_000).map(lambda m: datetime(2009, 1, 1, tzinfo=IST) + m * MINUTE)


@st.composite
def written_trades(draw: st.DrawFn) -> WrittenTrade:
    opened = draw(MINUTES)
    closed = st.integers(0, 100_000).map(lambda minutes: opened + minutes * MINUTE)
    return WrittenTrade(
        layer=draw(st.integers(1, 6)),
        lots=draw(st.integers(1, 5000)),
        entry_time=opened,
        entry_price=draw(PRICES),
        exit_time=draw(st.none() | closed),
        exit_price=draw(PRICES),
        net_pnl=draw(st.decimals(-(10**9), 10**9, places=2)),
    )


@given(
    st.lists(written_trades(), max_size=8),
    st.booleans(),
    st.booleans(),
    st.sampled_from([OLDER, NEWER, OLDEST]),
)
def test_what_is_written_is_read_back(
    written: list[WrittenTrade], exit_first: bool, grouped: bool, columns: str
) -> None:
    rows = [
        row
        for number, trade in enumerate(written, start=1)
        for row in trade.rows(number, exit_first, grouped)
    ]
    found = [
        WrittenTrade(
            layer=trade.layer,
            lots=trade.lots,
            entry_time=trade.entry.time,
            entry_price=trade.entry.price,
            exit_time=trade.exit.time if trade.exit else None,
            exit_price=sold.price,
            net_pnl=trade.net_pnl,
        )
        for trade in read(*rows, columns=columns).trades
        if (sold := trade.exit or trade.last) is not None and trade.net_pnl is not None
    ]
    assert found == written


@given(st.lists(st.text(max_size=80), max_size=6), st.booleans())
def test_no_text_makes_the_reader_fail_in_any_other_way(lines: list[str], skip: bool) -> None:
    with suppress(InputInvalid):
        parse_export("trades.csv", [OLDER + "\n", *lines], skip)


@given(st.text(max_size=40), st.sampled_from(range(15)))
def test_no_cell_makes_the_reader_fail_in_any_other_way(cell: str, place: int) -> None:
    cells = EXIT.cells()
    cells[place] = '"' + cell.replace('"', '""') + '"'
    lines = [OLDER, ",".join(ENTRY.cells()), ",".join(cells)]
    assert len(parse_export("trades.csv", lines, skip_bad_rows=True).trades) <= 1
