"""The parity check is itself checked: it notices a script that is wrong in one place.

`python -m scripts.pine_mutants` tries every mutant; these are one of each kind.
"""

from pathlib import Path

import pytest

from backtest.pine_emulator import PineEmulator, script_of
from tests.fixtures.pine_mutants import INSTRUMENT, MUTANTS, mutated, survives
from tests.fixtures.pine_parity import SCRIPTS

FEWEST = 80


@pytest.mark.parametrize(
    "name",
    [
        "this bar's high",
        "five entries may fill",
        "adds before exits",
        "NaN in an alert",
    ],
)
def test_a_wrong_script_is_noticed(emulator: PineEmulator, tmp_path: Path, name: str) -> None:
    script = tmp_path / "mutant.pine"
    script.write_text(mutated(name), encoding="utf-8")
    assert not survives(emulator, script)


@pytest.mark.slow
def test_the_script_itself_passes_every_trial(emulator: PineEmulator) -> None:
    assert survives(emulator, script_of(SCRIPTS[INSTRUMENT]))


def test_each_mutant_is_a_script_of_its_own() -> None:
    texts = {mutated(name) for name in MUTANTS}
    assert len(texts) == len(MUTANTS) >= FEWEST
    assert script_of(SCRIPTS[INSTRUMENT]).read_text(encoding="utf-8") not in texts
