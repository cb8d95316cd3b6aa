"""How a price is improved: from the touch, step by step, up to a cap, and never at the market."""

from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from core.config import ExecutionConfig, ImproveBy, fraction
from core.db_state_manager.states import Side


@dataclass(frozen=True, slots=True)
class Ladder:
    """One pass over an order.

    From the touch in `steps` of `step_s` each, by no more in all than `cap_fraction` of the touch
    or `cap_ticks`, whichever is more. A step gives an even share of that, or `improvement` ticks
    or percent where `improve_by` says so. After the cancel an end is awaited for `settle_s`. The
    order is looked at every `poll_s`, or `announced_poll_s` while the gateway's stream tells of it.
    """

    steps: int = 5
    step_s: float = 2.0
    poll_s: float = 0.25
    announced_poll_s: float = 2.0
    settle_s: float = 10.0
    cap_fraction: Decimal = Decimal("0.002")
    cap_ticks: int = 5
    improve_by: ImproveBy = ImproveBy.SHARE
    improvement: Decimal = Decimal(1)

    def price(
        self, side: Side, touch: Decimal, start: Decimal, step: int, tick: Decimal
    ) -> Decimal:
        """The limit at `step`: the touch of now, within that step's share of the cap."""
        cap = max(self.cap_fraction * start, self.cap_ticks * tick)
        allowed = min(cap, self._gives(step, start, tick, cap))
        if side is Side.BUY:
            return on_tick(side, min(touch, start + allowed), tick)
        return on_tick(side, max(touch, start - allowed), tick)

    def capped(self, cap_fraction: Decimal) -> "Ladder":
        """The same with another cap, reached in even shares."""
        return replace(self, cap_fraction=cap_fraction, improve_by=ImproveBy.SHARE)

    def _gives(self, step: int, start: Decimal, tick: Decimal, cap: Decimal) -> Decimal:
        match self.improve_by:
            case ImproveBy.TICKS:
                return step * self.improvement * tick
            case ImproveBy.PERCENT:
                return step * fraction(self.improvement) * start
            case ImproveBy.SHARE:
                return cap * min(step, self.steps) / self.steps


@dataclass(frozen=True, slots=True)
class Chase:
    """How an exit is repeated until it is filled: each pass has the next cap, then the last one.

    After a pass in which an order rested `pause_s` go by. Orders that the broker refuses are tried
    again after `refused_pause_s`, then after twice that, up to `longest_pause_s`. What no pass
    could fill in a closed market is tried again every `held_pause_s`.
    """

    caps: tuple[Decimal, ...] = tuple(map(Decimal, ("0.002", "0.005", "0.01", "0.02", "0.05")))
    pause_s: float = 1.0
    refused_pause_s: float = 5.0
    longest_pause_s: float = 30.0
    held_pause_s: float = 300.0

    def pause_after(self, refusals: int) -> float:
        """How long to wait after so many passes in a row that were refused, seconds."""
        if not refusals:
            return self.pause_s
        return float(min(self.refused_pause_s * 2.0 ** (refusals - 1), self.longest_pause_s))


def ladder_of(config: ExecutionConfig) -> Ladder:
    """One pass as it is configured."""
    return Ladder(
        steps=config.steps,
        step_s=float(config.interval_s),
        poll_s=float(config.poll_s),
        announced_poll_s=float(config.announced_poll_s),
        settle_s=float(config.settle_s),
        cap_fraction=fraction(config.cap_pct),
        cap_ticks=config.cap_ticks,
        improve_by=config.improve_by,
        improvement=config.improvement,
    )


def chase_of(config: ExecutionConfig) -> Chase:
    """An exit's stages as they are configured."""
    return Chase(caps=tuple(map(fraction, config.exit_caps_pct)))


def on_tick(side: Side, price: Decimal, tick: Decimal) -> Decimal:
    """The tick that never pays more, or takes less, than `price`; at least one tick."""
    rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
    return max((price / tick).quantize(Decimal(1), rounding) * tick, tick)


def is_better(side: Side, price: Decimal, than: Decimal) -> bool:
    """Whether `price` is the one that fills sooner."""
    return price > than if side is Side.BUY else price < than
