"""An order leaves only if today's contract allows it: whole lots, on tick, under the freeze.

The gateway in live mode checks none of this and hands the broker whatever it is given.
"""

from decimal import Decimal

from brokers.messages import OrderRequest, SymbolInfo
from core.errors import Rejected

LONGEST_TAG = 100


def check_order(order: OrderRequest, info: SymbolInfo) -> None:
    """Raise Rejected with a stable code for an order that must not be sent."""
    if order.contract != info.contract:
        raise Rejected(
            "WRONG_CONTRACT", f"order in {order.contract} checked against {info.contract}"
        )
    if not 1 <= len(order.tag) <= LONGEST_TAG:
        raise Rejected("BAD_TAG", f"a tag has 1 to {LONGEST_TAG} characters, not {len(order.tag)}")
    check_quantity(order.quantity, info)
    _check_price("price", order.price, order.price_type.has_price, order, info)
    _check_price("trigger price", order.trigger_price, order.price_type.has_trigger, order, info)


def check_quantity(quantity: int, info: SymbolInfo) -> None:
    """Raise Rejected for what is not whole lots, or more than one order may carry."""
    if quantity <= 0 or quantity % info.lot_size != 0:
        raise Rejected(
            "BAD_QUANTITY",
            f"quantity {quantity} of {info.contract} is not whole lots of {info.lot_size}",
        )
    if info.freeze_quantity is not None and quantity > info.freeze_quantity:
        raise Rejected(
            "ABOVE_FREEZE",
            f"quantity {quantity} of {info.contract} is above {info.freeze_quantity}, "
            "the most one order may carry; slice it",
        )


def _check_price(
    name: str, price: Decimal, is_needed: bool, order: OrderRequest, info: SymbolInfo
) -> None:
    if not is_needed:
        if price != 0:
            raise Rejected("BAD_PRICE", f"a {order.price_type} order has no {name}; got {price}")
        return
    if not price.is_finite() or price <= 0:
        raise Rejected("BAD_PRICE", f"a {order.price_type} order needs a {name} above 0: {price}")
    if price % info.tick != 0:
        raise Rejected(
            "OFF_TICK", f"{name} {price} of {info.contract} is not a multiple of {info.tick}"
        )
