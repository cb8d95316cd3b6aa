"""The paper exchange as a process: the recorded contract, its rate limit, and a sudden death.

With `--openalgo-url` and `--openalgo-key` the recorded sandbox calls go to that gateway instead;
it must be in its sandbox, where orders are left behind.
"""

import csv
import stat
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.fixtures.openalgo_contract import Gateway, Outcome, recorded_calls, replay
from tests.fixtures.paper_process import PaperProcess

CALL = {"symbol": "BANKNIFTY29DEC2658000CE", "exchange": "NFO"}
GOLD = {"symbol": "GOLDM04DEC26FUT", "exchange": "MCX"}
RECORDED_AT = "2026-11-22T11:37:03"
# Prices the recorded option as the recorded gateway did, and leaves the pace to the caller.
AS_RECORDED = (
    *("--funds", "1e9", "--volatility-pct", "12.84"),
    *("--orders-per-second", "10000", "--reads-per-second", "10000"),
)
# Where the price was moved while the calls were recorded.
MOVES = {"orderstatus limit after move": 58_225, "analyzer toggle off (live)": 58_000}
ENOUGH_CALLS = 90
ROUNDS = 20
# Amounts and addresses differ from gateway to gateway.
OWN_WORDS = ("huge margin", "LIVE cancelorder")


def order(contract: dict[str, str], action: str, quantity: int, **more: Any) -> dict[str, Any]:
    given = {"strategy": "test", "action": action, "quantity": quantity, "product": "NRML"}
    return {**contract, **given, **more}


@pytest.fixture
def paper(tmp_path: Path) -> Iterator[PaperProcess]:
    with PaperProcess(tmp_path / "state") as process:
        process.read("control/clock", {"at": RECORDED_AT})
        yield process


@pytest.fixture(scope="module")
def unlimited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperProcess]:
    """One that many tests may ask, because it does not count calls."""
    with PaperProcess(tmp_path_factory.mktemp("unlimited"), *AS_RECORDED) as process:
        yield process


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Outcome]:
    """Every recorded call and what came of it."""
    calls = recorded_calls(shared / "facts" / "openalgo-traffic.jsonl")
    url = request.config.getoption("--openalgo-url", default=None)
    if url is not None:
        key = request.config.getoption("--openalgo-key")
        gateway = Gateway.of_today(url.rstrip("/"), key)
        return list(replay(calls, gateway))
    with PaperProcess(tmp_path_factory.mktemp("paper"), *AS_RECORDED) as process:
        process.read("control/clock", {"at": RECORDED_AT})
        told = []
        replayed = replay(calls, Gateway(process.url, process.apikey))
        for call in calls:
            if call.label in MOVES:
                move = {"instrument": "BANK_NIFTY", "price": MOVES[call.label]}
                process.read("control/price", move)
            told.append(next(replayed))
    return told


def test_every_recorded_call_is_answered_in_its_recorded_shape(
    outcomes: list[Outcome], capsys: pytest.CaptureFixture[str]
) -> None:
    skipped = Counter(each.skipped for each in outcomes if each.skipped)
    applied = len(outcomes) - skipped.total()
    with capsys.disabled():
        print(f"\n{applied} of {len(outcomes)} recorded calls applied; skipped: {dict(skipped)}")
    differences = [text for each in outcomes if (text := each.difference())]
    assert differences == []
    assert applied >= ENOUGH_CALLS


def test_every_refusal_has_its_recorded_words(
    request: pytest.FixtureRequest, outcomes: list[Outcome]
) -> None:
    if request.config.getoption("--openalgo-url", default=None) is not None:
        pytest.skip("another version of the gateway may word its refusals otherwise")
    refused = [
        each
        for each in outcomes
        if each.skipped is None
        and each.call.status >= 400
        and not any(words in each.call.label for words in OWN_WORDS)
    ]
    assert [each.answer for each in refused] == [each.call.response for each in refused]
    assert len(refused) > 20


def test_a_foreign_gateway_that_trades_live_is_sent_nothing(paper: PaperProcess) -> None:
    paper.read("api/v1/analyzer/toggle", {"mode": False})
    with pytest.raises(RuntimeError, match="trades live: nothing was sent"):
        Gateway.of_today(paper.url, paper.apikey)


def test_the_eleventh_order_within_a_second_is_refused_as_the_gateway_does(
    paper: PaperProcess,
) -> None:
    body = order(CALL, "BUY", 31)
    answers: list[requests.Response] = []
    limited: list[requests.Response] = []
    with ThreadPoolExecutor(20) as threads:
        # A slow machine may send fewer than eleven in some seconds, not in all.
        while not limited and len(answers) < 60 * ROUNDS:
            answers += threads.map(lambda _: paper.post("api/v1/placeorder", body), range(60))
            limited = [each for each in answers if each.status_code == 429]
    assert limited
    assert {each.text for each in limited} == {'{"message":"10 per 1 second"}'}
    assert len(answers) - len(limited) >= 10
    assert paper.post("api/v1/cancelorder", {"strategy": "x", "orderid": "9"}).status_code == 404


