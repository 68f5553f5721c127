"""Fixtures of all tests: an empty database of each supported kind."""

from __future__ import annotations

import collections.abc as cabc
import gc
import pathlib
import tempfile
import typing as t

import pytest
import sqlalchemy as sa
import werkzeug.routing
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Base
from tests import servers

pytest_plugins = ["flask_woo_events.testing"]

BACKENDS = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.postgresql),
    pytest.param("mariadb", marks=pytest.mark.mariadb),
]
#: PostgreSQL searches all of its buffers to truncate a table, once for each.
SMALL = (
    "shared_buffers=16MB", "wal_level=minimal", "max_wal_senders=0", "synchronous_commit=off",
    "full_page_writes=off",
)  # fmt: skip


def pytest_collection_finish() -> None:
    """Exempt the modules and the collected tests, which stay to the end, from garbage collection.

    Together with less frequent collections this saved about a tenth of two files' CPU time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@pytest.fixture(scope="session")
def database_servers() -> cabc.Iterator[_Servers]:
    """Yield servers that start when the first test uses them."""
    # Not in pytest's folder, which each new session closes to the servers' own users.
    with tempfile.TemporaryDirectory(prefix="woo-servers-", ignore_cleanup_errors=True) as folder:
        running = _Servers(pathlib.Path(folder))
        yield running
        running.stop()


class _Servers:
    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._running: dict[str, tuple[cabc.Iterator[str], str]] = {}
        #: URLs of databases that hold our tables, to be emptied instead of created.
        self.with_tables: set[str] = set()

    def url(self, backend: str) -> str:
        if backend not in self._running:
            options = {"settings": SMALL} if backend == "postgresql" else {}
            manager = getattr(servers, backend)(self._folder / backend, **options)
            self._running[backend] = (manager, servers.require(manager.__enter__))
        return self._running[backend][1]

    def stop(self) -> None:
        for manager, _ in self._running.values():
            manager.__exit__(None, None, None)  # type: ignore[attr-defined]


@pytest.fixture(params=BACKENDS)
def any_url(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path, database_servers: _Servers
) -> str:
    """Return the URL of an empty database: SQLite, PostgreSQL and MariaDB in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/woo.sqlite3"
    url = database_servers.url(request.param)
    if "any_database" not in request.fixturenames:
        database_servers.with_tables.discard(url)
        _drop_everything(url)
    return url


@pytest.fixture
def any_database(any_url: str, database_servers: _Servers) -> cabc.Iterator[Database]:
    """Yield our tables, empty, in a database of each kind."""
    engine = sa.create_engine(any_url)
    database = Database(engine)
    if any_url in database_servers.with_tables:
        _empty_tables(any_url)
    else:
        if not any_url.startswith("sqlite"):
            _drop_everything(any_url)
            database_servers.with_tables.add(any_url)
        Base.metadata.create_all(database.engine)
    yield database
    database.dispose()
    engine.dispose()


def _drop_everything(url: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
        else:
            connection.exec_driver_sql("DROP DATABASE woo")
            connection.exec_driver_sql("CREATE DATABASE woo CHARACTER SET utf8mb4")


def _empty_tables(url: str) -> None:
    """Delete all rows; ids begin at 1 again, as in new tables."""
    names = [table.name for table in reversed(Base.metadata.sorted_tables)]
    # A connection of its own: it ends without checks of foreign keys.
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            # To truncate a table is to create its files and those of its indexes again.
            deleted = "; ".join(f"DELETE FROM {name}" for name in names)
            connection.exec_driver_sql(f"SET session_replication_role = replica; {deleted}")
            connection.exec_driver_sql(
                "SELECT setval(format('%%I.%%I', schemaname, sequencename)::regclass, 1, false) "
                "FROM pg_sequences WHERE last_value IS NOT NULL"
            )
        else:
            connection.exec_driver_sql("SET foreign_key_checks = 0")
            found = " UNION ".join(f"SELECT '{name}' FROM {name}" for name in names)
            for name in connection.exec_driver_sql(found).scalars().all():
                connection.exec_driver_sql(f"DELETE FROM {name}")
            numbered = (
                "SELECT table_name FROM information_schema.tables "
                "WHERE table_schema = 'woo' AND auto_increment > 1"
            )
            for name in connection.exec_driver_sql(numbered).scalars().all():
                connection.exec_driver_sql(f"ALTER TABLE {name} AUTO_INCREMENT = 1")


@pytest.fixture(scope="session", autouse=True)
def compiled_rules() -> cabc.Iterator[None]:
    """Compile each URL rule once: thousands of tests make an application with the same rules."""
    compiled: dict[object, dict[str, t.Any]] = {}
    compile_rule = werkzeug.routing.Rule.compile

    def compile_once(rule: werkzeug.routing.Rule) -> None:
        defaults = tuple(sorted((rule.defaults or {}).items()))
        converters = frozenset(rule.map.converters.items())
        options = (rule.subdomain, rule.host, rule.map.host_matching, rule.merge_slashes)
        key = (rule.rule, defaults, converters, *options)
        if key not in compiled:
            compile_rule(rule)
            compiled[key] = {
                name: vars(rule)[name] for name in ("_parts", "_trace", "_converters", "arguments")
            } | {name: vars(rule)[name].__func__ for name in ("_build", "_build_unknown")}
            return
        for name, value in compiled[key].items():
            bound = value.__get__(rule) if name.startswith("_build") else value
            setattr(rule, name, bound)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(werkzeug.routing.Rule, "compile", compile_once)
        yield


@pytest.fixture(autouse=True)
def unsynced_commits(request: pytest.FixtureRequest) -> cabc.Iterator[None]:
    """Commit to SQLite without waiting for the disk, but for tests that cut its power."""
    if request.node.get_closest_marker("power_cut"):
        yield
        return
    sa.event.listen(sa.Engine, "engine_connect", _leave_out_syncs)
    yield
    sa.event.remove(sa.Engine, "engine_connect", _leave_out_syncs)


def _leave_out_syncs(connection: sa.Connection) -> None:
    if connection.dialect.name == "sqlite" and "synced" not in connection.info:
        # Not when the driver connects: the package sets the pragma itself after that.
        connection.connection.cursor().execute("PRAGMA synchronous=OFF")
        connection.info["synced"] = False


@pytest.fixture(scope="session", autouse=True)
def compiled_statements() -> cabc.Iterator[None]:
    """Compile each statement once for a kind of database, as one process of an application does."""
    shared = {kind: LRUCache[t.Any, t.Any](5_000) for kind in _DIALECTS}

    def share(connection: sa.Connection) -> None:
        if type(connection.dialect) in shared:
            connection.engine._compiled_cache = shared[type(connection.dialect)]

    with pytest.MonkeyPatch.context() as patch:
        # A statement's key holds the dialect, of which each engine has its own.
        for kind in _DIALECTS:
            patch.setattr(kind, "__eq__", lambda one, other: type(one) is type(other))
            patch.setattr(kind, "__hash__", lambda one: hash(type(one)))
        sa.event.listen(sa.Engine, "engine_connect", share)
        yield
        sa.event.remove(sa.Engine, "engine_connect", share)


#: Of all servers of a kind the version is the same.
_DIALECTS: tuple[type[sa.Dialect], ...] = (
    SQLiteDialect_pysqlite,
    PGDialect_psycopg,
    MySQLDialect_pymysql,
)
