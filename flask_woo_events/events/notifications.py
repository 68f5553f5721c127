"""Notifications with their events, read from the database to be sent, and their ids."""

from __future__ import annotations

import base64
import collections
import collections.abc as cabc
import dataclasses
import datetime as dt
import hashlib
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Notification, StoredEvent
from ..db.states import Channel, EventType
from ..values.event_choice import EventChoice
from . import changes
from .changes import Changes

#: In place of a subscription's id: that of the callback URL of the instance's configuration, which
#: is another row after a change of the URL.
CONFIGURED = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One event as a notification carries it."""

    id: int
    object_id: str
    event_type: EventType
    version: int
    date: dt.datetime
    #: The object as the store returned it, JSON.
    body: bytes
    changed_fields: tuple[str, ...]
    #: For UPDATED, the values that changed, if they are known.
    changes: Changes | None = None
    #: The only subscription that gets it, see :func:`target_of`; ``None``: all.
    only_for: int | None = None

    def names(self, resource: str) -> tuple[str, ...]:
        """Return the derived names of an UPDATED, such as ``order.status_changed``."""
        if self.event_type is not EventType.UPDATED:
            return ()
        return changes.names(resource, self.changed_fields, self.changes)

    def is_wanted(self, resource: str, chosen: EventChoice) -> bool:
        """Return whether a subscription chooses the event."""
        fields = self.changed_fields
        return changes.is_chosen(chosen, resource, self.event_type, fields, self.changes)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NotificationRecord:
    """One notification with its events."""

    id: int
    #: ``message.eventId``.
    event_id: str
    instance_id: int
    resource: str
    #: When the poll that saw the events began, the store's clock.
    poll_date: dt.datetime
    created_at: dt.datetime
    #: The trace context of the span that recorded the events, if there was one.
    trace: str | None = None
    events: tuple[EventRecord, ...]
    #: Of an operational event, which is the only one; ``None`` for events of the store.
    kind: str | None = None

    def type_of(self, event: EventRecord) -> str:
        """Return the ``eventType`` of one of its events."""
        return self.kind or event.event_type.value


# Compiled once: every delivery executes them.
_NOTIFICATIONS = sa.select(
    Notification.id,
    Notification.event_id,
    Notification.instance_id,
    Notification.resource,
    Notification.poll_date,
    Notification.created_at,
    Notification.trace,
    Notification.kind,
).where(Notification.id.in_(sa.bindparam("ids", expanding=True)))
_COLUMNS = (
    StoredEvent.notification_id,
    StoredEvent.id,
    StoredEvent.object_id,
    StoredEvent.event_type,
    StoredEvent.version,
    StoredEvent.date,
    StoredEvent.body,
    StoredEvent.changed_fields,
    StoredEvent.changes,
    StoredEvent.only_for,
)
_EVENTS = (
    sa.select(*_COLUMNS)
    .where(StoredEvent.notification_id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(StoredEvent.id)
)
_SINGLE = (
    sa.select(
        *_COLUMNS,
        StoredEvent.instance_id,
        StoredEvent.resource,
        Notification.poll_date,
        Notification.created_at,
        Notification.kind,
    )
    .join(Notification, Notification.id == StoredEvent.notification_id)
    .where(StoredEvent.id.in_(sa.bindparam("ids", expanding=True)))
)


def load(
    session: orm.Session, notification_ids: cabc.Collection[int]
) -> dict[int, NotificationRecord]:
    """Return notifications by their ids, without those that were deleted."""
    events = _events(session, notification_ids)
    rows = session.execute(_NOTIFICATIONS, {"ids": list(notification_ids)})
    return {
        row.id: NotificationRecord(
            id=row.id,
            event_id=row.event_id,
            instance_id=row.instance_id,
            resource=row.resource,
            poll_date=row.poll_date,
            created_at=row.created_at,
            trace=row.trace,
            events=tuple(events[row.id]),
            kind=row.kind,
        )
        for row in rows
    }


def _events(
    session: orm.Session, notification_ids: cabc.Collection[int]
) -> dict[int, list[EventRecord]]:
    events: dict[int, list[EventRecord]] = collections.defaultdict(list)
    for row in session.execute(_EVENTS, {"ids": list(notification_ids)}):
        events[row.notification_id].append(_event(row))
    return events


def _event(row: t.Any) -> EventRecord:
    return EventRecord(
        id=row.id,
        object_id=row.object_id,
        event_type=EventType(row.event_type),
        version=row.version,
        date=row.date,
        body=row.body,
        changed_fields=tuple(row.changed_fields or ()),
        changes=Changes.from_json(row.changes),
        only_for=row.only_for,
    )


def load_single(
    session: orm.Session, event_ids: cabc.Collection[int]
) -> dict[int, NotificationRecord]:
    """Return events by their ids, each as a notification of its own.

    Its ids are those of the event: the same after a division, and never those of another event.
    """
    return {
        row.id: NotificationRecord(
            id=row.id,
            event_id=_single_id(row),
            instance_id=row.instance_id,
            resource=row.resource,
            poll_date=row.poll_date,
            created_at=row.created_at,
            events=(_event(row),),
            kind=row.kind,
        )
        for row in session.execute(_SINGLE, {"ids": list(event_ids)})
    }


def _single_id(row: t.Any) -> str:
    """Return 20 characters, as of other notifications, for one version of one object."""
    text = f"{row.instance_id}/{row.resource}/{row.object_id}/{row.version}"
    if row.only_for is not None:
        # Sent again, so that its receiver must not take it for a repetition.
        text += f"/{row.id}"
    return base64.urlsafe_b64encode(
        hashlib.blake2b(text.encode(), digest_size=15).digest()
    ).decode()


def target_of(channel: str, subscription_id: int) -> int:
    """Return what an event that one subscription alone gets names it by."""
    return CONFIGURED if channel == Channel.WEBHOOK else subscription_id


def chosen(
    record: NotificationRecord,
    wanted: cabc.Collection[int] | None,
    selection: EventChoice,
    target: int,
) -> NotificationRecord:
    """Return a notification with the events that a subscription wanted and still wants.

    :param target: the subscription, see :func:`target_of`.
    """
    ours = tuple(one for one in record.events if one.only_for in (None, target))
    if wanted is None and selection.selects_all:
        return (
            record if len(ours) == len(record.events) else dataclasses.replace(record, events=ours)
        )
    events = tuple(
        one
        for one in ours
        if (wanted is None or one.id in wanted) and one.is_wanted(record.resource, selection)
    )
    return dataclasses.replace(record, events=events)
