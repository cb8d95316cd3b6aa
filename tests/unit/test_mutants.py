"""The mutation check is itself checked: what it changes, and what it leaves alone."""

from pathlib import Path

import pytest

from scripts.mutants import mutants_of


def changes(folder: Path, source: str) -> list[str]:
    (folder / "rule.py").write_text(source, encoding="utf-8")
    return [mutant.change for mutant in mutants_of(folder, "rule.py")]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a < b", ["a < b -> a <= b", "a < b -> a >= b"]),
        ("a is None", ["a is None -> a is not None"]),
        ("a + b", ["a + b -> a - b"]),
        ("a // b", ["a // b -> a * b"]),
        ("a or b", ["a or b -> a and b"]),
        ("not a", ["not a -> a"]),
        ("max(a, b)", ["max(a, b) -> min(a, b)"]),
        ("a if b else c", ["a if b else c -> c if b else a"]),
        ("Decimal('0.5')", ["Decimal('0.5') -> Decimal('1.5')"]),
        ("f(True)", ["f(True) -> f(False)"]),
        ("f(x=3)", ["x=3 -> x=4"]),
        ("f('text')", []),
    ],
)
def test_each_kind_of_expression_is_broken_in_its_own_ways(
    tmp_path: Path, expression: str, expected: list[str]
) -> None:
    assert changes(tmp_path, f"x = {expression}\n") == expected


def test_a_condition_is_turned_round_and_a_result_forgotten(tmp_path: Path) -> None:
    source = "def rule(open_: bool) -> str:\n    if open_:\n        return name\n    return None\n"
    assert changes(tmp_path, source) == ["open_ -> not open_", "name -> None"]


def test_annotations_and_decorators_are_left_alone(tmp_path: Path) -> None:
    source = "@dataclass(frozen=True)\nclass Row:\n    lots: Literal[1]\n"
    assert changes(tmp_path, source) == []


def test_a_mutant_holds_its_one_change_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "rule.py").write_text("def rule(a, b):\n    return max(a, b) - 1\n")
    results = []
    for mutant in mutants_of(tmp_path, "rule.py"):
        names: dict[str, object] = {}
        exec(mutant.code, names)  # noqa: S102  # the code is the two lines above
        rule = names["rule"]
        assert callable(rule)
        results.append((mutant.function, mutant.change, rule(5, 2)))
    assert results == [
        ("rule", "max(a, b) - 1 -> max(a, b) + 1", 6),
        ("rule", "max(a, b) - 1 -> None", None),
        ("rule", "max(a, b) -> min(a, b)", 1),
        ("rule", "max(a, b) - 1 -> max(a, b) - 2", 3),
    ]
