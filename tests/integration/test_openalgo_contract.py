"""What we rely on of a gateway, held against the paper exchange's two faces and any real OpenAlgo.

    OPENALGO_CONTRACT_URL=http://127.0.0.1:5000 OPENALGO_CONTRACT_KEY=... \
        pytest tests/integration/test_openalgo_contract.py

A real one is asked only in its sandbox, for one lot at a time, and every order is cancelled or
closed again. More keys than are named here are no difference: versions add some.
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
import requests
from websockets.sync.client import ClientConnection, connect

from brokers.fills import fills_of
from brokers.messages import (
    Action,
    Contract,
    ContractKind,
    GatewayMode,
    MarginLeg,
    OrderRequest,
    OrderStatus,
)
from brokers.openalgo_client import OpenAlgoClient
from brokers.order_updates import read_frame, read_update
from core.db_state_manager.states import Side
from core.errors import Rejected
from live.environment import environment
from live.ladder import on_tick
from tests.fixtures.gateway_under_test import (
    KEY,
    MODE,
    URL,
    GatewayUnderTest,
    RefusesToBeTested,
    checked,
    named_gateway,
    paper_gateway,
)

Kinds = tuple[type, ...]
NUMBER: Kinds = (int, float)
TEXT: Kinds = (str,)
WHOLE: Kinds = (int,)
ANALYZE = GatewayMode.ANALYZE
FACES = ["paper in analyze mode", "paper in live mode", "real gateway"]
QUOTE = dict.fromkeys(("ask", "bid", "high", "low", "ltp", "open", "prev_close"), NUMBER)
SYMBOL = {"symbol": TEXT, "exchange": TEXT, "expiry": TEXT, "instrumenttype": TEXT, "name": TEXT}
SYMBOL |= {"lotsize": WHOLE, "tick_size": NUMBER, "freeze_qty": NUMBER}
ORDER = dict.fromkeys(
    ("action", "exchange", "order_status", "orderid", "product", "symbol", "timestamp"), TEXT
)
ORDER |= {"price": NUMBER, "trigger_price": NUMBER, "quantity": WHOLE}
TRADE = dict.fromkeys(("action", "exchange", "orderid", "product", "symbol", "timestamp"), TEXT)
TRADE |= {"average_price": NUMBER, "quantity": WHOLE, "trade_value": NUMBER}
POSITION = {"symbol": TEXT, "exchange": TEXT, "product": TEXT, "quantity": WHOLE}
POSITION |= {"ltp": NUMBER, "pnl": NUMBER}
FUNDS = ("availablecash", "collateral", "m2mrealized", "m2munrealized", "utiliseddebits")
UPDATE = dict.fromkeys(
    ("mode", "broker", "orderid", "symbol", "exchange", "action", "pricetype", "product"), TEXT
)
UPDATE |= {"type": TEXT, "order_status": TEXT, "rejection_reason": TEXT, "user_id": TEXT}
UPDATE |= {"quantity": WHOLE, "filled_quantity": WHOLE, "pending_quantity": WHOLE}
UPDATE |= {"price": NUMBER, "trigger_price": NUMBER, "average_price": NUMBER}
NOBODYS = "11111111111111"
BAD_KEY = {"status": "error", "message": "Invalid openalgo apikey"}
ANSWER_S = 60


@pytest.fixture(scope="module", params=FACES)
def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayUnderTest]:
    if request.param == FACES[-1]:
        named = named_gateway(environment())
        if named is None:
            pytest.skip(f"no real gateway: set {URL} and {KEY} to hold one against the contract")
        yield checked(named)
        return
    mode = ANALYZE if request.param == FACES[0] else GatewayMode.LIVE
    with paper_gateway(tmp_path_factory.mktemp("paper"), mode) as paper:
        yield paper


@pytest.fixture
def client(gateway: GatewayUnderTest) -> Iterator[OpenAlgoClient]:
    opened = gateway.client()
    yield opened
    opened.close()


@pytest.fixture(params=["option", "future"])
def contract(gateway: GatewayUnderTest, request: pytest.FixtureRequest) -> Contract:
    return gateway.option() if request.param == "option" else gateway.future()


def has(answer: Any, shape: Mapping[str, Kinds]) -> bool:
    """Whether an object has these keys with values of these types, and whatever more."""
    return isinstance(answer, dict) and all(
        isinstance(answer.get(key), kinds) and not isinstance(answer[key], bool)
        for key, kinds in shape.items()
    )


def named(contract: Contract) -> dict[str, str]:
    return {"symbol": contract.symbol, "exchange": contract.exchange}


def one_lot(
    gateway: GatewayUnderTest, contract: Contract, share: str, action: str = "BUY"
) -> dict[str, Any]:
    """The fields of a limit order at a share of the last price."""
    told = gateway.data("symbol", **named(contract))
    ltp = Decimal(str(gateway.data("quotes", **named(contract))["ltp"]))
    price = on_tick(Side(action), ltp * Decimal(share), Decimal(str(told["tick_size"])))
    return {
        **named(contract),
        "strategy": "contract suite",
        "action": action,
        "quantity": told["lotsize"],
        "pricetype": "LIMIT",
        "product": "NRML",
        "price": float(price),
        "trigger_price": 0,
        "disclosed_quantity": 0,
    }


def placed(gateway: GatewayUnderTest, fields: dict[str, Any]) -> str:
    answer = gateway.data("placeorder", **fields)
    assert isinstance(answer["orderid"], str)
    # Only the sandbox says where an order went.
    assert answer.get("mode", GatewayMode.LIVE) == gateway.mode
    return str(answer["orderid"])


def status_of(gateway: GatewayUnderTest, order_id: str) -> Any:
    return gateway.data("orderstatus", strategy="contract suite", orderid=order_id)


def test_it_says_who_it_is_and_where_orders_go(
    gateway: GatewayUnderTest, client: OpenAlgoClient
) -> None:
    assert has(gateway.data("ping"), {"broker": TEXT, "message": TEXT})
    assert has(gateway.data("analyzer"), {"mode": TEXT})
    assert isinstance(gateway.data("analyzer")["analyze_mode"], bool)
    assert client.ping()
    client.assert_mode()


@pytest.mark.parametrize("endpoint", ["orderbook", "funds", "quotes", "expiry", "placeorder"])
def test_a_wrong_key_is_told_in_one_way(gateway: GatewayUnderTest, endpoint: str) -> None:
    fields: dict[str, Any] = {"symbol": "BANKNIFTY", "exchange": "NFO"}
    fields |= {"instrumenttype": "options"} if endpoint == "expiry" else {}
    fields = {} if endpoint in ("orderbook", "funds") else fields
    if endpoint == "placeorder":
        fields = one_lot(gateway, gateway.future(), "0.9")
    assert gateway.ask(endpoint, **{**fields, "apikey": "0" * 64}) == (403, BAD_KEY)


def test_quotes_have_a_touch_and_no_time(
    gateway: GatewayUnderTest, client: OpenAlgoClient, contract: Contract
) -> None:
    assert has(gateway.data("quotes", **named(contract)), QUOTE)
    quote = client.quote(contract)
    assert quote.ltp > 0
    several = gateway.data("multiquotes", symbols=[named(contract), named(gateway.future())])
    assert all(has(row["data"], QUOTE) for row in several["results"])
    assert contract in client.quotes([contract, gateway.future()])


def test_a_contract_is_described_by_the_master(
    gateway: GatewayUnderTest, client: OpenAlgoClient, contract: Contract
) -> None:
    assert has(gateway.data("symbol", **named(contract)), SYMBOL)
    info = client.symbol(contract)
    assert info.lot_size >= 1
    assert info.tick > 0
    for endpoint, expected in (("symbol", 404), ("quotes", 400)):
        status, answer = gateway.ask(endpoint, symbol="NOSUCH29DEC26FUT", exchange="MCX")
        assert (status, answer["status"]) == (expected, "error")


def test_expiries_are_listed_nearest_first(
    gateway: GatewayUnderTest, client: OpenAlgoClient
) -> None:
    for root, exchange, kind in (
        ("BANKNIFTY", "NFO", ContractKind.OPTIONS),
        ("GOLDM", "MCX", ContractKind.FUTURES),
    ):
        found = client.expiries(root, exchange, kind)
        assert found == tuple(sorted(found))
        assert len(found) >= 2
    nothing = {"symbol": "NOSUCH", "exchange": "NFO", "instrumenttype": "options"}
    assert gateway.data("expiry", **nothing) == []


def test_funds_are_numbers_in_the_sandbox_and_text_at_a_broker(
    gateway: GatewayUnderTest, client: OpenAlgoClient
) -> None:
    kinds = NUMBER if gateway.mode is ANALYZE else TEXT
    assert has(gateway.data("funds"), dict.fromkeys(FUNDS, kinds))
    assert client.funds().available_cash_inr > 0


def test_margin_is_asked_with_text_and_told_in_numbers(
    gateway: GatewayUnderTest, client: OpenAlgoClient
) -> None:
    leg = {**named(gateway.future()), "action": "BUY", "product": "NRML", "pricetype": "MARKET"}
    lot = gateway.data("symbol", **named(gateway.future()))["lotsize"]
    told = gateway.data("margin", positions=[{**leg, "quantity": str(lot)}])
    assert has(told, {"total_margin_required": NUMBER})
    status, answer = gateway.ask("margin", positions=[{**leg, "quantity": lot}])
    assert (status, answer["status"]) == (400, "error")
    assert client.margin([MarginLeg(gateway.future(), Action.BUY, lot)]).total_inr > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"quantity": 0},
        {"quantity": "many"},
        {"action": "HOLD"},
        {"exchange": "NOWHERE"},
        {"product": "MARGIN"},
        {"client_order_id": "7"},
    ],
)
def test_an_order_that_makes_no_sense_is_refused_in_words(
    gateway: GatewayUnderTest, wrong: dict[str, Any]
) -> None:
    before = len(gateway.data("orderbook")["orders"])
    status, answer = gateway.ask("placeorder", **one_lot(gateway, gateway.future(), "0.9") | wrong)
    assert (status, answer["status"]) == (400, "error")
    assert isinstance(answer["message"], str)
    assert len(gateway.data("orderbook")["orders"]) == before


def test_a_data_endpoint_names_wrong_fields_in_an_object(gateway: GatewayUnderTest) -> None:
    status, answer = gateway.ask("quotes", symbol="BANKNIFTY", exchange="NOWHERE")
    assert (status, list(answer["message"])) == (400, ["exchange"])


def test_what_is_no_call_is_answered_without_a_status(gateway: GatewayUnderTest) -> None:
    address = f"{gateway.url}/api/v1"
    head = {"Content-Type": "application/json"}
    broken = requests.post(f"{address}/funds", data="{", headers=head, timeout=ANSWER_S)
    assert (broken.status_code, "status" in broken.json()) == (400, False)
    unknown = gateway.post("nosuch", {"apikey": gateway.key})
    assert (unknown.status_code, unknown.json()["message"]) == (404, "Not found")
    asked = requests.get(f"{address}/funds", timeout=ANSWER_S)
    assert asked.status_code == 404


def test_an_order_rests_is_moved_and_is_cancelled(
    gateway: GatewayUnderTest, contract: Contract
) -> None:
    fields = one_lot(gateway, contract, "0.9")
    order_id = placed(gateway, fields)
    told = status_of(gateway, order_id)
    assert has(told, ORDER)
    assert (told["order_status"], told["quantity"]) == ("open", fields["quantity"])
    (row,) = [each for each in gateway.data("orderbook")["orders"] if each["orderid"] == order_id]
    assert has(row, ORDER)
    assert row["pricetype"] == "LIMIT"
    moved = {**fields, "price": one_lot(gateway, contract, "0.91")["price"]}
    answer = gateway.data("modifyorder", orderid=order_id, **moved)
    assert answer["orderid"] == order_id
    assert status_of(gateway, order_id)["price"] == pytest.approx(moved["price"])
    answer = gateway.data("cancelorder", strategy="contract suite", orderid=order_id)
    assert answer["orderid"] == order_id
    gone = gateway.until(
        "orderstatus",
        lambda row: row["order_status"] == "cancelled",
        strategy="contract suite",
        orderid=order_id,
    )
    assert gone["order_status"] == "cancelled"
    assert [row for row in gateway.data("tradebook") if row["orderid"] == order_id] == []


def test_what_cannot_be_cancelled_or_is_not_there_is_refused(gateway: GatewayUnderTest) -> None:
    order_id = placed(gateway, one_lot(gateway, gateway.future(), "0.9"))
    gateway.data("cancelorder", strategy="contract suite", orderid=order_id)
    again, answer = gateway.ask("cancelorder", strategy="contract suite", orderid=order_id)
    nobodys, unknown = gateway.ask("cancelorder", strategy="contract suite", orderid=NOBODYS)
    # A live broker's refusal of a cancel comes as the gateway's own failure.
    expected = (400, 404) if gateway.mode is ANALYZE else (500, 500)
    assert (again, nobodys) == expected
    assert {answer["status"], unknown["status"]} == {"error"}
    status, answer = gateway.ask("orderstatus", strategy="contract suite", orderid=NOBODYS)
    assert (status, answer["status"]) == (404, "error")


def test_what_fills_is_in_the_books(gateway: GatewayUnderTest, client: OpenAlgoClient) -> None:
    contract = gateway.future()
    before = held(client, contract)
    fields = one_lot(gateway, contract, "1.01")
    order_id = placed(gateway, fields)
    told = gateway.until(
        "orderstatus",
        lambda row: row["order_status"] == "complete",
        strategy="contract suite",
        orderid=order_id,
    )
    if told["order_status"] == "open" and not gateway.is_ours:
        gateway.data("cancelorder", strategy="contract suite", orderid=order_id)
        pytest.skip("the real gateway's market stands still: its order did not fill")
    assert told["order_status"] == "complete"
    try:
        rows = [row for row in gateway.data("tradebook") if row["orderid"] == order_id]
        assert rows
        assert all(has(row, TRADE) for row in rows)
        assert sum(row["quantity"] for row in rows) == fields["quantity"]
        fills = fills_of(order_id, client.tradebook())
        assert fills.quantity == fields["quantity"]
        assert fills.average_price is not None
        assert fills.average_price <= Decimal(str(fields["price"]))
        (position,) = [
            row for row in gateway.data("positionbook") if row["symbol"] == contract.symbol
        ]
        average = TEXT if gateway.mode is GatewayMode.LIVE else NUMBER
        assert has(position, POSITION | {"average_price": average})
        assert held(client, contract) == before + fields["quantity"]
    finally:
        closing = placed(gateway, one_lot(gateway, contract, "0.99", "SELL"))
    gateway.until(
        "orderstatus",
        lambda row: row["order_status"] == "complete",
        strategy="contract suite",
        orderid=closing,
    )
    assert held(client, contract) == before


def held(client: OpenAlgoClient, contract: Contract) -> int:
    return sum(row.quantity for row in client.positionbook() if row.contract == contract)


def test_the_client_that_trades_lives_through_an_orders_life(
    gateway: GatewayUnderTest, client: OpenAlgoClient, contract: Contract
) -> None:
    fields = one_lot(gateway, contract, "0.9")
    price = Decimal(str(fields["price"]))
    order = OrderRequest(contract, Action.BUY, fields["quantity"], price, "contract suite")
    order_id = gateway.patiently(lambda: client.place_order(order)).order_id
    assert client.order_status(order_id).status is OrderStatus.OPEN
    assert order_id in {row.order_id for row in client.orderbook()}
    better = Decimal(str(one_lot(gateway, contract, "0.91")["price"]))
    moved = OrderRequest(contract, Action.BUY, fields["quantity"], better, "contract suite")
    gateway.patiently(lambda: client.modify_order(order_id, moved))
    assert client.order_status(order_id).price == better
    gateway.patiently(lambda: client.cancel_order(order_id))
    assert client.order_status(order_id).status is OrderStatus.CANCELLED
    with pytest.raises(Rejected):
        client.order_status(NOBODYS)


def test_a_year_that_nobody_entered_has_no_holidays(
    gateway: GatewayUnderTest, client: OpenAlgoClient
) -> None:
    year = int(
        gateway.data("expiry", symbol="GOLDM", exchange="MCX", instrumenttype="futures")[0][-2:]
    )
    rows = gateway.data("market/holidays", year=2000 + year)
    shape = {"date": TEXT, "description": TEXT, "holiday_type": TEXT}
    assert all(has(row, shape | {"closed_exchanges": (list,)}) for row in rows)
    if rows:
        assert len(client.market_holidays(2000 + year)) == len(rows)
    assert gateway.data("market/holidays", year=2049) == []
    sessions = gateway.data("market/timings", date="2026-11-23")
    shape = {"exchange": TEXT, "start_time": WHOLE, "end_time": WHOLE}
    assert all(has(row, shape) for row in sessions)


def test_too_many_calls_are_answered_without_a_status(gateway: GatewayUnderTest) -> None:
    """Orders for nothing, so that nothing is placed: refused calls count as well."""
    nothing = {**one_lot(gateway, gateway.future(), "0.9"), "quantity": 0, "apikey": gateway.key}
    with ThreadPoolExecutor(20) as threads:
        told = list(threads.map(lambda _: gateway.post("placeorder", nothing), range(80)))
    limited = [answer for answer in told if answer.status_code == 429]
    assert {answer.status_code for answer in told} == {400, 429}
    assert all(list(answer.json()) == ["message"] for answer in limited)
    assert all(" per " in answer.json()["message"] for answer in limited)


def said(connection: ClientConnection, **asked: Any) -> Any:
    """The first answer that is not of the market or an order."""
    connection.send(json.dumps(asked))
    while True:
        told = json.loads(connection.recv(ANSWER_S))
        if told.get("type") not in ("market_data", "order_update"):
            return told


def next_update(connection: ClientConnection, order_id: str, status: str) -> Any:
    """The next update that says so of an order."""
    while True:
        told = json.loads(connection.recv(ANSWER_S))
        if (told.get("orderid"), told.get("order_status")) == (order_id, status):
            return told


def test_the_stream_tells_of_orders_to_those_it_knows(gateway: GatewayUnderTest) -> None:
    if gateway.ws_url is None:
        pytest.skip("the real gateway was named without a stream")
    with connect(gateway.ws_url, proxy=None) as connection:
        unknown = said(connection, action="subscribe_orders")
        assert (unknown["status"], unknown["code"]) == ("error", "NOT_AUTHENTICATED")
        wrong = said(connection, action="authenticate", api_key="0" * 64)
        assert (wrong["status"], wrong["code"]) == ("error", "AUTHENTICATION_ERROR")
        known = said(connection, action="authenticate", api_key=gateway.key)
        assert (known["type"], known["status"]) == ("auth", "success")
        subscribed = said(connection, action="subscribe_orders")
        assert (subscribed["type"], subscribed["status"]) == ("subscribe_orders", "success")
        pong = said(connection, action="ping")
        assert (pong["type"], type(pong["server_timestamp"])) == ("pong", int)
        bogus = said(connection, action="bogus")
        assert (bogus["status"], bogus["code"]) == ("error", "INVALID_ACTION")
        order_id = placed(gateway, one_lot(gateway, gateway.future(), "0.9"))
        arrived = next_update(connection, order_id, "open")
        gateway.data("cancelorder", strategy="contract suite", orderid=order_id)
        gone = next_update(connection, order_id, "cancelled")
    for told in (arrived, gone):
        assert has(told, UPDATE)
        assert told["mode"] == gateway.mode
        read = read_update(read_frame(json.dumps(told)))
        assert read is not None
        assert read.order_id == order_id


@pytest.mark.parametrize("mode", ["live", "LIVE", "real"])
def test_a_gateway_that_is_said_to_trade_live_is_not_tested(mode: str) -> None:
    given = {URL: "http://127.0.0.1:9", KEY: "7" * 64}
    assert named_gateway({}) is None
    assert named_gateway(given) is not None
    with pytest.raises(RefusesToBeTested, match="analyze is the only mode"):
        named_gateway({**given, MODE: mode})


def test_a_gateway_that_trades_live_is_sent_nothing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with paper_gateway(tmp_path_factory.mktemp("live"), GatewayMode.LIVE) as paper:
        named = GatewayUnderTest(paper.url, paper.key, None, ANALYZE, is_ours=False)
        with pytest.raises(RefusesToBeTested, match="trades live: nothing was sent"):
            checked(named)
        wrong = GatewayUnderTest(paper.url, "0" * 64, None, ANALYZE, is_ours=False)
        with pytest.raises(RefusesToBeTested, match="cannot be read"):
            checked(wrong)
        assert paper.data("orderbook")["orders"] == []
