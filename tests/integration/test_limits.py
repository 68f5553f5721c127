"""A suspended process holds locks for seconds, and our limits stay inside our transactions."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import pytest
import sqlalchemy as sa

from flask_woo_events.db import limits
from flask_woo_events.db.database import Database, is_away
from flask_woo_events.db.models import Organization
from tests.conftest import BACKENDS
from tests.integration.ledger_env import build
from tests.waiting import wait_until

pytestmark = pytest.mark.parametrize("any_url", BACKENDS[1:], indirect=True)

#: The values in a session of the server, by the database.
VALUES = {
    "postgresql": "SELECT current_setting('lock_timeout'),"
    " current_setting('idle_in_transaction_session_timeout')",
    "mysql": "SELECT @@SESSION.innodb_lock_wait_timeout, @@SESSION.idle_transaction_timeout",
}
OURS = {"postgresql": ("30s", "10s"), "mysql": (30, 10)}
#: A process that suspends itself in a transaction, and reports what became of it.
HOLDER = textwrap.dedent("""
    import os, signal, sys
    import sqlalchemy as sa
    from flask_woo_events.db import limits
    from flask_woo_events.db.database import Database
    from flask_woo_events.db.models import Organization

    limits.IDLE_SECONDS = 1
    try:
        with Database(sa.create_engine(sys.argv[1])).write() as session:
            session.execute(sa.update(Organization).values(name="of the holder"))
            os.kill(os.getpid(), signal.SIGSTOP)
    except sa.exc.DBAPIError as exc:
        print("lost" if exc.connection_invalidated else exc)
""")


def _rename(database: Database, name: str) -> None:
    with database.write() as session:
        session.execute(sa.update(Organization).values(name=name))


def _is_suspended(pid: int) -> bool:
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.slow
def test_a_suspended_process_holds_no_lock(any_database: Database, any_url: str) -> None:
    """Others go on after the limit, and what the process had not committed is undone."""
    build(any_database)
    command = [sys.executable, "-c", HOLDER, any_url]
    root = str(pathlib.Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as holder:
        try:
            wait_until(lambda: _is_suspended(holder.pid))
            _rename(any_database, "of another")
        finally:
            holder.send_signal(signal.SIGCONT)
        said, _ = holder.communicate()
    assert said.strip() == "lost"
    with any_database.read() as session:
        assert session.scalars(sa.select(Organization.name)).one() == "of another"


def test_a_lock_of_the_application_is_not_waited_for_without_end(
    any_database: Database, any_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error counts as an outage, so that the work is repeated."""
    build(any_database)
    monkeypatch.setattr(limits, "LOCK_SECONDS", 1)
    engine = sa.create_engine(any_url)
    with engine.begin() as connection:
        connection.execute(sa.update(Organization).values(name="of the application"))
        with pytest.raises(sa.exc.OperationalError) as caught:
            _rename(any_database, "ours")
    assert is_away(caught.value)
    _rename(any_database, "ours")
    engine.dispose()


@contextlib.contextmanager
def _one_connection(url: str) -> cabc.Iterator[tuple[sa.Engine, Database]]:
    """Yield an application's engine with one connection, and our sessions on it."""
    engine = sa.create_engine(url, pool_size=1, max_overflow=0)
    yield engine, Database(engine)
    engine.dispose()


def test_limits_end_with_the_transaction(any_database: Database, any_url: str) -> None:
    """The application gets its connections back as they were, after a failure, too."""
    with _one_connection(any_url) as (engine, ours):
        values = sa.text(VALUES[engine.dialect.name])
        with engine.connect() as connection:
            before = tuple(connection.execute(values).one())
        for failure in (False, True):
            with contextlib.suppress(ZeroDivisionError), ours.write() as session:
                assert tuple(session.execute(values).one()) == OURS[engine.dialect.name]
                if failure:
                    raise ZeroDivisionError
            with engine.connect() as connection:
                assert tuple(connection.execute(values).one()) == before
        with ours.begin() as inner:
            assert tuple(inner.execute(values).one()) == OURS[engine.dialect.name]
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
            assert tuple(connection.execute(values).one()) == before


def test_values_of_the_application_are_kept(any_database: Database, any_url: str) -> None:
    """What the application has set for its sessions is set again, not the server's defaults."""
    with _one_connection(any_url) as (engine, ours):
        kind = engine.dialect.name
        mine = {
            "postgresql": "SET lock_timeout = '7s'",
            "mysql": "SET SESSION innodb_lock_wait_timeout = 7",
        }[kind]
        sa.event.listen(engine, "connect", lambda driver, _: driver.cursor().execute(mine))
        if kind == "postgresql":
            sa.event.listen(engine, "connect", lambda driver, _: driver.commit())
        with ours.write() as session:
            assert tuple(session.execute(sa.text(VALUES[kind])).one()) == OURS[kind]
        with engine.connect() as connection:
            found = connection.execute(sa.text(VALUES[kind])).one()
            assert found[0] in ("7s", 7)
