"""Following: the events of all organizations, each in the order of its feed."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import math

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Instance, StoredEvent
from ..events import feed_positions, search
from ..events.feed_cursor import FeedCursor
from ..events.search import EventEntry
from ..runtime import Runtime
from . import feed

#: Up to where the events of each organization were read; one without a place begins at the oldest.
Places = cabc.Mapping[int, FeedCursor]
#: Positions of one query.
_AT_ONCE = 1000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """The next events of one notification."""

    #: Empty if there are none up to the place.
    entries: tuple[EventEntry, ...]
    #: Where to go on after them.
    places: Places


def begin(runtime: Runtime, instance_id: int | None, event_id: int | None = None) -> Places:
    """Return the places after all events that are committed now, or before an event.

    What was recorded before is taken up by the feeds first.

    :param instance_id: ``None`` for all instances.
    :param event_id: a number that no event need have; of other organizations, too.
    """
    places: dict[int, FeedCursor] = {}
    for organization_id in _organizations(runtime, instance_id):
        feed.advance(runtime, organization_id, None, seconds=math.inf)
        with runtime.database.read() as session:
            state = feed_positions.state(session, organization_id)
            last = state.position
            if event_id is not None:
                query = sa.select(sa.func.min(StoredEvent.feed_position)).where(
                    _of(organization_id, None), StoredEvent.id >= event_id
                )
                first = session.scalar(query.where(StoredEvent.feed_position <= last))
                last = last if first is None else first - 1
        places[organization_id] = FeedCursor(position=last, life=state.life)
    return places


def read(runtime: Runtime, places: Places, instance_id: int | None) -> cabc.Iterator[Followed]:
    """Yield the next events after some places; nothing if there are none.

    No transaction is open meanwhile.
    """
    for organization_id in _organizations(runtime, instance_id):
        feed.advance(runtime, organization_id, places.get(organization_id))
        with runtime.database.read() as session:
            cursor, groups = _next(
                session, organization_id, instance_id, places.get(organization_id)
            )
        ends = [FeedCursor(position=one - 1, life=cursor.life) for one, _ in groups[1:]]
        for end, (_, entries) in zip([*ends, cursor], groups or [(0, [])], strict=True):
            if end != places.get(organization_id):
                places = {**places, organization_id: end}
                yield Followed(entries=tuple(entries), places=places)


def _next(
    session: orm.Session, organization_id: int, instance_id: int | None, sent: FeedCursor | None
) -> tuple[FeedCursor, list[tuple[int, list[EventEntry]]]]:
    """Return up to where events were read, and those of each notification with its first position.

    The parts of a notification need not follow each other: it goes on at the first that is left.
    """
    state = feed_positions.state(session, organization_id)
    after = 0 if sent is None else state.common_with(sent.life, sent.position)
    if after > state.position:
        after = 0  # It is a place of another database.
    end = min(after + _AT_ONCE, state.position)
    rows = session.execute(
        sa.select(StoredEvent.id, StoredEvent.feed_position).where(
            _of(organization_id, instance_id),
            StoredEvent.kind.is_(None),
            StoredEvent.feed_position > after,
            StoredEvent.feed_position <= end,
        )
    )
    positions = {one.id: int(one.feed_position) for one in rows}
    entries = search.entries_of(
        session, sa.select(StoredEvent).where(StoredEvent.id.in_(positions))
    )
    groups: dict[int, list[EventEntry]] = {}
    for one in sorted(entries, key=lambda entry: positions[entry.id]):
        groups.setdefault(one.notification_id, []).append(one)
    found = [(positions[events[0].id], events) for events in groups.values()]
    return FeedCursor(position=end, life=state.life), found


def _organizations(runtime: Runtime, instance_id: int | None) -> list[int]:
    query = sa.select(Instance.organization_id).distinct().order_by(Instance.organization_id)
    if instance_id is not None:
        query = query.where(Instance.id == instance_id)
    with runtime.database.read() as session:
        return list(session.scalars(query))


def _of(organization_id: int, instance_id: int | None) -> sa.ColumnElement[bool]:
    mine = sa.select(Instance.id).where(Instance.organization_id == organization_id)
    if instance_id is not None:
        mine = mine.where(Instance.id == instance_id)
    return StoredEvent.instance_id.in_(mine)
