"""Every number of the trading rules, declared once with its range, its default and its unit.

`PortfolioConfig.from_mapping` is the only way from a JSON file to these values: unknown keys,
wrong types and values out of range are refused with the key's path, the value and what is allowed.
Percentages are written as percent (1.0 is one percent) and read through `fraction`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import Any

from core.errors import ConfigInvalid
from core.models import StopMode
from core.settings import (
    choice,
    flag,
    number,
    optional_number,
    optional_whole,
    ratio,
    read_settings,
    rising_numbers,
    whole,
)


class EquityBasis(StrEnum):
    """Which equity the caps are measured on: realised, marked to market, or half-way between."""

    CLOSED = "closed"
    OPEN = "open"
    BLENDED = "blended"


class VolatilityConstraint(StrEnum):
    """Whether Lot-V limits a base entry or is only recorded."""

    ENFORCE = "enforce"
    REPORT = "report"


class ExecutorKind(StrEnum):
    """How a limit order is worked: left at the touch, or improved step by step."""

    SIMPLE = "simple"
    PROGRESSIVE = "progressive"


class ImproveBy(StrEnum):
    """What a step gives: an even share of the cap, so many ticks, or so many percent."""

    SHARE = "share"
    TICKS = "ticks"
    PERCENT = "percent"


class PartialFill(StrEnum):
    """What becomes of an entry that one pass of the ladder filled in part.

    KEEP: what filled is the position. COMPLETE: the rest is chased until the entry's time and
    price bounds. ABANDON: chased likewise, and what filled is given back if the whole is not had.
    """

    KEEP = "keep"
    COMPLETE = "complete"
    ABANDON = "abandon"


class SecondLeg(StrEnum):
    """What is done when one pass does not get the second leg of a synthetic future.

    UNWIND: the first is given back at once. COMPLETE: the second is chased within its own time and
    price bounds before that.
    """

    UNWIND = "unwind"
    COMPLETE = "complete"


class StopWatchMode(StrEnum):
    """What is done where a bar is missing and its stop is passed: told only, or closed too."""

    ALARM = "alarm"
    ACT = "act"


def fraction(percent: Decimal) -> Decimal:
    """1.5 (percent) as 0.015."""
    return percent.scaleb(-2)


@dataclass(frozen=True, slots=True)
class PortfolioCaps:
    """Caps on the whole account after any new exposure, in percent of equity."""

    max_risk_pct: Decimal = number("15", above="0", high="100", unit="% of equity")
    max_volatility_pct: Decimal = number("5", above="0", high="100", unit="% of equity")
    max_margin_pct: Decimal = number("60", above="0", high="100", unit="% of equity")


@dataclass(frozen=True, slots=True)
class PyramidConfig:
    """When layers are added, and how large."""

    max_adds: int = whole(5, low=0, high=5, unit="adds")
    min_profit_r: Decimal = number("1", low="0", high="20", unit="R of the base layer")
    previous_layer_fraction: Decimal = number("0.5", above="0", high="1")
    profit_fraction: Decimal = number("0.5", above="0", high="1")
    max_risk_pct: Decimal = number("12", above="0", high="100", unit="% of equity")
    max_volatility_pct: Decimal = number("4", above="0", high="100", unit="% of equity")


@dataclass(frozen=True, slots=True)
class SizingConfig:
    """`min_stop_atr`: a stop nearer than this many ATR is sized as if it were that far."""

    min_stop_atr: Decimal = number("0.25", low="0", high="5", unit="ATR")


@dataclass(frozen=True, slots=True)
class PeelOffConfig:
    """Whether lots are trimmed when a layer outgrows its ongoing limits."""

    enabled: bool = flag(False)


@dataclass(frozen=True, slots=True)
class StopWatchConfig:
    """How the leader watches what is held between two bars.

    Quotes are looked at each `every_s`; one that has not changed for `fresh_s` is frozen. A bar is
    missing `bar_grace_s` after its close. `catastrophe_atr`: a layer leaves between two bars when
    the price is so many ATR below its stop; null for never.
    """

    mode: StopWatchMode = choice(StopWatchMode.ALARM)
    every_s: Decimal = number("15", low="5", high="300", unit="s")
    fresh_s: Decimal = number("60", low="10", high="900", unit="s")
    bar_grace_s: Decimal = number("60", low="5", high="600", unit="s after the bar's close")
    silent_bars: int = whole(2, low=1, high=20, unit="bars")
    max_spread_pct: Decimal = number("0.5", above="0", high="10", unit="% of price")
    catastrophe_atr: Decimal | None = optional_number(above="0", high="20", unit="ATR")

    def __post_init__(self) -> None:
        """What is fresh must last from one look to the next. Raises `ConfigInvalid`."""
        if self.fresh_s < 2 * self.every_s:
            raise ConfigInvalid(
                "stop_watch.fresh_s", str(self.fresh_s), f"{2 * self.every_s} (two looks) or more"
            )


@dataclass(frozen=True, slots=True)
class ValidationConfig:
    """What an entry alert may look like, alone and against the broker's price."""

    max_atr_pct: Decimal = number("20", above="0", high="100", unit="% of price")
    max_stop_pct: Decimal = number("30", above="0", high="100", unit="% of price")
    base_divergence_pct: Decimal = number("2", above="0", high="20", unit="% of price")
    pyramid_divergence_pct: Decimal = number("1", above="0", high="20", unit="% of price")
    late_divergence_fraction: Decimal = number("0.5", above="0", high="1")
    base_risk_growth_pct: Decimal = number("50", low="0", high="500", unit="% of risk")
    pyramid_risk_growth_pct: Decimal = number("20", low="0", high="500", unit="% of risk")
    normal_age_s: Decimal = number("10", low="0", high="3600", unit="s")
    warned_age_s: Decimal = number("30", low="0", high="3600", unit="s")
    refused_age_s: Decimal = number("60", low="0", high="3600", unit="s")
    max_bar_age_s: Decimal = number("900", low="0", high="86400", unit="s after the bar's close")

    def __post_init__(self) -> None:
        """Age tiers must rise. Raises `ConfigInvalid`."""
        if not self.normal_age_s <= self.warned_age_s <= self.refused_age_s:
            raise ConfigInvalid(
                "validation.warned_age_s",
                str(self.warned_age_s),
                f"normal_age_s ({self.normal_age_s}) to refused_age_s ({self.refused_age_s})",
            )


