"""Every fault of the paper exchange once, over HTTP: what our client believes, and what is true."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from brokers.fills import fills_of
from brokers.messages import (
    Action,
    Contract,
    GatewayMode,
    MarginLeg,
    OrderRequest,
    OrderStatus,
    Quote,
)
from brokers.openalgo_client import OpenAlgoClient
from brokers.openalgo_errors import AnswerUnknown, RefusalCode
from core.errors import OutcomeUnknown, PortfolioError, Rejected, Retryable
from tests.fixtures.paper_faults import (
    CALL,
    GOLD,
    PUT,
    UNCOUNTED,
    PaperFaults,
    open_gateway,
)
from tests.fixtures.paper_process import PaperProcess

ANALYZE, LIVE = GatewayMode
BUY = OrderRequest(GOLD, Action.BUY, 2, Decimal(128_001), "PM-1")
RESTING = OrderRequest(GOLD, Action.BUY, 2, Decimal(127_900), "PM-2")
Opened = tuple[PaperFaults, OpenAlgoClient]

READS: dict[str, Callable[[OpenAlgoClient], object]] = {
    "orderbook": lambda client: client.orderbook(),
    "tradebook": lambda client: client.tradebook(),
    "positionbook": lambda client: client.positionbook(),
    "funds": lambda client: client.funds(),
    "orderstatus": lambda client: client.order_status("26112300000001"),
    "quotes": lambda client: client.quote(GOLD),
    "multiquotes": lambda client: client.quotes([GOLD, CALL]),
    "margin": lambda client: client.margin([MarginLeg(GOLD, Action.BUY, 1)]),
    "symbol": lambda client: client.symbol(GOLD),
    "ping": lambda client: client.ping(),
    "analyzer": lambda client: client.analyzer_mode(),
}


@pytest.fixture(scope="module", params=GatewayMode, ids=lambda mode: mode.value)
def shared_gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Opened]:
    state = tmp_path_factory.mktemp("gateway") / "state"
    with open_gateway(state, request.param, "--funds", "1e10") as opened:
        yield opened


@pytest.fixture
def gateway(shared_gateway: Opened) -> Iterator[Opened]:
    """In each mode, an exchange without faults or resting orders, prices as at the start."""
    faults, client = shared_gateway
    faults.paper.read("control/price", {"instrument": "GOLD_MINI", "price": 128_000})
    client.forget_symbols()
    client.symbol(GOLD)
    yield shared_gateway
    faults.clear()
    for row in faults.truth()["orders"]:
        if row["status"] == "open":
            faults.paper.post("api/v1/cancelorder", {"strategy": "x", "orderid": row["orderid"]})


def outcome(call: Callable[[], object]) -> tuple[type[PortfolioError], str | None] | None:
    """The class of the error that a call raises and its code; None where it succeeds."""
    try:
        call()
    except PortfolioError as error:
        return type(error), getattr(error, "code", None)
    return None


def accepted(faults: PaperFaults) -> int:
    return len(faults.truth()["orders"])


def is_straight(quote: Quote) -> bool:
    return quote.bid is not None and quote.ask is not None and quote.bid < quote.ask


def is_sandbox(faults: PaperFaults) -> bool:
    return bool(faults.truth()["mode"] == ANALYZE.value)


@pytest.mark.parametrize(
    ("fault", "error", "code", "is_placed"),
    [
        ("request_lost", OutcomeUnknown, None, False),
        ("reply_lost", OutcomeUnknown, None, True),
        ("error_before", OutcomeUnknown, None, False),
        ("error_after", OutcomeUnknown, None, True),
        ("limited_by_gateway", Retryable, None, False),
        ("limited_by_broker", OutcomeUnknown, None, False),
        ("schema_refused", Rejected, RefusalCode.BAD_FIELDS, False),
        ("session_dead", Rejected, RefusalCode.SESSION_DEAD, False),
        ("funds_refused", Rejected, RefusalCode.REFUSED, False),
    ],
)
def test_a_placement_that_goes_wrong_is_believed_no_more_than_is_known(
    gateway: Opened, fault: str, error: type[PortfolioError], code: str | None, is_placed: bool
) -> None:
    faults, client = gateway
    before = accepted(faults)
    faults.set(fault, endpoint="placeorder", times=1)
    assert outcome(lambda: client.place_order(BUY)) == (error, code)
    assert accepted(faults) == before + is_placed
    received = faults.truth()["received"][-1]
    assert received["accepted"] is is_placed
    assert (received["orderid"] is not None) is is_placed
    assert faults.struck()[-1] == fault
    assert outcome(lambda: client.place_order(BUY)) is None


@pytest.mark.parametrize("fault", ["error_before", "error_after"])
def test_the_same_500_stands_for_carried_out_and_for_never_arrived(
    gateway: Opened, fault: str
) -> None:
    faults, _ = gateway
    faults.set(fault, times=1)
    body = {"strategy": "x", "symbol": GOLD.symbol, "exchange": "MCX", "action": "BUY"}
    answer = faults.paper.post("api/v1/placeorder", {**body, "quantity": 1, "product": "NRML"})
    said = {"message": "Failed to place order due to internal error", "status": "error"}
    assert (answer.status_code, answer.json()) == (500, said)


@pytest.mark.parametrize("fault", ["request_lost", "reply_lost", "error_before", "error_after"])
@pytest.mark.parametrize("verb", ["cancelorder", "modifyorder"])
def test_a_change_whose_answer_is_lost_is_unknown_and_the_truth_is_told(
    gateway: Opened, fault: str, verb: str
) -> None:
    faults, client = gateway
    placed = client.place_order(RESTING).order_id
    calls: dict[str, Callable[[], object]] = {
        "cancelorder": lambda: client.cancel_order(placed),
        "modifyorder": lambda: client.modify_order(
            placed, OrderRequest(GOLD, Action.BUY, 3, Decimal(127_950), "PM-2")
        ),
    }
    faults.set(fault, endpoint=verb, times=1)
    assert outcome(calls[verb]) == (OutcomeUnknown, None)
    (row,) = [each for each in faults.truth()["orders"] if each["orderid"] == placed]
    is_done = fault in ("reply_lost", "error_after")
    done = {"cancelorder": ("cancelled", 2), "modifyorder": ("open", 3)}[verb]
    assert (row["status"], row["quantity"]) == (done if is_done else ("open", 2))


@pytest.mark.parametrize("endpoint", READS)
@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("error_before", AnswerUnknown, None),
        ("limited_by_gateway", Retryable, None),
        ("session_dead", Rejected, RefusalCode.SESSION_DEAD),
    ],
)
def test_a_read_that_goes_wrong_tells_nothing(
    gateway: Opened, endpoint: str, fault: str, error: type[PortfolioError], code: str | None
) -> None:
    faults, client = gateway
    client.forget_symbols()
    faults.set(fault, endpoint=endpoint)
    assert outcome(lambda: READS[endpoint](client)) == (error, code)


@pytest.mark.parametrize("fault", ["request_lost", "reply_lost"])
def test_a_read_whose_connection_breaks_once_is_asked_again(gateway: Opened, fault: str) -> None:
    faults, client = gateway
    number = faults.set(fault, endpoint="positionbook", times=1)
    assert outcome(client.positionbook) is None
    faults.set(fault, endpoint="positionbook")
    assert outcome(client.positionbook) == (Retryable, None)
    (row,) = [each for each in faults.seen() if each["number"] == number]
    assert (row["fault"], row["strikes"], row["calls"]) == (fault, 1, 4)


@pytest.mark.parametrize("endpoint", ["orderbook", "tradebook", "positionbook", "funds"])
def test_books_that_are_down_are_unknown(gateway: Opened, endpoint: str) -> None:
    faults, client = gateway
    faults.set("books_down")
    assert outcome(lambda: READS[endpoint](client)) == (AnswerUnknown, None)


def test_books_that_are_empty_say_success(gateway: Opened) -> None:
    faults, client = gateway
    placed = client.place_order(BUY).order_id
    faults.set("books_empty")
    assert [client.orderbook(), client.tradebook(), client.positionbook()] == [()] * 3
    assert outcome(client.funds) == (AnswerUnknown, None)
    assert outcome(lambda: client.order_status(placed)) == (Rejected, RefusalCode.NOT_FOUND)
    assert faults.held()[GOLD.symbol] >= 2
    book = faults.paper.read("api/v1/orderbook")["data"]
    assert set(book["statistics"].values()) == {0}


def test_books_can_be_empty_of_one_contract_only(gateway: Opened) -> None:
    faults, client = gateway
    client.place_order(BUY)
    call = client.place_order(OrderRequest(CALL, Action.BUY, 30, Decimal(1_400), "PM-3"))
    faults.set("books_empty", instrument="GOLD_MINI")
    for rows in (client.positionbook(), client.tradebook(), client.orderbook()):
        shown = {row.contract for row in rows}
        assert CALL in shown
        assert GOLD not in shown
    assert client.order_status(call.order_id).status is OrderStatus.COMPLETE
    book = faults.paper.read("api/v1/orderbook")["data"]
    complete = [row for row in book["orders"] if row["order_status"] == "complete"]
    assert book["statistics"]["total_completed_orders"] == len(complete)


def test_stale_books_are_those_of_when_the_fault_was_set(gateway: Opened) -> None:
    faults, client = gateway
    before = client.orderbook(), client.tradebook(), client.positionbook(), client.funds()
    number = faults.set("books_stale")
    placed = client.place_order(BUY).order_id
    assert (client.orderbook(), client.tradebook(), client.positionbook()) == before[:3]
    assert client.funds() == before[3]
    assert outcome(lambda: client.order_status(placed)) == (Rejected, RefusalCode.NOT_FOUND)
    faults.clear(number)
    assert placed in {row.order_id for row in client.orderbook()}


def test_stale_books_that_are_true_all_the_same_are_no_lie(gateway: Opened) -> None:
    faults, client = gateway
    faults.set("books_stale", endpoint="orderbook", times=1)
    known = client.orderbook()
    client.place_order(BUY)
    assert client.orderbook() == known
    assert len(client.orderbook()) == len(known) + 1


def test_a_partial_fill_goes_on_look_by_look_and_its_average_is_of_the_trade_book(
    gateway: Opened,
) -> None:
    faults, client = gateway
    pieces = [
        {"quantity": 1, "price": "128001"},
        {"quantity": 1, "price": "127990", "after_looks": 1},
        {"price": "127980", "after_looks": 1},
    ]
    faults.set("partial_fill", pieces=pieces, times=1, instrument="GOLD_MINI")
    placed = client.place_order(
        OrderRequest(GOLD, Action.BUY, 3, Decimal(128_001), "PM-1")
    ).order_id
    first = client.order_status(placed)
    assert first.status is OrderStatus.OPEN
    sandbox = is_sandbox(faults)
    assert first.filled_quantity == (1 if sandbox else None)
    assert fills_of(placed, client.tradebook()).quantity == 2
    last = client.order_status(placed)
    assert last.status is OrderStatus.COMPLETE
    fills = fills_of(placed, client.tradebook())
    assert fills.quantity == 3
    assert fills.turnover == 3 * 128_001 - 11 - 21
    row = faults.paper.read("api/v1/orderstatus", {"strategy": "x", "orderid": placed})["data"]
    shown = float(fills.turnover / 3) if sandbox else 128_001.0
    assert row["average_price"] == pytest.approx(shown)


def test_the_average_can_be_that_of_the_first_fill(gateway: Opened) -> None:
    faults, client = gateway
    faults.set("partial_fill", pieces=[{"quantity": 1}, {"ticks": 30}], times=1)
    placed = client.place_order(BUY).order_id
    faults.set("first_fill_average")
    row = faults.paper.read("api/v1/orderstatus", {"strategy": "x", "orderid": placed})["data"]
    assert row["average_price"] == 128_001
    assert fills_of(placed, client.tradebook()).average_price == 127_986


def test_an_order_can_be_listed_without_its_filled_quantity(gateway: Opened) -> None:
    faults, client = gateway
    placed = client.place_order(BUY).order_id
    faults.set("no_filled_quantity")
    assert client.order_status(placed).filled_quantity is None
    assert {row.filled_quantity for row in client.orderbook()} == {None}
    assert ("no_filled_quantity" in faults.struck()) is is_sandbox(faults)


@pytest.mark.parametrize("answer", ["success", "refusal"])
def test_an_order_fills_while_it_is_cancelled_whatever_the_answer(
    gateway: Opened, answer: str
) -> None:
    faults, client = gateway
    placed = client.place_order(RESTING).order_id
    faults.set("fill_while_cancelling", answer=answer, times=1)
    refused = (Rejected, RefusalCode.REFUSED) if is_sandbox(faults) else (OutcomeUnknown, None)
    assert outcome(lambda: client.cancel_order(placed)) == (
        None if answer == "success" else refused
    )
    assert client.order_status(placed).status is OrderStatus.COMPLETE
    assert fills_of(placed, client.tradebook()).average_price == 127_900


def test_a_part_fills_while_the_order_is_cancelled(gateway: Opened) -> None:
    faults, client = gateway
    placed = client.place_order(RESTING).order_id
    faults.set("fill_while_cancelling", quantity=1, times=1)
    client.cancel_order(placed)
    assert client.order_status(placed).status is OrderStatus.CANCELLED
    assert fills_of(placed, client.tradebook()).quantity == 1


@pytest.mark.parametrize("looks", [0, 1])
def test_an_order_that_was_accepted_is_rejected(gateway: Opened, looks: int) -> None:
    faults, client = gateway
    held = faults.held()
    faults.set("rejected_after_accept", times=1, after_looks=looks)
    placed = client.place_order(BUY).order_id
    for _ in range(looks):
        assert client.order_status(placed).status is OrderStatus.OPEN
    assert client.order_status(placed).status is OrderStatus.REJECTED
    assert faults.held() == held


def test_a_pending_order_is_listed_with_the_status_of_the_row_above(gateway: Opened) -> None:
    faults, client = gateway
    faults.set("rejected_after_accept", times=1)
    client.place_order(BUY)
    faults.set("transitional_status", times=2)
    placed = client.place_order(RESTING).order_id
    assert client.order_status(placed).status is OrderStatus.REJECTED
    listed = {row.order_id: row.status for row in client.orderbook()}
    assert listed[placed] is OrderStatus.REJECTED
    assert client.order_status(placed).status is OrderStatus.OPEN


def test_only_a_new_order_has_a_status_that_is_not_its_own(gateway: Opened) -> None:
    faults, client = gateway
    before = client.place_order(RESTING).order_id
    faults.set("transitional_status", status="complete", times=1)
    assert client.order_status(before).status is OrderStatus.OPEN
    placed = client.place_order(RESTING).order_id
    assert client.order_status(placed).status is OrderStatus.COMPLETE
    assert client.order_status(placed).status is OrderStatus.OPEN


@pytest.mark.parametrize("endpoint", ["quotes", "multiquotes"])
def test_quotes_are_missing_crossed_or_frozen(gateway: Opened, endpoint: str) -> None:
    faults, client = gateway

    def quote() -> Any:
        return client.quote(GOLD) if endpoint == "quotes" else client.quotes([CALL, GOLD])[GOLD]

    true = quote()
    number = faults.set("quotes_missing", endpoint=endpoint)
    assert outcome(quote) == (AnswerUnknown, None)
    faults.clear(number)
    number = faults.set("quotes_crossed", endpoint=endpoint, symbol=GOLD.symbol)
    assert (quote().bid, quote().ask) == (true.ask, true.bid)
    assert is_straight(client.quote(CALL))
    faults.clear(number)
    faults.set("quotes_frozen", endpoint=endpoint, symbol=GOLD.symbol)
    faults.paper.read("control/price", {"instrument": "GOLD_MINI", "price": 129_000})
    assert quote() == true
    faults.clear()
    assert quote().ltp == 129_000


def test_a_contract_is_absent_wherever_it_is_asked_for(gateway: Opened) -> None:
    faults, client = gateway
    faults.set("contract_absent", symbol=GOLD.symbol)
    assert outcome(lambda: client.quote(GOLD)) == (Rejected, RefusalCode.REFUSED)
    assert set(client.quotes([CALL, GOLD])) == {CALL}
    if is_sandbox(faults):
        assert outcome(lambda: client.place_order(BUY)) == (Rejected, RefusalCode.REFUSED)
    else:
        placed = client.place_order(BUY).order_id
        assert client.order_status(placed).status is OrderStatus.REJECTED
    client.forget_symbols()
    assert outcome(lambda: client.symbol(GOLD)) == (Rejected, RefusalCode.NOT_FOUND)
    faults.set("contract_absent", instrument="GOLD_MINI", endpoint="expiry")
    body = {"symbol": "GOLDM", "exchange": "MCX", "instrumenttype": "futures"}
    assert faults.paper.read("api/v1/expiry", body)["data"] == []


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("contract", [GOLD, CALL, PUT], ids=lambda contract: contract.symbol)
def test_the_price_runs_away_from_an_order_and_it_rests(
    gateway: Opened, contract: Contract, action: Action
) -> None:
    faults, client = gateway
    info, quote = client.symbol(contract), client.quote(contract)
    touch = quote.ask if action is Action.BUY else quote.bid
    assert touch is not None
    order = OrderRequest(contract, action, info.lot_size, touch, "PM-1")
    instrument = "GOLD_MINI" if contract == GOLD else "BANK_NIFTY"
    faults.set("price_runs_away", ticks=5, instrument=instrument, times=2)
    placed = client.place_order(order).order_id
    assert client.order_status(placed).status is OrderStatus.OPEN
    client.modify_order(placed, order)
    assert client.order_status(placed).status is OrderStatus.OPEN
    assert abs(client.quote(contract).ltp - quote.ltp) >= 2 * 5 * info.tick


def test_the_price_runs_away_at_each_look_while_an_order_rests(gateway: Opened) -> None:
    faults, client = gateway
    faults.set("price_runs_away", ticks=3, endpoint="orderstatus")
    placed = client.place_order(RESTING).order_id
    for _ in range(3):
        client.order_status(placed)
    assert client.quote(GOLD).ltp == 128_009


@pytest.mark.parametrize("endpoint", [*READS, "placeorder", "cancelorder"])
def test_a_token_that_died_at_the_broker(gateway: Opened, endpoint: str) -> None:
    faults, client = gateway
    placed = client.place_order(RESTING).order_id
    calls = READS | {
        "placeorder": lambda client: client.place_order(BUY),
        "cancelorder": lambda client: client.cancel_order(placed),
    }
    faults.set("token_dead")
    told = outcome(lambda: calls[endpoint](client))
    dead = (Rejected, RefusalCode.SESSION_DEAD)
    everywhere: dict[str, object] = {
        "quotes": (AnswerUnknown, None),
        "multiquotes": (AnswerUnknown, None),
        "margin": dead,
    }
    at_the_broker = dict.fromkeys(
        ("orderbook", "tradebook", "positionbook", "funds", "orderstatus"), (AnswerUnknown, None)
    )
    live = at_the_broker | {"placeorder": dead, "cancelorder": (OutcomeUnknown, None)}
    assert told == (everywhere if is_sandbox(faults) else everywhere | live).get(endpoint)


def test_a_margin_is_refused(gateway: Opened) -> None:
    faults, client = gateway
    faults.set("margin_refused")
    assert outcome(lambda: READS["margin"](client)) == (Rejected, RefusalCode.REFUSED)


@pytest.mark.parametrize("mode", GatewayMode, ids=lambda mode: mode.value)
def test_the_mode_is_switched_behind_our_back(tmp_path: Path, mode: GatewayMode) -> None:
    other = LIVE if mode is ANALYZE else ANALYZE
    with open_gateway(tmp_path, mode) as (faults, client):
        faults.set("mode_switched", mode=other.value, call=2, endpoint="placeorder")
        client.place_order(BUY)
        assert isinstance(_raised(lambda: client.place_order(BUY)), OutcomeUnknown)
        assert outcome(client.positionbook) == (Rejected, RefusalCode.WRONG_MODE)
        assert faults.truth()["mode"] == other.value
        assert faults.held() == {GOLD.symbol: 4}


def _raised(call: Callable[[], object]) -> PortfolioError:
    with pytest.raises(PortfolioError) as raised:
        call()
    return raised.value


def test_the_lotsize_changes_overnight_and_what_is_held_is_worth_the_same(tmp_path: Path) -> None:
    with open_gateway(tmp_path, ANALYZE) as (faults, client):
        client.place_order(BUY)
        faults.set("lotsize_changed", instrument="GOLD_MINI", lotsize=100, times=1)
        assert client.symbol(GOLD).lot_size == 1
        client.forget_symbols()
        assert client.symbol(GOLD).lot_size == 100
        assert faults.truth()["lotsizes"] == {"GOLD_MINI": 100}
        assert faults.held() == {GOLD.symbol: 200}
        refused = outcome(lambda: client.place_order(BUY))
        assert refused is not None
        assert refused[0] is Rejected
    with open_gateway(tmp_path, ANALYZE) as (faults, client):
        assert client.symbol(GOLD).lot_size == 100
        assert faults.held() == {GOLD.symbol: 200}


@pytest.mark.parametrize(("fault", "is_placed"), [("slow_before", False), ("slow_after", True)])
def test_a_caller_that_gives_up_does_not_stop_a_slow_order(
    tmp_path: Path, fault: str, is_placed: bool
) -> None:
    with open_gateway(tmp_path, LIVE, patience_s=1) as (faults, client):
        client.symbol(GOLD)
        faults.set(fault, seconds=5, times=1)
        assert outcome(lambda: client.place_order(BUY)) == (OutcomeUnknown, None)
        assert (faults.held() == {GOLD.symbol: 2}) is is_placed
        deadline = time.monotonic() + 120
        while faults.truth()["received"][-1]["status"] is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert faults.held() == {GOLD.symbol: 2}
        assert faults.struck() == [fault]


def test_one_that_is_slow_holds_up_nobody_else(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as threads, open_gateway(tmp_path, LIVE) as (faults, client):
        client.symbol(GOLD)
        faults.set("slow_before", endpoint="placeorder", seconds=130, times=1)
        placing = threads.submit(outcome, lambda: client.place_order(BUY))
        while not (received := placings(faults)):
            time.sleep(0.05)
        assert client.positionbook() == ()
        assert [row["status"] for row in received] == [None]
        assert placings(faults) == received
        faults.paper.kill()
        assert placing.result() == (OutcomeUnknown, None)


def placings(faults: PaperFaults) -> list[Any]:
    """The orders that were received, and with what they were answered."""
    return [row for row in faults.truth()["received"] if row["endpoint"] == "placeorder"]


SCENARIO: list[dict[str, Any]] = [
    {"fault": "reply_lost", "endpoint": "placeorder", "probability": 0.3},
    {"fault": "error_before", "endpoint": "placeorder", "probability": 0.3, "times": 4},
    {"fault": "limited_by_broker", "endpoint": "placeorder", "from_call": 10, "until_call": 12},
    {"fault": "partial_fill", "pieces": [{"fraction": 0.5}], "probability": 0.3},
]


def lived(state: Path, scenario: Path, kills: tuple[int, ...]) -> tuple[list[Any], list[Any]]:
    """What each of 20 orders is told and what is true at the end, killed before some of them.

    Calls are numbered anew: what the stream told between them had numbers too, which nobody keeps.
    """
    options = (*UNCOUNTED, "--faults", str(scenario))
    told: list[Any] = []
    paper = PaperProcess(state, *options)
    try:
        paper.read("control/clock", {"at": "2026-11-23T09:30:00"})
        for number in range(20):
            if number in kills:
                paper.kill()
                paper = PaperProcess(state, *options)
            body = {"strategy": "x", "symbol": GOLD.symbol, "exchange": "MCX", "action": "BUY"}
            try:
                answer = paper.post("api/v1/placeorder", {**body, "quantity": 4, "product": "NRML"})
                told.append((answer.status_code, answer.json()))
            except requests.ConnectionError:
                told.append("closed")
        truth = PaperFaults(paper).truth()
        places = {row["number"]: place for place, row in enumerate(truth["received"])}
        struck = [(row["fault"], places[row["call"]]) for row in truth["struck"]]
        fills = [(row["orderid"], row["quantity"]) for row in truth["fills"]]
        received = [{**row, "number": places[row["number"]]} for row in truth["received"]]
        return told, [struck, fills, received, truth["faults"]]
    finally:
        paper.kill()


def test_a_scenario_goes_the_same_way_each_time_also_when_the_exchange_is_killed(
    tmp_path: Path,
) -> None:
    scenario = tmp_path / "bad_day.json"
    scenario.write_text(json.dumps({"seed": 7, "faults": SCENARIO}))
    whole = lived(tmp_path / "whole", scenario, ())
    assert lived(tmp_path / "killed", scenario, (5, 11)) == whole
    told, (struck, *_, faults) = whole
    assert "closed" in told
    assert {name for name, _ in struck} == {row["fault"] for row in SCENARIO}
    assert [row["strikes"] for row in faults][1:3] == [4, 3]


def test_a_scenario_that_is_none_does_not_start(tmp_path: Path) -> None:
    scenario = tmp_path / "bad_day.json"
    scenario.write_text('{"faults": [{"fault": "earthquake"}]}')
    with pytest.raises(RuntimeError, match="did not start"):
        PaperProcess(tmp_path / "state", "--faults", str(scenario))


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("path", ["faults", "truth"])
def test_without_the_key_nobody_sees_or_clears_anything(
    gateway: Opened, method: str, path: str
) -> None:
    faults, _ = gateway
    url = f"{faults.paper.url}/control/{path}"
    for headers in ({}, {"X-Api-Key": "wrong"}):
        answer = requests.request(method, url, headers=headers, timeout=10)
        assert answer.status_code == (404 if (method, path) == ("DELETE", "truth") else 403)


def test_a_fault_that_is_none_is_refused_and_none_is_set(gateway: Opened) -> None:
    faults, _ = gateway
    before = faults.seen()
    rows = [{"fault": "reply_lost"}, {"fault": "slow_before", "seconds": 131}]
    answer = faults.paper.post("control/faults", {"faults": rows})
    assert answer.status_code == 400
    assert answer.json()["message"]["faults"].keys() == {"1"}
    assert faults.seen() == before
