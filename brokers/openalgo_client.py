"""OpenAlgo as a Broker: one method a call, typed both ways, no order ever sent twice.

The gateway's one switch between live and sandbox can be flipped behind our back, so each answer
that carries the mode is held against the configured one. The client knows each contract's lot,
tick and freeze quantity of the day and refuses what the gateway would pass on unchecked.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal

from brokers import openalgo_answers as answers
from brokers.answer_fields import AnswerFields
from brokers.messages import (
    Contract,
    ContractKind,
    Funds,
    GatewayMode,
    Margin,
    MarginLeg,
    MarketHoliday,
    OrderRequest,
    OrderRow,
    PlacedOrder,
    PositionRow,
    Product,
    Quote,
    Session,
    SymbolInfo,
    TradeRow,
)
from brokers.openalgo_errors import (
    Answer,
    AnswerUnknown,
    CallKind,
    RefusalCode,
    WrongModeOutcome,
    error_of,
    is_ambiguous_refusal,
)
from brokers.openalgo_http import GatewayAddress, GatewayHttp
from brokers.order_checks import check_order
from brokers.rate_limit import CallLimiter
from brokers.read_budget import ReadBudget
from core.errors import OutcomeUnknown, PortfolioError, Rejected
from core.ports import Clock

_LABEL = "PM"
_MOST_MARGIN_LEGS = 50
_TOO_MANY = 429
_REMEDIES = {
    RefusalCode.BAD_KEY: "the gateway does not know this API key",
    RefusalCode.SESSION_DEAD: "the session is gone: log in at the gateway and the broker again",
    RefusalCode.FORBIDDEN: "the key is wrong or the session is gone; which, could not be told",
}


class OpenAlgoClient:
    """The gateway's client; see `brokers.port.Broker` for what each method promises.

    `mode` is the one that orders must be handled in. `limiter` is shared by every client of the
    account in this process, `reads` likewise; `wait` sleeps the seconds they ask for.
    """

    def __init__(
        self,
        address: GatewayAddress,
        mode: GatewayMode,
        clock: Clock,
        limiter: CallLimiter,
        wait: Callable[[float], None] = time.sleep,
        reads: ReadBudget | None = None,
    ) -> None:
        self._http = GatewayHttp(address)
        self._url = address.url
        self._mode = mode
        self._clock = clock
        self._limiter = limiter
        self._reads = ReadBudget(clock) if reads is None else reads
        self._wait = wait
        self._symbols: dict[Contract, tuple[date, SymbolInfo]] = {}

    def __repr__(self) -> str:
        return f"OpenAlgoClient({self._url!r}, {self._mode.value})"

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()

    def ping(self) -> str:
        """The broker's name. A token that died at the broker still answers."""
        return answers.read_broker_name(self._read("ping"))

    def analyzer_mode(self) -> GatewayMode:
        """Where orders go right now."""
        return answers.read_analyzer_mode(self._read("analyzer"))

    def assert_mode(self) -> None:
        """Raise Rejected (WRONG_MODE) unless the gateway's switch is as configured."""
        found = self.analyzer_mode()
        if found is not self._mode:
            raise self._wrong_mode("analyzer", found)

    def quote(self, contract: Contract) -> Quote:
        """Present prices of one contract."""
        return answers.read_quote(contract, self._read("quotes", _named(contract)))

    def quotes(self, contracts: Sequence[Contract]) -> Mapping[Contract, Quote]:
        """Present prices of several; a contract without a quote is absent."""
        asked = {"symbols": [_named(contract) for contract in contracts]}
        found = answers.read_quotes(self._read("multiquotes", asked))
        return {contract: found[contract] for contract in contracts if contract in found}

    def symbol(self, contract: Contract) -> SymbolInfo:
        """The contract in the broker's master, read once a day (IST)."""
        today = self._clock.now().date()
        known = self._symbols.get(contract)
        if known is not None and known[0] == today:
            return known[1]
        info = answers.read_symbol(contract, self._read("symbol", _named(contract)))
        self._symbols[contract] = (today, info)
        return info

    def forget_symbols(self) -> None:
        """Read every contract anew: the master may have been downloaded since."""
        self._symbols.clear()

    def expiries(self, root: str, exchange: str, kind: ContractKind) -> tuple[date, ...]:
        """Listed expiries, nearest first; never empty."""
        asked = {"symbol": root, "exchange": exchange, "instrumenttype": kind.value}
        return answers.read_expiries(self._read("expiry", asked))

    def funds(self) -> Funds:
        """The account's money."""
        return answers.read_funds(self._read_in_mode("funds"))

    def margin(self, legs: Sequence[MarginLeg]) -> Margin:
        """What the broker would block for up to 50 legs together. Quantities go as text."""
        if not 1 <= len(legs) <= _MOST_MARGIN_LEGS:
            raise Rejected("BAD_QUANTITY", f"margin is asked for 1 to 50 legs, not {len(legs)}")
        positions = [
            {
                **_named(leg.contract),
                "action": leg.action.value,
                "quantity": str(leg.quantity),
                "product": Product.NRML.value,
                "pricetype": "MARKET",
            }
            for leg in legs
        ]
        return answers.read_margin(self._read("margin", {"positions": positions}))

    def place_order(
        self, order: OrderRequest, may_go: Callable[[], None] | None = None
    ) -> PlacedOrder:
        """Send an order, once. Raises Rejected unsent where the contract does not allow it."""
        check_order(order, self.symbol(order.contract))
        answer = self._order("placeorder", _order_fields(order), may_go)
        fields = AnswerFields(answer.body, "placeorder")
        if not fields.mentions("orderid"):
            raise _not_placed(answer, fields)
        order_id = _order_id("placeorder", fields)
        self._check_outcome_mode("placeorder", order_id, answer)
        return PlacedOrder(order_id, self._mode)

    def modify_order(
        self, order_id: str, order: OrderRequest, may_go: Callable[[], None] | None = None
    ) -> None:
        """Make a working order into `order`; its quantity is the new total."""
        check_order(order, self.symbol(order.contract))
        fields = {**_order_fields(order), "orderid": order_id}
        self._change("modifyorder", order_id, fields, may_go)

    def cancel_order(self, order_id: str) -> None:
        """Cancel a working order. Whatever it raises, `order_status` tells what became of it."""
        self._change("cancelorder", order_id, {"strategy": _LABEL, "orderid": order_id})

    def order_status(self, order_id: str) -> OrderRow:
        """One order of the session. Raises Rejected (NOT_FOUND) for one it does not have."""
        asked = {"strategy": _LABEL, "orderid": order_id}
        return answers.read_order(order_id, self._read_in_mode("orderstatus", asked))

    def orderbook(self) -> tuple[OrderRow, ...]:
        """Every order since 03:00, in no particular order."""
        return answers.read_orders(self._read_in_mode("orderbook"))

    def tradebook(self) -> tuple[TradeRow, ...]:
        """Every fill since 03:00."""
        return answers.read_trades(self._read_in_mode("tradebook"))

    def positionbook(self) -> tuple[PositionRow, ...]:
        """The account's positions; empty only where the broker says so."""
        return answers.read_positions(self._read_in_mode("positionbook"))

    def market_holidays(self, year: int) -> tuple[MarketHoliday, ...]:
        """Holidays of a year that the gateway knows; an unknown one raises AnswerUnknown."""
        return answers.read_holidays(self._read("market/holidays", {"year": year}))

    def market_timings(self, day: date) -> tuple[Session, ...]:
        """Sessions of a day. Worth something only in a year whose holidays are known."""
        return answers.read_sessions(self._read("market/timings", {"date": day.isoformat()}))

    def diagnose_403(self) -> RefusalCode:
        """Why the key was refused: `expiry` looks at the key alone, everything else at more."""
        asked = {"symbol": "BANKNIFTY", "exchange": "NFO", "instrumenttype": "options"}
        try:
            answer = self._http.read("expiry", asked)
        except PortfolioError:
            return RefusalCode.FORBIDDEN
        if is_ambiguous_refusal(answer):
            return RefusalCode.BAD_KEY
        is_known = error_of(CallKind.READ, "expiry", answer) is None
        return RefusalCode.SESSION_DEAD if is_known else RefusalCode.FORBIDDEN

    def _read(self, endpoint: str, fields: Mapping[str, object] | None = None) -> Answer:
        wait_s = self._reads.take(endpoint)
        if wait_s > 0:
            self._wait(wait_s)
        answer = self._http.read(endpoint, fields or {})
        self._reads.told(endpoint, too_many=answer.status == _TOO_MANY)
        self._raise_failure(CallKind.READ, endpoint, answer)
        return answer

    def _read_in_mode(self, endpoint: str, fields: Mapping[str, object] | None = None) -> Answer:
        """A read of books that the live broker and the sandbox each have for themselves."""
        answer = self._read(endpoint, fields)
        told = answers.mode_told(answer)
        if told != self._mode:
            raise self._wrong_mode(endpoint, told)
        return answer

    def _order(
        self,
        endpoint: str,
        fields: Mapping[str, object],
        may_go: Callable[[], None] | None = None,
    ) -> Answer:
        wait_s = self._limiter.take()
        if wait_s > 0:
            self._wait(wait_s)
        if may_go is not None:
            may_go()
        answer = self._http.order(endpoint, fields)
        self._raise_failure(CallKind.ORDER, endpoint, answer)
        return answer

    def _change(
        self,
        endpoint: str,
        order_id: str,
        fields: Mapping[str, object],
        may_go: Callable[[], None] | None = None,
    ) -> None:
        answer = self._order(endpoint, fields, may_go)
        changed = _order_id(endpoint, AnswerFields(answer.body, endpoint))
        if changed != order_id:
            raise OutcomeUnknown(f"{endpoint}: order {order_id} was meant, {changed} answered for")
        self._check_outcome_mode(endpoint, order_id, answer)

    def _check_outcome_mode(self, endpoint: str, order_id: str, answer: Answer) -> None:
        told = answers.mode_told(answer)
        if told != self._mode:
            raise WrongModeOutcome(endpoint, order_id, told)

    def _wrong_mode(self, endpoint: str, found: str) -> Rejected:
        message = f"{endpoint}: the gateway is in mode {found}, configured is {self._mode.value}"
        return Rejected(RefusalCode.WRONG_MODE, message)

    def _raise_failure(self, kind: CallKind, endpoint: str, answer: Answer) -> None:
        if is_ambiguous_refusal(answer):
            is_telling = endpoint == "expiry"
            code = RefusalCode.BAD_KEY if is_telling else self.diagnose_403()
            raise Rejected(code, f"{endpoint}: refused; {_REMEDIES[code]}")
        error = error_of(kind, endpoint, answer)
        if error is not None:
            raise error


