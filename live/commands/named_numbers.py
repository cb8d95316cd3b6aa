"""Numbers on the command line that belong to something: NAME=NUMBER, thousands separators pass."""

from decimal import Decimal, InvalidOperation

import click

Named = tuple[str, Decimal]


class NamedNumber(click.ParamType[Named]):
    """A name and a number above 0; `expected` is the sentence that refuses anything else."""

    name = "name=number"

    def __init__(self, expected: str, *, name_needed: bool = True) -> None:
        self._expected = expected
        self._name_needed = name_needed

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> Named:
        """The name, empty where none is needed nor given, and the number that `value` says."""
        name, equals, number = value.rpartition("=")
        try:
            amount = Decimal(number.replace(",", ""))
        except InvalidOperation:
            amount = Decimal(0)
        is_named = bool(name) or not (self._name_needed or equals)
        if not is_named or "=" in name or not (amount.is_finite() and amount > 0):
            self.fail(f"{value!r}: {self._expected}", param, ctx)
        return name, amount
