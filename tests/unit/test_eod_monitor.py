"""What the end of a day asks for: by the Scout's word, our own books, and nothing of Pine's."""

from dataclasses import astuple, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import PortfolioConfig
from core.decision_record import DecisionCode
from core.eod_monitor import (
    ENTRY_CONDITIONS,
    EodMonitor,
    EodVerdict,
    Judgement,
    ScoutAlert,
    latest_fresh,
)
from core.eod_scheduler import EodScheduler, EodWindow
from core.instruments import InstrumentCatalog
from core.market_calendar import MarketCalendar
from core.models import EODMonitorSignal, Signal, SignalType, StopMode
from core.portfolio_state import PortfolioStateManager
from core.signal_validator import Refused
from core.webhook_parser import fingerprint
from tests.fixtures.rules import (
    BANK,
    add,
    base_entry,
    book,
    config,
    leave,
    opened,
    reserved,
)

FRESH = timedelta(seconds=90)
CATALOG = InstrumentCatalog.shipped()


def window(day: date = date(2026, 11, 25)) -> EodWindow:
    rules = PortfolioConfig.from_mapping({}, CATALOG.config_defaults())
    found = EodScheduler(rules, CATALOG, MarketCalendar.shipped()).window(BANK, day)
    assert isinstance(found, EodWindow)
    return found


WINDOW = window()
BAR = WINDOW.bar_opens


def scout(
    price: float = 50_000,
    *,
    false: tuple[str, ...] = (),
    leave: bool = False,
    at: datetime = WINDOW.judge_at,
    **fields: Any,
) -> EODMonitorSignal:
    """Every entry condition true but those of `false`; ATR 250, SuperTrend 200 below."""
    conditions = {name: name not in false for name in ENTRY_CONDITIONS} | {"long_exit": leave}
    indicators = {"er": 0.8, "atr": 250.0, "supertrend": price - 200, "roc": 3.0}
    alert = EODMonitorSignal(
        BANK, Decimal(str(price)), conditions, dict(indicators), at, sent_at=at
    )
    return replace(alert, **fields)


def judge(
    alert: EODMonitorSignal,
    held: PortfolioStateManager,
    rules: PortfolioConfig | None = None,
    at: EodWindow = WINDOW,
) -> Judgement:
    return EodMonitor(rules or config()).judge(alert, at, held)


def only(found: Judgement) -> Signal:
    (signal,) = found.signals
    return signal


def test_flat_and_all_true_is_a_base_entry_with_the_supertrend_as_its_stop() -> None:
    found = judge(scout(), book())
    assert found.verdict is EodVerdict.ENTER_BASE
    assert only(found) == base_entry(
        price=50_000, stop=49_800, supertrend=49_800, atr=250, roc=3.0, bar_time=BAR
    )


@pytest.mark.parametrize("name", ENTRY_CONDITIONS)
def test_each_condition_that_is_not_true_keeps_an_entry_out_and_is_named(name: str) -> None:
    found = judge(scout(false=(name,)), book())
    assert (found.verdict, found.signals) == (EodVerdict.NOTHING, ())
    assert found.reason == f"not true: {name}"


def test_entry_and_exit_at_once_is_neither() -> None:
    assert judge(scout(leave=True), book()).verdict is EodVerdict.NOTHING


@pytest.mark.parametrize("in_position", [None, True, False])
@pytest.mark.parametrize("count", [None, 0, 3])
def test_whatever_pine_believes_of_its_position_our_books_decide(
    in_position: bool | None, count: int | None
) -> None:
    """Incident 9: an alert without a position crashed the monitor; a stale one misled it."""
    told = scout(in_position=in_position, pyramid_count=count)
    assert judge(told, book()).verdict is EodVerdict.ENTER_BASE
    leaving = replace(told, conditions=told.conditions | {"long_exit": True})
    assert judge(leaving, book(opened())).verdict is EodVerdict.EXIT
    assert judge(leaving, book()).verdict is EodVerdict.NOTHING


