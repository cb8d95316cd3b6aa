"""One account, many instruments: what is known when, and what fills at which price."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from backtest.engine import BacktestEngine, BarFeed
from backtest.fills import FillAt, Slippage
from backtest.market import BacktestMarket
from backtest.result import BacktestResult
from backtest.signal_loader import IndicatorValues, LoadedSignal
from core.book_events import CapitalMoved
from core.config import PortfolioConfig
from core.errors import ConfigInvalid, InputInvalid
from core.ist import IST
from core.models import Limiter, MarketDataSignal, Signal, SignalType

MONDAY = datetime(2026, 3, 9, 9, 15, tzinfo=IST)
BAR = timedelta(minutes=75)
FREE = BacktestMarket.shipped(with_charges=False)
BANK, GOLD = "BANK_NIFTY", "GOLD_MINI"
CAPITAL = Decimal(5_000_000)

ENTRY, ADD, EXIT = SignalType.BASE_ENTRY, SignalType.PYRAMID, SignalType.EXIT


def alert(
    kind: SignalType,
    bar: int,
    price: str,
    stop: str = "0",
    *,
    layer: int | None = None,
    atr: str = "100",
    instrument: str = BANK,
) -> Signal:
    """An alert of the bar numbered `bar`, with ER 1."""
    return Signal(
        type=kind,
        instrument=instrument,
        layer=layer,
        price=Decimal(price),
        stop=Decimal(stop),
        atr=Decimal(atr),
        er=1.0,
        supertrend=Decimal(stop),
        bar_time=MONDAY + bar * BAR,
        reason="PINE_EXIT" if kind is EXIT else "",
    )


class Script:
    """Closes and opens of one instrument's bars, and the alerts raised at some of them."""

    def __init__(
        self,
        closes: Sequence[float],
        alerts: Mapping[int, Sequence[Signal]],
        instrument: str = BANK,
        atr: str = "100",
    ) -> None:
        self._closes = closes
        self._alerts = alerts
        self._instrument = instrument
        self._atr = Decimal(atr)

    def on_bar(self, index: int) -> Sequence[Signal]:
        return self._alerts.get(index, ())

    def market_data(self, index: int) -> MarketDataSignal:
        return MarketDataSignal(
            self._instrument,
            Decimal(repr(self._closes[index])),
            self._atr,
            Decimal(1),
            MONDAY + index * BAR,
        )

    def values_at(self, index: int) -> IndicatorValues | None:
        return None

    def feed(self, opens: Sequence[float] | None = None, first_bar: int = 0) -> BarFeed:
        """The bars as the engine takes them; opens are the closes where not given."""
        start = np.array(
            [int((MONDAY + bar * BAR).timestamp()) for bar in range(len(self._closes))]
        )
        return BarFeed(
            instrument=self._instrument,
            source=self,
            open_epoch_s=start,
            close_epoch_s=start + int(BAR.total_seconds()),
            opens=np.array(self._closes if opens is None else opens, dtype=float),
            first_bar=first_bar,
        )


def engine(
    settings: Mapping[str, object] | None = None,
    market: BacktestMarket = FREE,
    fill_at: FillAt = FillAt.CLOSE,
    slippage: Slippage | None = None,
) -> BacktestEngine:
    config = PortfolioConfig.from_mapping(settings or {}, market.catalog.config_defaults())
    return BacktestEngine(config, market, CAPITAL, fill_at, slippage)


def run(feeds: Sequence[BarFeed], **given: object) -> BacktestResult:
    return engine(**given).run_bars(feeds)  # type: ignore[arg-type]


LONG_AND_OUT = {
    0: [alert(ENTRY, 0, "50000", "49900", layer=1)],
    2: [alert(EXIT, 2, "50300")],
}


def recorded(signal: Signal | MarketDataSignal, export_lots: int | None = None) -> LoadedSignal:
    return LoadedSignal(signal, export_lots, "alerts", 1)


