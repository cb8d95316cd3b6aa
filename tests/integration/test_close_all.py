"""Close-all goes on until the broker says that nothing is held, or says what a person must do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.db_state_manager.closings import CLOSE_ALL
from core.db_state_manager.states import SignalStatus
from live.reconciliation import BROKER_DIFFERS
from tests.fixtures.live_service import BANK, GOLD, Desk, alert, flat, open_desk, until
from tests.fixtures.paper_faults import PaperFaults


def hold_both(desk: Desk) -> dict[str, int]:
    for instrument in (GOLD, BANK):
        assert desk.alert("BASE_ENTRY", instrument).status is SignalStatus.EXECUTED
    return desk.held()


def close_all(desk: Desk) -> Any:
    return desk.operate("POST", "/emergency/close-all", reason="out", dry_run=False)


def look(desk: Desk) -> Any:
    return desk.operate("GET", "/emergency/close-all")


def one(told: Any, instrument: str) -> Any:
    return next(each for each in told["instruments"] if each["instrument"] == instrument)


def events(desk: Desk) -> list[tuple[str | None, str]]:
    told = desk.store.events_after(0, 10_000)
    return [
        (each.instrument, each.payload["outcome"])
        for each in told
        if each.kind == "CLOSE_ALL_ENDED"
    ]


def test_close_all_says_what_the_brokers_book_holds(database_url: str, open_folder: Path) -> None:
    """Incident 48: close-all reported EXECUTED and had placed nothing."""
    with open_desk(database_url, open_folder) as desk:
        held = hold_both(desk)
        rehearsed = desk.operate("POST", "/emergency/close-all", reason="to see")
        assert (rehearsed["dry_run"], rehearsed["is_flat"]) == (True, False)
        sends = [leg for each in rehearsed["instruments"] for leg in each["sends"]]
        assert {leg["symbol"]: leg["quantity"] for leg in sends} == {
            symbol: abs(quantity) for symbol, quantity in held.items()
        }
        legs = [
            leg
            for each in rehearsed["instruments"]
            for layer in each["layers"]
            for leg in layer["legs"]
        ]
        assert {leg["symbol"]: (leg["ours"], leg["brokers"]) for leg in legs} == {
            symbol: (quantity, quantity) for symbol, quantity in held.items()
        }
        assert desk.held() == held
        desk.operate("POST", "/emergency/stop", reason="enough", state="HALTED")
        close_all(desk)
        done = until(lambda: flat(desk))
        layers = [layer for each in done["instruments"] for layer in each["layers"]]
        assert [(layer["lots"] > 0, layer["lots_left"]) for layer in layers] == [(True, 0)] * 2
        assert {leg["brokers"] for layer in layers for leg in layer["legs"]} == {0}
        assert desk.held() == {}
        assert not list(desk.store.load_book().layers())
        assert sorted(events(desk)) == [(BANK, "FLAT"), (GOLD, "FLAT")]


@pytest.mark.slow
def test_an_answer_that_comes_too_early_says_that_it_goes_on(
    database_url: str, open_folder: Path
) -> None:
    with open_desk(database_url, open_folder) as desk:
        held = hold_both(desk)
        faults = PaperFaults(desk.paper)
        faults.set("session_dead", endpoint="placeorder")
        told = close_all(desk)
        assert told["is_flat"] is False
        assert {each["outcome"] for each in told["instruments"]} == {"WORKING"}
        assert all(each["reason"] for each in told["instruments"])
        assert desk.held() == held
        blocked = desk.alert("PYRAMID", GOLD)
        assert blocked.status is SignalStatus.BLOCKED
        assert CLOSE_ALL in blocked.outcome.reason
        faults.clear()
        until(lambda: flat(desk))
        assert desk.held() == {}
        assert desk.store.instrument_locks() == []
        assert desk.alert("BASE_ENTRY", GOLD).status is SignalStatus.EXECUTED
        assert one(look(desk), GOLD)["outcome"] == "HELD"


@pytest.mark.slow
def test_it_is_gone_on_with_after_a_restart(database_url: str, open_folder: Path) -> None:
    with open_desk(database_url, open_folder) as desk:
        hold_both(desk)
        PaperFaults(desk.paper).set("session_dead", endpoint="placeorder")
        assert {each["outcome"] for each in close_all(desk)["instruments"]} == {"WORKING"}
    with open_desk(database_url, open_folder) as desk:
        PaperFaults(desk.paper).clear()
        until(lambda: flat(desk))
        assert desk.held() == {}
        assert sorted(events(desk)) == [(BANK, "FLAT"), (GOLD, "FLAT")]


def test_it_is_gone_on_with_when_nothing_was_begun_before_the_end(
    database_url: str, open_folder: Path
) -> None:
    with open_desk(database_url, open_folder) as desk:
        hold_both(desk)
    with open_desk(database_url, open_folder) as desk:
        for instrument in (GOLD, BANK):
            desk.store.lock_instrument(instrument, CLOSE_ALL, "close-all by a test", "a test")
        until(lambda: flat(desk))
        assert desk.held() == {}


def test_what_somebody_closed_by_hand_is_locked_with_the_reason(
    database_url: str, open_folder: Path
) -> None:
    with open_desk(database_url, open_folder) as desk:
        hold_both(desk)
        future = next(symbol for symbol in desk.held() if symbol.startswith("GOLDM"))
        sell = {"symbol": future, "exchange": "MCX", "action": "SELL", "quantity": 1}
        more = {"strategy": "by hand", "pricetype": "LIMIT", "product": "NRML", "price": 1}
        desk.paper.read("api/v1/placeorder", sell | more)
        close_all(desk)
        told = until(lambda: _ended(look(desk)))
        assert one(told, BANK)["outcome"] == "FLAT"
        gold = one(told, GOLD)
        assert gold["outcome"] == "LOCKED"
        assert f"locked ({BROKER_DIFFERS})" in gold["reason"]
        (layer,) = gold["layers"]
        (leg,) = layer["legs"]
        assert (layer["lots_left"], leg["ours"], leg["brokers"]) == (1, 1, 0)
        assert (GOLD, "LOCKED") in events(desk)
        assert desk.held() == {}


def _ended(told: Any) -> Any:
    return told if "WORKING" not in {each["outcome"] for each in told["instruments"]} else None


def test_a_book_that_cannot_be_read_is_unknown_and_never_flat(
    database_url: str, open_folder: Path
) -> None:
    with open_desk(database_url, open_folder) as desk:
        hold_both(desk)
        faults = PaperFaults(desk.paper)
        faults.set("books_down", endpoint="positionbook")
        close_all(desk)
        until(lambda: not faults.held())
        told = until(lambda: _nothing_is_left(look(desk)))
        assert told["is_flat"] is None
        assert {each["outcome"] for each in told["instruments"]} == {"WORKING"}
        assert all("cannot be read" in each["reason"] for each in told["instruments"])
        faults.clear()
        until(lambda: flat(desk))


def _nothing_is_left(told: Any) -> Any:
    layers = [layer for each in told["instruments"] for layer in each["layers"]]
    return told if not any(layer["lots_left"] for layer in layers) else None


def test_what_the_broker_holds_beside_our_books_is_told_and_not_called_flat(
    database_url: str, open_folder: Path
) -> None:
    with open_desk(database_url, open_folder) as desk:
        hold_both(desk)
        close_all(desk)
        until(lambda: flat(desk))
        buy = {"symbol": "GOLDM04DEC26FUT", "exchange": "MCX", "action": "BUY", "quantity": 1}
        more = {"strategy": "by hand", "pricetype": "MARKET", "product": "NRML"}
        desk.paper.read("api/v1/placeorder", buy | more)
        rehearsed = desk.operate("POST", "/emergency/close-all", reason="to see")
        for told in (rehearsed, close_all(desk), look(desk)):
            assert told["is_flat"] is False
            (leg,) = one(told, GOLD)["broker"]
            assert (leg["ours"], leg["brokers"]) == (0, 1)
            assert one(told, GOLD)["sends"] == []
        assert desk.held() == {"GOLDM04DEC26FUT": 1}


def test_an_account_that_cannot_be_looked_at_is_not_flat_though_our_book_is_empty(
    database_url: str, open_folder: Path
) -> None:
    with open_desk(database_url, open_folder) as desk:
        PaperFaults(desk.paper).set("books_down", endpoint="positionbook")
        rehearsed = desk.operate("POST", "/emergency/close-all", reason="to see")
        for told in (rehearsed, close_all(desk), look(desk)):
            assert told["is_flat"] is None
            assert {each["instrument"] for each in told["instruments"]} >= {GOLD, BANK}
            assert all("cannot be read" in each["reason"] for each in told["instruments"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "happens",
    [
        lambda desk: desk.send(alert(desk.clock.now(), "EXIT", GOLD)),
        lambda desk: desk.operate(
            "POST", "/emergency/close-all", reason="once more", dry_run=False
        ),
    ],
    ids=["an exit alert", "another close-all"],
)
def test_what_is_being_closed_is_closed_once(
    database_url: str, open_folder: Path, happens: Callable[[Desk], Any]
) -> None:
    with open_desk(database_url, open_folder) as desk:
        hold_both(desk)
        faults = PaperFaults(desk.paper)
        faults.set("session_dead", endpoint="placeorder")
        close_all(desk)
        before = len(desk.sent())
        happens(desk)
        faults.clear()
        until(lambda: flat(desk))
        assert (desk.held(), len(desk.sent()) - before) == ({}, 3)
