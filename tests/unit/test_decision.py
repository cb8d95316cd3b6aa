"""Decisions: every code, exits that nothing refuses, and what each decision carries."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from core.config import PortfolioConfig
from core.decision import DecisionMaker, decide, decide_stops
from core.decision_record import Decision, DecisionCode, LayerClose
from core.ist import IST
from core.models import ContractTerms, Limiter, Signal, SignalType, StopMode
from core.peel_off import decide_peel_off
from core.portfolio_state import PortfolioStateManager
from core.position_sizer import NO_QUOTE, BrokerQuote
from core.signal_validator import ProposedEntry, Refused, SignalValidator
from tests.fixtures.rules import (
    BANK,
    CAPITAL,
    GOLD,
    add,
    base_entry,
    book,
    config,
    deposit,
    disabled,
    leave,
    opened,
    reserved,
    row,
    terms,
)

C = DecisionCode
DEPOSIT = deposit(CAPITAL)


def judge(
    alert: Signal,
    held: PortfolioStateManager | None = None,
    rules: PortfolioConfig | None = None,
    contract: ContractTerms | None = None,
    **given_more: Any,
) -> Decision:
    return decide(alert, held or book(), rules or config(), contract or terms(), **given_more)


def in_flight() -> PortfolioStateManager:
    held = book()
    held.reserve(reserved())
    return held


def executed(broker: str, age_s: float = 0.0) -> DecisionCode:
    """The code of the second stage's refusal of a lot of `base_entry`."""
    check = SignalValidator(config().validation).check_execution(
        ProposedEntry.of(base_entry(), replace(judge(base_entry()), lots=1)),
        Decimal(broker),
        age_s,
        0.0,
    )
    assert check.refused is not None
    return check.refused.code


def stopped() -> DecisionCode:
    held = book(opened())
    hit = held.close_bar(BANK, Decimal(49_700), Decimal(250), Decimal(49_800))
    decision = decide_stops(BANK, hit)
    assert decision is not None
    return decision.code


def peeled() -> DecisionCode:
    decision = decide_peel_off(
        BANK, book(opened())[BANK], Decimal(1), config().instruments[BANK].trading
    )
    assert decision is not None
    return decision.code


def blocked(code: DecisionCode) -> DecisionCode:
    return judge(base_entry(), blocked=Refused(code, "today is a special session")).code


HOW_TO_REACH: dict[DecisionCode, Callable[[], DecisionCode]] = {
    C.ENTER_BASE: lambda: judge(base_entry()).code,
    C.ENTER_PYRAMID: lambda: judge(add(), book(opened())).code,
    C.EXIT: lambda: judge(leave(), book(opened())).code,
    C.STOP_HIT: stopped,
    C.PEEL_OFF: peeled,
    C.NOTHING_HELD: lambda: judge(leave()).code,
    C.INSTRUMENT_UNKNOWN: lambda: judge(base_entry(instrument="COPPER")).code,
    C.INSTRUMENT_DISABLED: lambda: judge(base_entry(), rules=disabled()).code,
    C.ENTRIES_BLOCKED: lambda: decide(base_entry(), book(), config()).code,
    C.SPECIAL_SESSION: lambda: blocked(C.SPECIAL_SESSION),
    C.OUTSIDE_COVERAGE: lambda: blocked(C.OUTSIDE_COVERAGE),
    C.NUMBER_NOT_FINITE: lambda: judge(base_entry(atr="NaN")).code,
    C.PRICE_OUT_OF_RANGE: lambda: judge(base_entry(price=0)).code,
    C.ATR_OUT_OF_RANGE: lambda: judge(base_entry(atr=0)).code,
    C.STOP_OUT_OF_RANGE: lambda: judge(base_entry(stop=0)).code,
    C.STOP_NOT_BELOW_PRICE: lambda: judge(base_entry(stop=50_000)).code,
    C.LAYER_INVALID: lambda: judge(base_entry(layer=2)).code,
    C.ALREADY_IN_POSITION: lambda: judge(base_entry(), book(opened())).code,
    C.ENTRY_IN_FLIGHT: lambda: judge(base_entry(), in_flight()).code,
    C.LAYER_OUT_OF_ORDER: lambda: judge(add(layer=2), book(opened(), opened(layer=2))).code,
    C.GATE_CLOSED: lambda: judge(add(price=50_100, stop=49_900), book(opened())).code,
    C.ZERO_LOTS: lambda: judge(base_entry(er=0.0)).code,
    C.SIGNAL_TOO_OLD: lambda: executed("50000", age_s=61),
    C.PRICE_DIVERGED: lambda: executed("51000.05"),
    C.PRICE_BELOW_STOP: lambda: executed("49800"),
    C.RISK_GREW: lambda: executed("50200"),
}


