"""Answers as values: exact where they are told, unknown where they are not, and orders checked."""

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers import openalgo_answers as answers
from brokers.answer_fields import as_number
from brokers.fills import fills_of
from brokers.messages import (
    Action,
    Contract,
    GatewayMode,
    OrderRequest,
    OrderStatus,
    PriceType,
    Product,
    SymbolInfo,
    TradeRow,
)
from brokers.openalgo_errors import Answer, AnswerUnknown
from brokers.order_checks import check_order
from core.errors import Rejected
from core.ist import IST

CALL = Contract("BANKNIFTY29DEC2658000CE", "NFO")
GOLD = Contract("GOLDM04DEC26FUT", "MCX")


def success(data: object, **more: object) -> Answer:
    """A gateway's success; numbers with a fraction are Decimal, as the wire reads them."""
    return Answer(200, {"status": "success", "data": data, **more}, "")


LIVE_ORDER: dict[str, Any] = {
    "action": "SELL",
    "exchange": "NFO",
    "order_status": "open",
    "orderid": "261122000635716",
    "price": Decimal("1300.0"),
    "pricetype": "LIMIT",
    "product": "NRML",
    "quantity": 90,
    "symbol": CALL.symbol,
    "timestamp": "2026-11-22 11:40:07",
    "trigger_price": Decimal("0.0"),
}
SANDBOX_STATUS: dict[str, Any] = {
    "action": "SELL",
    "average_price": Decimal("1164.6"),
    "exchange": "NFO",
    "filled_quantity": 30,
    "order_status": "complete",
    "orderid": "26112231598297",
    "pending_quantity": 0,
    "price": Decimal("1164.65"),
    "price_type": "MARKET",
    "product": "NRML",
    "quantity": 30,
    "strategy": "PM-alpha",
    "symbol": CALL.symbol,
    "timestamp": "2026-11-22 11:37:57",
    "trigger_price": Decimal("0.0"),
}
LIVE_TRADE: dict[str, Any] = {
    "action": "SELL",
    "average_price": Decimal("1164.6"),
    "exchange": "NFO",
    "orderid": "261122000635716",
    "product": "NRML",
    "quantity": 30,
    "symbol": CALL.symbol,
    "timestamp": "11:40:07",
    "trade_value": Decimal("34938.0"),
}
LIVE_POSITION: dict[str, Any] = {
    "average_price": "1154.80",
    "exchange": "NFO",
    "ltp": Decimal("1164.65"),
    "pnl": Decimal("-1182.0"),
    "product": "NRML",
    "quantity": -120,
    "symbol": CALL.symbol,
}
GOLD_SYMBOL: dict[str, Any] = {
    "exchange": "MCX",
    "expiry": "04-DEC-26",
    "freeze_qty": 1,
    "instrumenttype": "FUT",
    "lotsize": 1,
    "name": "GOLDM",
    "strike": Decimal("0.0"),
    "symbol": GOLD.symbol,
    "tick_size": Decimal("1.0"),
}
QUOTE = {key: Decimal("1164.65") for key in ("ltp", "bid", "ask", "high", "low")}


def test_a_live_order_tells_nothing_of_its_fills() -> None:
    (order,) = answers.read_orders(success({"orders": [LIVE_ORDER], "statistics": {}}))
    assert (order.contract, order.action, order.quantity) == (CALL, Action.SELL, 90)
    assert (order.price, order.price_type) == (Decimal(1300), PriceType.LIMIT)
    assert (order.filled_quantity, order.pending_quantity, order.tag) == (None, None, None)


def test_a_sandbox_order_status_names_its_price_type_differently() -> None:
    order = answers.read_order("26112231598297", success(SANDBOX_STATUS))
    assert order.price_type is PriceType.MARKET
    assert (order.status, order.filled_quantity, order.tag) == ("complete", 30, "PM-alpha")


def test_an_answer_about_another_order_is_not_taken_for_ours() -> None:
    with pytest.raises(AnswerUnknown, match="another order"):
        answers.read_order("1", success(SANDBOX_STATUS))


