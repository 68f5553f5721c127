"""The table of parity: each feature that it lists as supported has a test."""

from __future__ import annotations

import ast
import collections.abc as cabc
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
_ROW = re.compile(
    r"\| *(?P<number>\d+) \| (?P<feature>.+?) \| (?P<state>\w+) \|(?P<explanation>.*)\|\Z"
)
_TO_COME = re.compile(r"\bis later\b|\byet\b")
_NUMBERS = re.compile(r"test_parity_((?:\d+_)+)")


def _rows() -> list[tuple[int, str, str]]:
    """Return number, state and explanation of each row of the page."""
    text = ROOT.joinpath("docs", "parity.md").read_text(encoding="utf-8")
    found = [_ROW.match(line) for line in text.splitlines() if re.match(r"\| *\d", line)]
    assert None not in found, "a row has another form"
    return [(int(one["number"]), one["state"], one["explanation"].strip()) for one in found if one]


def _tests() -> cabc.Iterator[tuple[str, ast.FunctionDef]]:
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield f"{path.relative_to(TESTS)}::{node.name}", node


def _marked(node: ast.FunctionDef) -> set[int]:
    """Return the rows that a test's ``@pytest.mark.parity`` names."""
    return {
        ast.literal_eval(number)
        for mark in node.decorator_list
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.parity"
        for number in mark.args
    }


def test_every_row_exists() -> None:
    """The table has a hundred features, each with one of four states."""
    rows = _rows()
    assert [number for number, _, _ in rows] == list(range(1, 101))
    assert {state for _, state, _ in rows} <= {"yes", "deviates", "later", "outside"}


def test_every_supported_feature_is_tested() -> None:
    """A row with the state yes or deviates has a test."""
    tested = {number for _, node in _tests() for number in _marked(node)}
    supported = {number for number, state, _ in _rows() if state in ("yes", "deviates")}
    assert sorted(supported - tested) == []


def test_no_unsupported_feature_is_marked() -> None:
    """No test is marked with a row that is outside, comes later, or does not exist."""
    supported = {number for number, state, _ in _rows() if state in ("yes", "deviates")}
    wrong = {
        name: _marked(node) - supported for name, node in _tests() if _marked(node) - supported
    }
    assert wrong == {}


def test_numbers_in_names_are_marked() -> None:
    """A test with a row's number in its name is also marked with it."""
    for name, node in _tests():
        if named := _NUMBERS.match(node.name):
            numbers = {int(one) for one in named[1].strip("_").split("_")}
            assert numbers <= _marked(node), name


def test_deviations_are_explained() -> None:
    """A row with another state than yes has an explanation."""
    unexplained = [
        number for number, state, explanation in _rows() if state != "yes" and not explanation
    ]
    assert unexplained == []


def test_missing_parts_are_called_later() -> None:
    """No row with another state than later says that a part of the feature is missing."""
    supported = [
        (number, explanation) for number, state, explanation in _rows() if state != "later"
    ]
    assert [number for number, explanation in supported if _TO_COME.search(explanation)] == []
