"""Claims: which worker makes which deliveries, and until when."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import secrets
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import (
    UNSETTLED,
    Delivery,
    DeliveryStatus,
    StoredEvent,
    Subscription,
    UtcDateTime,
    Wait,
)
from ..events import notifications as recorded
from ..events.notifications import NotificationRecord
from ..events.outbox import wake
from .retry import HELD_AFTER

#: Deliveries in one of these are tried when they are due.
TRYABLE = (DeliveryStatus.CREATED, DeliveryStatus.RETRY)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedDelivery:
    """A delivery that is ours until its lease ends."""

    delivery_id: int
    #: Who holds it; a settlement under another token is refused.
    token: str
    subscription_id: int
    channel: str
    #: The callback's address, or the handler's name.
    url: str
    #: Failures of the subscription in a row, of whichever deliveries, and since when.
    failures: int = 0
    failing_since: dt.datetime | None = None
    #: Attempts before this one.
    attempts: int
    first_failed_at: dt.datetime | None
    #: Ids of events that a handler has had already.
    handled: frozenset[int] = frozenset()
    #: What it tells.
    notification: NotificationRecord


_NOW = sa.bindparam("now", type_=UtcDateTime())
_SUBSCRIPTION = sa.bindparam("subscription", type_=sa.BigInteger())
_FREE = sa.or_(Delivery.lease_until.is_(None), Delivery.lease_until < _NOW)
_BEFORE = orm.aliased(Delivery)
_HELD_BACK = (
    sa.select(Wait.after_id)
    .join(_BEFORE, _BEFORE.id == Wait.after_id)
    .where(Wait.delivery_id == Delivery.id, _BEFORE.status.in_(UNSETTLED))
    .exists()
)


def _due(status: DeliveryStatus) -> sa.Subquery:
    # Of one status, so that an index has them in order: of a hundred thousand that wait only
    # these are read.
    return (
        sa.select(Delivery.id, Delivery.due_at)
        .where(
            Delivery.subscription_id == _SUBSCRIPTION,
            Delivery.status == status,
            Delivery.due_at <= _NOW,
            _FREE,
            ~_HELD_BACK,
        )
        .order_by(Delivery.due_at, Delivery.id)
        .limit(_MOST)
        .subquery()
    )


_MOST = sa.bindparam("most", type_=sa.Integer())
_EITHER = sa.union_all(*(sa.select(_due(status)) for status in TRYABLE)).subquery()
#: What of one subscription may be tried now, the longest due first.
_DUE = sa.select(_EITHER.c.id).order_by(_EITHER.c.due_at, _EITHER.c.id).limit(_MOST)


#: Subscriptions to look at, the longest due first.
_LOOK = (
    sa.select(Subscription)
    .where(
        Subscription.next_due_at <= _NOW,
        Subscription.active,
        Subscription.id.not_in(sa.bindparam("busy", expanding=True)),
    )
    .order_by(Subscription.next_due_at, Subscription.id)
    .limit(sa.bindparam("most", type_=sa.Integer()))
    .with_for_update(skip_locked=True)
)
_TAKE = (
    sa.update(Delivery.__table__)  # type: ignore[arg-type]
    .where(Delivery.__table__.c.id.in_(sa.bindparam("ids", expanding=True)))
    .values(lease_token=sa.bindparam("token"), lease_until=sa.bindparam("until"))
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


#: When to look at a subscription again of which nothing more may be tried now: when the next
#: delivery is due, or a lease ends whose worker may have been killed.
_NEXT = sa.select(
    *(_first_due(status) for status in TRYABLE),
    sa.select(sa.func.min(Delivery.lease_until))
    .where(Delivery.subscription_id == _SUBSCRIPTION, Delivery.lease_until.is_not(None))
    .scalar_subquery(),
)
_DELIVERY = t.cast("sa.Table", Delivery.__table__)
_SUBSCRIPTIONS = t.cast("sa.Table", Subscription.__table__)


def claim(
    session: orm.Session,
    now: dt.datetime,
    lease: dt.timedelta,
    limit: int,
    *,
    busy: cabc.Collection[int] = (),
) -> list[ClaimedDelivery]:
    """Take deliveries that are due, for the length of a lease.

    A delivery is not due while an earlier one with a version of the same object is unsettled.
    One subscription after the other is locked and looked at, so that however much waits for one
    of them costs the others nothing. The caller commits before it delivers.

    :param limit: deliveries at most; of a subscription that fails only one is tried.
    :param busy: subscriptions that are left out.
    """
    looked_at = session.scalars(_LOOK, {"now": now, "busy": [0, *busy], "most": limit}).all()
    taken: list[int] = []
    for subscription in looked_at:
        if len(taken) >= limit:
            break
        most = limit - len(taken)
        if subscription.failures < HELD_AFTER:
            taken += _take(session, subscription, now, lease, most)
        else:
            taken += _probe(session, subscription, now, lease)
    if not taken:
        return []
    token = secrets.token_hex(16)
    names = {"ids": taken, "token": token, "until": now + lease}
    session.connection().execute(_TAKE, names)
    return _load(session, token)


def _take(
    session: orm.Session,
    subscription: Subscription,
    now: dt.datetime,
    lease: dt.timedelta,
    most: int,
) -> cabc.Sequence[int]:
    names = {"subscription": subscription.id, "now": now}
    ids = session.scalars(_DUE, names | {"most": most}).all()
    if len(ids) < most:
        # Nothing more may be tried now. What is held back is looked at when its like is settled.
        dates = [date for date in session.execute(_NEXT, names).one() if date is not None]
        if ids:
            dates.append(now + lease)
        subscription.next_due_at = min(dates, default=None)
    return ids


def _probe(
    session: orm.Session, subscription: Subscription, now: dt.datetime, lease: dt.timedelta
) -> cabc.Sequence[int]:
    """Of a subscription that fails try one delivery, and nothing while another one is tried."""
    names = {"subscription": subscription.id, "now": now}
    leased = session.execute(_NEXT, names).one()[-1]
    if leased is not None and leased >= now:
        subscription.next_due_at = leased
        return ()
    ids = _take(session, subscription, now, lease, 1)
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
        Subscription.failing_since,
        Delivery.attempts,
        Delivery.first_failed_at,
        Delivery.handled,
    )
    .join(Subscription, Subscription.id == Delivery.subscription_id)
    .where(Delivery.lease_token == sa.bindparam("token"))
    .order_by(Delivery.due_at, Delivery.id)
)


def _load(session: orm.Session, token: str) -> list[ClaimedDelivery]:
    rows = session.execute(_CLAIMED, {"token": token}).all()
    notifications = recorded.load(session, [row.notification_id for row in rows])
    return [
        ClaimedDelivery(
            delivery_id=row.id,
            token=token,
            subscription_id=row.subscription_id,
            channel=row.channel,
            url=row.url,
            failures=row.failures,
            failing_since=row.failing_since,
            attempts=row.attempts,
            first_failed_at=row.first_failed_at,
            handled=frozenset(row.handled or ()),
            notification=notifications[row.notification_id],
        )
        for row in rows
    ]


def superseded(session: orm.Session, claimed: ClaimedDelivery) -> frozenset[int]:
    """Ids of its events of whose objects a later version waits for the same subscription."""
    later, behind = orm.aliased(StoredEvent), orm.aliased(Delivery)
    waits = (
        sa.select(later.id)
        .join(behind, behind.notification_id == later.notification_id)
        .where(
            later.poller_id == StoredEvent.poller_id,
            later.object_id == StoredEvent.object_id,
            later.version > StoredEvent.version,
            behind.subscription_id == claimed.subscription_id,
            behind.status.in_(UNSETTLED),
        )
        .exists()
    )
    query = sa.select(StoredEvent.id).where(
        StoredEvent.notification_id == claimed.notification.id, waits
    )
    return frozenset(session.scalars(query))


def give_back(
    session: orm.Session, claimed: cabc.Sequence[ClaimedDelivery], now: dt.datetime
) -> None:
    """Let go of deliveries that were claimed and not tried, for whoever claims them next."""
    held = {(one.delivery_id, one.token) for one in claimed}
    query = sa.select(Subscription).where(
        Subscription.id.in_({one.subscription_id for one in claimed})
    )
    subscriptions = session.scalars(query.order_by(Subscription.id).with_for_update()).all()
    session.execute(
        sa.update(Delivery)
        .where(
            Delivery.id.in_([number for number, _ in held]),
            Delivery.lease_token.in_({token for _, token in held}),
        )
        .values(lease_token=None, lease_until=None)
        .execution_options(synchronize_session=False)
    )
    wake(session, subscriptions, now)


def next_due(session: orm.Session) -> dt.datetime | None:
    """When to look for the next delivery, whoever holds it."""
    return session.scalars(sa.select(sa.func.min(Subscription.next_due_at))).one()
