"""Writes that share a commit: all are made, and none suffers from another."""

from __future__ import annotations

import concurrent.futures
import threading
import typing as t

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from flask_woo_events.db.database import Database
from flask_woo_events.db.group_commit import GroupCommit
from flask_woo_events.db.models import Organization
from tests.integration.host_app import NOW

WRITERS = 12


Work = t.Callable[[sa.Connection], t.Any]


def _do(connection: sa.Connection, works: t.Sequence[Work]) -> list[t.Any]:
    return [work(connection) for work in works]


class Held:
    """The first writer is held until all others wait."""

    def __init__(self, database: Database) -> None:
        self.group = GroupCommit(database, _do)
        self._database = database
        self._begun, self._go = threading.Event(), threading.Event()

    def run(self, *works: Work) -> list[t.Any]:
        """Do these together; returns their results or errors."""

        def first(connection: sa.Connection) -> None:
            self._begun.set()
            assert self._go.wait(30)

        with concurrent.futures.ThreadPoolExecutor(len(works) + 1) as pool:
            held = pool.submit(self.group.write, first)
            assert self._begun.wait(30)
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
    """A dozen writes that wait are made by one commit, and each learns its own result."""
    commits: list[None] = []
    event.listen(any_database.engine, "commit", lambda _: commits.append(None))
    held = Held(any_database)
    names = [f"n{number}" for number in range(WRITERS)]
    assert held.run(*map(_adds, names)) == names
    assert (held.names, len(commits)) == (set(names), 2)  # The first one's, and theirs.


def test_a_write_that_fails_fails_alone(any_database: Database) -> None:
    """Those who wrote beside it are made, and only it has the error."""
    held = Held(any_database)
    *twins, other = held.run(_adds("one"), _adds("one"), _adds("other"))
    assert (other, held.names) == ("other", {"one", "other"})
    # Which of the two comes first is the scheduler's choice.
    assert sorted(type(one).__name__ for one in twins) == ["IntegrityError", "str"]


def test_an_interrupted_writer_takes_nobody_with_it(any_database: Database) -> None:
    """Those whom it was writing for do it themselves."""

    def interrupted(connection: sa.Connection) -> None:
        raise KeyboardInterrupt

    held = Held(any_database)
    first, second = held.run(interrupted, _adds("kept"))
    assert isinstance(first, KeyboardInterrupt)
    if isinstance(second, KeyboardInterrupt):
        # It was the one that wrote for both: it knows, and nothing is there.
        assert held.names == set()
    else:
        assert (second, held.names) == ("kept", {"kept"})


@pytest.mark.parametrize("writers", [1, WRITERS])
def test_nobody_is_forgotten(any_database: Database, writers: int) -> None:
    """However they come, every write is there when its writer goes on."""
    group: GroupCommit[Work, str] = GroupCommit(any_database, _do)

    def add(number: int) -> str:
        return group.write(_adds(f"n{number}"))

    with concurrent.futures.ThreadPoolExecutor(writers) as pool:
        told = list(pool.map(add, range(60)))
    with any_database.read() as session:
        assert set(session.scalars(sa.select(Organization.name))) == set(told)
