"""Writes that share a commit: all are made, and a failing one affects no other."""

from __future__ import annotations

import concurrent.futures
import threading
import typing as t

import flask
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from flask_woo_events.db.database import Database
from flask_woo_events.db.group_commit import GroupCommit
from flask_woo_events.db.models import Organization
from tests.integration.host_app import NOW, runtime_of
from tests.waiting import HANG_SECONDS

WRITERS = 12


Work = t.Callable[[sa.Connection], t.Any]


def _do(connection: sa.Connection, works: t.Sequence[Work]) -> list[t.Any]:
    return [work(connection) for work in works]


class Held:
    """Runs writes together: the first one waits until all others are queued."""

    def __init__(self, database: Database) -> None:
        self.group = GroupCommit(database, _do)
        self._database = database
        self._begun, self._go = threading.Event(), threading.Event()

    def run(self, *works: Work) -> list[t.Any]:
        """Run writes together; return their results or errors."""

        def first(connection: sa.Connection) -> None:
            self._begun.set()
            assert self._go.wait(HANG_SECONDS)

        with concurrent.futures.ThreadPoolExecutor(len(works) + 1) as pool:
            held = pool.submit(self.group.write, first)
            assert self._begun.wait(HANG_SECONDS)
            waiting = [pool.submit(self.group.write, work) for work in works]
            while len(self.group._waiting) < len(works):
                threading.Event().wait(0.001)
            self._go.set()
            held.result()
            return [one.exception() or one.result() for one in waiting]

    @property
    def names(self) -> set[str]:
        with self._database.read() as session:
            return set(session.scalars(sa.select(Organization.name)))


def _adds(name: str) -> Work:
    def work(connection: sa.Connection) -> str:
        row = {"name": name, "secret_hash": name, "settings": {}, "created_at": NOW}
        connection.execute(sa.insert(Organization).values(**row))
        return name

    return work


def test_waiting_writes_share_a_commit(any_database: Database) -> None:
    """Writes that wait are made in one commit, and each returns its own result."""
    commits: list[None] = []
    event.listen(any_database.engine, "commit", lambda _: commits.append(None))
    held = Held(any_database)
    names = [f"n{number}" for number in range(WRITERS)]
    assert held.run(*map(_adds, names)) == names
    assert (held.names, len(commits)) == (
        set(names),
        2,
    )  # That of the first one, and the shared one.


def test_a_write_that_fails_fails_alone(any_database: Database) -> None:
    """The writes of the same commit are made, and only the failing one raises."""
    held = Held(any_database)
    *twins, other = held.run(_adds("one"), _adds("one"), _adds("other"))
    assert (other, held.names) == ("other", {"one", "other"})
    # Either of the two may be first.
    assert sorted(type(one).__name__ for one in twins) == ["IntegrityError", "str"]


def test_an_interrupted_writer_stops_no_other(any_database: Database) -> None:
    """The threads for which it was writing write themselves."""

    def interrupted(connection: sa.Connection) -> None:
        raise KeyboardInterrupt

    held = Held(any_database)
    first, second = held.run(interrupted, _adds("kept"))
    assert isinstance(first, KeyboardInterrupt)
    if isinstance(second, KeyboardInterrupt):
        # It wrote for both: it raises too, and nothing is written.
        assert held.names == set()
    else:
        assert (second, held.names) == ("kept", {"kept"})


@pytest.mark.parametrize("writers", [1, WRITERS])
def test_every_write_is_made(any_database: Database, writers: int) -> None:
    """A write is in the database when its call returns."""
    group: GroupCommit[Work, str] = GroupCommit(any_database, _do)

    def add(number: int) -> str:
        return group.write(_adds(f"n{number}"))

    with concurrent.futures.ThreadPoolExecutor(writers) as pool:
        written = list(pool.map(add, range(60)))
    with any_database.read() as session:
        assert set(session.scalars(sa.select(Organization.name))) == set(written)


class _Deadlock(Exception):
    """What PostgreSQL's driver raises for the transaction that it ended."""

    sqlstate = "40P01"


LOCKED = sa.exc.OperationalError("INSERT", None, Exception("database is locked"))
DEADLOCK = sa.exc.OperationalError("INSERT", None, _Deadlock("deadlock detected"))


@pytest.mark.parametrize(
    ("errors", "written", "tries"),
    [
        ([LOCKED], 0, 1),
        ([KeyError("of one item"), None, LOCKED], 1, 3),
        ([DEADLOCK], 4, 5),
    ],
    ids=["locked", "locked later", "deadlock"],
)
def test_a_locked_database_fails_all_at_once(
    app: flask.Flask, errors: list[Exception | None], written: int, tries: int
) -> None:
    """Every further try would wait as long; after a deadlock each item is tried alone."""
    left, calls = iter(errors), []

    def work(_: sa.Connection, items: t.Sequence[int]) -> t.Sequence[int]:
        calls.append(items)
        if (error := next(left, None)) is not None:
            raise error
        return items

    group: GroupCommit[int, int] = GroupCommit(runtime_of(app).database, work)
    results = group.write_all(range(4))
    assert results[:written] == list(range(written))
    assert [one is LOCKED for one in results[written:]] == [True] * (4 - written)
    assert len(calls) == tries
