"""How the gateway words what the exchange knows; sandbox and live broker differ in every row.

Live answers carry no `mode`, no filled quantity, no strategy and no reason, give an average only
once an order is complete, name the price type differently and spell money as text.
"""

from datetime import date
from decimal import Decimal

from brokers.paper_exchange.books import Holding
from brokers.paper_exchange.calls import Json
from brokers.paper_exchange.funds import ExchangeView
from brokers.paper_exchange.listing import Contract
from brokers.paper_exchange.market import Market
from brokers.paper_exchange.orders import Action, Mode, Order, OrderStatus, PriceType, Trade
from brokers.paper_exchange.pricing import Quote
from core.ist import as_ist

_DEPTH_ROWS = 5
_DEPTH_LOTS = 5
_VOLUME = 1000
_OPEN_INTEREST = 10_000
_SPAN_SHARE = Decimal("0.8")
_PAISA = Decimal("0.01")


def quote_row(quote: Quote) -> Json:
    """One quote."""
    return {
        "ask": float(quote.ask),
        "bid": float(quote.bid),
        "high": float(quote.high),
        "low": float(quote.low),
        "ltp": float(quote.ltp),
        "oi": _OPEN_INTEREST,
        "open": float(quote.open),
        "prev_close": float(quote.prev_close),
        "volume": _VOLUME,
    }


def depth_row(quote: Quote, contract: Contract) -> Json:
    """Five rows of the touch."""
    row = quote_row(quote)
    ask, bid = row.pop("ask"), row.pop("bid")
    quantity = _DEPTH_LOTS * contract.lotsize
    total = quantity * _DEPTH_ROWS
    row |= {"ltq": 0, "totalbuyqty": total, "totalsellqty": total}
    row["asks"] = [{"price": ask, "quantity": quantity}] * _DEPTH_ROWS
    row["bids"] = [{"price": bid, "quantity": quantity}] * _DEPTH_ROWS
    return row


def contract_row(contract: Contract, number: int) -> Json:
    """A contract as the master has it."""
    expiry = contract.expiry
    return {
        "brexchange": contract.exchange,
        "brsymbol": contract.symbol,
        "exchange": contract.exchange,
        "expiry": "" if expiry is None else f"{expiry:%d-%b-%y}".upper(),
        "freeze_qty": contract.freeze_quantity,
        "id": number,
        "instrumenttype": contract.kind,
        "lotsize": contract.lotsize,
        "name": contract.root,
        "strike": float(contract.strike or 0),
        "symbol": contract.symbol,
        "tick_size": float(contract.tick),
        "token": str(number),
    }


def order_row(order: Order, mode: Mode) -> Json:
    """A row of the order book."""
    row = {
        "action": order.action.value,
        "exchange": order.exchange,
        "order_status": order.status.value,
        "orderid": order.orderid,
        "price": float(shown_price(order, mode)),
        "pricetype": order.pricetype.value,
        "product": order.product,
        "quantity": order.quantity,
        "symbol": order.symbol,
        "timestamp": f"{as_ist(order.placed_at):%Y-%m-%d %H:%M:%S}",
        "trigger_price": float(order.trigger_price),
    }
    if mode is Mode.ANALYZE:
        row["average_price"] = float(order.average_price)
        row["filled_quantity"] = order.filled_quantity
        row["pending_quantity"] = order.pending_quantity
        row["rejection_reason"] = order.rejection_reason
        row["strategy"] = order.strategy
    return row


def order_status_row(order: Order, mode: Mode, trades: list[Trade]) -> Json:
    """One order. Live, the average is the first fill's, and 0 until the order is complete."""
    row = order_row(order, mode)
    if mode is Mode.ANALYZE:
        row["price_type"] = row.pop("pricetype")
        del row["rejection_reason"]
        return row
    own = [trade.price for trade in trades if trade.orderid == order.orderid]
    known = order.status is OrderStatus.COMPLETE and own
    row["average_price"] = float(own[0]) if known else 0.0
    return row


def order_statistics(orders: list[Order], mode: Mode) -> Json:
    """The counts beside the order book."""

    def having(status: OrderStatus) -> int:
        return sum(order.status is status for order in orders)

    counts = {
        "total_buy_orders": sum(order.action is Action.BUY for order in orders),
        "total_completed_orders": having(OrderStatus.COMPLETE),
        "total_open_orders": having(OrderStatus.OPEN),
        "total_rejected_orders": having(OrderStatus.REJECTED),
        "total_sell_orders": sum(order.action is Action.SELL for order in orders),
    }
    if mode is Mode.ANALYZE:
        counts["total_trigger_pending_orders"] = having(OrderStatus.TRIGGER_PENDING)
    return counts


