"""The alerts of the shipped Pine scripts over bars, as TradingView would send them.

A script is told every number of the configuration, so it and the backtest trade by the same ones.
"""

from dataclasses import fields
from datetime import datetime, time
from pathlib import Path

from backtest.feeds import coarse_bars
from backtest.pine_emulator import Inputs, PineEmulator, chart_of, script_of
from backtest.runs import PreparedRun, read_config
from backtest.strategy_params import StrategyParams
from core.ist import IST

# The input of the script that each number of the strategy is.
INPUT_NAMES = {
    "rsi_length": "rsiLength",
    "rsi_threshold": "rsiThreshold",
    "ema_length": "emaLength",
    "donchian_length": "donchianLength",
    "adx_length": "adxLength",
    "adx_smoothing": "adxSmoothing",
    "adx_threshold": "adxThreshold",
    "er_length": "erLength",
    "er_threshold": "erThreshold",
    "supertrend_length": "supertrendLength",
    "supertrend_factor": "supertrendFactor",
    "atr_length": "atrLength",
    "doji_body_fraction": "dojiBodyFraction",
    "roc_length": "rocLength",
    "use_roc_filter": "useRocFilter",
    "roc_threshold": "rocThreshold",
    "max_adds": "maxAdds",
    "min_profit_r": "minProfitR",
    "pyramid_atr_spacing": "addSpacingAtr",
    "stop_mode": "stopMode",
    "initial_atr_mult": "initialAtrMult",
    "trailing_atr_mult": "trailingAtrMult",
}
DATE_NAMES = {"start": ("useStart", "startDay"), "end": ("useEnd", "endDay")}


def inputs_of(params: StrategyParams) -> Inputs:
    """Every number of the strategy, as inputs of its script."""
    inputs: dict[str, bool | int | float | str] = {}
    for field in fields(params):
        value = getattr(params, field.name)
        if field.name not in DATE_NAMES:
            inputs[INPUT_NAMES[field.name]] = value
        elif value is not None:
            switch, day = DATE_NAMES[field.name]
            begins = datetime.combine(value, time(), tzinfo=IST)
            inputs |= {switch: True, day: int(begins.timestamp() * 1000)}
    return inputs


def strategy_script(instrument: str) -> Path:
    """The instrument's shipped strategy."""
    return script_of("".join(word.title() for word in instrument.split("_")) + "_TF_V8.0")


def write_alert_files(prepared: PreparedRun, folder: Path) -> dict[str, Path]:
    """A file of alerts for each instrument, one a line, in the order in which they fire.

    Raises `InputInvalid` where Pine scripts cannot be run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config, market = read_config(prepared.settings, prepared.market), prepared.market
    files = {}
    with PineEmulator() as emulator:
        for name, bars in prepared.bars.items():
            coarse, _ = coarse_bars(name, bars, config, market)
            params = StrategyParams.from_config(
                config, name, prepared.options.start, prepared.options.end
            )
            opens, closes = market.hours(name, coarse[0].time.date())
            minutes = config.instruments[name].strategy.timeframe_min
            chart = chart_of(market.catalog[name], minutes, (f"{opens:%H:%M}", f"{closes:%H:%M}"))
            said = emulator.run(strategy_script(name), coarse, chart, inputs_of(params)).said
            files[name] = folder / f"{name.lower()}.jsonl"
            files[name].write_text("".join(f"{each.message}\n" for each in said), encoding="utf-8")
    return files
