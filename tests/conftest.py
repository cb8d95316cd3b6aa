"""What every test may lean on: how hard Hypothesis looks, and where the shared material is.

`fast` is for each run, `thorough` for `./run_tests.sh --all`, and `repeatable` looks at the same
few examples each time, for the mutation check. Choose with `--hypothesis-profile NAME`.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

REPOSITORY = Path(__file__).resolve().parent.parent

pytest_plugins = ("tests.fixtures.servers",)

# A busy machine must not fail a test: no deadlines, and slow generation is not an error.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("fast", _PATIENT, max_examples=60)
settings.register_profile("thorough", _PATIENT, max_examples=500)
settings.register_profile(
    "repeatable",
    _PATIENT,
    max_examples=20,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile("fast")

# Files whose tests take the longest: begun first, so that no process works on one at the end alone.
_LONG = frozenset(
    {
        "test_chain.py",
        "test_chaos.py",
        "test_recovery.py",
        "test_roll_recovery.py",
        "test_state_machine.py",
        "test_trading_day.py",
        "test_whole_weeks.py",
    }
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long ones first; otherwise the order stays as it was shuffled."""
    items.sort(key=lambda item: item.path.name not in _LONG)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real exports and bars beside the repository; skips where it is absent."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data: {folder.name}/data is not beside the repository")
    return folder
