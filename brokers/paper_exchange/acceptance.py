"""What the exchange refuses, in the words of the gateway's sandbox.

Neither ticks, freeze quantities nor hours are checked there, and so not here: those checks are
the caller's, and a paper exchange that made them would hide that they are missing.
"""

from decimal import Decimal

from brokers.paper_exchange.listing import Contract
from brokers.paper_exchange.orders import Mode, Order, OrderChange, OrderRequest, PriceType
from core.errors import Rejected

INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
ORDER_NOT_FOUND = "ORDER_NOT_FOUND"
_CASH_PRODUCT = "CNC"
_PAISA = Decimal("0.01")


def check_request(request: OrderRequest, contract: Contract | None) -> Contract:
    """The contract to trade. Raises Rejected with the gateway's text."""
    if contract is None:
        text = f"Symbol {request.symbol} not found on {request.exchange}"
        raise Rejected("UNKNOWN_SYMBOL", text)
    if contract.expiry is None:
        raise Rejected("NOT_TRADABLE", f"{contract.symbol} is an index and cannot be traded")
    check_prices(request.pricetype, request.price, request.trigger_price)
    check_quantity(request.quantity, contract)
    if request.product == _CASH_PRODUCT:
        raise Rejected(
            "PRODUCT_NOT_ALLOWED",
            f"CNC product not allowed for {request.exchange} derivatives segment. "
            "Use NRML for carryforward or MIS for intraday.",
        )
    return contract


def check_prices(pricetype: PriceType, price: Decimal, trigger_price: Decimal) -> None:
    """Raises Rejected where a price that belongs to the type is missing."""
    if pricetype.needs_price and price <= 0:
        raise Rejected("PRICE_MISSING", f"{pricetype.value} orders require price")
    if pricetype.needs_trigger and trigger_price <= 0:
        raise Rejected("PRICE_MISSING", f"{pricetype.value} orders require trigger_price")


def check_quantity(quantity: int, contract: Contract) -> None:
    """Raises Rejected unless `quantity` is whole lots."""
    if quantity % contract.lotsize:
        text = f"Quantity must be in multiples of lot size {contract.lotsize}"
        raise Rejected("NOT_WHOLE_LOTS", text)


def check_funds(required: Decimal, available: Decimal, mode: Mode) -> None:
    """Raises Rejected where an order needs more than there is; what frees money is let pass."""
    if required <= 0 or required <= available:
        return
    raise Rejected(INSUFFICIENT_FUNDS, insufficient_funds(required, available, mode))


def insufficient_funds(required: Decimal, available: Decimal, mode: Mode) -> str:
    """How an order that needs too much is refused."""
    need, free = required.quantize(_PAISA), available.quantize(_PAISA)
    if mode is Mode.LIVE:
        return f"Insufficient funds. Required margin is {need} but available margin is {free}."
    return (
        f"Insufficient funds. Required: \u20b9{need}, Available: \u20b9{free}, "
        f"Shortage: \u20b9{need - free}"
    )


def check_change(order: Order | None, change: OrderChange) -> Order:
    """The order that may be changed so. Raises Rejected, as of a final one if all has filled."""
    found = check_resting(order, change.orderid, "modify")
    if change.quantity <= found.filled_quantity:
        raise Rejected("ORDER_FINAL", "Cannot modify order in complete status")
    return found


def check_resting(order: Order | None, orderid: str, verb: str) -> Order:
    """The order that may be changed. Raises Rejected if it is unknown or final."""
    if order is None:
        raise Rejected(ORDER_NOT_FOUND, f"Order {orderid} not found")
    if not order.status.is_resting:
        raise Rejected("ORDER_FINAL", f"Cannot {verb} order in {order.status.value} status")
    return order
