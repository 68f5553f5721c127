"""Replay: recorded events, sent again to their callbacks or to another address."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Delivery, Instance, Notification, StoredEvent, Subscription
from ..db.states import HTTP_CHANNELS, LISTED_CHANNELS, UNSETTLED, Channel
from ..errors import InputError, NotFoundError, SecretError
from ..events import delivery_states, notifications, outbox
from ..events.notifications import NotificationRecord
from ..runtime import Runtime
from . import attempts, destination
from .retry import AttemptOutcome
from .send import CallbackCredentials


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySelection:
    """Which events are replayed; ``None`` selects all."""

    #: Of this organisation only; ``None``: of all organisations, for the command line.
    organization_id: int | None = None
    event_ids: tuple[int, ...] = ()
    instance_id: int | None = None
    resource: str | None = None
    object_id: str | None = None
    #: ``CREATED``, ``UPDATED``, ``DELETED``; empty: all.
    types: tuple[str, ...] = ()
    #: From the first to before the second date of recording, our own clock.
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    #: Send them to this subscription only.
    subscription_id: int | None = None
    #: Without ``event_ids``: operational events instead of those of stores.
    operational: bool = False


def for_subscription(
    session: orm.Session, choice: ReplaySelection, subscription_id: int
) -> ReplaySelection:
    """Return the selection for one subscription: events of its instance.

    :raises NotFoundError: no instance has this subscription.
    :raises InputError: it belongs to another instance than the one selected, or is only read by
        its feed.
    """
    one = session.get(Subscription, subscription_id)
    if one is None or not one.current or one.channel not in LISTED_CHANNELS:
        raise NotFoundError(
            f"There is no subscription {subscription_id}; see: flask woo subscriptions list "
            f"{choice.instance_id or 'INSTANCE_ID'}"
        )
    if choice.instance_id not in (None, one.instance_id):
        raise InputError(
            f"subscription {subscription_id} belongs to instance {one.instance_id}, not to "
            f"{choice.instance_id}"
        )
    if one.channel == Channel.FEED:
        raise InputError(
            f"subscription {subscription_id} is only read by its feed, which has the events already"
        )
    return dataclasses.replace(
        choice,
        instance_id=one.instance_id,
        subscription_id=one.id,
        operational=one.channel == Channel.OPERATIONAL,
    )


def plan(session: orm.Session, choice: ReplaySelection, limit: int) -> list[NotificationRecord]:
    """Return the notifications to replay, each with the events that were selected.

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


def to_callbacks(
    session: orm.Session,
    planned: cabc.Sequence[NotificationRecord],
    now: dt.datetime,
    subscription_id: int | None = None,
) -> int:
    """Deliver whole notifications again to the current callbacks; return how many deliveries.

    They keep their ids, so that a receiver that stores them recognises them. Unsettled deliveries
    are left as they are, unless they are being attempted. A worker sends the others, the versions
    of one object in their order.

    :param subscription_id: to this subscription only.
    """
    chosen = _current(planned, subscription_id).with_only_columns(Subscription.id)
    numbers = session.scalars(chosen).all()
    current = delivery_states.lock_subscriptions(
        session, Subscription.id.in_(numbers), Subscription.current
    )
    count = 0
    for subscription in current:
        numbers = [one.id for one in planned if _gets(subscription, one)]
        count += delivery_states.replay(session, subscription, numbers, now)
    outbox.wake(session, current, now)
    return count


def left_out(
    session: orm.Session,
    planned: cabc.Sequence[NotificationRecord],
    subscription_id: int | None = None,
) -> dict[int, str]:
    """Return why :func:`to_callbacks` would leave notifications as they are, by their ids."""
    rows = session.scalars(_current(planned, subscription_id)).all()
    current = {one.id: {row.id for row in rows if _gets(row, one)} for one in planned}
    reasons = {number: "there is no callback URL" for number, found in current.items() if not found}
    waiting: dict[int, list[str]] = collections.defaultdict(list)
    query = sa.select(Delivery.notification_id, Delivery.status).where(
        Delivery.subscription_id.in_(set[int]().union(*current.values())),
        Delivery.notification_id.in_([one.id for one in planned]),
        Delivery.status.in_(UNSETTLED),
        Delivery.lease_token.is_(None),
    )
    for number, status in session.execute(query):
        waiting[number].append(status)
    for one in planned:
        if one.id in waiting and len(waiting[one.id]) == len(current[one.id]):
            reasons[one.id] = f"not delivered yet ({waiting[one.id][0]})"
    return reasons


def _current(
    planned: cabc.Sequence[NotificationRecord], subscription_id: int | None
) -> sa.Select[Subscription]:
    """Select the current callbacks of the instances, or one of them."""
    query = sa.select(Subscription).where(
        Subscription.instance_id.in_({one.instance_id for one in planned}),
        Subscription.current,
        Subscription.channel.in_(HTTP_CHANNELS),
    )
    return query if subscription_id is None else query.where(Subscription.id == subscription_id)


def _gets(subscription: Subscription, one: NotificationRecord) -> bool:
    """Return whether a notification may be sent to a callback."""
    is_operational = subscription.channel == Channel.OPERATIONAL
    mine = one.instance_id == subscription.instance_id
    return mine and is_operational is (one.kind is not None)


def to_address(
    runtime: Runtime, planned: cabc.Iterable[NotificationRecord], url: str
) -> cabc.Iterator[tuple[NotificationRecord, AttemptOutcome]]:
    """POST the selected events of notifications to another address, once; nothing is written.

    They are signed as always. The headers and the password of the instance's own callback are
    not sent: no other receiver may see them. One whose signature key cannot be decrypted is not
    sent, and does not stop the others.

    :return: yields each notification with the outcome, before it sends the next one.
    """
    for one in planned:
        with runtime.database.read() as session:
            sender = destination.load_sender(session, one.instance_id)
            try:
                credentials = destination.load_credentials(
                    session, runtime.cipher, one.instance_id, runtime.retired_after
                )
            except SecretError as exc:
                yield one, AttemptOutcome(delivered=False, reason=str(exc))
                continue
        with attempts.traced(one):
            outcome = attempts.request(
                runtime,
                one,
                url,
                sender,
                CallbackCredentials(signature_keys=credentials.signature_keys),
                timeouts=runtime.callback_timeouts,
            )
        yield one, outcome


def _belongs() -> sa.ColumnElement[bool]:
    return StoredEvent.notification_id == Notification.id


def _conditions(choice: ReplaySelection) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if not choice.event_ids:
        of_stores = StoredEvent.kind.is_(None)
        conditions.append(sa.not_(of_stores) if choice.operational else of_stores)
    else:
        conditions.append(StoredEvent.id.in_(choice.event_ids))
    if choice.resource is not None:
        conditions.append(StoredEvent.resource == choice.resource)
    if choice.object_id is not None:
        conditions.append(StoredEvent.object_id == choice.object_id)
    if choice.types:
        conditions.append(StoredEvent.event_type.in_(choice.types))
    return conditions
