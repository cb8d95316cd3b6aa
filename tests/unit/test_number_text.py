from decimal import Decimal

import pytest

from core.number_text import grouped, percent, ratio, rupees, rupees_short


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "₹0.00"),
        ("999", "₹999.00"),
        ("1000", "₹1,000.00"),
        ("99999.999", "₹1,00,000.00"),
        ("12345678.90", "₹1,23,45,678.90"),
        ("179625470.14", "₹17,96,25,470.14"),
        ("-1234.5", "-₹1,234.50"),
        ("-0.001", "₹0.00"),
    ],
)
def test_rupees_are_grouped_in_lakh_and_crore(amount: str, text: str) -> None:
    assert rupees(Decimal(amount)) == text


def test_grouping_adds_and_loses_no_digit() -> None:
    for digits in range(1, 15):
        number = int("123456789123456"[:digits])
        assert grouped(Decimal(number), 0).replace(",", "") == str(number)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (9_500, "₹9,500"),
        (5_000_000, "₹50 L"),
        (12_500_000, "₹1.25 cr"),
        (-250_000, "-₹2.5 L"),
        (12_340_000_000, "₹1,234 cr"),
    ],
)
def test_axes_show_lakh_and_crore(amount: float, text: str) -> None:
    assert rupees_short(amount) == text


def test_what_is_not_defined_reads_so() -> None:
    assert (percent(None), ratio(None)) == ("n/a", "n/a")
    assert percent(-0.0001) == "0.0 %"
    assert (percent(-0.1234), ratio(1.005, 1)) == ("-12.3 %", "1.0")
