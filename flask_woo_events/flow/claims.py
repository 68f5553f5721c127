"""Claims: which worker makes which deliveries, until when, and how they ended."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import datetime as dt
import secrets
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..models import (
    UNSETTLED,
    Attempt,
    Delivery,
    DeliveryStatus,
    Event,
    Subscription,
    UtcDateTime,
    Wait,
)
from . import recorded
from .recorded import NotificationRecord
from .retry import HELD_AFTER, Outcome, Verdict

#: Bytes of a callback's answer that an attempt keeps.
ANSWER_KEPT = 4096
#: Deliveries in one of these are tried when they are due.
TRYABLE = (DeliveryStatus.CREATED, DeliveryStatus.RETRY)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
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


@dataclasses.dataclass(frozen=True, slots=True)
class Settlement:
    """How one attempt ended, and what comes next."""

    claimed: Claimed
    outcome: Outcome
    verdict: Verdict
    #: Until when the whole subscription is held; ``None``: not at all.
    held_until: dt.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Settled:
    """What became of a settlement."""

    #: It was written; otherwise its lease had ended and another worker has the delivery.
    ours: bool
    #: It stopped the subscription.
    stopped: bool = False


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
#: What of one subscription may be tried now, the longest due first.
_DUE = (
    sa.select(Delivery.id)
    .where(
        Delivery.subscription_id == _SUBSCRIPTION,
        Delivery.status.in_(TRYABLE),
        Delivery.due_at <= _NOW,
        _FREE,
        ~_HELD_BACK,
    )
    .order_by(Delivery.due_at, Delivery.id)
    .limit(sa.bindparam("most", type_=sa.Integer()))
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


def claim(
    session: orm.Session,
    now: dt.datetime,
    lease: dt.timedelta,
    limit: int,
    *,
    each: int = 50,
    busy: cabc.Collection[int] = (),
) -> list[Claimed]:
    """Take deliveries that are due, for the length of a lease.

    A delivery is not due while an earlier one with a version of the same object is unsettled.
    One subscription after the other is locked and looked at, so that however much waits for one
    of them costs the others nothing. The caller commits before it delivers.

    :param each: deliveries of one subscription at most; of one that fails only one is tried.
    :param busy: subscriptions that are left out.
    """
    looked_at = session.scalars(
        sa.select(Subscription)
        .where(Subscription.next_due_at <= now, Subscription.active, Subscription.id.not_in(busy))
        .order_by(Subscription.next_due_at, Subscription.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    taken: list[int] = []
    for subscription in looked_at:
        if len(taken) >= limit:
            break
        most = min(each, limit - len(taken))
        if subscription.failures < HELD_AFTER:
            taken += _take(session, subscription, now, lease, most)
        else:
            taken += _probe(session, subscription, now, lease)
    if not taken:
        return []
    token = secrets.token_hex(16)
    session.execute(
        sa.update(Delivery)
        .where(Delivery.id.in_(taken))
        .values(lease_token=token, lease_until=now + lease)
        .execution_options(synchronize_session=False)
    )
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


def _load(session: orm.Session, token: str) -> list[Claimed]:
    rows = session.execute(_CLAIMED, {"token": token}).all()
    notifications = recorded.load(session, [row.notification_id for row in rows])
    return [
        Claimed(
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


def superseded(session: orm.Session, claimed: Claimed) -> frozenset[int]:
    """Ids of its events of whose objects a later version waits for the same subscription."""
    later, behind = orm.aliased(Event), orm.aliased(Delivery)
    waits = (
        sa.select(later.id)
        .join(behind, behind.notification_id == later.notification_id)
        .where(
            later.poller_id == Event.poller_id,
            later.object_id == Event.object_id,
            later.version > Event.version,
            behind.subscription_id == claimed.subscription_id,
            behind.status.in_(UNSETTLED),
        )
        .exists()
    )
    query = sa.select(Event.id).where(Event.notification_id == claimed.notification.id, waits)
    return frozenset(session.scalars(query))


_SETTLE = (
    sa.update(_DELIVERY)
    .where(_DELIVERY.c.id == sa.bindparam("delivery"))
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
_ATTEMPT = sa.insert(t.cast("sa.Table", Attempt.__table__))


def settle(
    session: orm.Session, settlements: cabc.Sequence[Settlement], now: dt.datetime
) -> list[Settled]:
    """Write how attempts ended and what comes next, all in the caller's transaction."""
    rows = session.execute(
        sa.select(Delivery.id, Delivery.lease_token)
        .where(Delivery.id.in_([one.claimed.delivery_id for one in settlements]))
        .with_for_update()
    )
    holders = {delivery_id: token for delivery_id, token in rows}
    held = [holders.get(one.claimed.delivery_id) == one.claimed.token for one in settlements]
    kept = [one for one, ours in zip(settlements, held, strict=True) if ours]
    if kept:
        session.connection().execute(_SETTLE, [_settled(one, now) for one in kept])
        session.connection().execute(_ATTEMPT, [_attempt(one, now) for one in kept])
    stopped = _look_after(session, kept, now) if kept else set()
    return [
        Settled(ours, one.claimed.delivery_id in stopped)
        for one, ours in zip(settlements, held, strict=True)
    ]