def _named(contract: Contract) -> dict[str, str]:
    return {"symbol": contract.symbol, "exchange": contract.exchange}


def _order_fields(order: OrderRequest) -> dict[str, object]:
    """Every field the gateway knows: its defaults (MIS, MARKET) are not ours."""
    return {
        "strategy": order.tag,
        **_named(order.contract),
        "action": order.action.value,
        "quantity": order.quantity,
        "pricetype": order.price_type.value,
        "product": Product.NRML.value,
        "price": _json_number(order.price),
        "trigger_price": _json_number(order.trigger_price),
        "disclosed_quantity": 0,
    }


def _json_number(price: Decimal) -> float:
    """A float writes itself as the shortest text that reads back the same: the price."""
    return float(price)


def _order_id(endpoint: str, fields: AnswerFields) -> str:
    """The id in an order call's success; without a readable one its outcome is unknown."""
    try:
        return fields.identity("orderid")
    except AnswerUnknown:
        raise OutcomeUnknown(f"{endpoint}: success without a readable order id") from None


def _not_placed(answer: Answer, fields: AnswerFields) -> Rejected:
    """A success without an order id: queued for somebody's approval, or nothing to do."""
    said = fields.note("message") or "no order id"
    if answers.mode_told(answer) == "semi_auto":
        remedy = "switch the key's order mode from semi-auto to auto"
        return Rejected(RefusalCode.SEMI_AUTO, f"placeorder: {said}; {remedy}")
    return Rejected(RefusalCode.NOT_PLACED, f"placeorder: success, but not placed: {said}")
