"""The table of parity: each feature that we say is there has a test that shows it."""

from __future__ import annotations

import ast
import collections.abc as cabc
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
_ROW = re.compile(r"\| *(?P<number>\d+) \| (?P<feature>.+?) \| (?P<state>\w+) \|(?P<how>.*)\|\Z")
_TO_COME = re.compile(r"\bis later\b|\byet\b")
_NUMBERS = re.compile(r"test_parity_((?:\d+_)+)")


def _rows() -> list[tuple[int, str, str]]:
    """Number, state and explanation of each row of the page."""
    text = ROOT.joinpath("docs", "parity.md").read_text(encoding="utf-8")
    found = [_ROW.match(line) for line in text.splitlines() if re.match(r"\| *\d", line)]
    assert None not in found, "a row has another form"
    return [(int(one["number"]), one["state"], one["how"].strip()) for one in found if one]


def _tests() -> cabc.Iterator[tuple[str, ast.FunctionDef]]:
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield f"{path.relative_to(TESTS)}::{node.name}", node


def _marked(node: ast.FunctionDef) -> set[int]:
    """The rows that a test's ``@pytest.mark.parity`` names."""
    return {
        ast.literal_eval(number)
        for mark in node.decorator_list
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.parity"
        for number in mark.args
    }


def test_every_row_is_there() -> None:
    """The hundred features, each with one of four states."""
    rows = _rows()
    assert [number for number, _, _ in rows] == list(range(1, 101))
    assert {state for _, state, _ in rows} <= {"yes", "deviates", "later", "outside"}


def test_every_feature_that_is_there_is_shown() -> None:
    """A row that says yes or deviates has a test."""
    shown = {number for _, node in _tests() for number in _marked(node)}
    there = {number for number, state, _ in _rows() if state in ("yes", "deviates")}
    assert sorted(there - shown) == []


def test_nothing_is_shown_that_is_not_there() -> None:
    """No test claims a row that is outside, comes later, or does not exist."""
    there = {number for number, state, _ in _rows() if state in ("yes", "deviates")}
    wrong = {name: _marked(node) - there for name, node in _tests() if _marked(node) - there}
    assert wrong == {}


def test_numbers_in_names_are_marked() -> None:
    """A test that is named for a row is found by its number."""
    for name, node in _tests():
        if named := _NUMBERS.match(node.name):
            numbers = {int(one) for one in named[1].strip("_").split("_")}
            assert numbers <= _marked(node), name


def test_what_is_not_as_documented_says_why() -> None:
    """Who reads that something differs or is missing reads the reason in the same row."""
    silent = [number for number, state, how in _rows() if state != "yes" and not how]
    assert silent == []


def test_what_is_missing_is_called_later() -> None:
    """No row says that something is there and, besides, that a part of it is still to come."""
    there = [(number, how) for number, state, how in _rows() if state != "later"]
    assert [number for number, how in there if _TO_COME.search(how)] == []
