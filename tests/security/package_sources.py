"""The package's own sources, parsed."""

from __future__ import annotations

import ast
import collections.abc as cabc
import dataclasses
import functools
import pathlib

import flask_woo_events

ROOT = pathlib.Path(flask_woo_events.__file__).parent
#: Packages and modules for demonstrations and tests, which are not part of the service.
SIMULATION = ("simulation", "testing.py")


@dataclasses.dataclass(frozen=True)
class Source:
    """One module."""

    name: str
    tree: ast.Module

    @property
    def is_simulation(self) -> bool:
        """Whether the module is for demonstrations and tests, not part of the service."""
        return self.name.partition("/")[0] in SIMULATION

    def at(self, node: ast.AST) -> str:
        """Return the file, line and text of a node."""
        return f"{self.name}:{getattr(node, 'lineno', 0)}: {ast.unparse(node)[:120]}"

    def calls(self) -> cabc.Iterator[tuple[str, ast.Call]]:
        """Yield each call with the name of its function."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield ast.unparse(node.func), node

    def imports(self) -> cabc.Iterator[tuple[str, ast.AST]]:
        """Yield the name of each import from outside of the package, with its node."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((one.name, node) for one in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield from ((f"{node.module}.{one.name}", node) for one in node.names)


@functools.cache
def sources() -> list[Source]:
    """Return every module of the package."""
    return [
        Source(str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8")))
        for path in sorted(ROOT.rglob("*.py"))
    ]
