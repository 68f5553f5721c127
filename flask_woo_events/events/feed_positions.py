"""Positions: the order in which the events of an organization can be read.

An id is assigned before its row is committed, so an event with a lower id may appear after one with
a higher id. Positions are assigned to events that are committed, under a lock for each
organization: a reader that has read up to a position has read all before it.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db import epochs
from ..db.models import Feed, FeedPurge, Instance, StoredEvent
from .delivery_order import in_parts

#: Events of one transaction that assigns positions: a backlog is taken up in such parts.
AT_ONCE = 1000
#: Lives of the database that are kept; a cursor of an earlier one begins anew.
_LIVES = 50

_EVENTS = StoredEvent.__table__
_PLACE = (
    sa.update(StoredEvent.__table__)  # type: ignore[arg-type]
    .where(_EVENTS.c.id == sa.bindparam("event"))
    .values(feed_position=sa.bindparam("place"))
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FeedState:
    """What of an organization's events can be read."""

    #: The last assigned position.
    position: int
    #: The present life of the database, as :func:`life_of` writes it.
    life: str
    #: The last position that was assigned before each life.
    begins: cabc.Mapping[str, int]
    #: Events wait for a position, or the first positions of this life are to be assigned.
    is_behind: bool
    #: The organization has no row yet.
    is_new: bool = False

    def common_with(self, life: str, position: int) -> int:
        """Return up to where what was read in some life of the database is the same in this one.

        :param position: the last one that was read.
        :return: 0 if the life is not one of this database's, as after two restored backups.
        """
        names = list(self.begins)
        if life not in names:
            return 0
        later = names[names.index(life) + 1 :]
        return min(position, self.begins[later[0]]) if later else position


def life_of(epoch: epochs.EpochState | None) -> str:
    """Return the name of an epoch: its number and its token."""
    return "" if epoch is None else f"{epoch.number}:{epoch.token}"


def state(session: orm.Session, organization_id: int) -> FeedState:
    """Read what can be read. Everything up to the position is visible after this statement."""
    life = life_of(epochs.current(session))
    feed = session.execute(
        sa.select(Feed.position, Feed.lives).where(Feed.organization_id == organization_id)
    ).one_or_none()
    position, lives = feed or (0, [])
    begins = {one["life"]: int(one["after"]) for one in lives}
    is_behind = life not in begins or bool(_waiting(session, organization_id, most=1))
    begins.setdefault(life, position)
    return FeedState(
        position=position, life=life, begins=begins, is_behind=is_behind, is_new=feed is None
    )


def prepare(session: orm.Session, organization_id: int) -> None:
    """Add an organization's row, unless it has one.

    :raises sqlalchemy.exc.IntegrityError: another process has just added it.
    """
    if session.get(Feed, organization_id) is None:
        session.add(Feed(organization_id=organization_id))
        session.flush()


def advance(session: orm.Session, organization_id: int) -> bool:
    """Assign positions to the next committed events, in the order of their ids.

    It waits for no row of an event, so that it takes part in no deadlock: from the first one that
    another transaction has locked on, the events wait for the next time.

    :return: whether more events wait, and something was done about them.
    """
    feed = session.get_one(Feed, organization_id, with_for_update=True, populate_existing=True)
    _enter_life(session, feed)
    waiting = _next_ids(session, organization_id)
    free = _without_locked(session, waiting)
    places = [
        {"event": number, "place": place} for place, number in enumerate(free, feed.position + 1)
    ]
    if places:
        session.connection().execute(_PLACE, places)
        feed.position += len(places)
    session.flush()
    return len(places) == AT_ONCE


def _enter_life(session: orm.Session, feed: Feed) -> None:
    """Note which position was the last one before this life, before one is assigned in it."""
    life = life_of(epochs.current(session))
    if all(one["life"] != life for one in feed.lives):
        feed.lives = [*feed.lives, {"life": life, "after": feed.position}][-_LIVES:]


def _waiting(session: orm.Session, organization_id: int, most: int) -> list[tuple[int, int]]:
    """Return instances with events that have no position: the first such event, and the instance.

    Each instance is looked up in the index, however many events it has.
    """
    first = (
        sa.select(StoredEvent.id)
        .where(StoredEvent.instance_id == Instance.id, StoredEvent.feed_position.is_(None))
        # As the index has them; its second column is null.
        .order_by(StoredEvent.feed_position, StoredEvent.id)
        .limit(1)
        .correlate(Instance)
        .scalar_subquery()
    )
    mine = sa.select(first.label("first"), Instance.id.label("instance_id")).where(
        Instance.organization_id == organization_id
    )
    found = mine.subquery()
    query = sa.select(found.c.first, found.c.instance_id).where(found.c.first.is_not(None))
    return [(one, number) for one, number in session.execute(query.limit(most))]


