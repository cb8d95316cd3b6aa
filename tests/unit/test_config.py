"""Every number of the rules: its default, its edges, and what is refused past them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from core.config import (
    EquityBasis,
    ExecutorKind,
    ImproveBy,
    PartialFill,
    PortfolioConfig,
    SecondLeg,
    StopWatchMode,
    VolatilityConstraint,
)
from core.data import shipped
from core.decision import DecisionMaker
from core.decision_record import DecisionCode
from core.errors import ConfigInvalid
from core.instruments import InstrumentCatalog
from core.models import Limiter, Signal, StopMode
from tests.fixtures.rules import BANK, DEFAULTS, GOLD, base_entry, config, deposit, terms

EXAMPLE = Path(__file__).resolve().parents[2] / "portfolio_config.example.json"
TRADING, STRATEGY = f"instruments.{BANK}.trading.", f"instruments.{BANK}.strategy."
ENDS = ("eod.", f"instruments.{BANK}.eod.")
EXECUTIONS = ("execution.", f"instruments.{BANK}.execution.")

# path, default, lowest, highest, just below, just above. An open lower end is written as the
# smallest value that is taken and the first that is not.
NUMBERS = [
    ("portfolio.max_risk_pct", "15", "0.01", "100", "0", "100.01"),
    ("portfolio.max_volatility_pct", "5", "0.01", "100", "0", "100.01"),
    ("portfolio.max_margin_pct", "60", "0.01", "100", "0", "100.01"),
    ("pyramid.min_profit_r", "1", "0", "20", "-0.01", "20.01"),
    ("pyramid.previous_layer_fraction", "0.5", "0.01", "1", "0", "1.01"),
    ("pyramid.profit_fraction", "0.5", "0.01", "1", "0", "1.01"),
    ("pyramid.max_risk_pct", "12", "0.01", "100", "0", "100.01"),
    ("pyramid.max_volatility_pct", "4", "0.01", "100", "0", "100.01"),
    ("sizing.min_stop_atr", "0.25", "0", "5", "-0.01", "5.01"),
    ("validation.max_atr_pct", "20", "0.01", "100", "0", "100.01"),
    ("validation.max_stop_pct", "30", "0.01", "100", "0", "100.01"),
    ("validation.base_divergence_pct", "2", "0.01", "20", "0", "20.01"),
    ("validation.pyramid_divergence_pct", "1", "0.01", "20", "0", "20.01"),
    ("validation.late_divergence_fraction", "0.5", "0.01", "1", "0", "1.01"),
    ("validation.base_risk_growth_pct", "50", "0", "500", "-0.01", "500.01"),
    ("validation.pyramid_risk_growth_pct", "20", "0", "500", "-0.01", "500.01"),
    ("validation.normal_age_s", "10", "0", "30", "-0.01", "3600.01"),
    ("validation.warned_age_s", "30", "10", "60", "-0.01", "3600.01"),
    ("validation.refused_age_s", "60", "30", "3600", "-0.01", "3600.01"),
    ("validation.max_bar_age_s", "900", "0", "86400", "-0.01", "86400.01"),
    ("stop_watch.every_s", "15", "5", "30", "4.99", "300.01"),
    ("stop_watch.fresh_s", "60", "30", "900", "9.99", "900.01"),
    ("stop_watch.bar_grace_s", "60", "5", "600", "4.99", "600.01"),
    ("stop_watch.max_spread_pct", "0.5", "0.01", "10", "0", "10.01"),
    (TRADING + "risk_pct", "1", "0.01", "10", "0", "10.01"),
    (TRADING + "volatility_pct", "0.5", "0.01", "10", "0", "10.01"),
    (TRADING + "initial_atr_mult", "1.5", "0.01", "20", "0", "20.01"),
    (TRADING + "trailing_atr_mult", "2.5", "0.01", "20", "0", "20.01"),
    (TRADING + "pyramid_atr_spacing", "0.5", "0", "20", "-0.01", "20.01"),
    (TRADING + "ongoing_risk_pct", "1", "0.01", "100", "0", "100.01"),
    (TRADING + "ongoing_volatility_pct", "0.7", "0.01", "100", "0", "100.01"),
]
NUMBERS += [
    (block + name, default, low, high, below, above)
    for block in EXECUTIONS
    for name, default, low, high, below, above in (
        ("interval_s", "2", "0.5", "60", "0.49", "60.01"),
        ("improvement", "1", "0.01", "100", "0", "100.01"),
        ("cap_pct", "0.2", "0.01", "5", "0", "5.01"),
        ("poll_s", "0.25", "0.05", "5", "0.04", "5.01"),
        ("announced_poll_s", "2", "0.05", "10", "0.04", "10.01"),
        ("settle_s", "10", "1", "120", "0.99", "120.01"),
        ("entry_s", "60", "5", "600", "4.99", "600.01"),
        ("second_leg_s", "20", "1", "300", "0.99", "300.01"),
        ("second_leg_cap_pct", "1", "0.01", "20", "0", "20.01"),
        ("naked_alarm_min", "5", "1", "240", "0.99", "240.01"),
        ("eod_cap_pct", "0.5", "0.01", "5", "0", "5.01"),
    )
]
NUMBERS += [
    (block + name, default, low, high, below, above)
    for block in ENDS
    for name, default, low, high, below, above in (
        ("scout_s", "900", "60", "7200", "59.99", "7200.01"),
        ("judge_s", "45", "30.01", "600", "1.99", "600.01"),
        ("order_s", "30", "15.01", "44.99", "1.99", "600.01"),
        ("chase_s", "15", "5.01", "29.99", "0.99", "600.01"),
        ("end_s", "5", "0", "14.99", "-0.01", "600.01"),
        ("fresh_s", "90", "5", "600", "4.99", "600.01"),
    )
]
RATIOS = [
    (TRADING + "roc_threshold", 2.0, -100.0, 1000.0, -100.1, 1000.1),
    (STRATEGY + "rsi_threshold", 70.0, 0.0, 100.0, -0.1, 100.1),
    (STRATEGY + "adx_threshold", 25.0, 0.0, 101.0, -0.1, 101.1),
    (STRATEGY + "er_threshold", 0.8, -1.0, 1.0, -1.1, 1.1),
    (STRATEGY + "supertrend_factor", 1.5, 0.01, 20.0, 0.0, 20.1),
    (STRATEGY + "doji_body_fraction", 0.1, 0.0, 1.0, -0.1, 1.1),
]
WHOLE = [
    ("background.keep_alerts_days", 400, 30, 36_500, 29, 36_501),
    ("background.pre_open_min", 15, 1, 240, 0, 241),
    ("background.calendar_warning_days", 30, 1, 365, 0, 366),
    ("pyramid.max_adds", 5, 0, 5, -1, 6),
    ("stop_watch.silent_bars", 2, 1, 20, 0, 21),
    (TRADING + "max_lots", None, 1, 100_000, 0, 100_001),
    (STRATEGY + "timeframe_min", 75, 1, 1440, 0, 1441),
    (STRATEGY + "rsi_length", 6, 1, 500, 0, 501),
    (STRATEGY + "ema_length", 200, 1, 5000, 0, 5001),
    (STRATEGY + "donchian_length", 20, 1, 5000, 0, 5001),
    (STRATEGY + "adx_length", 30, 1, 500, 0, 501),
    (STRATEGY + "adx_smoothing", 30, 1, 500, 0, 501),
    (STRATEGY + "er_length", 3, 1, 500, 0, 501),
    (STRATEGY + "supertrend_length", 10, 1, 500, 0, 501),
    (STRATEGY + "atr_length", 10, 1, 500, 0, 501),
    (STRATEGY + "roc_length", 15, 1, 500, 0, 501),
]
ROLLOVER = "rollover."
NUMBERS += [
    (ROLLOVER + "max_cost_pct", "0.3", "0.01", "5", "0", "5.01"),
    (ROLLOVER + "max_slippage_pct", "0.1", "0.01", "5", "0", "5.01"),
    (ROLLOVER + "max_drift_pct", "0.5", "0.01", "10", "0", "10.01"),
    (ROLLOVER + "leg_s", "45", "1", "600", "0.99", "600.01"),
    (ROLLOVER + "open_s", "600", "30", "7200", "29.99", "7200.01"),
]
WHOLE += [
    (ROLLOVER + "min_open_interest", 100, 0, 100_000_000, -1, 100_000_001),
    (ROLLOVER + "exit_lead_min", 60, 1, 360, 0, 361),
    (ROLLOVER + "session_left_min", 15, 1, 240, 0, 241),
    (ROLLOVER + "retry_min", 15, 1, 240, 0, 241),
]
WHOLE += [(block + "steps", 5, 1, 60, 0, 61) for block in EXECUTIONS]
WHOLE += [(block + "cap_ticks", 5, 0, 1000, -1, 1001) for block in EXECUTIONS]
OPTIONAL = ["stop_watch.catastrophe_atr"]
LISTS = [block + "exit_caps_pct" for block in EXECUTIONS]
SWITCHES = [
    ("rollover.enabled", True),
    ("trade_special_sessions", False),
    ("peel_off.enabled", False),
    (f"instruments.{BANK}.enabled", True),
    (TRADING + "use_roc_filter", False),
    *((block + "enabled", True) for block in ENDS),
]
CHOICES: list[tuple[str, StrEnum]] = [
    ("equity_basis", EquityBasis.OPEN),
    ("stop_mode", StopMode.TOM_BASSO),
    ("stop_watch.mode", StopWatchMode.ALARM),
    (TRADING + "volatility_constraint", VolatilityConstraint.ENFORCE),
]
CHOICES += [
    (block + name, default)
    for block in EXECUTIONS
    for name, default in (
        ("executor", ExecutorKind.PROGRESSIVE),
        ("improve_by", ImproveBy.SHARE),
        ("partial_fill", PartialFill.KEEP),
        ("second_leg", SecondLeg.UNWIND),
    )
]

NOT_NUMBERS: list[object] = [
    *(True, False, None, [], {}, float("nan"), float("inf"), float("-inf")),
]
NOT_SWITCHES: list[object] = ["true", "yes", 1, 0, None, []]


def read(path: str, value: object) -> Any:
    """The configuration's value at `path` when the file says `value` there and nothing else."""
    settings: Any = value
    for name in reversed(path.split(".")):
        settings = {name: settings}
    return at(PortfolioConfig.from_mapping(settings, DEFAULTS), path)


