"""What the trading side may ask of a broker. Whoever offers this can be traded on.

Each method raises only errors of core.errors: a read Retryable or Rejected; an order call
Retryable (surely nothing happened), Rejected (refused) or OutcomeUnknown (look before acting), and
Halted where the gateway itself is stopped.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Protocol

from brokers.messages import (
    Contract,
    ContractKind,
    Funds,
    GatewayMode,
    Margin,
    MarginLeg,
    OrderRequest,
    OrderRow,
    PlacedOrder,
    PositionRow,
    Quote,
    SymbolInfo,
    TradeRow,
)


class Broker(Protocol):
    """Orders, books and prices of one account."""

    def ping(self) -> str:
        """The broker's name. Says nothing about the session at the broker."""
        ...

    def analyzer_mode(self) -> GatewayMode:
        """Where orders go right now."""
        ...

    def assert_mode(self) -> None:
        """Raise Rejected (WRONG_MODE) unless orders go where the configuration says."""
        ...

    def quote(self, contract: Contract) -> Quote:
        """Present prices of one contract."""
        ...

    def quotes(self, contracts: Sequence[Contract]) -> Mapping[Contract, Quote]:
        """Present prices of several; a contract without a quote is absent."""
        ...

    def symbol(self, contract: Contract) -> SymbolInfo:
        """The contract in the broker's master, as read today."""
        ...

    def expiries(self, root: str, exchange: str, kind: ContractKind) -> tuple[date, ...]:
        """Listed expiries, nearest first; never empty."""
        ...

    def funds(self) -> Funds:
        """The account's money."""
        ...

    def margin(self, legs: Sequence[MarginLeg]) -> Margin:
        """What the broker would block for the legs together."""
        ...

    def place_order(
        self, order: OrderRequest, may_go: Callable[[], None] | None = None
    ) -> PlacedOrder:
        """Send an order, once.

        `may_go` is asked after every wait, right before the order leaves; what it raises keeps it.
        """
        ...

    def modify_order(
        self, order_id: str, order: OrderRequest, may_go: Callable[[], None] | None = None
    ) -> None:
        """Make a working order into `order`; its quantity is the new total. `may_go` as above."""
        ...

    def cancel_order(self, order_id: str) -> None:
        """Cancel a working order. A refusal may mean that it has just filled: look."""
        ...

    def order_status(self, order_id: str) -> OrderRow:
        """One order of the session."""
        ...

    def orderbook(self) -> tuple[OrderRow, ...]:
        """Every order of the session, in no particular order."""
        ...

    def tradebook(self) -> tuple[TradeRow, ...]:
        """Every fill of the session."""
        ...

    def positionbook(self) -> tuple[PositionRow, ...]:
        """The account's positions; empty only where the broker says so."""
        ...
