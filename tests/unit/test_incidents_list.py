"""docs/incidents.md names the tests that hold each incident, and none that is gone."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
LIST = TESTS.parent / "docs" / "incidents.md"
_NAMED = re.compile(r"Incidents? (\d+(?:(?:, | and )\d+)*)")
_ROW = re.compile(r"^\| (\d+) \|", re.MULTILINE)


def listed() -> set[tuple[int, str]]:
    """Each incident of the list, with each test beside it."""
    found = set()
    for line in LIST.read_text().splitlines():
        if row := _ROW.match(line):
            found |= {(int(row[1]), name) for name in re.findall(r"`([^`]+)`", line)}
    return found


def named() -> set[tuple[int, str]]:
    """Each incident that a test's docstring opens with, with that test."""
    found = set()
    for path in TESTS.rglob("test_*.py"):
        place = path.relative_to(TESTS)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                opening = _NAMED.match(ast.get_docstring(node) or "")
                numbers = re.findall(r"\d+", opening[1]) if opening else []
                found |= {(int(number), f"{place}::{node.name}") for number in numbers}
    return found


def test_every_test_of_the_list_is_there_and_names_its_incident() -> None:
    assert listed() - named() == set()


def test_each_incident_has_a_row_and_at_least_one_test() -> None:
    numbers = [int(number) for number in _ROW.findall(LIST.read_text())]
    assert numbers == sorted(set(numbers))
    assert set(numbers) == {number for number, _ in listed()}
