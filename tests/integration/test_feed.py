"""The feed: every committed event once, in order, whatever happens to the database meanwhile."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from flask_woo_events.db import limits
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Delivery, Epoch, Feed, Notification, StoredEvent
from flask_woo_events.db.states import DeliveryStatus
from flask_woo_events.delivery import feed
from flask_woo_events.errors import InputError
from flask_woo_events.events import feed_positions
from flask_woo_events.instances import restored
from flask_woo_events.worker import retention
from tests.integration.feed_env import objects_of, open_feed
from tests.integration.ledger_env import NOW

SERVERS = [
    pytest.param("postgresql", marks=pytest.mark.postgresql),
    pytest.param("mariadb", marks=pytest.mark.mariadb),
]


def _unlimited(database: Database) -> orm.Session:
    """Open a transaction that the server does not end while others work, however slow they are."""
    return orm.Session(database.engine.execution_options(**{limits.UNLIMITED: True}))


@pytest.mark.parametrize("any_url", SERVERS, indirect=True)
def test_event_that_is_committed_late_is_not_skipped(any_database: Database) -> None:
    """A reads an id, B reads a higher one and commits, the feed is read, then A commits.

    By ids, or by dates, the reader would be past A's event when it appears.
    """
    env = open_feed(any_database, instances=2)
    with _unlimited(any_database) as late:
        [a] = env.post(late, stream=0)
        late.flush()
        [b] = env.record(stream=1)
        first = env.read()
        assert objects_of(first) == [b]
        late.commit()
    with any_database.read() as reading:
        ids = reading.scalars(sa.select(StoredEvent.object_id).order_by(StoredEvent.id)).all()
    assert list(ids) == [a, b]
    second = env.read(first.cursor)
    assert objects_of(second) == [a]
    assert objects_of(env.read()) == [b, a]
    assert not (first.truncated or second.truncated or second.more)


@pytest.mark.parametrize("any_url", SERVERS, indirect=True)
def test_event_that_another_transaction_changes_is_waited_for(any_database: Database) -> None:
    """A division holds an event's row: neither does the feed wait, nor go past it."""
    env = open_feed(any_database)
    names = env.record(3)
    with _unlimited(any_database) as dividing:
        dividing.execute(
            sa.update(StoredEvent).where(StoredEvent.object_id == names[1]).values(source="poll")
        )
        first = env.read()
        assert objects_of(first) == names[:1]
        assert not first.more
        dividing.commit()
    assert env.rest(first.cursor)[0] == names[1:]