@pytest.mark.parametrize(
    ("told", "status", "is_final"),
    [
        ("complete", OrderStatus.COMPLETE, True),
        ("COMPLETE", OrderStatus.COMPLETE, True),
        ("Rejected", OrderStatus.REJECTED, True),
        ("cancelled", OrderStatus.CANCELLED, True),
        ("open", OrderStatus.OPEN, False),
        ("trigger pending", OrderStatus.TRIGGER_PENDING, False),
        ("TRANSIT", OrderStatus.UNRECOGNISED, False),
        ("open pending", OrderStatus.UNRECOGNISED, False),
        ("expired", OrderStatus.UNRECOGNISED, False),
        ("VALIDATION PENDING", OrderStatus.UNRECOGNISED, False),
    ],
)
def test_a_status_we_do_not_know_never_ends_an_order(
    told: str, status: OrderStatus, is_final: bool
) -> None:
    (order,) = answers.read_orders(success({"orders": [{**LIVE_ORDER, "order_status": told}]}))
    assert order.status is status
    assert order.status.is_final is is_final
    assert order.status_text == told


def test_other_peoples_products_and_price_types_do_not_make_a_book_unreadable() -> None:
    row = {**LIVE_ORDER, "product": "MTF", "pricetype": "ICEBERG"}
    (order,) = answers.read_orders(success({"orders": [row]}))
    assert (order.product, order.price_type) == (None, None)


def test_an_order_id_may_come_as_a_number() -> None:
    (order,) = answers.read_orders(success({"orders": [{**LIVE_ORDER, "orderid": 42}]}))
    assert order.order_id == "42"


def test_a_position_tells_its_price_as_text_and_its_side_by_the_sign() -> None:
    (position,) = answers.read_positions(success([LIVE_POSITION]))
    assert (position.contract, position.product) == (CALL, Product.NRML)
    assert (position.quantity, position.average_price) == (-120, Decimal("1154.80"))


def test_an_empty_book_is_empty_only_where_the_gateway_says_so() -> None:
    assert answers.read_positions(success([])) == ()
    assert answers.read_trades(success([])) == ()
    assert answers.read_orders(success({"orders": []})) == ()
    nothing: list[object] = [{}, None, "", {"orders": None}, [{}]]
    for missing in nothing:
        with pytest.raises(AnswerUnknown):
            answers.read_orders(success(missing))
        with pytest.raises(AnswerUnknown):
            answers.read_positions(success(missing))
        with pytest.raises(AnswerUnknown):
            answers.read_trades(success(missing))


def test_a_trades_price_is_that_of_its_fill_and_not_of_its_order() -> None:
    row = {**LIVE_TRADE, "price": Decimal("1300"), "tradeid": "TRADE-1"}
    (fill,) = answers.read_trades(success([row]))
    assert (fill.price, fill.quantity, fill.trade_id) == (Decimal("1164.6"), 30, "TRADE-1")


def test_one_unreadable_row_makes_the_whole_book_unknown() -> None:
    bad = {**LIVE_POSITION, "quantity": "many"}
    with pytest.raises(AnswerUnknown, match="quantity"):
        answers.read_positions(success([LIVE_POSITION, bad]))


def test_funds_of_a_dead_session_are_unknown_and_not_zero() -> None:
    with pytest.raises(AnswerUnknown, match="data is empty"):
        answers.read_funds(success({}))


def test_funds_come_as_text_from_the_live_broker() -> None:
    told = {"availablecash": "10000000.00", "utiliseddebits": "12.50", "collateral": "0.00"}
    funds = answers.read_funds(success(told))
    assert funds.available_cash_inr == Decimal(10_000_000)
    assert (funds.utilised_inr, funds.collateral_inr) == (Decimal("12.5"), Decimal(0))


@pytest.mark.parametrize("key", ["availablecash", "utiliseddebits", "collateral"])
@pytest.mark.parametrize("value", [None, "", "n/a", True, [], {}, "NaN", "1e5", "1,000", "-"])
def test_funds_with_a_missing_or_unreadable_figure_are_unknown(key: str, value: object) -> None:
    told = {"availablecash": "1", "utiliseddebits": "1", "collateral": "1", key: value}
    with pytest.raises(AnswerUnknown, match=key):
        answers.read_funds(success(told))


def test_a_symbol_tells_the_quantity_of_a_lot_and_its_tick() -> None:
    info = answers.read_symbol(GOLD, success(GOLD_SYMBOL))
    assert (info.lot_size, info.tick, info.root) == (1, Decimal(1), "GOLDM")
    assert (info.expiry, info.strike) == (date(2026, 12, 4), None)


