"""`chain`: the Pine scripts' alerts over bars, traded by a real service, against the backtest."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import click

from live.chain.programs import Inputs
from live.chain.rehearsal import Trouble
from live.chain.whole import ChainResult, run_chain

_DAY = click.DateTime(formats=["%Y-%m-%d"])
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_MOST_SHOWN = 40


@click.command()
@click.option(
    "--bars", multiple=True, required=True, metavar="INSTRUMENT=FILE", help="As for backtest."
)
@click.option("--from", "start", type=_DAY, help="Trades begin on this day or later.")
@click.option("--capital", default="5000000", show_default=True, help="Rupees to begin with.")
@click.option("--config", type=_FILE, help="A portfolio_config.json.")
@click.option(
    "--trouble",
    type=click.Choice([each.value for each in Trouble]),
    default=Trouble.NONE.value,
    show_default=True,
    help="Deliver each twice, the last first, or with two power cuts.",
)
@click.option("--keep", type=_FOLDER, help="Work in this folder and keep it.")
def chain(
    bars: tuple[str, ...],
    start: datetime | None,
    capital: str,
    config: Path | None,
    trouble: str,
    keep: Path | None,
) -> None:
    """Trade the Pine scripts' alerts over bars as the service would, and as the backtest does.

    Runs the scripts offline, posts what they say to a service of its own on paper, at the right
    time, without spread or charges, and compares trade by trade. Ends with 1 where they differ.
    """
    day = None if start is None else start.date()
    inputs = Inputs(dict(map(_pair, bars)), config, day, capital)
    with _folder(keep) as folder, click.progressbar(length=100, label="alerts") as bar:

        def progress(done: int, total: int) -> None:
            bar.update(100 * done // total - bar.pos)

        result = run_chain(inputs, Trouble(trouble), folder, click.echo, progress)
    _tell(result)


def _tell(result: ChainResult) -> None:
    for end, count in sorted(result.ends.items()):
        click.echo(f"{count:6}  {end}")
    click.echo(f"{result.rolls:6}  rolls, {result.crashes} power cuts")
    for line in result.differences[:_MOST_SHOWN]:
        click.echo(line)
    if result.differences:
        differ, trades = len(result.differences), result.trades
        raise click.ClickException(f"{differ} differences; the backtest has {trades} trades")
    click.echo(f"equal: {result.trades} trades, {result.open_layers} open layers")


def _pair(text: str) -> tuple[str, Path]:
    name, equals, file = text.partition("=")
    if not (name and equals and file):
        raise click.UsageError(f"--bars {text}: write INSTRUMENT=FILE")
    if not Path(file).is_file():
        raise click.UsageError(f"--bars: there is no file {file}")
    return name.strip().upper(), Path(file)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="pm-chain-", ignore_cleanup_errors=True) as made:
        path = Path(made)
        path.chmod(0o755)  # Where root runs this, the database's own account has to get in.
        yield path
