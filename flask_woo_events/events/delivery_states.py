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
retry -> retry             ``divide``               Its notification was divided: a part is due.
retry -> delivered         ``divide``               The same: a handler has accepted this part.
new -> any                 ``divide``               The same: as the delivery of the whole.
created, retry -> queued   ``queue_all``            The subscription was stopped.
queued, retry -> created   ``redeliver``            An operator redelivers it, or its row was
                                                    repaired.
delivered, new -> created  ``replay``               An operator replays its events (*).
leased -> created          ``replay``               The same, while it is attempted (*).
unsettled -> created       ``move``                 The callback URL was changed.
unsettled -> queued        ``move``                 The callback URL was removed.
leased -> as before        ``end_leases``           Its row was repaired, or a person erased
                                                    from its events.
unsettled -> none          ``discard``              Its subscription was removed.
=========================  =======================  ============================================

(*) ``queued`` if the subscription is inactive. Unsettled: created, retry and queued.

Due dates order the deliveries of a subscription. A retry is not attempted before its date. A
created delivery may be, if nothing else is due: those of a backlog, as after a restored backup, get
a later date, so that changes that happen meanwhile go first.

A delivery that is created or retried is not claimed while it is held: behind an unsettled delivery
with an earlier version of the same object (``woo_wait``), or because its subscription is held after
repeated failures (``held_until``).

A queued delivery is ``exhausted`` if it failed with its last attempt while others succeeded: it
holds nothing back. One that is ``isolated`` holds only what fails by itself; what waits for it is
divided (``division.py``).

Each function but the renewal needs the locks of the deliveries' subscriptions
(``lock_subscriptions``), and reads what it changes under them.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Delivery, Notification, Subscription, UtcDateTime
from ..db.states import UNSETTLED, DeliveryStatus
from . import delivery_order
from .delivery_order import in_parts

#: Statuses in which a delivery is attempted when it is due.
TRYABLE = (DeliveryStatus.CREATED, DeliveryStatus.RETRY)
#: Failed attempts of a whole notification before it is divided.
TRIED_WHOLE = 2
#: How long changes that happen meanwhile go before a delivery of a backlog.
BACKLOG_WAIT = dt.timedelta(hours=1)

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
        attempts=_DELIVERY.c.attempts + sa.bindparam("counted"),
        first_failed_at=sa.func.coalesce(
            _DELIVERY.c.first_failed_at, sa.bindparam("failed_at", type_=UtcDateTime())
        ),
        handled=sa.bindparam("handled"),
        exhausted=sa.bindparam("exhausted"),
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
    #: When it failed; ``None`` if it succeeded.
    failed_at: dt.datetime | None
    #: Ids of events that a handler has accepted, while others of them failed.
    handled: list[int] | None
    #: 1 if it counts as an attempt; 0 if only the rate ended it.
    counted: int
    #: It was the last attempt, and the subscription goes on.
    exhausted: bool
    updated_at: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some events of a notification that is divided, and what follows for their delivery."""

    event_ids: frozenset[int]
    #: It is attempted again now.
    again: bool = False
    #: The handler has accepted them.
    accepted: bool = False
    #: They fail by themselves, or wait for what does.
    isolated: bool = False


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


def lock_subscriptions(
    session: orm.Session, *conditions: sa.ColumnExpressionArgument[bool]
) -> cabc.Sequence[Subscription]:
    """Lock subscriptions until the commit, and return them as they are then, by id.

    :param conditions: name one instance, or ids: MariaDB locks rows in the order of the index by
        which it finds them.
    """
    query = sa.select(Subscription).where(*conditions).order_by(Subscription.id).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).all()


def create(
    session: orm.Session,
    subscription: Subscription,
    notifications: cabc.Mapping[int, cabc.Set[str]],
    wanted: cabc.Mapping[int, list[int]],
    poller_id: int,
    now: dt.datetime,
    backlog: cabc.Set[int] = frozenset(),
) -> set[str]:
    """Create the deliveries of a poller's new notifications to a subscription.

    :param notifications: ids, each with the objects of which it holds a later version than the
        first: while a delivery with an earlier one is unsettled, the new delivery is held back.
    :param wanted: the events that the subscription wants, for notifications of which it does not
        want all.
    :param backlog: ids of those whose deliveries are a backlog.
    :return: the objects of which an earlier version is isolated.
    """
    deliveries = [
        Delivery(
            notification_id=number,
            subscription_id=subscription.id,
            wanted=wanted.get(number),
            created_at=now,
        )
        for number in notifications
    ]
    for one in deliveries:
        _begin(one, subscription, now)
        if one.notification_id in backlog and one.due_at is not None:
            one.due_at += BACKLOG_WAIT
    session.add_all(deliveries)
    session.flush()
    if objects := set[str]().union(*notifications.values()):
        new = {one.id for one in deliveries}
        return delivery_order.keep(session, subscription.id, new, {poller_id: objects}, apart=True)
    return set()


def _begin(delivery: Delivery, subscription: Subscription, now: dt.datetime) -> None:
    delivery.status = DeliveryStatus.CREATED if subscription.active else DeliveryStatus.QUEUED
    delivery.due_at = now if subscription.active else None
    delivery.updated_at = now


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

    What a handler has accepted it does not get again. Later versions wait again for those that were
    exhausted.
    """
    for ids in in_parts(delivery_ids):
        exhausted = sa.select(Delivery).where(Delivery.id.in_(ids), Delivery.exhausted)
        waiting = session.scalars(exhausted.execution_options(populate_existing=True)).all()
        session.execute(
            sa.update(Delivery)
            .where(
                Delivery.id.in_(ids),
                Delivery.status.in_((DeliveryStatus.QUEUED, DeliveryStatus.RETRY)),
            )
            .values(
                status=DeliveryStatus.CREATED.value,
                due_at=now,
                attempts=0,
                first_failed_at=None,
                exhausted=False,
                updated_at=now,
            )
            .execution_options(synchronize_session=False)
        )
        for one in waiting:
            delivery_order.keep_of(session, one.subscription_id, [one])


