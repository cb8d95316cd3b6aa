"""A roll's legs in their safe order: all that is near is closed, then the next contract is opened.

Nothing is ever short without its long: near the short leg is bought back before the long one is
sold, far the long one is bought before the short one is sold, and what cannot be matched is given
back. Until the first lot has traded a roll may be given up; from then on near is chased as an exit
is. Far is opened within its time and price bounds or not at all. The same call begins the work,
goes on with it at exactly the leg it had come to, and takes it over from a process that died.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from brokers.messages import Contract
from brokers.port import Broker
from core.config import RolloverConfig, fraction
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.records import Intent, Leg
from core.db_state_manager.states import FINISHED_ORDERS
from core.errors import Halted, PortfolioError
from core.symbols import OptionSymbol, parse
from live.booking import traded
from live.exit_chase import was_in_vain
from live.order_executor import Outcome, SimpleLimitExecutor, Worked
from live.quoted import price_of
from live.sending import OrderSender
from live.single_leg import EntryLegs, SingleLegExecutor
from live.synthetic_futures import SyntheticFuturesExecutor
from live.unwinding import Unwinder

_UNSETTLED = (Outcome.NAKED, Outcome.UNKNOWN, Outcome.CHASING)
_NEAR_TRIES = 3
_FAR_TRIES = 6
_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True)
class FarLegs(EntryLegs):
    """Gets the legs of the next contract, each within a roll's own price cap."""

    broker: Broker
    rollover: RolloverConfig

    def first(self, intent: Intent, leg: Leg) -> Worked:
        """Passes until it is whole, nothing comes, or the roll's time is over."""
        return self._had(intent, leg, leg.quantity)

    def second(self, intent: Intent, leg: Leg, quantity: int) -> Worked:
        """The same, for as much as the first had."""
        return self._had(intent, leg, quantity)

    def keeps(self, leg: Leg, quantity: int) -> int:
        """Whole lots, however many they are."""
        lot = leg.quantity // leg.lots
        return quantity // lot * lot

    def _had(self, intent: Intent, leg: Leg, quantity: int) -> Worked:
        until_s = self.clock.monotonic() + float(self.rollover.leg_s)
        cap = self._cap(leg)
        worked = self.legs.work(intent, leg, quantity, cap)
        while worked.outcome in (Outcome.PARTLY_FILLED, Outcome.NOT_FILLED):
            is_over = worked.halted or self.legs.is_over(intent, leg)
            if is_over or self.clock.monotonic() >= until_s:
                break
            self.wait(_PAUSE_S)
            worked = self.legs.work(intent, leg, quantity, cap)
        return worked

    def _cap(self, leg: Leg) -> Decimal | None:
        """The cap on slippage, of the instrument's price, as a fraction of the leg's own."""
        allowed = fraction(self.rollover.max_slippage_pct)
        symbol = parse(leg.symbol)
        if not isinstance(symbol, OptionSymbol):
            return allowed
        try:
            touch = self.broker.quote(Contract(leg.symbol, leg.exchange)).ltp
        except PortfolioError:
            return None
        return allowed * symbol.strike / touch


