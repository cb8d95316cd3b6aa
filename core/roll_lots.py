"""Lots of one contract in lots of the next, which may be of another size: never more exposure."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal


def lots_kept(lots: int, point_value: Decimal, new_point_value: Decimal) -> int:
    """The most whole lots of the new contract that are no more exposure than `lots` of the old."""
    return _whole(lots * point_value / new_point_value, ROUND_FLOOR)


def lots_behind(kept: int, point_value: Decimal, new_point_value: Decimal) -> int:
    """The fewest whole lots of the old contract that are no less exposure than `kept` new ones."""
    return _whole(kept * new_point_value / point_value, ROUND_CEILING)


def _whole(lots: Decimal, rounding: str) -> int:
    return int(lots.to_integral_value(rounding))
