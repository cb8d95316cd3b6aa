"""Faults are set, seen and cleared under /control, and the truth is read there.

Adding takes the key in the body, as every call does; what only reads or clears has no body and
takes it as the header X-Api-Key.
"""

import json
from collections.abc import Callable, Mapping
from hmac import compare_digest
from typing import Any

from flask import Flask, Response, jsonify, request

from brokers.paper_exchange.calls import Json, Request
from brokers.paper_exchange.exchange import PaperExchange
from brokers.paper_exchange.fault_plan import FaultPlan
from brokers.paper_exchange.fault_quotes import prices_now
from brokers.paper_exchange.fault_schemas import told_faults
from brokers.paper_exchange.fault_store import FaultStore
from brokers.paper_exchange.faults import FaultName
from brokers.paper_exchange.truth import faults_set, truth

Ask = Callable[[str, Request], Json]
Told = Callable[..., tuple[Response, int]]
_WHOLE_BOOKS = ("orderbook", "tradebook", "positionbook", "funds")


class FaultControl:
    """The faults of one exchange. `ask` answers a call truly."""

    def __init__(
        self, plan: FaultPlan, store: FaultStore, exchange: PaperExchange, ask: Ask
    ) -> None:
        self.plan = plan
        self._store = store
        self._exchange = exchange
        self._ask = ask

    def add(self, asked: Request) -> Json:
        """Set the faults of a checked request."""
        return {"data": self.set_up(told_faults(asked)), "status": "success"}

    def set_up(self, rows: list[dict[str, Any]]) -> list[Json]:
        """Set faults that were told; number and name of each."""
        faults = [self.plan.add(row, self._remembered) for row in rows]
        return [{"number": each.number, "fault": each.name.value} for each in faults]

    def set_up_scenario(self, rows: list[dict[str, Any]]) -> None:
        """Set a scenario in place of all faults; one that is in force goes on as it was."""
        text = json.dumps(rows)
        if self._store.scenario() == text:
            return
        self.plan.clear()
        self.set_up(rows)
        self._store.keep_scenario(text)

    def routes(self, app: Flask, apikey: str) -> None:
        """Offer what has no body."""

        def guarded(
            answer: Callable[..., Json | list[Json]],
        ) -> Callable[..., tuple[Response, int]]:
            def respond(**named: int) -> tuple[Response, int]:
                told = request.headers.get("X-Api-Key", "").encode(errors="replace")
                if not compare_digest(told, apikey.encode()):
                    message = "Invalid openalgo apikey"
                    return jsonify({"message": message, "status": "error"}), 403
                return jsonify({"data": answer(**named), "status": "success"}), 200

            return respond

        offered = (
            ("GET", "/control/faults", self._seen),
            ("DELETE", "/control/faults", self._clear),
            ("DELETE", "/control/faults/<int:number>", self._clear),
            ("GET", "/control/truth", self._truth),
        )
        for method, path, answer in offered:
            app.add_url_rule(path, f"{method} {path}", guarded(answer), methods=[method])

    def _seen(self) -> list[Json]:
        return faults_set(self._store)

    def _clear(self, number: int | None = None) -> list[Json]:
        self.plan.clear(number)
        return self._seen()

    def _truth(self) -> Json:
        return truth(self._exchange, self._store)

    def _remembered(self, told: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a fault must know of the exchange as it is when it is set."""
        match told["fault"]:
            case FaultName.QUOTES_FROZEN:
                return {"prices": prices_now(self._exchange)}
            case FaultName.BOOKS_STALE:
                return {"bodies": self._bodies()}
            case FaultName.TRANSITIONAL_STATUS:
                return {"last_orderid": self._last_orderid()}
        return {}

    def _last_orderid(self) -> str:
        with self._exchange.view() as view:
            return max((order.orderid for order in view.books.orders), default="")

    def _bodies(self) -> Json:
        with self._exchange.view() as view:
            orderids = [order.orderid for order in view.books.orders]
            held = {
                f"{each.exchange}:{each.symbol}:{each.product}": each.quantity
                for each in view.books.holdings
            }
            bodies = {name: self._ask(name, {}) for name in _WHOLE_BOOKS}
            status = {each: self._ask("orderstatus", {"orderid": each}) for each in orderids}
        return {**bodies, "orderstatus": status, "openposition": held}