def at(found: Any, path: str) -> Any:
    for name in path.split("."):
        found = found[name] if isinstance(found, Mapping) else getattr(found, name)
    return found


def refusal(path: str, value: object) -> ConfigInvalid:
    with pytest.raises(ConfigInvalid) as error:
        read(path, value)
    return error.value


def leaves(found: Any, path: str = "") -> Iterator[str]:
    """The paths of all settings of the first instrument and above."""
    if isinstance(found, Mapping):
        yield from leaves(found[BANK], f"{path}.{BANK}")
    elif is_dataclass(found):
        for item in fields(found):
            yield from leaves(getattr(found, item.name), f"{path}.{item.name}")
    else:
        yield path.removeprefix(".")


@pytest.mark.parametrize("value", ["0.01", "20", None])
def test_a_catastrophe_stop_may_be_none(value: str | None) -> None:
    assert at(config(), OPTIONAL[0]) is None
    assert read(OPTIONAL[0], value) == (None if value is None else Decimal(value))


@pytest.mark.parametrize("value", ["0", "20.01", "none", True, []])
def test_a_catastrophe_stop_is_a_number_of_atr(value: object) -> None:
    assert OPTIONAL[0] in str(refusal(OPTIONAL[0], value))


def test_the_tables_below_cover_every_setting() -> None:
    told = [row[0] for table in (NUMBERS, RATIOS, WHOLE, SWITCHES, CHOICES) for row in table]
    told += LISTS + OPTIONAL
    assert sorted(leaves(config())) == sorted(told)


