"""Alerts through decide() with full records, one account, both kinds of entry. Prints JSON."""

import json
import sys
import time
from datetime import date, datetime
from decimal import Decimal

from core.book_events import CapitalMoved, LayerOpened
from core.config import PortfolioConfig
from core.decision import DecisionMaker
from core.instruments import InstrumentCatalog
from core.ist import IST
from core.models import ContractTerms, Signal, SignalType

NOW = datetime(2026, 1, 5, 10, 30, tzinfo=IST)
TERMS = ContractTerms(
    instrument="BANK_NIFTY",
    expiry=date(2026, 1, 27),
    lot_size=30,
    point_value=Decimal(30),
    tick=Decimal("0.05"),
    margin_floor_inr=Decimal(270_000),
    margin_fraction=Decimal("0.16"),
)


def alert(kind: SignalType, layer: int, price: int) -> Signal:
    """An entry alert at `price` with its stop 350 points below."""
    stop = Decimal(price - 350)
    return Signal(
        kind, "BANK_NIFTY", layer, Decimal(price), stop, Decimal(350), 0.82, stop, NOW, 3.0
    )


def main() -> None:
    """Time base entries on a flat book, then adds on a held one."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    maker = DecisionMaker(
        PortfolioConfig.from_mapping({}, InstrumentCatalog.shipped().config_defaults())
    )
    book = maker.new_book()
    book.move_capital(CapitalMoved(Decimal(5_000_000), NOW))
    figures: dict[str, int] = {}
    base, add = alert(SignalType.BASE_ENTRY, 1, 52_000), alert(SignalType.PYRAMID, 2, 53_000)
    for name, signal in (("base_per_s", base), ("pyramid_per_s", add)):
        decision = maker.decide(signal, book, TERMS)
        started = time.perf_counter()
        for _ in range(count):
            maker.decide(signal, book, TERMS)
        figures[name] = round(count / (time.perf_counter() - started))
        if signal is base:
            book.open_layer(
                LayerOpened(
                    instrument="BANK_NIFTY",
                    layer=1,
                    lots=decision.lots,
                    price=base.price,
                    time=NOW,
                    initial_stop=base.stop,
                    close=base.price,
                    atr=base.atr,
                    point_value=TERMS.point_value,
                    lot_size=TERMS.lot_size,
                    margin_per_lot=Decimal(270_000),
                    charges=Decimal(0),
                )
            )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
