"""Breaks the Bank Nifty strategy's Pine script on purpose and asks whether the parity tests notice.

The changes and the runs are in tests/fixtures/pine_mutants.py. Prints a row a mutant and the count;
exits with 1 where one survives: a missing run, or a change that makes no difference and is no
mutant. Needs .venv-pine. Run: python -m scripts.pine_mutants [WORD...]
"""

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from backtest.pine_emulator import PineEmulator, script_of
from tests.fixtures.pine_mutants import INSTRUMENT, MUTANTS, mutated, survives
from tests.fixtures.pine_parity import SCRIPTS

WORKERS = 2


def tried(name: str, emulators: "SimpleQueue[PineEmulator]") -> bool:
    """Whether the mutant of that name survived in the emulator that is free."""
    emulator = emulators.get()
    try:
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "mutant.pine"
            script.write_text(mutated(name), encoding="utf-8")
            return survives(emulator, script, defaults_first=name.startswith("default of"))
    finally:
        emulators.put(emulator)


def itself_passes(emulators: "SimpleQueue[PineEmulator]") -> bool:
    """Whether the script as it is shipped passes every trial."""
    emulator = emulators.get()
    try:
        return survives(emulator, script_of(SCRIPTS[INSTRUMENT]))
    finally:
        emulators.put(emulator)


def main() -> int:
    """Try the mutants whose name holds one of the words, or all."""
    started = time.perf_counter()
    words = sys.argv[1:]
    names = [name for name in MUTANTS if not words or any(word in name for word in words)]
    emulators: SimpleQueue[PineEmulator] = SimpleQueue()
    survivors = 0
    with ExitStack() as stack:
        for _ in range(WORKERS):
            emulators.put(stack.enter_context(PineEmulator()))
        if not itself_passes(emulators):
            print("the script itself does not pass: no verdict would mean much", file=sys.stderr)
            return 2
        workers = stack.enter_context(ThreadPoolExecutor(WORKERS))
        verdicts = workers.map(partial(tried, emulators=emulators), names)
        for name, survived in zip(names, verdicts, strict=True):
            survivors += survived
            before, after = MUTANTS[name]
            print(
                f"{'SURVIVED' if survived else 'caught':8}  {name}: {before} -> {after}", flush=True
            )
    print(f"{len(names)} mutants of the Pine script, {len(names) - survivors} caught")
    print(f"they took {time.perf_counter() - started:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
