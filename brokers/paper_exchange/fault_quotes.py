"""Quotes that are not what the market is: of another moment, crossed, or not there.

None: there was nothing to lie about.
"""

from collections.abc import Mapping
from copy import deepcopy
from datetime import date
from decimal import Decimal

from brokers.paper_exchange import answers
from brokers.paper_exchange.calls import Answer, Json
from brokers.paper_exchange.exchange import PaperExchange
from brokers.paper_exchange.fault_stroke import Stroke
from brokers.paper_exchange.market import DayPrices


def crossed(stroke: Stroke, answer: Answer) -> Answer | None:
    """Bid and ask have changed places."""
    changed = Answer(deepcopy(answer.body))
    for _, _, row in _quote_rows(stroke, changed):
        if "bids" in row:
            row["bids"], row["asks"] = row["asks"], row["bids"]
        else:
            row["bid"], row["ask"] = row["ask"], row["bid"]
    return None if changed == answer else changed


def frozen(stroke: Stroke, answer: Answer) -> Answer | None:
    """The quotes of the moment at which the fault was set."""
    prices = [_day_prices(row) for row in stroke.fault.memory["prices"]]
    changed = Answer(deepcopy(answer.body))
    with stroke.exchange.view() as view:
        then = view.market.at(prices)
        for symbol, exchange, row in _quote_rows(stroke, changed):
            contract = then.find(symbol, exchange, view.day)
            if contract is not None:
                quote = then.quote(contract, view.day)
                is_depth = "bids" in row
                row |= answers.depth_row(quote, contract) if is_depth else answers.quote_row(quote)
    return None if changed == answer else changed


def absent(stroke: Stroke, answer: Answer) -> Answer | None:
    """Quotes of several contracts without those that the master does not have."""
    if stroke.endpoint != "multiquotes":
        return None
    gone = {(symbol, exchange) for symbol, exchange, _ in _quote_rows(stroke, answer)}
    rows = [
        {"error": answers.unknown_symbol(row["symbol"], row["exchange"])}
        | {name: row[name] for name in ("exchange", "symbol")}
        if (row["symbol"], row["exchange"]) in gone
        else row
        for row in answer.body.get("results", ())
    ]
    rows.sort(key=lambda row: "data" in row)
    return Answer({**answer.body, "results": rows}) if gone else None


def prices_now(exchange: PaperExchange) -> list[dict[str, str]]:
    """Every instrument's price, to be remembered."""
    with exchange.view() as view:
        found = map(view.market.day_prices, view.market.listing.instruments)
        return [
            {name: str(getattr(each, name)) for name in DayPrices.__slots__}
            for each in found
            if each is not None
        ]


def _quote_rows(stroke: Stroke, answer: Answer) -> list[tuple[str, str, Json]]:
    """Symbol, exchange and row of each quote that the rule concerns."""
    if not answer.is_success:
        return []
    body = answer.body
    named = body["results"] if "results" in body else [{**stroke.asked, "data": body["data"]}]
    rows = [each for each in named if "data" in each]
    found = [(each["symbol"], each["exchange"], each["data"]) for each in rows]
    return [
        (symbol, exchange, row)
        for symbol, exchange, row in found
        if stroke.concerns({"symbol": symbol, "exchange": exchange})
    ]


def _day_prices(row: Mapping[str, str]) -> DayPrices:
    at = [Decimal(row[name]) for name in ("open", "high", "low", "last", "prev_close")]
    return DayPrices(row["instrument"], date.fromisoformat(row["session"]), *at)
