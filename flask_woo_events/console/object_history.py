"""The history of one object: its stored versions, and the differences between them."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import typing as t

import orjson
import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Poller, StoredEvent
from ..db.states import EventType
from ..events.search import EventEntry, entries_of
from ..sync.ledger.digest import VOLATILE

#: The most versions shown.
VERSIONS_MOST = 100
#: The most differences shown of one version.
DIFFERENCES_MOST = 200
_ABSENT = object()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One value that changed."""

    #: For example ``line_items[0].quantity``.
    path: str
    before: t.Any
    after: t.Any
    #: Whether the value exists only after, or only before, the change.
    added: bool = False
    removed: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ObjectVersion:
    """One version of an object."""

    entry: EventEntry
    body: t.Any
    #: Differences from the previous version; ``None`` if that is not stored.
    differences: tuple[Difference, ...] | None


def previous(session: orm.Session, event_id: int) -> t.Any | None:
    """Return the object before an event; ``None`` if that version is not stored."""
    event = session.get_one(StoredEvent, event_id)
    body = session.scalars(
        sa.select(StoredEvent.body)
        .where(
            StoredEvent.poller_id == event.poller_id,
            StoredEvent.object_id == event.object_id,
            StoredEvent.version == event.version - 1,
            StoredEvent.event_type != EventType.DELETED,
        )
        .limit(1)
    ).one_or_none()
    return None if body is None else orjson.loads(body)


def versions(
    session: orm.Session, instance_id: int, resource: str, object_id: str
) -> tuple[ObjectVersion, ...]:
    """Return the stored versions of an object, the newest first.

    :param resource: the resource's key, now or when the events were recorded.
    """
    query = (
        sa.select(StoredEvent)
        .join(Poller, Poller.id == StoredEvent.poller_id)
        .where(
            Poller.instance_id == instance_id,
            (Poller.resource == resource) | (StoredEvent.resource == resource),
            StoredEvent.object_id == object_id,
        )
        .order_by(StoredEvent.version.desc(), StoredEvent.id.desc())
        .limit(VERSIONS_MOST)
    )
    rows = {row.id: row for row in session.scalars(query)}
    entries = [entry for entry in entries_of(session, query) if entry.id in rows]
    # A key may have named another collection before: its objects have pollers of their own.
    bodies = {(row.poller_id, row.version): orjson.loads(row.body) for row in rows.values()}
    gone = {
        (row.poller_id, row.version) for row in rows.values() if row.event_type == EventType.DELETED
    }
    found = []
    for entry in entries:
        row = rows[entry.id]
        last = row.poller_id, row.version - 1
        before = None if last in gone else bodies.get(last)
        body = bodies[row.poller_id, row.version]
        comparable = entry.event_type == EventType.UPDATED and before is not None
        found.append(
            ObjectVersion(
                entry=entry,
                body=body,
                differences=differences(before, body) if comparable else None,
            )
        )
    return tuple(found)


def differences(before: t.Any, after: t.Any) -> tuple[Difference, ...]:
    """Return the differences between two representations, without volatile fields."""
    found = list(_walk(_without_volatile(before), _without_volatile(after), ""))
    return tuple(found[:DIFFERENCES_MOST])


def _without_volatile(body: t.Any) -> t.Any:
    if not isinstance(body, dict):
        return body
    return {name: value for name, value in body.items() if name not in VOLATILE}


def _walk(before: t.Any, after: t.Any, path: str) -> cabc.Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*after, *(name for name in before if name not in after)]:
            inner = f"{path}.{name}" if path else str(name)
            yield from _walk(before.get(name, _ABSENT), after.get(name, _ABSENT), inner)
    elif isinstance(before, list) and isinstance(after, list):
        for place in range(max(len(before), len(after))):
            yield from _walk(
                before[place] if place < len(before) else _ABSENT,
                after[place] if place < len(after) else _ABSENT,
                f"{path}[{place}]",
            )
    elif before is _ABSENT or after is _ABSENT:
        yield Difference(
            path=path,
            before=None if before is _ABSENT else before,
            after=None if after is _ABSENT else after,
            added=before is _ABSENT,
            removed=after is _ABSENT,
        )
    elif type(before) is not type(after) or before != after:
        yield Difference(path=path, before=before, after=after)