def test_the_scouts_exit_condition_closes_everything() -> None:
    held = book(opened(), opened(layer=2, price=50_500, close=50_500, initial_stop=50_300))
    found = judge(scout(51_000, leave=True), held)
    assert found.verdict is EodVerdict.EXIT
    signal = only(found)
    assert (signal.type, signal.layer, signal.bar_time) == (SignalType.EXIT, None, BAR)
    assert signal.reason == "EOD_LONG_EXIT"


def test_one_stop_that_would_be_hit_closes_its_layer_alone() -> None:
    held = book(opened(), opened(layer=2, price=50_500, close=50_500, initial_stop=50_300))
    found = judge(scout(50_250), held)
    assert (only(found).layer, only(found).reason) == (2, "EOD_TOM_BASSO_STOP")
    assert found.reason == "50250 hits BANK_NIFTY/1/Long_2 below 50300"


def test_stops_that_would_all_be_hit_are_one_exit() -> None:
    held = book(opened(), opened(layer=2, price=50_500, close=50_500, initial_stop=50_300))
    assert only(judge(scout(49_700), held)).layer is None


def test_of_three_layers_two_may_be_hit() -> None:
    held = book(
        opened(),
        opened(layer=2, price=50_500, close=50_500, initial_stop=50_300),
        opened(layer=3, price=51_000, close=51_000, initial_stop=50_700),
    )
    found = judge(scout(50_200), held)
    assert [signal.layer for signal in found.signals] == [2, 3]


@pytest.mark.parametrize(
    ("mode", "price", "supertrend", "verdict"),
    [
        (StopMode.SUPERTREND, 50_000, 50_001, EodVerdict.EXIT),
        (StopMode.SUPERTREND, 50_000, 50_000, EodVerdict.NOTHING),
        (StopMode.VAN_THARP, 50_000, 50_001, EodVerdict.EXIT),
        (StopMode.VAN_THARP, 50_000, 49_900, EodVerdict.NOTHING),
        (StopMode.TOM_BASSO, 50_000, 50_001, EodVerdict.NOTHING),  # above its own stop
        (StopMode.TOM_BASSO, 49_800, 49_000, EodVerdict.NOTHING),  # at it
        (StopMode.TOM_BASSO, 49_799, 49_000, EodVerdict.EXIT),
    ],
)
def test_stops_are_those_of_the_mode_at_the_scouts_price(
    mode: StopMode, price: float, supertrend: float, verdict: EodVerdict
) -> None:
    rules = config(stop_mode=mode.value)
    alert = scout(price, false=("long_entry",))
    alert = replace(alert, indicators=alert.indicators | {"supertrend": supertrend})
    assert judge(alert, book(opened(), rules=rules), rules).verdict is verdict


def test_judging_moves_no_stop_and_no_highest_close() -> None:
    held = book(opened())
    before = held.snapshot()
    judge(scout(53_000), held)
    judge(scout(49_000), held)
    assert held.snapshot() == before


def test_in_a_position_that_has_earned_it_a_layer_is_added() -> None:
    found = judge(scout(50_500, false=ENTRY_CONDITIONS), book(opened()))
    assert found.verdict is EodVerdict.ENTER_PYRAMID
    assert only(found) == add(
        price=50_500, stop=50_300, supertrend=50_300, atr=250, roc=3.0, bar_time=BAR
    )


@pytest.mark.parametrize(
    ("price", "failed"),
    [
        (50_200, "profit_beyond_r"),  # 1 R is 200 points, and it must be more
        (50_100, "profit_beyond_r, atr_spacing"),
    ],
)
def test_an_add_that_the_chart_does_not_allow_is_not_asked_for(price: float, failed: str) -> None:
    found = judge(scout(price), book(opened()))
    assert (found.verdict, found.reason) == (EodVerdict.NOTHING, f"gate closed: {failed}")