@pytest.mark.parametrize(("path", "default", "low", "high", "below", "above"), NUMBERS)
def test_a_number_is_taken_to_its_edges_and_refused_past_them(
    path: str, default: str, low: str, high: str, below: str, above: str
) -> None:
    assert at(config(), path) == Decimal(default)
    for value in (low, high):
        assert read(path, value) == Decimal(value)
        assert read(path, float(value)) == Decimal(value)
    for wrong in (below, above, *NOT_NUMBERS, "NaN", "Infinity", "-Infinity", "much"):
        error = refusal(path, wrong)
        assert error.path == path
        assert error.value is wrong
        assert error.allowed.startswith("allowed: a number ")


@pytest.mark.parametrize(("path", "default", "low", "high", "below", "above"), RATIOS)
def test_a_ratio_is_taken_to_its_edges_and_refused_past_them(
    path: str, default: float, low: float, high: float, below: float, above: float
) -> None:
    assert at(config(), path) == default
    assert [read(path, low), read(path, high)] == [low, high]
    for wrong in (below, above, *NOT_NUMBERS, "1"):
        error = refusal(path, wrong)
        assert (error.path, error.allowed) == (
            *(path, f"allowed: a number from {low:g} to {high:g}"),
        )


@pytest.mark.parametrize(("path", "default", "low", "high", "below", "above"), WHOLE)
def test_a_whole_number_is_taken_to_its_edges_and_refused_past_them(
    path: str, default: int | None, low: int, high: int, below: int, above: int
) -> None:
    assert at(config(), path) == default
    assert [read(path, low), read(path, high)] == [low, high]
    for wrong in (below, above, float(low), 1.5, "1", *NOT_NUMBERS):
        if wrong is None and default is None:
            continue
        error = refusal(path, wrong)
        assert error.path == path
        assert f"a whole number {low} to {high}" in error.allowed
    if default is None:
        assert read(path, None) is None