def test_positions_are_assigned_in_parts_over_instances(
    any_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of before the migration are taken up part by part, in the order of their ids."""
    env = open_feed(any_database, instances=3)
    names = [name for number in range(9) for name in env.record(2, stream=number % 3)]
    monkeypatch.setattr(feed_positions, "AT_ONCE", 4)
    first = env.read(limit=100)
    assert objects_of(first) == names[:4]
    assert first.more
    found, last = env.rest(first.cursor, limit=3)
    assert found == names[4:]
    assert not last.events or not last.more
    assert objects_of(env.read(stream=1)) == [*names[2:4], *names[8:10], *names[14:16]]


def test_now_is_behind_all_that_is_committed(
    any_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``cursor=now`` a reader gets what happens from here on, however much was there."""
    monkeypatch.setattr(feed_positions, "AT_ONCE", 4)
    env = open_feed(any_database)
    env.record(18)
    begin = env.read("now")
    assert (begin.events, begin.more) == ((), False)
    names = env.record(2)
    assert env.rest(begin.cursor)[0] == names


def test_events_for_one_subscription_are_only_in_its_feed(any_database: Database) -> None:
    """A backfill for one receiver repeats events that all others have."""
    env = open_feed(any_database)
    names = env.record(1)
    again = env.record(1, only_for=7)
    assert env.rest()[0] == names
    chosen = dataclasses.replace(env.choice(stream=0), target=7)
    assert objects_of(env.read(stream=0)) == names
    assert objects_of(feed.read(env.runtime, chosen, None, 100)) == names + again


def _age(database: Database, names: list[str]) -> None:
    """Make notifications older than they are kept, delivered ones."""
    with database.write() as session:
        ids = sa.select(StoredEvent.notification_id).where(StoredEvent.object_id.in_(names))
        session.execute(
            sa.update(Notification)
            .where(Notification.id.in_(ids))
            .values(created_at=NOW - dt.timedelta(days=99))
        )
        session.execute(
            sa.update(Delivery)
            .where(Delivery.notification_id.in_(ids))
            .values(status=DeliveryStatus.DELIVERED)
        )


def test_reader_learns_that_events_are_gone(any_database: Database) -> None:
    """Retention deletes what a reader has not read, with and without a position."""
    env = open_feed(any_database, instances=2)
    names = [name for _ in range(3) for name in env.record()]
    begin = env.read(limit=1)
    assert objects_of(begin) == names[:1]
    other = env.read(limit=1, stream=1)
    more = [*env.record(), *env.record()]
    _age(any_database, [names[0], names[1], more[0]])
    assert retention.purge(env.runtime).notifications == 3
    page = env.read(begin.cursor)
    assert objects_of(page) == [names[2], more[1]]
    assert page.truncated
    after = env.read(page.cursor)
    assert (after.events, after.truncated) == ((), False)
    # Nothing of the other instance was deleted, and who begins anew misses nothing that is kept.
    assert not env.read(other.cursor, stream=1).truncated
    assert not env.read().truncated


def test_reader_who_has_read_it_misses_nothing(any_database: Database) -> None:
    """What a reader has got is not missing when retention deletes it."""
    env = open_feed(any_database)
    names = env.record(3)
    page = env.read()
    _age(any_database, names)
    retention.purge(env.runtime)
    again = env.read(page.cursor)
    assert (again.events, again.truncated, again.more) == ((), False, False)


def test_cursor_of_a_lost_life_goes_back_to_the_backup(any_database: Database) -> None:
    """After a restored backup, a reader gets all that happened since, and repeats at most."""
    env = open_feed(any_database)
    kept = env.record(3)
    backup = env.read()
    lost = env.record(4)
    ahead = env.read(backup.cursor)
    assert objects_of(ahead) == lost
    # The backup: the events after it, their positions and counters are gone.
    with any_database.write() as session:
        session.execute(sa.delete(Notification).where(Notification.id > _newest(session, kept)))
        session.get_one(Feed, env.organization_id).position = len(kept)
    env.runtime.state_file._known = None
    with pytest.raises(InputError, match="ahead of this feed"):
        env.read(ahead.cursor)
    restored.declare(env.runtime, "a test")
    again = env.record(6)
    page = env.read(ahead.cursor)
    assert objects_of(page) == again
    assert objects_of(env.read(backup.cursor)) == again
    with any_database.read() as session:
        assert len(session.scalars(sa.select(Epoch.number)).all()) == 2


def test_purge_of_an_old_backup_is_reported(any_database: Database) -> None:
    """Retention deletes events of a restored backup before anybody reads the feed of its new life.

    They have no position yet, and a lost life may have given theirs to one that was read.
    """
    env = open_feed(any_database)
    first = env.read(env.read().cursor)
    names = env.record(1) + env.record(1)
    ahead = env.read(first.cursor, limit=1)
    assert objects_of(ahead) == names[:1]
    # The backup was made before the positions were assigned.
    with any_database.write() as session:
        session.execute(sa.update(StoredEvent).values(feed_position=None))
        session.get_one(Feed, env.organization_id).position = 0
    env.runtime.state_file._known = None
    restored.declare(env.runtime, "a test")
    _age(any_database, names)
    assert retention.purge(env.runtime).notifications == 2
    page = env.read(ahead.cursor)
    assert (page.events, page.truncated) == ((), True)


def _newest(session: orm.Session, names: list[str]) -> int:
    query = sa.select(sa.func.max(StoredEvent.notification_id))
    return session.scalars(query.where(StoredEvent.object_id.in_(names))).one()
