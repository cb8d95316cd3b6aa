"""When a paper order fills, and at what price."""

from dataclasses import replace
from decimal import Decimal

import pytest

from brokers.paper_exchange.matching import Fill, filled, first_status, match
from brokers.paper_exchange.orders import Action, Order, OrderStatus, PriceType
from brokers.paper_exchange.pricing import Quote
from tests.fixtures.paper_account import CALL, SUNDAY


def quote(ltp: object) -> Quote:
    at, tick = Decimal(str(ltp)), Decimal(1)
    return Quote(at - tick, at + tick, at, at, at, at, at)


def resting(action: str, pricetype: str, price: object = 0, trigger: object = 0) -> Order:
    kind = PriceType(pricetype)
    return Order(
        orderid="1",
        session=SUNDAY.date(),
        placed_at=SUNDAY,
        strategy="test",
        exchange="NFO",
        symbol=CALL,
        action=Action(action),
        quantity=30,
        pricetype=kind,
        product="NRML",
        price=Decimal(str(price)),
        trigger_price=Decimal(str(trigger)),
        status=first_status(kind),
        reference_price=Decimal(0),
    )


@pytest.mark.parametrize(
    ("order", "ltp", "arriving", "price"),
    [
        (resting("BUY", "MARKET"), 100, True, 101),
        (resting("SELL", "MARKET"), 100, True, 99),
        (resting("BUY", "LIMIT", 105), 100, True, 101),
        (resting("BUY", "LIMIT", 101), 100, True, 101),
        (resting("BUY", "LIMIT", "100.95"), 100, True, None),
        (resting("SELL", "LIMIT", 95), 100, True, 99),
        (resting("SELL", "LIMIT", "99.05"), 100, True, None),
        (resting("BUY", "LIMIT", 95), 90, False, 95),
        (resting("SELL", "LIMIT", 105), 110, False, 105),
        (resting("SELL", "LIMIT", 105), "105.5", False, None),
        (resting("BUY", "SL", 110, trigger=105), 104, False, None),
        (resting("BUY", "SL", 110, trigger=105), 105, False, 106),
        (resting("BUY", "SL", 110, trigger=105), 120, False, None),
        (resting("SELL", "SL-M", trigger=95), 96, False, None),
        (resting("SELL", "SL-M", trigger=95), 90, False, 89),
    ],
)
def test_an_order_fills_at_the_touch_or_at_its_limit(
    order: Order, ltp: object, arriving: bool, price: int | None
) -> None:
    met = match(order, quote(ltp), arriving=arriving)
    assert [fill.price for fill in met.fills] == ([] if price is None else [Decimal(price)])
    assert (met.order.status is OrderStatus.COMPLETE) == (price is not None)
    assert met.order.filled_quantity == (0 if price is None else 30)


def test_a_stop_that_woke_beyond_its_limit_rests_as_a_limit() -> None:
    woken = match(resting("BUY", "SL", 110, trigger=105), quote(120), arriving=False).order
    assert woken.status is OrderStatus.OPEN
    assert match(woken, quote(100), arriving=False).order.average_price == 110


def test_fills_add_up_to_their_average_and_the_order_stays_open_until_all_is_filled() -> None:
    order = replace(resting("SELL", "MARKET"), quantity=90)
    first = filled(order, (Fill(30, Decimal("1164.6")),))
    assert (first.status, first.pending_quantity) == (OrderStatus.OPEN, 60)
    last = filled(first, (Fill(30, Decimal(1150)), Fill(30, Decimal(1140))))
    assert (last.status, last.pending_quantity) == (OrderStatus.COMPLETE, 0)
    assert round(last.average_price, 2) == Decimal("1151.53")
