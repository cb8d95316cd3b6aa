"""A trading day as its user has it: two instruments are built up, kept through restarts, closed.

What `status` and `explain` say is held against the exchange's own lists, never against our books.
"""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from live.chain.stage import has_ended
from live.sending import RESOLVE_WINDOW_S
from tests.fixtures.installation import PATIENCE_S, Installation, eventually

Row = dict[str, Any]

BANK, GOLD = "BANK_NIFTY", "GOLD_MINI"
MORNING, NOON, AFTERNOON = (f"2026-11-20T{hour}:00+05:30" for hour in ("10:30", "12:00", "13:00"))
CAPITAL = 17_000_000
BANK_UNITS = 30
# The prices of the base and of each add, with the SuperTrend below it; then a closed bar.
CLIMBS = {
    BANK: ((58_000, 57_620), (59_000, 58_500), (60_000, 59_400)),
    GOLD: ((128_000, 127_170), (130_000, 129_160), (132_000, 131_140)),
}
CLOSES = {BANK: (60_500, 59_900), GOLD: (132_900, 132_000)}


@pytest.fixture
def installation() -> Iterator[Installation]:
    with Installation() as found:
        yield found


@pytest.mark.slow
def test_a_day_with_a_restart_and_a_power_cut_ends_flat_and_to_the_paisa(
    installation: Installation,
) -> None:
    installation.start("--at", MORNING, "--capital", str(CAPITAL))
    opening = funds(installation)
    climbed = [*build_up(installation, BANK), *build_up(installation, GOLD)]
    raised = [close_bar(installation, instrument) for instrument in CLOSES]
    held = positions(installation)
    assert {row["id"] for row in held} == {
        f"{instrument}/1/Long_{layer}" for instrument in CLIMBS for layer in (1, 2, 3)
    }
    agree(installation)

    assert installation.run("restart", "--at", NOON).returncode == 0
    assert positions(installation) == held
    agree(installation)

    left = [exit_through_a_power_cut(installation, BANK), send(installation, exit_of(GOLD))]
    assert eventually(lambda: not quantities(installation))
    assert positions(installation) == []
    agree(installation)
    assert "Nothing is held." in installation.command("status")
    prove_the_money(installation, opening)
    prove_the_journeys(installation, [*climbed, *raised, *left])


def build_up(installation: Installation, instrument: str) -> list[int]:
    """Enter and add twice on the way up; the ids of the alerts."""
    sent = []
    for layer, (price, stop) in enumerate(CLIMBS[instrument], start=1):
        kind = "BASE_ENTRY" if layer == 1 else "PYRAMID"
        terms = ["--price", str(price), "--stop", str(stop), "--position", f"Long_{layer}"]
        alert = example(installation, kind, instrument, *terms)
        sent.append(send(installation, alert))
    return sent


def close_bar(installation: Installation, instrument: str) -> int:
    """A closed bar above all entries, which raises each stop and closes nothing; its id."""
    before = stops(installation, instrument)
    price, supertrend = CLOSES[instrument]
    terms = ["--price", str(price), "--stop", str(supertrend)]
    found = send(installation, example(installation, "MARKET_DATA", instrument, *terms))
    after = stops(installation, instrument)
    assert after.keys() == before.keys()
    assert all(after[layer] >= before[layer] for layer in before)
    assert after != before
    return found


def exit_of(instrument: str) -> str:
    """An exit from all layers, at the price of the last closed bar."""
    price, _ = CLOSES[instrument]
    return json.dumps(
        {"type": "EXIT", "instrument": instrument, "position": "ALL", "price": price, "stop": 0}
        | {"lots": 1, "atr": 390, "er": 0.5, "supertrend": price, "reason": "TOM_BASSO_STOP"}
        | {"timestamp": "2026-11-20T12:00:10+05:30"}
    )


def exit_through_a_power_cut(installation: Installation, instrument: str) -> int:
    """Everything is killed at the exit's first order; the alert is sent again, as it would be."""
    alert = exit_of(instrument)
    known = len(orders(installation))
    with ThreadPoolExecutor(1) as other:
        first = other.submit(installation.command, "signal", "send", "-", text=alert, fails=True)
        assert eventually(lambda: len(orders(installation)) > known)
        os.kill(installation.running.launcher_pid, signal.SIGKILL)
        first.result()
    installation.start("--at", AFTERNOON)
    number = submit(installation, alert)
    # An order that was cut off on its way may still arrive, so it is waited for.
    await_executed(installation, number, RESOLVE_WINDOW_S + PATIENCE_S)
    return number


