"""Notifications and the state of their deliveries, as the documented API shows them."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import datetime as dt
import enum
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Attempt, Delivery, Instance, Notification, Poller, Subscription
from ..db.states import HTTP_CHANNELS, Channel, DeliveryStatus, PollerState
from ..delivery import destination, payload
from ..errors import NotFoundError
from ..events import notifications


class EventStatus(enum.StrEnum):
    """The delivery status of an event, in the documented terms."""

    NEW = "NEW"  #: not tried yet
    RECEIVED = "RECEIVED"  #: recorded, with no subscription
    DISPATCHED = "DISPATCHED"  #: tried without success
    CONSUMED = "CONSUMED"  #: handled by the application's own handlers
    NOTIFIED = "NOTIFIED"  #: delivered to the callback


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which notifications are requested; ``None`` does not restrict them."""

    organization_id: int
    instance_id: int | None = None
    instance_ids: cabc.Set[int] | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One notification."""

    notification_id: int
    event_id: str
    instance_id: int
    created_at: dt.datetime
    updated_at: dt.datetime
    status: EventStatus
    #: The body as it is sent, JSON.
    body: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Disposition:
    """The attempts to deliver one notification."""

    event_id: str
    instance_id: int
    messages: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PollerRecord:
    """One polled resource of one instance."""

    id: int
    instance_id: int
    resource: str
    url: str
    state: str
    failures: int
    error: str | None
    polled_at: dt.datetime | None
    created_at: dt.datetime


def records(
    session: orm.Session, scope: Scope, *, before_id: int | None = None, limit: int = 200
) -> list[Record]:
    """Return notifications, the newest first.

    :param before_id: only notifications with a lower id, for paging.
    """
    query = _query(scope).order_by(Notification.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(Notification.id < before_id)
    return _records(session, session.scalars(query).all())


def record(session: orm.Session, scope: Scope, event_id: str) -> Record:
    """Return one notification by its ``message.eventId``.

    :raises NotFoundError: it is not in the scope, or its retention has ended.
    """
    return _one(session, _query(scope, one=True).where(Notification.event_id == event_id))


def by_number(session: orm.Session, scope: Scope, notification_id: int) -> Record:
    """Return one notification by its ``id``.

    :raises NotFoundError: it is not in the scope, or its retention has ended.
    """
    return _one(session, _query(scope, one=True).where(Notification.id == notification_id))


def bodies(session: orm.Session, notification_ids: cabc.Collection[int]) -> dict[int, bytes]:
    """Return the bodies of notifications as they are sent."""
    rows = session.scalars(sa.select(Notification).where(Notification.id.in_(notification_ids)))
    return {row.notification_id: row.body for row in _records(session, rows.all())}


def dispositions(
    session: orm.Session, scope: Scope, *, before_id: int | None = None, limit: int = 200
) -> tuple[list[Disposition], int | None]:
    """Return attempts, the newest notification first, and the id above the next page."""
    query = _query(scope).order_by(Notification.id.desc()).limit(limit + 1)
    if before_id is not None:
        query = query.where(Notification.id < before_id)
    rows = session.scalars(query).all()
    shown = rows[:limit]
    messages: dict[int, list[str]] = collections.defaultdict(list)
    tried = session.execute(
        sa.select(
            Delivery.notification_id, Subscription.channel, Attempt.status_code, Attempt.reason
        )
        .join(Attempt, Attempt.delivery_id == Delivery.id)
        .join(Subscription, Subscription.id == Delivery.subscription_id)
        .where(Delivery.notification_id.in_([row.id for row in shown]))
        .order_by(Attempt.id)
    )
    for row in tried:
        messages[row.notification_id].append(_message(row.channel, row.status_code, row.reason))
    found = [
        Disposition(
            event_id=row.event_id,
            instance_id=row.instance_id,
            messages=tuple(messages.get(row.id, ())),
        )
        for row in shown
    ]
    return found, shown[-1].id if len(rows) > limit else None


def poller_records(
    session: orm.Session, scope: Scope, *, disabled_only: bool = False
) -> list[PollerRecord]:
    """Return the polled resources of the scope's instances."""
    query = (
        sa.select(Poller)
        .where(Poller.instance_id.in_(_instances(scope)), Poller.selected)
        .order_by(Poller.instance_id, Poller.id)
    )
    if disabled_only:
        query = query.where(Poller.state == PollerState.DISABLED)
    return [
        PollerRecord(
            id=row.id,
            instance_id=row.instance_id,
            resource=row.resource,
            url=row.configuration["url"],
            state=row.state,
            failures=row.failures,
            error=row.error,
            polled_at=row.polled_at,
            created_at=row.created_at,
        )
        for row in session.scalars(query)
    ]


