"""Whether an entry alert may be acted on: first the alert itself, then against the broker's price.

Exits never come here. Every refusal has a stable code and a sentence with its numbers.
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from core.config import ValidationConfig, fraction
from core.decision_record import Decision, DecisionCode
from core.models import HIGHEST_PRICE, MAX_LAYERS, Signal, SignalType, layer_name
from core.portfolio_state import InstrumentBook, PortfolioStateManager

LEAST_ATR = Decimal("0.0001")


class AgeTier(StrEnum):
    """How late an alert was delivered."""

    NORMAL = "normal"
    WARNED = "warned"
    HALVED = "halved"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Refused:
    """Why an alert opens nothing."""

    code: DecisionCode
    reason: str


@dataclass(frozen=True, slots=True)
class ProposedEntry:
    """An entry as it was decided: its lots, its initial stop, and the distance sized on, points."""

    signal: Signal
    lots: int
    initial_stop: Decimal
    sized_distance: Decimal

    @classmethod
    def of(cls, signal: Signal, decision: Decision) -> "ProposedEntry":
        """The entry that `decision` made of `signal`."""
        distance = signal.price - signal.stop
        given = decision.inputs
        return cls(
            signal=signal,
            lots=decision.lots,
            initial_stop=signal.stop if decision.initial_stop is None else decision.initial_stop,
            sized_distance=distance if given is None else given.stop_distance,
        )


@dataclass(frozen=True, slots=True)
class ExecutionCheck:
    """What may be executed at the broker's price: `lots` is what was decided, or fewer."""

    lots: int
    tier: AgeTier
    refused: Refused | None = None


