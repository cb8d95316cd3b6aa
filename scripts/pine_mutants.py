"""Breaks the Bank Nifty strategy's Pine script on purpose and asks whether the parity tests notice.

The changes and the runs are in tests/fixtures/pine_mutants.py. Prints a row a mutant and the count;
exits with 1 where one survives: a missing run, or a change that makes no difference and is no
mutant. Needs .venv-pine. Run: python -m scripts.pine_mutants [WORD...]
"""

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from backtest.pine_emulator import PineEmulator, script_of
from tests.fixtures.pine_mutants import INSTRUMENT, MUTANTS, mutated, survives
from tests.fixtures.pine_parity import SCRIPTS

WORKERS = 2


def tried(name: str) -> bool:
    """Whether the mutant of that name survived."""
    with tempfile.TemporaryDirectory() as folder, PineEmulator() as emulator:
        script = Path(folder) / "mutant.pine"
        script.write_text(mutated(name), encoding="utf-8")
        return survives(emulator, script)


def main() -> int:
    """Try the mutants whose name holds one of the words, or all."""
    started = time.perf_counter()
    words = sys.argv[1:]
    names = [name for name in MUTANTS if not words or any(word in name for word in words)]
    with PineEmulator() as emulator:
        if not survives(emulator, script_of(SCRIPTS[INSTRUMENT])):
            print("the script itself does not pass: no verdict would mean much", file=sys.stderr)
            return 2
    survivors = 0
    with ThreadPoolExecutor(WORKERS) as workers:
        for name, survived in zip(names, workers.map(tried, names), strict=True):
            survivors += survived
            before, after = MUTANTS[name]
            print(f"{'SURVIVED' if survived else 'caught':8}  {name}: {before} -> {after}")
    print(f"{len(names)} mutants of the Pine script, {len(names) - survivors} caught")
    print(f"they took {time.perf_counter() - started:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
