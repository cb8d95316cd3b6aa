"""Both instruments trade as a whole: alerts over HTTP, real books, a paper exchange.

The figures are worked out by hand from the rules: an account of 50 lakh, 1 % of risk, sized on
risk alone so that there are lots enough to add to.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core.config import EquityBasis
from core.db_state_manager.states import PositionState, SignalStatus
from core.market_data import MarketData
from core.models import Limiter
from tests.fixtures.live_service import (
    ATRS,
    BANK,
    BEGINS,
    CAPITAL,
    GOLD,
    Desk,
    default_config,
    open_desk,
)

_RATES = ("brokerage_per_order_inr", "exchange", "sebi", "stamp_buy")
_ON_RISK = {"trading": {"volatility_constraint": "report"}}


@dataclass(frozen=True)
class Course:
    """One trade: three entries, a bar that raises the stops, one that hits the third's, the end.

    `lots` and `stops` are those of the three layers; `raised` are their stops after the bar at
    `high`; `hit` closes below the third's alone.
    """

    instrument: str
    entries: tuple[int, int, int]
    lots: tuple[int, int, int]
    stops: tuple[int, int, int]
    high: int
    raised: tuple[int, int, int]
    hit: int
    end: int
    orders: tuple[str, ...]


COURSES = [
    Course(
        instrument=BANK,
        entries=(58_000, 58_800, 59_600),
        # 50,000 / (350 x 30) = 4; half of each layer before, under half of the profit beyond 1 R.
        lots=(4, 2, 1),
        stops=(57_650, 58_450, 59_250),
        high=60_000,
        raised=(59_125, 59_125, 59_250),  # 60,000 - 2.5 x 350
        hit=59_200,
        end=59_500,
        orders=(
            "BUY 120 BANKNIFTY29DEC2658000CE",
            "SELL 120 BANKNIFTY29DEC2658000PE",
            "BUY 60 BANKNIFTY29DEC2659000CE",
            "SELL 60 BANKNIFTY29DEC2659000PE",
            "BUY 30 BANKNIFTY29DEC2659500CE",
            "SELL 30 BANKNIFTY29DEC2659500PE",
            "BUY 30 BANKNIFTY29DEC2659500PE",
            "SELL 30 BANKNIFTY29DEC2659500CE",
            "BUY 120 BANKNIFTY29DEC2658000PE",
            "SELL 120 BANKNIFTY29DEC2658000CE",
            "BUY 60 BANKNIFTY29DEC2659000PE",
            "SELL 60 BANKNIFTY29DEC2659000CE",
        ),
    ),
    Course(
        instrument=GOLD,
        entries=(128_000, 129_800, 131_600),
        lots=(5, 2, 1),  # 50,000 / (900 x 10) = 5
        stops=(127_100, 128_900, 130_700),
        high=132_400,
        raised=(130_600, 130_600, 130_700),  # 132,400 - 2.0 x 900
        hit=130_650,
        end=131_000,
        orders=(
            "BUY 5 GOLDM05JAN27FUT",
            "BUY 2 GOLDM05JAN27FUT",
            "BUY 1 GOLDM05JAN27FUT",
            "SELL 1 GOLDM05JAN27FUT",
            "SELL 7 GOLDM05JAN27FUT",
        ),
    ),
]


@pytest.fixture
def desk(database_url: str, open_folder: Path) -> Iterator[Desk]:
    config = default_config(instruments={BANK: _ON_RISK, GOLD: _ON_RISK})
    with open_desk(database_url, open_folder, portfolio_config=config) as found:
        yield found


def enter(desk: Desk, instrument: str, layer: int, price: int) -> Any:
    kind = "BASE_ENTRY" if layer == 1 else "PYRAMID"
    return desk.alert(kind, instrument, price, er=1.0, position=f"Long_{layer}")


def stops(desk: Desk) -> dict[int, Decimal]:
    return {row.layer: row.stop for row in desk.store.open_positions()}


@pytest.mark.parametrize("course", COURSES, ids=lambda course: course.instrument)
def test_a_trade_from_its_first_entry_to_its_last_exit(desk: Desk, course: Course) -> None:
    instrument = course.instrument
    for layer, price in enumerate(course.entries, 1):
        row = enter(desk, instrument, layer, price)
        assert (row.status, row.outcome.lots) == (SignalStatus.EXECUTED, course.lots[layer - 1])
    layers = desk.store.open_positions()
    assert tuple(layer.lots for layer in layers) == course.lots
    assert [layer.initial_stop for layer in layers] == list(map(Decimal, course.stops))
    for held, price in zip(layers, course.entries, strict=True):
        assert abs(held.entry_price - price) <= 2

    row = desk.alert("MARKET_DATA", instrument, course.high)
    assert (row.status, row.outcome.code) == (SignalStatus.EXECUTED, "BAR_CLOSED")
    assert list(stops(desk).values()) == list(map(Decimal, course.raised))

    row = desk.alert("MARKET_DATA", instrument, course.hit)
    assert (row.status, row.outcome.code, row.outcome.lots) == (
        SignalStatus.EXECUTED, "STOP_HIT", course.lots[2],
    )  # fmt: skip
    assert stops(desk) == {1: course.raised[0], 2: course.raised[1]}

    row = desk.alert("EXIT", instrument, course.end)
    assert (row.status, row.outcome.lots) == (SignalStatus.EXECUTED, sum(course.lots[:2]))
    assert desk.held() == {}
    assert desk.store.open_positions() == []
    assert tuple(desk.sent()) == course.orders
    assert_books_add_up(desk, course)


def assert_books_add_up(desk: Desk, course: Course) -> None:
    """Every rupee of the ledger is a trade's, and each trade's points are the market's."""
    trades = desk.store.trades(10)
    assert sum(trade.lots for trade in trades) == sum(course.lots)
    equity = desk.store.load_book().account(EquityBasis.CLOSED).equity
    assert equity == CAPITAL + sum(trade.net_pnl for trade in trades)
    first = next(trade for trade in trades if trade.position_id.endswith("Long_1"))
    point_value = {BANK: 30, GOLD: 10}[course.instrument]
    points = (first.exit_price - first.entry_price) * course.lots[0] * point_value
    assert first.gross_pnl == points.quantize(Decimal("0.01"))
    assert abs(first.exit_price - course.end) <= 20
    assert first.net_pnl == first.gross_pnl - first.charges


