"""The gateway's successful answers as typed values, or AnswerUnknown: never a half-read book.

One unreadable row makes a book unknown as a whole. Keys that nobody asked for are passed over.
"""

from collections.abc import Mapping
from datetime import date

from brokers.answer_fields import AnswerFields, as_day, as_expiry, known_word
from brokers.messages import (
    Action,
    Contract,
    Funds,
    GatewayMode,
    Margin,
    MarketHoliday,
    OrderRow,
    OrderStatus,
    PositionRow,
    PriceType,
    Product,
    Quote,
    Session,
    SymbolInfo,
    TradeRow,
)
from brokers.openalgo_errors import Answer, AnswerUnknown

_LONGEST_MODE = 20


def mode_told(answer: Answer) -> str:
    """The mode an answer carries; a live one carries none."""
    told = answer.body.get("mode") if isinstance(answer.body, Mapping) else None
    if told is None:
        return GatewayMode.LIVE
    is_word = isinstance(told, str) and told.isprintable() and len(told) <= _LONGEST_MODE
    return str(told) if is_word else "(unreadable)"


def read_broker_name(answer: Answer) -> str:
    """`ping`."""
    return AnswerFields(answer.body, "ping").block("data").text("broker")


def read_analyzer_mode(answer: Answer) -> GatewayMode:
    """`analyzer`: the switch and its name must agree."""
    data = AnswerFields(answer.body, "analyzer").block("data")
    mode = data.choice("mode", GatewayMode)
    if data.value("analyze_mode") is not (mode is GatewayMode.ANALYZE):
        raise AnswerUnknown("analyzer", "its switch and its mode disagree")
    return mode


def read_quote(contract: Contract, answer: Answer) -> Quote:
    """`quotes`."""
    return _quote(contract, AnswerFields(answer.body, "quotes").block("data"))


def read_quotes(answer: Answer) -> dict[Contract, Quote]:
    """`multiquotes`: rows in any order; a row with an error is no quote."""
    rows = AnswerFields(answer.body, "multiquotes").rows("results")
    return {
        row.contract(): _quote(row.contract(), row.block("data"))
        for row in rows
        if not row.has("error")
    }


def read_symbol(contract: Contract, answer: Answer) -> SymbolInfo:
    """`symbol`. A freeze quantity of 0 or 1 means that the master has none."""
    data = AnswerFields(answer.body, "symbol").block("data")
    if data.contract() != contract:
        raise AnswerUnknown("symbol", "the answer is about another contract")
    freeze_quantity = data.count("freeze_qty") if data.has("freeze_qty") else 0
    return SymbolInfo(
        contract=contract,
        root=data.text("name"),
        lot_size=data.count("lotsize", at_least=1),
        tick=data.positive("tick_size"),
        freeze_quantity=freeze_quantity if freeze_quantity > 1 else None,
        expiry=as_expiry("symbol", data.value("expiry")) if data.has("expiry") else None,
        strike=(data.price("strike") or None) if data.has("strike") else None,
    )


def read_expiries(answer: Answer) -> tuple[date, ...]:
    """`expiry`, nearest first. None at all is unknown: the gateway says so for a missing master."""
    raw = AnswerFields(answer.body, "expiry").values("data")
    if not raw:
        raise AnswerUnknown("expiry", "no expiry is listed")
    return tuple(sorted(as_expiry("expiry", value) for value in raw))


def read_funds(answer: Answer) -> Funds:
    """`funds`. An empty success means that the broker could not be reached."""
    data = AnswerFields(answer.body, "funds").block("data")
    return Funds(
        available_cash_inr=data.number("availablecash"),
        utilised_inr=data.number("utiliseddebits"),
        collateral_inr=data.number("collateral"),
    )


def read_margin(answer: Answer) -> Margin:
    """`margin`. Legs that cost nothing are not believed."""
    data = AnswerFields(answer.body, "margin").block("data")
    return Margin(
        total_inr=data.positive("total_margin_required"),
        span_inr=data.price("span_margin") if data.has("span_margin") else None,
        exposure_inr=data.price("exposure_margin") if data.has("exposure_margin") else None,
    )


