"""Log lines: a sentence for people, and members for machines."""

from __future__ import annotations

import ast
import collections.abc as cabc
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "flask_woo_events"
LOGGING = sorted(
    path for path in PACKAGE.rglob("*.py") if "_log = logging" in path.read_text(encoding="utf-8")
)


def _calls(path: pathlib.Path) -> cabc.Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("_log."):
            yield node


@pytest.mark.parametrize("path", LOGGING, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_line_has_members_for_machines(path: pathlib.Path) -> None:
    """Each line has ``extra``: what was done, and to which instance or notification."""
    calls = list(_calls(path))
    for call in calls:
        assert "extra" in {one.arg for one in call.keywords}, f"line {call.lineno}"


def test_there_are_lines() -> None:
    """Polls, deliveries, webhooks and leases are among what is looked at."""
    assert {"instance_poll", "dispatcher", "process", "webhooks", "leases"} <= {
        path.stem for path in LOGGING
    }
