"""Search: lists of recorded events, for the console and the command line."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Attempt, Delivery, Instance, Notification, Poller, StoredEvent
from ..values.operational_kinds import RESOURCE
from ..values.validation import LARGEST_ID

#: Events that one search examines at most; the next page continues below them.
EXAMINED = 20_000
#: The same for a search for a text, which reads the bodies.
EXAMINED_BODIES = 2_000
#: How far the order of ids and the order of dates may differ.
SLACK = dt.timedelta(minutes=10)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events are selected; ``None`` selects all."""

    instance_id: int | None = None
    resource: str | None = None
    object_id: str | None = None
    notification_id: int | None = None
    organization_id: int | None = None
    event_type: str | None = None
    #: Of the delivery; empty for events without a delivery.
    status: str | None = None
    #: From the first to before the second date of recording, our own clock.
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    #: Contained in the object, case-insensitive.
    text: str = ""

    @property
    def _is_of_stores(self) -> bool:
        """Operational events are only shown to those who ask for them."""
        return self.resource != RESOURCE and self.notification_id is None

    def of_stores(self, query: t.Any) -> t.Any:
        """Leave the operational events out of a query for events, unless they are asked for."""
        return query.where(StoredEvent.kind.is_(None)) if self._is_of_stores else query


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """One page of a search."""

    entries: tuple[EventEntry, ...]
    #: Where the next page begins; ``None`` at the end.
    before: int | None
    #: How many events were examined, when that limit ended the page.
    examined: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EventEntry:
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
    #: The worst status of its deliveries; empty without a delivery.
    status: str
    #: Why the last attempt failed, while it is not delivered.
    error: str
    #: It is no event of the store.
    is_operational: bool = False


HEADINGS = ("id", "seen", "instance", "resource", "object", "version", "type", "source", "delivery")


def cells(entry: EventEntry) -> tuple[str, ...]:
    """Return an event as a row of a table under ``HEADINGS``."""
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


def newest(session: orm.Session, choice: EventFilter, limit: int) -> list[EventEntry]:
    """Return the last events, the newest first."""
    return entries_of(session, _query(choice).order_by(StoredEvent.id.desc()).limit(limit))


def search(
    session: orm.Session, choice: EventFilter, before_id: int | None, limit: int
) -> EventPage:
    """Return a page of the newest events that a filter selects.

    What no index finds is searched in a limited number of the newest events, so that a rare event
    among millions costs no more than a frequent one.

    :param before_id: only older ones, for the next page.
    """
    if "\0" in choice.text + (choice.object_id or "") + (choice.resource or ""):
        return EventPage(entries=(), before=None, examined=None)
    window = EXAMINED_BODIES if choice.text else EXAMINED
    newest_first = _scoped(session, choice)
    if before_id is not None:
        newest_first = newest_first.where(StoredEvent.id < before_id)
    inner = newest_first.order_by(StoredEvent.id.desc()).limit(window).subquery()
    query = _narrowed(session, sa.select(inner.c.id), inner, choice).order_by(inner.c.id.desc())
    ids = _holding(session, query, choice.text, limit + 1) if choice.text else None
    if ids is None:
        ids = list(session.scalars(query.limit(limit + 1)))
    shown = ids[:limit]
    entries = entries_of(
        session,
        sa.select(StoredEvent).where(StoredEvent.id.in_(shown)).order_by(StoredEvent.id.desc()),
    )
    if len(ids) > limit:
        return EventPage(entries=tuple(entries), before=shown[-1], examined=None)
    count, oldest = session.execute(
        sa.select(sa.func.count(), sa.func.min(inner.c.id)).select_from(inner)
    ).one()
    more = count == window
    return EventPage(
        entries=tuple(entries),
        before=oldest if more else None,
        examined=window if more else None,
    )


def first_notification_since(session: orm.Session, since: dt.datetime) -> int:
    """Return an id that is not above the id of any notification since then."""
    # A part has a later id than its date says.
    query = (
        sa.select(sa.func.coalesce(Notification.origin_id, Notification.id))
        .where(Notification.created_at >= since - SLACK)
        .order_by(Notification.created_at, Notification.id)
    )
    return session.scalars(query.limit(1)).one_or_none() or LARGEST_ID


def first_since(session: orm.Session, since: dt.datetime) -> int:
    """Return an id that is not above the id of any event since then."""
    notification_id = first_notification_since(session, since)
    if notification_id == LARGEST_ID:
        return LARGEST_ID
    first = sa.select(sa.func.min(StoredEvent.id)).where(
        StoredEvent.notification_id == notification_id
    )
    return session.scalar(first) or 0


