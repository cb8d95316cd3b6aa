"""The habits of this repository that a machine can check: sizes, pins, and nothing of one machine.

Figures are those of the house style: a file past 500 lines or a function past 60 becomes two.
"""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ROOMS = ("core", "live", "brokers", "backtest")
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60

REQUIREMENTS = ("requirements.txt", "requirements-dev.txt", "requirements-pine.txt")
PIN = re.compile(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+(; python_full_version < \"[0-9.]+\")?")


def tracked_files() -> list[Path]:
    """Files under version control that are still there; skips outside a git checkout."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    paths = (REPOSITORY / name for name in listing.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def program_files() -> list[Path]:
    """Python files of the program itself, tests and scripts left out."""
    in_rooms = (path for room in ROOMS for path in sorted((REPOSITORY / room).rglob("*.py")))
    return [*REPOSITORY.glob("*.py"), *in_rooms]


def function_lines(path: Path) -> Iterator[tuple[str, int]]:
    """Each function's name and length in lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    lengths = {
        str(path.relative_to(REPOSITORY)): len(path.read_text(encoding="utf-8").splitlines())
        for path in program_files()
    }
    assert lengths
    assert {name: n for name, n in lengths.items() if n > MAX_FILE_LINES} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    too_long = [
        f"{path.relative_to(REPOSITORY)}: {name} has {lines} lines"
        for path in program_files()
        for name, lines in function_lines(path)
        if lines > MAX_FUNCTION_LINES
    ]
    assert too_long == []


def test_every_module_opens_with_a_docstring() -> None:
    silent = [
        str(path.relative_to(REPOSITORY))
        for path in program_files()
        if path.read_text(encoding="utf-8").strip()
        and ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is None
    ]
    assert silent == []


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_requirement_is_pinned_to_one_version(name: str) -> None:
    lines = (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith(("#", "-r "))]
    assert pins
    assert [line for line in pins if not PIN.fullmatch(line)] == []


def test_every_requirement_has_its_reason_written_down() -> None:
    reasons = (REPOSITORY / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    pinned = {
        line.split("==")[0].lower()
        for name in REQUIREMENTS
        for line in (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    assert {package for package in pinned if f"| {package} |" not in reasons} == set()


def test_what_needs_to_be_named_is_named() -> None:
    """PyneCore's NOTICE asks for its line where users can see it."""
    third_parties = (REPOSITORY / "docs" / "third-party.md").read_text(encoding="utf-8")
    pinned = (REPOSITORY / "requirements-pine.txt").read_text(encoding="utf-8")
    assert "pynesys-pynecore==" in pinned
    assert "Powered by PyneSys (https://pynesys.io)" in third_parties


def test_one_version_of_a_package_wherever_it_is_pinned() -> None:
    pins: dict[str, set[str]] = {}
    for name in REQUIREMENTS:
        for line in (REPOSITORY / name).read_text(encoding="utf-8").splitlines():
            package, found, version = line.partition("==")
            if found:
                pins.setdefault(package.lower(), set()).add(version)
    assert {package for package, versions in pins.items() if len(versions) > 1} == set()


def test_the_import_contracts_cover_every_room() -> None:
    """import-linter looks only at root packages it is told of."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    rooms = {room for room in ROOMS if (REPOSITORY / room / "__init__.py").exists()}
    linter = project["tool"]["importlinter"]
    [command_line] = [c for c in linter["contracts"] if c["id"] == "command-line"]
    assert set(linter["root_packages"]) == rooms
    assert set(command_line["source_modules"]) == rooms


def test_no_file_holds_a_path_of_one_machine() -> None:
    # Built from parts, so that this file does not find itself.
    of_one_machine = re.compile(
        "|".join(["/" + "work/", "/" + "root/", "/" + "home/", "/" + "Users/"])
    )
    found = [
        f"{path.relative_to(REPOSITORY)}:{number}"
        for path in tracked_files()
        for number, line in enumerate(
            path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1
        )
        if of_one_machine.search(line)
    ]
    assert found == []


def test_every_command_the_readme_shows_exists() -> None:
    readme = REPOSITORY / "README.md"
    if not readme.exists():
        pytest.skip("there is no README.md")
    text = readme.read_text(encoding="utf-8")
    in_code = " ".join(re.findall(r"```.*?```|`[^`\n]+`", text, flags=re.DOTALL))
    shown = set(re.findall(r"(?<![\w/.])(?:\./)?([\w/.-]+\.(?:sh|py))\b", in_code))
    own = {name for name in shown if not name.startswith("..")}
    assert {name for name in own if not (REPOSITORY / name).is_file()} == set()