@pytest.mark.parametrize(("told", "freeze"), [(0, None), (1, None), (600, 600), ("1200", 1200)])
def test_a_freeze_quantity_of_one_or_none_is_no_freeze(told: object, freeze: int | None) -> None:
    info = answers.read_symbol(GOLD, success({**GOLD_SYMBOL, "freeze_qty": told}))
    assert info.freeze_quantity == freeze


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lotsize", 0),
        ("lotsize", None),
        ("lotsize", Decimal("1.5")),
        ("tick_size", 0),
        ("tick_size", None),
        ("expiry", "04-12-26"),
        ("expiry", "31-NOV-26"),
        ("symbol", "GOLDM05JAN27FUT"),
        ("exchange", "NFO"),
    ],
)
def test_a_symbol_that_cannot_be_traded_by_is_unknown(key: str, value: object) -> None:
    with pytest.raises(AnswerUnknown):
        answers.read_symbol(GOLD, success({**GOLD_SYMBOL, key: value}))


def test_binary_dust_is_cut_from_a_tick() -> None:
    dusty = {**GOLD_SYMBOL, "tick_size": Decimal("0.05000000074505806")}
    assert answers.read_symbol(GOLD, success(dusty)).tick == Decimal("0.05")


def test_a_quote_without_a_price_is_unknown_and_without_a_bid_is_one_sided() -> None:
    assert answers.read_quote(CALL, success({**QUOTE, "bid": 0})).bid is None
    with pytest.raises(AnswerUnknown, match="ltp"):
        answers.read_quote(CALL, success({**QUOTE, "ltp": 0}))
    with pytest.raises(AnswerUnknown, match="ask"):
        answers.read_quote(CALL, success({**QUOTE, "ask": None}))


def test_several_quotes_come_in_any_order_and_failed_ones_are_left_out() -> None:
    rows = [
        {"symbol": "NOPE", "exchange": "NFO", "error": "not found"},
        {"symbol": GOLD.symbol, "exchange": "MCX", "data": QUOTE},
        {"symbol": CALL.symbol, "exchange": "NFO", "data": QUOTE},
    ]
    found = answers.read_quotes(Answer(200, {"status": "success", "results": rows}, ""))
    assert set(found) == {GOLD, CALL}
    assert found[GOLD].ltp == Decimal("1164.65")


def test_expiries_are_read_nearest_first_and_none_is_unknown() -> None:
    listed = answers.read_expiries(success(["29-DEC-26", "23-NOV-26"]))
    assert listed == (date(2026, 11, 23), date(2026, 12, 29))
    with pytest.raises(AnswerUnknown):
        answers.read_expiries(success([], message="No expiry dates found"))


def test_a_year_without_holidays_is_unknown_and_not_a_year_of_trading_days() -> None:
    with pytest.raises(AnswerUnknown):
        answers.read_holidays(success([], year=2027))


def test_a_holiday_tells_who_is_closed_and_who_opens_when() -> None:
    told = {
        "date": "2026-01-15",
        "description": "Election",
        "closed_exchanges": ["NSE", "NFO"],
        "open_exchanges": [
            {"exchange": "MCX", "start_time": 1768476600000, "end_time": 1768501500000}
        ],
    }
    (holiday,) = answers.read_holidays(success([told]))
    assert (holiday.day, holiday.closed_exchanges) == (date(2026, 1, 15), ("NSE", "NFO"))
    assert holiday.sessions[0].opens == datetime(2026, 1, 15, 17, 0, tzinfo=IST)
    assert holiday.sessions[0].closes == datetime(2026, 1, 15, 23, 55, tzinfo=IST)


@pytest.mark.parametrize(
    ("start_ms", "end_ms"),
    [(5, 5), (5, 4), (-1, 5), (0, 10**14), (None, 5), (1.5, 5)],
)
def test_hours_that_cannot_be_are_unknown(start_ms: object, end_ms: object) -> None:
    told = {"exchange": "MCX", "start_time": start_ms, "end_time": end_ms}
    with pytest.raises(AnswerUnknown):
        answers.read_sessions(success([told]))


@pytest.mark.parametrize(
    ("switch", "name", "mode"),
    [
        (True, "analyze", GatewayMode.ANALYZE),
        (False, "live", GatewayMode.LIVE),
        (True, "live", None),
        (False, "analyze", None),
        ("true", "analyze", None),
        (True, None, None),
    ],
)
def test_the_mode_is_known_only_where_the_switch_and_its_name_agree(
    switch: object, name: object, mode: GatewayMode | None
) -> None:
    told = success({"analyze_mode": switch, "mode": name})
    if mode is None:
        with pytest.raises(AnswerUnknown):
            answers.read_analyzer_mode(told)
    else:
        assert answers.read_analyzer_mode(told) is mode


