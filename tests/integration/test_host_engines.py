"""Whatever the application's engine is set to, our transactions have what they need."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import os
import threading
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events.db import engines, upgrade
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Notification, StoredEvent
from flask_woo_events.errors import SchemaError
from flask_woo_events.settings import read_settings
from flask_woo_events.simulation.loss_suite.harness import CrashableDatabase
from flask_woo_events.sync.ledger import record
from flask_woo_events.values.crypto import Cipher
from tests.conftest import BACKENDS
from tests.integration import ledger_env
from tests.model.history_env import ACTS, HistoryEnv

SERVERS = BACKENDS[1:]
IN_MEMORY: dict[str, t.Any] = {
    "poolclass": sa.pool.StaticPool,
    "connect_args": {"check_same_thread": False},
}
OPTIONS: dict[str, dict[str, t.Any]] = {
    "AUTOCOMMIT": {"isolation_level": "AUTOCOMMIT"},
    "REPEATABLE READ": {"isolation_level": "REPEATABLE READ"},
    "pool of one": {"pool_size": 1, "max_overflow": 0, "pool_timeout": 2},
    "translated schema": {"execution_options": {"schema_translate_map": {None: "elsewhere"}}},
}


@contextlib.contextmanager
def _engine(url: str, options: dict[str, t.Any]) -> cabc.Iterator[sa.Engine]:
    engine = sa.create_engine(url, **options)
    try:
        yield engine
    finally:
        engine.dispose()


def _play(engine: sa.Engine) -> None:
    """Let a store change and be polled, and compare the events with the store."""
    database = CrashableDatabase(engine)
    upgrade.upgrade(database.engine)
    settings = read_settings(
        {"WOO_EVENTS_ENCRYPTION_KEYS": [Cipher.generate_key()], "WOO_EVENTS_POLL_PAGE_SIZE": 5}
    )
    env = HistoryEnv(settings, database, "11.0", counts=(4, 4, 2, 2))
    for value, name in enumerate(sorted(ACTS)):
        env.act((name, value, value))
        if value % 8 == 0:
            assert not [one.error for one in env.poll() if one.error]
    env.converge(12)


@pytest.mark.slow
@pytest.mark.parametrize("any_url", SERVERS, indirect=True)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_history_arrives_complete(any_url: str, options: dict[str, t.Any]) -> None:
    """Polls find every change once, and the tables are where the connection looks for them."""
    with _engine(any_url, options) as engine:
        _play(engine)


@pytest.mark.parametrize("any_url", SERVERS[:1], indirect=True)
def test_a_search_path(any_url: str) -> None:
    """Tables in the first schema of the connection's search path are created and found there."""
    with _engine(any_url, {}) as plain, plain.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA tenant")
    try:
        with _engine(any_url, {"connect_args": {"options": "-csearch_path=tenant"}}) as engine:
            _play(engine)
            assert sa.inspect(engine).has_table("woo_object", schema="tenant")
    finally:
        with _engine(any_url, {}) as plain, plain.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA tenant CASCADE")


def test_sqlite_in_memory() -> None:
    """One connection, which all threads share, does for a test of an application."""
    with _engine("sqlite://", IN_MEMORY) as engine:
        _play(engine)


def test_a_worker_refuses_a_database_in_memory() -> None:
    """It would find no tables, whatever another process has created."""
    with _engine("sqlite://", IN_MEMORY) as engine:
        with pytest.raises(SchemaError, match="Set SQLALCHEMY_DATABASE_URI to a file"):
            upgrade.check(Database(engine).engine)


def test_threads_take_turns_on_one_connection() -> None:
    """A rollback of one thread does not undo what another one has not committed yet."""
    with _engine("sqlite://", IN_MEMORY) as engine:
        database = Database(engine)
        upgrade.upgrade(database.engine)
        env = ledger_env.build(database)
        rolled_back = threading.Thread(target=lambda: database.answers())
        with database.begin() as connection:
            connection.execute(sa.update(StoredEvent).values(version=9))
            rolled_back.start()
            connection.execute(sa.text("UPDATE woo_poller SET failures = 7"))
        rolled_back.join()
        assert env.see({"id": 1}).emitted
        with database.read() as session:
            assert session.scalar(sa.text("SELECT failures FROM woo_poller")) == 7


@pytest.mark.parametrize("any_url", BACKENDS, indirect=True)
@pytest.mark.parametrize("level", ["AUTOCOMMIT", "SERIALIZABLE"])
def test_a_failed_write_leaves_nothing(
    any_url: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The events of a batch whose ledger rows cannot be written are rolled back."""

    def fail(self: record.Recorder, *_: object) -> None:
        raise RuntimeError("the ledger's rows")

    with _engine(any_url, {"isolation_level": level}) as engine:
        database = Database(engine)
        upgrade.upgrade(database.engine)
        env = ledger_env.build(database)
        with monkeypatch.context() as patch, pytest.raises(RuntimeError):
            patch.setattr(record.Recorder, "write", fail)
            env.see({"id": 1})
        assert env.see({"id": 1}).emitted == ("1",)
        with database.read() as session:
            for model in (StoredEvent, Notification):
                assert session.scalar(sa.select(sa.func.count()).select_from(model)) == 1
        _check_level(engine, database, level)
        database.dispose()


def _check_level(engine: sa.Engine, database: Database, level: str) -> None:
    """Check that the application's own transactions still have its level."""
    with engine.connect() as connection:
        if level != "AUTOCOMMIT":
            assert connection.get_isolation_level() == level
            return
        connection.execute(sa.text("UPDATE woo_poller SET failures = 5"))
    with database.read() as session:
        assert session.scalar(sa.text("SELECT failures FROM woo_poller")) == 5


@pytest.mark.parametrize("any_url", BACKENDS, indirect=True)
@pytest.mark.parametrize("hooks", [True, False], ids=["hooks", "no hooks"])
def test_a_forked_process_has_its_own_connections(
    any_url: str, hooks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child process leaves the connections to its parent, also those of the application.

    uWSGI forks without calling Python's hooks.
    """
    if not hooks:
        monkeypatch.setattr(engines, "_all", set())
    with _engine(any_url, {}) as engine:
        database = Database(engine)
        upgrade.upgrade(database.engine)
        ledger_env.build(database)
        with database.read() as session, engine.connect() as hosts:
            session.execute(sa.text("SELECT 1"))
            hosts.execute(sa.text("SELECT 1"))
            before = database.engine.pool, engine.pool
        pid = os.fork()
        if pid == 0:
            os._exit(_used_in_child(database, engine, before))
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        with database.read() as session:
            assert session.scalar(sa.text("SELECT count(*) FROM woo_poller")) == 1
        database.dispose()


def _used_in_child(database: Database, engine: sa.Engine, before: tuple[sa.Pool, sa.Pool]) -> int:
    """Return 0 if the pools are new ones that work."""
    try:
        assert database.engine.pool is not before[0]
        assert engine.dialect.name == "sqlite" or engine.pool is not before[1]
        with database.write() as session:
            session.execute(sa.text("UPDATE woo_poller SET failures = 3"))
    except BaseException:
        return 1
    return 0