def test_no_acknowledged_order_is_lost_when_the_exchange_is_killed(tmp_path: Path) -> None:
    state, limits = tmp_path / "state", ("--orders-per-second", "10000", "--funds", "1e9")
    acknowledged: list[str] = []
    with PaperProcess(state, *limits) as process:
        process.read("control/clock", {"at": RECORDED_AT})
        key = process.apikey

        def place(_: int) -> None:
            body = {"apikey": key, **order(GOLD, "BUY", 1)}
            try:
                answer = requests.post(f"{process.url}/api/v1/placeorder", json=body, timeout=30)
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                return
            acknowledged.append(answer.json()["orderid"])
            if len(acknowledged) >= 40:
                process.kill()

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(place, range(200)))
    assert 40 <= len(acknowledged) < 200
    with PaperProcess(state, *limits) as again:
        assert again.apikey == key
        orders = [row["orderid"] for row in again.read("api/v1/orderbook")["data"]["orders"]]
        trades = [row["orderid"] for row in again.read("api/v1/tradebook")["data"]]
        (position,) = again.read("api/v1/positionbook")["data"]
    assert len(orders) == len(set(orders))
    assert set(acknowledged) <= set(orders)
    assert sorted(trades) == sorted(orders)
    assert position["quantity"] == len(orders)


def test_two_exchanges_never_share_a_folder(tmp_path: Path) -> None:
    with (
        PaperProcess(tmp_path),
        pytest.raises(RuntimeError, match="did not start"),
        PaperProcess(tmp_path),
    ):
        pass


def test_a_wrong_key_opens_neither_books_nor_control(unlimited: PaperProcess) -> None:
    wrong = {"apikey": "wrong"}
    for path in ("api/v1/orderbook", "api/v1/funds", "control/clock"):
        answer = unlimited.post(path, wrong)
        assert answer.status_code == 403
        assert answer.json() == {"status": "error", "message": "Invalid openalgo apikey"}


def test_all_files_of_an_exchange_are_the_owners_alone(tmp_path: Path) -> None:
    with PaperProcess(tmp_path):
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}
    assert {"apikey", "exchange.sqlite", "lock", "port"} <= modes.keys()
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("control/price", {"instrument": "COPPER", "price": 1}, 400),
        ("control/price", {"instrument": "BANK_NIFTY", "price": 0}, 400),
        ("control/price", {"instrument": "BANK_NIFTY", "price": "NaN"}, 400),
        ("control/price", {"instrument": "BANK_NIFTY"}, 400),
        ("control/clock", {"at": "yesterday"}, 400),
        ("control/touch", {"ticks": -1}, 400),
        ("control/touch", {"ticks": "none"}, 400),
        ("api/v1/placeorder", order(GOLD, "BUY", 10**400), 400),
        ("api/v1/placeorder", order(GOLD, "BUY", 1, price="1e400"), 400),
        ("api/v1/placeorder", order(GOLD, "BUY", 1, price=-1), 400),
        ("api/v1/market/timings", {"date": "2026-02-30"}, 400),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    unlimited: PaperProcess, path: str, body: dict[str, Any], status: int
) -> None:
    answer = unlimited.post(path, body)
    assert answer.status_code == status
    assert answer.json()["status"] == "error"


def test_a_market_without_a_spread_stays_so_over_a_restart(tmp_path: Path) -> None:
    with PaperProcess(tmp_path) as process:
        process.read("control/clock", {"at": RECORDED_AT})
        before = process.read("api/v1/quotes", GOLD)["data"]
        assert (before["ltp"] - before["bid"], before["ask"] - before["ltp"]) == (1, 1)
        process.read("control/touch", {"ticks": 0})
    with PaperProcess(tmp_path) as process:
        quote = process.read("api/v1/quotes", GOLD)["data"]
        assert quote["bid"] == quote["ltp"] == quote["ask"] == before["ltp"]
        process.read(
            "api/v1/placeorder", order(GOLD, "BUY", 1, pricetype="LIMIT", price=quote["ltp"])
        )
        (trade,) = process.read("api/v1/tradebook")["data"]
        assert trade["average_price"] == quote["ltp"]


def test_a_lot_of_a_hundred_is_refused_and_taken_as_recorded(tmp_path: Path) -> None:
    with PaperProcess(tmp_path, "--lotsize", "GOLD_MINI=100") as process:
        process.read("control/clock", {"at": RECORDED_AT})
        assert process.read("api/v1/symbol", GOLD)["data"]["lotsize"] == 100
        refused = process.post("api/v1/placeorder", order(GOLD, "BUY", 1))
        assert refused.json()["message"] == "Quantity must be in multiples of lot size 100"
        process.read("api/v1/placeorder", order(GOLD, "BUY", 100))
        process.read("control/price", {"instrument": "GOLD_MINI", "price": 128_100})
        (position,) = process.read("api/v1/positionbook")["data"]
        assert (position["quantity"], position["pnl"]) == (100, 990.0)


def test_the_mode_is_chosen_at_the_first_start_and_then_switched(tmp_path: Path) -> None:
    with PaperProcess(tmp_path, "--mode", "live") as process:
        assert process.read("api/v1/analyzer")["data"]["mode"] == "live"
        process.read("api/v1/analyzer/toggle", {"mode": True})
    with PaperProcess(tmp_path, "--mode", "live") as process:
        assert process.read("api/v1/analyzer")["data"]["mode"] == "analyze"


def test_bars_move_the_price_and_the_clock(tmp_path: Path) -> None:
    bars = tmp_path / "bars.csv"
    with bars.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["time", "open", "high", "low", "close"])
        for minute, close in ((0, 57_000), (1, 57_100), (2, 57_250)):
            rows.writerow([f"2026-11-20T10:0{minute}:00", close, close, close, close])
    options = ("--bars", f"BANK_NIFTY={bars}", "--speed", "6000", "--reads-per-second", "100000")
    index = {"symbol": "BANKNIFTY", "exchange": "NSE_INDEX"}
    with PaperProcess(tmp_path / "state", *options) as process:
        seen = {57_000.0}
        while 57_250.0 not in seen:
            seen.add(process.read("api/v1/quotes", index)["data"]["ltp"])
    assert seen <= {57_000.0, 57_100.0, 57_250.0, 58_000.0}
