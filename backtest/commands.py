"""The `backtest` commands: read the options, run, and say what came out."""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from backtest.metrics import measure
from backtest.monte_carlo import Method, simulate, whole_trade_returns
from backtest.options import (
    FILE,
    RunOptions,
    amount,
    input_options,
    options_given,
    read_grid,
    read_options,
)
from backtest.output import print_result
from backtest.progress import progress_bar
from backtest.result import BacktestResult
from backtest.result_json import JsonObject, to_json, write_json
from backtest.walk_forward import Objective, Parameters, run_walk_forward, windows
from backtest.walk_forward_output import print_walk_forward

FOLDER = click.Path(file_okay=False, path_type=Path)
OUT_FILE = click.Path(dir_okay=False, path_type=Path)
JSON = click.option("--json", "json_out", type=OUT_FILE, help="Write the result as JSON.")
REPORT = click.option(
    "--report", type=FOLDER, help="Write a page with charts, and a picture, into this folder."
)


_ONLY_REPLAY = ("instrument", "point_value", "commission_pct")
_ALSO_REPLAY = ("replay", "capital", "skip_bad_rows", "json_out", "report")


@click.group(invoke_without_command=True)
@click.option("--replay", type=FILE, help="Replay a TradingView export as it was traded.")
@click.option("--instrument", default="BANK_NIFTY", show_default=True, help="For --replay.")
@click.option("--point-value", help="Rupees a point a lot, for --replay (35 for lots of 35).")
@click.option("--commission-pct", default="0", show_default=True, help="A side, for --replay.")
@input_options
@JSON
@REPORT
@click.pass_context
def backtest(
    ctx: click.Context, /, json_out: Path | None, report: Path | None, **given: Any
) -> None:
    """Test on past alerts or bars, with the rules, sizes and stops that trade live."""
    typed = options_given(ctx)
    if ctx.invoked_subcommand is not None:
        if typed:
            options = ", ".join(typed.values())
            raise click.UsageError(f"write {options} after {ctx.invoked_subcommand}")
        return
    _check_replay_options(typed)
    console = Console()
    if given["replay"] is not None:
        _replay(console, given, json_out, report)
    else:
        result = _run(console, read_options(given))
        _tell(console, result, {}, json_out, report)


def _check_replay_options(typed: dict[str, str]) -> None:
    """Refuse options that would go unheeded. Raises `click.UsageError`."""
    replayed = "replay" in typed
    for name, option in typed.items():
        if replayed and name not in (*_ONLY_REPLAY, *_ALSO_REPLAY):
            raise click.UsageError(f"--replay takes trades as they were: leave {option} out")
        if not replayed and name in _ONLY_REPLAY:
            raise click.UsageError(f"{option} is for --replay")


@backtest.command("monte-carlo")
@click.option(
    "--runs", type=click.IntRange(1), default=10_000, show_default=True, help="Paths to draw."
)
@click.option(
    "--method",
    type=click.Choice([method.value for method in Method]),
    default=Method.BLOCK_BOOTSTRAP.value,
    show_default=True,
    help="Draw blocks of trades with replacement, or only reorder them.",
)
@click.option("--block", type=click.IntRange(1), help="Trades a block [cube root of their number].")
@click.option(
    "--ruin-pct",
    type=click.FloatRange(0, 100, min_open=True, max_open=True),
    default=50.0,
    show_default=True,
    help="Ruined is a path that falls below this share of the capital.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Of the random draws: equal seeds draw alike.",
)
@input_options
@REPORT
def monte_carlo(report: Path | None, **given: Any) -> None:
    """Ask how much of a result was luck: the same trades in thousands of other orders."""
    from backtest.monte_carlo_report import print_monte_carlo, write_monte_carlo_report

    console = Console()
    options = read_options(given)
    returns = whole_trade_returns(_run(console, options))
    with progress_bar(Console(stderr=True), "paths") as progress:
        drawn = simulate(
            returns,
            float(options.capital),
            method=Method(given["method"]),
            runs=given["runs"],
            block=given["block"],
            seed=given["seed"],
            ruin_fraction=given["ruin_pct"] / 100,
            progress=progress,
        )
    print_monte_carlo(drawn, console)
    if report is not None:
        _say_written(console, write_monte_carlo_report(drawn, report))


