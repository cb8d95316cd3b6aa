"""The alerts of a chart in the order in which they are sent: by when their bar closes.

A chart's file says of each bar when it closes; an alert names its bar by the moment it opened.
"""

import csv
import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from core.errors import InputInvalid
from core.ist import as_ist


@dataclass(frozen=True, slots=True)
class Chart:
    """When the bars of an instrument open and close; both rise."""

    instrument: str
    opens: tuple[datetime, ...]
    closes: tuple[datetime, ...]

    def close_of(self, opened: datetime) -> datetime:
        """When the bar that opened then closes. Raises InputInvalid where there is none."""
        place = bisect_right(self.opens, opened) - 1
        if place < 0 or self.opens[place] != opened:
            raise InputInvalid(self.instrument, f"no bar opens at {opened.isoformat()}")
        return self.closes[place]

    def last_close(self, moment: datetime) -> datetime | None:
        """The last close up to `moment`."""
        place = bisect_right(self.closes, moment) - 1
        return None if place < 0 else self.closes[place]


@dataclass(frozen=True, slots=True)
class ChartAlert:
    """What TradingView would send, as it is, at the close of its bar."""

    instrument: str
    closes_at: datetime
    body: bytes


def read_chart(instrument: str, path: Path) -> Chart:
    """The times of a file of bars. Raises InputInvalid."""
    try:
        with path.open(encoding="ascii", newline="") as file:
            rows = [(row["time"], row["closes_at"]) for row in csv.DictReader(file)]
        opens = tuple(as_ist(datetime.fromisoformat(opened)) for opened, _ in rows)
        closes = tuple(as_ist(datetime.fromisoformat(closed)) for _, closed in rows)
    except (KeyError, ValueError) as error:
        raise InputInvalid(str(path), f"is no file of bars with their closes: {error}") from error
    return Chart(instrument, opens, closes)


def alerts_of(chart: Chart, bodies: Iterable[str]) -> list[ChartAlert]:
    """The chart's alerts, each at the close of the bar that it names. Raises InputInvalid."""
    found = []
    for body in bodies:
        opened_ms = json.loads(body)["bar_time"]
        opened = as_ist(datetime.fromtimestamp(opened_ms / 1000, chart.opens[0].tzinfo))
        found.append(ChartAlert(chart.instrument, chart.close_of(opened), body.encode()))
    return found


def in_order(charts: Mapping[str, Sequence[ChartAlert]]) -> list[ChartAlert]:
    """All alerts by the close of their bars; of one moment in the charts' order, as they came."""
    together = [alert for alerts in charts.values() for alert in alerts]
    return sorted(together, key=lambda alert: alert.closes_at)
