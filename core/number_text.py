"""Numbers as an Indian trader reads them; every page and table writes them through here."""

from decimal import ROUND_HALF_EVEN, Decimal

ABSENT = "n/a"


def grouped(amount: Decimal | float, decimals: int = 2) -> str:
    """`1,23,45,678.90`: the last three digits together, then in pairs (lakh, crore)."""
    exact = Decimal(amount).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_EVEN)
    whole, _, fraction = f"{abs(exact):f}".partition(".")
    head, tail = whole[:-3], whole[-3:]
    pairs = [head[max(0, end - 2) : end] for end in range(len(head), 0, -2)][::-1]
    sign = "-" if exact < 0 else ""
    return sign + ",".join([*pairs, tail]) + (f".{fraction}" if fraction else "")


def rupees(amount: Decimal | float, decimals: int = 2) -> str:
    """`₹1,23,45,678.90`; a loss is `-₹50.00`."""
    text = grouped(amount, decimals)
    return f"-₹{text[1:]}" if text.startswith("-") else f"₹{text}"


def rupees_short(amount: float) -> str:
    """`₹1.25 cr`, `₹50 L`, `₹9,500`: for axes, about three significant figures."""
    for unit, name in ((1e7, " cr"), (1e5, " L")):
        if (size := abs(amount) / unit) >= 1:
            sign = "-" if amount < 0 else ""
            return f"{sign}₹{f'{size:.3g}' if size < 999.5 else grouped(size, 0)}{name}"
    return rupees(amount, 0)


def percent(fraction: float | None, decimals: int = 1) -> str:
    """`12.3 %` for 0.123."""
    # Adding 0.0 takes the sign off a zero.
    return ABSENT if fraction is None else f"{round(fraction * 100, decimals) + 0.0:.{decimals}f} %"


def ratio(value: float | None, decimals: int = 2) -> str:
    """`1.53`, or `n/a` where the ratio is not defined."""
    return ABSENT if value is None else f"{value:.{decimals}f}"