def test_an_alert_fills_at_its_bars_close() -> None:
    # Lot-R: 50,000 x 1 / (100 x 30) = 16; Lot-V: 25,000 / (100 x 30) = 8; Lot-M: 30 L / 2.7 L = 11
    result = run([Script([50000, 50100, 50300], LONG_AND_OUT).feed()])
    (trade,) = result.trades
    assert trade.lots == 8
    assert trade.entry_price == 50000
    assert trade.exit_price == 50300
    assert trade.net_pnl == 300 * 8 * 30
    assert trade.reason == "PINE_EXIT"
    assert trade.initial_risk == 100 * 8 * 30
    assert trade.limiter is Limiter.VOLATILITY
    assert result.net_pnl == result.final_equity - CAPITAL == 72_000
    assert result.decisions == {"ENTER_BASE": 1, "EXIT": 1}
    assert result.limiters == {Limiter.VOLATILITY: 1}
    assert result.events == 3


def test_next_open_fills_at_the_open_that_follows() -> None:
    feed = Script([50000, 50100, 50300, 50400], LONG_AND_OUT).feed([1, 50010, 50200, 50320])
    (trade,) = run([feed], fill_at=FillAt.NEXT_OPEN).trades
    assert trade.entry_price == 50010
    assert trade.exit_price == 50320
    assert trade.entry_time == MONDAY + BAR
    assert trade.exit_time == MONDAY + 3 * BAR


def test_an_order_that_never_sees_its_open_is_not_filled() -> None:
    feed = Script([50000], {0: LONG_AND_OUT[0]}).feed()
    result = run([feed], fill_at=FillAt.NEXT_OPEN)
    assert result.open_layers == 0
    assert result.net_pnl == 0


def test_slippage_and_charges_are_paid_on_both_sides() -> None:
    slipped = run(
        [Script([50000, 50100, 50300], LONG_AND_OUT).feed()], slippage=Slippage.parse("2")
    )
    (trade,) = slipped.trades
    assert (trade.entry_price, trade.exit_price) == (Decimal("50000.10"), Decimal("50299.90"))
    paid = run(
        [Script([50000, 50100, 50300], LONG_AND_OUT).feed()], market=BacktestMarket.shipped()
    )
    (trade,) = paid.trades
    assert trade.charges == paid.charges > 0
    assert trade.net_pnl == trade.gross_pnl - trade.charges == paid.net_pnl


def test_the_systems_own_stop_closes_when_no_alert_does() -> None:
    # initial stop 49,900; the close of 50,400 trails it to 50,400 - 2.5 x 100 = 50,150
    feed = Script([50000, 50400, 50149], {0: LONG_AND_OUT[0]}).feed()
    result = run([feed])
    (trade,) = result.trades
    assert trade.reason == "TOM_BASSO_STOP"
    assert trade.exit_price == 50149
    assert result.decisions["STOP_HIT"] == 1


def test_a_stop_and_an_alert_at_one_bar_close_once() -> None:
    alerts = {0: LONG_AND_OUT[0], 1: [alert(EXIT, 1, "49800")]}
    for fill_at in FillAt:
        result = run([Script([50000, 49800, 49800], alerts).feed()], fill_at=fill_at)
        assert [trade.reason for trade in result.trades] == ["PINE_EXIT"]


def test_an_exit_and_an_entry_at_one_bar_run_in_that_order() -> None:
    alerts = {
        0: LONG_AND_OUT[0],
        2: [alert(ENTRY, 2, "50300", "50200", layer=1), alert(EXIT, 2, "50300")],
    }
    result = run([Script([50000, 50100, 50300], alerts).feed()])
    assert len(result.trades) == 1
    assert result.open_layers == 1


def test_an_exit_cancels_an_entry_that_still_waits() -> None:
    """Both are decided at one bar's close; the entry must not fill at the next open."""
    desk = engine(fill_at=FillAt.NEXT_OPEN).desk
    desk.book.move_capital(CapitalMoved(CAPITAL, MONDAY))
    desk.on_alert(LONG_AND_OUT[0][0])
    assert len(desk.book.reserved(BANK)) == 1
    desk.on_alert(alert(EXIT, 0, "50000"))
    assert desk.waiting[BANK] == []
    assert desk.book.reserved(BANK) == []
    assert desk.decisions == {"ENTER_BASE": 1, "NOTHING_HELD": 1}


