"""The layout: the import order of the package's parts, and the size of modules."""

from __future__ import annotations

import ast
import collections.abc as cabc
import pathlib

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "flask_woo_events"
#: Import order: a room (a subpackage or a top module) imports only rooms of lines above its own.
STEPS = """
client
errors
settings
signals
tracing
values
http
db
woocommerce
handlers
events
runtime
instances
sync delivery
worker
api
console
simulation
testing cli
tasks extension
__init__
"""
ORDER = {room: step for step, rooms in enumerate(STEPS.split("\n")) for room in rooms.split()}
#: Rooms that handle requests or commands, and so may use Flask's contexts.
EDGES = {"api", "console", "cli", "extension", "simulation", "testing", "worker"}
EDGES |= {"runtime", "delivery"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def _name(path: pathlib.Path) -> str:
    return str(path.relative_to(PACKAGE))


def _room(path: pathlib.Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def _imported_rooms(path: pathlib.Path) -> cabc.Iterator[str]:
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from (str(name).split(".")[0] for name in names)


def test_every_module_is_in_a_room() -> None:
    """A new top module or subpackage needs a place in the import order."""
    assert not [_name(path) for path in MODULES if _room(path) not in ORDER]
    assert not ORDER.keys() - {_room(path) for path in MODULES}


def test_imports_follow_the_order_of_rooms() -> None:
    """No room imports a later one, or another one of its own step."""
    wrong = [
        f"{_name(path)} imports {room}"
        for path in MODULES
        for room in _imported_rooms(path)
        if room != _room(path) and ORDER[room] >= ORDER[_room(path)]
    ]
    assert not wrong


#: Columns that only ``events/delivery_states.py`` writes.
STATE = {"status", "due_at", "attempts", "first_failed_at", "handled", "lease_token", "lease_until"}


def _writes_deliveries(path: pathlib.Path) -> bool:
    """Return whether a module creates, updates or deletes rows of ``Delivery``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    imports = [one for one in nodes if isinstance(one, ast.ImportFrom) and one.module]
    names = {
        alias.asname or alias.name
        for one in imports
        if str(one.module).endswith("models")
        for alias in one.names
        if alias.name == "Delivery"
    }
    # A module can assign the table to another name.
    names |= {
        ast.unparse(one.targets[0])
        for one in nodes
        if isinstance(one, ast.Assign) and "Delivery.__table__" in ast.unparse(one.value)
    }
    for node in nodes if names else ():
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            given = {ast.unparse(one).partition(".")[0] for one in node.args[:1]}
            if called in names or (called in ("update", "insert", "delete") and given & names):
                return True
            if called == "setattr":
                return True
        targets = node.targets if isinstance(node, ast.Assign) else []
        flat = [part for one in targets for part in ast.walk(one)]
        if any(isinstance(one, ast.Attribute) and one.attr in STATE for one in flat):
            return True
    return False


def test_one_module_writes_the_states_of_deliveries() -> None:
    """Only ``delivery_states`` changes the state of a delivery."""
    assert [_name(path) for path in MODULES if _writes_deliveries(path)] == [
        "events/delivery_states.py"
    ]


def test_only_edges_use_the_request() -> None:
    """Only rooms in ``EDGES`` use ``current_app`` and ``request``."""
    wrong = [
        _name(path)
        for path in MODULES
        if _room(path) not in EDGES
        if "current_app" in (text := path.read_text(encoding="utf-8")) or "flask.request" in text
    ]
    assert not wrong


def test_modules_and_functions_stay_small() -> None:
    """No module has more than 450 lines, and no function more than 60."""
    wrong = []
    for path in MODULES:
        # What lists tables or fields may be long.
        if "migrations" in path.parts or path.stem == "product_json":
            continue
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > 450:
            wrong.append(f"{_name(path)} has {len(text.splitlines())} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                given = [*node.args.args, *node.args.kwonlyargs]
                if length > 60 or (node.name == "__init__" and len(given) > 9):
                    wrong.append(
                        f"{_name(path)}:{node.name}: {length} lines, {len(given)} parameters"
                    )
    assert not wrong


def test_no_module_is_called_utils() -> None:
    """A module has a name that limits what belongs into it."""
    names = {"utils", "helpers", "common", "misc"}
    assert not [_name(path) for path in MODULES if path.stem in names]


def test_one_class_name_means_one_class() -> None:
    """No two public classes of the package have the same name."""
    places: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(_name(path))
    assert not {name: where for name, where in places.items() if len(where) > 1}
