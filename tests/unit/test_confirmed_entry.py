"""A decided entry meets the broker's price: it stays, shrinks or is refused, by the numbers."""

from decimal import Decimal

import pytest

from core.decision import AtExecution, DecisionMaker, one_lot
from core.decision_record import Decision, DecisionCode
from core.models import Signal
from tests.fixtures.rules import BANK, add, base_entry, book, config, opened, terms

MAKER = DecisionMaker(config())


def decided(signal: Signal | None = None) -> Decision:
    """8 lots of Bank Nifty at 50,000 with the stop at 49,800."""
    found = MAKER.decide(signal or base_entry(), book(), terms())
    assert found.lots > 1
    return found


def at(broker: str, age_s: float = 0.0, bar_age_s: float = 0.0) -> AtExecution:
    return AtExecution(Decimal(broker), age_s, bar_age_s)


def test_at_the_alerts_own_price_nothing_changes() -> None:
    assert MAKER.confirm(base_entry(), decided(), at("50000")) == decided()


@pytest.mark.parametrize(
    ("moment", "code"),
    [
        (at("51001"), DecisionCode.PRICE_DIVERGED),
        (at("49800"), DecisionCode.PRICE_BELOW_STOP),
        (at("50000", age_s=61), DecisionCode.SIGNAL_TOO_OLD),
        (at("50000", bar_age_s=901), DecisionCode.SIGNAL_TOO_OLD),
        (at("50501", age_s=31), DecisionCode.PRICE_DIVERGED),
    ],
)
def test_what_may_not_be_executed_opens_nothing(moment: AtExecution, code: DecisionCode) -> None:
    refused = MAKER.confirm(base_entry(), decided(), moment)
    assert refused.code is code
    assert not refused.acts
    assert {refused.risk, refused.volatility, refused.margin} == {Decimal(0)}
    assert refused.inputs == decided().inputs


def test_lots_are_cut_to_the_risk_they_were_sized_on() -> None:
    """The stop is 200 points away when decided and 400 when executed: half of the lots."""
    whole = decided()
    cut = MAKER.confirm(base_entry(), whole, at("50200"))
    assert cut.lots == whole.lots // 2
    assert cut.margin * whole.lots == whole.margin * cut.lots
    assert cut.risk * whole.lots == whole.risk * cut.lots
    assert "50200" in cut.reason


def test_test_mode_trades_one_lot_and_keeps_what_was_calculated() -> None:
    whole = decided()
    one = one_lot(whole)
    assert one.lots == 1
    assert one.margin * whole.lots == whole.margin
    assert f"{whole.lots} lots" in one.reason
    assert one.constraints == whole.constraints
    assert one_lot(one) == one


def test_only_an_alert_that_can_be_right_marks_the_book() -> None:
    held = book(opened())
    MAKER.mark(add(), held, Decimal(50_480))
    assert (held[BANK].price, held[BANK].atr) == (Decimal(50_480), add().atr)
    MAKER.mark(add(atr=Decimal(40_000)), held, Decimal(50_900))
    assert held[BANK].price == Decimal(50_480)
    MAKER.mark(add(), held, Decimal(58_500))
    assert held[BANK].price == Decimal(50_480)
