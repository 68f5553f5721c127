"""The outbox: events, the notifications that tell them, and to whom each of these goes."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import secrets
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.database import Work, announce
from ..db.models import (
    UNSETTLED,
    Channel,
    Delivery,
    DeliveryStatus,
    EventType,
    Notification,
    StoredEvent,
    Subscription,
    Wait,
)
from ..handlers import Route

#: Events in one notification (Cloud Elements: 10 for polling, 20 for webhooks).
POLLING_BATCH = 10
WEBHOOK_BATCH = 20


class Origin(t.Protocol):
    """Where events come from: one resource of one instance."""

    @property
    def poller_id(self) -> int: ...
    @property
    def instance_id(self) -> int: ...
    @property
    def resource(self) -> str: ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How events become notifications."""

    #: Our own clock.
    now: dt.datetime
    batch_size: int = POLLING_BATCH
    #: Handlers of the application.
    routes: tuple[Route, ...] = ()


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


def post(
    session: orm.Session,
    origin: Origin,
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
            instance_id=origin.instance_id,
            poller_id=origin.poller_id,
            event_id=secrets.token_urlsafe(15),
            resource=origin.resource,
            poll_date=poll_date,
            size=len(batch),
            created_at=rules.now,
        )
        for batch in batches
    ]
    session.add_all(notifications)
    session.flush()
    told: dict[str, int] = {}
    rows: list[dict[str, t.Any]] = []
    for notification, batch in zip(notifications, batches, strict=True):
        for change in batch:
            told[change.object_id] = notification.id
            rows.append(_event_row(origin, notification.id, change, rules.now))
    session.execute(sa.insert(StoredEvent), rows)
    _address(session, origin, notifications, batches, rules)
    return told


def _event_row(
    origin: Origin, notification_id: int, change: Change, now: dt.datetime
) -> dict[str, t.Any]:
    return {
        "instance_id": origin.instance_id,
        "poller_id": origin.poller_id,
        "notification_id": notification_id,
        "resource": origin.resource,
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
    origin: Origin,
    notifications: cabc.Sequence[Notification],
    batches: cabc.Sequence[cabc.Sequence[Change]],
    rules: Rules,
) -> None:
    """Write a delivery for each notification and subscription, behind what it must not overtake."""
    for subscription, wanted in _subscriptions(session, origin, rules):
        taken = [
            (notification, batch)
            for notification, batch in zip(notifications, batches, strict=True)
            if wanted is None or any(wanted.wants(origin.resource, one.event_type) for one in batch)
        ]
        deliveries = [
            Delivery(
                notification_id=notification.id,
                subscription_id=subscription.id,
                status=DeliveryStatus.CREATED if subscription.active else DeliveryStatus.QUEUED,
                due_at=rules.now if subscription.active else None,
                created_at=rules.now,
                updated_at=rules.now,
            )
            for notification, _ in taken
        ]
        session.add_all(deliveries)
        session.flush()
        _hold_back(session, subscription.id, deliveries, [batch for _, batch in taken])
        if deliveries:
            wake(session, [subscription], rules.now)


def _subscriptions(
    session: orm.Session, origin: Origin, rules: Rules
) -> cabc.Iterator[tuple[Subscription, Route | None]]:
    """Who is told of an instance's events, and which of them a handler wants."""
    query = sa.select(Subscription).where(
        Subscription.instance_id == origin.instance_id, Subscription.current
    )
    known = session.scalars(query.order_by(Subscription.id).with_for_update()).all()
    for one in known:
        if one.channel == Channel.WEBHOOK:
            yield one, None
    handlers = {one.url: one for one in known if one.channel == Channel.HANDLER}
    for route in rules.routes:
        if route.resource not in (None, origin.resource):
            continue
        handler = handlers.get(route.name)
        if handler is None:
            handler = Subscription(
                instance_id=origin.instance_id,
                channel=Channel.HANDLER,
                url=route.name,
                created_at=rules.now,
            )
            session.add(handler)
            session.flush()
        yield handler, route


def wake(
    session: orm.Session, subscriptions: cabc.Iterable[Subscription], now: dt.datetime
) -> None:
    """Have subscriptions looked at, at once or when their hold ends; in one commit with the cause.

    :param subscriptions: rows that this transaction has locked, so that a worker that looks at
        the same time waits for the cause.
    """
    announce(session, Work.DELIVERIES)
    for one in subscriptions:
        if one.active:
            at = max(one.held_until or now, now)
            one.next_due_at = at if one.next_due_at is None else min(one.next_due_at, at)


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
