"""Insecure constructs that no module of the package uses, found in its sources."""

from __future__ import annotations

import ast
import collections.abc as cabc
import re

import pytest

from tests.security.package_sources import ROOT, Source, sources

#: Modules and functions that execute their input, or make objects from it.
_EXECUTING_MODULES = re.compile(
    r"(?:pickle|_pickle|cPickle|marshal|shelve|dill|cloudpickle|jsonpickle|joblib|yaml|ruamel"
    r"|subprocess|pty|code|codeop|runpy|ctypes|xml|lxml)(?:\.|\Z)"
)
_EXECUTING_CALLS = re.compile(
    r"(?:eval|exec|compile|__import__)\Z|os\.(?:system|popen|exec\w*|spawn\w*)\Z"
)
#: Functions that take SQL as text.
_SQL = {"text", "literal_column", "exec_driver_sql", "TextClause", "DDL"}
_EXECUTING = {"execute", "executemany", "executescript", "scalar", "scalars"}


def test_sources_are_found() -> None:
    """The checked sources are those of the whole package."""
    names = {one.name for one in sources()}
    assert (
        len(names) > 100
        and {"http/exchange.py", "api/webhooks.py", "sync/ledger/record.py"} <= names
    )


def _code_execution(source: Source) -> cabc.Iterator[str]:
    for name, node in source.imports():
        if _EXECUTING_MODULES.match(name):
            yield source.at(node)
    for name, call in source.calls():
        if _EXECUTING_CALLS.match(name):
            yield source.at(call)


def test_no_input_is_executed() -> None:
    """No module uses pickle, YAML, XML, eval, exec or a subprocess."""
    assert [one for source in sources() for one in _code_execution(source)] == []


def _is_literal(node: ast.expr) -> bool:
    if isinstance(node, ast.IfExp):
        return _is_literal(node.body) and _is_literal(node.orelse)
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_composed(node: ast.expr) -> bool:
    """Return whether an expression builds a text from parts."""
    if isinstance(node, ast.JoinedStr):
        return True
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        sides = (node.left, node.right)
        return any(_is_composed(one) or _is_literal(one) for one in sides)
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".format", ".join"))


def _unbound_sql(source: Source) -> cabc.Iterator[str]:
    for name, call in source.calls():
        last = name.rpartition(".")[2]
        if not call.args:
            continue
        if name in (f"sa.{last}", f"sqlalchemy.{last}", last) or last == "exec_driver_sql":
            if last in _SQL and not _is_literal(call.args[0]):
                yield source.at(call)
        if last in _EXECUTING and _is_composed(call.args[0]):
            yield source.at(call)


def test_sql_has_bound_parameters_only() -> None:
    """Textual SQL is a literal, so values can only be bound parameters."""
    assert [one for source in sources() for one in _unbound_sql(source)] == []


@pytest.mark.parametrize(
    "code",
    ["sa.text(f'SELECT {x}')", "session.execute('SELECT ' + x)", "c.execute('%s' % x)",
     "sa.text(x)", "c.exec_driver_sql(x)", "session.execute(sa.text('a{}'.format(x)))"],
)  # fmt: skip
def test_unbound_sql_is_found(code: str) -> None:
    """The check finds SQL that is built from values."""
    assert list(_unbound_sql(Source("x.py", ast.parse(code))))


@pytest.mark.parametrize(
    "code", ["import pickle", "from yaml import load", "eval(x)", "os.system(x)",
             "from subprocess import run", "import xml.etree.ElementTree"],
)  # fmt: skip
def test_code_execution_is_found(code: str) -> None:
    """The check finds each way to execute input."""
    assert list(_code_execution(Source("x.py", ast.parse(code))))


#: Names of secrets, which are compared in constant time.
_SECRET = re.compile(
    r"(?:\w+_)?(?:secret|password|passwd|signature|token|hmac|credential|csrf)s?(?:_hash)?\Z"
    r"|(?:secret|password|signature|token)_\w+\Z|(?:api|consumer|signature|encryption)_keys?\Z"
    r"|hash_token\Z|sign_body\Z",
    re.IGNORECASE,
)
#: Comparisons of a secret's hash that are allowed, with the reason.
_HARMLESS = {
    # A row is looked up by the hash of a token; the time of the look-up reveals nothing.
    "User.secret_hash == hash_token(parts.get('user', ''))",
    "Instance.token_hash == hash_token(token)",
    "Connection.state_hash == hash_token(state)",
    # The random id of an epoch is no secret: receivers get it in ``eventId``.
    "self.token != epoch.token",
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


def _plain_comparisons(source: Source) -> cabc.Iterator[str]:
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Compare):
            continue
        sides = [node.left, *node.comparators]
        equal = all(isinstance(one, ast.Eq | ast.NotEq) for one in node.ops)
        if not equal or any(isinstance(one, ast.Constant) for one in sides):
            continue  # A comparison with a literal only checks whether there is a value.
        names = {_name(one) for one in sides}
        # A token in the database distinguishes leases; no client can send one.
        if any(map(_SECRET.match, names)) and "lease_token" not in names:
            if ast.unparse(node) not in _HARMLESS:
                yield source.at(node)


def test_secrets_are_compared_in_constant_time() -> None:
    """No secret, signature or hash of one is compared with ``==``."""
    service_modules = [one for one in sources() if not one.is_simulation]
    assert [one for source in service_modules for one in _plain_comparisons(source)] == []


@pytest.mark.parametrize(
    "code", ["home.secret_hash != x", "x == hash_token(y)", "given == row['password']",
             "signature == expected"],
)  # fmt: skip
def test_plain_comparisons_are_found(code: str) -> None:
    """The check finds a secret that is compared with ``==`` or ``!=``."""
    assert list(_plain_comparisons(Source("x.py", ast.parse(code))))


def test_templates_escape() -> None:
    """No template disables escaping."""
    for path in ROOT.rglob("*.html"):
        # The style sheet is part of the package, not input.
        text = path.read_text(encoding="utf-8").replace("{{ style|safe }}", "")
        assert not re.search(r"\|\s*safe\b|autoescape\s+false", text), path
