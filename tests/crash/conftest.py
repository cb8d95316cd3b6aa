"""A service that may be killed and stopped at named points, for as many tests as it survives."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest

from live.embedded import EmbeddedServers
from tests.fixtures.living_service import Living, open_service
from tests.fixtures.servers import folder_for_all, fresh_database


class Machine:
    """A service that is used again, and made anew after a test that went wrong."""

    def __init__(
        self,
        postgres: EmbeddedServers,
        template: str,
        application: str,
        portfolio: Mapping[str, Any],
    ) -> None:
        self._postgres = postgres
        self._template = template
        self._application = application
        self._portfolio = portfolio
        self._opened = ExitStack()
        self._living: Living | None = None

    def living(self) -> Living:
        """One that runs, with nothing held and nothing in flight."""
        if self._living is None:
            dsn = self._opened.enter_context(fresh_database(self._postgres, self._template))
            folder = self._opened.enter_context(folder_for_all())
            dying = open_service(
                dsn, folder, application=self._application, portfolio=self._portfolio
            )
            self._living = self._opened.enter_context(dying)
        return self._living

    def close(self) -> None:
        """End it."""
        self._opened.close()
        self._living = None


@pytest.fixture(scope="module")
def application() -> str:
    """What gunicorn runs; a module may have another."""
    return "tests.crash.dying_service:create()"


@pytest.fixture(scope="module")
def portfolio() -> Mapping[str, Any]:
    """What its configuration changes of the defaults; a module may have another."""
    return {}


@pytest.fixture(scope="module")
def machine(
    postgres: EmbeddedServers,
    migrated_template: str,
    application: str,
    portfolio: Mapping[str, Any],
) -> Iterator[Machine]:
    """The service of a module."""
    made = Machine(postgres, migrated_template, application, portfolio)
    yield made
    made.close()


@pytest.fixture
def living(machine: Machine, request: pytest.FixtureRequest) -> Iterator[Living]:
    """The service of a test; what a failure left behind is no later test's."""
    running = machine.living()
    failed = request.session.testsfailed
    yield running
    went_wrong = request.session.testsfailed > failed
    if went_wrong or running.store.open_positions() or not running.proof.is_settled():
        machine.close()