def test_every_code_can_be_reached() -> None:
    """All but the roll's, which no alert leads to."""
    reached = {code: reach() for code, reach in HOW_TO_REACH.items()}
    assert reached == {code: code for code in C if code is not C.ROLL}


def test_a_base_entry_carries_its_size_stop_and_exposure() -> None:
    decision = judge(base_entry())
    assert row(decision.code, decision.instrument, decision.type, decision.layer) == (
        *(C.ENTER_BASE, BANK, SignalType.BASE_ENTRY, 1),
    )
    assert (decision.lots, decision.limiter) == (3, Limiter.VOLATILITY)
    assert row(decision.initial_stop, decision.risk, decision.volatility, decision.margin) == (
        *(49_800, 18_000, 22_500, 810_000),  # 3 x 6,000, 3 x 7,500, 3 x 2,70,000
    )
    assert decision.reason == "3 lots, limited by volatility"
    assert decision.acts
    assert decision.gates == ()


def test_an_add_carries_its_gate() -> None:
    decision = judge(add(), book(opened()))
    assert row(decision.code, decision.layer, decision.lots, decision.limiter) == (
        *(C.ENTER_PYRAMID, 2, 1, Limiter.MARGIN),  # 30,90,000 - 27,00,000 = 3,90,000 / 2,70,000
    )
    assert row(decision.initial_stop, decision.risk, decision.volatility, decision.margin) == (
        *(50_300, 6_000, 7_500, 270_000),
    )
    assert [gate.name for gate in decision.gates if gate.passed] == [
        *("base_layer_open", "profit_beyond_r", "atr_spacing", "open_pnl_positive"),
        *("portfolio_risk", "portfolio_volatility"),
    ]


def test_a_closed_gate_names_all_that_failed_with_their_numbers() -> None:
    decision = judge(add(price=50_100, stop=49_900), book(opened()))
    assert row(decision.code, decision.lots, decision.limiter) == (C.GATE_CLOSED, 0, Limiter.PROFIT)
    assert decision.reason == (
        "gate closed: profit_beyond_r (100.00 against 200.00), atr_spacing (100.00 against 125.00)"
    )
    assert decision.inputs is not None
    assert [item.limiter for item in decision.constraints][:3] == [
        *(Limiter.MARGIN, Limiter.PREVIOUS_LAYER, Limiter.PROFIT)
    ]
    assert not decision.acts
    flat = judge(add(), book())
    assert flat.reason == (
        "gate closed: base_layer_open, profit_beyond_r, atr_spacing, "
        "open_pnl_positive (0.00 against 0.00)"
    )


@pytest.mark.parametrize(
    ("alert", "held", "contract", "limiter"),
    [
        (base_entry(er=0.0), book(), terms(), Limiter.RISK),
        (base_entry(atr=1_000), book(), terms(), Limiter.VOLATILITY),  # 25,000 / 30,000
        (base_entry(), book(), terms(margin_floor_inr=3_000_001), Limiter.MARGIN),
        (add(), book(opened(lots=1)), terms(), Limiter.PREVIOUS_LAYER),
        (
            add(price=50_250, stop=50_200),
            book(opened(lots=2, initial_stop=49_760)),
            terms(),
            Limiter.PROFIT,  # half of (250 - 240) x 2 x 30 = 300, over 62.5 x 30
        ),
    ],
)
def test_no_lots_is_a_decision_with_a_reason_and_a_limiter(
    alert: Signal, held: PortfolioStateManager, contract: ContractTerms, limiter: Limiter
) -> None:
    decision = judge(alert, held, contract=contract)
    assert row(decision.code, decision.lots, decision.limiter) == (C.ZERO_LOTS, 0, limiter)
    assert decision.reason == f"{limiter.value} allows less than one lot"
    assert row(decision.risk, decision.volatility, decision.margin) == (0, 0, 0)
    assert decision.inputs is not None
    assert decision.constraints
    assert not decision.acts


