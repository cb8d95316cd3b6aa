"""The real core on the peers' bars: engine construction and indicators apart, run() timed.

Prints one JSON line like the peers' harness. `portfolio.py BARS_DIR [REPEATS]`.
"""

import json
import resource
import sys
import time
from decimal import Decimal
from pathlib import Path

from backtest.bars import OnBadBars, read_bars
from backtest.engine import BacktestEngine
from backtest.feeds import bar_feed
from backtest.market import BacktestMarket
from core.config import PortfolioConfig

CAPITAL = Decimal(10_000_000)
FILES = {"BANK_NIFTY": "BNF.csv", "GOLD_MINI": "GOLDM.csv"}
SETTINGS = Path(__file__).with_name("config.json")


def main() -> None:
    """Run the two-instrument case and print its figures."""
    folder = Path(sys.argv[1])
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    market = BacktestMarket.shipped()
    config = PortfolioConfig.from_mapping(
        json.loads(SETTINGS.read_text()), market.catalog.config_defaults()
    )
    bars = {name: read_bars(folder / file, OnBadBars.REFUSE)[0] for name, file in FILES.items()}
    took: list[float] = []
    for _ in range(repeats):
        feeds = [bar_feed(name, bars[name], config, market) for name in bars]
        engine = BacktestEngine(config, market, CAPITAL)
        started = time.perf_counter()
        result = engine.run_bars(feeds)
        took.append(time.perf_counter() - started)
    orders = sum(result.limiters.values()) + len(result.trades)
    print(
        json.dumps(
            {
                "engine": "portfolio manager",
                "bar_events": result.events,
                "first_s": round(took[0], 4),
                "best_s": round(min(took), 4),
                "events_per_s": round(result.events / min(took)),
                "rss_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
                "orders": orders,
                "final": round(result.final_equity),
            }
        )
    )


if __name__ == "__main__":
    main()
