"""The account in one look, and its positions, trades, orders and equity by pages."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from marshmallow import fields, validate

from core.config import EquityBasis, PortfolioConfig, fraction
from core.db_state_manager.operation import GLOBAL, in_force
from core.db_state_manager.overview import EquityPoint, MarkedPosition, PlacedOrder
from core.db_state_manager.records import InstrumentLock, Intent, TradeRow, TradingControl
from core.db_state_manager.states import (
    ControlState,
    IntentAction,
    IntentSource,
    IntentState,
)
from core.db_state_manager.watching import MarketMark
from core.portfolio_state import InstrumentBook
from live.api.refusals import NotThere
from live.api.rest import Room
from live.api.schemas import Page, PageAsked, instrument, moment, page, page_of, schema_of
from live.web_parts import WebParts

_PAISA = Decimal("0.01")
_PERCENT = Decimal("0.0001")
_POSITION_ID = re.compile(r"[A-Z][A-Z0-9_]{0,39}/[0-9]{1,9}/Long_[1-6]")
_CURVE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Load:
    """Rupees, in percent of the equity that limits are measured on, and the limit."""

    amount: Decimal
    pct: Decimal | None
    cap_pct: Decimal


@dataclass(frozen=True, slots=True)
class ActiveIntent:
    """An operation that is not finished."""

    id: int
    signal_id: int | None
    instrument: str
    source: IntentSource
    action: IntentAction
    state: IntentState
    layer: int | None
    lots: int
    reason: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class InstrumentStatus:
    """One instrument: what is held, what it is worth, what it may do.

    `price` is the latest of an alert's and the market's. `market_margin` is that of all lots at
    the market's price, and `marked_at` when that was looked at; None where it never was.
    """

    instrument: str
    enabled: bool
    control: ControlState
    locks: tuple[InstrumentLock, ...]
    trade_no: int
    layers: int
    lots: int
    price: Decimal | None
    atr: Decimal | None
    open_pnl: Decimal
    risk: Load
    volatility: Load
    margin: Load
    market_margin: Decimal | None
    marked_at: datetime | None


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """The whole account. `blended` is half-way between closed and open equity.

    Risk, volatility and margin include what orders in flight reserve.
    """

    at: datetime
    is_paper: bool
    is_test: bool
    equity_basis: EquityBasis
    closed_equity: Decimal
    open_pnl: Decimal
    open_equity: Decimal
    blended_equity: Decimal
    equity_high: Decimal
    charges: Decimal
    margin_reserved: Decimal
    risk: Load
    volatility: Load
    margin: Load
    control: ControlState
    controls: tuple[TradingControl, ...]
    intents: tuple[ActiveIntent, ...]
    instruments: tuple[InstrumentStatus, ...]


class PositionsAsked(PageAsked):
    """Which positions."""

    instrument = instrument(load_default=None)
    state = fields.String(load_default="open", validate=validate.OneOf(["open", "all"]))


class RowsAsked(PageAsked):
    """Which rows."""

    instrument = instrument(load_default=None)


class CurveAsked(PageAsked):
    """Which part of the curve; the last 30 days where nothing is said."""

    since = moment(load_default=None)


def portfolio_room(parts: WebParts) -> Room:
    """GET /status, /positions, /positions/<id>, /trades, /orders and /equity."""
    room = Room("portfolio", __name__, description="The account and what it holds")
    reads = parts.reads

    @room.get_from("/status", schema_of(AccountStatus))
    def status() -> AccountStatus:
        """Equity, risk, volatility and margin against their caps, and what may be traded."""
        return account_status(parts)

    @room.get_from("/positions", page_of(MarkedPosition), PositionsAsked)
    def positions(
        limit: int, cursor: int | None, instrument: str | None, state: str
    ) -> Page[MarkedPosition]:
        """Layers that are held, or with `state=all` closed ones too; newest first."""
        held = state == "open"
        rows = reads.marked_positions(limit + 1, cursor, instrument, held=held)
        return page(rows, limit, lambda row: row.key)

    @room.get_from("/positions/<path:position_id>", schema_of(MarkedPosition))
    def position(position_id: str) -> MarkedPosition:
        """One layer by its id, such as BANK_NIFTY/1/Long_1."""
        known = _POSITION_ID.fullmatch(position_id)
        found = reads.marked_position(position_id) if known else None
        if found is None:
            raise NotThere("position")
        return found

    @room.get_from("/trades", page_of(TradeRow), RowsAsked)
    def trades(limit: int, cursor: int | None, instrument: str | None) -> Page[TradeRow]:
        """Lots that were closed together; newest first."""
        return page(reads.trades(limit + 1, cursor, instrument), limit, lambda row: row.id)

    @room.get_from("/orders", page_of(PlacedOrder), RowsAsked)
    def orders(limit: int, cursor: int | None, instrument: str | None) -> Page[PlacedOrder]:
        """Orders at the broker, and what each was for; newest first."""
        return page(reads.placed_orders(limit + 1, cursor, instrument), limit, lambda row: row.id)

    @room.get_from("/equity", page_of(EquityPoint), CurveAsked)
    def equity(limit: int, cursor: int | None, since: datetime | None) -> Page[EquityPoint]:
        """The account's money over time; oldest first."""
        begin = since or parts.clock.now() - _CURVE
        return page(reads.equity_page(limit + 1, begin, cursor or 0), limit, lambda row: row.id)

    return room