def test_an_add_needs_its_momentum_where_that_is_asked_for() -> None:
    rules = config({"use_roc_filter": True})
    weak = scout(50_500)
    weak = replace(weak, indicators=weak.indicators | {"roc": 1.9})
    assert judge(weak, book(opened()), rules).reason == "gate closed: roc"
    none = replace(weak, indicators=weak.indicators | {"roc": None})
    assert judge(none, book(opened()), rules).reason == "gate closed: roc"
    assert judge(scout(50_500), book(opened()), rules).verdict is EodVerdict.ENTER_PYRAMID


def test_after_the_last_layer_nothing_is_added() -> None:
    rules = config(pyramid={"max_adds": 1})
    held = book(opened(), opened(layer=2, price=50_500, close=50_500, initial_stop=50_300))
    found = judge(scout(52_000), held, rules)
    assert (found.verdict, found.reason) == (EodVerdict.NOTHING, "Long_2 is the last layer")


def test_while_an_entry_is_on_its_way_no_other_is_asked_for() -> None:
    held = book()
    held.reserve(reserved())
    assert judge(scout(), held).reason == "an entry is already on its way"


def test_a_day_that_opens_nothing_still_closes() -> None:
    refused = replace(WINDOW, entries_refused=Refused(DecisionCode.OUTSIDE_COVERAGE, "unknown day"))
    for held in (book(), book(opened())):
        found = judge(scout(50_500), held, at=refused)
        assert (found.verdict, found.reason) == (EodVerdict.NOTHING, "unknown day")
    assert judge(scout(leave=True), book(opened()), at=refused).verdict is EodVerdict.EXIT


@pytest.mark.parametrize("name", ["atr", "er", "supertrend"])
def test_without_what_an_entry_is_made_from_there_is_none(name: str) -> None:
    for price, held in ((50_000, book()), (50_500, book(opened()))):
        alert = scout(price)
        alert = replace(alert, indicators=alert.indicators | {name: None})
        assert judge(alert, held).reason == f"the Scout gives no {name}"


def test_an_entry_below_its_supertrend_is_none() -> None:
    alert = scout()
    alert = replace(alert, indicators=alert.indicators | {"supertrend": 50_000.0})
    assert "not below the price" in judge(alert, book()).reason


def test_what_it_asks_for_has_the_fingerprint_of_the_bars_own_alert() -> None:
    """Incident 11: the bar-close alert repeated what the end of the day had executed."""
    assert fingerprint(only(judge(scout(), book()))) == fingerprint(base_entry(bar_time=BAR))
    found = only(judge(scout(50_500), book(opened())))
    assert fingerprint(found) == fingerprint(add(bar_time=BAR))
    found = only(judge(scout(leave=True), book(opened())))
    assert fingerprint(found) == fingerprint(leave(bar_time=BAR))


@pytest.mark.parametrize(
    ("bar_time", "taken"),
    [
        (BAR, BAR),
        (BAR + timedelta(minutes=5), BAR + timedelta(minutes=5)),  # its chart's bars differ
        (WINDOW.closes_at, BAR),  # no bar opens at the close
    ],
)
def test_the_bar_is_the_one_the_scout_names_where_that_can_be(
    bar_time: datetime, taken: datetime
) -> None:
    alert = replace(scout(), bar_time=bar_time)
    assert only(judge(alert, book())).bar_time == taken


# Freshness


def came(age_s: float, sent_s: float | None = None, number: int = 1, **fields: Any) -> ScoutAlert:
    """An alert received `age_s` before it is judged and sent `sent_s` before that moment."""
    sent = WINDOW.judge_at - timedelta(seconds=age_s if sent_s is None else sent_s)
    alert = scout(at=sent, **fields)
    return ScoutAlert(number, alert, WINDOW.judge_at - timedelta(seconds=age_s))


def freshest(*alerts: ScoutAlert) -> int | None:
    found = latest_fresh(alerts, WINDOW, WINDOW.judge_at, FRESH)
    return None if found is None else found.signal_id


