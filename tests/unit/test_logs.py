"""Log records have a message for people and fields for programs."""

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
def test_each_record_has_fields(path: pathlib.Path) -> None:
    """Each call of the logger passes ``extra``, which has the action and the ids."""
    calls = list(_calls(path))
    for call in calls:
        assert "extra" in {one.arg for one in call.keywords}, f"line {call.lineno}"


def test_logging_modules_are_found() -> None:
    """The modules of polls, deliveries, webhooks and leases are among the checked ones."""
    stems = {path.stem for path in LOGGING}
    assert {"instance_poll", "dispatcher", "process", "webhooks", "leases"} <= stems
