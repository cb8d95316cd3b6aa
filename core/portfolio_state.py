"""The book: positions are the sum of their fills, equity is the sum of the ledger.

Only the methods here change the book. Each change is one event; a book built from another's events
is equal to it. `equity_high` is a ratchet on realised equity and is moved by nothing but a
booking: by an operation once, at its end, so that the order of its closes does not matter.
"""

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, replace
from datetime import datetime
from decimal import Decimal

from core.book_events import (
    BarClosed,
    BarStoodIn,
    BookEvent,
    CapitalMoved,
    ExposureReleased,
    ExposureReserved,
    LayerOpened,
    LayerReduced,
    LayerRolled,
    PriceMarked,
    StandInTrailed,
)
from core.config import EquityBasis
from core.errors import Rejected
from core.models import HIGHEST_PRICE, Position, Trade
from core.roll_lots import lots_kept
from core.stop_manager import TomBassoStopManager

ZERO = Decimal(0)
PAISA = Decimal("0.01")


class InstrumentBook:
    """One instrument's open layers, oldest first, and its latest bar.

    `top_layer` is the highest layer that the trade `trade_no` has opened, also when it is closed.

    `exposure` (rupees a point), `cost` and `margin` (rupees) sum over the layers, so that the open
    P&L at a price is price x exposure - cost whatever the number of layers.
    """

    __slots__ = (
        "atr",
        "cost",
        "exposure",
        "layers",
        "margin",
        "price",
        "stops",
        "top_layer",
        "trade_no",
    )

    def __init__(self, stops: TomBassoStopManager[Decimal]) -> None:
        self.stops = stops
        self.layers: list[Position] = []
        self.trade_no = 0
        self.top_layer = 0
        self.exposure = ZERO
        self.cost = ZERO
        self.margin = ZERO
        self.price: Decimal | None = None
        self.atr: Decimal | None = None

    def layer(self, number: int) -> Position | None:
        """The open layer of that number."""
        return next((layer for layer in self.layers if layer.layer == number), None)

    def entered_before(self, moment: datetime) -> list[Position]:
        """The open layers that were entered before then, oldest first."""
        return [layer for layer in self.layers if layer.entry_time < moment]

    def open_pnl(self, price: Decimal | None = None) -> Decimal:
        """Rupees gained at `price` (default: the latest), before charges."""
        at = self.price if price is None else price
        return ZERO if at is None or not self.layers else at * self.exposure - self.cost

    def risk(self) -> Decimal:
        """Rupees lost on all layers if every stop fills at its price."""
        total = ZERO
        for layer in self.layers:
            total += layer.risk
        return total

    def volatility(self) -> Decimal:
        """Rupees that one ATR moves the layers, with the latest ATR."""
        return ZERO if self.atr is None else self.atr * self.exposure

    def reweigh(self) -> None:
        """Recompute the sums after a layer changed."""
        self.exposure = self.cost = self.margin = ZERO
        for layer in self.layers:
            worth = layer.lots * layer.point_value
            self.exposure += worth
            self.cost += layer.entry_price * worth
            self.margin += layer.margin_per_lot * layer.lots


@dataclass(frozen=True, slots=True)
class AccountView:
    """The whole account at a moment, in rupees; reservations of orders in flight are included."""

    equity: Decimal
    equity_high: Decimal
    risk: Decimal
    volatility: Decimal
    margin_in_use: Decimal
    margin_reserved: Decimal


@dataclass(frozen=True, slots=True)
class InstrumentMarks:
    """Where an instrument's trades stand: the last one, its highest layer, the latest bar."""

    instrument: str
    trade_no: int
    top_layer: int
    price: Decimal | None
    atr: Decimal | None


@dataclass(frozen=True, slots=True)
class StoredBook:
    """All that a book needs to go on where another stopped; trades are history and stay out.

    `layers` are the open ones, and become the restored book's own.
    """

    closed_equity: Decimal
    equity_high: Decimal
    charges: Decimal
    marks: tuple[InstrumentMarks, ...]
    layers: tuple[Position, ...]
    reservations: tuple[ExposureReserved, ...]