@pytest.mark.parametrize(
    ("received_s", "sent_s", "is_fresh"),
    [
        (0, 0, True),
        (90, 90, True),
        (90.001, 90, False),
        (90, 90.001, False),
        (1, 600, False),  # kept by a relay
        (-90, -90, True),  # a clock that runs ahead
        (0, -91, False),
    ],
)
def test_an_alert_is_fresh_by_its_coming_and_by_its_sending(
    received_s: float, sent_s: float, is_fresh: bool
) -> None:
    assert freshest(came(received_s, sent_s)) == (1 if is_fresh else None)


def test_the_one_that_was_sent_last_counts_whatever_came_last() -> None:
    assert freshest(came(40, 20, 1), came(5, 60, 2)) == 1
    assert freshest(came(40, 20, 1), came(5, 20, 2, seq=8), came(6, 20, 3, seq=7)) == 2


def test_an_alert_of_another_bar_is_not_of_this_close() -> None:
    old = replace(scout(), bar_time=WINDOW.closes_at - WINDOW.bar - timedelta(minutes=1))
    assert freshest(ScoutAlert(1, old, WINDOW.judge_at)) is None
    late = replace(scout(), bar_time=WINDOW.closes_at + timedelta(seconds=1))
    assert freshest(ScoutAlert(1, late, WINDOW.judge_at)) is None


def test_one_that_does_not_say_when_it_was_sent_is_judged_by_its_coming() -> None:
    silent = replace(scout(), bar_time=BAR, sent_at=None)
    assert freshest(ScoutAlert(1, silent, WINDOW.judge_at)) == 1
    assert freshest(ScoutAlert(1, silent, WINDOW.judge_at - timedelta(seconds=91))) is None


AGES = st.floats(-200, 400, allow_nan=False)


@given(st.lists(st.tuples(AGES, AGES), max_size=8))
def test_what_is_judged_is_always_fresh_and_never_older_than_another_fresh_one(
    ages: list[tuple[float, float]],
) -> None:
    alerts = [came(*pair, number) for number, pair in enumerate(ages)]
    fresh = [place for place, pair in enumerate(ages) if max(map(abs, pair)) <= 90]
    found = latest_fresh(alerts, WINDOW, WINDOW.judge_at, FRESH)
    assert (found is None) == (not fresh)
    if found is not None:
        assert found.signal_id in fresh
        times = [alerts[place].alert.sent_at for place in fresh]
        assert found.alert.sent_at == max(sent for sent in times if sent is not None)


@given(
    conditions=st.lists(st.booleans(), min_size=9, max_size=9),
    price=st.integers(45_000, 60_000),
    layers=st.integers(0, 3),
)
def test_it_asks_for_one_thing_whatever_the_alert_says(
    conditions: list[bool], price: int, layers: int
) -> None:
    names = (*ENTRY_CONDITIONS, "long_exit")
    held = book(
        *(
            opened(
                layer=number,
                price=50_000 + 500 * number,
                close=50_000 + 500 * number,
                initial_stop=49_800 + 500 * number,
            )
            for number in range(1, layers + 1)
        )
    )
    before = astuple(held[BANK].layers[0]) if layers else None
    alert = replace(scout(price), conditions=dict(zip(names, conditions, strict=True)))
    found = judge(alert, held)
    kinds = {signal.type for signal in found.signals}
    assert len(kinds) <= 1
    assert bool(kinds) == (found.verdict is not EodVerdict.NOTHING)
    if SignalType.BASE_ENTRY in kinds:
        assert layers == 0
        assert all(conditions[:-1])
    if SignalType.PYRAMID in kinds:
        assert only(found).layer == layers + 1
    if SignalType.EXIT in kinds:
        assert layers
        numbers = [signal.layer for signal in found.signals]
        assert len(numbers) == len(set(numbers))
        assert None not in numbers or numbers == [None]
    assert (astuple(held[BANK].layers[0]) if layers else None) == before
