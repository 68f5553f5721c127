"""The house: who may import whom, and how large its rooms are."""

from __future__ import annotations

import ast
import collections.abc as cabc
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "flask_woo_events"
#: From the ground up: a layer may import from those before it and from itself.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "config", "clock", "addresses", "date_patterns", "zones", "signals"),
    ("crypto", "dates", "sockets", "transport", "models", "values", "database"),
    ("store", "resources", "group_commit", "schema"),
    ("flow", "schemas"),
    ("handlers", "hooks", "notices", "reports", "usage", "tally"),
    ("runtime",),
)
#: What runs at the edge, and what only demonstrates, proves or tests.
EDGES = ("api", "cli", "console", "extension", "tasks", "demo", "prove", "simulator", "testing")


#: Lists of tables and of fields, however long.
LISTS = ("models", "looks")


def _name(path: pathlib.Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def _imports(path: pathlib.Path) -> cabc.Iterator[str]:
    """The first parts of what a module imports from the package."""
    depth = len(path.relative_to(PACKAGE).parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test).endswith("TYPE_CHECKING")
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or id(node) in typing_only:
            continue
        if node.level == depth:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from (str(name).split(".")[0] for name in names)


MODULES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if path.parent != PACKAGE or path.stem not in ("__init__", "py")
)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: pathlib.Path) -> None:
    """No module imports from a layer above its own, and none but the edges from an edge."""
    height = {name: level for level, names in enumerate(LAYERS) for name in names}
    own = _name(path)
    if own in EDGES or path == PACKAGE / "__init__.py":
        return
    for name in _imports(path):
        assert name not in EDGES, f"{own} imports from the edge {name}"
        if own in height:
            assert height.get(name, len(LAYERS)) <= height[own], f"{own} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_edges_know_the_request(path: pathlib.Path) -> None:
    """``current_app`` and ``request`` appear at the edges only."""
    if _name(path) in (*EDGES, "runtime", "handlers"):
        return
    text = path.read_text(encoding="utf-8")
    assert "current_app" not in text and "flask.request" not in text


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_are_of_a_size(path: pathlib.Path) -> None:
    """A module that outgrows some 450 lines, or a function of 60, holds more than one thing."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if "migrations" in path.parts or path.stem in LISTS:
        return
    assert len(lines) <= 450
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 60, f"{node.name} has {length} lines"
            given = [one.arg for one in (*node.args.args, *node.args.kwonlyargs)]
            if node.name == "__init__":
                assert len(given) <= 9, f"{given}: a constructor has 8 parameters at most"


def test_no_room_is_called_utils() -> None:
    """A module that is named for nothing collects everything."""
    assert not [path for path in MODULES if path.stem in ("utils", "helpers", "common", "misc")]
