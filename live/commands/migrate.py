"""`migrate`: the schema by hand. A start does the same by itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from core import migrations
from live.embedded import EmbeddedServers, ready_servers
from live.environment import environment
from live.launcher.database import impatient
from live.launcher.home import Home
from live.settings import OperatorSettings, operator_settings


@click.command()
@click.option("--show", is_flag=True, help="Say what is applied, and change nothing.")
def migrate(show: bool) -> None:
    """Apply what is missing of the schema."""
    with _database(operator_settings(environment())) as url:
        if not show:
            for migration in migrations.migrate(url):
                click.echo(f"applied {migration.version:03d} {migration.name}")
        for state in migrations.status(url):
            when = f"{state.applied_at:%Y-%m-%d %H:%M:%S %z}" if state.applied_at else "not applied"
            click.echo(f"{state.version:03d} {state.name:<24} {when}")


@contextmanager
def _database(settings: OperatorSettings) -> Iterator[str]:
    """The operator's database, or ours: the one that runs, or one that is started for this."""
    home = Home(settings.home)
    running = ready_servers(home.servers)
    if settings.database_url is not None:
        yield impatient(settings.database_url)
    elif running is not None and running.database_url is not None:
        yield running.database_url
    else:
        home.prepare()
        with EmbeddedServers(home.place_servers(), with_valkey=False) as servers:
            yield servers.database_url
