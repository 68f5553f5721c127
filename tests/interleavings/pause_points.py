"""The pause points: each transaction or statement of an engine, and each request, by its name."""

from __future__ import annotations

import collections.abc as cabc
import functools
import re
import typing as t

import sqlalchemy as sa

from flask_woo_events.db.models import Base
from tests.interleavings.scheduler import Action, Scheduler, Session

_TABLES = Base.metadata.tables
_NAME = re.compile(r"\bwoo_[a-z_]+\b")
_FOR_UPDATE = re.compile(r"\bFOR (NO KEY )?UPDATE\b")


@functools.cache
def _below(table: str) -> frozenset[str]:
    """Return the tables whose rows are deleted with rows of a table."""
    found = {table}
    while (
        more := {
            one.name
            for one in _TABLES.values()
            if any(key.column.table.name in found for key in one.foreign_keys)
        }
        - found
    ):
        found |= more
    return frozenset(found)


@functools.lru_cache(4096)
def action_of(statement: str) -> Action | None:
    """Return what a statement does to our tables; ``None`` if it names none."""
    tables = [name for name in dict.fromkeys(_NAME.findall(statement)) if name in _TABLES]
    if not tables:
        return None
    kind, table = statement.split(None, 1)[0].lower(), tables[0]
    if kind == "select":
        # The table of the first column, which is the one that is locked.
        locked = frozenset([table] if _FOR_UPDATE.search(statement) else [])
        mark = " for update" if locked else ""
        return Action(f"select{mark} {table}", reads=frozenset(tables), locks=locked)
    writes = _below(table) if kind == "delete" else frozenset([table])
    reads = frozenset(tables[1:])
    if kind == "insert":
        reads |= {key.column.table.name for key in _TABLES[table].foreign_keys}
    return Action(f"{kind} {table}", reads, writes, writes)


class PausePoints:
    """Pauses the sessions of a scheduler where an engine begins, reads, writes and commits.

    On SQLite a session pauses before each transaction. While it holds the lock for writes another
    one can only read what was committed before, so no other order gives another result. On the
    servers it pauses before each statement, and before each commit of changes.

    :param faults: gets what no session may do, for example a request within a transaction.
    """

    def __init__(self, scheduler: Scheduler, faults: list[str]) -> None:
        self._scheduler = scheduler
        self._faults = faults
        #: Connections of the drivers with a transaction, the session, and what it has written.
        self._open: dict[t.Any, tuple[Session, set[str]]] = {}

    def attach(self, engine: sa.Engine) -> None:
        """Pause at the statements and commits of an engine."""
        on_sqlite = engine.dialect.name == "sqlite"
        sa.event.listen(
            engine,
            "before_cursor_execute",
            self._before_on_sqlite if on_sqlite else self._before_on_server,
        )
        dialect: t.Any = engine.dialect
        dialect.do_commit = self._ending(dialect.do_commit, pauses=not on_sqlite)
        dialect.do_rollback = self._ending(dialect.do_rollback, pauses=False)

    def _before_on_sqlite(
        self, connection: sa.Connection, _: t.Any, statement: str, *__: t.Any
    ) -> None:
        if (session := self._scheduler.current) is None:
            return
        if statement.startswith("BEGIN"):
            # In the middle of its own changes on another connection it would keep the lock.
            if not self._open:
                self._scheduler.pause("write" if "IMMEDIATE" in statement else "read")
            if "IMMEDIATE" in statement:
                self._open[connection.connection.dbapi_connection] = (session, set())
        elif action := action_of(statement):
            self._scheduler.note(action)

    def _before_on_server(
        self, connection: sa.Connection, _: t.Any, statement: str, *__: t.Any
    ) -> None:
        session, action = self._scheduler.current, action_of(statement)
        if session is None or action is None:
            return
        self._scheduler.pause(action.name)
        # Others see what is written only after the commit; until then it is locked.
        driver = connection.connection.dbapi_connection
        self._open.setdefault(driver, (session, set()))[1].update(action.writes)
        self._scheduler.note(Action(action.name, action.reads, locks=action.locks))

    def _ending(self, end: cabc.Callable[[t.Any], None], *, pauses: bool) -> t.Any:
        def ending(driver: t.Any) -> None:
            actual = getattr(driver, "dbapi_connection", driver)
            written = frozenset(self._open[actual][1] if actual in self._open else ())
            if pauses and written and self._scheduler.current is not None:
                self._scheduler.pause("commit")
                self._scheduler.note(Action("commit", writes=written, locks=written))
            try:
                end(driver)
            finally:
                self._open.pop(actual, None)

        return ending

    def request(self, name: str, party: str, *, writes: bool) -> None:
        """Pause before a request to the store or to a callback."""
        if (session := self._scheduler.current) is None:
            return
        if any(one is session for one, _ in self._open.values()):
            self._faults.append(f"{session.name} sends {name} within a transaction")
        named = frozenset([party])
        self._scheduler.pause(name)
        self._scheduler.note(Action(name, writes=named) if writes else Action(name, reads=named))
