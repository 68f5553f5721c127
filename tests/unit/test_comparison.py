"""The page of comparison: its rows are complete, its numbers add up, and what it names exists."""

from __future__ import annotations

import ast
import collections
import functools
import pathlib
import re
import shlex

import click
import pytest

from flask_woo_events.cli import cli
from flask_woo_events.simulation.loss_suite import suite

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT.joinpath("docs", "comparison.md").read_text(encoding="utf-8")
#: The columns of states.
OUR = "flask_woo_events"
PRODUCTS = (
    OUR, "Cloud Elements", "Svix", "Convoy", "Outpost", "Airbyte", "n8n", "dj-stripe", "wc-py",
)  # fmt: skip
HEADINGS = ["#", "Feature", *PRODUCTS, "Shown by"]
#: Section, first row and last row.
GROUPS = [("A", 1, 32), ("B", 33, 40), ("C", 41, 53), ("D", 54, 77), ("E", 78, 86), ("F", 87, 102)]
#: The row of the licenses has no states.
LICENSE = 102
TARGETS = re.findall(r"^([a-z-]+):", ROOT.joinpath("Makefile").read_text("utf-8"), re.MULTILINE)
#: A state, with a star if it was measured, and a remark in parentheses.
_STATE = re.compile(r"(?P<state>[YPLN–?])\*?(?: \(.+\))?\Z")
_LINK = re.compile(r"\[[^]]+\]\([^)]+\)")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


def _tables() -> list[tuple[str, list[list[str]]]]:
    """Return the letter of each section with the lines of its table."""
    found = re.findall(r"^## ([A-F])\. .+?\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return [
        (letter, [_cells(line) for line in text.splitlines() if line.startswith("|")])
        for letter, text in found
    ]


ROWS = {int(row[0]): row for _letter, lines in _tables() for row in lines[2:]}
TRIED = [
    _cells(line)
    for line in PAGE.partition("## What to try\n")[2].partition("\n## ")[0].splitlines()
    if line.startswith("|")
]


def _states(number: int) -> dict[str, str]:
    """Return the state of each product in a row."""
    found = {}
    for name, cell in zip(PRODUCTS, ROWS[number][2:11], strict=True):
        match = _STATE.match(cell)
        assert match, f"row {number}, {name}: {cell!r}"
        found[name] = match["state"]
    return found


def _ours(state: str) -> list[int]:
    """Return the rows in which this package has a state."""
    return [
        number for number in sorted(ROWS) if number != LICENSE and _states(number)[OUR] == state
    ]


def test_every_row_exists() -> None:
    """Each section has its rows, in order, with a cell for each column."""
    shape = []
    for letter, lines in _tables():
        assert lines[0] == HEADINGS
        assert {len(row) for row in lines} == {len(HEADINGS)}
        numbers = [int(row[0]) for row in lines[2:]]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        shape.append((letter, numbers[0], numbers[-1]))
    assert shape == GROUPS


def test_what_we_have_is_shown() -> None:
    """A feature that we have, also in part, names what shows it; one that we lack names nothing."""
    for number in ROWS.keys() - {LICENSE}:
        state, shown = _states(number)[OUR], ROWS[number][-1]
        assert state in "YPN", f"row {number}: our own state is known"
        assert bool(shown) == (state != "N"), f"row {number} is {state} and shown by {shown!r}"


def test_what_to_try_is_said_honestly() -> None:
    """Twelve rows say in full or in part what is there, and name what shows it."""
    assert TRIED[0] == ["#", "Thing", "Today", "Shown by"]
    assert [row[0] for row in TRIED[2:]] == [str(number) for number in range(1, 13)]
    for row in TRIED[2:]:
        assert len(row) == 4 and row[2][:3] in ("Y: ", "P: ") and row[3]


def test_what_shows_it_exists() -> None:
    """Each test, command and target that a row names exists; ``test_docs`` tests the links."""
    for number, row in [*ROWS.items(), *((f"{row[0]} to try", row) for row in TRIED[2:])]:
        named = re.findall(r"`([^`]+)`", row[-1])
        others = _LINK.sub("", re.sub(r"`[^`]+`", "", row[-1]))
        assert others.strip(", ") == "", f"row {number} names more than tests and commands"
        for one in named:
            if one.startswith("flask woo "):
                _check_command(shlex.split(one)[2:])
            elif one.startswith("make "):
                assert one.removeprefix("make ") in TARGETS, f"row {number} names {one}"
            else:
                file, _colons, name = one.partition("::")
                assert name in _functions(file), f"row {number} names {one}"


@functools.cache
def _functions(file: str) -> frozenset[str]:
    """Return the functions of a file of tests."""
    tree = ast.parse(ROOT.joinpath("tests", file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def _check_command(words: list[str]) -> None:
    """Check that a command exists and has the options, without calling it."""
    command: click.Command = cli
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"there is no command {words[0]}"
        command, words = found, words[1:]
    context = command.make_context(command.name, words)
    if command.name == "prove":
        suite.scenarios(context.params["names"])


def test_wrong_commands_are_noticed() -> None:
    """A command, an option or a scenario that does not exist is an error."""
    for words in (
        "nothing",
        "events nothing",
        "events types --nothing",
        "prove --scenario nothing",
    ):
        with pytest.raises(Exception, match="nothing"):
            _check_command(words.split())


def test_numbers_are_those_of_the_tables() -> None:
    """The counts in the text, and the table of counts, are those of the rows."""
    result = PAGE.partition("## Result\n")[2].partition("\n## ")[0]
    text = " ".join(result.split())
    have, part, lack = (len(_ours(state)) for state in "YPN")
    assert (
        f"Of the {len(ROWS) - 1} features (row {LICENSE} is the license), flask_woo_events has "
        f"{have}, and {part} in part. It lacks {lack}:"
    ) in text
    expected = []
    for name in PRODUCTS:
        counts = collections.Counter(_states(number)[name] for number in ROWS.keys() - {LICENSE})
        expected.append([name, *(str(counts[state]) for state in "YPLN–?")])
    lines = [_cells(line) for line in result.splitlines() if line.startswith("|")]
    assert lines[0] == ["", *"YPLN–?"]
    assert lines[2:] == expected


def test_lists_are_those_of_the_tables() -> None:
    """The features that we lack, and those that only we have, are listed, and no others."""
    first, second = re.findall(r"(?:^- \d+: .+\n)+", PAGE, re.MULTILINE)
    alone = [
        number
        for number in _ours("Y")
        if not {state for name, state in _states(number).items() if name != OUR} & set("YPL")
    ]
    for text, numbers in ((first, _ours("N")), (second, alone)):
        assert text.splitlines() == [f"- {number}: {ROWS[number][1]}" for number in numbers]
    assert f"known to have these {len(alone)}, which" in " ".join(PAGE.split())