def _settled(one: Settlement, now: dt.datetime) -> dict[str, t.Any]:
    first = one.claimed.first_failed_at
    if not one.outcome.delivered:
        first = first or now
    return {
        "delivery": one.claimed.delivery_id,
        "status": one.verdict.status.value,
        "due_at": one.verdict.retry_at,
        "attempts": one.claimed.attempts + 1,
        "first_failed_at": first,
        "handled": sorted(one.claimed.handled.union(one.outcome.handled)) or None,
        "updated_at": now,
    }


def _attempt(one: Settlement, now: dt.datetime) -> dict[str, t.Any]:
    return {
        "delivery_id": one.claimed.delivery_id,
        "at": now,
        "seconds": one.outcome.seconds,
        "status_code": one.outcome.status_code,
        "reason": one.outcome.reason,
        "answer": one.outcome.answer[:ANSWER_KEPT],
    }


def _look_after(
    session: orm.Session, kept: cabc.Sequence[Settlement], now: dt.datetime
) -> set[int]:
    """Say of each subscription how it is doing, and when to look at it again.

    :return: the deliveries whose end stopped their subscription.
    """
    stopped: set[int] = set()
    groups: dict[int, list[Settlement]] = collections.defaultdict(list)
    for one in kept:
        groups[one.claimed.subscription_id].append(one)
    ids = [one.claimed.delivery_id for one in kept]
    waited_for = set(session.scalars(sa.select(Wait.after_id).where(Wait.after_id.in_(ids))))
    query = sa.select(Subscription).where(Subscription.id.in_(groups)).order_by(Subscription.id)
    for subscription in session.scalars(query.with_for_update()):
        them = groups[subscription.id]
        failed = [one for one in them if not one.outcome.delivered]
        if not subscription.active:
            _queue(session, subscription.id, now)
            continue
        if not any(one.outcome.sent for one in them):
            subscription.next_due_at = now
        elif len(failed) < len(them):
            look = bool(failed) or any(one.claimed.delivery_id in waited_for for one in them)
            if look or subscription.failures:
                subscription.next_due_at = now
            subscription.failures, subscription.failing_since = 0, None
            subscription.held_until = None
        elif failed:
            subscription.failures += len(failed)
            subscription.failing_since = subscription.failing_since or now
            dates = [one.held_until for one in failed if one.held_until is not None]
            if subscription.held_until is not None:
                dates.append(subscription.held_until)
            subscription.held_until = max(dates, default=None)
            subscription.next_due_at = max(subscription.held_until or now, now)
        for one in failed:
            if one.verdict.deactivate:
                deactivate(session, subscription.id, one.outcome.reason, now)
                stopped.add(one.claimed.delivery_id)
                break
    return stopped


def deactivate(session: orm.Session, subscription_id: int, reason: str, now: dt.datetime) -> None:
    """Stop a subscription; what waits for it is queued until a person redelivers it."""
    subscription = session.get_one(Subscription, subscription_id)
    subscription.active, subscription.reason, subscription.next_due_at = False, reason, None
    _queue(session, subscription_id, now)


def _queue(session: orm.Session, subscription_id: int, now: dt.datetime) -> None:
    session.execute(
        sa.update(Delivery)
        .where(Delivery.subscription_id == subscription_id, Delivery.status.in_(TRYABLE))
        .values(status=DeliveryStatus.QUEUED.value, due_at=None, updated_at=now)
        .execution_options(synchronize_session=False)
    )


def next_due(session: orm.Session) -> dt.datetime | None:
    """When to look for the next delivery, whoever holds it."""
    return session.scalars(sa.select(sa.func.min(Subscription.next_due_at))).one()
