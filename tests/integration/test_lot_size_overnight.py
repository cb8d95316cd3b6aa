"""A lot of the same gold is called something else: nothing is sent in yesterday's units."""

from decimal import Decimal
from pathlib import Path

import pytest

from brokers.messages import Action, Contract, OrderRequest
from core.charges import ChargeSchedule
from core.db_state_manager.states import IntentState
from core.errors import Rejected
from live.adopting import Adopter, Terms
from live.lot_guard import LOTSIZE_CHANGED, LotGuard
from live.order_executor import Outcome
from live.reconciliation import BROKER_DIFFERS, Reconciler
from tests.fixtures.order_desk import CATALOG, CONTRACTS, Desk, open_desk
from tests.fixtures.paper_faults import PaperFaults
from tests.fixtures.rules import GOLD

FUTURE = Contract("GOLDM04DEC26FUT", "MCX")
CHANGES = [(1, 100), (100, 1), (10, 100)]


def call_lot(desk: Desk, size: int) -> None:
    """The gateway's master says `size` from the next time it is read."""
    faults = PaperFaults(desk.paper)
    faults.set("lotsize_changed", instrument=GOLD, lotsize=size, times=1)
    desk.client.forget_symbols()
    assert desk.client.symbol(FUTURE).lot_size == size
    faults.clear()


def reconciler(desk: Desk) -> Reconciler:
    return Reconciler(desk.store, desk.client, "paper", CATALOG, desk.clock)


def locks(desk: Desk) -> set[str]:
    return {lock.code for lock in desk.store.instrument_locks()}


@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_a_changed_lot_stops_entries_and_an_exit_is_sent_in_todays(
    database_url: str, open_folder: Path, before: int, after: int
) -> None:
    """Incident 28: an upgrade of the gateway changed GOLDM's lotsize from 1 to 100."""
    options = ("--funds", "1e9", "--lotsize", f"GOLD_MINI={before}")
    with open_desk(database_url, open_folder / "paper", *options) as desk:
        guard = LotGuard(desk.store, desk.client, "paper", CATALOG, CONTRACTS, is_paper=True)
        guard.check(GOLD, desk.client.symbol(FUTURE))
        desk.enter(GOLD, 2)
        assert desk.held() == {FUTURE.symbol: 2 * before}
        call_lot(desk, after)
        with pytest.raises(Rejected, match="sync --confirm-lotsize"):
            guard.check(GOLD, desk.client.symbol(FUTURE))
        assert locks(desk) == {LOTSIZE_CHANGED}
        assert reconciler(desk).run().comparison.agrees is True
        assert desk.leave(*desk.layers(GOLD)).outcome is Outcome.FILLED
        assert desk.sent()[-1] == f"SELL {2 * after} {FUTURE.symbol}"
        assert (desk.held(), desk.layers(GOLD)) == ({}, [])
        assert reconciler(desk).run().comparison.agrees is True
        guard.confirm(GOLD, after, desk.clock.now().date(), "operator")
        assert locks(desk) == set()
        assert desk.enter(GOLD, 1).outcome is Outcome.FILLED
        assert desk.held() == {FUTURE.symbol: after}
        assert reconciler(desk).run().comparison.agrees is True


@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_what_was_planned_in_other_lots_is_not_sent(
    database_url: str, open_folder: Path, before: int, after: int
) -> None:
    options = ("--funds", "1e9", "--lotsize", f"GOLD_MINI={before}")
    with open_desk(database_url, open_folder / "paper", *options) as desk:
        desk.enter(GOLD, 2)
        intent = desk.reserve_exit(*desk.layers(GOLD))
        sent = desk.sent()
        call_lot(desk, after)
        done = desk.carrier.carry_out(intent)
        assert (done.outcome, desk.sent()) == (Outcome.NOT_FILLED, sent)
        assert "it is not sent" in done.reason
        assert locks(desk) == {LOTSIZE_CHANGED}
        assert desk.store.intent(intent.id).state is IntentState.CANCELLED
        assert desk.leave(*desk.layers(GOLD)).outcome is Outcome.FILLED
        assert desk.held() == {}


def test_a_difference_in_other_lots_is_not_adopted(database_url: str, open_folder: Path) -> None:
    with open_desk(database_url, open_folder / "paper", "--funds", "1e9") as desk:
        desk.enter(GOLD, 2)
        call_lot(desk, 100)
        body = {"symbol": FUTURE.symbol, "exchange": "MCX", "action": "SELL", "quantity": 100}
        more = {"strategy": "by hand", "pricetype": "LIMIT", "product": "NRML", "price": 1}
        desk.paper.read("api/v1/placeorder", body | more)
        looks = reconciler(desk)
        assert looks.run().locked == (GOLD,)
        assert BROKER_DIFFERS in locks(desk)
        adopter = Adopter(
            desk.store, looks, desk.client, CATALOG, CONTRACTS, ChargeSchedule.shipped(), desk.clock
        )
        with pytest.raises(Rejected, match="book it by manual-exit"):
            adopter.adopt(Terms("sold there", {GOLD: Decimal(128_000)}, {}))
        assert [layer.lots for layer in desk.layers(GOLD)] == [2]


@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_what_was_closed_by_hand_is_counted_in_todays_lots(
    database_url: str, open_folder: Path, before: int, after: int
) -> None:
    options = ("--funds", "1e9", "--lotsize", f"GOLD_MINI={before}")
    with open_desk(database_url, open_folder / "paper", *options) as desk:
        desk.enter(GOLD, 2)
        call_lot(desk, after)
        looks = reconciler(desk)
        charges = ChargeSchedule.shipped()
        adopter = Adopter(desk.store, looks, desk.client, CATALOG, CONTRACTS, charges, desk.clock)
        terms = Terms("sold there", {GOLD: Decimal(128_000)}, {})

        def sell_one_by_hand() -> None:
            order = OrderRequest(FUTURE, Action.SELL, after, Decimal(1), "by hand")
            desk.client.place_order(order)

        sell_one_by_hand()
        with pytest.raises(Rejected) as refused:
            adopter.manual_exit(GOLD, terms, force=False)
        assert refused.value.code == "BROKER_STILL_HOLDS"
        sell_one_by_hand()
        adopter.manual_exit(GOLD, terms, force=False)
        assert (desk.layers(GOLD), desk.held()) == ([], {})
        assert reconciler(desk).run().comparison.differences == ()