@dataclass(frozen=True, slots=True)
class TradingConfig:
    """Sizing, stops and spacing of one instrument."""

    risk_pct: Decimal = number("1.0", above="0", high="10", unit="% of equity_high")
    volatility_pct: Decimal = number("0.5", above="0", high="10", unit="% of equity_high")
    volatility_constraint: VolatilityConstraint = choice(VolatilityConstraint.ENFORCE)
    initial_atr_mult: Decimal = number("1.5", above="0", high="20", unit="ATR")
    trailing_atr_mult: Decimal = number("2.5", above="0", high="20", unit="ATR")
    pyramid_atr_spacing: Decimal = number("0.5", low="0", high="20", unit="ATR")
    use_roc_filter: bool = flag(False)
    roc_threshold: float = ratio(2.0, low=-100.0, high=1000.0)
    ongoing_risk_pct: Decimal = number("1.0", above="0", high="100", unit="% of equity")
    ongoing_volatility_pct: Decimal = number("0.7", above="0", high="100", unit="% of equity")
    max_lots: int | None = optional_whole(low=1, high=100_000, unit="lots a layer")


@dataclass(frozen=True, slots=True)
class ExecutionConfig:
    """How orders are worked; all of them limits, none at the market.

    A pass goes from the touch in `steps` of `interval_s`, within `cap_pct` or `cap_ticks`,
    whichever is more. `improvement` counts for `improve_by` ticks and percent. Exits repeat passes
    with one of `exit_caps_pct` after the other. After a cancel an end is awaited for `settle_s`.
    An entry that is chased at the end of the day may pay `eod_cap_pct`.
    """

    executor: ExecutorKind = choice(ExecutorKind.PROGRESSIVE)
    steps: int = whole(5, low=1, high=60, unit="steps")
    interval_s: Decimal = number("2", low="0.5", high="60", unit="s")
    improve_by: ImproveBy = choice(ImproveBy.SHARE)
    improvement: Decimal = number("1", above="0", high="100", unit="ticks or % of the touch")
    cap_pct: Decimal = number("0.2", above="0", high="5", unit="% of the touch")
    cap_ticks: int = whole(5, low=0, high=1000, unit="ticks")
    exit_caps_pct: tuple[Decimal, ...] = rising_numbers(
        "0.2 0.5 1 2 5", above="0", high="20", most=10, unit="% of the touch"
    )
    poll_s: Decimal = number("0.25", low="0.05", high="5", unit="s")
    announced_poll_s: Decimal = number("2", low="0.05", high="10", unit="s")
    settle_s: Decimal = number("10", low="1", high="120", unit="s")
    entry_s: Decimal = number("60", low="5", high="600", unit="s after the decision")
    partial_fill: PartialFill = choice(PartialFill.KEEP)
    second_leg: SecondLeg = choice(SecondLeg.UNWIND)
    second_leg_s: Decimal = number("20", low="1", high="300", unit="s")
    second_leg_cap_pct: Decimal = number("1", above="0", high="20", unit="% of the touch")
    naked_alarm_min: Decimal = number("5", low="1", high="240", unit="minutes")
    eod_cap_pct: Decimal = number("0.5", above="0", high="5", unit="% of the touch")


