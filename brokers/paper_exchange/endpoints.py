"""What each endpoint does with a request that passed its schema, and how it words the outcome.

`Rejected` goes up to the caller that knows HTTP; every other outcome is an answer here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from zlib import crc32

from marshmallow import Schema

from brokers.paper_exchange import answers, schemas, sessions
from brokers.paper_exchange.calls import Json, Request
from brokers.paper_exchange.exchange import PaperExchange
from brokers.paper_exchange.funds import ExchangeView, Leg
from brokers.paper_exchange.orders import Action, Mode, OrderChange, OrderRequest, PriceType
from core.errors import Rejected
from core.exchange_days import ExchangeDays
from core.market_calendar import MarketCalendar

Handler = Callable[[Request], Json]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address under /api/v1.

    `words_errors`: schema errors are a dict in a text, as on orders, and not an object.
    `names_mode`: refusals carry the sandbox's mode; `names_mode_early`: schema errors do too.
    """

    schema: Schema
    handle: Handler
    calls_per_s: int
    words_errors: bool = False
    names_mode: bool = False
    names_mode_early: bool = False
    checks_key: bool = True


class Endpoints:
    """The gateway's endpoints over one exchange."""

    def __init__(self, exchange: PaperExchange, days: Mapping[str, ExchangeDays]) -> None:
        self._exchange = exchange
        self._days = days
        self._calendar = MarketCalendar(days)

    def table(self, orders_per_s: int, reads_per_s: int) -> dict[str, Endpoint]:
        """All endpoints by their path."""

        def order(schema: Schema, handle: Handler, early: bool = False) -> Endpoint:
            return Endpoint(schema, handle, orders_per_s, True, True, early)

        def book(schema: Schema, handle: Handler) -> Endpoint:
            return Endpoint(schema, handle, reads_per_s, True, True)

        def data(schema: Schema, handle: Handler, checks_key: bool = True) -> Endpoint:
            return Endpoint(schema, handle, reads_per_s, checks_key=checks_key)

        key = schemas.KeySchema()
        return {
            "placeorder": order(schemas.OrderSchema(), self._place),
            "modifyorder": order(schemas.ModifySchema(), self._modify, early=True),
            "cancelorder": order(schemas.OrderIdSchema(), self._cancel),
            "orderstatus": book(schemas.OrderIdSchema(), self._order_status),
            "openposition": book(schemas.OpenPositionSchema(), self._open_position),
            "orderbook": book(key, self._order_book),
            "tradebook": book(key, self._trade_book),
            "positionbook": book(key, self._position_book),
            "funds": book(key, self._funds),
            "margin": Endpoint(schemas.MarginSchema(), self._margin, reads_per_s, True),
            "ping": data(key, self._ping),
            "analyzer": data(key, self._analyzer),
            "analyzer/toggle": data(schemas.ModeSchema(), self._toggle),
            "quotes": data(schemas.ContractSchema(), self._quotes),
            "multiquotes": data(schemas.MultiQuotesSchema(), self._multi_quotes),
            "depth": data(schemas.ContractSchema(), self._depth),
            "symbol": data(schemas.ContractSchema(), self._symbol),
            "expiry": data(schemas.ExpirySchema(), self._expiry),
            "market/holidays": data(schemas.YearSchema(), self._holidays, checks_key=False),
            "market/timings": data(schemas.DaySchema(), self._timings, checks_key=False),
        }

    def ask(self, path: str, asked: Request) -> Json:
        """The answer to a request as it is, unchecked and undisturbed. Raises Rejected."""
        return self.table(1, 1)[path].handle(asked)

    def control(self, reads_per_s: int) -> dict[str, Endpoint]:
        """What moves the market and the time, by path under /control."""
        return {
            "price": Endpoint(schemas.PriceSchema(), self._set_price, reads_per_s),
            "touch": Endpoint(schemas.TouchSchema(), self._set_touch, reads_per_s),
            "clock": Endpoint(schemas.ClockSchema(), self._set_clock, reads_per_s),
        }

    def _place(self, asked: Request) -> Json:
        order = self._exchange.place(
            OrderRequest(
                strategy=asked["strategy"],
                exchange=asked["exchange"],
                symbol=asked["symbol"],
                action=Action(asked["action"].upper()),
                quantity=asked["quantity"],
                pricetype=PriceType(asked["pricetype"]),
                product=asked["product"],
                price=asked["price"],
                trigger_price=asked["trigger_price"],
            ),
            asked.get("pieces", ()),
        )
        return answers.done_row(order.orderid, self._exchange.mode)

    def _modify(self, asked: Request) -> Json:
        change = OrderChange(
            asked["orderid"], asked["quantity"], asked["price"], asked["trigger_price"]
        )
        order = self._exchange.modify(change)
        text = "Order modified successfully"
        return answers.done_row(order.orderid, self._exchange.mode, text)

    def _cancel(self, asked: Request) -> Json:
        order = self._exchange.cancel(asked["orderid"])
        text = "Order cancelled successfully"
        return answers.done_row(order.orderid, self._exchange.mode, text)

    def _with_mode(self, body: Json) -> Json:
        """A success; the sandbox says that it is one."""
        mode = self._exchange.mode
        shown = {"mode": mode.value} if mode is Mode.ANALYZE else {}
        return {"status": "success", **shown, **body}

    def _order_status(self, asked: Request) -> Json:
        with self._exchange.view() as view:
            order = view.books.order(asked["orderid"])
            if order is None:
                raise Rejected("ORDER_NOT_FOUND", f"Order {asked['orderid']} not found")
            row = answers.order_status_row(order, view.mode, view.books.trades)
        return self._with_mode({"data": row})

    def _order_book(self, _: Request) -> Json:
        with self._exchange.view() as view:
            rows = [answers.order_row(order, view.mode) for order in view.books.orders]
            statistics = answers.order_statistics(view.books.orders, view.mode)
            newest_first = view.mode is Mode.ANALYZE
        ordered = rows[::-1] if newest_first else rows
        return self._with_mode({"data": {"orders": ordered, "statistics": statistics}})

    def _trade_book(self, _: Request) -> Json:
        with self._exchange.view() as view:
            rows = [answers.trade_row(trade, view.mode) for trade in view.books.trades]
            newest_first = view.mode is Mode.ANALYZE
        return self._with_mode({"data": rows[::-1] if newest_first else rows})

    def _position_book(self, _: Request) -> Json:
        with self._exchange.view() as view:
            rows = [
                answers.position_row(held, view.ltp(held), view.mode)
                for held in view.books.holdings
            ]
            totals = answers.position_totals(view) if view.mode is Mode.ANALYZE else {}
        return self._with_mode({"data": rows, **totals})

    def _open_position(self, asked: Request) -> Json:
        with self._exchange.view() as view:
            held = view.books.holding(asked["exchange"], asked["symbol"], asked["product"])
        return self._with_mode({"quantity": 0 if held is None else held.quantity})

    def _funds(self, _: Request) -> Json:
        with self._exchange.view() as view:
            return self._with_mode({"data": answers.funds_row(view)})

    def _margin(self, asked: Request) -> Json:
        with self._exchange.view() as view:
            found = (_leg(view, row) for row in asked["positions"])
            legs = [leg for leg in found if leg is not None]
            if not legs:
                text = "No valid positions to calculate margin. Check if symbols are valid."
                raise Rejected("NO_VALID_POSITIONS", text)
            return _success(answers.margin_row(view.margin(legs)))

    def _ping(self, _: Request) -> Json:
        return _success({"broker": "paper", "message": "pong"})

    def _analyzer(self, _: Request) -> Json:
        return _success(self._mode_row())

    def _toggle(self, asked: Request) -> Json:
        self._exchange.set_mode(Mode.ANALYZE if asked["mode"] else Mode.LIVE)
        row = self._mode_row()
        return _success({**row, "message": f"Analyzer mode switched to {row['mode']}"})

    def _mode_row(self) -> Json:
        mode = self._exchange.mode
        with self._exchange.view() as view:
            logged = len(view.books.orders)
        return {
            "analyze_mode": mode is Mode.ANALYZE,
            "mode": mode.value,
            "total_logs": logged,
        }

    def _quotes(self, asked: Request) -> Json:
        row = self._quote_row(asked)
        if "error" in row:
            raise Rejected("UNKNOWN_SYMBOL", row["error"])
        return _success(row["data"])

    def _multi_quotes(self, asked: Request) -> Json:
        rows = [{**self._quote_row(each), **each} for each in asked["symbols"]]
        rows.sort(key=lambda row: "data" in row)
        return {"results": rows, "status": "success"}

    def _quote_row(self, asked: Request) -> Json:
        symbol, exchange = asked["symbol"], asked["exchange"]
        with self._exchange.view() as view:
            quote = answers.quotes_of(view, symbol, exchange)
        if quote is None:
            return {"error": answers.unknown_symbol(symbol, exchange)}
        return {"data": answers.quote_row(quote)}

    def _depth(self, asked: Request) -> Json:
        symbol, exchange = asked["symbol"], asked["exchange"]
        with self._exchange.view() as view:
            contract = view.market.find(symbol, exchange, view.day)
            if contract is None:
                raise Rejected("UNKNOWN_SYMBOL", answers.unknown_symbol(symbol, exchange))
            return _success(answers.depth_row(view.market.quote(contract, view.day), contract))

    def _symbol(self, asked: Request) -> Json:
        symbol, exchange = asked["symbol"], asked["exchange"]
        with self._exchange.view() as view:
            contract = view.market.find(symbol, exchange, view.day)
        if contract is None:
            raise Rejected("SYMBOL_NOT_FOUND", f"Symbol {symbol} not found in exchange {exchange}")
        return _success(answers.contract_row(contract, crc32(f"{exchange}:{symbol}".encode())))

    def _expiry(self, asked: Request) -> Json:
        symbol, exchange, kind = asked["symbol"], asked["exchange"], asked["instrumenttype"]
        with self._exchange.view() as view:
            options = kind == "options"
            found = view.market.listing.expiries(symbol, exchange, options, view.day)
        return answers.expiries_row(symbol, exchange, kind, found)

    def _holidays(self, asked: Request) -> Json:
        rows = sessions.holidays(self._days, self._calendar, asked["year"])
        return _success(rows) | {"timezone": "Asia/Kolkata", "year": asked["year"]}

    def _timings(self, asked: Request) -> Json:
        try:
            day = date.fromisoformat(asked["date"])
        except ValueError:
            text = "Invalid date format. Use YYYY-MM-DD"
            raise Rejected("BAD_DATE", text) from None
        return _success(sessions.timings(self._calendar, day))

    def _set_price(self, asked: Request) -> Json:
        self._exchange.move_price(asked["instrument"], asked["price"])
        return _success({"instrument": asked["instrument"], "price": float(asked["price"])})

    def _set_touch(self, asked: Request) -> Json:
        self._exchange.set_touch(asked["ticks"])
        return _success({"ticks": asked["ticks"]})

    def _set_clock(self, asked: Request) -> Json:
        if "at" in asked:
            self._exchange.hold_clock(asked["at"])
        elif "advance_s" in asked:
            self._exchange.advance_clock(timedelta(seconds=asked["advance_s"]))
        else:
            self._exchange.release_clock()
        return _success({"now": self._exchange.now().isoformat()})


def _success(data: object) -> Json:
    return {"data": data, "status": "success"}


def _leg(view: ExchangeView, row: Request) -> Leg | None:
    """A leg of a margin request; None where the symbol or a number is no good."""
    contract = view.market.find(row["symbol"], row["exchange"], view.day)
    if contract is None or contract.expiry is None:
        return None
    try:
        quantity, price = int(row["quantity"]), Decimal(row["price"])
    except (ValueError, InvalidOperation):
        return None
    if quantity <= 0 or not price.is_finite():
        return None
    if price <= 0:
        price = view.market.last_price(contract, view.day)
    return Leg(contract, row["product"], Action(row["action"].upper()), quantity, price)
