"""The log: events as they were recorded, for people to read."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

import orjson
import sqlalchemy as sa
from sqlalchemy import orm

from ..errors import NotFoundError
from ..models import Attempt, Delivery, Event


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which events are asked for; ``None`` leaves a question open."""

    instance_id: int | None = None
    resource: str | None = None
    object_id: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event."""

    id: int
    created_at: dt.datetime
    instance_id: int
    resource: str
    object_id: str
    version: int
    event_type: str
    date: dt.datetime
    source: str
    notification_id: int
    changed_fields: tuple[str, ...]
    #: Status of its deliveries, the most troubled first; empty without a callback.
    status: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEntry:
    """One attempt to deliver it."""

    at: dt.datetime
    seconds: float
    status_code: int | None
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """One event with its object and the attempts to deliver it."""

    entry: Entry
    body: t.Any
    attempts: tuple[AttemptEntry, ...]


HEADINGS = ("id", "seen", "instance", "resource", "object", "version", "type", "source", "delivery")


def cells(entry: Entry) -> tuple[str, ...]:
    """One line of a table under ``HEADINGS``."""
    return (
        str(entry.id),
        f"{entry.created_at:%Y-%m-%d %H:%M:%S}",
        str(entry.instance_id),
        entry.resource,
        entry.object_id,
        str(entry.version),
        entry.event_type,
        entry.source,
        entry.status or "-",
    )


def newest(session: orm.Session, choice: Choice, limit: int) -> list[Entry]:
    """The last events, the newest first."""
    return _entries(session, _query(choice).order_by(Event.id.desc()).limit(limit))


def after(session: orm.Session, choice: Choice, event_id: int, limit: int = 500) -> list[Entry]:
    """Events that came after one, the oldest first."""
    query = _query(choice).where(Event.id > event_id).order_by(Event.id).limit(limit)
    return _entries(session, query)


def last_id(session: orm.Session) -> int:
    """Id of the newest event, 0 without one."""
    return session.scalars(sa.select(sa.func.max(Event.id))).one() or 0


def detail(session: orm.Session, event_id: int) -> Detail:
    """One event with all that is known of it.

    :raises NotFoundError: there is no such event, or its retention is over.
    """
    event = session.get(Event, event_id)
    if event is None:
        raise NotFoundError(f"There is no event {event_id}; see: flask woo events list")
    attempts = session.scalars(
        sa.select(Attempt)
        .join(Delivery, Delivery.id == Attempt.delivery_id)
        .where(Delivery.notification_id == event.notification_id)
        .order_by(Attempt.id)
    )
    return Detail(
        entry=_entries(session, sa.select(Event).where(Event.id == event_id))[0],
        body=orjson.loads(event.body),
        attempts=tuple(
            AttemptEntry(
                at=one.at, seconds=one.seconds, status_code=one.status_code, reason=one.reason
            )
            for one in attempts
        ),
    )


def _query(choice: Choice) -> sa.Select[t.Any]:
    query = sa.select(Event)
    if choice.instance_id is not None:
        query = query.where(Event.instance_id == choice.instance_id)
    if choice.resource is not None:
        query = query.where(Event.resource == choice.resource)
    if choice.object_id is not None:
        query = query.where(Event.object_id == choice.object_id)
    return query


def _entries(session: orm.Session, query: sa.Select[t.Any]) -> list[Entry]:
    events: cabc.Sequence[Event] = session.scalars(query).all()
    status = _status(session, {event.notification_id for event in events})
    return [
        Entry(
            id=event.id,
            created_at=event.created_at,
            instance_id=event.instance_id,
            resource=event.resource,
            object_id=event.object_id,
            version=event.version,
            event_type=event.event_type,
            date=event.date,
            source=event.source,
            notification_id=event.notification_id,
            changed_fields=tuple(event.changed_fields or ()),
            status=status.get(event.notification_id, ""),
        )
        for event in events
    ]


def _status(session: orm.Session, notification_ids: cabc.Collection[int]) -> dict[int, str]:
    trouble = ("delivered", "created", "retry", "queued")
    status: dict[int, str] = {}
    query = sa.select(Delivery.notification_id, Delivery.status).where(
        Delivery.notification_id.in_(notification_ids)
    )
    for notification_id, one in session.execute(query):
        status[notification_id] = max(status.get(notification_id, one), one, key=trouble.index)
    return status