@dataclass(frozen=True, slots=True)
class EodConfig:
    """The end of the day, in seconds before that day's close.

    The Scout reports from `scout_s` on; its latest alert, no older than `fresh_s`, is judged at
    `judge_s`, the order goes out at `order_s`, is chased from `chase_s` on, and at `end_s` an entry
    ends with what it has.
    """

    enabled: bool = flag(True)
    scout_s: Decimal = number("900", low="60", high="7200", unit="s before the close")
    judge_s: Decimal = number("45", low="2", high="600", unit="s before the close")
    order_s: Decimal = number("30", low="2", high="600", unit="s before the close")
    chase_s: Decimal = number("15", low="1", high="600", unit="s before the close")
    end_s: Decimal = number("5", low="0", high="600", unit="s before the close")
    fresh_s: Decimal = number("90", low="5", high="600", unit="s")

    def __post_init__(self) -> None:
        """The times must follow each other. Raises `ConfigInvalid`."""
        named = ("scout_s", "judge_s", "order_s", "chase_s", "end_s")
        for earlier, later in pairwise(named):
            if getattr(self, later) >= getattr(self, earlier):
                raise ConfigInvalid(
                    f"eod.{later}",
                    str(getattr(self, later)),
                    f"less than {earlier} ({getattr(self, earlier)})",
                )


@dataclass(frozen=True, slots=True)
class RolloverConfig:
    """When and how positions are moved to the next contract.

    Not begun: with less than `session_left_min` of the session left, where open interest (or, where
    it is not told, volume) is below `min_open_interest`, or where the spreads of all legs come to
    more than `max_cost_pct`. The next contract is opened within `open_s` of the decision, each leg
    at no more than `max_slippage_pct` beyond where it began, and not at all when it has moved by
    more than `max_drift_pct` since. What is not rolled `exit_lead_min` before it must be gone is
    closed. Percentages are of the instrument's price.
    """

    enabled: bool = flag(True)
    min_open_interest: int = whole(100, low=0, high=100_000_000, unit="as the gateway counts")
    max_cost_pct: Decimal = number("0.3", above="0", high="5", unit="% of price")
    max_slippage_pct: Decimal = number("0.1", above="0", high="5", unit="% of price, a leg")
    max_drift_pct: Decimal = number("0.5", above="0", high="10", unit="% of price")
    leg_s: Decimal = number("45", low="1", high="600", unit="s")
    open_s: Decimal = number("600", low="30", high="7200", unit="s after the decision")
    exit_lead_min: int = whole(60, low=1, high=360, unit="minutes")
    session_left_min: int = whole(15, low=1, high=240, unit="minutes")
    retry_min: int = whole(15, low=1, high=240, unit="minutes")


