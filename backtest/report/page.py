"""The frame of every page: one file, no network, and text that can never become markup.

Whatever comes from a run is escaped here and nowhere else: `Cell` texts, titles, notes and the
charts' JSON. Style, script and plotly.js are written into the page once.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

JsonObject = dict[str, object]

HERE = Path(__file__).parent
# Whatever slips through may still not load or send anything.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column; numbers stand to the right and sort by value."""

    title: str
    numeric: bool = False
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A table's cell. `sort` is what it is ordered by, `tone` is "", "gain" or "loss"."""

    text: str
    sort: float | None = None
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture in plotly's terms; a colour is the name of one of the page's, like `--accent`."""

    id: str
    description: str
    height_px: int
    data: Sequence[JsonObject]
    layout: JsonObject

    def html(self) -> str:
        """The place it is drawn in."""
        return (
            f'<div class="chart" id="{escape(self.id)}" role="img" '
            f'aria-label="{escape(self.description)}" style="height:{self.height_px}px"></div>'
        )


def write_page(
    path: Path, title: str, lead: str, sections: Sequence[str], charts: Sequence[Chart]
) -> Path:
    """Write one page; `sections` are finished HTML, `title` and `lead` are texts."""
    from plotly.offline import get_plotlyjs  # slow to import, and only pages need it

    path.parent.mkdir(parents=True, exist_ok=True)
    figures = {chart.id: {"data": chart.data, "layout": chart.layout} for chart in charts}
    path.write_text(
        f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>
{(HERE / "page.css").read_text("utf-8")}</style>
</head>
<body>
<header><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p></header>
<main>
{"".join(sections)}
</main>
<script>{get_plotlyjs()}</script>
<script type="application/json" id="charts">{script_json(figures)}</script>
<script>
{(HERE / "page.js").read_text("utf-8")}</script>
</body>
</html>
""",
        "utf-8",
    )
    return path


def script_json(document: Mapping[str, object]) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(document, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def section(title: str, body: str, hint: str = "") -> str:
    """A titled part of the page; `body` is finished HTML, the others are texts."""
    told = f'<p class="hint">{escape(hint)}</p>' if hint else ""
    return f"<section><h2>{escape(title)}</h2>{told}{body}</section>\n"


def tiles(figures: Sequence[tuple[str, str]]) -> str:
    """The few figures in large type."""
    cells = "".join(
        f'<div class="tile"><dt>{escape(label)}</dt><dd>{escape(text)}</dd></div>'
        for label, text in figures
    )
    return f'<dl class="tiles">{cells}</dl>\n'


def facts(figures: Sequence[tuple[str, str]]) -> str:
    """Label and figure, many of them; a long one takes a line of its own."""
    rows = "".join(
        f"<div{' class=long' if len(text) > 36 else ''}>"
        f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd></div>"
        for label, text in figures
    )
    return f'<dl class="facts">{rows}</dl>'


def notes(texts: Sequence[str]) -> str:
    """A list of sentences."""
    return f'<ul class="notes">{"".join(f"<li>{escape(text)}</li>" for text in texts)}</ul>'


def table(caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> str:
    """A table whose columns sort when their heading is pressed; its first cells are headings."""
    size = ' class="small"' if len(columns) == 2 else ""
    heads = "".join(
        f'<th scope="col"{_css(column)}><button type="button">{escape(column.title)}</button></th>'
        for column in columns
    )
    body = "".join(f"<tr>{_row(columns, row)}</tr>\n" for row in rows)
    label = escape(caption)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table{size}>'
        f"<caption>{label}</caption><thead><tr>{heads}</tr></thead><tbody>\n{body}</tbody>"
        "</table></div>"
    )


def text_table(caption: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A small table of texts, the first a name and the others figures."""
    columns = [Column(title, numeric=place > 0) for place, title in enumerate(titles)]
    return table(caption, columns, [[Cell(text, _value(text)) for text in row] for row in rows])


def _value(text: str) -> float | None:
    digits = "".join(sign for sign in text if sign in "-.0123456789")
    try:
        return float(digits)
    except ValueError:
        return None


def _css(column: Column, tone: str = "") -> str:
    names = ["number"] * column.numeric + ["wide"] * column.wide + [tone] * bool(tone)
    return f' class="{" ".join(names)}"' if names else ""


def _row(columns: Sequence[Column], row: Sequence[Cell]) -> str:
    paired = enumerate(zip(columns, row, strict=True))
    return "".join(_cell(column, cell, place) for place, (column, cell) in paired)


def _cell(column: Column, cell: Cell, place: int) -> str:
    order = ""
    if column.numeric:
        order = f' data-sort="{"" if cell.sort is None else repr(cell.sort)}"'
    tag, scope = ("th", ' scope="row"') if place == 0 else ("td", "")
    return f"<{tag}{scope}{_css(column, cell.tone)}{order}>{escape(cell.text)}</{tag}>"
