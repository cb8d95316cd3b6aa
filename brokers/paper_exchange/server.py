"""Puts an exchange together from its state folder and serves it on loopback."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path

from flask import Flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from brokers.paper_exchange.api import Limits, create_app
from brokers.paper_exchange.clock import ExchangeClock
from brokers.paper_exchange.endpoints import Endpoints
from brokers.paper_exchange.exchange import TOUCH, PaperExchange
from brokers.paper_exchange.fault_control import FaultControl
from brokers.paper_exchange.fault_plan import FaultPlan
from brokers.paper_exchange.fault_schemas import read_scenario
from brokers.paper_exchange.fault_store import FaultStore
from brokers.paper_exchange.listing import Listing
from brokers.paper_exchange.market import Market
from brokers.paper_exchange.order_stream import OrderStreamServer
from brokers.paper_exchange.orders import Mode
from brokers.paper_exchange.pricing import Rates
from brokers.paper_exchange.state_folder import StateFolder
from brokers.paper_exchange.store import Store
from brokers.paper_exchange.stream_faults import StreamFaults
from core.contracts import Contracts
from core.data import shipped
from core.data.fields import Fields
from core.exchange_days import ExchangeDays
from core.instruments import InstrumentCatalog
from core.market_calendar import MarketCalendar

HOST = "127.0.0.1"
OPENING_INR = Decimal(5_000_000)
FIRST_PRICES: Mapping[str, Decimal] = {
    "BANK_NIFTY": Decimal(58_000),
    "GOLD_MINI": Decimal(128_000),
}
_CALENDARS: Mapping[str, str] = {"NSE": "calendar_nse", "MCX": "calendar_mcx"}


@dataclass(frozen=True, slots=True)
class Settings:
    """How an exchange is set up. `mode` and `first_prices` count only until it has its own.

    `faults` is a scenario file: it takes the place of all faults, unless it is the one in force.
    `instruments` are rows over the shipped ones, as in an operator's file.
    """

    state: Path
    port: int = 0
    stream_port: int = 0
    opening_inr: Decimal = OPENING_INR
    mode: Mode | None = None
    rates: Rates = field(default_factory=Rates)
    limits: Limits = field(default_factory=Limits)
    lotsizes: Mapping[str, int] = field(default_factory=dict)
    first_prices: Mapping[str, Decimal] = field(default_factory=lambda: FIRST_PRICES)
    clock_offset_s: float = 0.0
    faults: Path | None = None
    instruments: object = None


@dataclass(frozen=True, slots=True)
class Assembled:
    """An exchange and the application that speaks for it, without a server in front."""

    exchange: PaperExchange
    app: Flask
    faults: FaultControl
    folder: StateFolder
    apikey: str


@dataclass(frozen=True, slots=True)
class Running:
    """An exchange and the server in front of it, not yet serving."""

    exchange: PaperExchange
    server: BaseWSGIServer
    stream: OrderStreamServer
    folder: StateFolder


class _Handler(WSGIRequestHandler):
    """Keeps connections, answers without delay and logs no requests: bodies carry the key."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, code: int | HTTPStatus | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def build(settings: Settings) -> Running:
    """Open the state folder and bind the port. Raises ConfigInvalid and OSError."""
    made = assemble(settings)
    server = make_server(HOST, settings.port, made.app, threaded=True, request_handler=_Handler)
    struck = StreamFaults(made.faults.plan)
    stream = OrderStreamServer(HOST, settings.stream_port, made.apikey, made.exchange, struck)
    made.exchange.tell(stream.changed)
    made.folder.announce(server.port, stream.port)
    return Running(made.exchange, server, stream, made.folder)


def assemble(settings: Settings, clock: ExchangeClock | None = None) -> Assembled:
    """Open the state folder, on a `clock` of the caller's own if there is one."""
    folder = StateFolder(settings.state)
    store = Store(folder.path)
    days = {
        exchange: ExchangeDays.read(Fields(shipped(name), name))
        for exchange, name in _CALENDARS.items()
    }
    catalog = InstrumentCatalog.shipped(settings.instruments)
    listing = Listing(catalog, Contracts(MarketCalendar(days), catalog), settings.lotsizes)
    touch_ticks = int(store.setting(TOUCH) or 1)
    market = Market(listing, settings.rates, store.prices(), touch_ticks)
    held = store.setting("clock")
    if clock is None:
        begins = datetime.fromisoformat(held) if held else None
        clock = ExchangeClock(begins, settings.clock_offset_s)
    first_mode = settings.mode if store.setting("mode") is None else None
    exchange = PaperExchange(store, market, clock, settings.opening_inr)
    if first_mode is not None:
        exchange.set_mode(first_mode)
    for instrument, price in settings.first_prices.items():
        if market.day_prices(instrument) is None:
            exchange.move_price(instrument, price)
    endpoints = Endpoints(exchange, days)
    faults = _faults(folder.path, exchange, clock, endpoints)
    if settings.faults is not None:
        faults.set_up_scenario(read_scenario(settings.faults))
    apikey = folder.apikey()
    app = create_app(exchange, apikey, endpoints, faults, clock, settings.limits)
    return Assembled(exchange, app, faults, folder, apikey)


def _faults(
    folder: Path, exchange: PaperExchange, clock: ExchangeClock, endpoints: Endpoints
) -> FaultControl:
    store = FaultStore(folder)
    return FaultControl(FaultPlan(store, clock), store, exchange, endpoints.ask)
