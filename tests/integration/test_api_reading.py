"""What the service shows of the account, on rows of a real database."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.json_values import from_json
from core.db_state_manager.records import Outcome
from core.db_state_manager.states import ControlState, SignalStatus
from core.models import Limiter, MarketDataSignal, SignalType
from core.webhook_parser import fingerprint
from live.access import Role
from live.api.portfolio import AccountStatus
from tests.fixtures.database import (
    claimed,
    database,
    enter,
    entered,
    journal,
    later,
    left,
    reserve,
    sent_order,
)
from tests.fixtures.rules import BANK, CAPITAL, GOLD, MORNING, base_entry, opened, reduced
from tests.fixtures.web import Web, web_on


@pytest.fixture
def store(database_url: str) -> Iterator[DatabaseStateManager]:
    manager = database(database_url)
    yield manager
    manager.close()


@pytest.fixture
def web(store: DatabaseStateManager) -> Web:
    return web_on(store)


def test_status_is_the_account_in_one_look(web: Web, store: DatabaseStateManager) -> None:
    """10 lots, of which 4 left with 100 points: 12,000 gained, 150 paid; 6 lots are held."""
    position = entered(store, opened(charges=100))
    left(store, reduced(position, 4, 50_100, charges=50))
    store.set_control(ControlState.REDUCING, "a test", "operator x", GOLD)
    store.lock_instrument(BANK, "BOOKS_DIFFER", "one lot is missing", "reconciliation")
    intent = reserve(store, enter(2, 1, GOLD, risk=1000, volatility=2000, margin=50_118)).intent
    assert intent is not None
    shown = web.read("/status")
    account = from_json(AccountStatus, shown)
    assert account.closed_equity == account.open_equity == account.blended_equity == 5_011_850
    assert account.equity_high == 5_011_850
    assert account.charges == 150
    assert account.risk.amount == 6 * 6000 + 1000
    assert account.risk.pct == Decimal("0.7383")
    assert account.margin.amount == 6 * 270_000 + 50_118
    assert account.margin_reserved == 50_118
    assert [load["cap_pct"] for load in (shown["risk"], shown["volatility"], shown["margin"])] == [
        "15",
        "5",
        "60",
    ]
    assert (account.control, account.at) == (ControlState.ACTIVE, MORNING)
    assert [item.id for item in account.intents] == [intent.id]
    bank, gold = account.instruments
    assert (bank.instrument, bank.layers, bank.lots) == (BANK, 1, 6)
    assert bank.price == 50_000
    assert [lock.code for lock in bank.locks] == ["BOOKS_DIFFER"]
    assert (bank.control, gold.control) == (ControlState.ACTIVE, ControlState.REDUCING)
    assert (gold.lots, gold.price, gold.locks) == (0, None, ())


def test_an_account_without_money_has_no_percentages(database_url: str) -> None:
    store = database(database_url, capital=None)
    account = from_json(AccountStatus, web_on(store).read("/status"))
    assert account.closed_equity == 0
    assert account.risk.pct is None
    store.close()


def test_open_profit_is_in_open_equity_and_half_of_it_in_blended(
    web: Web, store: DatabaseStateManager
) -> None:
    entered(store, opened(close=50_200))
    account = from_json(AccountStatus, web.read("/status"))
    assert account.open_pnl == account.open_equity - CAPITAL == 10 * 200 * 30
    assert account.blended_equity - CAPITAL == 5 * 200 * 30
    (position,) = web.read("/positions")["items"]
    assert (position["open_pnl"], position["price"]) == ("60000.00", "50200")


def test_a_position_is_found_by_its_id(web: Web, store: DatabaseStateManager) -> None:
    entered(store, opened())
    found = web.read("/positions/BANK_NIFTY/1/Long_1")
    assert found == web.read("/positions")["items"][0]
    assert (found["id"], found["entry_price"]) == ("BANK_NIFTY/1/Long_1", "50000.00000000")
    assert (found["entry_time"], found["risk"]) == ("2026-01-05T10:30:00+05:30", "60000.00")


@pytest.mark.parametrize("path", [
    "/positions/BANK_NIFTY/9/Long_1", "/positions/x", "/positions/%00", "/positions/a/b/c/d",
    "/signals/77", "/signals/99999999999999999999", "/signals/-1", "/signals/x",
    "/strategies/77/pnl", "/strategies/77/trades", "/holidays/NYSE", "/nothing",
])  # fmt: skip
def test_what_is_not_there_is_told_in_the_one_shape(web: Web, path: str) -> None:
    response = web.call("GET", path, Role.VIEWER)
    told = response.get_json()
    assert (response.status_code, told["status"], told["code"]) == (404, "rejected", "NOT_FOUND")
    assert set(told) == {"status", "code", "reason", "request_id"}


def test_closed_positions_are_shown_when_asked_for(web: Web, store: DatabaseStateManager) -> None:
    left(store, reduced(entered(store, opened()), 10, 50_100))
    entered(store, opened(instrument=GOLD, point_value=10))
    assert [row["instrument"] for row in web.read("/positions")["items"]] == [GOLD]
    both = web.read("/positions?state=all")["items"]
    assert [(row["instrument"], row["state"]) for row in both] == [(GOLD, "open"), (BANK, "closed")]
    assert web.read(f"/positions?instrument={BANK}")["items"] == []
    assert both[1]["open_pnl"] == "0.00"


def test_trades_orders_and_money_are_shown(web: Web, store: DatabaseStateManager) -> None:
    left(store, reduced(entered(store, opened(charges=100)), 4, 50_100, charges=50))
    (trade,) = web.read("/trades")["items"]
    assert (trade["lots"], trade["net_pnl"], trade["charges"]) == (4, "11910.00", "90.00")
    assert web.read("/strategies/1/trades")["items"] == [trade]
    pnl = web.read("/strategies/1/pnl")
    assert (pnl["net_pnl"], pnl["trades"]) == ("11910.00", 1)
    assert [day["day"] for day in pnl["days"]] == ["2026-01-05"]
    summary = web.read("/capital/summary")
    sums = {row["kind"]: row["amount"] for row in summary["by_kind"]}
    assert sums == {"CHARGES": "-150.00", "DEPOSIT": "5000000.00", "PNL": "12000.00"}
    assert sum(map(Decimal, sums.values())) == Decimal(summary["closed_equity"])
    assert web.read("/capital/transactions")["items"][0]["equity_after"] == "5011850.00"


def test_an_order_is_shown_with_what_it_is_for(web: Web, store: DatabaseStateManager) -> None:
    intent = reserve(store, enter(10)).intent
    assert intent is not None
    order = sent_order(store, intent)
    (shown,) = web.read("/orders")["items"]
    assert (shown["id"], shown["intent_id"], shown["order_id"]) == (order, intent.id, "A1")
    assert (shown["side"], shown["quantity"], shown["price"]) == ("BUY", 300, "50000.0000")
    assert web.read(f"/orders?instrument={GOLD}")["items"] == []


def test_a_signals_journey_is_whole(web: Web, store: DatabaseStateManager) -> None:
    work = claimed(store, base_entry())
    intent = reserve(store, enter(10), work.id).intent
    assert intent is not None
    sent_order(store, intent)
    store.finish_signal(
        work.id, "worker", SignalStatus.EXECUTED, Outcome("ENTERED", "bought", 10, Limiter.RISK)
    )
    shown = web.read(f"/signals/{work.id}")
    assert shown["signal"]["outcome"]["limiter"] == "risk"
    assert shown["raw_body"] == '{"as": "it came"}'
    assert [row["kind"] for row in shown["audit"]] == ["decision"]
    (journey,) = shown["intents"]
    assert journey["intent"]["decision"]["lots"] == 10
    assert [leg["symbol"] for leg in journey["legs"]] == ["BANKNIFTY27JAN26FUT"]
    assert [order["order_id"] for order in journey["orders"]] == ["A1"]


def test_signals_are_filtered(web: Web, store: DatabaseStateManager) -> None:
    work = claimed(store, base_entry())
    store.finish_signal(work.id, "worker", SignalStatus.BLOCKED, Outcome("ZERO_LOTS", "too small"))
    journal(store, base_entry(instrument=GOLD))
    by_status = web.read("/signals?status=blocked")["items"]
    assert [(row["id"], row["outcome"]["code"]) for row in by_status] == [(work.id, "ZERO_LOTS")]
    assert len(web.read("/signals")["items"]) == 2
    assert len(web.read(f"/signals?instrument={GOLD}&status=received")["items"]) == 1


def bar(seq: int | None, minutes: int) -> MarketDataSignal:
    return MarketDataSignal(
        BANK, Decimal(50_000), Decimal(250), Decimal(49_800), later(minutes), seq
    )


def test_the_webhooks_statistics_count_a_day_and_find_gaps(
    web: Web, store: DatabaseStateManager
) -> None:
    """Incident 5: alerts that TradingView lists never arrived."""
    for place, seq in enumerate((3, 4, 7, None, 8, 1, 2)):
        journal(store, bar(seq, 75 * place))
    old = bar(1, -3000)
    store.journal_signal(b"{}", old, fingerprint(old), later(-3000))
    shown = web.read("/webhook/stats")
    assert shown["total"] == 7
    assert shown["counts"] == [{"type": "MARKET_DATA", "status": "received", "count": 7}]
    assert shown["gaps"] == [
        {
            "instrument": BANK,
            "next_type": "MARKET_DATA",
            "first_missing": 5,
            "last_missing": 6,
            "next_bar_time": later(150).isoformat(),
        }
    ]
    (last,) = shown["last"]
    assert (last["instrument"], last["type"]) == (BANK, SignalType.MARKET_DATA)


def test_holidays_are_the_calendars_and_the_operators(web: Web) -> None:
    web.act("POST", "/holidays/MCX", 201, day="2026-02-02", description="a flood")
    shown = web.read("/holidays/MCX?year=2026")
    named = {row["day"]: row for row in shown["items"]}
    assert named["2026-01-26"]["source"] == "calendar"
    assert named["2026-02-02"]["name"] == "a flood"
    assert named["2026-02-02"]["source"] == "operator"
    assert shown["covered_until"] == "2026-12-31"
    assert web.read("/holidays/MCX?year=1999")["items"] == []


def test_the_configuration_has_every_number_and_no_secret(web: Web) -> None:
    text = web.call("GET", "/config", Role.VIEWER).get_data(as_text=True)
    shown = web.read("/config")
    assert shown["portfolio"]["instruments"][BANK]["trading"]["risk_pct"] == "1.0"
    assert shown["portfolio"]["portfolio"]["max_margin_pct"] == "60"
    assert not [word for word in ("token", "secret", "password", "dsn", "key") if word in text]


def test_the_databases_status_tells_its_schema(web: Web) -> None:
    shown = web.read("/db/status")
    versions = [row["version"] for row in shown["migrations"]]
    assert versions == list(range(1, len(versions) + 1))
    assert {"signal_log", "outbox"} <= {row["name"] for row in shown["tables"]}


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages_hold_every_row_once(web: Web, store: DatabaseStateManager, limit: int) -> None:
    for number in range(7):
        journal(store, base_entry(bar_time=later(75 * number)))
        position = entered(store, opened(charges=10))
        left(store, reduced(position, 10, 50_000 + number, charges=10))
        store.record_equity(Decimal(number))
    whole = {"/signals": 7, "/positions?state=all": 7, "/trades": 7, "/equity": 7,
             "/strategies/1/trades": 7, "/capital/transactions": 22}  # fmt: skip
    for path, count in whole.items():
        found = web.pages(path, limit)
        numbers = [row.get("key", row.get("id")) for row in found]
        assert len(numbers) == len(set(numbers)) == count, path
        assert numbers == sorted(numbers, reverse=path != "/equity"), path


def test_rows_that_come_in_between_pages_shift_nothing(
    web: Web, store: DatabaseStateManager
) -> None:
    for number in range(4):
        journal(store, base_entry(bar_time=later(number)))
    first = web.read("/signals?limit=2")
    journal(store, base_entry(bar_time=later(99)))
    second = web.read(f"/signals?limit=2&cursor={first['next_cursor']}")
    assert [row["id"] for row in first["items"] + second["items"]] == [4, 3, 2, 1]
    assert second["next_cursor"] is None


def test_the_equity_curve_begins_where_it_is_asked_to(
    web: Web, store: DatabaseStateManager
) -> None:
    store.record_equity(Decimal("12.50"))
    (point,) = web.read("/equity")["items"]
    assert point == {
        "id": 1,
        "at": MORNING.isoformat(),
        "closed_equity": "5000000.00",
        "open_pnl": "12.50",
        "equity_high": "5000000.00",
    }
    assert web.read("/equity?since=2026-01-05T10:30:00")["items"] == [point]
    assert web.read("/equity?since=2026-01-05T05:00:01Z")["items"] == []


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/signals?limit=0", {"limit"}),
        ("/signals?limit=501", {"limit"}),
        ("/signals?limit=many&cursor=-1", {"limit", "cursor"}),
        ("/signals?cursor=9223372036854775808", {"cursor"}),
        ("/signals?status=lost&instrument=%00", {"status", "instrument"}),
        ("/positions?state=closed", {"state"}),
        ("/positions?sort=key", {"sort"}),
        ("/equity?since=yesterday", {"since"}),
        ("/equity?since=9999-12-31T23:59:59-16:12", {"since"}),
        ("/holidays/NSE?year=1", {"year"}),
    ],
)
def test_bad_arguments_are_told_by_field(web: Web, path: str, fields: set[str]) -> None:
    response = web.call("GET", path, Role.VIEWER)
    told: dict[str, Any] = response.get_json()
    assert (response.status_code, told["code"]) == (400, "INVALID_ARGUMENTS")
    assert set(told["errors"]) == fields
    assert all(told["errors"].values())


def test_the_description_is_read_without_a_token_and_needs_nothing_from_elsewhere(
    web: Web,
) -> None:
    described = web.call("GET", "/openapi.json", None).get_json()
    assert described["openapi"].startswith("3.0")
    page = web.call("GET", "/docs", None).get_data(as_text=True)
    assert all(path in page for path in described["paths"])
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