@dataclass(frozen=True, slots=True)
class RollLegs:
    """Works rolls of one instrument; `wait` lets so many seconds pass."""

    store: DatabaseStateManager
    sender: OrderSender
    broker: Broker
    legs: SimpleLimitExecutor
    near_single: SingleLegExecutor
    near_synthetic: SyntheticFuturesExecutor
    far_single: SingleLegExecutor
    far_synthetic: SyntheticFuturesExecutor
    unwinder: Unwinder
    rollover: RolloverConfig
    wait: Callable[[float], None]

    def work(
        self,
        intent: Intent,
        near: Sequence[Sequence[Leg]],
        far: Sequence[Leg],
        most_passes: int | None = None,
    ) -> Worked:
        """Close near, contract by contract, then open far.

        FILLED when all is opened again; otherwise what was closed and not opened stays closed.
        CHASING when near is not closed after `most_passes` of a leg, or far may still be had.
        """
        for legs in near:
            closed = self._close(intent, legs, far, most_passes)
            if closed.outcome in _UNSETTLED:
                return closed
            if closed.quantity < legs[0].quantity:
                outcome = Outcome.PARTLY_FILLED if self._is_begun(intent) else Outcome.NOT_FILLED
                return Worked(outcome, closed.quantity, closed.reason)
        return self._open(intent, near, far, most_passes)

    def _close(
        self, intent: Intent, legs: Sequence[Leg], far: Sequence[Leg], most_passes: int | None
    ) -> Worked:
        while not self._is_begun(intent):
            if why := self._given_up(intent, far):
                return Worked(Outcome.NOT_FILLED, 0, why)
            worked = self._leave(intent, legs, 1)
            if worked.outcome is not Outcome.CHASING or most_passes is not None:
                return worked
            self.wait(_PAUSE_S)
        return self._leave(intent, legs, most_passes)

    def _given_up(self, intent: Intent, far: Sequence[Leg]) -> str:
        """Why a roll of which nothing has traded yet is left for another time.

        Not while an order lives: what became of that is seen first. What may not be opened again
        is not closed either.
        """
        orders = self.store.orders(intent.id)
        if any(order.state not in FINISHED_ORDERS for order in orders):
            return ""
        if over := self.legs.is_over(intent, far[0]):
            return over
        try:
            self.sender.check_allowed(intent, far[0])
        except Halted as error:
            return str(error)
        tried = sum(map(was_in_vain, orders))
        return f"{tried} orders in vain" if tried >= _NEAR_TRIES else ""

    def _open(
        self,
        intent: Intent,
        near: Sequence[Sequence[Leg]],
        far: Sequence[Leg],
        most_passes: int | None,
    ) -> Worked:
        while True:
            if not self._is_in(intent, far):
                if over := self.legs.is_over(intent, far[0]):
                    return Worked(Outcome.NOT_FILLED, 0, over)
                try:
                    if why := self._has_moved(intent, near, far):
                        return Worked(Outcome.NOT_FILLED, 0, why)
                except PortfolioError as error:
                    if most_passes is not None:
                        return Worked(Outcome.CHASING, 0, str(error))
                    self.wait(_PAUSE_S)
                    continue
            worked = self._enter(intent, far)
            if worked.outcome is not Outcome.NOT_FILLED or self._is_final(intent, far, worked):
                return worked
            if most_passes is not None:
                return Worked(Outcome.CHASING, 0, worked.reason)
            self.wait(_PAUSE_S)

    def _is_final(self, intent: Intent, far: Sequence[Leg], worked: Worked) -> bool:
        """Whether nothing of far can be had any more."""
        orders = self.store.orders(intent.id)
        tried = sum(order.leg_id == far[0].id and was_in_vain(order) for order in orders)
        is_given_back = self.unwinder.is_begun(intent, *far)
        return worked.halted or is_given_back or tried >= _FAR_TRIES

    def _has_moved(self, intent: Intent, near: Sequence[Sequence[Leg]], far: Sequence[Leg]) -> str:
        """Why far is not opened at the price it has come to since near was closed.

        Raises what the broker raises, and Retryable where it gives no quote.
        """
        planned = max(intent.decision.rolls, key=lambda roll: roll.lots)
        stored = {leg.id: leg for leg in self.store.legs(intent.id)}
        closed = traded([stored[leg.id] for leg in near[0]]).price
        contracts = [Contract(leg.symbol, leg.exchange) for leg in far]
        now = price_of([self.broker.quote(contract) for contract in contracts])
        drift = now - closed - (planned.far_price - planned.near_price)
        allowed = fraction(self.rollover.max_drift_pct) * planned.near_price
        if abs(drift) <= allowed:
            return ""
        return f"it moved by {drift:.2f} points meanwhile, more than {allowed:.2f}"

    def _is_begun(self, intent: Intent) -> bool:
        return any(leg.filled_quantity for leg in self.store.legs(intent.id))

    def _is_in(self, intent: Intent, far: Sequence[Leg]) -> bool:
        """Whether an order of far was ever named or filled: then it is gone on with."""
        places = {leg.id for leg in far}
        return any(order.leg_id in places for order in self.store.orders(intent.id))

    def _leave(self, intent: Intent, legs: Sequence[Leg], most_passes: int | None) -> Worked:
        if len(legs) == 1:
            return self.near_single.leave(intent, legs[0], most_passes)
        return self.near_synthetic.leave(intent, legs[0], legs[1], most_passes)

    def _enter(self, intent: Intent, far: Sequence[Leg]) -> Worked:
        if len(far) == 1:
            return self.far_single.enter(intent, far[0])
        return self.far_synthetic.enter(intent, far[0], far[1])