def test_a_base_entry_while_in_a_position_is_refused_with_a_reason() -> None:
    """Incident 13: BASE_ENTRY while already in a position overwrote Long_1.

    It is refused by name and the open layer stays as it is.
    """
    held = book(opened())
    before = held.snapshot()
    decision = judge(base_entry(price=50_400, stop=50_200), held)
    assert decision.code is C.ALREADY_IN_POSITION
    assert decision.reason == (
        "BANK_NIFTY/1/Long_1 is open: a base entry needs the instrument flat"
    )
    assert not decision.acts
    assert held.snapshot() == before


@pytest.mark.parametrize(
    ("alert", "held", "rules", "contract", "block", "code"),
    [
        # unknown before disabled before blocked before the alert before what is on its way
        (
            base_entry(instrument="COPPER"),
            in_flight(),
            disabled(),
            None,
            True,
            C.INSTRUMENT_UNKNOWN,
        ),
        (base_entry(atr=0), in_flight(), disabled(), None, True, C.INSTRUMENT_DISABLED),
        (base_entry(atr=0), in_flight(), config(), None, True, C.SPECIAL_SESSION),
        (base_entry(atr=0), in_flight(), config(), None, False, C.ATR_OUT_OF_RANGE),
        (base_entry(), in_flight(), config(), None, False, C.ENTRY_IN_FLIGHT),
        (add(), in_flight(), config(), terms(), False, C.ENTRY_IN_FLIGHT),
        (base_entry(), book(), config(), None, False, C.ENTRIES_BLOCKED),
        (base_entry(), book(), config(), terms(), False, C.ENTER_BASE),
    ],
)
def test_an_entry_is_refused_for_the_first_reason_there_is(
    alert: Signal,
    held: PortfolioStateManager,
    rules: PortfolioConfig,
    contract: ContractTerms | None,
    block: bool,
    code: DecisionCode,
) -> None:
    reason = Refused(C.SPECIAL_SESSION, "Muhurat") if block else None
    decision = decide(alert, held, rules, contract, blocked=reason)
    assert decision.code is code
    assert (decision.instrument, decision.layer) == (alert.instrument, alert.layer)
    assert decision.reason


def test_another_instruments_entry_in_flight_is_no_obstacle() -> None:
    held = book()
    held.reserve(reserved(instrument=GOLD))
    assert judge(base_entry(), held).code is C.ENTER_BASE


def test_a_disabled_instrument_leaves_the_others_alone() -> None:
    alert = base_entry(instrument=GOLD)
    assert judge(alert, rules=disabled(), contract=terms(instrument=GOLD)).lots > 0


def test_the_most_adds_bound_the_layers() -> None:
    rules = config(pyramid={"max_adds": 1})
    held = book(opened(), opened(layer=2, lots=4, price=50_200))
    assert judge(add(layer=3, price=51_000), held, rules).code is C.LAYER_INVALID
    assert judge(add(layer=2, price=50_500), book(opened()), rules).code is C.ENTER_PYRAMID


@pytest.mark.parametrize(
    ("mode", "stop"),
    [(StopMode.TOM_BASSO, 49_625), (StopMode.SUPERTREND, 49_500), (StopMode.VAN_THARP, 49_500)],
)
def test_the_stop_mode_is_the_configured_one(mode: StopMode, stop: int) -> None:
    decision = judge(base_entry(stop=49_500), rules=config(stop_mode=mode.value))
    assert decision.initial_stop == stop  # 50,000 - 1.5 x 250, or the alert's own


def test_the_brokers_money_reaches_the_size() -> None:
    poor = judge(base_entry(), broker=BrokerQuote(Decimal(600_000), Decimal(300_000)))
    assert (poor.lots, poor.limiter) == (2, Limiter.MARGIN)
    assert poor.margin == 600_000


@pytest.mark.parametrize(
    ("basis", "equity"), [("closed", 5_000_000), ("open", 5_150_000), ("blended", 5_075_000)]
)
def test_caps_are_measured_on_the_configured_equity(basis: str, equity: int) -> None:
    held = book(opened(close=50_500))
    decision = judge(add(), held, config(equity_basis=basis))
    assert decision.inputs is not None
    assert row(decision.inputs.equity, decision.inputs.equity_high) == (equity, 5_000_000)
    assert decision.constraints[3].budget == Decimal(equity) * 15 / 100 - 60_000