@pytest.mark.parametrize("instrument", [BANK, GOLD])
def test_a_closed_gate_names_what_closes_it_and_buys_nothing(desk: Desk, instrument: str) -> None:
    enter(desk, instrument, 1, 58_000 if instrument == BANK else 128_000)
    sent = desk.sent()
    near = (58_000 if instrument == BANK else 128_000) + ATRS[instrument] // 4
    row = enter(desk, instrument, 2, near)
    assert (row.status, row.outcome.code) == (SignalStatus.BLOCKED, "GATE_CLOSED")
    assert "profit_beyond_r" in row.outcome.reason
    assert "atr_spacing" in row.outcome.reason
    assert desk.sent() == sent


def test_an_exit_of_one_layer_leaves_the_others(desk: Desk) -> None:
    enter(desk, GOLD, 1, 128_000)
    enter(desk, GOLD, 2, 129_800)
    row = desk.alert("EXIT", GOLD, 129_900, position="Long_2")
    assert (row.status, row.outcome.lots) == (SignalStatus.EXECUTED, 2)
    (left,) = desk.store.open_positions()
    assert (left.layer, left.lots, left.state) == (1, 5, PositionState.OPEN)
    assert desk.held() == {"GOLDM05JAN27FUT": 5}


@pytest.mark.parametrize(("instrument", "quantity"), [(BANK, 30), (GOLD, 1)])
def test_in_test_mode_one_lot_is_bought_and_the_calculated_ones_are_kept(
    database_url: str, open_folder: Path, instrument: str, quantity: int
) -> None:
    config = default_config(instruments={BANK: _ON_RISK, GOLD: _ON_RISK})
    with open_desk(database_url, open_folder, portfolio_config=config, is_test=True) as desk:
        row = desk.alert("BASE_ENTRY", instrument, er=1.0)
        assert (row.status, row.outcome.lots) == (SignalStatus.EXECUTED, 1)
        assert set(map(abs, desk.held().values())) == {quantity}
        (layer,) = desk.store.open_positions()
        assert (layer.lots, layer.is_test) == (1, True)
        journey = desk.store.journey(row.id)
        assert journey is not None
        decision = journey.intents[0].intent.decision
        calculated = {BANK: 4, GOLD: 5}[instrument]
        assert decision.lots == 1
        assert f"calculated: {calculated} lots, limited by risk" in decision.reason
        by_risk = next(each for each in decision.constraints if each.limiter is Limiter.RISK)
        assert by_risk.lots == calculated
        row = desk.alert("EXIT", instrument)
        assert row.status is SignalStatus.EXECUTED
        assert desk.held() == {}


def test_the_operators_market_data_is_traded_by(database_url: str, open_folder: Path) -> None:
    day = BEGINS.date().isoformat()
    closed = {"NSE": {"holidays": [{"date": day, "name": "Election"}]}}
    free = {name: [{"from": day, "value": "0"}] for name in _RATES}
    market = MarketData.shipped({"calendar": closed, "charges": {"MCX_FUTURE": free}})
    with open_desk(database_url, open_folder, market=market) as desk:
        refused = desk.alert("BASE_ENTRY", BANK)
        assert refused.status is SignalStatus.BLOCKED
        assert "NSE is closed" in refused.outcome.reason
        assert desk.alert("BASE_ENTRY", GOLD).status is SignalStatus.EXECUTED
        assert desk.store.load_book().charges == 0