def test_waiting_entries_hold_their_room_under_the_caps() -> None:
    # Eight lots of Bank Nifty at 2.7 L leave 8.4 L of 30 L: 4 lots of gold at 1.8 L
    gold = [alert(ENTRY, 0, "150000", "149700", layer=1, atr="10", instrument=GOLD)]
    feeds = [
        Script([50000, 50000], {0: LONG_AND_OUT[0]}).feed(),
        Script([150000, 150000], {0: gold}, GOLD, "10").feed(),
    ]
    for fill_at in FillAt:
        simulated = engine(fill_at=fill_at)
        simulated.run_bars(feeds)
        lots = {layer.instrument: layer.lots for layer in simulated.desk.book.layers()}
        assert lots == {BANK: 8, GOLD: 4}


def test_trimming_is_part_of_the_run_where_it_is_switched_on() -> None:
    # ongoing volatility 0.7 % of 50 L = 35,000; ATR 300 x 30 = 9,000 a lot: 3 lots stay of 8
    script = Script([50000, 50000], {0: LONG_AND_OUT[0]}, atr="300")
    result = run([script.feed()], settings={"peel_off": {"enabled": True}})
    assert [(trade.lots, trade.reason) for trade in result.trades] == [(5, "PEEL_OFF")]
    (held,) = result.held
    assert (held.instrument, held.trade_no, held.layer, held.lots) == (BANK, 1, 1, 3)
    assert (held.entry_price, held.initial_stop) == (Decimal(50000), Decimal(49900))
    assert held.stop == Decimal(49900)
    assert result.open_layers == 1


def test_a_refused_entry_is_reported_with_its_reason() -> None:
    alerts = {0: [alert(ENTRY, 0, "50000", "50100", layer=1)]}
    result = run([Script([50000], alerts).feed()])
    (refusal,) = result.refusals
    assert refusal.code == "STOP_NOT_BELOW_PRICE"
    assert refusal.our_lots == 0
    assert "50100" in refusal.reason


def test_positions_keep_the_lot_they_were_entered_with() -> None:
    """Bank Nifty's lot went from 35 to 30 for 2026: a position entered before stays at 35."""
    december = datetime(2025, 12, 23, 9, 15, tzinfo=IST)  # in December's roll window: January, 30
    november = datetime(2025, 11, 10, 9, 15, tzinfo=IST)  # November's own contract: 35
    for moment, lot in ((november, 35), (december, 30)):
        entry = recorded(replace(LONG_AND_OUT[0][0], bar_time=moment))
        leave = recorded(alert(EXIT, 0, "50100"))
        (trade,) = engine().run_signals([entry, leave]).trades
        assert trade.point_value == lot
        assert trade.gross_pnl == 100 * trade.lots * lot


def test_recorded_alerts_with_bars_trail_the_stops() -> None:
    loaded = [recorded(LONG_AND_OUT[0][0], 5)]
    feed = Script([50000, 50400, 50149], {}).feed()
    trailed = engine().run_signals(loaded, [feed])
    assert [trade.reason for trade in trailed.trades] == ["TOM_BASSO_STOP"]
    (difference,) = trailed.refusals
    assert (difference.our_lots, difference.export_lots, difference.code) == (8, 5, "ENTER_BASE")
    assert engine().run_signals(loaded).open_layers == 1


def test_recorded_market_data_moves_and_hits_stops() -> None:
    def bar(number: int, close: int) -> LoadedSignal:
        data = MarketDataSignal(
            BANK, Decimal(close), Decimal(100), Decimal(1), MONDAY + number * BAR
        )
        return recorded(data)

    loaded = [recorded(LONG_AND_OUT[0][0]), bar(1, 50400), bar(2, 50149)]
    (trade,) = engine().run_signals(loaded).trades
    assert trade.exit_price == 50149


def test_waiting_for_an_open_needs_bars() -> None:
    with pytest.raises(ConfigInvalid, match="--bars"):
        engine(fill_at=FillAt.NEXT_OPEN).run_signals([])


def test_a_recorded_exit_fills_at_the_open_after_its_own_bar() -> None:
    loaded = [recorded(LONG_AND_OUT[0][0]), recorded(alert(EXIT, 2, "50300"))]
    feed = Script([50000, 50100, 50300, 50400], {}).feed([1, 50010, 50200, 50320])
    (trade,) = engine(fill_at=FillAt.NEXT_OPEN).run_signals(loaded, [feed]).trades
    assert trade.entry_price == 50010
    assert trade.exit_price == 50320
    assert (trade.entry_time, trade.exit_time) == (MONDAY + BAR, MONDAY + 3 * BAR)