@backtest.command("walk-forward")
@click.option(
    "--grid",
    multiple=True,
    required=True,
    metavar="PATH=V1,V2",
    help="A setting and its values: instruments.BANK_NIFTY.strategy.er_threshold=0.7,0.8",
)
@click.option(
    "--train-months",
    type=click.IntRange(1),
    default=12,
    show_default=True,
    help="Months in which settings are chosen.",
)
@click.option(
    "--test-months",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Months after them in which they are judged; the next window begins so much later.",
)
@click.option(
    "--objective",
    type=click.Choice([objective.value for objective in Objective]),
    default=Objective.SHARPE.value,
    show_default=True,
    help="What the best is by.",
)
@input_options
def walk_forward(
    grid: tuple[str, ...], train_months: int, test_months: int, objective: str, **given: Any
) -> None:
    """Choose settings on the past, judge them on what came after, window by window."""
    from backtest.runs import prepare, with_settings

    console = Console()
    prepared = prepare(read_options(given))
    first, last = prepared.days

    def run(parameters: Parameters, start: date, end: date) -> BacktestResult:
        return prepared.run_span(with_settings(prepared.settings, parameters), start, end)

    spans = windows(first, last + timedelta(days=1), train_months, test_months)
    with progress_bar(Console(stderr=True), "runs") as progress:
        found = run_walk_forward(run, read_grid(grid), spans, Objective(objective), progress)
    print_walk_forward(found, console)


@backtest.command("bars")
@click.option("--out", type=FOLDER, required=True, help="Folder of the files.")
@click.option("--on-tick", is_flag=True, help="Move prices to the contract's ticks.")
@input_options
def write_bars(out: Path, on_tick: bool, **given: Any) -> None:
    """Write the bars as the strategy sees them: its timeframe, with the moment each is known."""
    from backtest.bar_files import write_bar_files
    from backtest.runs import prepare

    console = Console()
    for path in write_bar_files(prepare(read_options(given)), out, on_tick=on_tick).values():
        _say_written(console, path)


@backtest.command("alerts")
@click.option("--out", type=FOLDER, required=True, help="Folder of the files.")
@input_options
def write_alerts(out: Path, **given: Any) -> None:
    """Write what the Pine scripts would send over the bars, one alert a line, in their order."""
    from backtest.pine_alerts import write_alert_files
    from backtest.runs import prepare

    console = Console()
    for path in write_alert_files(prepare(read_options(given)), out).values():
        _say_written(console, path)


def _run(console: Console, options: RunOptions) -> BacktestResult:
    from backtest.runs import prepare

    prepared = prepare(options)
    with progress_bar(Console(stderr=True), "bars") as progress:
        return prepared.run(progress=progress)


def _replay(
    console: Console, given: dict[str, Any], json_out: Path | None, report: Path | None
) -> None:
    from backtest.replay import replay
    from backtest.replay_output import print_replay, replay_json
    from backtest.tradingview_export import read_export

    if given["point_value"] is None:
        raise click.UsageError("--replay needs --point-value: rupees a point a lot, such as 35")
    replayed = replay(
        read_export(given["replay"], given["skip_bad_rows"]),
        given["instrument"].upper(),
        amount("--point-value", given["point_value"]),
        amount("--commission-pct", given["commission_pct"], least=Decimal(0)),
        amount("--capital", given["capital"]),
    )
    print_replay(replayed, console)
    _tell(console, replayed.backtest, replay_json(replayed), json_out, report)


def _tell(
    console: Console,
    result: BacktestResult,
    extra: JsonObject,
    json_out: Path | None,
    report: Path | None,
) -> None:
    """Print the result, then write it where that was asked for."""
    metrics = measure(result)
    print_result(result, console, metrics)
    if json_out is not None:
        write_json({**to_json(result, metrics), **extra}, json_out)
        _say_written(console, json_out)
    if report is not None:
        from backtest.report.backtest_page import write_report
        from backtest.report.equity_svg import write_equity_svg

        _say_written(console, write_report(result, metrics, report))
        picture = report / "equity.svg"
        write_equity_svg(result, picture)
        _say_written(console, picture)


def _say_written(console: Console, path: Path) -> None:
    console.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)
