"""Breaks the trading rules on purpose, one small change at a time, and asks whether a test notices.

Each mutant (a flipped comparison, a swapped min and max, another constant ...) is compiled from
the module's syntax tree and imported in place of the real one in a forked process, where the unit
tests run. A mutant that no test notices is a survivor: a missing test, or a change that makes no
difference, which `mutation_allowed.txt` then says, one `file:function:change = reason` a line.
Exits with 1 on any other survivor, and on a line there that no survivor needs any more.

    python -m scripts.mutation [FILE...]     by default the sizer, the gate and the stops
"""

import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType

import hypothesis  # noqa: F401  # loaded once, before the forks
import pytest

from scripts.mutants import Mutant, mutants_of

REPOSITORY = Path(__file__).resolve().parent.parent
ALLOWED = REPOSITORY / "scripts" / "mutation_allowed.txt"
TARGETS = ("core/position_sizer.py", "core/pyramid_gate.py", "core/stop_manager.py")
SHARED_TEST = "tests/unit/test_decision.py"
WORKERS = os.cpu_count() or 1
LONGEST_RUN_S = 60
PYTEST_OPTIONS = (
    "-x",
    *("-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist"),
    *("--hypothesis-profile", "repeatable"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # Hypothesis is there before pytest asks
)


class _MutatedLoader(SourceFileLoader):
    """Loads a module from `code` instead of from its file."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code


class _MutantFinder(MetaPathFinder):
    """Finds the mutant where its module is imported, and nothing else."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        if name != self._mutant.file.removesuffix(".py").replace("/", "."):
            return None
        source = str(REPOSITORY / self._mutant.file)
        return spec_from_file_location(
            name, source, loader=_MutatedLoader(name, source, self._mutant.code)
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the tests noticed `mutant`."""

    mutant: Mutant
    killed: bool


def tests_of(file: str) -> list[str]:
    """The module's own tests, then those of the decision; only what exists."""
    own = f"tests/unit/test_{Path(file).stem}.py"
    return [test for test in (own, SHARED_TEST) if (REPOSITORY / test).is_file()]


def run_tests(file: str, mutant: Mutant | None) -> int:
    """Fork, run the tests of `file` with `mutant` in its place; the child's process id."""
    child = os.fork()
    if child:
        return child
    signal.alarm(LONGEST_RUN_S)  # a mutant that never ends is noticed too
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    if mutant is not None:
        sys.meta_path.insert(0, _MutantFinder(mutant))
    status = 1
    try:
        status = int(pytest.main([*PYTEST_OPTIONS, *tests_of(file)]))
    finally:
        os._exit(status)


def verdicts(mutants: Iterable[Mutant]) -> Iterator[Verdict]:
    """Try every mutant, `WORKERS` at a time, each verdict as soon as it is known."""
    running: dict[int, Mutant] = {}
    waiting = iter(mutants)
    while True:
        while len(running) < WORKERS and (mutant := next(waiting, None)) is not None:
            running[run_tests(mutant.file, mutant)] = mutant
        if not running:
            return
        child, status = os.wait()
        yield Verdict(running.pop(child), killed=status != 0)


def passes_unchanged(file: str) -> bool:
    """Whether the tests of `file` pass on the real module; without that no verdict means much."""
    if not tests_of(file):
        return False
    _, status = os.waitpid(run_tests(file, None), 0)
    return status == 0


def allowed_survivors(files: Iterable[str]) -> set[str]:
    """Keys of the survivors that are known to make no difference."""
    if not ALLOWED.is_file():
        return set()
    lines = (line.strip() for line in ALLOWED.read_text(encoding="utf-8").splitlines())
    keys = {line.partition(" = ")[0] for line in lines if line and not line.startswith("#")}
    return {key for key in keys if key.partition(":")[0] in set(files)}


def check(files: list[str]) -> int:
    """Print a row a mutant and the count; 0 when every survivor is an allowed one."""
    for file in files:
        if not passes_unchanged(file):
            print(f"{file}: its tests fail, or there are none: {tests_of(file)}", file=sys.stderr)
            return 2
    allowed = allowed_survivors(files)
    survivors: set[str] = set()
    tried = 0
    for verdict in verdicts(mutant for file in files for mutant in mutants_of(REPOSITORY, file)):
        mutant = verdict.mutant
        tried += 1
        if not verdict.killed:
            survivors.add(mutant.key)
        known = "allowed" if mutant.key in allowed else "SURVIVED"
        outcome = "killed" if verdict.killed else known
        print(f"{outcome:8}  {mutant.file}:{mutant.line}  {mutant.function}: {mutant.change}")
    unexplained, needless = sorted(survivors - allowed), sorted(allowed - survivors)
    print(f"{tried} mutants, {len(survivors)} survived, {len(survivors & allowed)} of them allowed")
    for key in unexplained:
        print(f"survived: {key}", file=sys.stderr)
    for key in needless:
        print(f"no longer survives, strike it from {ALLOWED.name}: {key}", file=sys.stderr)
    return 1 if unexplained or needless else 0


def main() -> int:
    """Check the files named on the command line, or all targets."""
    os.chdir(REPOSITORY)
    started = time.perf_counter()
    status = check(sys.argv[1:] or list(TARGETS))
    print(f"mutation check took {time.perf_counter() - started:.0f} s on {WORKERS} cores")
    return status


if __name__ == "__main__":
    sys.exit(main())