def test_a_recorded_exit_of_what_a_stop_has_closed_finds_nothing_held() -> None:
    loaded = [recorded(LONG_AND_OUT[0][0]), recorded(alert(EXIT, 2, "49700"))]
    feed = Script([50000, 49800, 49700, 49600], {}).feed([1, 50010, 49790, 49690])
    result = engine(fill_at=FillAt.NEXT_OPEN).run_signals(loaded, [feed])
    assert [trade.exit_price for trade in result.trades] == [49790]
    assert result.decisions == {"ENTER_BASE": 1, "STOP_HIT": 1, "NOTHING_HELD": 1}


def test_two_exits_that_wait_for_one_open_close_once() -> None:
    twice = [recorded(alert(EXIT, 1, "50100")), recorded(alert(EXIT, 1, "50100", layer=1))]
    feed = Script([50000, 50100, 50300], {}).feed()
    result = engine(fill_at=FillAt.NEXT_OPEN).run_signals(
        [recorded(LONG_AND_OUT[0][0]), *twice], [feed]
    )
    assert len(result.trades) == 1


def test_an_order_without_an_open_to_come_is_told() -> None:
    result = run([Script([50000], {0: LONG_AND_OUT[0]}).feed()], fill_at=FillAt.NEXT_OPEN)
    (note,) = result.notes
    assert note.startswith("1 orders still waited")


def test_the_curve_of_recorded_alerts_rises_in_time() -> None:
    loaded = [recorded(LONG_AND_OUT[0][0]), recorded(alert(EXIT, 2, "50300"))]
    result = engine().run_signals(loaded, [Script([50000, 50100, 50300], {}).feed()])
    assert list(result.curve.epoch_s) == sorted(result.curve.epoch_s)


def test_recorded_alerts_meet_in_the_order_their_bars_close() -> None:
    """At a bar's close, which is an hour after its open for one and 75 minutes for the other."""
    slow = recorded(LONG_AND_OUT[0][0])
    quick = recorded(
        replace(
            alert(ENTRY, 0, "150000", "149900", layer=1, instrument=GOLD),
            bar_time=MONDAY + timedelta(minutes=-15),
        )
    )
    result = engine().run_signals([slow, quick])
    closes = [MONDAY + timedelta(minutes=minutes) for minutes in (45, 45, 75)]
    assert [datetime.fromtimestamp(epoch, IST) for epoch in result.curve.epoch_s] == closes


def test_a_run_without_anything_to_feed_says_so() -> None:
    with pytest.raises(InputInvalid, match="none to feed"):
        engine().run_signals([])
    with pytest.raises(InputInvalid, match="none of them is from the day"):
        run([Script([50000], {}).feed(first_bar=1)])


def test_the_run_begins_where_it_is_told() -> None:
    result = run([Script([50000, 50100, 50300], LONG_AND_OUT).feed(first_bar=1)])
    assert result.events == 2
    assert not result.trades
    assert result.decisions == {"NOTHING_HELD": 1}


def test_instruments_meet_in_the_order_their_bars_close() -> None:
    """A bar is known at its close: an hourly bar that opens later may be known sooner."""
    seen: list[str] = []

    class Told(Script):
        def on_bar(self, index: int) -> Sequence[Signal]:
            seen.append(f"{self._instrument}{index}")
            return ()

    slow, quick = Told([1, 1], {}).feed(), Told([1, 1, 1], {}, GOLD).feed()
    hourly = np.array([int(MONDAY.timestamp()) + 3600 * hour for hour in range(3)])
    engine().run_bars(
        [
            slow,
            BarFeed(GOLD, quick.source, hourly, hourly + 3600, quick.opens),
        ]
    )
    assert seen == [f"{GOLD}0", f"{BANK}0", f"{GOLD}1", f"{BANK}1", f"{GOLD}2"]


def test_the_curve_has_every_trading_day() -> None:
    closes = [50000.0] * 30
    result = run([Script(closes, {}).feed()])
    days = {datetime.fromtimestamp(epoch, IST).date() for epoch in result.curve.epoch_s}
    last = MONDAY + 29 * BAR
    assert len(days) == (last.date() - MONDAY.date()).days + 1