def example(installation: Installation, kind: str, instrument: str, *terms: str) -> str:
    """A payload with the practice clock's time."""
    return installation.command("signal", "example", kind, "--instrument", instrument, *terms)


def send(installation: Installation, alert: str) -> int:
    """Send it and wait until it has been executed; its id."""
    number = submit(installation, alert)
    await_executed(installation, number, PATIENCE_S)
    return number


def submit(installation: Installation, alert: str) -> int:
    """Send it; its id."""
    answer = json.loads(installation.command("signal", "send", "--json", "-", text=alert))
    return int(answer["signal_id"])


def signal_of(installation: Installation, number: int) -> Row:
    """The alert as the service shows it."""
    shown: Row = installation.get(f"/signals/{number}")["signal"]
    return shown


def await_executed(installation: Installation, number: int, patience_s: float) -> None:
    """Wait for its end, which must be that."""
    assert eventually(lambda: has_ended(signal_of(installation, number)), patience_s)
    told = signal_of(installation, number)
    assert told["status"] == "executed", told


def journey(installation: Installation, number: int) -> Row:
    """What `explain` tells programs."""
    told: Row = json.loads(installation.command("explain", str(number), "--json"))
    return told


def positions(installation: Installation) -> list[Row]:
    """The layers that `status` shows."""
    told: list[Row] = json.loads(installation.command("status", "--json"))["positions"]
    return told


def stops(installation: Installation, instrument: str) -> dict[str, Decimal]:
    """The stops of an instrument's layers."""
    rows = installation.get("/positions")["items"]
    return {row["id"]: Decimal(row["stop"]) for row in rows if row["instrument"] == instrument}


def quantities(installation: Installation) -> dict[str, int]:
    """What the exchange holds for us, by symbol."""
    rows = installation.exchange("positionbook")
    return {row["symbol"]: int(row["quantity"]) for row in rows if int(row["quantity"])}


def orders(installation: Installation) -> list[Row]:
    """The exchange's orders."""
    book: Row = installation.exchange("orderbook")
    return list(book["orders"])


def funds(installation: Installation) -> Decimal:
    """Opening funds and everything realised since, in rupees, as the exchange counts."""
    told = installation.exchange("funds")
    return Decimal(str(told["availablecash"])) + Decimal(str(told["utiliseddebits"]))


def agree(installation: Installation) -> None:
    """The layers that are shown are what the exchange holds: futures, and calls over puts."""
    wanted: Counter[str] = Counter()
    for row in positions(installation):
        if row["instrument"] == BANK:
            wanted["CE"] += row["lots"] * BANK_UNITS
            wanted["PE"] -= row["lots"] * BANK_UNITS
        else:
            wanted[row["symbol"]] += row["lots"]
    held: Counter[str] = Counter()
    for symbol, quantity in quantities(installation).items():
        held[symbol[-2:] if symbol.startswith("BANKNIFTY") else symbol] += quantity
    assert held == wanted


def prove_the_money(installation: Installation, opening: Decimal) -> None:
    """Realised equity is the deposit, what the exchange says was gained, and charges paid."""
    account = json.loads(installation.command("status", "--json"))["account"]
    closed, charges = Decimal(account["closed_equity"]), Decimal(account["charges"])
    gained = funds(installation) - opening
    assert gained > 0
    assert charges > 0
    assert closed == CAPITAL + gained - charges
    assert Decimal(account["open_pnl"]) == 0


def prove_the_journeys(installation: Installation, numbers: list[int]) -> None:
    """`explain` names every order of the exchange once, with its fills as they were."""
    told = [journey(installation, number) for number in numbers]
    written = [order for each in told for intent in each["intents"] for order in intent["orders"]]
    booked = [order for order in written if order["order_id"] or order["state"] != "cancelled"]
    ours = Counter({order["order_id"]: int(order["filled_quantity"]) for order in booked})
    assert len(ours) == len(booked)
    filled: Counter[str] = Counter()
    for trade in installation.exchange("tradebook"):
        filled[str(trade["orderid"])] += int(trade["quantity"])
    assert ours.keys() == {str(row["orderid"]) for row in orders(installation)}
    assert ours == filled
    last = installation.command("explain", str(numbers[-1]))
    assert f"Signal {numbers[-1]}: EXIT {GOLD}" in last
    for layer in (1, 2, 3):
        assert f"position   {GOLD}/1/Long_{layer} closed" in last
