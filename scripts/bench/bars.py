"""Makes the bench's bars: the peers' price series, laid onto trading sessions, as two CSV files.

Run by the peer's interpreter (it has pandas): `bars.py SHARED_BENCH_DIR OUT_DIR`. The prices are
those every peer engine trades; only the times differ, since ours knows market hours.
"""

import csv
import sys
from datetime import date, datetime, time, timedelta
from pathlib import Path

BARS_A_DAY = 5
MINUTES = 75
OPENS = {"BNF": time(9, 15), "GOLDM": time(9, 0)}


def weekdays(first: date) -> list[date]:
    """Ten years and more of weekdays."""
    days = (first + timedelta(days=count) for count in range(4000))
    return [day for day in days if day.weekday() < 5]


def session_times(count: int, opens: time) -> list[str]:
    """The first `count` bar opens, five a day, as ISO text in IST."""
    times: list[str] = []
    for day in weekdays(date(2015, 1, 1)):
        start = datetime.combine(day, opens)
        opened = (start + timedelta(minutes=MINUTES * bar) for bar in range(BARS_A_DAY))
        times.extend(f"{moment.isoformat()}+05:30" for moment in opened)
        if len(times) >= count:
            break
    return times[:count]


def main() -> None:
    """Write BNF.csv and GOLDM.csv into the output folder."""
    shared, out = Path(sys.argv[1]), Path(sys.argv[2])
    sys.path.insert(0, str(shared))
    import pdata  # type: ignore[import-not-found]  # the peers' data, beside the project

    for name, frame in pdata.frames().items():
        with (out / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["time", "open", "high", "low", "close"])
            prices = frame[["Open", "High", "Low", "Close"]].to_numpy().tolist()
            for when, row in zip(session_times(len(prices), OPENS[name]), prices, strict=True):
                writer.writerow([when, *row])


if __name__ == "__main__":
    main()