def account_status(parts: WebParts) -> AccountStatus:
    """The account as the books have it now."""
    reads, config = parts.reads, parts.config
    book = reads.load_book()
    account = book.account(config.equity_basis)
    caps, equity = config.portfolio, account.equity
    controls, locks = tuple(reads.controls()), reads.instrument_locks()
    marks = reads.market_marks()
    return AccountStatus(
        at=parts.clock.now(),
        is_paper=parts.settings.is_paper,
        is_test=parts.settings.is_test,
        equity_basis=config.equity_basis,
        closed_equity=book.closed_equity,
        open_pnl=_rupees(book.open_pnl()),
        open_equity=_rupees(book.equity(EquityBasis.OPEN)),
        blended_equity=_rupees(book.equity(EquityBasis.BLENDED)),
        equity_high=book.equity_high,
        charges=book.charges,
        margin_reserved=_rupees(account.margin_reserved),
        risk=_load(account.risk, equity, caps.max_risk_pct),
        volatility=_load(account.volatility, equity, caps.max_volatility_pct),
        margin=_load(account.margin_in_use + account.margin_reserved, equity, caps.max_margin_pct),
        control=in_force(controls, GLOBAL),
        controls=controls,
        intents=tuple(map(_active, reads.active_intents())),
        instruments=tuple(
            _instrument(
                config,
                book[name],
                name,
                equity,
                in_force(controls, name),
                tuple(lock for lock in locks if lock.instrument == name),
                marks.get(name),
            )
            for name in parts.instruments
        ),
    )


def _instrument(
    config: PortfolioConfig,
    held: InstrumentBook,
    name: str,
    equity: Decimal,
    control: ControlState,
    locks: tuple[InstrumentLock, ...],
    mark: MarketMark | None,
) -> InstrumentStatus:
    caps = config.portfolio
    return InstrumentStatus(
        instrument=name,
        enabled=config.instruments[name].enabled,
        control=control,
        locks=locks,
        trade_no=held.trade_no,
        layers=len(held.layers),
        lots=sum(layer.lots for layer in held.layers),
        price=held.price,
        atr=held.atr,
        open_pnl=_rupees(held.open_pnl()),
        risk=_load(held.risk(), equity, caps.max_risk_pct),
        volatility=_load(held.volatility(), equity, caps.max_volatility_pct),
        margin=_load(held.margin, equity, caps.max_margin_pct),
        market_margin=None if mark is None else mark.margin,
        marked_at=None if mark is None else mark.marked_at,
    )


def _active(intent: Intent) -> ActiveIntent:
    return ActiveIntent(
        intent.id,
        intent.signal_id,
        intent.instrument,
        intent.source,
        intent.action,
        intent.state,
        intent.layer,
        intent.lots,
        intent.reason,
        intent.created_at,
    )


def _load(amount: Decimal, equity: Decimal, cap_pct: Decimal) -> Load:
    pct = (amount / fraction(equity)).quantize(_PERCENT) if equity > 0 else None
    return Load(_rupees(amount), pct, cap_pct)


def _rupees(amount: Decimal) -> Decimal:
    return amount.quantize(_PAISA)