class PortfolioStateManager:
    """The account's book in memory."""

    def __init__(self, stops: dict[str, TomBassoStopManager[Decimal]]) -> None:
        """`stops` holds, by instrument, the manager that moves its layers' stops."""
        self._books = {name: InstrumentBook(manager) for name, manager in stops.items()}
        self._reservations: dict[str, ExposureReserved] = {}
        self.closed_equity = ZERO
        self.equity_high = ZERO
        self.charges = ZERO
        self.trades: list[Trade] = []
        self.journal: list[BookEvent] | None = None

    @classmethod
    def restore(
        cls, stops: dict[str, TomBassoStopManager[Decimal]], stored: StoredBook
    ) -> "PortfolioStateManager":
        """The book that was stored. Raises `Rejected` where it holds what `stops` does not name."""
        book = cls(stops)
        book.closed_equity = stored.closed_equity
        book.equity_high = stored.equity_high
        book.charges = stored.charges
        held = {layer.instrument for layer in stored.layers}
        held.update(item.instrument for item in stored.reservations)
        if unknown := sorted(held.difference(stops)):
            raise Rejected(
                "INSTRUMENT_UNKNOWN",
                f"the book holds {', '.join(unknown)}, which is not configured",
            )
        for mark in stored.marks:
            if mark.instrument in book:
                instrument = book[mark.instrument]
                instrument.trade_no, instrument.top_layer = mark.trade_no, mark.top_layer
                instrument.price, instrument.atr = mark.price, mark.atr
        for layer in sorted(stored.layers, key=lambda layer: layer.layer):
            book[layer.instrument].layers.append(layer)
        for name in held:
            book[name].reweigh()
        book._reservations = {item.intent_id: item for item in stored.reservations}
        return book

    # Reading

    def __getitem__(self, instrument: str) -> InstrumentBook:
        return self._books[instrument]

    def __contains__(self, instrument: str) -> bool:
        return instrument in self._books

    def layers(self) -> Iterator[Position]:
        """All open layers, by instrument, oldest first."""
        for book in self._books.values():
            yield from book.layers

    def reserved(self, instrument: str) -> list[ExposureReserved]:
        """Entries of this instrument that are on their way."""
        return [item for item in self._reservations.values() if item.instrument == instrument]

    def open_pnl(self) -> Decimal:
        """Rupees gained on all open layers at their latest prices, before exit charges."""
        return sum((book.open_pnl() for book in self._books.values() if book.layers), ZERO)

    def equity(self, basis: EquityBasis = EquityBasis.OPEN) -> Decimal:
        """Rupees: realised, marked to market, or realised plus half of the open P&L."""
        return self._on(basis, self.open_pnl())

    def account(self, basis: EquityBasis) -> AccountView:
        """What sizing and caps are measured on."""
        open_pnl = risk = volatility = margin = ZERO
        for book in self._books.values():
            if book.layers:
                open_pnl += book.open_pnl()
                risk += book.risk()
                volatility += book.volatility()
                margin += book.margin
        reserved = ZERO
        for item in self._reservations.values():
            risk += item.risk
            volatility += item.volatility
            reserved += item.margin
        return AccountView(self.equity(basis), self.equity_high, risk, volatility, margin, reserved)

    def snapshot(self) -> tuple[object, ...]:
        """Everything the book holds, comparable with ==."""
        return (
            self.closed_equity,
            self.equity_high,
            self.charges,
            tuple(self.trades),
            tuple(sorted(self._reservations.items())),
            tuple(
                (
                    name,
                    book.trade_no,
                    book.top_layer,
                    book.price,
                    book.atr,
                    tuple(map(astuple, book.layers)),
                )
                for name, book in sorted(self._books.items())
            ),
        )

    # Changing

    def replay(self, events: Iterable[BookEvent]) -> None:
        """Apply events that another book recorded, in their order."""
        for event in events:
            self.apply(event)

    def apply(self, event: BookEvent) -> None:
        """Apply one event, whatever its kind."""
        match event:
            case CapitalMoved():
                self.move_capital(event)
            case ExposureReserved():
                self.reserve(event)
            case ExposureReleased():
                self.release(event)
            case LayerOpened():
                self.open_layer(event)
            case LayerReduced():
                self.reduce_layer(event)
            case LayerRolled():
                self.roll_layer(event)
            case _:
                self._apply_price(event)

    def _apply_price(self, event: BarClosed | BarStoodIn | StandInTrailed | PriceMarked) -> None:
        match event:
            case BarClosed():
                self.close_bar(event.instrument, event.close, event.atr, event.supertrend)
            case BarStoodIn():
                self.stand_in(event)
            case StandInTrailed():
                self.trail(event)
            case PriceMarked():
                self.mark(event)

    def move_capital(self, event: CapitalMoved) -> None:
        """A deposit (above 0) or a withdrawal.

        equity_high moves with it, both ways: a high-water mark measures trading, not transfers.
        """
        self.closed_equity += event.amount
        self.equity_high += event.amount
        self._record(event)

    def close_bar(
        self, instrument: str, close: Decimal, atr: Decimal, supertrend: Decimal
    ) -> list[Position]:
        """Mark an instrument at a closed bar and move its stops; the layers whose stop is hit."""
        if self.journal is not None:
            self.journal.append(BarClosed(instrument, close, atr, supertrend))
        book = self._books[instrument]
        book.price = close
        book.atr = atr
        return book.stops.advance(book.layers, close, atr, supertrend) if book.layers else []

    def stand_in(self, event: BarStoodIn) -> list[Position]:
        """The layers that a bar closing so would have hit; nothing is moved.

        The bar itself may still come, and stops rise for good. Layers entered after it are not its.
        """
        self._record(event)
        book = self._books[event.instrument]
        judged = [replace(layer) for layer in book.entered_before(event.closed_at)]
        # A SuperTrend of 0 raises no stop.
        hit = {layer.id for layer in book.stops.advance(judged, event.price, event.atr, ZERO)}
        return [layer for layer in book.layers if layer.id in hit]

    def trail(self, event: StandInTrailed) -> None:
        """Move the stops as the bar would have, whose place was taken and which never came."""
        self._record(event)
        bar = event.stood_in
        book = self._books[bar.instrument]
        book.stops.advance(book.entered_before(bar.closed_at), bar.price, bar.atr, ZERO)

    def mark(self, event: PriceMarked) -> None:
        """Take an alert's price and ATR as the instrument's latest, if it can be one.

        An alert is marked before it is judged, so that it is judged on the account as it is now;
        the caller marks only prices it trusts.
        """
        price, atr = event.price, event.atr
        if price.is_finite() and 0 < price < HIGHEST_PRICE and atr.is_finite() and atr > 0:
            self._books[event.instrument].price = price
            self._books[event.instrument].atr = atr
            self._record(event)

    def open_layer(self, event: LayerOpened) -> Position:
        """Book an entry's fill as a new layer. Raises `Rejected` for one not above the last."""
        book = self._books[event.instrument]
        if book.layers and event.layer <= book.top_layer:
            raise Rejected(
                "LAYER_OUT_OF_ORDER",
                f"{event.instrument} layer {event.layer} is not above {book.top_layer}",
            )
        if not book.layers:
            book.trade_no += 1
            book.price, book.atr = event.close, event.atr
        book.top_layer = event.layer
        position = Position(
            id=f"{event.instrument}/{book.trade_no}/Long_{event.layer}",
            instrument=event.instrument,
            trade_no=book.trade_no,
            layer=event.layer,
            lots=event.lots,
            initial_lots=event.lots,
            entry_price=event.price,
            entry_time=event.time,
            initial_stop=event.initial_stop,
            stop=event.initial_stop,
            highest_close=event.close,
            atr=event.atr,
            point_value=event.point_value,
            lot_size=event.lot_size,
            margin_per_lot=event.margin_per_lot,
            limiter=event.limiter,
            symbol=event.symbol,
            entry_charges=event.charges,
        )
        book.layers.append(position)
        book.reweigh()
        self._reservations.pop(event.intent_id, None)
        self._realise(-event.charges, event.charges)
        self._raise_high()
        self._record(event)
        return position

    def reduce_layer(self, event: LayerReduced) -> Trade:
        """Book an exit's fill; a layer with no lots left is gone. Raises `Rejected` for too many.

        Entry charges are shared out by lots, to the paisa, the last lots taking what is left.
        equity_high rests while more closes of the operation follow.
        """
        book = self._books[event.instrument]
        position = next((lay for lay in book.layers if lay.id == event.position_id), None)
        if position is None or not 0 < event.lots <= position.lots:
            held = 0 if position is None else position.lots
            raise Rejected("NOT_HELD", f"{event.position_id}: {event.lots} lots asked, {held} held")
        gross = (event.price - position.entry_price) * event.lots * position.point_value
        share = position.entry_charges
        if event.lots < position.lots:
            share = (share * event.lots / position.lots).quantize(PAISA)
        position.entry_charges -= share
        risk_per_lot = position.r_points * position.point_value
        trade = Trade(
            instrument=event.instrument,
            trade_no=position.trade_no,
            layer=position.layer,
            lots=event.lots,
            entry_time=position.entry_time,
            entry_price=position.entry_price,
            exit_time=event.time,
            exit_price=event.price,
            point_value=position.point_value,
            gross_pnl=gross,
            charges=share + event.charges,
            net_pnl=gross - share - event.charges,
            initial_risk=risk_per_lot * event.lots,
            reason=event.reason,
            limiter=position.limiter,
        )
        position.lots -= event.lots
        if position.lots == 0:
            book.layers.remove(position)
        book.reweigh()
        self.trades.append(trade)
        self._realise(gross - event.charges, event.charges)
        if not event.more_follow:
            self._raise_high()
        self._record(event)
        return trade

    def roll_layer(self, event: LayerRolled) -> Decimal:
        """Book a layer's move into the next contract; the rupees that were realised by it.

        Entry and stops move by the basis, so that R, the room to the stop and the layer's final
        result stay those of all its fills. Exposure that whole lots of the next contract do not
        come to is realised. Raises `Rejected` for what is not held, and for more exposure.
        """
        book = self._books[event.instrument]
        position = next((lay for lay in book.layers if lay.id == event.position_id), None)
        if position is None or event.lots <= 0:
            raise Rejected("NOT_HELD", f"{event.position_id} cannot be rolled: it is not held")
        before, after = position.lots * position.point_value, event.lots * event.point_value
        if after > before:
            raise Rejected("ROLL_TOO_LARGE", f"{event.position_id}: {after} a point for {before}")
        realised = (event.near_close - position.entry_price) * (before - after)
        first = initial_lots_after(position, event)
        position.entry_price += event.basis
        position.initial_stop += event.basis
        position.stop += event.basis
        position.highest_close += event.basis
        position.lots, position.initial_lots = event.lots, first
        position.point_value, position.lot_size = event.point_value, event.lot_size
        position.margin_per_lot, position.symbol = event.margin_per_lot, event.symbol
        position.entry_charges += event.charges
        book.price = event.far_open
        book.reweigh()
        self._realise(realised - event.charges, event.charges)
        if not event.more_follow:
            self._raise_high()
        self._record(event)
        return realised

    def reserve(self, event: ExposureReserved) -> None:
        """Hold risk, volatility and margin for an entry that is on its way."""
        self._reservations[event.intent_id] = event
        self._record(event)

    def release(self, event: ExposureReleased) -> None:
        """Give back what an entry held that will not be filled (further)."""
        self._reservations.pop(event.intent_id, None)
        self._record(event)

    def _on(self, basis: EquityBasis, open_pnl: Decimal) -> Decimal:
        if basis is EquityBasis.CLOSED:
            return self.closed_equity
        return self.closed_equity + (open_pnl if basis is EquityBasis.OPEN else open_pnl / 2)

    def _realise(self, amount: Decimal, charges: Decimal) -> None:
        self.closed_equity += amount
        self.charges += charges

    def _raise_high(self) -> None:
        self.equity_high = max(self.equity_high, self.closed_equity)

    def _record(self, event: BookEvent) -> None:
        if self.journal is not None:
            self.journal.append(event)


def initial_lots_after(position: Position, event: LayerRolled) -> int:
    """A layer's first lots, in lots of the contract it is rolled into."""
    kept = lots_kept(position.initial_lots, position.point_value, event.point_value)
    return max(event.lots, kept)
