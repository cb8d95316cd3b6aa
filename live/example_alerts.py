"""One valid payload of each type, with the present time and prices that fit together.

They are for a first try and for learning the shape; nothing else is made from them.
"""

from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from core.errors import Rejected
from core.models import MAX_LAYERS, SignalType, layer_name
from core.webhook_parser import CONDITIONS

# Where the paper exchange begins.
PRICES = {"BANK_NIFTY": Decimal(58_000), "GOLD_MINI": Decimal(128_000)}

_ATR_FRACTION = Decimal("0.0065")
_ROUND = Decimal(1)


def example_alert(
    kind: SignalType,
    instrument: str,
    now: datetime,
    position: str | None = None,
    price: Decimal | None = None,
    stop: Decimal | None = None,
) -> dict[str, Any]:
    """A payload as Pine sends it. Raises Rejected where an instrument's price is not known."""
    if price is None and instrument not in PRICES:
        raise Rejected("PRICE_NEEDED", f"no usual price of {instrument} is known: give --price")
    at = PRICES[instrument] if price is None else price
    atr = (at * _ATR_FRACTION).quantize(_ROUND, ROUND_HALF_EVEN) or at * _ATR_FRACTION
    supertrend = at - atr if stop is None else stop
    common = {
        "type": kind.value,
        "instrument": instrument,
        "timestamp": now.isoformat(timespec="seconds"),
        "price": _number(at),
    }
    match kind:
        case SignalType.MARKET_DATA:
            return common | {"atr": _number(atr), "supertrend": _number(supertrend)}
        case SignalType.EOD_MONITOR:
            return common | _scout(at, atr, supertrend)
        case SignalType.EXIT:
            own = {"stop": _number(stop or Decimal(0)), "reason": "TOM_BASSO_STOP"}
        case _:
            own = {"stop": _number(supertrend), "roc": 2.5}
    return (
        common
        | {"position": position or _usual_position(kind), "lots": 1, "er": 0.82}
        | {"atr": _number(atr), "supertrend": _number(supertrend)}
        | own
    )


def positions(kind: SignalType) -> tuple[str, ...]:
    """The positions that an alert of this type may name."""
    layers = tuple(layer_name(layer) for layer in range(1, MAX_LAYERS + 1))
    match kind:
        case SignalType.EXIT:
            return (layer_name(None), *layers)
        case SignalType.BASE_ENTRY:
            return layers[:1]
        case SignalType.PYRAMID:
            return layers[1:]
        case _:
            return ()


def _usual_position(kind: SignalType) -> str:
    return positions(kind)[0]


def _scout(price: Decimal, atr: Decimal, supertrend: Decimal) -> dict[str, Any]:
    indicators = {
        "rsi": 72.1,
        "ema": _number(price - 2 * atr),
        "dc_upper": _number(price),
        "adx": 18.0,
        "er": 0.86,
        "supertrend": _number(supertrend),
        "atr": _number(atr),
        "roc": 2.5,
    }
    return {
        "conditions": {name: name != "long_exit" for name in CONDITIONS},
        "indicators": indicators,
        "position_status": {"in_position": False, "pyramid_count": 0},
    }


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)