def read_order(order_id: str, answer: Answer) -> OrderRow:
    """`orderstatus`."""
    order = _order_row(AnswerFields(answer.body, "orderstatus").block("data"))
    if order.order_id != order_id:
        raise AnswerUnknown("orderstatus", "the answer is about another order")
    return order


def read_orders(answer: Answer) -> tuple[OrderRow, ...]:
    """`orderbook`."""
    rows = AnswerFields(answer.body, "orderbook").block("data").rows("orders")
    return tuple(_order_row(row) for row in rows)


def read_trades(answer: Answer) -> tuple[TradeRow, ...]:
    """`tradebook`. Sandbox rows have a `price` too, which is the order's and not the fill's."""
    return tuple(
        TradeRow(
            order_id=row.identity("orderid"),
            contract=row.contract(),
            action=row.choice("action", Action),
            quantity=row.count("quantity", at_least=1),
            price=row.positive("average_price"),
            product=row.known_choice("product", Product),
            trade_id=row.note("tradeid") or row.note("trade_id"),
            timestamp=row.note("timestamp"),
        )
        for row in AnswerFields(answer.body, "tradebook").rows("data")
    )


def read_positions(answer: Answer) -> tuple[PositionRow, ...]:
    """`positionbook`. Closed positions stay in it with quantity 0."""
    return tuple(
        PositionRow(
            contract=row.contract(),
            product=row.known_choice("product", Product),
            quantity=row.whole("quantity"),
            average_price=row.price("average_price"),
        )
        for row in AnswerFields(answer.body, "positionbook").rows("data")
    )


def read_holidays(answer: Answer) -> tuple[MarketHoliday, ...]:
    """`market/holidays`. A year without any is a year that nobody has entered."""
    rows = AnswerFields(answer.body, "market/holidays").rows("data")
    if not rows:
        raise AnswerUnknown("market/holidays", "no holiday is listed for the year")
    return tuple(_holiday(row) for row in rows)


def read_sessions(answer: Answer) -> tuple[Session, ...]:
    """`market/timings`. An exchange that is absent is closed."""
    return tuple(map(_session, AnswerFields(answer.body, "market/timings").rows("data")))


def _quote(contract: Contract, data: AnswerFields) -> Quote:
    return Quote(
        contract=contract,
        ltp=data.positive("ltp"),
        bid=data.price("bid") or None,
        ask=data.price("ask") or None,
        high=data.price("high") or None,
        low=data.price("low") or None,
        open_interest=data.told_number("oi"),
        volume=data.told_number("volume"),
    )


def _order_row(row: AnswerFields) -> OrderRow:
    status_text = row.text("order_status")
    # One answer names it price_type where all others say pricetype.
    type_key = "pricetype" if row.has("pricetype") else "price_type"
    return OrderRow(
        order_id=row.identity("orderid"),
        contract=row.contract(),
        action=row.choice("action", Action),
        quantity=row.count("quantity"),
        price=row.price("price"),
        trigger_price=row.price("trigger_price") if row.has("trigger_price") else None,
        price_type=row.known_choice(type_key, PriceType),
        product=row.known_choice("product", Product),
        status=known_word(status_text, OrderStatus) or OrderStatus.UNRECOGNISED,
        status_text=status_text,
        filled_quantity=row.count("filled_quantity") if row.has("filled_quantity") else None,
        pending_quantity=row.count("pending_quantity") if row.has("pending_quantity") else None,
        rejection_reason=row.note("rejection_reason"),
        tag=row.note("strategy"),
        timestamp=row.note("timestamp"),
    )


def _holiday(row: AnswerFields) -> MarketHoliday:
    return MarketHoliday(
        day=as_day("market/holidays", row.value("date")),
        description=row.note("description") or "",
        closed_exchanges=row.texts("closed_exchanges"),
        sessions=tuple(map(_session, row.rows("open_exchanges"))),
    )


def _session(row: AnswerFields) -> Session:
    opens, closes = row.moment("start_time"), row.moment("end_time")
    if closes <= opens:
        raise AnswerUnknown("market hours", "a session closes before it opens")
    return Session(row.text("exchange"), opens, closes)