def _scoped(session: orm.Session, choice: EventFilter) -> sa.Select[t.Any]:
    """Select the events that indexes can find."""
    columns = (
        StoredEvent.id,
        StoredEvent.notification_id,
        StoredEvent.resource,
        StoredEvent.event_type,
    )
    query: t.Any = choice.of_stores(sa.select(*columns, StoredEvent.created_at))
    mine: sa.Select[t.Any] = sa.select(Instance.id)
    if choice.organization_id is not None:
        mine = mine.where(Instance.organization_id == choice.organization_id)
        query = query.where(StoredEvent.instance_id.in_(mine))
    if choice.instance_id is not None:
        mine = mine.where(Instance.id == choice.instance_id)
        query = query.where(StoredEvent.instance_id == choice.instance_id)
    if choice.object_id is not None:
        pollers = sa.select(Poller.id).where(Poller.instance_id.in_(mine))
        query = query.where(
            StoredEvent.poller_id.in_(pollers), StoredEvent.object_id == choice.object_id
        )
    if choice.notification_id is not None:
        query = query.where(StoredEvent.notification_id == choice.notification_id)
    if choice.since is not None:
        query = query.where(StoredEvent.id >= first_since(session, choice.since))
    if choice.until is not None:
        query = query.where(StoredEvent.id < first_since(session, choice.until + 2 * SLACK))
    return t.cast("sa.Select[t.Any]", query)


def _narrowed(
    session: orm.Session, query: sa.Select[t.Any], inner: sa.Subquery, choice: EventFilter
) -> sa.Select[t.Any]:
    if choice.resource is not None:
        query = query.where(inner.c.resource == choice.resource)
    if choice.event_type is not None:
        query = query.where(inner.c.event_type == choice.event_type)
    if choice.since is not None:
        query = query.where(inner.c.created_at >= choice.since)
    if choice.until is not None:
        query = query.where(inner.c.created_at < choice.until)
    if choice.status is None:
        return query
    same = Delivery.notification_id == inner.c.notification_id
    if not choice.status:
        return query.where(sa.not_(sa.exists().where(same)))
    return query.where(sa.exists().where(same, Delivery.status == choice.status))


def _holding(session: orm.Session, query: sa.Select[t.Any], text: str, limit: int) -> list[int]:
    """Return the ids of events whose body contains a text, case-insensitive."""
    wanted = text.casefold()
    found: list[int] = []
    ids = list(session.scalars(query))
    for start in range(0, len(ids), 200):
        bodies = session.execute(
            sa.select(StoredEvent.id, StoredEvent.body)
            .where(StoredEvent.id.in_(ids[start : start + 200]))
            .order_by(StoredEvent.id.desc())
        )
        for event_id, body in bodies:
            if _holds(body, wanted):
                found.append(event_id)
        if len(found) >= limit:
            break
    return found[:limit]


def _holds(body: bytes, wanted: str) -> bool:
    """Return whether a body contains a casefolded text, case-insensitive."""
    if body.isascii():  # Most bodies; bytes need a third of the time.
        return wanted.isascii() and wanted.encode() in body.lower()
    return wanted in body.decode("utf-8", "replace").casefold()


def _query(choice: EventFilter) -> sa.Select[t.Any]:
    query: sa.Select[t.Any] = choice.of_stores(sa.select(StoredEvent))
    if choice.instance_id is not None:
        query = query.where(StoredEvent.instance_id == choice.instance_id)
    if choice.resource is not None:
        query = query.where(StoredEvent.resource == choice.resource)
    if choice.object_id is not None:
        query = query.where(StoredEvent.object_id == choice.object_id)
    return query


def entries_of(session: orm.Session, query: sa.Select[t.Any]) -> list[EventEntry]:
    """Return the entries of a query for events."""
    # Without the bodies: each may have a megabyte.
    query = query.options(orm.defer(StoredEvent.body), orm.defer(StoredEvent.changes))
    events: cabc.Sequence[StoredEvent] = session.scalars(query).all()
    status = _status(session, {event.notification_id for event in events})
    failed = {one for one, name in status.items() if name not in ("delivered", "created")}
    errors = _errors(session, failed) if failed else {}
    return [
        EventEntry(
            id=event.id,
            created_at=event.created_at,
            instance_id=event.instance_id,
            resource=event.resource,
            object_id=event.object_id,
            version=event.version,
            event_type=event.kind or event.event_type,
            date=event.date,
            source=event.source,
            notification_id=event.notification_id,
            changed_fields=tuple(event.changed_fields or ()),
            status=status.get(event.notification_id, ""),
            error=errors.get(event.notification_id, ""),
            is_operational=event.kind is not None,
        )
        for event in events
    ]


def _status(session: orm.Session, notification_ids: cabc.Collection[int]) -> dict[int, str]:
    severity = ("delivered", "created", "retry", "queued")
    status: dict[int, str] = {}
    query = sa.select(Delivery.notification_id, Delivery.status).where(
        Delivery.notification_id.in_(notification_ids)
    )
    for notification_id, one in session.execute(query):
        status[notification_id] = max(status.get(notification_id, one), one, key=severity.index)
    return status


def _errors(session: orm.Session, notification_ids: cabc.Collection[int]) -> dict[int, str]:
    """Return the reason of each notification's last attempt."""
    rows = session.execute(
        sa.select(Delivery.notification_id, Attempt.reason)
        .join(Attempt, Attempt.delivery_id == Delivery.id)
        .where(Delivery.notification_id.in_(notification_ids))
        .order_by(Attempt.id)
    )
    return {notification_id: reason for notification_id, reason in rows}
