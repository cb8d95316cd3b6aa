"""What a bar that does not come would have hit and moved, and how deep a catastrophe is."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.book_events import BarStoodIn, LayerOpened, StandInTrailed
from core.catastrophe_stop import fallen, level
from core.config import StopWatchConfig
from core.errors import ConfigInvalid
from core.models import StopMode
from core.portfolio_state import PortfolioStateManager
from tests.fixtures.rules import BANK, MORNING, book, config, opened

CLOSED_AT = MORNING + timedelta(minutes=75)
LAYERS = (opened(), opened(layer=2, lots=5, price=50_500, initial_stop=50_300, close=50_500))


def stood_in(price: int, closed_at: datetime = CLOSED_AT, atr: int = 250) -> BarStoodIn:
    until = closed_at + timedelta(minutes=75)
    return BarStoodIn(BANK, closed_at, until, Decimal(price), Decimal(atr))


def held(*layers: LayerOpened, mode: StopMode = StopMode.TOM_BASSO) -> PortfolioStateManager:
    found = book(*layers, rules=config(stop_mode=mode.value))
    found.journal = []
    return found


HITS = [(50_301, []), (50_300, []), (50_299, [2]), (49_800, [2]), (49_799, [1, 2])]


@pytest.mark.parametrize(("price", "layers"), HITS)
def test_what_a_bar_would_hit_is_told_and_nothing_moves(price: int, layers: list[int]) -> None:
    found = held(*LAYERS)
    before = found.snapshot()
    assert [layer.layer for layer in found.stand_in(stood_in(price))] == layers
    assert found.snapshot() == before
    assert found.journal == [stood_in(price)]


def test_layers_that_were_entered_after_the_bar_are_not_its() -> None:
    found = held(*LAYERS)
    at_its_close = stood_in(40_000, closed_at=MORNING)
    assert found.stand_in(at_its_close) == []
    before = found.snapshot()
    found.trail(StandInTrailed(stood_in(60_000, closed_at=MORNING)))
    assert found.snapshot() == before


@given(price=st.integers(49_900, 60_000), atr=st.integers(50, 900))
def test_what_stood_in_moves_the_stops_as_its_bar_would_have(price: int, atr: int) -> None:
    by_bar, by_quote = held(*LAYERS), held(*LAYERS)
    by_bar.close_bar(BANK, Decimal(price), Decimal(atr), Decimal(0))
    by_quote.trail(StandInTrailed(stood_in(price, atr=atr)))
    assert by_quote[BANK].layers == by_bar[BANK].layers


def test_it_moves_no_price() -> None:
    found = held(*LAYERS)
    before = (found[BANK].price, found[BANK].atr)
    found.trail(StandInTrailed(stood_in(52_000)))
    assert (found[BANK].price, found[BANK].atr) == before


@pytest.mark.parametrize("mode", [StopMode.SUPERTREND, StopMode.VAN_THARP])
def test_an_unknown_supertrend_leaves_the_stops_that_follow_it(mode: StopMode) -> None:
    found = held(*LAYERS, mode=mode)
    found.trail(StandInTrailed(stood_in(51_000)))
    first, top = found[BANK].layers
    assert top.stop == 50_300
    # With VAN_THARP the first leaves below the entry of the second.
    assert first.stop == (50_500 if mode is StopMode.VAN_THARP else 49_800)


def test_a_replayed_book_is_the_same() -> None:
    found, again = held(*LAYERS), held(*LAYERS)
    found.stand_in(stood_in(52_000))
    found.trail(StandInTrailed(stood_in(52_000)))
    again.replay(found.journal or [])
    assert again.snapshot() == found.snapshot()


FALLS = [(49_300, []), (49_299, [1]), (48_000, [1])]


@pytest.mark.parametrize(("price", "layers"), FALLS)
def test_a_catastrophe_is_so_many_atr_below_the_layers_own_stop(
    price: int, layers: list[int]
) -> None:
    found = held(opened())[BANK].layers
    assert level(found[0], Decimal(250), Decimal(2)) == 49_800 - 500
    hit = fallen(found, Decimal(price), Decimal(250), Decimal(2))
    assert [layer.layer for layer in hit] == layers


def test_a_quote_must_stay_fresh_from_one_look_to_the_next() -> None:
    with pytest.raises(ConfigInvalid, match="fresh_s"):
        StopWatchConfig(every_s=Decimal(40), fresh_s=Decimal(60))
    assert config().stop_watch.catastrophe_atr is None
    assert config(stop_watch={"catastrophe_atr": 1.5}).stop_watch.catastrophe_atr == Decimal("1.5")
