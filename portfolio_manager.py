#!/usr/bin/env python3
"""The command line. A command lives in its own room and is imported only when it is asked for."""

import importlib
import sys
from typing import Any

import click

from core.errors import PortfolioError
from core.version import VERSION

COMMANDS = {
    "backtest": ("backtest.commands", "backtest"),
    "broker": ("live.commands.broker", "broker"),
    "capital": ("live.commands.capital", "capital"),
    "chain": ("live.commands.chain", "chain"),
    "doctor": ("live.commands.doctor", "doctor"),
    "emergency": ("live.commands.emergency", "emergency"),
    "explain": ("live.commands.explain", "explain"),
    "live": ("live.commands.live", "live"),
    "manual-exit": ("live.commands.manual_exit", "manual_exit"),
    "migrate": ("live.commands.migrate", "migrate"),
    "orders": ("live.commands.orders", "orders"),
    "rollover": ("live.commands.rollover", "rollover"),
    "signal": ("live.commands.signal", "signal"),
    "status": ("live.commands.status", "status"),
    "sync": ("live.commands.sync", "sync"),
}


class LazyGroup(click.Group):
    """Imports a command's module when the command is asked for, so that `--help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in a fixed order."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what went wrong is one line, unless --debug asks for the traceback."""
        try:
            return super().invoke(ctx)
        except (PortfolioError, OSError) as error:
            if ctx.params["debug"]:
                raise
            raise click.ClickException(_sentence(error)) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort, KeyboardInterrupt):
            raise
        except Exception as error:
            if ctx.params["debug"]:
                raise
            kind = type(error).__name__
            raise click.ClickException(
                f"unexpected {kind}: {error}; run again with --debug to see where"
            ) from error


def _sentence(error: PortfolioError | OSError) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return str(error)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the whole traceback when something goes wrong.")
@click.version_option(VERSION, prog_name="portfolio-manager")
def main(debug: bool) -> None:
    """Turns TradingView alerts into sized positions in Bank Nifty and Gold Mini."""


if __name__ == "__main__":
    sys.exit(main())
