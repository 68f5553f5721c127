"""The outbox: events and notifications on their way, who has claimed them, how they ended."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import datetime as dt
import secrets
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..errors import LeaseLostError
from ..models import (
    UNSETTLED,
    Attempt,
    Delivery,
    DeliveryStatus,
    Event,
    EventType,
    Notification,
    Subscription,
    Wait,
)
from .cursor import Stream
from .retry import Outcome, Verdict, decide

#: Events in one notification (Cloud Elements: 10 for polling, 20 for webhooks).
POLLING_BATCH = 10
WEBHOOK_BATCH = 20
#: Bytes of a callback's answer that an attempt keeps.
ANSWER_KEPT = 4096

_TRYABLE = (DeliveryStatus.CREATED, DeliveryStatus.RETRY)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How events become notifications."""

    #: Our own clock.
    now: dt.datetime
    batch_size: int = POLLING_BATCH


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One event that the ledger found."""

    object_id: str
    event_type: EventType
    version: int
    date: dt.datetime
    source: str
    body: bytes
    changed_fields: tuple[str, ...]
    #: The notification that told of the version before.
    after_notification: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One event as a notification carries it."""

    id: int
    object_id: str
    event_type: EventType
    version: int
    date: dt.datetime
    body: bytes
    changed_fields: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A delivery that is ours until its lease ends."""

    delivery_id: int
    #: Who holds it; a settlement under another token is refused.
    token: str
    subscription_id: int
    url: str
    #: Attempts before this one.
    attempts: int
    first_failed_at: dt.datetime | None
    instance_id: int
    resource: str
    notification_id: int
    event_id: str
    poll_date: dt.datetime
    created_at: dt.datetime
    events: tuple[EventRecord, ...]


def post(
    session: orm.Session,
    stream: Stream,
    changes: cabc.Sequence[Change],
    poll_date: dt.datetime,
    rules: Rules,
) -> dict[str, int]:
    """Write events, their notifications and deliveries; tell which notification has which object.

    Flushes, never commits.
    """
    if not changes:
        return {}
    batches = [
        changes[start : start + rules.batch_size]
        for start in range(0, len(changes), rules.batch_size)
    ]
    notifications = [
        Notification(
            instance_id=stream.instance_id,
            poller_id=stream.poller_id,
            event_id=secrets.token_urlsafe(15),
            resource=stream.resource,
            poll_date=poll_date,
            created_at=rules.now,
        )
        for _ in batches
    ]
    session.add_all(notifications)
    session.flush()
    told: dict[str, int] = {}
    rows: list[dict[str, t.Any]] = []
    for notification, batch in zip(notifications, batches, strict=True):
        for change in batch:
            told[change.object_id] = notification.id
            rows.append(_event_row(stream, notification.id, change, rules.now))
    session.execute(sa.insert(Event), rows)
    _address(session, stream.instance_id, notifications, batches, rules.now)
    return told


def _event_row(
    stream: Stream, notification_id: int, change: Change, now: dt.datetime
) -> dict[str, t.Any]:
    return {
        "instance_id": stream.instance_id,
        "poller_id": stream.poller_id,
        "notification_id": notification_id,
        "resource": stream.resource,
        "object_id": change.object_id,
        "version": change.version,
        "event_type": change.event_type.value,
        "date": change.date,
        "source": change.source,
        "changed_fields": list(change.changed_fields) or None,
        "body": change.body,
        "created_at": now,
    }


def _address(
    session: orm.Session,
    instance_id: int,
    notifications: cabc.Sequence[Notification],
    batches: cabc.Sequence[cabc.Sequence[Change]],
    now: dt.datetime,
) -> None:
    """Write a delivery for each notification and subscription, behind what it must not overtake."""
    subscriptions = session.scalars(
        sa.select(Subscription).where(Subscription.instance_id == instance_id, Subscription.current)
    ).all()
    for subscription in subscriptions:
        deliveries = [
            Delivery(
                notification_id=notification.id,
                subscription_id=subscription.id,
                status=DeliveryStatus.CREATED if subscription.active else DeliveryStatus.QUEUED,
                due_at=now if subscription.active else None,
                created_at=now,
                updated_at=now,
            )
            for notification in notifications
        ]
        session.add_all(deliveries)
        session.flush()
        _hold_back(session, subscription.id, deliveries, batches)


def _hold_back(
    session: orm.Session,
    subscription_id: int,
    deliveries: cabc.Sequence[Delivery],
    batches: cabc.Sequence[cabc.Sequence[Change]],
) -> None:
    earlier = {
        change.after_notification
        for batch in batches
        for change in batch
        if change.after_notification is not None
    }
    if not earlier:
        return
    rows = session.execute(
        sa.select(Delivery.notification_id, Delivery.id).where(
            Delivery.notification_id.in_(earlier),
            Delivery.subscription_id == subscription_id,
            Delivery.status.in_(UNSETTLED),
        )
    )
    open_ones = {notification_id: delivery_id for notification_id, delivery_id in rows}
    waits = {
        (delivery.id, open_ones[change.after_notification])
        for delivery, batch in zip(deliveries, batches, strict=True)
        for change in batch
        if change.after_notification in open_ones
    }
    if waits:
        session.execute(
            sa.insert(Wait), [{"delivery_id": one, "after_id": after} for one, after in waits]
        )


def claim(session: orm.Session, now: dt.datetime, lease: dt.timedelta, limit: int) -> list[Claimed]:
    """Take deliveries that are due, for the length of a lease.

    A delivery is not due while an earlier one with a version of the same object is unsettled.
    The caller commits before it delivers.
    """
    free = sa.or_(Delivery.lease_until.is_(None), Delivery.lease_until < now)
    before = orm.aliased(Delivery)
    held_back = (
        sa.select(Wait.after_id)
        .join(before, before.id == Wait.after_id)
        .where(Wait.delivery_id == Delivery.id, before.status.in_(UNSETTLED))
        .exists()
    )
    candidates = session.scalars(
        sa.select(Delivery.id)
        .where(Delivery.status.in_(_TRYABLE), Delivery.due_at <= now, free, ~held_back)
        .order_by(Delivery.due_at, Delivery.id)
        .limit(limit)
    ).all()
    if not candidates:
        return []
    token = secrets.token_hex(16)
    session.execute(
        sa.update(Delivery)
        .where(Delivery.id.in_(candidates), Delivery.status.in_(_TRYABLE), free)
        .values(lease_token=token, lease_until=now + lease)
        .execution_options(synchronize_session=False)
    )
    return _load_claimed(session, token)


def _load_claimed(session: orm.Session, token: str) -> list[Claimed]:
    rows = session.execute(
        sa.select(Delivery, Notification, Subscription.url)
        .join(Notification, Notification.id == Delivery.notification_id)
        .join(Subscription, Subscription.id == Delivery.subscription_id)
        .where(Delivery.lease_token == token)
        .order_by(Delivery.due_at, Delivery.id)
    ).all()
    events = _load_events(session, [notification.id for _, notification, _ in rows])
    return [
        Claimed(
            delivery_id=delivery.id,
            token=token,
            subscription_id=delivery.subscription_id,
            url=url,
            attempts=delivery.attempts,
            first_failed_at=delivery.first_failed_at,
            instance_id=notification.instance_id,
            resource=notification.resource,
            notification_id=notification.id,
            event_id=notification.event_id,
            poll_date=notification.poll_date,
            created_at=notification.created_at,
            events=tuple(events[notification.id]),
        )
        for delivery, notification, url in rows
    ]


def _load_events(
    session: orm.Session, notification_ids: cabc.Sequence[int]
) -> dict[int, list[EventRecord]]:
    events: dict[int, list[EventRecord]] = collections.defaultdict(list)
    query = sa.select(Event).where(Event.notification_id.in_(notification_ids)).order_by(Event.id)
    for event in session.scalars(query):
        events[event.notification_id].append(
            EventRecord(
                id=event.id,
                object_id=event.object_id,
                event_type=EventType(event.event_type),
                version=event.version,
                date=event.date,
                body=event.body,
                changed_fields=tuple(event.changed_fields or ()),
            )
        )
    return events


def settle(
    session: orm.Session, claimed: Claimed, outcome: Outcome, verdict: Verdict, now: dt.datetime
) -> None:
    """Write how an attempt ended and what comes next.

    :raises LeaseLostError: the lease ended and somebody else has taken the delivery over.
    """
    values: dict[str, t.Any] = {
        "status": verdict.status.value,
        "due_at": verdict.retry_at,
        "attempts": claimed.attempts + 1,
        "lease_token": None,
        "lease_until": None,
        "updated_at": now,
    }
    if not outcome.delivered:
        values["first_failed_at"] = claimed.first_failed_at or now
    changed = session.execute(
        sa.update(Delivery)
        .where(Delivery.id == claimed.delivery_id, Delivery.lease_token == claimed.token)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    if t.cast("sa.CursorResult[t.Any]", changed).rowcount != 1:
        raise LeaseLostError(f"delivery {claimed.delivery_id} was taken over by another worker")
    session.add(
        Attempt(
            delivery_id=claimed.delivery_id,
            at=now,
            seconds=outcome.seconds,
            status_code=outcome.status_code,
            reason=outcome.reason,
            answer=outcome.answer[:ANSWER_KEPT],
        )
    )
    if verdict.deactivate:
        deactivate(session, claimed.subscription_id, outcome.reason, now)


def deactivate(session: orm.Session, subscription_id: int, reason: str, now: dt.datetime) -> None:
    """Stop a subscription; what waits for it is queued until a person redelivers it."""
    session.execute(
        sa.update(Subscription)
        .where(Subscription.id == subscription_id)
        .values(active=False, reason=reason)
    )
    session.execute(
        sa.update(Delivery)
        .where(Delivery.subscription_id == subscription_id, Delivery.status.in_(_TRYABLE))
        .values(status=DeliveryStatus.QUEUED.value, due_at=None, updated_at=now)
        .execution_options(synchronize_session=False)
    )


def next_due(session: orm.Session) -> dt.datetime | None:
    """When the next delivery is due, whoever holds it."""
    return session.scalars(
        sa.select(sa.func.min(Delivery.due_at)).where(Delivery.status.in_(_TRYABLE))
    ).one()


__all__ = [
    "Change",
    "Claimed",
    "EventRecord",
    "Outcome",
    "Rules",
    "Verdict",
    "claim",
    "deactivate",
    "decide",
    "next_due",
    "post",
    "settle",
]