def _message(channel: str, status_code: int | None, reason: str) -> str:
    succeeded = (
        reason == "handled" if channel == Channel.HANDLER else (status_code or 0) // 100 == 2
    )
    if channel == Channel.HANDLER:
        return "Completed execution" if succeeded else f"Error delivering event: {reason}"
    return "Event delivered" if succeeded else f"Error delivering event: {reason}"


def _instances(scope: Scope) -> sa.Select[t.Any]:
    query = sa.select(Instance.id).where(Instance.organization_id == scope.organization_id)
    if scope.instance_id is not None:
        query = query.where(Instance.id == scope.instance_id)
    if scope.instance_ids is not None:
        query = query.where(Instance.id.in_(scope.instance_ids))
    return query


def _query(scope: Scope, *, one: bool = False) -> sa.Select[t.Any]:
    """Select notifications of events of stores; with ``one``, also operational ones."""
    query = sa.select(Notification).where(Notification.instance_id.in_(_instances(scope)))
    if not one:
        query = query.where(Notification.kind.is_(None))
    if scope.since is not None:
        query = query.where(Notification.created_at >= scope.since)
    if scope.until is not None:
        query = query.where(Notification.created_at <= scope.until)
    return query


def _one(session: orm.Session, query: sa.Select[t.Any]) -> Record:
    found = _records(session, session.scalars(query).all())
    if not found:
        raise NotFoundError("No event found")
    return found[0]


def _records(session: orm.Session, rows: cabc.Sequence[Notification]) -> list[Record]:
    numbers = [row.id for row in rows]
    loaded = notifications.load(session, numbers)
    deliveries: dict[int, list[tuple[str, str, dt.datetime]]] = collections.defaultdict(list)
    for number, status, channel, updated_at in session.execute(
        sa.select(
            Delivery.notification_id, Delivery.status, Subscription.channel, Delivery.updated_at
        )
        .join(Subscription, Subscription.id == Delivery.subscription_id)
        .where(Delivery.notification_id.in_(numbers))
    ):
        deliveries[number].append((status, channel, updated_at))
    senders = {
        one: destination.load_sender(session, one) for one in {row.instance_id for row in rows}
    }
    return [
        Record(
            notification_id=row.id,
            event_id=row.event_id,
            instance_id=row.instance_id,
            created_at=row.created_at,
            updated_at=max((one[2] for one in deliveries[row.id]), default=row.created_at),
            status=_status(deliveries[row.id]),
            body=payload.build_body(loaded[row.id], senders[row.instance_id]),
        )
        for row in rows
    ]


def _status(deliveries: cabc.Sequence[tuple[str, str, dt.datetime]]) -> EventStatus:
    """Return the status of a notification.

    The instance's own callback takes precedence over others, and these over handlers.
    """
    if not deliveries:
        return EventStatus.RECEIVED
    of_channel = {
        chosen: [status for status, channel, _ in deliveries if channel == chosen]
        for chosen in HTTP_CHANNELS
    }
    callbacks = next(filter(None, of_channel.values()), [])
    if DeliveryStatus.DELIVERED in callbacks:
        return EventStatus.NOTIFIED
    statuses = callbacks or [status for status, _, _ in deliveries]
    if all(status == DeliveryStatus.DELIVERED for status in statuses):
        return EventStatus.CONSUMED
    if all(status == DeliveryStatus.CREATED for status in statuses):
        return EventStatus.NEW
    return EventStatus.DISPATCHED
