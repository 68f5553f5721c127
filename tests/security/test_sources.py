"""What no module of the package does, read from its sources."""

from __future__ import annotations

import ast
import collections.abc as cabc
import re

import pytest

from tests.security.package_sources import ROOT, Source, sources

#: Run what they are given, or make objects of it.
_RUNNERS = re.compile(
    r"(?:pickle|_pickle|cPickle|marshal|shelve|dill|cloudpickle|jsonpickle|joblib|yaml|ruamel"
    r"|subprocess|pty|code|codeop|runpy|ctypes|xml|lxml)(?:\.|\Z)"
)
_CALLS = re.compile(r"(?:eval|exec|compile|__import__)\Z|os\.(?:system|popen|exec\w*|spawn\w*)\Z")
#: Take SQL as text.
_SQL = {"text", "literal_column", "exec_driver_sql", "TextClause", "DDL"}
_EXECUTING = {"execute", "executemany", "executescript", "scalar", "scalars"}


def test_there_is_something_to_read() -> None:
    """The sources are those of the whole package."""
    names = {one.name for one in sources()}
    assert (
        len(names) > 100
        and {"http/exchange.py", "api/webhooks.py", "sync/ledger/record.py"} <= names
    )


def _running(source: Source) -> cabc.Iterator[str]:
    for name, node in source.imports():
        if _RUNNERS.match(name):
            yield source.at(node)
    for name, call in source.calls():
        if _CALLS.match(name):
            yield source.at(call)


def test_nothing_from_outside_is_run() -> None:
    """No pickles, no YAML, no XML, no eval, no exec, no processes."""
    assert [one for source in sources() for one in _running(source)] == []


def _fixed(node: ast.expr) -> bool:
    if isinstance(node, ast.IfExp):
        return _fixed(node.body) and _fixed(node.orelse)
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _composed(node: ast.expr) -> bool:
    """Whether an expression puts a text together."""
    if isinstance(node, ast.JoinedStr):
        return True
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        sides = (node.left, node.right)
        return any(_composed(one) or _fixed(one) for one in sides)
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".format", ".join"))


def _loose_sql(source: Source) -> cabc.Iterator[str]:
    for name, call in source.calls():
        last = name.rpartition(".")[2]
        if not call.args:
            continue
        if name in (f"sa.{last}", f"sqlalchemy.{last}", last) or last == "exec_driver_sql":
            if last in _SQL and not _fixed(call.args[0]):
                yield source.at(call)
        if last in _EXECUTING and _composed(call.args[0]):
            yield source.at(call)


def test_sql_has_bound_parameters_only() -> None:
    """Where SQL is text it is a fixed one; values are bound."""
    assert [one for source in sources() for one in _loose_sql(source)] == []


@pytest.mark.parametrize(
    "code",
    ["sa.text(f'SELECT {x}')", "session.execute('SELECT ' + x)", "c.execute('%s' % x)",
     "sa.text(x)", "c.exec_driver_sql(x)", "session.execute(sa.text('a{}'.format(x)))"],
)  # fmt: skip
def test_loose_sql_is_seen(code: str) -> None:
    """The reading of the sources sees what it looks for."""
    assert list(_loose_sql(Source("x.py", ast.parse(code))))


@pytest.mark.parametrize(
    "code", ["import pickle", "from yaml import load", "eval(x)", "os.system(x)",
             "from subprocess import run", "import xml.etree.ElementTree"],
)  # fmt: skip
def test_running_is_seen(code: str) -> None:
    """The reading of the sources sees what it looks for."""
    assert list(_running(Source("x.py", ast.parse(code))))


#: Names of what must not be compared byte by byte.
_SECRET = re.compile(
    r"(?:\w+_)?(?:secret|password|passwd|signature|token|hmac|credential|csrf)s?(?:_hash)?\Z"
    r"|(?:secret|password|signature|token)_\w+\Z|(?:api|consumer|signature|encryption)_keys?\Z"
    r"|hash_token\Z|sign_body\Z",
    re.IGNORECASE,
)
#: What looks like a secret and is none, with the reason.
_HARMLESS = {
    # A row is looked up by the hash of a token; the time of the look-up reveals nothing.
    "User.secret_hash == hash_token(parts.get('user', ''))",
    "Instance.token_hash == hash_token(parts['element'])",
    "Connection.state_hash == hash_token(state)",
}


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=ast.Constant(value=str() as name)):
            return name
        case ast.Call(func=func):
            return _name(func)
    return ""


def _bare_comparisons(source: Source) -> cabc.Iterator[str]:
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Compare):
            continue
        sides = [node.left, *node.comparators]
        equal = all(isinstance(one, ast.Eq | ast.NotEq) for one in node.ops)
        if not equal or any(isinstance(one, ast.Constant) for one in sides):
            continue  # With a fixed text: whether it is there, not what it is.
        names = {_name(one) for one in sides}
        # A token in the database distinguishes leases; no client can send one.
        if any(map(_SECRET.match, names)) and "lease_token" not in names:
            if ast.unparse(node) not in _HARMLESS:
                yield source.at(node)


def test_secrets_are_compared_in_constant_time() -> None:
    """No secret, signature or hash of one is compared with ``==``."""
    own = [one for one in sources() if not one.played]
    assert [one for source in own for one in _bare_comparisons(source)] == []


@pytest.mark.parametrize(
    "code", ["home.secret_hash != x", "x == hash_token(y)", "given == row['password']",
             "signature == expected"],
)  # fmt: skip
def test_bare_comparisons_are_seen(code: str) -> None:
    """The reading of the sources sees what it looks for."""
    assert list(_bare_comparisons(Source("x.py", ast.parse(code))))


def test_templates_escape() -> None:
    """No template switches escaping off."""
    for path in ROOT.rglob("*.html"):
        # Our own style sheet, which is no text of anybody's.
        text = path.read_text(encoding="utf-8").replace("{{ style|safe }}", "")
        assert not re.search(r"\|\s*safe\b|autoescape\s+false", text), path
