"""What judges a storm sees each thing that it should: a check that cannot fail proves nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.chaos.alerts import Sent
from tests.fixtures.chaos.verdict import Verdict, judge
from tests.fixtures.live_service import GOLD, Desk, alert, open_desk, until


class Traded:
    """A desk with one entry in Gold Mini, and the alerts that it was sent."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.sent = [self.send("BASE_ENTRY")]
        until(lambda: desk.end_of(next(iter(self.sent[0].ids))).status == "executed")

    def send(self, kind: str) -> Sent:
        payload = alert(self.desk.clock.now(), kind, GOLD)
        return Sent(payload, {self.desk.send(payload)["signal_id"]})

    def change(self, statement: str, *values: object) -> None:
        with self.desk.store.transaction() as cursor:
            cursor.execute(statement, values)

    def judged(self) -> Verdict:
        return judge(self.desk.store, self.desk.paper, self.sent)


@pytest.fixture
def traded(database_url: str, open_folder: Path) -> Iterator[Traded]:
    with open_desk(database_url, open_folder) as desk:
        yield Traded(desk)


def test_a_sound_account_is_called_sound(traded: Traded) -> None:
    found = traded.judged()
    assert found.broken == []
    assert (found.lost, found.doubled, found.stale) == (0, 0, 0)
    assert (found.intents, found.orders, found.layers) == (1, 1, 1)
    assert found.ends == {"executed ENTER_BASE": 1}


def an_order_of_nobody(it: Traded) -> None:
    (known,) = it.desk.store.rows("SELECT symbol, exchange, quantity FROM order_legs")
    symbol, exchange, quantity = known
    it.desk.paper.read(
        "api/v1/placeorder",
        {
            "strategy": "another",
            "symbol": symbol,
            "exchange": exchange,
            "action": "BUY",
            "pricetype": "LIMIT",
            "product": "NRML",
            "quantity": str(quantity),
            "price": "100",
        },
    )


def an_alert_without_a_signal(it: Traded) -> None:
    it.sent.append(Sent({"type": "EXIT"}))


def an_alert_that_became_two(it: Traded) -> None:
    it.sent[0].ids |= it.send("MARKET_DATA").ids


def a_signal_of_nobody(it: Traded) -> None:
    it.send("MARKET_DATA")


def an_alert_without_an_end(it: Traded) -> None:
    it.change("UPDATE signal_log SET finished_at = NULL")


def a_second_operation(it: Traded) -> None:
    it.change(
        "INSERT INTO order_intents (signal_id, instrument, source, action, state, lots, decision,"
        " created_at, updated_at) SELECT signal_id, instrument, source, action, state, lots,"
        " decision, created_at, updated_at FROM order_intents"
    )


def an_epoch_that_was_over(it: Traded) -> None:
    old = it.desk.store.begin_leadership("old")
    it.desk.store.begin_leadership("new")
    it.change("UPDATE order_intents SET epoch = %s, created_at = created_at + '1 hour'", old)


def a_leg_that_filled_twice(it: Traded) -> None:
    it.change("UPDATE broker_orders SET quantity = 2 * quantity, filled_quantity = 2 * quantity")


def a_layer_of_more(it: Traded) -> None:
    it.change("UPDATE portfolio_positions SET lots = 2, initial_lots = 2")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("break_it", "told", "count"),
    [
        (an_order_of_nobody, "an order that nobody knows", "doubled"),
        (an_alert_without_a_signal, "is the signals []", "lost"),
        (an_alert_that_became_two, "is the signals [", "doubled"),
        (a_signal_of_nobody, "nobody was told of the signals", None),
        (an_alert_without_an_end, "came to no end", "lost"),
        (a_second_operation, "alert with more operations", "doubled"),
        (an_epoch_that_was_over, "under an epoch that did not lead", "stale"),
        (a_leg_that_filled_twice, "leg that filled more than was meant", "doubled"),
        (a_layer_of_more, "the books are not the exchange's", None),
    ],
)
def test_what_is_broken_is_seen(
    traded: Traded, break_it: Callable[[Traded], Any], told: str, count: str | None
) -> None:
    break_it(traded)
    found = traded.judged()
    assert any(told in line for line in found.broken), found.broken
    if count is not None:
        assert getattr(found, count) > 0
