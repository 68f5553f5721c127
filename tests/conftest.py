"""What every test can have: a database of each kind that we support."""

from __future__ import annotations

import collections.abc as cabc
import os
import pathlib
import tempfile
import typing as t

import pytest
import sqlalchemy as sa
import werkzeug.routing

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Base
from tests import servers

pytest_plugins = ["flask_woo_events.testing"]

BACKENDS = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.postgresql),
    pytest.param("mariadb", marks=pytest.mark.mariadb),
]


@pytest.fixture(scope="session")
def database_servers() -> cabc.Iterator[_Servers]:
    """Servers that start when the first test asks for them."""
    # Not in pytest's folder: each session that begins closes that for the servers' own users.
    with tempfile.TemporaryDirectory(prefix="woo-servers-", ignore_cleanup_errors=True) as folder:
        running = _Servers(pathlib.Path(folder))
        yield running
        running.stop()


class _Servers:
    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._running: dict[str, tuple[cabc.Iterator[str], str]] = {}

    def url(self, backend: str) -> str:
        if backend not in self._running:
            manager = getattr(servers, backend)(self._folder / backend)
            try:
                self._running[backend] = (manager, manager.__enter__())
            except servers.Missing as exc:
                if os.environ.get("CI") == "true":
                    raise
                pytest.skip(str(exc))
        return self._running[backend][1]

    def stop(self) -> None:
        for manager, _ in self._running.values():
            manager.__exit__(None, None, None)  # type: ignore[attr-defined]


@pytest.fixture(params=BACKENDS)
def any_url(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path, database_servers: _Servers
) -> str:
    """The URL of an empty database: SQLite, PostgreSQL and MariaDB in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/woo.sqlite3"
    url = database_servers.url(request.param)
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    metadata = sa.MetaData()
    metadata.reflect(engine)
    metadata.drop_all(engine)
    return url


@pytest.fixture
def any_database(any_url: str) -> cabc.Iterator[Database]:
    """Our tables in a database of each kind."""
    engine = sa.create_engine(any_url)
    database = Database(engine)
    Base.metadata.create_all(database.engine)
    yield database
    database.dispose()
    engine.dispose()


@pytest.fixture(scope="session", autouse=True)
def compiled_rules() -> cabc.Iterator[None]:
    """Compile each URL rule once: thousands of tests make an application with the same rules."""
    compiled: dict[object, t.Any] = {}
    compile_builder = werkzeug.routing.Rule._compile_builder

    def compile_once(rule: werkzeug.routing.Rule, append_unknown: bool = True) -> t.Any:
        converters = tuple((name, type(one)) for name, one in rule._converters.items())
        defaults = tuple(sorted((rule.defaults or {}).items()))
        key = (rule.rule, rule.subdomain, rule.host, defaults, converters, append_unknown)
        if key not in compiled:
            compiled[key] = compile_builder(rule, append_unknown)
        return compiled[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(werkzeug.routing.Rule, "_compile_builder", compile_once)
        yield