@pytest.mark.parametrize(("path", "default"), SWITCHES)
def test_a_switch_is_true_or_false(path: str, default: bool) -> None:
    assert at(config(), path) is default
    assert [read(path, True), read(path, False)] == [True, False]
    for wrong in NOT_SWITCHES:
        error = refusal(path, wrong)
        assert (error.path, error.allowed) == (path, "allowed: true or false")


@pytest.mark.parametrize(("path", "default"), CHOICES)
def test_a_choice_is_one_of_its_words(path: str, default: StrEnum) -> None:
    assert at(config(), path) is default
    kind: type[StrEnum] = type(default)
    words = [item.value for item in kind]
    assert [read(path, word) for word in words] == list(kind)
    for wrong in ("", words[0].swapcase(), None, True, 0, [words[0]]):
        error = refusal(path, wrong)
        assert (error.path, error.allowed) == (path, "allowed: one of " + ", ".join(words))


@pytest.mark.parametrize("path", LISTS)
def test_stages_rise_to_their_edge(path: str) -> None:
    assert at(config(), path) == tuple(map(Decimal, ("0.2", "0.5", "1", "2", "5")))
    assert read(path, [0.5, "1", 20]) == (Decimal("0.5"), Decimal(1), Decimal(20))
    numbers = list(range(1, 12))
    for wrong in ([], [0], [1, 1], [2, 1], [1, 20.01], numbers, [True], "1 2", 1, None, ["much"]):
        error = refusal(path, wrong)
        assert (error.path, error.value) == (path, wrong)
        assert error.allowed.startswith("allowed: 1 to 10 rising numbers above 0 to 20")


def test_execution_holds_for_every_instrument_but_where_one_has_its_own() -> None:
    settings = {
        "execution": {"steps": 7, "executor": "simple"},
        "instruments": {GOLD: {"execution": {"steps": 3}}},
    }
    found = PortfolioConfig.from_mapping(settings, DEFAULTS)
    bank, gold = found.instruments[BANK].execution, found.instruments[GOLD].execution
    assert (found.execution.steps, bank.steps, gold.steps) == (7, 7, 3)
    assert bank.executor is gold.executor is ExecutorKind.SIMPLE


@pytest.mark.parametrize(
    ("path", "value", "allowed"),
    [
        ("risk", 1, "known here: equity_basis, stop_mode, trade_special_sessions, portfolio"),
        ("pyramid.max_layers", 6, "known here: max_adds, min_profit_r"),
        (TRADING + "risk", 1, "known here: risk_pct, volatility_pct"),
        (f"instruments.{BANK}.lot_size", 30, "known here: enabled, trading, strategy"),
        ("instruments.COPPER", {}, f"known: {BANK}, {GOLD}"),
        ("instruments.bank_nifty", {}, f"known: {BANK}, {GOLD}"),
        ("instruments", [], "an object by name"),
        ("portfolio", None, "an object with named settings"),
        (TRADING.rstrip("."), "default", "an object with named settings"),
    ],
)
def test_a_key_that_is_not_known_is_refused_by_its_path(
    path: str, value: object, allowed: str
) -> None:
    error = refusal(path, value)
    assert (error.path, error.value) == (path, value)
    assert error.allowed.startswith(allowed)


@pytest.mark.parametrize(
    ("ages", "fits"),
    [
        ((10, 30, 60), True),
        ((10, 10, 10), True),  # tiers may be empty
        ((0, 0, 0), True),
        ((31, 30, 60), False),
        ((10, 61, 60), False),
        ((60, 30, 10), False),
    ],
)
def test_age_tiers_must_rise(ages: tuple[int, int, int], fits: bool) -> None:
    names = ("normal_age_s", "warned_age_s", "refused_age_s")
    tiers = dict(zip(names, ages, strict=True))
    if fits:
        assert config(validation=tiers).validation.warned_age_s == ages[1]
        return
    with pytest.raises(ConfigInvalid) as error:
        config(validation=tiers)
    assert error.value.path == "validation.warned_age_s"
    assert error.value.value == str(ages[1])
    assert error.value.allowed == f"normal_age_s ({ages[0]}) to refused_age_s ({ages[2]})"