def replay(
    session: orm.Session,
    subscription: Subscription,
    notification_ids: cabc.Iterable[int],
    now: dt.datetime,
) -> int:
    """Deliver notifications to a subscription again, or for the first time; return how many.

    Unsettled deliveries are left as they are, and those of notifications that were deleted. One
    that is being attempted is taken from its worker, and is sent after the versions before it.
    """
    new: list[Delivery] = []
    for ids in in_parts(notification_ids):
        rows = session.scalars(
            sa.select(Delivery)
            .where(Delivery.subscription_id == subscription.id, Delivery.notification_id.in_(ids))
            .execution_options(populate_existing=True)
        )
        known = {row.notification_id: row for row in rows}
        chosen = []
        for number in session.scalars(sa.select(Notification.id).where(Notification.id.in_(ids))):
            row = known.get(number)
            if row is None:
                row = Delivery(
                    notification_id=number, subscription_id=subscription.id, created_at=now
                )
                session.add(row)
            elif row.status in UNSETTLED and row.lease_token is None:
                continue
            row.attempts, row.first_failed_at, row.handled = 0, None, None
            row.isolated = row.exhausted = False
            # What it has chosen since, too.
            row.wanted = None
            row.lease_token = row.lease_until = None
            _begin(row, subscription, now)
            chosen.append(row)
        session.flush()
        new += chosen
    delivery_order.keep_of(session, subscription.id, new)
    return len(new)


def divide(
    session: orm.Session,
    whole: Delivery,
    parts: cabc.Mapping[int, Part],
    now: dt.datetime,
    *,
    refusing: bool,
) -> list[Delivery]:
    """Give each part of a notification a delivery like that of the whole, which becomes the first.

    :param parts: by the ids of their notifications.
    :param refusing: the notification is divided for this receiver; others only get the parts.
    """
    found = [whole]
    for number in list(parts)[1:]:
        copied = {
            name: getattr(whole, name)
            for name in Delivery.__table__.c.keys()
            if name not in ("id", "notification_id", "lease_token", "lease_until")
        }
        found.append(Delivery(notification_id=number, **copied))
    session.add_all(found)
    for one, part in zip(found, parts.values(), strict=True):
        if one.wanted is not None:
            # What is left without any is settled when it is claimed.
            one.wanted = sorted(part.event_ids.intersection(one.wanted))
        if refusing:
            one.isolated |= part.isolated
            one.updated_at = now
        if refusing and part.accepted:
            one.status, one.due_at, one.handled = DeliveryStatus.DELIVERED, None, None
        elif refusing and part.again:
            # The attempts in which a part was found do not count.
            one.due_at, one.attempts = now, min(one.attempts, TRIED_WHOLE)
    session.flush()
    return found


def isolate(session: orm.Session, delivery_ids: cabc.Collection[int]) -> None:
    """Note that what deliveries hold fails by itself, or waits for what does."""
    session.execute(
        sa.update(Delivery)
        .where(Delivery.id.in_(delivery_ids))
        .values(isolated=True)
        .execution_options(synchronize_session=False)
    )


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
            "exhausted": False,
        }
    exhausted = sa.select(Delivery).where(
        Delivery.subscription_id.in_(subscription_ids), Delivery.exhausted
    )
    given_up = session.scalars(exhausted.execution_options(populate_existing=True)).all()
    session.execute(
        sa.update(Delivery)
        .where(Delivery.subscription_id.in_(subscription_ids), Delivery.status.in_(UNSETTLED))
        # A worker that is delivering to the old URL at this moment loses its lease.
        .values(**values, lease_token=None, lease_until=None, updated_at=now)
        .execution_options(synchronize_session=False)
    )
    if target is not None:
        # Later versions wait again for those that were exhausted.
        delivery_order.keep_of(session, target.id, given_up)


def discard(session: orm.Session, subscription_id: int) -> None:
    """Delete what is unsettled of a subscription that was removed."""
    session.execute(
        sa.delete(Delivery)
        .where(Delivery.subscription_id == subscription_id, Delivery.status.in_(UNSETTLED))
        .execution_options(synchronize_session=False)
    )


def end_leases(session: orm.Session, delivery_ids: cabc.Sequence[int], after: dt.datetime) -> None:
    """End leases that would last until after a time, as after a clock that was wrong."""
    session.execute(
        sa.update(Delivery)
        .where(Delivery.id.in_(delivery_ids), Delivery.lease_until > after)
        .values(lease_token=None, lease_until=None)
        .execution_options(synchronize_session=False)
    )
