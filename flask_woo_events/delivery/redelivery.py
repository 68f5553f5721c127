"""Redelivery: list what was not delivered, and deliver it again."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Attempt, Delivery, Instance, Notification, Subscription
from ..db.states import HTTP_CHANNELS, UNSETTLED, Channel, DeliveryStatus
from ..events import delivery_states, operational, outbox
from ..instances import stops

#: The exact text of an index's condition, so that databases use the index.
_UNDELIVERED = Delivery.status != sa.literal_column("'delivered'")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySelection:
    """Which deliveries are selected; ``None`` selects all."""

    organization_id: int
    instance_id: int | None = None
    subscription_id: int | None = None
    notification_id: int | None = None
    #: Also the parts that were divided from the notification.
    with_parts: bool = True
    #: ``webhook`` selects every callback.
    channel: str | None = None
    status: str | None = None
    #: The callback's address, or the handler's name.
    url: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionEntry:
    """A subscription and its condition."""

    id: int
    instance_id: int
    channel: str
    url: str
    active: bool
    #: Nothing is sent until a person resumes it.
    paused: bool
    #: Why it is not active.
    reason: str | None
    #: False once another callback URL took its place.
    current: bool
    #: Consecutive failures, since when, and until when nothing is attempted.
    failures: int
    failing_since: dt.datetime | None
    held_until: dt.datetime | None
    created_at: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RedeliveryEntry:
    """One notification on its way to one subscription."""

    id: int
    notification_id: int
    #: The notification from which this one was divided, if it is a part.
    origin_id: int | None
    event_id: str
    resource: str
    status: str
    attempts: int
    due_at: dt.datetime | None
    created_at: dt.datetime
    updated_at: dt.datetime
    subscription: SubscriptionEntry


def subscriptions(
    session: orm.Session, organization_id: int, subscription_id: int | None = None
) -> list[SubscriptionEntry]:
    """Return the subscriptions of an organisation's instances, or one of them."""
    query = (
        sa.select(Subscription)
        .join(Instance, Instance.id == Subscription.instance_id)
        .where(Instance.organization_id == organization_id)
        .order_by(Subscription.id)
    )
    if subscription_id is not None:
        query = query.where(Subscription.id == subscription_id)
    return [_entry(one) for one in session.scalars(query)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The unsettled deliveries of one subscription."""

    subscription: SubscriptionEntry
    queued: int
    retry: int
    created: int
    #: When the oldest delivery was created.
    oldest_at: dt.datetime | None


def backlogs(session: orm.Session, organization_id: int, limit: int = 200) -> list[Backlog]:
    """Return subscriptions with a backlog, and inactive ones; the longest backlog first."""
    mine = sa.select(Instance.id).where(Instance.organization_id == organization_id)
    counted = (
        sa.select(
            Delivery.subscription_id.label("id"),
            *(
                sa.func.sum(sa.case((Delivery.status == status, 1), else_=0)).label(status.value)
                for status in UNSETTLED
            ),
            sa.func.min(Delivery.created_at).label("oldest"),
        )
        .join(Subscription, Subscription.id == Delivery.subscription_id)
        .where(Subscription.instance_id.in_(mine), Delivery.status.in_(UNSETTLED), _UNDELIVERED)
        .group_by(Delivery.subscription_id)
        .subquery()
    )
    # Not null: PostgreSQL would sort it first.
    waiting = sa.func.coalesce(sum((counted.c[one] for one in UNSETTLED), sa.literal(0)), 0)
    query = (
        sa.select(Subscription, counted)
        .outerjoin(counted, counted.c.id == Subscription.id)
        .where(
            Subscription.instance_id.in_(mine),
            Subscription.current,
            sa.or_(counted.c.id.is_not(None), sa.not_(Subscription.active)),
        )
        .order_by(waiting.desc(), Subscription.id)
        .limit(limit)
    )
    return [
        Backlog(
            subscription=_entry(row[0]),
            queued=int(row.queued or 0),
            retry=int(row.retry or 0),
            created=int(row.created or 0),
            oldest_at=row.oldest,
        )
        for row in session.execute(query)
    ]


def deliveries(
    session: orm.Session, wanted: DeliverySelection, *, after_id: int = 0, limit: int = 200
) -> list[RedeliveryEntry]:
    """Return deliveries in the order in which they were created.

    :param after_id: only later ones, for paging.
    """
    query = (
        sa.select(Delivery, Notification, Subscription)
        .join(Notification, Notification.id == Delivery.notification_id)
        .join(Subscription, Subscription.id == Delivery.subscription_id)
        .where(*_conditions(wanted), Delivery.id > after_id)
        .order_by(Delivery.id)
        .limit(limit)
    )
    return [
        RedeliveryEntry(
            id=delivery.id,
            notification_id=delivery.notification_id,
            origin_id=notification.origin_id,
            event_id=notification.event_id,
            resource=notification.resource,
            status=delivery.status,
            attempts=delivery.attempts,
            due_at=delivery.due_at,
            created_at=delivery.created_at,
            updated_at=delivery.updated_at,
            subscription=_entry(subscription),
        )
        for delivery, notification, subscription in session.execute(query)
    ]


def reasons(session: orm.Session, delivery_ids: cabc.Collection[int]) -> dict[int, str]:
    """Return the result of the last attempt of each delivery that has one."""
    rows = session.execute(
        sa.select(Attempt.delivery_id, Attempt.reason)
        .where(Attempt.delivery_id.in_(delivery_ids))
        .order_by(Attempt.id)
    )
    return {delivery_id: reason for delivery_id, reason in rows}


def redeliver(session: orm.Session, wanted: DeliverySelection, now: dt.datetime) -> int:
    """Make queued deliveries and retries due now, from their first attempt on; return how many.

    Their subscriptions become active again. The versions of one object keep their order.

    :param wanted: its status is ignored: all that is ``queued`` or ``retry`` is selected.
    """
    waiting = (DeliveryStatus.QUEUED, DeliveryStatus.RETRY)
    chosen = (
        sa.select(Delivery.subscription_id)
        .join(Subscription, Subscription.id == Delivery.subscription_id)
        .where(
            *_conditions(dataclasses.replace(wanted, status=None)),
            Delivery.status.in_(waiting),
            _UNDELIVERED,
        )
    )
    numbers = session.scalars(chosen.distinct()).all()
    # One that another callback has replaced meanwhile is not current any more.
    subscriptions = delivery_states.lock_subscriptions(
        session, Subscription.id.in_(numbers), Subscription.current
    )
    count = 0
    for one in subscriptions:
        mine = chosen.with_only_columns(Delivery.id).where(Delivery.subscription_id == one.id)
        ids = session.scalars(mine.order_by(Delivery.id)).all()
        delivery_states.redeliver(session, ids, now)
        count += len(ids)
    _activate(session, subscriptions, now)
    return count


def _activate(
    session: orm.Session, subscriptions: cabc.Iterable[Subscription], now: dt.datetime
) -> None:
    """Activate subscriptions, and end what held them."""
    for one in subscriptions:
        if not one.active:
            operational.record(session, one.instance_id, stops.resumed(one), now)
        one.active, one.reason = True, None
        one.failures, one.failing_since, one.held_until = 0, None, None
        one.next_due_at = now
    outbox.wake(session, subscriptions, now)


def _conditions(wanted: DeliverySelection) -> list[sa.ColumnElement[bool]]:
    own = sa.select(Instance.id).where(Instance.organization_id == wanted.organization_id)
    conditions: list[sa.ColumnElement[bool]] = [Subscription.instance_id.in_(own)]
    for column, value in (
        (Subscription.instance_id, wanted.instance_id),
        (Delivery.subscription_id, wanted.subscription_id),
        (Delivery.status, wanted.status),
        (Subscription.url, wanted.url),
    ):
        if value is not None:
            conditions.append(column == value)
    if wanted.channel is not None:
        callbacks = wanted.channel == Channel.WEBHOOK
        channels = HTTP_CHANNELS if callbacks else (wanted.channel,)
        conditions.append(Subscription.channel.in_(channels))
    if wanted.notification_id is not None:
        chosen = Delivery.notification_id == wanted.notification_id
        if wanted.with_parts:
            parts = sa.select(Notification.id).where(
                Notification.origin_id == wanted.notification_id
            )
            chosen = sa.or_(chosen, Delivery.notification_id.in_(parts))
        conditions.append(chosen)
    if wanted.status not in (None, DeliveryStatus.DELIVERED):
        conditions.append(_UNDELIVERED)
    return conditions


def _entry(row: Subscription) -> SubscriptionEntry:
    return SubscriptionEntry(
        id=row.id,
        instance_id=row.instance_id,
        channel=row.channel,
        url=row.url,
        active=row.active,
        paused=row.paused,
        reason=row.reason,
        current=row.current,
        failures=row.failures,
        failing_since=row.failing_since,
        held_until=row.held_until,
        created_at=row.created_at,
    )
