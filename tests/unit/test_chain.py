"""The chain's own parts: alerts find the close of their bar, and no difference passes unseen."""

import json
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core.contracts import Contracts
from core.errors import InputInvalid
from core.ist import IST
from core.market_data import MarketData
from live.chain.alerts import Chart, alerts_of, in_order, read_chart
from live.chain.stage import free_of_charge, has_ended
from live.chain.trades import (
    ChainTrade,
    differences,
    held_in_backtest,
    held_in_service,
    of_backtest,
    of_service,
)


def at(hour: int, minute: int) -> datetime:
    return datetime(2026, 8, 20, hour, minute, tzinfo=IST)


BANK = Chart(
    "BANK_NIFTY", (at(9, 15), at(10, 30), at(15, 30)), (at(10, 30), at(11, 45), at(15, 40))
)
GOLD = Chart("GOLD_MINI", (at(9, 0), at(10, 0)), (at(10, 0), at(11, 0)))
CHARTS = {"BANK_NIFTY": BANK, "GOLD_MINI": GOLD}


def body(opened: datetime, kind: str = "MARKET_DATA") -> str:
    return json.dumps({"type": kind, "bar_time": int(opened.timestamp() * 1000)})


def test_an_alert_is_due_when_its_bar_closes_and_not_a_bar_length_later() -> None:
    (last,) = alerts_of(BANK, [body(at(15, 30))])
    assert last.closes_at == at(15, 40)


def test_an_alert_of_a_bar_that_is_not_on_the_chart_is_refused() -> None:
    with pytest.raises(InputInvalid, match="no bar opens"):
        alerts_of(BANK, [body(at(12, 0))])


def test_alerts_of_all_charts_come_by_their_closes_and_else_as_they_were_said() -> None:
    bank = alerts_of(BANK, [body(at(9, 15)), body(at(9, 15), "BASE_ENTRY"), body(at(10, 30))])
    gold = alerts_of(GOLD, [body(at(9, 0)), body(at(10, 0))])
    assert in_order({"BANK_NIFTY": bank, "GOLD_MINI": gold}) == [
        gold[0],
        bank[0],
        bank[1],
        gold[1],
        bank[2],
    ]


def test_a_file_without_closes_is_no_chart(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("time,open,high,low,close\n2026-08-20T09:15:00+05:30,1,1,1,1\n")
    with pytest.raises(InputInvalid, match="closes"):
        read_chart("BANK_NIFTY", path)


BACKTESTED: dict[str, Any] = {
    "instrument": "GOLD_MINI",
    "trade_no": 3,
    "layer": 2,
    "lots": 4,
    "entry_time": "2026-08-20T09:00:00+05:30",
    "entry_price": "137816",
    "exit_time": "2026-08-20T10:00:00+05:30",
    "exit_price": "137391",
    "gross_pnl": "-17000",
    "initial_risk": "16135.984",
    "reason": "TOM_BASSO_STOP",
}
SERVED = {
    **{name: BACKTESTED[name] for name in ("lots", "gross_pnl", "initial_risk")},
    "position_id": "GOLD_MINI/3/Long_2",
    "entry_time": "2026-08-20T10:00:01.250000+05:30",
    "entry_price": "137816.00000000",
    "exit_time": "2026-08-20T11:00:03+05:30",
    "exit_price": "137391.00000000",
    "reason": "TOM_BASSO_STOP: closed GOLD_MINI/3/Long_2 below 137412.60050",
}


def test_what_is_traded_alike_is_equal_whatever_each_side_calls_it() -> None:
    (expected,), (had,) = of_backtest([BACKTESTED], CHARTS), of_service([SERVED], CHARTS)
    assert expected == had
    assert list(differences("trade", [expected], [had])) == []


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("layer", "GOLD_MINI/3/Long_3"),
        ("lots", 3),
        ("entered", at(11, 0)),
        ("entry_price", Decimal("137816.01")),
        ("left", at(10, 0)),
        ("exit_price", Decimal(137390)),
        ("pnl", Decimal("-17000.01")),
        ("risk", Decimal("16135.99")),
        ("reason", "SUPERTREND_STOP"),
    ],
)
def test_every_field_that_differs_is_named(name: str, other: Any) -> None:
    (trade,) = of_backtest([BACKTESTED], CHARTS)
    changed: ChainTrade = replace(trade, **{name: other})
    (told,) = differences("trade", [trade], [changed])
    assert name in told


def test_a_trade_that_one_side_lacks_is_named_with_the_side_that_has_it() -> None:
    (trade,) = of_backtest([BACKTESTED], CHARTS)
    assert "only the service" in next(differences("trade", [], [trade]))
    assert "only the backtest" in next(differences("trade", [trade], []))


HELD: dict[str, Any] = {
    **{name: BACKTESTED[name] for name in ("instrument", "trade_no", "layer", "lots")},
    **{name: BACKTESTED[name] for name in ("entry_time", "entry_price")},
    "initial_stop": "137412.6005",
    "stop": "137500.1",
}
SHOWN = {
    **{name: HELD[name] for name in ("instrument", "lots", "initial_stop", "stop")},
    "id": "GOLD_MINI/3/Long_2",
    "entry_time": SERVED["entry_time"],
    "entry_price": "137816.00000000",
}


def test_an_open_layer_is_equal_with_its_stops_and_whatever_differs_is_named() -> None:
    expected = held_in_backtest([HELD], CHARTS)
    assert list(differences("open layer", expected, held_in_service([SHOWN], CHARTS))) == []
    for name, told in (("stop", "137500.11"), ("initial_stop", "137412.5"), ("lots", 3)):
        other = held_in_service([{**SHOWN, name: told}], CHARTS)
        (sentence,) = differences("open layer", expected, other)
        assert "GOLD_MINI/3/Long_2" in sentence
    assert "only the service" in next(
        differences("open layer", [], held_in_service([SHOWN], CHARTS))
    )


def test_without_charges_nothing_costs_anything_on_any_day() -> None:
    market = MarketData.shipped({"charges": free_of_charge()})
    contracts = Contracts(market.calendar, market.catalog)
    for spec in market.catalog.values():
        for day in (date(2018, 6, 1), date(2024, 12, 2), date(2026, 8, 20)):
            terms = contracts.terms(spec.name, day)
            for opening in (True, False):
                cost = market.charges.exposure(spec, terms, Decimal(50_000), 3, day, opening)
                assert cost.total == 0


@pytest.mark.parametrize(
    ("status", "code", "is_end"),
    [
        ("received", None, False),
        ("processing", None, False),
        ("executed", "ENTER_BASE", True),
        ("blocked", "GATE_1R", True),
        ("failed", "NOT_FILLED", True),
        # The power failed before it was known whether an order had arrived.
        ("blocked", "LEFT_UNKNOWN", False),
        ("blocked", "LEFT_CHASING", False),
    ],
)
def test_work_that_was_left_over_is_waited_for(status: str, code: str | None, is_end: bool) -> None:
    row = {"status": status, "outcome": None if code is None else {"code": code}}
    assert has_ended(row) is is_end
