"""The history of one object: its stored versions, and the differences between them."""

from __future__ import annotations

import dataclasses
import typing as t

import orjson
import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Poller, StoredEvent
from ..db.states import EventType
from ..events import changes
from ..events.changes import Changes
from ..events.search import EventEntry, entries_of
from ..sync.ledger import digest

#: The most versions shown.
VERSIONS_MOST = 100
#: The most differences shown of one version.
DIFFERENCES_MOST = 200


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One value that changed."""

    #: For example ``line_items[12].quantity``.
    path: str
    before: t.Any
    after: t.Any
    #: Whether the value exists only after, or only before, the change.
    added: bool = False
    removed: bool = False
    #: Whether the values are too long to be kept.
    too_long: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Differences:
    """The values that changed."""

    each: tuple[Difference, ...]
    #: Whether there are others, or some are too long.
    truncated: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ObjectVersion:
    """One version of an object."""

    entry: EventEntry
    body: t.Any
    #: Differences from the previous version; ``None`` if they are not known.
    differences: Differences | None


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
            StoredEvent.kind.is_(None),
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
        updated = entry.event_type == EventType.UPDATED
        recorded = Changes.from_json(row.changes)
        found.append(
            ObjectVersion(
                entry=entry,
                body=body,
                differences=differences_of(recorded, before, body) if updated else None,
            )
        )
    return tuple(found)


def differences(before: t.Any, after: t.Any) -> Differences:
    """Return the differences between two representations, without volatile fields."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return Differences((), truncated=False)
    kept = digest.current().kept
    return _shown(changes.between(kept(before), kept(after), unordered=digest.UNORDERED_PATHS))


def differences_of(event: Changes | None, before: t.Any | None, after: t.Any) -> Differences | None:
    """Return what an UPDATED changed.

    :param event: what was recorded with it.
    :param before: the stored version before, which counts where that is not complete.
    :return: ``None`` if neither is known.
    """
    if before is not None and (event is None or event.truncated):
        return differences(before, after)
    return None if event is None else _shown(event)


def _shown(found: Changes) -> Differences:
    shown = tuple(
        Difference(
            path=path,
            before=value.get("before"),
            after=value.get("after"),
            added=value.keys() == {"after"},
            removed=value.keys() == {"before"},
            too_long=not value,
        )
        for path, value in found.values.items()
    )
    return Differences(shown[:DIFFERENCES_MOST], found.truncated or len(shown) > DIFFERENCES_MOST)