LONG_1, LONG_2 = LayerClose("BANK_NIFTY/1/Long_1", 1, 10), LayerClose("BANK_NIFTY/1/Long_2", 2, 5)
ODD = {
    "as it comes": {},
    "prices that are no numbers": {"price": "NaN", "stop": "sNaN", "atr": "Infinity"},
    "ratios that are no numbers": {"er": float("nan"), "roc": float("inf")},
    "no SuperTrend": {"supertrend": "NaN"},
    "a price of nothing": {"price": 0, "atr": 0},
    "a price below nothing": {"price": -1, "atr": -1},
    "a price far from any": {"price": "1E+30"},
    "a stop above the price": {"stop": 60_000},
    "a bar of long ago": {"bar_time": datetime(2001, 1, 1, tzinfo=IST)},
    "a bar of the future": {"bar_time": datetime(2099, 1, 1, tzinfo=IST)},
    "no reason": {"reason": ""},
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("block", [None, Refused(C.OUTSIDE_COVERAGE, "2031 is not known")])
@pytest.mark.parametrize("rules", [config(), disabled()], ids=["enabled", "disabled"])
@pytest.mark.parametrize("contract", [None, terms()], ids=["no terms", "terms"])
@pytest.mark.parametrize(
    ("layer", "closes"), [(None, (LONG_1, LONG_2)), (1, (LONG_1,)), (2, (LONG_2,))]
)
def test_an_exit_of_what_is_held_is_never_refused(
    odd: dict[str, Any],
    block: Refused | None,
    rules: PortfolioConfig,
    contract: ContractTerms | None,
    layer: int | None,
    closes: tuple[LayerClose, ...],
) -> None:
    held = book(opened(), opened(layer=2, lots=5, price=50_400))
    held.reserve(reserved())  # an entry that is on its way is no obstacle either
    alert = leave(**{"layer": layer, **odd})
    decision = decide(alert, held, rules, contract, NO_QUOTE, block)
    assert decision.code is C.EXIT
    assert decision.closes == closes
    assert decision.acts
    assert decision.reason == (alert.reason or "exit")
    assert (decision.instrument, decision.layer, decision.type) == (BANK, layer, SignalType.EXIT)


@pytest.mark.parametrize(
    ("alert", "reason"),
    [
        (leave(instrument=GOLD), "GOLD_MINI ALL is not open"),
        (leave(layer=3), "BANK_NIFTY Long_3 is not open"),
        (leave(layer=9), "BANK_NIFTY Long_9 is not open"),
    ],
)
def test_an_exit_of_nothing_says_so(alert: Signal, reason: str) -> None:
    decision = judge(alert, book(opened()))
    assert (decision.code, decision.reason) == (C.NOTHING_HELD, reason)
    assert not decision.acts


def test_stops_that_are_hit_become_one_decision() -> None:
    held = book(opened(), opened(layer=2, lots=5, price=50_400, initial_stop=50_200))
    hit = held.close_bar(BANK, Decimal(49_700), Decimal(250), Decimal(0))
    decision = decide_stops(BANK, hit)
    assert decision is not None
    assert (decision.code, decision.closes) == (C.STOP_HIT, (LONG_1, LONG_2))
    assert (decision.instrument, decision.type) == (BANK, SignalType.MARKET_DATA)
    assert decision.reason == (
        "closed BANK_NIFTY/1/Long_1 below 49800, BANK_NIFTY/1/Long_2 below 50200"
    )
    assert decide_stops(BANK, []) is None


def test_one_maker_serves_many_decisions() -> None:
    maker = DecisionMaker(config())
    held = maker.new_book()
    held.move_capital(DEPOSIT)
    assert maker.decide(base_entry(), held, terms()) == judge(base_entry(), held)
    assert set(maker.stops) == {BANK, GOLD}
    # The book's stops are those of the maker: Gold Mini trails at 2.0 ATR, Bank Nifty at 2.5.
    for name, stop in ((BANK, 50_375), (GOLD, 50_500)):
        held.open_layer(opened(instrument=name))
        held.close_bar(name, Decimal(51_000), Decimal(250), Decimal(0))
        assert held[name].layers[0].stop == stop