def _next_ids(session: orm.Session, organization_id: int) -> list[int]:
    """Return the lowest ids without a position over all instances of an organization."""
    found: list[int] = []
    for first, instance_id in sorted(_waiting(session, organization_id, most=2**31)):
        full = len(found) == AT_ONCE
        if full and first > found[-1]:
            break
        query = sa.select(StoredEvent.id).where(
            StoredEvent.instance_id == instance_id, StoredEvent.feed_position.is_(None)
        )
        if full:
            query = query.where(StoredEvent.id < found[-1])
        query = query.order_by(StoredEvent.feed_position, StoredEvent.id).limit(AT_ONCE)
        found = sorted([*found, *session.scalars(query)])[:AT_ONCE]
    return found


def _without_locked(session: orm.Session, ids: cabc.Sequence[int]) -> list[int]:
    """Lock events, and return those before the first one that another transaction has locked."""
    mine: set[int] = set()
    for part in in_parts(ids):
        query = sa.select(StoredEvent.id).where(StoredEvent.id.in_(part)).order_by(StoredEvent.id)
        mine.update(session.scalars(query.with_for_update(skip_locked=True, key_share=True)))
    free: list[int] = []
    for number in ids:
        if number not in mine:
            break
        free.append(number)
    return free


def prepare_purge(session: orm.Session, notification_instances: cabc.Collection[int]) -> None:
    """Add the rows in which a purge of events of some instances is recorded.

    In a transaction before it, since the new rows lock those that they refer to.

    :raises sqlalchemy.exc.IntegrityError: another process has just added one.
    """
    for part in in_parts(sorted(notification_instances)):
        query = (
            sa.select(Instance.id, Instance.organization_id, Feed.organization_id)
            .outerjoin(Feed, Feed.organization_id == Instance.organization_id)
            .outerjoin(FeedPurge, FeedPurge.instance_id == Instance.id)
            .where(Instance.id.in_(part), FeedPurge.instance_id.is_(None))
        )
        rows = session.execute(query).all()
        session.add_all(
            Feed(organization_id=one) for one in sorted({mine for _, mine, has in rows if not has})
        )
        session.flush()
        session.add_all(FeedPurge(instance_id=number) for number, _, _ in rows)
        session.flush()


def lock_for_purge(session: orm.Session, instance_ids: cabc.Collection[int]) -> None:
    """Lock the feeds of some instances, before other rows, until the purge is committed."""
    mine = sa.select(Instance.organization_id).where(Instance.id.in_(instance_ids))
    query = sa.select(Feed).where(Feed.organization_id.in_(mine)).order_by(Feed.organization_id)
    session.scalars(query.with_for_update().execution_options(populate_existing=True)).all()


def record_purge(session: orm.Session, notification_ids: cabc.Collection[int]) -> None:
    """Record, before they are deleted, up to which position events of notifications are gone.

    Events without a position get one for all of them, which no event ever has.
    """
    last = sa.func.max(StoredEvent.feed_position)
    without = sa.func.count() - sa.func.count(StoredEvent.feed_position)
    rows = session.execute(
        sa.select(StoredEvent.instance_id, Instance.organization_id, last, without)
        .join(Instance, Instance.id == StoredEvent.instance_id)
        .where(StoredEvent.notification_id.in_(notification_ids))
        .group_by(StoredEvent.instance_id, Instance.organization_id)
        .order_by(StoredEvent.instance_id)
    ).all()
    next_ones: dict[int, int] = {}
    for instance_id, organization_id, position, unplaced in rows:
        if unplaced:
            if organization_id not in next_ones:
                feed = session.get_one(Feed, organization_id)
                _enter_life(session, feed)
                feed.position += 1
                next_ones[organization_id] = feed.position
            position = next_ones[organization_id]
        session.execute(
            sa.update(FeedPurge)
            .where(FeedPurge.instance_id == instance_id, FeedPurge.position < position)
            .values(position=position)
            .execution_options(synchronize_session=False)
        )
    session.flush()


def purged_up_to(session: orm.Session, organization_id: int, instance_id: int | None) -> int:
    """Return the last position of an event that retention has deleted, 0 for none.

    :param instance_id: ``None`` for all instances of the organization.
    """
    query = (
        sa.select(sa.func.max(FeedPurge.position))
        .join(Instance, Instance.id == FeedPurge.instance_id)
        .where(Instance.organization_id == organization_id)
    )
    if instance_id is not None:
        query = query.where(Instance.id == instance_id)
    return t.cast("int | None", session.scalar(query)) or 0