def trade_row(trade: Trade, mode: Mode) -> Json:
    """A row of the trade book."""
    at = as_ist(trade.at)
    row: Json = {
        "action": trade.action.value,
        "average_price": float(trade.price),
        "exchange": trade.exchange,
        "orderid": trade.orderid,
        "product": trade.product,
        "quantity": trade.quantity,
        "symbol": trade.symbol,
        "timestamp": f"{at:%H:%M:%S}",
        "trade_value": float(trade.value),
    }
    if mode is Mode.ANALYZE:
        row["price"] = row["average_price"]
        row["strategy"] = trade.strategy
        row["timestamp"] = f"{at:%Y-%m-%d %H:%M:%S}"
        row["tradeid"] = trade.tradeid
    return row


def position_row(held: Holding, ltp: Decimal, mode: Mode) -> Json:
    """A row of the position book. What is closed stays for the session, with quantity 0."""
    open_pnl, today = held.open_pnl(ltp), held.realised_today
    row: Json = {
        "exchange": held.exchange,
        "ltp": float(ltp),
        "pnl": _rupees(open_pnl + today),
        "product": held.product,
        "quantity": held.quantity,
        "symbol": held.symbol,
    }
    if mode is Mode.LIVE:
        return row | {"average_price": f"{held.average_price:.2f}"}
    return row | {
        "average_price": float(round(held.average_price, 4)),
        "lot_size": 1.0,
        "pnlpercent": float(open_pnl / abs(held.cost) * 100) if held.cost else 0.0,
        "today_realized_pnl": _rupees(today),
        "total_pnl_today": _rupees(open_pnl + today),
        "unrealized_pnl": _rupees(open_pnl),
    }


def position_totals(view: ExchangeView) -> Json:
    """What the sandbox adds beside the position book."""
    funds = view.funds
    total = _rupees(funds.open_pnl + funds.realised_today)
    return {
        "total_pnl": total,
        "total_pnl_today": total,
        "total_today_realized_pnl": _rupees(funds.realised_today),
        "total_unrealized_pnl": _rupees(funds.open_pnl),
    }


def funds_row(view: ExchangeView) -> Json:
    """The account's money: numbers in the sandbox, text from a live broker."""
    funds = view.funds
    amounts = {
        "availablecash": funds.available,
        "collateral": Decimal(0),
        "m2mrealized": funds.realised if view.mode is Mode.ANALYZE else funds.realised_today,
        "m2munrealized": funds.open_pnl,
        "utiliseddebits": funds.utilised,
    }
    if view.mode is Mode.LIVE:
        return {name: f"{amount:.2f}" for name, amount in amounts.items()}
    amounts |= {
        "grossexposure": funds.utilised,
        "today_realized_pnl": funds.realised_today,
        "total_realized_pnl": funds.realised,
        "totalpnl": funds.realised + funds.open_pnl,
    }
    numbers: Json = {name: _rupees(amount) for name, amount in amounts.items()}
    return numbers | {"last_reset": f"{view.day:%Y-%m-%d} 03:00:00", "reset_count": 0}


def margin_row(required: Decimal) -> Json:
    """A margin, parted the way brokers part it."""
    span = (required * _SPAN_SHARE).quantize(_PAISA)
    return {
        "exposure_margin": _rupees(required - span),
        "span_margin": _rupees(span),
        "total_margin_required": _rupees(required),
    }


def done_row(orderid: str, mode: Mode, message: str | None = None) -> Json:
    """An order call that succeeded; only the sandbox says what it did."""
    if mode is Mode.LIVE:
        return {"status": "success", "orderid": orderid}
    said = {} if message is None else {"message": message}
    return {"status": "success", "mode": mode.value, "orderid": orderid, **said}


def expiries_row(root: str, exchange: str, kind: str, found: list[date]) -> Json:
    """The expiries of an underlying; of an unknown one there are none, which is a success."""
    what = f"expiry dates {'found ' if not found else ''}for {root} {kind} in {exchange}"
    return {
        "data": [f"{day:%d-%b-%y}".upper() for day in found],
        "message": f"Found {len(found)} {what}" if found else f"No {what}",
        "status": "success",
    }


def unknown_symbol(symbol: str, exchange: str) -> str:
    """What quotes say of a symbol that is not listed."""
    return (
        f"Symbol '{symbol}' not found for exchange '{exchange}'. "
        "Please verify the symbol name and ensure master contracts are downloaded."
    )


def quotes_of(view: ExchangeView, symbol: str, exchange: str) -> Quote | None:
    """The quote of a symbol, None where it is not listed."""
    market: Market = view.market
    contract = market.find(symbol, exchange, view.day)
    return None if contract is None else market.quote(contract, view.day)


def shown_price(order: Order, mode: Mode) -> Decimal:
    """The price of an order as callers see it: the sandbox gives a market order one."""
    market = order.pricetype is PriceType.MARKET and mode is Mode.ANALYZE
    return order.reference_price if market else order.price


def _rupees(amount: Decimal) -> float:
    return float(round(amount, 2))