def test_margin_that_costs_nothing_is_not_believed() -> None:
    told = {"total_margin_required": Decimal("250560.0"), "span_margin": "200448.0"}
    margin = answers.read_margin(success(told))
    assert (margin.total_inr, margin.span_inr) == (Decimal(250560), Decimal(200448))
    assert margin.exposure_inr is None
    with pytest.raises(AnswerUnknown):
        answers.read_margin(success({"total_margin_required": 0}))


def trade(order_id: str, quantity: int, price: str) -> TradeRow:
    """A fill."""
    return TradeRow(order_id, CALL, Action.SELL, quantity, Decimal(price), Product.NRML)


def test_a_fills_price_is_the_volume_weighted_one_of_its_trades() -> None:
    book = [
        trade("1", 30, "1164.60"),
        trade("2", 75, "900"),
        trade("1", 30, "1150"),
        trade("1", 30, "1140"),
    ]
    fills = fills_of("1", book)
    assert fills.quantity == 90
    assert fills.average_price is not None
    assert round(fills.average_price, 2) == Decimal("1151.53")


def test_an_order_without_trades_has_filled_nothing_and_has_no_price() -> None:
    fills = fills_of("3", [trade("1", 30, "1164.60")])
    assert (fills.quantity, fills.turnover) == (0, Decimal(0))
    assert fills.average_price is None


OPTION_INFO = SymbolInfo(
    CALL, "BANKNIFTY", 30, Decimal("0.05"), 600, date(2026, 12, 29), Decimal(58000)
)
ORDER = OrderRequest(CALL, Action.SELL, 30, Decimal("1300.05"), "PM-1")


@pytest.mark.parametrize(
    "order",
    [
        ORDER,
        replace(ORDER, quantity=600),
        replace(ORDER, price_type=PriceType.MARKET, price=Decimal(0)),
        replace(ORDER, price_type=PriceType.STOP_LIMIT, trigger_price=Decimal("1300.10")),
        replace(
            ORDER, price_type=PriceType.STOP_MARKET, price=Decimal(0), trigger_price=Decimal(9)
        ),
    ],
)
def test_an_order_that_the_contract_allows_passes(order: OrderRequest) -> None:
    check_order(order, OPTION_INFO)


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (replace(ORDER, quantity=31), "BAD_QUANTITY"),
        (replace(ORDER, quantity=0), "BAD_QUANTITY"),
        (replace(ORDER, quantity=-30), "BAD_QUANTITY"),
        (replace(ORDER, quantity=630), "ABOVE_FREEZE"),
        (replace(ORDER, price=Decimal(0)), "BAD_PRICE"),
        (replace(ORDER, price=Decimal(-5)), "BAD_PRICE"),
        (replace(ORDER, price=Decimal("NaN")), "BAD_PRICE"),
        (replace(ORDER, price=Decimal("Infinity")), "BAD_PRICE"),
        (replace(ORDER, price=Decimal("1300.03")), "OFF_TICK"),
        (replace(ORDER, trigger_price=Decimal(1)), "BAD_PRICE"),
        (replace(ORDER, price_type=PriceType.MARKET), "BAD_PRICE"),
        (replace(ORDER, price_type=PriceType.STOP_LIMIT), "BAD_PRICE"),
        (replace(ORDER, tag=""), "BAD_TAG"),
        (replace(ORDER, tag="x" * 101), "BAD_TAG"),
        (replace(ORDER, contract=GOLD), "WRONG_CONTRACT"),
    ],
)
def test_an_order_that_the_gateway_would_pass_on_unchecked_is_refused_here(
    order: OrderRequest, code: str
) -> None:
    with pytest.raises(Rejected) as refused:
        check_order(order, OPTION_INFO)
    assert refused.value.code == code


@given(st.decimals(-(10**9), 10**9, places=2))
def test_a_price_reads_the_same_as_a_number_and_as_text(price: Decimal) -> None:
    assert as_number(price) == as_number(f"{price:f}") == price


@pytest.mark.parametrize(
    "value",
    [
        Decimal("NaN"),
        Decimal("-Infinity"),
        Decimal("1E+15"),
        Decimal("1E+999999"),
        10**15,
        True,
        None,
        "0x10",
        "\u0661",
        " ",
        "1.",
        ".5",
        "1 2",
    ],
)
def test_what_is_no_sane_number_is_none(value: object) -> None:
    assert as_number(value) is None


def test_a_number_too_small_to_matter_is_zero() -> None:
    assert as_number(Decimal("1E-999999")) == 0
    assert as_number(Decimal("0E+999999")) == 0
