"""Every example is an alert that the service takes."""

from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Rejected
from core.ist import IST
from core.models import MarketDataSignal, Signal, SignalType
from core.webhook_parser import parse_alert, parse_alert_text
from live.example_alerts import PRICES, example_alert, positions

NOW = datetime(2026, 11, 23, 10, 30, 5, tzinfo=IST)


@pytest.mark.parametrize("instrument", sorted(PRICES))
@pytest.mark.parametrize("kind", SignalType)
def test_an_example_of_each_type_is_taken_at_its_time(kind: SignalType, instrument: str) -> None:
    alert = parse_alert(example_alert(kind, instrument, NOW), PRICES)
    assert (alert.instrument, alert.bar_time) == (instrument, NOW)
    assert alert.price == PRICES[instrument]


@pytest.mark.parametrize(
    ("kind", "position"), [(kind, place) for kind in SignalType for place in positions(kind)]
)
def test_each_position_that_a_type_may_name_is_taken(kind: SignalType, position: str) -> None:
    alert = parse_alert(example_alert(kind, "GOLD_MINI", NOW, position), PRICES)
    assert isinstance(alert, Signal)
    assert f"Long_{alert.layer}" == position or (alert.layer is None and position == "ALL")


@given(
    st.sampled_from(SignalType),
    st.decimals(min_value="0.05", max_value=10**7, places=2).filter(lambda price: price > 0),
)
def test_an_example_at_any_price_is_taken_and_has_its_stop_below(
    kind: SignalType, price: Decimal
) -> None:
    alert = parse_alert(example_alert(kind, "BANK_NIFTY", NOW, price=price), PRICES)
    assert float(alert.price) == float(price)
    if isinstance(alert, MarketDataSignal) or (isinstance(alert, Signal) and alert.stop):
        assert 0 < alert.supertrend < alert.price


def test_a_given_price_and_stop_are_kept() -> None:
    price, stop = Decimal("57000.5"), Decimal("56600.25")
    payload = example_alert(SignalType.BASE_ENTRY, "BANK_NIFTY", NOW, price=price, stop=stop)
    alert = parse_alert(payload, PRICES)
    assert isinstance(alert, Signal)
    assert (alert.price, alert.stop, alert.supertrend) == (price, stop, stop)


def test_an_instrument_without_a_usual_price_asks_for_one() -> None:
    with pytest.raises(Rejected, match="--price"):
        example_alert(SignalType.EXIT, "COPPER", NOW)


def test_an_example_is_one_that_text_can_carry() -> None:
    import json

    text = json.dumps(example_alert(SignalType.EOD_MONITOR, "BANK_NIFTY", NOW))
    assert parse_alert_text(text, PRICES).instrument == "BANK_NIFTY"
