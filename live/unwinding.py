"""What was had of an entry and cannot be kept is given back, whoever gives it.

Whatever an entry holds is what its legs had less what was given back, in the broker's quantity. A
part that is left is given back through the leg that is giving it back already. Where somebody has
traded it away by hand, and the broker's book shows none of it any more, those trades are taken
for ours: nothing is sold twice.
"""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from brokers.messages import TradeRow
from brokers.port import Broker
from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.records import Intent, Leg, LegPlan, OrderPlan
from core.db_state_manager.states import IntentState, LegPurpose, LegState, PriceType
from core.errors import PortfolioError
from core.ports import Clock
from live.exit_chase import ExitChaser
from live.expiry_utils import opposite
from live.order_executor import Outcome, Worked

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Unwinder:
    """Gives back for one owner; a part that stands alone is told every `alarm_min`."""

    store: DatabaseStateManager
    broker: Broker
    broker_name: str
    clock: Clock
    chaser: ExitChaser
    owner: str
    alarm_min: float = 5.0

    def held(self, intent: Intent, leg: Leg) -> int:
        """What a leg had and did not give back."""
        given = sum(back.filled_quantity for back in self._backs(intent, leg))
        return self.store.leg(leg.id).filled_quantity - given

    def is_begun(self, intent: Intent, *legs: Leg) -> bool:
        """Whether anything of the legs is being given back, or was."""
        return any(self._backs(intent, leg) for leg in legs)

    def give_back(self, intent: Intent, leg: Leg, quantity: int) -> Worked:
        """One pass at giving back so much of a leg; by hand counts where the book shows none."""
        begun = [one for one in self._backs(intent, leg) if one.filled_quantity < one.quantity]
        back = begun[-1] if begun else self._add(intent, leg, quantity)
        target = min(back.quantity, back.filled_quantity + quantity)
        worked = self.chaser.work(intent, back, target, 1)
        if worked.quantity < target and worked.nothing_there:
            self.adopt(back, target - worked.quantity)
        return worked

    def adopt(self, leg: Leg, quantity: int) -> bool:
        """Book trades that somebody made by hand as the leg's own. False where there are none.

        Only whole orders are taken that are none of ours and newer than the operation, the latest
        first, as long as they come to no more than `quantity`.
        """
        try:
            trades = self.broker.tradebook()
        except PortfolioError:
            return False
        # The trade book begins at 03:00, so after midnight it shows orders of the day before.
        since = self.clock.now().date() - _DAY
        named = {trade.order_id for trade in trades if _is_like(trade, leg)}
        before = self.store.orders(leg.intent_id)[0].known_order_ids
        ours = self.store.named_order_ids(self.broker_name, since, named)
        foreign = named - ours.union(before)
        is_adopted = False
        for order_id in sorted(foreign, reverse=True):
            rows = [row for row in trades if row.order_id == order_id and _is_like(row, leg)]
            had = sum(row.quantity for row in rows)
            if had > quantity:
                continue
            price = sum((row.price * row.quantity for row in rows), Decimal(0)) / had
            self._book(leg, order_id, had, price)
            quantity, is_adopted = quantity - had, True
        return is_adopted

    def naked(self, intent: Intent, leg: Leg, quantity: int, why: str) -> Worked:
        """A part stands alone: alarmed now, and again for as long as that lasts."""
        reason = f"{leg.side} {quantity} {leg.symbol} stands alone: {why}"
        if not self.store.move_intent(intent.id, IntentState.NAKED, reason, self.owner):
            key = {"intent_id": intent.id}
            since = self.clock.now() - timedelta(minutes=self.alarm_min)
            self.store.tell_once(
                "INTENT_NAKED", intent.instrument, {**key, "reason": reason}, key, since
            )
        return Worked(Outcome.NAKED, 0, reason)

    def _book(self, leg: Leg, order_id: str, quantity: int, price: Decimal) -> None:
        day = self.clock.now().date()
        plan = OrderPlan(leg.id, self.broker_name, day, quantity, PriceType.LIMIT, price, ())
        row = self.store.record_send_intent(plan, self.owner)
        self.store.record_order_id(row, order_id)
        self.store.book_fill(row, quantity, price)
        whole = self.store.leg(leg.id).filled_quantity == leg.quantity
        self.store.move_leg(leg.id, LegState.FILLED if whole else LegState.PARTLY_FILLED)

    def _add(self, intent: Intent, leg: Leg, quantity: int) -> Leg:
        """A leg to give back; what is less than a lot is called one."""
        lots = max(quantity * leg.lots // leg.quantity, 1)
        side = opposite(leg.side)
        plan = LegPlan(LegPurpose.UNWIND, side, leg.symbol, leg.exchange, lots, quantity)
        return self.store.add_legs(intent.id, [plan], self.owner)[-1]

    def _backs(self, intent: Intent, leg: Leg) -> list[Leg]:
        return [
            one
            for one in self.store.legs(intent.id)
            if one.purpose is LegPurpose.UNWIND and one.symbol == leg.symbol
        ]


def _is_like(trade: TradeRow, leg: Leg) -> bool:
    contract = (trade.contract.symbol, trade.contract.exchange)
    is_same = contract == (leg.symbol, leg.exchange)
    return is_same and trade.action.value == leg.side.value
