"""Whatever happens to a book, in any order: it adds up, and its own events make it again."""

from decimal import Decimal

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from core.book_events import BookEvent, ExposureReleased, PriceMarked
from core.decision import DecisionMaker
from core.errors import Rejected
from tests.fixtures.rules import BANK, GOLD, config, deposit, opened, reduced, reserved

PAISA = Decimal("0.01")
_price = st.integers(4_900_000, 5_100_000).map(lambda paisa: Decimal(paisa) * PAISA)
_charges = st.integers(0, 5_000_000).map(lambda parts: Decimal(parts).scaleb(-4))
_instrument = st.sampled_from([BANK, GOLD])


class BookKeeping(RuleBasedStateMachine):
    """Any order of events: the books add up after each, and replaying them gives the same book."""

    def __init__(self) -> None:
        super().__init__()
        self.held = DecisionMaker(config()).new_book()
        self.journal: list[BookEvent] = []
        self.held.journal = self.journal
        self.deposited = Decimal(0)
        self.opened: dict[str, int] = {}
        self.closed: dict[str, int] = {}

    @initialize(amount=st.integers(1, 10_000_000))
    def start(self, amount: int) -> None:
        self.move_capital(amount)

    @rule(amount=st.integers(-100_000, 100_000))
    def move_capital(self, amount: int) -> None:
        self.held.apply(deposit(amount))
        self.deposited += amount

    @rule(instrument=_instrument, close=_price, atr=st.integers(1, 900), line=_price)
    def close_a_bar(self, instrument: str, close: Decimal, atr: int, line: Decimal) -> None:
        before = [layer.stop for layer in self.held[instrument].layers]
        self.held.close_bar(instrument, close, Decimal(atr), line)
        after = [layer.stop for layer in self.held[instrument].layers]
        assert all(old <= new for old, new in zip(before, after, strict=True))

    @rule(instrument=_instrument, price=_price, atr=st.integers(-1, 900))
    def mark_a_price(self, instrument: str, price: Decimal, atr: int) -> None:
        self.held.apply(PriceMarked(instrument, price, Decimal(atr)))

    @rule(
        instrument=_instrument,
        layer=st.integers(1, 6),
        lots=st.integers(1, 50),
        price=_price,
        charges=_charges,
        point_value=st.sampled_from([10, 30, 35]),
        intent=st.sampled_from(["", "a", "b"]),
    )
    def open_a_layer(
        self,
        instrument: str,
        layer: int,
        lots: int,
        price: Decimal,
        charges: Decimal,
        point_value: int,
        intent: str,
    ) -> None:
        event = opened(
            instrument=instrument,
            layer=layer,
            lots=lots,
            price=price,
            close=price,
            charges=charges,
            point_value=point_value,
            intent_id=intent,
        )
        before = self.held[instrument]
        if not before.layers or layer > before.top_layer:
            found = self.held.open_layer(event)
            assert found.id not in self.opened  # an id is never used again
            self.opened[found.id] = lots
        else:
            self._is_refused(event)

    @precondition(lambda self: any(self.held.layers()))
    @rule(data=st.data(), price=_price, charges=_charges, too_many=st.booleans())
    def reduce_a_layer(
        self, data: st.DataObject, price: Decimal, charges: Decimal, too_many: bool
    ) -> None:
        found = data.draw(st.sampled_from(list(self.held.layers())))
        if too_many:
            self._is_refused(reduced(found, found.lots + 1, price))
            return
        lots = data.draw(st.integers(1, found.lots))
        self.held.apply(reduced(found, lots, price, charges=charges))
        self.closed[found.id] = self.closed.get(found.id, 0) + lots

    @rule(instrument=_instrument, intent=st.sampled_from(["a", "b"]), lots=st.integers(1, 9))
    def reserve_exposure(self, instrument: str, intent: str, lots: int) -> None:
        self.held.apply(reserved(intent_id=intent, instrument=instrument, lots=lots))

    @rule(intent=st.sampled_from(["a", "b"]))
    def release_exposure(self, intent: str) -> None:
        self.held.apply(ExposureReleased(intent))

    def _is_refused(self, event: BookEvent) -> None:
        before, told = self.held.snapshot(), len(self.journal)
        with pytest.raises(Rejected):
            self.held.apply(event)
        assert self.held.snapshot() == before
        assert len(self.journal) == told

    @invariant()
    def positions_are_what_was_opened_less_what_was_closed(self) -> None:
        lots: dict[str, int] = {}
        for found in self.held.layers():
            lots[found.id] = found.lots
        expected = {name: self.opened[name] - self.closed.get(name, 0) for name in self.opened}
        assert lots == {name: left for name, left in expected.items() if left}
        assert sum(trade.lots for trade in self.held.trades) == sum(self.closed.values())

    @invariant()
    def the_ledger_is_the_sum_of_its_bookings(self) -> None:
        unshared = sum((found.entry_charges for found in self.held.layers()), Decimal(0))
        earned = sum((trade.net_pnl for trade in self.held.trades), Decimal(0))
        assert self.held.closed_equity == self.deposited + earned - unshared
        paid = sum((trade.charges for trade in self.held.trades), Decimal(0))
        assert self.held.charges == paid + unshared
        assert self.held.equity_high >= self.held.closed_equity

    @invariant()
    def an_instruments_sums_are_those_of_its_layers(self) -> None:
        for name in (BANK, GOLD):
            found = self.held[name]
            at = Decimal(50_000)
            assert found.open_pnl(at) == sum(layer.open_pnl(at) for layer in found.layers)
            assert len({layer.id for layer in found.layers}) == len(found.layers)

    def teardown(self) -> None:
        again = DecisionMaker(config()).new_book()
        again.replay(self.journal)
        assert again.snapshot() == self.held.snapshot()


TestBookKeeping = BookKeeping.TestCase