class SignalValidator:
    """The two stages of validation."""

    def __init__(self, config: ValidationConfig, max_layers: int = MAX_LAYERS) -> None:
        self._config = config
        self._max_layers = max_layers

    def check_alert(self, signal: Signal, book: PortfolioStateManager) -> Refused | None:
        """Stage 1: finite numbers, sane ranges, stop below price, a layer that fits the book."""
        return self._check_numbers(signal) or self._check_layer(signal, book[signal.instrument])

    def _check_numbers(self, signal: Signal) -> Refused | None:
        for name in ("price", "stop", "atr", "supertrend"):
            if not getattr(signal, name).is_finite():
                return Refused(DecisionCode.NUMBER_NOT_FINITE, f"{name} is not a finite number")
        for name in ("er", "roc"):
            value = getattr(signal, name)
            if value is not None and not math.isfinite(value):
                return Refused(DecisionCode.NUMBER_NOT_FINITE, f"{name} is not a finite number")
        price, stop, atr = signal.price, signal.stop, signal.atr
        if not 0 < price < HIGHEST_PRICE:
            return Refused(
                DecisionCode.PRICE_OUT_OF_RANGE, f"price {price} is not between 0 and 10^9"
            )
        widest_atr = fraction(self._config.max_atr_pct) * price
        if not LEAST_ATR <= atr <= widest_atr:
            return Refused(
                DecisionCode.ATR_OUT_OF_RANGE,
                f"atr {atr} is not from {LEAST_ATR} to {widest_atr}",
            )
        if stop >= price:
            return Refused(
                DecisionCode.STOP_NOT_BELOW_PRICE, f"stop {stop} is not below price {price}"
            )
        lowest = price - fraction(self._config.max_stop_pct) * price
        if stop < lowest:
            return Refused(
                DecisionCode.STOP_OUT_OF_RANGE, f"stop {stop} is further than {lowest} from price"
            )
        return None

    def _check_layer(self, signal: Signal, held: InstrumentBook) -> Refused | None:
        layer, name = signal.layer, layer_name(signal.layer)
        if signal.type is SignalType.BASE_ENTRY:
            if layer != 1:
                return Refused(DecisionCode.LAYER_INVALID, f"a base entry is Long_1, not {name}")
            if held.layers:
                return Refused(
                    DecisionCode.ALREADY_IN_POSITION,
                    f"{held.layers[-1].id} is open: a base entry needs the instrument flat",
                )
            return None
        if layer is None or not 2 <= layer <= self._max_layers:
            return Refused(
                DecisionCode.LAYER_INVALID,
                f"an add is Long_2 to Long_{self._max_layers}, not {name}",
            )
        if held.layers and layer <= held.top_layer:
            return Refused(
                DecisionCode.LAYER_OUT_OF_ORDER,
                f"{name} is not above {layer_name(held.top_layer)}, the last of this trade",
            )
        return None

    def age_tier(self, delivery_age_s: float) -> AgeTier:
        """How an entry of this age is treated; its age runs from sending to now, in seconds."""
        if delivery_age_s < self._config.normal_age_s:
            return AgeTier.NORMAL
        if delivery_age_s <= self._config.warned_age_s:
            return AgeTier.WARNED
        if delivery_age_s <= self._config.refused_age_s:
            return AgeTier.HALVED
        return AgeTier.REFUSED

    def check_execution(
        self,
        entry: ProposedEntry,
        broker_price: Decimal,
        delivery_age_s: float,
        bar_age_s: float,
    ) -> ExecutionCheck:
        """Stage 2: a decided entry against the broker's price, before the order goes out.

        `delivery_age_s` runs from when the alert was sent, `bar_age_s` from when its bar closed;
        each alone can refuse.
        """
        tier = self.age_tier(delivery_age_s)
        late = self._check_age(tier, delivery_age_s, bar_age_s)
        refused = late or self._check_price(entry, broker_price, tier)
        if refused is not None:
            return ExecutionCheck(0, tier, refused)
        kept = self._lots_for_same_risk(entry, broker_price)
        if kept == 0:
            reason = f"at {broker_price} the risk of {entry.lots} lots does not pay for one"
            return ExecutionCheck(0, tier, Refused(DecisionCode.RISK_GREW, reason))
        return ExecutionCheck(kept, tier)

    def _check_age(self, tier: AgeTier, delivery_s: float, bar_s: float) -> Refused | None:
        if tier is AgeTier.REFUSED:
            return Refused(
                DecisionCode.SIGNAL_TOO_OLD,
                f"delivered {delivery_s:.0f} s late, more than {self._config.refused_age_s} s",
            )
        if bar_s > self._config.max_bar_age_s:
            return Refused(
                DecisionCode.SIGNAL_TOO_OLD,
                f"its bar closed {bar_s:.0f} s ago, more than {self._config.max_bar_age_s} s",
            )
        return None

    def check_divergence(
        self, signal: Signal, broker: Decimal, tier: AgeTier = AgeTier.NORMAL
    ) -> Refused | None:
        """Whether the broker's price is another one than the alert's."""
        base = signal.type is SignalType.BASE_ENTRY
        percent = self._config.base_divergence_pct if base else self._config.pyramid_divergence_pct
        late = self._config.late_divergence_fraction if tier is AgeTier.HALVED else 1
        limit = fraction(percent) * late * signal.price
        if abs(broker - signal.price) > limit:
            return Refused(
                DecisionCode.PRICE_DIVERGED,
                f"broker's {broker} is more than {limit} from the alert's {signal.price}",
            )
        return None

    def _check_price(self, entry: ProposedEntry, broker: Decimal, tier: AgeTier) -> Refused | None:
        diverged = self.check_divergence(entry.signal, broker, tier)
        if diverged is not None:
            return diverged
        if broker <= entry.initial_stop:
            return Refused(
                DecisionCode.PRICE_BELOW_STOP,
                f"broker's {broker} is already at or below the stop {entry.initial_stop}",
            )
        return None

    def _lots_for_same_risk(self, entry: ProposedEntry, broker: Decimal) -> int:
        """The decided lots, or fewer when the distance sized on grew beyond its limit.

        A stop that was nearer than the floor was sized at the floor, and counts so here too.
        """
        signal, then = entry.signal, entry.sized_distance
        now = broker - signal.stop
        if then > signal.price - signal.stop:
            now = max(now, then)
        base = signal.type is SignalType.BASE_ENTRY
        growth = self._config.base_risk_growth_pct if base else self._config.pyramid_risk_growth_pct
        if now <= then * (1 + fraction(growth)):
            return entry.lots
        return int(entry.lots * then // now)