def test_each_instrument_starts_from_its_own_defaults() -> None:
    found = config({"risk_pct": "2"}).instruments
    bank, gold = found[BANK].trading, found[GOLD].trading
    assert [bank.risk_pct, bank.volatility_pct] == [Decimal(2), Decimal("0.5")]
    assert [gold.risk_pct, gold.volatility_pct] == [Decimal(1), Decimal("0.2")]
    assert [bank.initial_atr_mult, bank.trailing_atr_mult] == [Decimal("1.5"), Decimal("2.5")]
    assert [gold.initial_atr_mult, gold.trailing_atr_mult] == [Decimal(1), Decimal(2)]
    assert [bank.ongoing_volatility_pct, gold.ongoing_volatility_pct] == [
        *(Decimal("0.7"), Decimal("0.3"))
    ]
    assert found[BANK].strategy.adx_threshold == 25.0
    assert found[GOLD].strategy.adx_threshold == 15.0
    assert [found[name].strategy.timeframe_min for name in (BANK, GOLD)] == [75, 60]


@pytest.mark.parametrize("block", ENDS)
@pytest.mark.parametrize(
    ("name", "seconds", "before"),
    [
        ("judge_s", 900, "scout_s (60)"),
        ("order_s", 45, "judge_s (45)"),
        ("chase_s", 30, "order_s (30)"),
        ("end_s", 15, "chase_s (15)"),
    ],
)
def test_the_moments_of_a_days_end_follow_each_other(
    block: str, name: str, seconds: int, before: str
) -> None:
    settings: Any = {name: min(seconds, 600)}
    if name == "judge_s":
        settings["scout_s"] = 60
    for inner in reversed(block.rstrip(".").split(".")):
        settings = {inner: settings}
    with pytest.raises(ConfigInvalid) as error:
        PortfolioConfig.from_mapping(settings, DEFAULTS)
    assert error.value.path == f"eod.{name}"
    assert error.value.allowed == f"less than {before}"


def test_one_instrument_may_do_without_an_end_of_day() -> None:
    found = PortfolioConfig.from_mapping(
        {"eod": {"judge_s": 50}, "instruments": {GOLD: {"eod": {"enabled": False}}}}, DEFAULTS
    )
    ends = {name: instrument.eod for name, instrument in found.instruments.items()}
    assert (ends[BANK].enabled, ends[BANK].judge_s) == (True, Decimal(50))
    assert (ends[GOLD].enabled, ends[GOLD].judge_s) == (False, Decimal(50))


def test_the_shipped_instruments_have_the_designs_figures() -> None:
    defaults = InstrumentCatalog.shipped().config_defaults()
    assert PortfolioConfig.from_mapping({}, defaults) == config()


def test_the_shipped_example_is_the_defaults_written_out() -> None:
    text = EXAMPLE.read_text("utf-8")
    defaults = InstrumentCatalog.shipped().config_defaults()
    expected = PortfolioConfig.from_mapping({}, defaults)
    for parse in (float, Decimal):
        settings = json.loads(text, parse_float=parse)
        assert PortfolioConfig.from_mapping(settings, defaults) == expected


@pytest.mark.parametrize(
    ("name", "root", "units", "alert", "lots"),
    [
        # 50,00,000 x 0.2 % = 10,000 over ATR x the rupees a point, which are its 5 kg
        ("SILVER_MINI", "SILVERM", 5, base_entry(price=90_000, stop=89_800), 8),  # 250 x 5
        # and here its 2,500 kg: 3 x 2,500
        ("COPPER", "COPPER", 2_500, base_entry(price=900, stop=895, atr=3), 1),
    ],
)
def test_an_instrument_is_added_by_data_alone(
    name: str, root: str, units: int, alert: Signal, lots: int
) -> None:
    """Incident 60: adding an instrument missed a dozen if/elif chains.

    A row of data is configured, has a book of its own and is sized by its own point value.
    """
    row = shipped("instruments")[GOLD]
    row.update(root=root, point_value=str(units), lots=[{**row["lots"][0], "value": units}])
    catalog = InstrumentCatalog.shipped({name: row})
    maker = DecisionMaker(PortfolioConfig.from_mapping({}, catalog.config_defaults()))
    held = maker.new_book()
    held.move_capital(deposit(5_000_000))
    contract = terms(instrument=name, lot_size=units, point_value=catalog[name].point_value(units))
    decision = maker.decide(replace(alert, instrument=name), held, contract)
    assert decision.code is DecisionCode.ENTER_BASE
    assert (decision.lots, decision.limiter) == (lots, Limiter.VOLATILITY)
