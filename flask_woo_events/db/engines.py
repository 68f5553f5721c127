"""Engines: connections as our transactions need them, however the application's engine is set."""

from __future__ import annotations

import codecs
import contextlib
import os
import threading
import typing as t
import weakref

import sqlalchemy as sa
from sqlalchemy import event

from . import limits
from .base import ENCODING
from .redaction import redact

#: Seconds that a connection waits for SQLite's write lock.
SQLITE_BUSY_SECONDS = 60
_MARIADB = ("mysql", "mariadb")
#: Key of a connection's ``info``: it carries all characters.
_CARRIES_ALL = "woo_utf8mb4"


class Connections:
    """The engine for our transactions, which is renewed in a forked process.

    A connection that two processes use mixes their answers, as after ``gunicorn --preload``.

    :param engine: the application's engine. SQLite files get connections of their own, because
        they need settings that the application may not want.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.in_memory = engine.dialect.name == "sqlite" and is_in_memory(engine.url)
        #: The connections are not the application's.
        self.are_own = engine.dialect.name == "sqlite" and not self.in_memory
        self._engine = _sqlite_engine(engine.url) if self.are_own else _adapted(engine)
        event.listen(self._engine, "handle_error", _redact)
        #: All threads use the one connection of such a database.
        self._shared = isinstance(engine.pool, sa.StaticPool)
        self._using = threading.RLock()
        self._pid = os.getpid()
        self._renewing = threading.Lock()
        #: The parent's connections, kept since some drivers say goodbye for a collected one.
        self._inherited: list[sa.Pool] = []
        _all.add(self)

    @property
    def engine(self) -> sa.Engine:
        """The engine, with connections of this process."""
        # Servers that fork without Python's knowledge call no function after it.
        if self._pid != os.getpid():
            self.renew()
        return self._engine

    def turn(self) -> contextlib.AbstractContextManager[object]:
        """Return a context in which no other thread has a transaction on the same connection."""
        return self._using if self._shared else contextlib.nullcontext()

    def renew(self) -> None:
        """Leave the connections that the parent process opened to it."""
        with self._renewing:
            if self._pid != os.getpid():
                if not self.in_memory:
                    self._inherited.append(self._engine.pool)
                    self._engine.dispose(close=False)
                self._pid = os.getpid()


_all: weakref.WeakSet[Connections] = weakref.WeakSet()


def _renew_all() -> None:
    for one in list(_all):
        one.renew()


# Also the application's own queries in a forked process use its engine.
os.register_at_fork(after_in_child=_renew_all)


def is_in_memory(url: sa.URL) -> bool:
    """Return whether a database of SQLite exists only in the process that opened it."""
    name = url.database or ""
    return name in ("", ":memory:") or "mode=memory" in str(url)


def _adapted(engine: sa.Engine) -> sa.Engine:
    """Return an engine on the application's connections, with settings of our own."""
    # A read behind a lock must see what the lock was waited for.
    level = "SERIALIZABLE" if engine.dialect.name == "sqlite" else "READ COMMITTED"
    ours = engine.execution_options(schema_translate_map={})
    ours.hide_parameters = True
    # Before the isolation level, which is set on each connection: lost ones are replaced first.
    limits.apply(engine, ours)
    ours.update_execution_options(isolation_level=level)
    event.listen(ours, "engine_connect", _set_up)
    return ours


def _redact(context: sa.engine.ExceptionContext) -> None:
    """Remove values from each error, also outside of the sessions of :class:`Database`."""
    if isinstance(context.sqlalchemy_exception, sa.exc.StatementError):
        redact(context.sqlalchemy_exception)


def _set_up(connection: sa.Connection) -> None:
    driver = t.cast("t.Any", connection.connection.dbapi_connection)
    if hasattr(driver, "prepare_threshold"):
        # psycopg: a pooler such as PgBouncer runs the next statement on another server session.
        driver.prepare_threshold = None
        server = driver.info.parameter_status("server_encoding")
        if server not in (None, "UTF8"):
            # A database of an earlier release: texts of others are escaped.
            vars(connection.dialect)[ENCODING] = _codec(server)
    if connection.dialect.name in _MARIADB and _CARRIES_ALL not in connection.info:
        if getattr(driver, "charset", None) != "utf8mb4" and hasattr(driver, "set_character_set"):
            driver.set_character_set("utf8mb4")
        connection.info[_CARRIES_ALL] = True


def _codec(encoding: str) -> str:
    """Return a codec whose characters PostgreSQL holds in this encoding, if not all of them."""
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        return "ascii"


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(
        url, connect_args={"timeout": SQLITE_BUSY_SECONDS}, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: t.Any, record: t.Any) -> None:
        # Autocommit for the driver, so that only the BEGIN below begins a transaction.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writing = connection.get_execution_options().get(limits.WRITING, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine
