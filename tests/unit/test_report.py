import json
import math
import re
import xml.etree.ElementTree as ElementTree
from datetime import date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly.offline import get_plotlyjs

from backtest.metrics import measure
from backtest.report import write_equity_svg, write_report
from backtest.report.charts import r_histogram
from backtest.report.page import script_json
from backtest.report.series import MAX_POINTS, drawn_places, round_ticks
from backtest.result import BacktestResult, Refusal
from core.ist import IST
from core.models import SignalType
from tests.fixtures.results import closed_trade, daily_curve, realistic_result, result_of

INJECTED = '</script><script>alert("x")</script><img src=x onerror=alert(1)>&\'"'


class _Page(HTMLParser):
    """The elements of a page, and the texts of its tables' cells by caption."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.text = ""
        self._caption = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._inside = tag
        if tag == "caption":
            self._caption = ""
        elif tag == "tr":
            self.tables.setdefault(self._caption, []).append([])
        elif tag in ("td", "th"):
            self.tables[self._caption][-1].append("")

    def handle_data(self, data: str) -> None:
        if self._inside == "caption":
            self._caption += data.strip()
        elif self._inside in ("td", "th", "button") and self._caption:
            self.tables[self._caption][-1][-1] += data.strip()
        if self._inside not in ("script", "style"):
            self.text += data


def _written(result: BacktestResult, directory: Path) -> str:
    page = write_report(result, measure(result), directory).read_text("utf-8")
    plotly = get_plotlyjs()
    assert page.count(plotly) == 1
    return page.replace(plotly, "")


def _charts(page: str) -> dict[str, dict[str, list[dict[str, Any]]]]:
    found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', page)
    assert found is not None
    charts: dict[str, dict[str, list[dict[str, Any]]]] = json.loads(found[1])
    return charts


@pytest.fixture(scope="module")
def result() -> BacktestResult:
    return realistic_result()


@pytest.fixture(scope="module")
def page(result: BacktestResult, tmp_path_factory: pytest.TempPathFactory) -> str:
    return _written(result, tmp_path_factory.mktemp("report") / "made" / "as needed")


def test_the_page_loads_nothing_from_anywhere(page: str) -> None:
    attributes = _Page(page).attributes
    assert not [name for name, _ in attributes if name in ("src", "href", "srcset")]
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest", page)
    assert "default-src 'none'" in page


def test_risk_is_drawn_on_a_scale_of_its_own(page: str) -> None:
    """A risk of one percent is a flat line beside a margin of forty."""
    margin, risk = _charts(page)["exposure"]["data"]
    assert (margin["yaxis"], risk["yaxis"]) == ("y", "y2")


def test_every_part_asked_for_is_on_the_page(page: str) -> None:
    assert set(_charts(page)) == {"equity", "exposure", "r-multiples", "instruments"}
    for title in ("Monthly returns", "Notes and assumptions", "Signals refused or cut", "Figures"):
        assert f"<h2>{title}</h2>" in page
    assert set(_Page(page).tables) >= {
        "By instrument",
        "By what limited the entry",
        "Entries by limiter",
        "Closed trades",
        "Each with its reason",
    }


def test_every_trade_and_refusal_has_its_row(page: str, result: BacktestResult) -> None:
    tables = _Page(page).tables
    assert len(tables["Closed trades"]) == 1 + len(result.trades)
    assert len(tables["Each with its reason"]) == 1 + len(result.refusals)


def test_a_trade_is_written_in_indian_figures(tmp_path: Path) -> None:
    trade = closed_trade("-1234567.5", layer=3, initial_risk="1000000", charges="67.5")
    rows = _Page(_written(result_of(trades=[trade]), tmp_path)).tables["Closed trades"]
    assert rows[1] == [
        *("BANK_NIFTY/1/Long_3", "2025-01-06 10:30", "2025-01-06 15:30", "1"),
        *("50,000.05", "8,850.05", "-12,34,500.00", "67.50", "-12,34,567.50", "-1.23"),
        *("risk", "STOP"),
    ]


def test_a_refusal_shows_both_sizes_and_the_reason(tmp_path: Path) -> None:
    refusal = Refusal(
        time=datetime(2025, 1, 6, 11, 45, tzinfo=IST),
        instrument="GOLD_MINI",
        type=SignalType.PYRAMID,
        layer=2,
        price=closed_trade("1").entry_price,
        code="ZERO_LOTS",
        reason="margin allows no lot",
        export_lots=4,
    )
    rows = _Page(_written(result_of(refusals=(refusal,)), tmp_path)).tables["Each with its reason"]
    assert rows[1] == [
        *("2025-01-06 11:45", "GOLD_MINI", "PYRAMID Long_2", "50,000.05", "ZERO_LOTS"),
        *("4", "0", "margin allows no lot"),
    ]


def test_no_text_of_a_run_becomes_markup(tmp_path: Path) -> None:
    days = [date(2025, 1, 6), date(2025, 1, 7)]
    trade = closed_trade("5", reason=INJECTED, instrument=INJECTED)
    refusal = Refusal(
        trade.exit_time, INJECTED, SignalType.EXIT, None, trade.exit_price, INJECTED, INJECTED
    )
    run = result_of(
        daily_curve(days, [100, 105]),
        [trade],
        decisions={INJECTED: 1},
        refusals=(refusal,),
        notes=(INJECTED,),
    )
    page = _written(run, tmp_path)
    read = _Page(page)
    assert "img" not in read.tags
    assert read.tags.count("script") == 3
    assert "onerror" not in [name for name, _ in read.attributes]
    assert read.tables["Closed trades"][1][-1] == INJECTED
    names = [trace["name"] for trace in _charts(page)["instruments"]["data"]]
    assert names == [INJECTED]


@given(st.text())
def test_json_in_a_script_is_read_back_and_cannot_end_it(text: str) -> None:
    written = script_json({"text": text})
    assert "<" not in written
    assert json.loads(written) == {"text": text}


def test_months_are_shown_with_the_year_they_multiply_to(tmp_path: Path) -> None:
    days = [date(2024, 12, 31), date(2025, 1, 31), date(2025, 3, 31)]
    page = _written(result_of(daily_curve(days, [110, 99, 108.9])), tmp_path)
    table = page[page.index('<table class="months">') :]
    row = table[table.index("2025</th>") : table.index("</tr>", table.index("2025</th>"))]
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", row)
    assert cells == ["-10.0 %", "0.0 %", "10.0 %", *[""] * 9, "-1.0 %"]


def test_curves_are_drawn_small_and_keep_their_extremes(tmp_path: Path) -> None:
    result = realistic_result(days=2_000)
    assert len(result.curve) == 10_000
    for name, chart in _charts(_written(result, tmp_path)).items():
        for trace in chart["data"]:
            assert len(trace["x"]) == len(trace["y"]) <= MAX_POINTS
        if name == "equity":
            equity, drawdown = chart["data"][0]["y"], chart["data"][1]["y"]
            assert max(equity) == pytest.approx(max(result.curve.equity))
            assert min(equity) == pytest.approx(min(result.curve.equity))
            deepest = measure(result).max_drawdown
            assert deepest is not None
            assert min(drawdown) == pytest.approx(-deepest.fraction, abs=1e-6)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=300), st.integers(6, 40))
def test_downsampling_keeps_the_ends_and_the_extremes(values: list[float], limit: int) -> None:
    series = np.array(values)
    places = drawn_places(series, limit)
    assert len(places) <= max(limit, 1)
    assert list(places) == sorted(set(places))
    assert (places[0], places[-1]) == (0, len(values) - 1)
    assert {series[places].min(), series[places].max()} == {series.min(), series.max()}


@given(st.floats(-1e9, 1e9), st.floats(0, 1e9))
def test_ticks_are_few_and_enclose_the_values(low: float, span: float) -> None:
    ticks = round_ticks(low, low + span)
    assert 2 <= len(ticks) <= 7
    assert ticks == sorted(set(ticks))
    room = 1e-6 * (abs(low) + span)
    assert ticks[0] <= low + room
    assert ticks[-1] >= low + span - room


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (4.8e6, 11.4e6, [4e6, 6e6, 8e6, 10e6, 12e6])],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert round_ticks(low, high) == ticks


@given(st.lists(st.floats(-50, 500), min_size=1, max_size=200))
def test_the_histogram_counts_every_trade_once(multiples: list[float]) -> None:
    (bars,) = r_histogram(np.array(multiples)).data
    counts, middles = bars["y"], bars["x"]
    assert isinstance(counts, list)
    assert isinstance(middles, list)
    assert sum(counts) == len(multiples)
    assert all(math.isfinite(middle) for middle in middles)


def test_a_run_without_anything_still_makes_a_page(tmp_path: Path) -> None:
    page = _written(result_of(), tmp_path)
    assert _charts(page) == {}
    assert "This run has nothing to draw here." in page


def test_the_same_run_makes_the_same_page(tmp_path: Path, result: BacktestResult) -> None:
    assert _written(result, tmp_path / "one") == _written(result, tmp_path / "two")


def test_the_still_picture_is_small_xml_with_both_curves(
    tmp_path: Path, result: BacktestResult
) -> None:
    picture = tmp_path / "equity.svg"
    write_equity_svg(result, picture)
    root = ElementTree.fromstring(picture.read_text("utf-8"))  # noqa: S314  # our own file
    names = [element.get("class") for element in root.iter()]
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert {"equity", "fall", "grid"} <= set(names)
    assert {"2020", "2025", "₹60 L", "-11.7 %"} <= set(texts)
    assert picture.stat().st_size < 60_000


def test_the_still_picture_puts_the_highest_equity_highest(tmp_path: Path) -> None:
    days = [date(2025, 1, 6), date(2025, 1, 7), date(2025, 1, 8)]
    write_equity_svg(result_of(daily_curve(days, [100, 140, 120])), tmp_path / "equity.svg")
    svg = (tmp_path / "equity.svg").read_text("utf-8")
    found = re.search(r'class="equity" d="M([^"]*)"', svg)
    assert found is not None
    heights = [float(point.split()[1]) for point in found[1].split("L")]
    assert heights == [280.0, 40.0, 160.0]


def test_a_run_without_points_has_no_still_picture(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no picture"):
        write_equity_svg(result_of(), tmp_path / "equity.svg")


def test_a_very_long_trade_list_is_cut_and_says_so(tmp_path: Path) -> None:
    page = _written(result_of(trades=[closed_trade("1")] * 5_001), tmp_path)
    assert len(_Page(page).tables["Closed trades"]) == 1 + 5_000
    assert "The first 5,000 of 5,001 trades; the JSON has all." in page
