"""What the gateway's websocket says, in its own words; keys and types are those recorded from it.

Sandbox and live broker differ in three places: who the broker is, which price a market order shows,
and what an order that has just arrived has pending (the sandbox says 0).
"""

from brokers.paper_exchange.answers import shown_price
from brokers.paper_exchange.calls import Json
from brokers.paper_exchange.orders import Mode, Order, OrderStatus

USER = "paper"
_BROKERS = {Mode.ANALYZE: "sandbox", Mode.LIVE: "zerodha"}
_CONNECTED_TO = "zerodha"


def refused(code: str, message: str) -> Json:
    """An error; it ends nothing."""
    return {"status": "error", "code": code, "message": message}


def authenticated() -> Json:
    """The key was right."""
    return {
        "type": "auth",
        "status": "success",
        "message": "Authentication successful",
        "broker": _CONNECTED_TO,
        "user_id": USER,
        "supported_features": {"ltp": True, "quote": True, "depth": True},
    }


def subscribed_to_orders() -> Json:
    """From now on each change of an order is told."""
    return {
        "type": "subscribe_orders",
        "status": "success",
        "message": "Subscribed to order updates",
    }


def subscribed(symbols: list[tuple[str, str]]) -> Json:
    """No prices are streamed here, so every symbol is one that is not known."""
    rows = [
        {
            "symbol": symbol,
            "exchange": exchange,
            "status": "error",
            "message": f"Token not found for {symbol} on {exchange}",
            "broker": _CONNECTED_TO,
        }
        for symbol, exchange in symbols
    ]
    return {
        "type": "subscribe",
        "status": "partial",
        "subscriptions": rows,
        "message": "Subscription processing complete",
        "broker": _CONNECTED_TO,
    }


def unsubscribed() -> Json:
    """There was nothing to end."""
    return {
        "type": "unsubscribe",
        "status": "success",
        "message": "Unsubscription processing complete",
        "successful": [],
        "failed": [],
        "broker": _CONNECTED_TO,
    }


def pong(milliseconds: int) -> Json:
    """The answer to a ping, with the server's time."""
    return {"type": "pong", "status": "success", "server_timestamp": milliseconds}


def order_update(order: Order, mode: Mode, *, arrived: bool) -> Json:
    """An order as it is now, or (`arrived`) as it was when it came, before it met the market."""
    if arrived:
        status, filled, average, reason = OrderStatus.OPEN, 0, 0.0, ""
        if order.pricetype.needs_trigger:
            status = OrderStatus.TRIGGER_PENDING
        pending = 0 if mode is Mode.ANALYZE else order.quantity
    else:
        status, filled, reason = order.status, order.filled_quantity, order.rejection_reason
        average, pending = float(order.average_price), order.pending_quantity
    return {
        "type": "order_update",
        "user_id": USER,
        "mode": mode.value,
        "broker": _BROKERS[mode],
        "orderid": order.orderid,
        "symbol": order.symbol,
        "exchange": order.exchange,
        "action": order.action.value,
        "quantity": order.quantity,
        "price": float(shown_price(order, mode)),
        "trigger_price": float(order.trigger_price),
        "pricetype": order.pricetype.value,
        "product": order.product,
        "order_status": status.value,
        "filled_quantity": filled,
        "pending_quantity": pending,
        "average_price": average,
        "rejection_reason": reason,
    }
