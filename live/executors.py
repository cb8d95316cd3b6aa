"""What works an instrument's legs, put together from its settings; nothing else puts it together.

`SimpleLimitExecutor`, `ProgressiveLimitExecutor` and `SyntheticFuturesExecutor` talk to a broker,
so they live here and not in core, which may not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from brokers.order_updates import OrderNews
from brokers.port import Broker
from core.config import ExecutionConfig, ExecutorKind, RolloverConfig
from core.db_state_manager import DatabaseStateManager
from core.ports import Clock
from live.exit_chase import ExitChaser
from live.ladder import chase_of, ladder_of
from live.lot_units import LotUnits
from live.order_executor import ProgressiveLimitExecutor, SimpleLimitExecutor
from live.position_guard import PositionGuard
from live.roll_legs import FarLegs, RollLegs
from live.sending import OrderSender
from live.single_leg import EntryLegs, SingleLegExecutor
from live.synthetic_futures import SyntheticFuturesExecutor
from live.trading_hours import TradingHours
from live.unwinding import Unwinder

_CLASSES: Mapping[ExecutorKind, type[SimpleLimitExecutor]] = {
    ExecutorKind.SIMPLE: SimpleLimitExecutor,
    ExecutorKind.PROGRESSIVE: ProgressiveLimitExecutor,
}


@dataclass(frozen=True, slots=True)
class Executors:
    """An instrument's: of operations with one leg, with two, and of rolls."""

    single: SingleLegExecutor
    synthetic: SyntheticFuturesExecutor
    rolls: RollLegs


@dataclass(frozen=True, slots=True)
class ExecutorParts:
    """What all executors of one owner share; `wait` lets so many seconds pass.

    `news` is what the gateway's stream says of orders, where there is one.
    """

    store: DatabaseStateManager
    sender: OrderSender
    broker: Broker
    broker_name: str
    clock: Clock
    wait: Callable[[float], None]
    hours: TradingHours
    news: OrderNews = field(default_factory=OrderNews)
    rollover: RolloverConfig = field(default_factory=RolloverConfig)

    def of(self, configs: Mapping[str, ExecutionConfig]) -> dict[str, Executors]:
        """The executors of each instrument, by its settings."""
        return {instrument: self._executors(config) for instrument, config in configs.items()}

    def _executors(self, config: ExecutionConfig) -> Executors:
        guard = PositionGuard(self.store, self.broker, self.broker_name, self.wait)
        legs = _CLASSES[config.executor](
            self.store,
            self.sender,
            self.broker,
            self.clock,
            self.wait,
            ladder_of(config),
            guard,
            LotUnits(self.store, self.hours.catalog),
            float(config.entry_s),
            self.news,
            float(self.rollover.open_s),
        )
        chaser = ExitChaser(self.store, legs, self.clock, self.wait, chase_of(config), self.hours)
        unwinder = Unwinder(
            self.store,
            self.broker,
            self.broker_name,
            self.clock,
            chaser,
            self.sender.owner,
            float(config.naked_alarm_min),
        )
        entries = EntryLegs(legs, config, self.clock, self.wait)
        single = SingleLegExecutor(entries, chaser, unwinder)
        synthetic = SyntheticFuturesExecutor(self.store, entries, chaser, unwinder)
        far = FarLegs(legs, config, self.clock, self.wait, self.broker, self.rollover)
        rolls = RollLegs(
            self.store,
            self.sender,
            self.broker,
            legs,
            single,
            synthetic,
            SingleLegExecutor(far, chaser, unwinder),
            SyntheticFuturesExecutor(self.store, far, chaser, unwinder),
            unwinder,
            self.rollover,
            self.wait,
        )
        return Executors(single, synthetic, rolls)
