"""`python -m live.embedded STATE_DIR`: the servers run until SIGTERM or SIGINT."""

import logging
import signal
import sys
from pathlib import Path
from types import FrameType

import click

from core.errors import PortfolioError
from live.embedded.supervisor import EmbeddedServers


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("state_dir", type=click.Path(path_type=Path))
@click.option("--no-postgres", is_flag=True, help="Use a PostgreSQL of your own (DATABASE_URL).")
@click.option("--no-valkey", is_flag=True, help="Use a Redis or Valkey of your own (REDIS_URL).")
@click.option("--fast", is_flag=True, help="For tests: quick, and not safe from a power cut.")
def run(state_dir: Path, no_postgres: bool, no_valkey: bool, fast: bool) -> None:
    """Run PostgreSQL and Valkey on STATE_DIR until told to stop.

    STATE_DIR/ready.json appears when both answer, says how they are reached, and goes at the end.
    """
    logging.basicConfig(
        stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    # A job of a script in the background is started with SIGINT ignored, so both are set.
    for way in (signal.SIGTERM, signal.SIGINT):
        signal.signal(way, _interrupt)
    wanted = {"with_postgres": not no_postgres, "with_valkey": not no_valkey}
    try:
        with EmbeddedServers(state_dir, fast, **wanted) as servers:
            servers.supervise()
    except KeyboardInterrupt:
        logging.info("stopped")
    except (PortfolioError, OSError) as error:
        raise click.ClickException(str(error)) from error


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """Once: a second signal must not break into the orderly stop, which has its time limits."""
    for way in (signal.SIGTERM, signal.SIGINT):
        signal.signal(way, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    run()
