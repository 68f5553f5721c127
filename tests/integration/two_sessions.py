"""Two sessions: another one works between two steps of the first."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import contextlib
import threading
import time
import typing as t

import sqlalchemy as sa

from flask_woo_events.db.database import Database
from flask_woo_events.simulation.store import SimulatedStore
from tests.waiting import HANG_SECONDS, wait_until

#: The number of sessions that wait for a lock of another one.
_BLOCKED = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity "
    "WHERE wait_event_type = 'Lock' AND backend_type = 'client backend'",
    "mariadb": "SELECT CAST(variable_value AS INTEGER) FROM information_schema.global_status "
    "WHERE variable_name = 'Innodb_row_lock_current_waits'",
}


@contextlib.contextmanager
def before_statement(
    database: Database, text: str, work: cabc.Callable[[], object]
) -> cabc.Iterator[None]:
    """Let another thread work before the block's first statement that contains a text.

    The block goes on when that work is done, or waits for a lock that the block holds.
    """
    mine, others = threading.get_ident(), concurrent.futures.ThreadPoolExecutor(1)
    started: list[concurrent.futures.Future[object]] = []

    def pause(connection: sa.Connection, _cursor: t.Any, statement: str, *_: t.Any) -> None:
        if not started and threading.get_ident() == mine and text in statement:
            started.append(others.submit(work))
            _wait(connection, started[0])

    sa.event.listen(database.engine, "before_cursor_execute", pause)
    try:
        with others:
            yield
        assert started, f"no statement contains {text}"
        started[0].result(HANG_SECONDS)
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", pause)


def _wait(connection: sa.Connection, other: concurrent.futures.Future[object]) -> None:
    name = connection.engine.dialect.name
    query = _BLOCKED.get("mariadb" if name == "mysql" else name)
    if query is None:
        # A SQLite file has one writer, so the other waits if this one writes.
        if not connection.get_execution_options().get("woo_writing"):
            other.exception(HANG_SECONDS)
        return
    engine = sa.create_engine(connection.engine.url, poolclass=sa.pool.NullPool)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watching:

        def is_blocked() -> bool:
            return bool(watching.exec_driver_sql(query).scalar_one())

        wait_until(lambda: other.done() or is_blocked())


@contextlib.contextmanager
def during_request(
    store: SimulatedStore, method: str, path: str, work: cabc.Callable[[], object]
) -> cabc.Iterator[None]:
    """Run the block while the answer to the work's first request of this kind is on its way.

    :param path: the end of its path.
    """
    asked, answer = threading.Event(), threading.Event()

    def ask(asked_method: str, asked_path: str, _params: object) -> bool:
        if asked_method != method or not asked_path.endswith(path):
            return False
        asked.set()
        return True

    store.faults.add("delay", match=ask, times=1, until=answer)
    with concurrent.futures.ThreadPoolExecutor(1) as others:
        running = others.submit(work)
        try:
            end = time.monotonic() + HANG_SECONDS
            while not asked.wait(0.05) and not running.done():
                assert time.monotonic() < end
            assert asked.is_set(), "the work ended without this request"
            yield
        finally:
            answer.set()
        running.result(HANG_SECONDS)