@dataclass(frozen=True, slots=True)
class StrategyConfig:
    """The signal generator's numbers (the same in Pine and in the backtest)."""

    timeframe_min: int = whole(75, low=1, high=1440, unit="minutes")
    rsi_length: int = whole(6, low=1, high=500, unit="bars")
    rsi_threshold: float = ratio(70.0, low=0.0, high=100.0)
    ema_length: int = whole(200, low=1, high=5000, unit="bars")
    donchian_length: int = whole(20, low=1, high=5000, unit="bars")
    adx_length: int = whole(30, low=1, high=500, unit="bars")
    adx_smoothing: int = whole(30, low=1, high=500, unit="bars")
    adx_threshold: float = ratio(25.0, low=0.0, high=101.0)
    er_length: int = whole(3, low=1, high=500, unit="bars")
    er_threshold: float = ratio(0.8, low=-1.0, high=1.0)
    supertrend_length: int = whole(10, low=1, high=500, unit="bars")
    supertrend_factor: float = ratio(1.5, low=0.01, high=20.0)
    atr_length: int = whole(10, low=1, high=500, unit="bars")
    doji_body_fraction: float = ratio(0.1, low=0.0, high=1.0)
    roc_length: int = whole(15, low=1, high=500, unit="bars")


@dataclass(frozen=True, slots=True)
class InstrumentConfig:
    """What the operator may set for one instrument."""

    enabled: bool = flag(True)
    trading: TradingConfig = field(default_factory=TradingConfig)
    strategy: StrategyConfig = field(default_factory=StrategyConfig)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    eod: EodConfig = field(default_factory=EodConfig)


@dataclass(frozen=True, slots=True)
class BackgroundConfig:
    """What the leader does in the background, and when.

    Alerts that led to nothing are kept for `keep_alerts_days`. The check before a market opens
    begins `pre_open_min` minutes before; a calendar that ends within `calendar_warning_days` is
    told of each day.
    """

    keep_alerts_days: int = whole(400, low=30, high=36_500, unit="days")
    pre_open_min: int = whole(15, low=1, high=240, unit="minutes")
    calendar_warning_days: int = whole(30, low=1, high=365, unit="days")


@dataclass(frozen=True, slots=True)
class PortfolioConfig:
    """The whole configuration, valid by construction."""

    equity_basis: EquityBasis = choice(EquityBasis.OPEN)
    stop_mode: StopMode = choice(StopMode.TOM_BASSO)
    trade_special_sessions: bool = flag(False)
    portfolio: PortfolioCaps = field(default_factory=PortfolioCaps)
    pyramid: PyramidConfig = field(default_factory=PyramidConfig)
    sizing: SizingConfig = field(default_factory=SizingConfig)
    peel_off: PeelOffConfig = field(default_factory=PeelOffConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    stop_watch: StopWatchConfig = field(default_factory=StopWatchConfig)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    background: BackgroundConfig = field(default_factory=BackgroundConfig)
    eod: EodConfig = field(default_factory=EodConfig)
    rollover: RolloverConfig = field(default_factory=RolloverConfig)
    instruments: Mapping[str, InstrumentConfig] = field(default_factory=dict)

    @classmethod
    def from_mapping(
        cls, settings: object, defaults: Mapping[str, Mapping[str, Any]]
    ) -> "PortfolioConfig":
        """Read a parsed portfolio_config.json over the instruments' shipped defaults.

        `defaults` holds, by instrument name, the `trading` and `strategy` blocks of the catalogue;
        an instrument that it does not name is refused. The `execution` and `eod` blocks hold for
        each instrument, name by name, that has none of its own. Raises `ConfigInvalid`.
        """
        given = settings if isinstance(settings, Mapping) else {}
        common = {block: given.get(block, {}) for block in ("execution", "eod")}
        by_name = {name: {**own, **common} for name, own in defaults.items()}
        return read_settings(cls, settings, {"instruments": by_name})
