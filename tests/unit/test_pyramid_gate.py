"""The gate for adds: each condition at its edge, alone and together, and every failure named."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.book_events import LayerOpened
from core.config import PortfolioConfig
from core.decision_record import DecisionInputs, GateVerdict
from core.models import Limiter, Signal
from core.portfolio_state import AccountView, PortfolioStateManager
from core.position_sizer import NO_QUOTE, Size, TomBassoPositionSizer
from core.pyramid_gate import PyramidGateController
from core.stop_manager import TomBassoStopManager
from tests.fixtures.rules import BANK, account, add, book, config, opened, reduced, terms

ALWAYS = (
    "base_layer_open",
    "profit_beyond_r",
    "atr_spacing",
    "open_pnl_positive",
    "portfolio_risk",
    "portfolio_volatility",
)
# Five lots that risk 6,000 and move 7,500 each: 30,000 and 37,500 on top of what is held.
FIVE_LOTS = Size(5, Limiter.MARGIN, (), Decimal(50_300), Decimal(6_000), Decimal(7_500))


def inputs(
    alert: Signal, held: PortfolioStateManager, view: AccountView, rules: PortfolioConfig
) -> DecisionInputs:
    trading = rules.instruments[BANK].trading
    stops = TomBassoStopManager(
        rules.stop_mode, trading.initial_atr_mult, trading.trailing_atr_mult
    )
    sizer = TomBassoPositionSizer(rules, trading, stops)
    return sizer.inputs(alert, view, terms(), NO_QUOTE, held[BANK])


def verdicts(
    alert: Signal | None = None,
    held: PortfolioStateManager | None = None,
    rules: PortfolioConfig | None = None,
    size: Size = FIVE_LOTS,
    **view: Any,
) -> tuple[GateVerdict, ...]:
    """The gate on an add at 50,500 over 10 lots entered at 50,000, unless told otherwise."""
    alert, held, rules = alert or add(), held or book(opened()), rules or config()
    found = inputs(alert, held, account(**view), rules)
    gate = PyramidGateController(rules, rules.instruments[BANK].trading)
    return gate.judge(alert, found, size, held[BANK])


def failed(judged: tuple[GateVerdict, ...]) -> list[str]:
    return [verdict.name for verdict in judged if not verdict.passed]


def test_the_gate_worked_out_by_hand() -> None:
    rules = config({"use_roc_filter": True})
    found = verdicts(add(roc=2.5), rules=rules, risk=60_000, volatility=75_000)
    assert [(v.name, v.passed, v.measured, v.threshold) for v in found] == [
        ("base_layer_open", True, None, None),
        ("profit_beyond_r", True, Decimal(500), Decimal(200)),  # 1 x (50,000 - 49,800)
        ("atr_spacing", True, Decimal(500), Decimal(125)),  # 0.5 x 250
        ("open_pnl_positive", True, Decimal(150_000), Decimal(0)),  # 500 x 10 x 30
        ("portfolio_risk", True, Decimal(90_000), Decimal(600_000)),  # + 5 x 6,000; 12 %
        ("portfolio_volatility", True, Decimal(112_500), Decimal(200_000)),  # + 5 x 7,500; 4 %
        ("roc", True, Decimal("2.5"), Decimal("2.0")),
    ]


def test_without_the_filter_momentum_is_not_asked_for() -> None:
    assert tuple(verdict.name for verdict in verdicts(add(roc=-50.0))) == ALWAYS


def two_layers(second_entry: Any, lots: int = 1) -> PortfolioStateManager:
    return book(opened(), opened(layer=2, lots=lots, price=second_entry))


@pytest.mark.parametrize(
    ("price", "opens"),
    [
        ("50199.95", False),
        ("50200", False),  # gained exactly 1R of 200 points: not beyond it
        ("50200.05", True),
    ],
)
def test_the_gain_since_the_base_entry_must_be_beyond_1r(price: str, opens: bool) -> None:
    assert failed(verdicts(add(price=price))) == ([] if opens else ["profit_beyond_r"])


@pytest.mark.parametrize(
    ("multiple", "needed", "opens"),
    [("0", "0", True), ("2.49", "498", True), ("2.5", "500", False), ("3", "600", False)],
)
def test_the_gain_is_measured_in_configured_r(multiple: str, needed: str, opens: bool) -> None:
    found = verdicts(rules=config(pyramid={"min_profit_r": multiple}))
    assert found[1] == GateVerdict("profit_beyond_r", opens, Decimal(500), Decimal(needed))


def test_1r_is_the_base_layers_first_risk_wherever_its_stop_is_now() -> None:
    held = book(opened())
    held[BANK].layers[0].stop = Decimal(50_400)
    assert verdicts(held=held)[1].threshold == 200


@pytest.mark.parametrize(
    ("last_entry", "opens"),
    [
        ("50375.05", False),  # 50,500 - 50,375.05 = 124.95 of the 125 needed
        ("50375", True),  # exactly half an ATR is enough
        ("50374.95", True),
    ],
)
def test_an_add_stands_half_an_atr_above_the_last_entry(last_entry: str, opens: bool) -> None:
    assert failed(verdicts(add(layer=3), two_layers(last_entry))) == (
        [] if opens else ["atr_spacing"]
    )


def test_spacing_is_the_instruments_own_and_follows_the_alerts_atr() -> None:
    rules = config({"pyramid_atr_spacing": "0.75"})
    assert verdicts(add(atr=400), rules=rules)[2].threshold == 300


def offset(last_profit: str) -> PortfolioStateManager:
    """Base +500 x 10, Long_2 -500 x 10, Long_3 `last_profit` x 1: the points the book is up."""
    return book(
        opened(),
        opened(layer=2, price=51_000),
        opened(layer=3, lots=1, price=Decimal(50_500) - Decimal(last_profit)),
    )


@pytest.mark.parametrize(
    ("points", "pnl", "opens"), [("-0.05", "-1.5", False), ("0", "0", False), ("0.05", "1.5", True)]
)
def test_the_instruments_open_pnl_must_be_above_zero(points: str, pnl: str, opens: bool) -> None:
    # Spacing is left out of it: 0 ATR with the last entry at or below the price.
    rules = config({"pyramid_atr_spacing": "0"})
    found = verdicts(add(layer=4), offset(points), rules)
    assert found[3] == GateVerdict("open_pnl_positive", opens, Decimal(pnl), Decimal(0))


def test_an_open_loss_alone_closes_the_gate() -> None:
    rules = config({"pyramid_atr_spacing": "0"})
    assert failed(verdicts(add(layer=4), offset("0"), rules)) == ["open_pnl_positive"]


@pytest.mark.parametrize(
    ("view", "fails"),
    [
        # 12 % of 50,00,000 = 6,00,000; five lots add 30,000
        ({"risk": 570_000}, []),  # exactly at the cap
        ({"risk": "570000.01"}, ["portfolio_risk"]),
        # 4 % of 50,00,000 = 2,00,000; five lots add 37,500
        ({"volatility": 162_500}, []),
        ({"volatility": "162500.01"}, ["portfolio_volatility"]),
        ({"risk": 570_001, "volatility": 162_501}, ["portfolio_risk", "portfolio_volatility"]),
        # of current equity: 12 % of 40,00,000 = 4,80,000, 4 % = 1,60,000
        ({"equity": 4_000_000, "risk": 450_000, "volatility": 122_500}, []),
        ({"equity": 4_000_000, "risk": 450_001}, ["portfolio_risk"]),
        ({"equity": 4_000_000, "volatility": 122_501}, ["portfolio_volatility"]),
    ],
)
def test_the_account_after_the_add_stays_within_the_pyramid_caps(
    view: dict[str, Any], fails: list[str]
) -> None:
    assert failed(verdicts(**view)) == fails


def test_the_caps_are_judged_with_the_lots_that_would_be_added() -> None:
    view: dict[str, Any] = {"risk": 570_000, "volatility": 162_500}
    assert failed(verdicts(size=replace(FIVE_LOTS, lots=6), **view)) == [
        "portfolio_risk",
        "portfolio_volatility",
    ]
    none = verdicts(size=replace(FIVE_LOTS, lots=0), **view)
    assert (none[4].measured, none[5].measured) == (Decimal(570_000), Decimal(162_500))


def test_the_pyramid_caps_are_configuration() -> None:
    rules = config(pyramid={"max_risk_pct": "0.6", "max_volatility_pct": "0.7"})
    assert failed(verdicts(rules=rules)) == ["portfolio_volatility"]  # 30,000 and 37,500 of 35,000
    rules = config(pyramid={"max_risk_pct": "0.5", "max_volatility_pct": "0.75"})
    assert failed(verdicts(rules=rules)) == ["portfolio_risk"]  # 30,000 of 25,000


@pytest.mark.parametrize(
    ("roc", "threshold", "opens"),
    [
        (2.01, 2.0, True),
        (2.0, 2.0, False),  # at the threshold is not above it
        (1.99, 2.0, False),
        (None, 2.0, False),
        (-0.5, -1.0, True),
        (0.1, 0.1, False),
    ],
)
def test_where_the_filter_is_on_momentum_must_be_above_its_threshold(
    roc: float | None, threshold: float, opens: bool
) -> None:
    rules = config({"use_roc_filter": True, "roc_threshold": threshold})
    found = verdicts(add(roc=roc), rules=rules)
    assert failed(found) == ([] if opens else ["roc"])
    measured = None if roc is None else Decimal(str(roc))
    assert (found[-1].measured, found[-1].threshold) == (measured, Decimal(str(threshold)))


def test_a_closed_base_layer_is_named_with_the_gain_that_cannot_be_measured() -> None:
    held = two_layers(50_250, lots=4)
    held.reduce_layer(reduced(held[BANK].layers[0], 10, 50_300))
    found = verdicts(add(layer=3), held)
    assert failed(found) == ["base_layer_open", "profit_beyond_r"]
    assert found[1] == GateVerdict("profit_beyond_r", False, None, None)


def test_a_flat_instrument_fails_all_that_is_measured_from_a_layer() -> None:
    found = verdicts(held=book())
    assert failed(found) == [
        "base_layer_open",
        "profit_beyond_r",
        "atr_spacing",
        "open_pnl_positive",
    ]
    assert found[2] == GateVerdict("atr_spacing", False, None, None)


def test_everything_that_fails_is_named_at_once() -> None:
    rules = config({"use_roc_filter": True})
    found = verdicts(add(price=49_900, stop=49_700), rules=rules, risk=600_000, volatility=200_000)
    assert failed(found) == [*ALWAYS[1:], "roc"]
    flat = verdicts(held=book(), rules=rules, risk=600_000, volatility=200_000)
    assert failed(flat) == [*ALWAYS, "roc"]


_layers = st.lists(
    st.tuples(st.integers(1, 20), st.integers(49_000, 51_000), st.integers(50, 800)),
    max_size=4,
)


@given(
    layers=_layers,
    first=st.integers(1, 2),
    price=st.integers(49_500, 51_500),
    atr=st.integers(100, 900),
    roc=st.none() | st.integers(0, 40).map(lambda tenths: tenths / 10),
    risk=st.integers(500_000, 620_000),
    volatility=st.integers(100_000, 210_000),
)
def test_the_gate_names_exactly_what_fails(
    layers: list[tuple[int, int, int]],
    first: int,
    price: int,
    atr: int,
    roc: float | None,
    risk: int,
    volatility: int,
) -> None:
    """`first` is the number of the lowest open layer: 2 where the base has been closed."""
    events: list[LayerOpened] = [
        opened(layer=number, lots=lots, price=entry, initial_stop=entry - distance)
        for number, (lots, entry, distance) in enumerate(layers, first)
    ]
    rules = config({"use_roc_filter": True})
    alert = add(layer=6, price=price, stop=price - 100, atr=atr, roc=roc)
    found = verdicts(alert, book(*events), rules, risk=risk, volatility=volatility)

    expected = []
    base = layers[0] if layers and first == 1 else None
    if base is None:
        expected.append("base_layer_open")
    if base is None or not price - base[1] > base[2]:
        expected.append("profit_beyond_r")
    if not layers or not price - layers[-1][1] >= Fraction(atr, 2):
        expected.append("atr_spacing")
    if not sum((price - entry) * lots * 30 for lots, entry, _ in layers) > 0:
        expected.append("open_pnl_positive")
    if not risk + 5 * 6_000 <= 600_000:
        expected.append("portfolio_risk")
    if not volatility + 5 * 7_500 <= 200_000:
        expected.append("portfolio_volatility")
    if roc is None or not roc > 2.0:
        expected.append("roc")
    assert failed(found) == expected


@pytest.mark.parametrize("filtered", [False, True])
def test_the_charts_part_of_the_gate_is_what_the_whole_gate_says_of_the_chart(
    *, filtered: bool
) -> None:
    rules = config({"use_roc_filter": filtered})
    gate = PyramidGateController(rules, rules.instruments[BANK].trading)
    alert, held = replace(add(), roc=1.0), book(opened())
    whole = {verdict.name: verdict for verdict in verdicts(alert, held, rules)}
    chart = gate.judge_chart(alert, held[BANK])
    names = ["base_layer_open", "profit_beyond_r", "atr_spacing"]
    assert [verdict.name for verdict in chart] == [*names, *(["roc"] if filtered else [])]
    assert all(verdict == whole[verdict.name] for verdict in chart)
