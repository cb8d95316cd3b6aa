"""One process that runs Pine scripts for all tests of a worker, and the long runs once for all."""

import fcntl
import pickle
from collections.abc import Iterator
from functools import cache

import pytest

from backtest.pine_emulator import PYTHON, Emulation, PineEmulator, script_of
from tests.fixtures.pine_parity import SCRIPTS, ShippedRun, chart, long_run_bars


@pytest.fixture(scope="session")
def emulator() -> Iterator[PineEmulator]:
    """Runs scripts; skips where its environment was not made."""
    if not PYTHON.is_file():
        pytest.skip("there is no .venv-pine: ./run_tests.sh pine makes it")
    with PineEmulator() as running:
        yield running


@pytest.fixture(scope="session")
def shipped_run(
    emulator: PineEmulator, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> ShippedRun:
    """Each instrument's script with its own defaults, over several thousand bars.

    The first of the workers runs it, the others read what it said.
    """
    folder = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        folder = folder.parent

    @cache
    def run(instrument: str) -> Emulation:
        kept = folder / f"{instrument}.pickle"
        with (folder / f"{instrument}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                bars = long_run_bars(instrument)
                said = emulator.run(script_of(SCRIPTS[instrument]), bars, chart(instrument))
                kept.write_bytes(pickle.dumps(said))
        kept_run: Emulation = pickle.loads(kept.read_bytes())  # noqa: S301  # our own of just now
        return kept_run

    return run
