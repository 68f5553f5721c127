"""Claims: which worker attempts which deliveries, and until when."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import secrets

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.leases import is_free
from ..db.models import Delivery, Notification, StoredEvent, Subscription, UtcDateTime, Wait
from ..db.states import DeliveryStatus
from ..events import delivery_states, notifications, subscription_options
from ..events.delivery_order import holds_back
from ..events.delivery_states import TRYABLE
from ..events.notifications import NotificationRecord
from ..events.outbox import wake
from ..events.subscription_options import SubscriptionOptions
from ..instances import configuration
from ..instances.requests import format_of
from ..values.cloud_elements import Format
from ..values.event_choice import EventChoice
from . import rate
from .retry import HELD_AFTER


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedDelivery:
    """A delivery that this process may attempt until the lease ends."""

    delivery_id: int
    #: Names the lease; a result under another token is refused.
    token: str
    subscription_id: int
    channel: str
    #: The callback's address, or the handler's name.
    url: str
    #: Consecutive failures of the subscription, over all its deliveries.
    failures: int = 0
    #: Attempts before this one.
    attempts: int
    #: Its place among the deliveries of the subscription.
    due_at: dt.datetime
    #: Ids of events that a handler, or a receiver of single events, has accepted already.
    handled: frozenset[int] = frozenset()
    #: What the subscription gets, and how it is sent.
    options: SubscriptionOptions = subscription_options.NONE
    #: With the events that the subscription wants.
    notification: NotificationRecord


_NOW = sa.bindparam("now", type_=UtcDateTime())
_SUBSCRIPTION = sa.bindparam("subscription", type_=sa.BigInteger())
#: A lease that this process holds is running, also if it could not be renewed in time.
_FREE = sa.and_(
    is_free(Delivery.lease_until, _NOW),
    sa.or_(
        Delivery.lease_token.is_(None),
        Delivery.lease_token.not_in(sa.bindparam("held", expanding=True)),
    ),
)
_BEFORE = orm.aliased(Delivery)
_HELD_BACK = (
    sa.select(Wait.after_id)
    .join(_BEFORE, _BEFORE.id == Wait.after_id)
    .where(Wait.delivery_id == Delivery.id, holds_back(_BEFORE))
    .exists()
)


def _due(status: DeliveryStatus) -> sa.Subquery:
    # One status at a time, so that an index has them in order: of a hundred thousand that wait,
    # only these are read.
    conditions = [Delivery.subscription_id == _SUBSCRIPTION, Delivery.status == status]
    if status is DeliveryStatus.RETRY:
        conditions.append(Delivery.due_at <= _NOW)
    return (
        sa.select(Delivery.id, Delivery.due_at)
        .where(*conditions, _FREE, ~_HELD_BACK)
        .order_by(Delivery.due_at, Delivery.id)
        .limit(_MOST)
        .subquery()
    )


_MOST = sa.bindparam("most", type_=sa.Integer())
_EITHER = sa.union_all(*(sa.select(_due(status)) for status in TRYABLE)).subquery()
#: Deliveries of one subscription that may be attempted now, in the order of their due dates.
_DUE = sa.select(_EITHER.c.id).order_by(_EITHER.c.due_at, _EITHER.c.id).limit(_MOST)
_NEXT_DUE = sa.select(sa.func.min(Subscription.next_due_at)).where(
    Subscription.next_due_at > _NOW, Subscription.active, sa.not_(Subscription.paused)
)
#: How many deliveries are leased, and when the first of the leases ends.
_RUNNING = sa.select(sa.func.count(), sa.func.min(Delivery.lease_until)).where(
    Delivery.subscription_id == _SUBSCRIPTION, Delivery.lease_until >= _NOW
)
#: The number of events that deliveries hold, and which of them are delivered already, and wanted.
_SIZES = (
    sa.select(Notification.size, Delivery.handled, Delivery.wanted)
    .join(Delivery, Delivery.notification_id == Notification.id)
    .where(Delivery.id.in_(sa.bindparam("ids", expanding=True)))
)
#: Subscriptions that are due, the longest due first.
_DUE_SUBSCRIPTIONS = (
    sa.select(Subscription)
    .where(
        Subscription.next_due_at <= _NOW,
        Subscription.active,
        sa.not_(Subscription.paused),
        Subscription.id.not_in(sa.bindparam("busy", expanding=True)),
    )
    .order_by(Subscription.next_due_at, Subscription.id)
    .limit(sa.bindparam("most", type_=sa.Integer()))
    .with_for_update(skip_locked=True)
)


def _first_due(status: DeliveryStatus) -> sa.ScalarSelect[dt.datetime | None]:
    return (
        sa.select(sa.func.min(Delivery.due_at))
        .where(
            Delivery.subscription_id == _SUBSCRIPTION,
            Delivery.status == status,
            Delivery.due_at > _NOW,
        )
        .scalar_subquery()
    )


#: When a subscription is due again of which nothing more may be attempted now: when its next
#: delivery is due, or when a lease ends, whose worker may have been killed.
_NEXT = sa.select(
    *(_first_due(status) for status in TRYABLE),
    sa.select(sa.func.min(Delivery.lease_until))
    .where(Delivery.subscription_id == _SUBSCRIPTION, Delivery.lease_until.is_not(None))
    .scalar_subquery(),
)


def claim(
    session: orm.Session,
    now: dt.datetime,
    lease: dt.timedelta,
    limit: int,
    *,
    busy: cabc.Collection[int] = (),
    held: cabc.Collection[str] = (),
) -> list[ClaimedDelivery]:
    """Lease deliveries that are due, and return them.

    A delivery is not due while an earlier one with a version of the same object is unsettled.
    Each due subscription is locked and queried by itself, so that a long backlog of one costs
    the others nothing. The caller commits before it delivers.

    :param limit: deliveries at most; of a subscription that fails, only one is attempted.
    :param busy: subscriptions that are left out.
    :param held: tokens of claims whose attempts run in this process.
    """
    parameters = {"now": now, "busy": [0, *busy], "most": limit}
    taken: list[int] = []
    for subscription in session.scalars(_DUE_SUBSCRIPTIONS, parameters).all():
        if len(taken) >= limit:
            break
        most = limit - len(taken)
        options = subscription_options.read(subscription.options)
        if options.is_limited:
            taken += _take_limited(session, subscription, options, now, lease, most, held)
        else:
            taken += _take_either(session, subscription, now, lease, most, held)
    if not taken:
        return []
    token = secrets.token_hex(16)
    delivery_states.lease(session, taken, token, now + lease)
    return _load(session, token)


def next_due(session: orm.Session, now: dt.datetime) -> dt.datetime | None:
    """Return when the next subscription becomes due."""
    return session.scalar(_NEXT_DUE, {"now": now})


def _take_limited(
    session: orm.Session,
    subscription: Subscription,
    options: SubscriptionOptions,
    now: dt.datetime,
    lease: dt.timedelta,
    most: int,
    held: cabc.Collection[str],
) -> cabc.Sequence[int]:
    """Take no more than the limits of a subscription allow, over all workers."""
    speed, until = options.rate, subscription.rate_used_until
    if options.concurrency is not None:
        names = {"subscription": subscription.id, "now": now}
        running, ends = session.execute(_RUNNING, names).one()
        most = min(most, options.concurrency - running)
        if most <= 0:
            # The end of an attempt makes it due, or that of the lease of a killed worker.
            subscription.next_due_at = ends
            return ()
    if speed is not None:
        most = min(most, rate.allowed(speed, until, now))
        if most <= 0:
            subscription.next_due_at = rate.next_at(speed, until, now)
            return ()
    ids = _take_either(session, subscription, now, lease, most, held)
    if speed is not None and ids:
        count = _requests(session, subscription, options, speed, ids)
        subscription.rate_used_until = until = rate.used(speed, until, now, count)
    if len(ids) == most and not _is_failing(subscription):
        subscription.next_due_at = now if speed is None else rate.next_at(speed, until, now)
    return ids


def _requests(
    session: orm.Session,
    subscription: Subscription,
    options: SubscriptionOptions,
    speed: float,
    ids: cabc.Sequence[int],
) -> int:
    """Return how many requests the next attempts of deliveries make at most."""
    kind = options.format
    if kind is None:
        entries = configuration.entries(session, subscription.instance_id)
        kind = format_of({one.key: one.value for one in entries})
    if kind is not Format.CLOUDEVENTS:
        return len(ids)
    count = 0
    for size, handled, wanted in session.execute(_SIZES, {"ids": ids}):
        left = size if wanted is None else len(wanted)
        count += rate.requests_of_attempt(speed, max(1, left - len(handled or ())))
    return count


def _is_failing(subscription: Subscription) -> bool:
    """Return whether only one delivery of a subscription is attempted at a time."""
    return subscription.failures >= HELD_AFTER


def _take_either(
    session: orm.Session,
    subscription: Subscription,
    now: dt.datetime,
    lease: dt.timedelta,
    most: int,
    held: cabc.Collection[str],
) -> cabc.Sequence[int]:
    if _is_failing(subscription):
        return _probe(session, subscription, now, lease, held)
    return _take(session, subscription, now, lease, most, held)


def _take(
    session: orm.Session,
    subscription: Subscription,
    now: dt.datetime,
    lease: dt.timedelta,
    most: int,
    held: cabc.Collection[str],
) -> cabc.Sequence[int]:
    names = {"subscription": subscription.id, "now": now}
    ids = session.scalars(_DUE, names | {"most": most, "held": ["", *held]}).all()
    if len(ids) < most:
        # Nothing more is due. Deliveries that are held back become due when the earlier one ends.
        dates = [date for date in session.execute(_NEXT, names).one() if date is not None]
        if ids:
            dates.append(now + lease)
        subscription.next_due_at = min(dates, default=None)
    return ids


def _probe(
    session: orm.Session,
    subscription: Subscription,
    now: dt.datetime,
    lease: dt.timedelta,
    held: cabc.Collection[str],
) -> cabc.Sequence[int]:
    """Take one delivery of a failing subscription, or none while another one is attempted."""
    names = {"subscription": subscription.id, "now": now}
    leased = session.execute(_NEXT, names).one()[-1]
    if leased is not None and leased >= now:
        subscription.next_due_at = leased
        return ()
    ids = _take(session, subscription, now, lease, 1, held)
    if ids:
        subscription.next_due_at = now + lease
    return ids


_CLAIMED = (
    sa.select(
        Delivery.id,
        Delivery.notification_id,
        Delivery.subscription_id,
        Subscription.channel,
        Subscription.url,
        Subscription.failures,
        Delivery.attempts,
        Delivery.due_at,
        Delivery.handled,
        Delivery.wanted,
        Subscription.options,
    )
    .join(Subscription, Subscription.id == Delivery.subscription_id)
    .where(Delivery.lease_token == sa.bindparam("token"))
    .order_by(Delivery.due_at, Delivery.id)
)


def _load(session: orm.Session, token: str) -> list[ClaimedDelivery]:
    rows = session.execute(_CLAIMED, {"token": token}).all()
    records = notifications.load(session, [row.notification_id for row in rows])
    kept = {row.subscription_id: row.options for row in rows}
    options = {number: subscription_options.read(one) for number, one in kept.items()}
    return [
        ClaimedDelivery(
            delivery_id=row.id,
            token=token,
            subscription_id=row.subscription_id,
            channel=row.channel,
            url=row.url,
            failures=row.failures,
            attempts=row.attempts,
            due_at=row.due_at,
            handled=frozenset(row.handled or ()),
            options=options[row.subscription_id],
            notification=notifications.chosen(
                records[row.notification_id],
                row.wanted,
                options[row.subscription_id].choice,
                notifications.target_of(row.channel, row.subscription_id),
            ),
        )
        for row in rows
    ]


def superseded(
    session: orm.Session, claimed: ClaimedDelivery, chosen: EventChoice
) -> frozenset[int]:
    """Return the ids of its events whose objects have a later version waiting for delivery.

    :param chosen: the events that the subscription gets. One that wants changes of some fields
        gets each of them, since a later version may have changed others.
    """
    if chosen.fields:
        return frozenset()
    later, behind = orm.aliased(StoredEvent), orm.aliased(Delivery)
    query = (
        sa.select(StoredEvent.id, later.id, behind.wanted)
        .join(
            later,
            sa.and_(
                later.poller_id == StoredEvent.poller_id,
                later.object_id == StoredEvent.object_id,
                later.version > StoredEvent.version,
            ),
        )
        .join(behind, behind.notification_id == later.notification_id)
        .where(
            StoredEvent.notification_id == claimed.notification.id,
            behind.subscription_id == claimed.subscription_id,
            # What is queued may wait for an operator for ever.
            behind.status.in_(TRYABLE),
            *([later.event_type.in_(chosen.types)] if chosen.types else []),
        )
    )
    return frozenset(
        event_id
        for event_id, later_id, wanted in session.execute(query)
        if wanted is None or later_id in wanted
    )


def give_back(
    session: orm.Session, claimed: cabc.Sequence[ClaimedDelivery], now: dt.datetime
) -> None:
    """Give back deliveries that were claimed and not attempted, so that they are due again."""
    subscriptions = delivery_states.lock_subscriptions(
        session, Subscription.id.in_({one.subscription_id for one in claimed})
    )
    delivery_states.give_back(
        session, {one.delivery_id for one in claimed}, {one.token for one in claimed}
    )
    wake(session, subscriptions, now)
