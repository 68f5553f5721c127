"""The states of a delivery, and every change from one to another.

A delivery is one notification on its way to one subscription. No other module writes the status,
due time, attempts or lease of one.

=========  =========  ======  =====  ===========================================================
State      Status     Due     Lease  Meaning
=========  =========  ======  =====  ===========================================================
created    created    date    none   Not attempted yet.
retry      retry      date    none   The last attempt failed; another one follows.
leased     as before  date    set    A worker attempts it. When the lease ends, any worker may.
queued     queued     none    none   Waits for an operator, or for an active subscription.
delivered  delivered  none    none   The callback answered 2xx, or the handler returned.
=========  =========  ======  =====  ===========================================================

=========================  =======================  ============================================
Change                     Function                 Cause
=========================  =======================  ============================================
new -> created             ``create``               An event was recorded.
new -> queued              ``create``               The same; the subscription is inactive.
created, retry -> leased   ``lease``                A worker claims it.
leased -> leased           ``DeliveryLease.renew``  The attempt takes long.
leased -> as before        ``give_back``            It was claimed and not attempted.
leased -> delivered        ``end_attempts``         The attempt succeeded.
leased -> retry            ``end_attempts``         The attempt failed.
leased -> queued           ``end_attempts``         The last attempt, policy ``queue``, or 410.
created, retry -> queued   ``queue_all``            The subscription was stopped.
queued, retry -> created   ``redeliver``            An operator redelivers it.
delivered, new -> created  ``replay``               An operator replays its events (*).
unsettled -> created       ``move``                 The callback URL was changed.
unsettled -> queued        ``move``                 The callback URL was removed.
created, retry -> due      ``make_due``             Its row was repaired.
leased -> as before        ``end_leases``           Its row was repaired.
=========================  =======================  ============================================

(*) ``queued`` if the subscription is inactive. Unsettled: created, retry and queued.

A delivery that is created or retried is not claimed while it is held: behind an earlier delivery
with a version of the same object (``woo_wait``, which ``create`` writes), or because its
subscription is held after repeated failures (``held_until``).
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import UNSETTLED, Delivery, DeliveryStatus, Subscription, Wait

#: Statuses in which a delivery is attempted when it is due.
TRYABLE = (DeliveryStatus.CREATED, DeliveryStatus.RETRY)
#: Deliveries of one statement, so that no database refuses the number of its parameters.
AT_ONCE = 1_000

_DELIVERY = t.cast("sa.Table", Delivery.__table__)
_LEASE = (
    sa.update(_DELIVERY)
    .where(_DELIVERY.c.id.in_(sa.bindparam("ids", expanding=True)))
    .values(lease_token=sa.bindparam("token"), lease_until=sa.bindparam("until"))
)
_END_ATTEMPT = (
    sa.update(_DELIVERY)
    .where(
        _DELIVERY.c.id == sa.bindparam("delivery"),
        _DELIVERY.c.lease_token == sa.bindparam("token"),
    )
    .values(
        status=sa.bindparam("status"),
        due_at=sa.bindparam("due_at"),
        attempts=sa.bindparam("attempts"),
        first_failed_at=sa.bindparam("first_failed_at"),
        handled=sa.bindparam("handled"),
        lease_token=None,
        lease_until=None,
        updated_at=sa.bindparam("updated_at"),
    )
)


class AttemptUpdate(t.TypedDict):
    """What an attempt changes of its delivery; the parameters of the statement."""

    delivery: int
    #: The lease under which the attempt was made.
    token: str
    status: str
    due_at: dt.datetime | None
    #: Attempts so far, this one included.
    attempts: int
    first_failed_at: dt.datetime | None
    #: Ids of events that a handler has accepted, while others of them failed.
    handled: list[int] | None
    updated_at: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class DeliveryLease:
    """The right to attempt the deliveries that were claimed under one token."""

    token: str

    @property
    def extra(self) -> dict[str, object]:
        """Fields of a log record."""
        return {"claim": self.token}

    def renew(self, session: orm.Session, until: cabc.Callable[[], dt.datetime]) -> None:
        """Extend the lease of those deliveries whose attempt has not ended.

        :param until: returns the end of the lease; called once the rows are locked.
        """
        mine = sa.select(Delivery.subscription_id).where(Delivery.lease_token == self.token)
        numbers = session.scalars(mine.distinct()).all()
        locked = sa.select(Subscription.id).where(Subscription.id.in_(numbers))
        session.execute(locked.order_by(Subscription.id).with_for_update()).all()
        session.execute(
            sa.update(Delivery)
            .where(Delivery.lease_token == self.token)
            .values(lease_until=until())
            .execution_options(synchronize_session=False)
        )


def create(
    session: orm.Session,
    subscription: Subscription,
    notifications: cabc.Mapping[int, cabc.Set[int]],
    now: dt.datetime,
) -> int:
    """Create the deliveries of new notifications to a subscription; return how many.

    :param notifications: ids, each with the ids of the earlier notifications that hold versions
        of the same objects: while one of those is unsettled, the new delivery is held back.
    """
    deliveries = [
        Delivery(notification_id=number, subscription_id=subscription.id, created_at=now)
        for number in notifications
    ]
    for one in deliveries:
        _begin(one, subscription, now)
    session.add_all(deliveries)
    session.flush()
    if earlier := set[int]().union(*notifications.values()):
        _hold_back(session, subscription.id, deliveries, notifications, earlier)
    return len(deliveries)


def _begin(delivery: Delivery, subscription: Subscription, now: dt.datetime) -> None:
    delivery.status = DeliveryStatus.CREATED if subscription.active else DeliveryStatus.QUEUED
    delivery.due_at = now if subscription.active else None
    delivery.updated_at = now


def _hold_back(
    session: orm.Session,
    subscription_id: int,
    deliveries: cabc.Sequence[Delivery],
    notifications: cabc.Mapping[int, cabc.Set[int]],
    earlier: cabc.Set[int],
) -> None:
    rows = session.execute(
        sa.select(Delivery.notification_id, Delivery.id).where(
            Delivery.notification_id.in_(earlier),
            Delivery.subscription_id == subscription_id,
            Delivery.status.in_(UNSETTLED),
        )
    )
    unsettled = {notification_id: delivery_id for notification_id, delivery_id in rows}
    waits = [
        {"delivery_id": delivery.id, "after_id": unsettled[number]}
        for delivery in deliveries
        for number in notifications[delivery.notification_id]
        if number in unsettled
    ]
    if waits:
        session.execute(sa.insert(Wait), waits)


def lease(
    session: orm.Session, delivery_ids: cabc.Sequence[int], token: str, until: dt.datetime
) -> None:
    """Reserve deliveries for the worker that holds the token."""
    session.connection().execute(_LEASE, {"ids": delivery_ids, "token": token, "until": until})


def give_back(
    session: orm.Session, delivery_ids: cabc.Collection[int], tokens: cabc.Collection[str]
) -> None:
    """End the leases of deliveries that were not attempted, if they are still held."""
    session.execute(
        sa.update(Delivery)
        .where(Delivery.id.in_(delivery_ids), Delivery.lease_token.in_(tokens))
        .values(lease_token=None, lease_until=None)
        .execution_options(synchronize_session=False)
    )


def end_attempts(connection: sa.Connection, attempts: cabc.Sequence[AttemptUpdate]) -> bool:
    """Write what follows from attempts; false when a lease among them was lost."""
    return connection.execute(_END_ATTEMPT, t.cast("t.Any", attempts)).rowcount == len(attempts)


def queue_all(connection: sa.Connection, subscription_id: int, now: dt.datetime) -> None:
    """Queue what waits for a subscription that was stopped.

    A lease stays: the attempt that another worker is making still counts.
    """
    connection.execute(
        sa.update(_DELIVERY)
        .where(_DELIVERY.c.subscription_id == subscription_id, _DELIVERY.c.status.in_(TRYABLE))
        .values(status=DeliveryStatus.QUEUED.value, due_at=None, updated_at=now)
    )


def redeliver(session: orm.Session, delivery_ids: cabc.Sequence[int], now: dt.datetime) -> None:
    """Make queued deliveries and retries due now, with all of their attempts before them.

    What a handler has accepted it does not get again.
    """
    for start in range(0, len(delivery_ids), AT_ONCE):
        session.execute(
            sa.update(Delivery)
            .where(
                Delivery.id.in_(delivery_ids[start : start + AT_ONCE]),
                Delivery.status.in_((DeliveryStatus.QUEUED, DeliveryStatus.RETRY)),
            )
            .values(
                status=DeliveryStatus.CREATED.value,
                due_at=now,
                attempts=0,
                first_failed_at=None,
                updated_at=now,
            )
            .execution_options(synchronize_session=False)
        )


def replay(
    session: orm.Session,
    subscription: Subscription,
    notification_ids: cabc.Sequence[int],
    now: dt.datetime,
) -> int:
    """Deliver notifications to a subscription again, or for the first time; return how many.

    Unsettled deliveries are left as they are.
    """
    rows = session.scalars(
        sa.select(Delivery).where(
            Delivery.subscription_id == subscription.id,
            Delivery.notification_id.in_(notification_ids),
        )
    )
    known = {row.notification_id: row for row in rows}
    count = 0
    for number in notification_ids:
        row = known.get(number)
        if row is None:
            row = Delivery(notification_id=number, subscription_id=subscription.id, created_at=now)
            session.add(row)
        elif row.status in UNSETTLED:
            continue
        row.attempts, row.first_failed_at, row.handled = 0, None, None
        _begin(row, subscription, now)
        count += 1
    session.flush()
    return count


def move(
    session: orm.Session,
    subscription_ids: cabc.Collection[int],
    target: Subscription | None,
    now: dt.datetime,
) -> None:
    """Move what is unsettled from earlier subscriptions to a new one, where it is due now.

    :param target: ``None``: there is none, and what is unsettled is queued where it is.
    """
    values: dict[str, t.Any] = {"status": DeliveryStatus.QUEUED.value, "due_at": None}
    if target is not None:
        values = {
            "subscription_id": target.id,
            "status": DeliveryStatus.CREATED.value,
            "due_at": now,
            "attempts": 0,
            "first_failed_at": None,
        }
    session.execute(
        sa.update(Delivery)
        .where(Delivery.subscription_id.in_(subscription_ids), Delivery.status.in_(UNSETTLED))
        # A worker that is delivering to the old URL at this moment loses its lease.
        .values(**values, lease_token=None, lease_until=None, updated_at=now)
        .execution_options(synchronize_session=False)
    )


def make_due(session: orm.Session, delivery_ids: cabc.Sequence[int], now: dt.datetime) -> None:
    """Make deliveries due now that would never be, as after a clock that was wrong."""
    session.execute(
        sa.update(Delivery)
        .where(Delivery.id.in_(delivery_ids), Delivery.status.in_(TRYABLE))
        .values(due_at=now, updated_at=now)
        .execution_options(synchronize_session=False)
    )


def end_leases(session: orm.Session, delivery_ids: cabc.Sequence[int]) -> None:
    """End leases that would not end by themselves, as after a clock that was wrong."""
    session.execute(
        sa.update(Delivery)
        .where(Delivery.id.in_(delivery_ids))
        .values(lease_token=None, lease_until=None)
        .execution_options(synchronize_session=False)
    )
