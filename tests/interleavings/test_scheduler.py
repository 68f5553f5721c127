"""The scheduler itself: it repeats schedules, finds lost updates, and knows who waits."""

from __future__ import annotations

import collections.abc as cabc
import functools
import pathlib
import threading

import pytest
import sqlalchemy as sa

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Base, Organization
from flask_woo_events.events import delivery_order
from tests.conftest import BACKENDS
from tests.interleavings.databases import Tables
from tests.interleavings.environment import NOW
from tests.interleavings.opening import explorer
from tests.interleavings.pause_points import PausePoints
from tests.interleavings.scheduler import Scheduler, Session, parse, text_of
from tests.waiting import wait_until

Work = cabc.Callable[[Database], None]
ON_SERVERS = pytest.mark.parametrize("any_url", BACKENDS[1:], indirect=True)


class TwoRows:
    """Two rows with empty names, and two sessions that change them."""

    def __init__(self, url: str) -> None:
        self._tables = Tables(url)
        self._scheduler = Scheduler()
        self._own, *self._databases = [self._tables.connect() for _ in range(3)]
        points = PausePoints(self._scheduler, [])
        for database in self._databases:
            points.attach(database.engine)
        Base.metadata.create_all(self._own.engine)

    def play(self, works: cabc.Sequence[Work], schedule: str) -> tuple[list[str], list[Session]]:
        """Return the names after both sessions."""
        with self._own.write() as session:
            session.execute(sa.delete(Organization))
            for number in (1, 2):
                session.add(
                    Organization(
                        id=number, name=f"{number}", secret_hash=f"{number}", created_at=NOW
                    )
                )
        sessions = [
            Session(
                letter,
                functools.partial(work, database),
                functools.partial(self._tables.blocked, database),
            )
            for letter, work, database in zip("AB", works, self._databases, strict=True)
        ]
        self._scheduler.play(sessions, parse(schedule))
        with self._own.read() as session:
            query = sa.select(Organization.name).order_by(Organization.id)
            return list(session.scalars(query)), sessions

    def blocked(self) -> bool:
        """Return whether one of the sessions' statements waits for a lock."""
        return any(map(self._tables.blocked, self._databases))

    def dispose(self) -> None:
        """Close all connections."""
        self._tables.dispose()


def _append(letter: str, database: Database, *, locks: bool = False) -> None:
    query = sa.select(Organization).where(Organization.id == 1)
    if locks:
        with database.write() as session:
            session.scalars(query.with_for_update()).one().name += letter
        return
    with database.read() as session:
        before = session.scalars(query).one().name
    with database.write() as session:
        session.get_one(Organization, 1).name = before + letter


def _lock_both(first: int, second: int, database: Database) -> None:
    with database.write() as session:
        for number in (first, second):
            mine = sa.update(Organization).where(Organization.id == number)
            session.execute(mine.values(name=f"{first} {second} {number}"))


def test_a_schedule_is_read_as_it_is_written() -> None:
    """The text of a schedule plays it again."""
    assert text_of(parse("A5 B2 A B")) == "A5 B2 A B"
    with pytest.raises(ValueError, match="is no schedule"):
        parse("A5 b")


def test_an_update_is_lost_by_one_schedule_only(any_url: str) -> None:
    """Between its read and its write another session writes; one after the other loses nothing."""
    rows = TwoRows(any_url)
    works = [functools.partial(_append, letter) for letter in "AB"]
    assert rows.play(works, "A B")[0][0] == "1AB"
    assert rows.play(works, "B A")[0][0] == "1BA"
    for _ in range(2):
        names, sessions = rows.play(works, "A2 B A")
        assert names[0] == "1A"
        assert [one.error for one in sessions] == [None, None]
    rows.dispose()


@ON_SERVERS
def test_who_waits_for_a_lock_lets_the_other_go_on(any_url: str) -> None:
    """A session that waits for a row goes on when the other one has committed."""
    rows = TwoRows(any_url)
    works = [functools.partial(_append, letter, locks=True) for letter in "AB"]
    for point, name in enumerate(("1BA", "1BA", "1AB", "1AB")):
        names, sessions = rows.play(works, f"A{point} B A")
        assert names[0] == name
        assert [one.error for one in sessions] == [None, None]
    rows.dispose()


@ON_SERVERS
def test_two_sessions_that_wait_for_each_other_end(any_url: str) -> None:
    """The database ends one of them; the other one's changes are all there."""
    rows = TwoRows(any_url)
    works = [functools.partial(_lock_both, 1, 2), functools.partial(_lock_both, 2, 1)]
    names, sessions = rows.play(works, "A2 B A")
    assert sum(one.error is not None for one in sessions) == 1
    assert names in (["1 2 1", "1 2 2"], ["2 1 1", "2 1 2"])
    rows.dispose()


def test_a_session_goes_on_although_the_database_still_calls_it_blocked() -> None:
    """What the database says of a lock may be older than the session's next pause point."""
    scheduler, lock = Scheduler(), threading.Lock()

    def hold() -> None:
        with lock:
            scheduler.pause("held")

    def wait() -> None:
        with lock:
            pass
        scheduler.pause("waited")

    def called_blocked() -> bool:
        # The answer comes once the session has the lock and is paused again.
        if sessions[0].ended:
            wait_until(lambda: len(sessions[1].points) == 2)
        return True

    sessions = [Session("A", hold, lambda: False), Session("B", wait, called_blocked)]
    scheduler.play(sessions, parse("A1 B A"))
    assert [len(one.points) for one in sessions] == [2, 2]
    assert all(one.ended and one.error is None for one in sessions)


@pytest.mark.parametrize("any_url", BACKENDS[2:], indirect=True)
def test_a_deadlock_of_the_past_blocks_nobody(any_url: str) -> None:
    """MariaDB's status repeats the last deadlock: who waited there does not wait now."""
    rows = TwoRows(any_url)
    crossed = [functools.partial(_lock_both, 1, 2), functools.partial(_lock_both, 2, 1)]
    rows.play(crossed, "A2 B A")
    assert not rows.blocked()
    rows.dispose()


def test_a_broken_order_is_noticed(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no version waits for the one before, a schedule shows it."""
    monkeypatch.setattr(delivery_order, "keep", lambda *_, **__: None)
    with explorer(f"sqlite:///{tmp_path}/woo.sqlite3") as found:
        played = found.play(("fail", "deliver"), parse("A B"))
    assert any("got the versions" in fault for fault in played.faults)
