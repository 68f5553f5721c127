"""Replay: events that were recorded, told once more, to their subscription or elsewhere."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

import requests
import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import (
    UNSETTLED,
    Channel,
    Delivery,
    DeliveryStatus,
    Instance,
    Notification,
    StoredEvent,
    Subscription,
)
from ..events import notifications, outbox
from ..events.notifications import NotificationRecord
from ..http.exchange import Timeouts
from . import send
from .payload import Sender
from .retry import AttemptOutcome
from .send import CallbackCredentials


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySelection:
    """Which events are told again; ``None`` leaves a question open."""

    #: Of this organisation only; ``None``: of all, for the command line.
    organization_id: int | None = None
    event_ids: tuple[int, ...] = ()
    instance_id: int | None = None
    resource: str | None = None
    object_id: str | None = None
    #: ``CREATED``, ``UPDATED``, ``DELETED``; empty: all.
    types: tuple[str, ...] = ()
    #: Recorded from then on, and before; our own clock.
    since: dt.datetime | None = None
    until: dt.datetime | None = None


def plan(session: orm.Session, choice: ReplaySelection, limit: int) -> list[NotificationRecord]:
    """What would be told, with those of its events that were chosen, as it was recorded.

    :param limit: notifications at most.
    """
    query = (
        sa.select(Notification.id)
        .where(sa.select(StoredEvent.id).where(_belongs(), *_conditions(choice)).exists())
        .order_by(Notification.id)
        .limit(limit)
    )
    if choice.instance_id is not None:
        query = query.where(Notification.instance_id == choice.instance_id)
    if choice.organization_id is not None:
        own = sa.select(Instance.id).where(Instance.organization_id == choice.organization_id)
        query = query.where(Notification.instance_id.in_(own))
    if choice.since is not None:
        query = query.where(Notification.created_at >= choice.since)
    if choice.until is not None:
        query = query.where(Notification.created_at < choice.until)
    numbers = session.scalars(query).all()
    chosen = set(
        session.scalars(
            sa.select(StoredEvent.id).where(
                StoredEvent.notification_id.in_(numbers), *_conditions(choice)
            )
        )
    )
    found = notifications.load(session, numbers)
    return [
        dataclasses.replace(
            found[number],
            events=tuple(event for event in found[number].events if event.id in chosen),
        )
        for number in numbers
    ]


def again(
    session: orm.Session, planned: cabc.Sequence[NotificationRecord], now: dt.datetime
) -> int:
    """Send whole notifications once more to where they go today; returns how many deliveries.

    They keep their ids, so that a receiver that remembers them can tell. What is on its way
    anyhow is left as it is. The worker sends them.
    """
    instances = {one.instance_id for one in planned}
    current = session.scalars(
        sa.select(Subscription)
        .where(
            Subscription.instance_id.in_(instances),
            Subscription.current,
            Subscription.channel == Channel.WEBHOOK,
        )
        .order_by(Subscription.id)
        .with_for_update()
    ).all()
    count = 0
    for subscription in current:
        numbers = [one.id for one in planned if one.instance_id == subscription.instance_id]
        count += _once_more(session, subscription, numbers, now)
    outbox.wake(session, current, now)
    return count


def _once_more(
    session: orm.Session, subscription: Subscription, numbers: cabc.Sequence[int], now: dt.datetime
) -> int:
    rows = session.scalars(
        sa.select(Delivery).where(
            Delivery.subscription_id == subscription.id, Delivery.notification_id.in_(numbers)
        )
    )
    known = {row.notification_id: row for row in rows}
    count = 0
    for number in numbers:
        row = known.get(number)
        if row is None:
            row = Delivery(notification_id=number, subscription_id=subscription.id, created_at=now)
            session.add(row)
        elif row.status in UNSETTLED:
            continue
        row.status = DeliveryStatus.CREATED if subscription.active else DeliveryStatus.QUEUED
        row.due_at = now if subscription.active else None
        row.attempts, row.first_failed_at, row.handled = 0, None, None
        row.updated_at = now
        count += 1
    session.flush()
    return count


def elsewhere(
    http: requests.Session,
    planned: NotificationRecord,
    url: str,
    sender: Sender,
    keys: tuple[str, ...],
    *,
    timeouts: Timeouts,
    now: dt.datetime,
) -> AttemptOutcome:
    """Post the chosen events of one notification to another address, once; nothing is written.

    They are signed as always. The headers and the password of the instance's own callback are
    not sent: they are for nobody else.
    """
    target = CallbackCredentials(signature_keys=keys)
    return send.attempt(http, planned, url, sender, target, timeouts=timeouts, now=now)


def _belongs() -> sa.ColumnElement[bool]:
    return StoredEvent.notification_id == Notification.id


def _conditions(choice: ReplaySelection) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if choice.event_ids:
        conditions.append(StoredEvent.id.in_(choice.event_ids))
    if choice.resource is not None:
        conditions.append(StoredEvent.resource == choice.resource)
    if choice.object_id is not None:
        conditions.append(StoredEvent.object_id == choice.object_id)
    if choice.types:
        conditions.append(StoredEvent.event_type.in_(choice.types))
    return conditions
