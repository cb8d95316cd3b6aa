"""Writes one-minute bars of NSE sessions, always the same: `minutes.py OUT.csv COUNT`."""

import random
import sys
from datetime import date, datetime, time, timedelta
from pathlib import Path

BARS_A_DAY = 375


def main() -> None:
    """Write COUNT bars of a drifting walk that begins at 20,000."""
    path, count = Path(sys.argv[1]), int(sys.argv[2])
    chance = random.Random(7)
    price, written, day = 20_000.0, 0, date(2010, 10, 18)
    with path.open("w") as file:
        file.write("time,open,high,low,close\n")
        while written < count:
            if day.weekday() < 5:
                drift = chance.gauss(0.0, 0.00002)
                start = datetime.combine(day, time(9, 15))
                for minute in range(min(BARS_A_DAY, count - written)):
                    opened = price
                    price = opened * (1 + drift + chance.gauss(0.0, 0.0004))
                    top = max(opened, price) + abs(chance.gauss(0.0, 3.0))
                    bottom = min(opened, price) - abs(chance.gauss(0.0, 3.0))
                    stamp = (start + timedelta(minutes=minute)).isoformat()
                    file.write(f"{stamp}+05:30,{opened:.2f},{top:.2f},{bottom:.2f},{price:.2f}\n")
                    written += 1
            day += timedelta(days=1)


if __name__ == "__main__":
    main()
