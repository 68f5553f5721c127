"""The feed: recorded events in the order of their positions, read part by part."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Delivery, Instance, StoredEvent
from ..db.states import EventType
from ..values.event_choice import EventChoice
from . import changes, notifications
from .changes import Changes
from .delivery_order import in_parts
from .feed_cursor import FeedScope
from .notifications import NotificationRecord

#: Events that one step looks at, and steps of one answer: a narrow choice wants few of many.
_SCANNED, _STEPS = 1000, 5
#: Objects of one answer, bytes; a larger one comes alone.
MOST_BYTES = 8 * 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FeedChoice:
    """Which events of its scope a feed has."""

    scope: FeedScope
    choice: EventChoice = EventChoice()
    #: The subscription, as events for it alone name it (``notifications.target_of``).
    target: int | None = None
    #: The events that an operational subscription gets, in place of those of the store.
    operational: bool = False

    def wants(self, row: t.Any) -> bool:
        """Return whether an event belongs to the feed."""
        if row.only_for is not None and row.only_for != self.target:
            return False
        fields, kind = row.changed_fields or (), EventType(row.event_type)
        known = Changes.from_json(row.changes) if self.choice.fields else None
        return changes.is_chosen(self.choice, row.resource, kind, fields, known)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FeedPart:
    """The next events of a feed."""

    #: Each as a notification of its own.
    events: tuple[NotificationRecord, ...]
    #: Up to where everything was read.
    position: int
    #: There may be more up to the end.
    more: bool


def read(session: orm.Session, chosen: FeedChoice, after: int, upto: int, limit: int) -> FeedPart:
    """Read the next events of a feed.

    :param after: the last position that was read.
    :param upto: the last position that was assigned when this transaction read it.
    :param limit: events at most.
    """
    ids: list[int] = []
    size, position, more = 0, after, False
    for rows, end in _steps(session, chosen, after, upto):
        for row in rows:
            if chosen.wants(row):
                if len(ids) == limit or (ids and size + row.size > MOST_BYTES):
                    more = True
                    break
                ids.append(row.id)
                size += row.size
            position = row.feed_position
        if more:
            break
        position = end
    found: dict[int, NotificationRecord] = {}
    for part in in_parts(ids):
        found |= notifications.load_single(session, part)
    # What retention or a person deleted meanwhile is left out.
    events = tuple(found[one] for one in ids if one in found)
    return FeedPart(events=events, position=position, more=more or position < upto)


def _steps(
    session: orm.Session, chosen: FeedChoice, after: int, upto: int
) -> cabc.Iterator[tuple[list[t.Any], int]]:
    """Yield the events of a few ranges of positions in order, each with the end of its range."""
    scope = chosen.scope
    instances = _instances(session, scope)
    for _ in range(_STEPS):
        if after >= upto:
            return
        end = min(after + _SCANNED, upto)
        rows = _rows(session, chosen, instances, after, end)
        if not rows and end < upto:
            # Deleted events, or those of others: go on before the next one after them.
            end = min(_next(session, scope, end), upto + 1) - 1
        yield rows, end
        after = end


def _instances(session: orm.Session, scope: FeedScope) -> list[int]:
    if scope.instance_id is not None:
        return [scope.instance_id]
    mine = Instance.organization_id == scope.organization_id
    return list(session.scalars(sa.select(Instance.id).where(mine).order_by(Instance.id)))


def _rows(
    session: orm.Session,
    chosen: FeedChoice,
    instances: cabc.Iterable[int],
    after: int,
    end: int,
) -> list[t.Any]:
    rows: list[t.Any] = []
    for part in in_parts(instances):
        query = sa.select(
            StoredEvent.id,
            StoredEvent.feed_position,
            StoredEvent.resource,
            StoredEvent.event_type,
            StoredEvent.only_for,
            StoredEvent.changed_fields,
            (StoredEvent.changes if chosen.choice.fields else sa.null()).label("changes"),
            sa.func.length(StoredEvent.body).label("size"),
        ).where(
            StoredEvent.instance_id.in_(part),
            StoredEvent.feed_position > after,
            StoredEvent.feed_position <= end,
            _is_of_kind(chosen),
        )
        rows += session.execute(query)
    return sorted(rows, key=lambda row: t.cast("int", row.feed_position))


def _is_of_kind(chosen: FeedChoice) -> sa.ColumnElement[bool]:
    if not chosen.operational:
        return StoredEvent.kind.is_(None)
    mine = Delivery.subscription_id == chosen.scope.subscription_id
    return StoredEvent.kind.is_not(None) & StoredEvent.notification_id.in_(
        sa.select(Delivery.notification_id).where(mine)
    )


def _next(session: orm.Session, scope: FeedScope, after: int) -> int:
    """Return the position of the next event, or a greater one than all if there is none."""
    following = (
        sa.select(StoredEvent.feed_position)
        .where(StoredEvent.instance_id == Instance.id, StoredEvent.feed_position > after)
        .order_by(StoredEvent.feed_position)
        .limit(1)
        .correlate(Instance)
        .scalar_subquery()
    )
    query = sa.select(following.label("following"))
    if scope.instance_id is None:
        query = query.where(Instance.organization_id == scope.organization_id)
    else:
        query = query.where(Instance.id == scope.instance_id)
    found = query.subquery()
    return session.scalar(sa.select(sa.func.min(found.c.following))) or 2**62
