"""Whatever fails, in any order: each alert has one end, and the books are the exchange's."""

import random
from pathlib import Path

import pytest

from tests.fixtures.chaos.run import run
from tests.fixtures.chaos.table import table

pytestmark = pytest.mark.slow

_SECONDS = 60.0


def test_three_instances_in_a_storm_lose_nothing_and_double_nothing(open_folder: Path) -> None:
    """Incident 47, and every way in which an instance, a server or a way to it can fail."""
    seed = random.randrange(10**6)
    ran = run(open_folder, seed, _SECONDS)
    print(table(ran))
    assert ran.verdict.intents
    assert ran.broken == [], f"python -m scripts.chaos --seed {seed} --minutes 1\n{table(ran)}"
